"""Commands of the lifecycle: init, run, report, status, demo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import (
    AllowMissing,
    AsJson,
    Folder,
    emit,
    next_step,
    open_project,
    optional_value,
    seldom_collected,
    show_progress,
)
from bakeoff.cli.progress import clocked
from bakeoff.config.duration import budget_seconds

if TYPE_CHECKING:
    from bakeoff.results.outcome import RunOutcome

__all__ = ["add_to", "end_of_run"]

HERE = Path()
GATE_FAILED = 3
BUDGET = (
    "End within about this time (90s, 30m, 2h); what the fits leave of it goes into trying parameters, never on test "
    "rows. 'none' takes all the time it needs. Without it, [compute] budget is the most."
)
PAGE = "report.html"


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (init, run, status, demo):
        app.command()(command)
    app.command(cls=optional_value("--html", PAGE))(report)


def init(
    source: Annotated[str, typer.Argument(help="The data: a file, a glob, https:// or pypi:// location.")],
    *,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column to predict. Conversations need none: their last turn is predicted."
        ),
    ] = None,
    folder: Folder = HERE,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The project's name; the folder's by default.")
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="classification, regression or generation.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a project file from a look at the data.

    For example: bakeoff init reviews.csv --target label
    """
    from bakeoff.actions.init import write_project

    written = write_project(folder, name=name, source=source, target=target, task=task)
    if as_json:
        shown = {"warnings": written.warnings, "notes": written.notes}
        emit({"file": str(written.file), **shown, "ledger": written.ledger.to_json()})
        return
    from bakeoff.cli.ledger_page import ledger_page

    typer.echo(f"wrote {written.file}\n\n{written.file.read_text(encoding='utf-8')}")
    for warning in written.warnings:
        typer.echo(f"warning: {warning}\n")
    for note in written.notes:
        typer.echo(f"note: {note}\n")
    typer.echo(ledger_page(written.ledger))
    next_step("run", folder)


def run(
    *,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=BUDGET),
    ] = None,
    allow_missing: AllowMissing = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Fit the candidates that changed, evaluate all, decide who wins, register and release the winner.

    For example: bakeoff run --budget 30m
    """
    budget_s = None if budget is None else budget_seconds(budget)
    if (folder / "bakeoff.toml").is_file() and not (folder / ".bakeoff").exists():
        from bakeoff.compute.local import begin_imports

        begin_imports()  # the first run of a project: its jobs' imports take as long as all before them
    with seldom_collected(), clocked() as progress, open_project(folder, progress) as project:
        outcome = project.run(budget_s=budget_s, allow_missing=allow_missing)
    if as_json:
        emit({**outcome.document, "unchanged": outcome.unchanged})
    else:
        from bakeoff.cli.run_page import leaderboard

        typer.echo(leaderboard(outcome.results, unchanged=outcome.unchanged))
        next_step("report", folder)
    end_of_run(outcome, allow_missing=allow_missing)


def report(
    run: Annotated[
        str | None, typer.Argument(help="The id of a run, or how it starts; the last one by default.")
    ] = None,
    *,
    html: Annotated[
        Path | None,
        typer.Option(metavar="[FILE]", help=f"Write one self-contained page; {PAGE} when no file is named."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")] = False,
    png: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write the charts as PNG files.")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Show a run: candidates, verdict, gates; or write it as a page, Markdown or pictures.

    For example: bakeoff report --html report.html
    """
    from bakeoff.cli import render
    from bakeoff.cli.run_page import full_report

    with open_project(folder) as project:
        outcome = project.outcome(run)
        found = project.report(run) if html or markdown or png else None
    written = render.write_report(found, html=html, png=png) if found else []
    if as_json:
        emit({**outcome.to_json(), "files": written} if written else outcome.to_json())
        return
    if found and markdown:
        typer.echo(render.markdown_report(found))
    elif not written:
        typer.echo(full_report(outcome))
    for file in written:
        typer.echo(f"wrote {file}", err=markdown)
    next_step("serve" if outcome.release else "status", folder)


def status(
    run: Annotated[
        str | None, typer.Argument(help="The id of a run, or how it starts; the last one by default.")
    ] = None,
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """The project at a glance: the last run, the champion, what is live, the last signals.

    For example: bakeoff status
    """
    with open_project(folder) as project:
        found = project.status(run).to_json()
    if as_json:
        emit(found)
    else:
        from bakeoff.cli.render import status_page

        typer.echo(status_page(found))
        next_step("serve" if found["release"] else "run", folder)


def end_of_run(outcome: "RunOutcome", *, allow_missing: bool) -> None:
    """Exit with 1 when a candidate failed that may not, or no one has a model; with 3 when none won.

    One that a budget of time or money left out has not failed: the run did what it was asked to do.
    """
    failed = [each.name for each in outcome.failed]
    if not outcome.fine:
        why = "failed or had too little time or money" if outcome.left_out else "failed"
        typer.echo(f"error: CandidateError: every candidate {why}; 'bakeoff report' tells why", err=True)
        raise typer.Exit(1)
    if failed and not allow_missing:
        told = "'bakeoff report' tells why; --allow-missing lets a run end well without them"
        typer.echo(f"error: CandidateError: failed: {', '.join(failed)}; {told}", err=True)
        raise typer.Exit(1)
    if not outcome.won:
        raise typer.Exit(GATE_FAILED)


def demo(
    name: Annotated[str, typer.Argument(help="reviews, flights or chat.")] = "reviews",
    folder: Annotated[Path | None, typer.Argument(help="Where to put the project; ./demo-NAME by default.")] = None,
    *,
    with_llm: Annotated[
        bool,
        typer.Option("--with-llm", help="With reviews: small language models, too (some 8 minutes more on two cores)."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The whole loop on real data: reviews (text), flights (a table over time) or chat (a language model).

    For example: bakeoff demo flights
    """
    from bakeoff.cli.demos.play import play

    def tell(text: str) -> None:
        typer.echo(text, err=as_json)

    document = play(name, folder or Path(f"demo-{name}"), tell=tell, progress=show_progress, with_llm=with_llm)
    if as_json:
        emit(document)
