"""Commands that look things up and look after what is stored: runs, config, doctor, verify, gc, expire."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project, project_folder
from bakeoff.cli.root import CommandGroup
from bakeoff.config.duration import FOREVER, seconds
from bakeoff.core.errors import UsageError
from bakeoff.core.moments import moment

if TYPE_CHECKING:
    from bakeoff.core.retention import Expiry

__all__ = ["add_to"]

HERE = Path()
MOST_RUNS = 20


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.add_typer(runs, name="runs")
    for command in (explain, config, doctor, verify, gc, expire):
        app.command()(command)


runs = typer.Typer(cls=CommandGroup, invoke_without_command=True, no_args_is_help=False)


@runs.callback()
def list_runs(
    context: typer.Context,
    *,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="How many; 20 by default.", min=1, max=1_000_000)
    ] = None,
    aggregate: Annotated[
        bool, typer.Option("--aggregate", help="Runs that differ in their seeds alone together: means, intervals.")
    ] = False,
    metric: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Metrics of --aggregate; all.")] = None,
    over: Annotated[
        list[str] | None, typer.Option(metavar="PARAM", help="Params that are seeds for --aggregate, if not so called.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--filter", metavar="TEXT", help="For --aggregate, as MLflow has them.")
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Tracked runs, newest first. With show or compare: what one found, or how two differ.

    For example: bakeoff runs --limit 5
    """
    from msgspec import to_builtins

    if context.invoked_subcommand is not None:
        return
    if aggregate:
        if limit is not None:
            raise UsageError("--aggregate takes all runs: expected no --limit beside it; --filter chooses among them")
        _over_seeds(folder, metric or (), over or (), where, as_json=as_json)
        return
    if metric or over or where:
        raise UsageError("--metric, --over and --filter: expected --aggregate beside them")
    with open_project(folder) as project:
        found = project.runs(limit=MOST_RUNS if limit is None else limit)
    if as_json:
        emit({"runs": to_builtins(found)})
    else:
        from bakeoff.cli.render import runs_page

        typer.echo(runs_page(found))
        next_step(f"runs show {found[0].parent_id or found[0].run_id}" if found else "run", folder)


def _over_seeds(folder: Path, metrics: Sequence[str], over: Sequence[str], where: str | None, *, as_json: bool) -> None:
    """Means over seeds, of a project or a store without one."""
    from bakeoff.actions.runs_table import runs_over_seeds
    from bakeoff.cli.question_pages import means_page
    from bakeoff.cli.stores import stores

    with stores(folder) as opened:
        means = runs_over_seeds(opened.records, metrics=metrics, over=over, where=where)
    if as_json:
        emit({"means": means.table.to_dicts(), "over": means.over, "unfinished": means.unfinished})
    else:
        typer.echo(means_page(means))


@runs.command()
def show(
    run: Annotated[
        str, typer.Argument(help="The id of a run, or its beginning. The run of a candidate stands for its bake-off.")
    ],
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Everything that a bake-off run found.

    For example: bakeoff runs show 3f2a
    """
    with open_project(folder) as project:
        outcome = project.outcome(run)
    if as_json:
        emit(outcome.to_json())
    else:
        from bakeoff.cli.run_page import full_report

        typer.echo(full_report(outcome))


@runs.command()
def compare(
    first: Annotated[str, typer.Argument(help="The id of a run, or how it starts.")],
    second: Annotated[str, typer.Argument(help="The run that it is compared with.")],
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """What differs between two runs: data, parameters, scores (paired, where the test rows are the same), verdicts.

    For example: bakeoff runs compare 3f2a 91bc
    """
    with open_project(folder) as project:
        comparison = project.compare_runs(first, second)
    if as_json:
        emit(comparison.to_json())
    else:
        from bakeoff.cli.run_page import comparison_page

        typer.echo(comparison_page(comparison))


def explain(
    what: Annotated[
        str | None,
        typer.Argument(metavar="[ROW|ID]", help="A row as JSON, or the id of a prediction; without, the last run."),
    ] = None,
    *,
    model: Annotated[
        str | None, typer.Option(help="A candidate, NAME/2, 2 or an alias; the champion by default.")
    ] = None,
    paid: Annotated[
        bool, typer.Option("--paid", help="Ask even a service that takes money for each answer, hundreds of times.")
    ] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Why one row is answered as it is; or what matters to the candidates of the last run.

    For example: bakeoff explain '{"review": "a delight"}'
    """
    from dataclasses import asdict

    from bakeoff.cli.explain_page import outcome_page, row_page
    from bakeoff.cli.options import json_rows
    from bakeoff.core.errors import UsageError

    if what is None and (model is not None or paid):
        received = "--paid" if model is None else f"--model {model}"
        raise UsageError(f"expected a row or the id of a prediction beside {received}, received none: name one of them")
    with open_project(folder) as project:
        if what is None:
            outcome = project.outcome()
            if as_json:
                emit({"explanations": outcome.to_json().get("explanations", [])})
            else:
                typer.echo(outcome_page(outcome))
            return
        if what.lstrip().startswith("{"):
            explained = project.explain(json_rows(what, "a row")[0], model=model, paid=paid)
        else:
            explained = project.explain(prediction=what, model=model, paid=paid)
    if as_json:
        emit(asdict(explained))
    else:
        typer.echo(row_page(explained))


def config(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Every setting and where it came from.

    For example: bakeoff config
    """
    with open_project(folder) as project:
        settings = project.settings()
    if as_json:
        emit({item.key: {"value": item.value, "origin": item.origin} for item in settings})
    else:
        from bakeoff.cli.render import settings_page

        typer.echo(settings_page(settings))
        next_step("run", folder)


def verify(
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired; put the rest aside.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Compare all that is stored with its checksums: records, blobs, events and caches.

    For example: bakeoff verify --repair
    """
    from dataclasses import asdict

    with open_project(folder) as project:
        damages = project.verify(repair=repair)
    if as_json:
        emit({"damages": [asdict(each) for each in damages]})
    else:
        from bakeoff.cli.render import damages_page

        typer.echo(damages_page(damages))
        next_step("run" if repair or not damages else "verify --repair", folder)
    if not all(each.repaired for each in damages):
        raise typer.Exit(1)


def gc(
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; without this it is only counted.")] = False,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="Spare what was stored within this time, such as 30m or 24h.")
    ] = "24h",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Count stored content that no record needs any more, or delete it.

    For example: bakeoff gc --delete
    """
    from dataclasses import asdict

    with open_project(folder) as project:
        found = project.collect(grace_s=seconds(grace), delete=delete)
    if as_json:
        emit(asdict(found))
    elif delete:
        typer.echo(f"{found.deleted / 1e6:,.1f} MB freed.")
    else:
        typer.echo(f"{found.bytes / 1e6:,.1f} MB are needed by nothing; --delete frees them.")
        next_step("gc --delete", folder)


def expire(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing: say what would go.")] = False,
    gently: Annotated[bool, typer.Option(hidden=True)] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Remove predictions from the log that are older than [endpoint] keep; a server does so by itself.

    For example: bakeoff expire --dry-run
    """
    from msgspec import to_builtins

    if gently:
        os.nice(19)  # whoever serves beside it goes first
    with open_project(folder) as project:
        result = project.expire(look=dry_run)
        times = {project.served(name).keep for name in (project.endpoint, *project.config.endpoints)}
    if as_json:
        emit(to_builtins(result))
        return
    if times == {FOREVER}:
        typer.echo('all predictions stay: [endpoint] keep = "90d" would let older ones go')
        return
    typer.echo(_expiry_page(result, dry_run=dry_run))
    if dry_run and result.events:
        next_step("expire", folder)


def _expiry_page(result: "Expiry", *, dry_run: bool) -> str:
    counted = {
        "predictions": result.predictions,
        "copies that shadows answered": result.shadows,
        "failed calls": result.failures,
        "pieces of feedback": result.feedback,
        "keys": result.keys,
    }
    lines = ["nothing is past its retention"]
    if result.first_ms is not None and result.last_ms is not None:
        what = ", ".join(f"{count:,} {name}" for name, count in counted.items() if count)
        times = f"{moment(result.first_ms)} to {moment(result.last_ms)}"
        lines = [f"{what} of {times} ({result.bytes / 1e6:,.1f} MB) {'would go' if dry_run else 'are gone'}"]
    if result.spared:
        lines.append(f"{result.spared:,} older predictions stay: people said something of them, or are asked to")
    if result.waiting:
        lines.append(f"{result.waiting:,} more are in a file that a server writes to: they go when it has closed it")
    return "\n".join([*lines, *result.notes])


def doctor(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Check this installation, and the project if there is one: versions, extras, families, stores.

    For example: bakeoff doctor
    """
    from bakeoff.config.file import FILE_NAME

    folder = project_folder(folder)
    if (folder / FILE_NAME).exists() or folder != HERE:
        with open_project(folder) as project:
            diagnosis = project.doctor()
    else:
        from bakeoff.actions.doctor import examine_installation

        diagnosis = examine_installation()
    if as_json:
        emit(diagnosis.to_json())
    else:
        from bakeoff.cli.render import checks_page

        typer.echo(checks_page(diagnosis))
    if not diagnosis.ok:
        raise typer.Exit(1)
