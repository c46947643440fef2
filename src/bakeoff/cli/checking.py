"""Commands before and beside a run: check, the gate for CI, and advise, before anything is spent."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AllowMissing, AsJson, Folder, emit, next_step, open_project
from bakeoff.cli.terminal import write_text

if TYPE_CHECKING:
    from bakeoff.report.checks import ModelCheck

__all__ = ["add_to"]

HERE = Path()
GATE_FAILED = 3


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (check, advise):
        app.command()(command)


def check(
    *,
    candidate: Annotated[
        str | None, typer.Option(metavar="NAME", help="Check this candidate instead of the winner.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Check a registered version (NAME/2, 2, an alias) as it is.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail, too, what cannot be compared.")] = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write Markdown, for a pull request.")] = None,
    allow_missing: AllowMissing = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """The gate for CI: would this project pass its gates and match the champion? Nothing is released.

    For example: bakeoff check --junit check.xml --markdown check.md
    """
    from bakeoff.cli.render import check_page
    from bakeoff.report.checks import checks_markdown
    from bakeoff.report.checks import junit as as_junit

    try:
        with open_project(folder) as project:
            found = project.check(candidate=candidate, model=model, strict=strict, allow_missing=allow_missing)
    except BaseException as error:
        _write(_of_error(error, junit, markdown))
        raise
    files = {file: make(found) for file, make in ((junit, as_junit), (markdown, checks_markdown)) if file is not None}
    _write(files)
    if as_json:
        emit({**found.to_json(), "files": [str(file) for file in files]})
    else:
        typer.echo(check_page(found))
        next_step("run" if found.passed else "report", folder)
    _end(found, allow_missing=allow_missing)


def _of_error(error: BaseException, junit: Path | None, markdown: Path | None) -> Mapping[Path, str]:
    """The files of a check that could not be made: a server that finds none would show the last ones, or nothing."""
    from bakeoff.cli.failures import described
    from bakeoff.report.checks import error_junit, error_markdown

    kind, message, _ = described(error)
    return {
        file: make(kind, message)
        for file, make in ((junit, error_junit), (markdown, error_markdown))
        if file is not None
    }


def _write(files: Mapping[Path, str]) -> None:
    for file, text in files.items():
        write_text(file, text)
        typer.echo(f"wrote {file}", err=True)


def _end(found: "ModelCheck", *, allow_missing: bool) -> None:
    failed = [] if allow_missing or found.bake_off is None else [each.name for each in found.bake_off.failed]
    if failed:
        typer.echo(f"error: CandidateError: failed: {', '.join(failed)}; --allow-missing lets a check pass", err=True)
    if not found.passed:
        typer.echo(f"error: GateError: failed: {'; '.join(found.failing)}", err=True)
        raise typer.Exit(GATE_FAILED)
    if failed:
        raise typer.Exit(1)


def advise(
    *,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", metavar="SECONDS", help="Seconds for trying candidates out, in all.", min=1.0, max=3600.0
        ),
    ] = 20.0,
    again: Annotated[
        bool, typer.Option("--again", help="Try them out again, even if nothing changed since the last time.")
    ] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """What to try on this data and machine, and why: from a short probe, before anything is spent.

    For example: bakeoff advise --seconds 60
    """
    with open_project(folder) as project:
        advice = project.advise(seconds=seconds, again=again)
    if as_json:
        emit(advice.to_json())
    else:
        from bakeoff.cli.render import advice_page

        typer.echo(advice_page(advice))
        next_step("run", folder)
