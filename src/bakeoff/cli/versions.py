"""Commands about versions of models and prompts, what a branch changes, and the hook before a commit."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, open_project, project_folder
from bakeoff.cli.root import CommandGroup
from bakeoff.cli.tables import table

__all__ = ["add_to", "model_card", "model_diff"]

HERE = Path()
REFUSED = 3
Prompt = Annotated[
    str, typer.Argument(metavar="PROMPT", help="Its file (the newest version), FILE/NUMBER or FILE/TAG.")
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("diff")(branch_diff)
    for group in (prompts, hook):
        app.add_typer(group)


prompts = typer.Typer(
    name="prompts",
    help="Prompts as versions.\n\nFor example: bakeoff prompts diff prompts/ask.md/1 prompts/ask.md/2",
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
)
hook = typer.Typer(
    name="hook",
    help="Refuse data, state and secrets before a commit.\n\nFor example: bakeoff hook install",
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
)


def model_card(
    version: Annotated[str, typer.Argument(metavar="[VERSION]", help="NAME/2, 2 or an alias.")] = "champion",
    *,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as one page.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it as Markdown.")] = None,
    hugging_face: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write a new folder as Hugging Face shows it, with the model.")
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """The card of a model version: intended use, data, metrics with intervals, limits, licence, lineage.

    For example: bakeoff models card champion --html model-card.html
    """
    from bakeoff.cli.terminal import write_text
    from bakeoff.report import model_card as report

    with open_project(folder) as project:
        card = project.model_card(version)
        written = project.write_hugging_face(version, hugging_face) if hugging_face is not None else []
    for file, text in ((html, report.to_html(card)), (out, report.to_markdown(card))):
        if file is not None:
            write_text(file, text)
            written.append(str(file))
    if as_json:
        emit({**asdict(card), "files": written})
    elif written:
        for file in written:
            typer.echo(f"wrote {file}")
    else:
        typer.echo(report.to_markdown(card))


def model_diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A model version: NAME/2, 2 or an alias.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """What differs of two model versions: data, code, parameters, environment, metrics.

    For example: bakeoff models diff 1 champion
    """
    with open_project(folder) as project:
        differs = project.model_difference(first, second)
    if as_json:
        emit(differs.to_json())
        return
    rows = [(key, str(pair[0]), str(pair[1])) for key, pair in {**differs.facts, **differs.params}.items()]
    around = differs.environment
    rows += [(name, str(pair[0]), str(pair[1])) for name, pair in (around.packages if around else {}).items()]
    rows += [
        (name, *("-" if each is None else f"{each.value:.4f} {each.ends('.4f')}" for each in pair))
        for name, pair in differs.metrics.items()
    ]
    typer.echo(table(("what", differs.first, differs.second), rows))
    if not differs.same_rows:
        typer.echo(
            "they were not measured on the same rows: 'bakeoff runs compare' judges what can be judged", err=True
        )


def branch_diff(
    refs: Annotated[str, typer.Argument(metavar="A..B", help="Two branches or commits.")],
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """What a branch changes: settings, files, and by the runs of its commits, data and metrics.

    For example: bakeoff diff main..HEAD
    """
    with open_project(folder) as project:
        changes = project.branch_changes(refs)
    if as_json:
        emit(asdict(changes))
        return
    for file in changes.files:
        typer.echo(f"file     {file}")
    rows = [(key, _text(was), _text(now)) for key, (was, now) in changes.settings.items()]
    rows += (
        [("dataset", *(_text(each and each[:12]) for each in changes.data))]
        if changes.data[0] != changes.data[1]
        else []
    )
    rows += [("winner", *map(_text, changes.winners))] if any(changes.winners) else []
    rows += [(key, _text(was), _text(now)) for key, (was, now) in changes.metrics.items()]
    typer.echo(
        table(("what", changes.first, changes.second), rows) if rows else "no setting, dataset or metric differs"
    )
    for ref, run in zip((changes.first, changes.second), changes.runs, strict=True):
        if run is None:
            typer.echo(f"no finished run of {ref}: its data and metrics are not known", err=True)


def _text(value: object) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


@prompts.command("list")
def list_prompts(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """All versions of prompts, newest first.

    For example: bakeoff prompts list
    """
    with open_project(folder) as project:
        versions = project.prompts.list()
    if as_json:
        emit({"prompts": [asdict(each) for each in versions]})
        return
    for each in versions:
        tags = f"  [{', '.join(each.aliases)}]" if each.aliases else ""
        typer.echo(f"{each.lineage['file']}/{each.number}  {each.content[:12]}  run {each.run_id}{tags}")
    if not versions:
        typer.echo('none yet: name a file in [candidates.NAME] prompt = "prompts/ask.md", then bakeoff run')


@prompts.command("show")
def show_prompt(which: Prompt, *, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """The text of a prompt.

    For example: bakeoff prompts show prompts/ask.md/1
    """
    with open_project(folder) as project:
        version = project.prompts.get(which)
    if as_json:
        emit(asdict(version))
    else:
        typer.echo(str(version.lineage["text"]))


@prompts.command("diff")
def diff_prompts(first: Prompt, second: Prompt, *, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """What differs of two prompts.

    For example: bakeoff prompts diff prompts/ask.md/1 prompts/ask.md/2
    """
    with open_project(folder) as project:
        text = project.prompts.difference(first, second)
    if as_json:
        emit({"diff": text})
    else:
        typer.echo(text or "no difference")


@prompts.command("tag")
def tag_prompt(
    which: Prompt,
    tags: Annotated[list[str], typer.Argument(metavar="TAG …", help="Tags; one that another version has moves.")],
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Give a prompt tags.

    For example: bakeoff prompts tag prompts/ask.md/2 best
    """
    with open_project(folder) as project:
        version = project.prompts.tag(which, *tags)
    if as_json:
        emit(asdict(version))
    else:
        typer.echo(f"{version.lineage['file']}/{version.number}  [{', '.join(version.aliases)}]")


@hook.command("install")
def install(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Write the hook into the repository: it runs before each commit.

    For example: bakeoff hook install
    """
    from bakeoff.actions.git_changes import install_hook

    place = install_hook(project_folder(folder).resolve())
    if as_json:
        emit({"hook": str(place)})
    else:
        typer.echo(f"wrote {place}")


@hook.command("run")
def run(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Look at what is staged; ends with 3 when data, state or a secret is in it.

    A line with "bakeoff: allow" holds no secret.

    For example: bakeoff hook run
    """
    from bakeoff.actions.git_changes import refused

    files = refused(folder.resolve())
    if as_json:
        emit({"refused": [asdict(each) for each in files]})
    for each in files if not as_json else ():
        typer.echo(f"refused  {each.file}: {each.reason}", err=True)
    if files:
        raise typer.Exit(REFUSED)
