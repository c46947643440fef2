"""Commands about signals: look, silence and test alerts, what Prometheus and Grafana need, two tables compared."""

from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project
from bakeoff.cli.root import CommandGroup
from bakeoff.core.moments import moment

__all__ = ["add_to"]

HERE = Path()
MOST_HOURS = 100 * 365 * 24


def add_to(app: typer.Typer) -> None:
    """Add the group `monitor` to the app; alone, it looks."""
    group = typer.Typer(name="monitor", cls=CommandGroup, invoke_without_command=True, rich_markup_mode=None)
    group.callback()(monitor)
    for command in (silence, metrics, compare):
        group.command()(command)
    group.command("dashboards")(export_dashboards)
    app.add_typer(group)


def monitor(
    context: typer.Context,
    *,
    since_ms: Annotated[
        int | None,
        typer.Option(
            metavar="MS", help="Start of the window, in milliseconds since 1970 (UTC); [monitor] windows by default."
        ),
    ] = None,
    until_ms: Annotated[int | None, typer.Option(metavar="MS", help="End of the window; now by default.")] = None,
    test_fire: Annotated[
        bool, typer.Option("--test-fire", help="Tell all of [alerts.to] of an alert that is none, and look at nothing.")
    ] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Signals of the live release: drift, quality, latency, errors, volume; commands about alerts.

    For example: bakeoff monitor
    """
    from bakeoff.cli.render import signals_page
    from bakeoff.monitor.signals import to_json

    if context.invoked_subcommand is not None:
        return
    with open_project(folder) as project:
        if test_fire:
            outcomes = project.test_alerts()
            if as_json:
                emit({"targets": outcomes})
            else:
                lines = [f"{name}: {problem or 'delivered'}" for name, problem in outcomes.items()]
                typer.echo("\n".join(lines) or "nobody is told: [alerts.to] names no target")
            raise typer.Exit(int(any(outcomes.values())))
        report = project.monitor(since_ms=since_ms, until_ms=until_ms)
    if as_json:
        emit(to_json(report))
    else:
        typer.echo(signals_page(report))
        next_step("loop --once", folder)


def silence(
    rule: Annotated[str, typer.Argument(help='A rule of [alerts.rules], a signal, or a pattern as "*".')],
    *,
    hours: Annotated[float, typer.Option(min=0, max=MOST_HOURS, metavar="N", help="For how long; 0 ends it.")] = 24.0,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Tell nobody of an alert for a while; it goes on all the same, and signals show it.

    For example: bakeoff monitor silence drift --hours 8
    """
    with open_project(folder) as project:
        until_ms = project.silence(rule, hours=hours)
    if as_json:
        emit({"rule": rule, "until_ms": until_ms})
    else:
        typer.echo(f"{rule!r} is silent no more" if hours == 0 else f"{rule!r} is silent until {moment(until_ms)}")


def metrics(*, folder: Folder = HERE) -> None:
    """The newest signals in Prometheus' text format, as for the textfile collector of its node exporter.

    For example: bakeoff monitor metrics
    """
    with open_project(folder) as project:
        typer.echo(project.signal_metrics(), nl=False)


def export_dashboards(
    where: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the files go.")] = Path("dashboards"),
    *,
    as_json: AsJson = False,
) -> None:
    """Write a dashboard for Grafana and rules of alerts for Prometheus.

    For example: bakeoff monitor dashboards grafana
    """
    from bakeoff.monitor.dashboards import write

    files = [str(path) for path in write(where)]
    if as_json:
        emit({"files": files})
    else:
        typer.echo("\n".join(files))


def compare(
    reference: Annotated[Path, typer.Argument(help="A table that rows were like (Parquet or CSV).")],
    current: Annotated[Path, typer.Argument(help="A table that they are like now.")],
    *,
    as_json: AsJson = False,
) -> None:
    """How far each column of a table lies from that of another: PSI, KS, Wasserstein, Jensen-Shannon, chi-square.

    For example: bakeoff monitor compare last-month.parquet this-month.parquet
    """
    from bakeoff.metrics.distances import compare_files

    distances = compare_files(reference, current)
    if as_json:
        emit({"columns": {name: each.to_json() for name, each in distances.items()}})
        return
    from bakeoff.cli.tables import table

    heads = ["psi", "ks", "wasserstein", "js", "chi2", "p"]
    rows = [[name, *(_number(getattr(each, head)) for head in heads)] for name, each in distances.items()]
    typer.echo(table(["column", *heads], rows, right=heads))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
