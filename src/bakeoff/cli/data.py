"""Commands around the data: `bakeoff data …`.

To add one: write a function below, and name it in `add_to`.
"""

from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.corpora import prepare
from bakeoff.cli.labels import labels
from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project, optional_value
from bakeoff.cli.root import CommandGroup
from bakeoff.cli.snapshots import SNAPSHOT_COMMANDS

__all__ = ["add_to"]

HERE = Path()
VIOLATED = 3
PAGE = "data-card.html"

Which = Annotated[
    str | None,
    typer.Option("--version", metavar="VERSION", help="A dataset version: its number or the beginning of its hash."),
]


def add_to(app: typer.Typer) -> None:
    """Add the group `data` to the app."""
    group = typer.Typer(
        name="data",
        help="The data: what it holds (show, card), what it must keep to (contract), a corpus (prepare), labels, and\n"
        "versions of files (snapshot, list, status, diff, checkout, tag, verify, push, pull).\n\n"
        "For example: bakeoff data card --html",
        cls=CommandGroup,
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (show, contract, prepare, labels):
        group.command()(command)
    group.command(cls=optional_value("--html", PAGE))(card)
    for name, each in SNAPSHOT_COMMANDS.items():
        group.command(name)(each)
    app.add_typer(group)


def show(*, version: Which = None, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """A registered dataset version: its rows, columns, split, sources and contract. With --json: all versions.

    For example: bakeoff data show
    """
    with open_project(folder) as project:
        found = project.datasets(version)
    if as_json:
        from dataclasses import asdict

        emit({"versions": [asdict(each) for each in found]})
    else:
        from bakeoff.cli.data_pages import dataset_page

        typer.echo(dataset_page(found))
        next_step("data card", folder)


def contract(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Check the present data; exit 3 when it violates the contract.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a contract that was edited.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Write the data contract, inferred from the present data; or check the data against it.

    For example: bakeoff data contract --check
    """
    if check:
        _check(folder, as_json=as_json)
        return
    with open_project(folder) as project:
        written = project.write_contract(force=force)
    if as_json:
        emit({"file": str(written.path), "contract": written.text, "named": written.named})
        return
    typer.echo(f"wrote {written.path}: read it, edit it")
    if not written.named:
        typer.echo(f'to hold it at every run and for served rows, put under [data]: contract = "{written.path.name}"')
    next_step("data contract --check", folder)


def card(
    *,
    html: Annotated[
        Path | None,
        typer.Option(metavar="[FILE]", help=f"Write one self-contained page; {PAGE} when no file is named."),
    ] = None,
    png: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write the charts as PNG files.")] = None,
    croissant: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the rows with Croissant 1.1 metadata.")
    ] = None,
    version: Which = None,
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A tokenizer.json: tell lengths in tokens too.")
    ] = None,
    show_pii: Annotated[bool, typer.Option("--show-pii", help="Show personal data in examples as it is.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """What a dataset version holds: distributions, duplicates, languages, personal data, what steps changed.

    For example: bakeoff data card --html
    """
    from bakeoff.cli import data_pages
    from bakeoff.report.card import to_json

    with open_project(folder) as project:
        found = project.data_card(version=version, show_personal=show_pii, tokenizer=tokenizer)
        files = project.write_croissant(croissant, version=version) if croissant is not None else []
    written = [*files, *data_pages.write_card(found, html=html, png=png)]
    if as_json:
        emit({**to_json(found), "files": written} if written else to_json(found))
    elif written:
        for file in written:
            typer.echo(f"wrote {file}")
    else:
        typer.echo(data_pages.card_page(found))
        next_step("run", folder)


def _check(folder: Path, *, as_json: bool) -> None:
    with open_project(folder) as project:
        held = project.check_contract()
    errors, warnings = held.checked.errors, held.checked.warnings
    if as_json:
        found = [each.to_json() for each in held.checked.violations]
        counts = {"rows": held.rows, "rules": held.rules, "errors": len(errors), "warnings": len(warnings)}
        emit({"file": str(held.path), **counts, "violations": found})
    else:
        for each in held.checked.violations:
            typer.echo(f"{'ERROR' if each.severity == 'error' else 'warn '} {each.told()}")
        told = f"{len(errors)} errors, {len(warnings)} warnings" if held.checked.violations else "all kept"
        typer.echo(f"{held.path.name}: {held.rules} rules, {held.rows:,} rows: {told}")
    if errors:
        raise typer.Exit(VIOLATED)
