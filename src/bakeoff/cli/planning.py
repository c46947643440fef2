"""`bakeoff plan`: what it takes to bear a load."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project

if TYPE_CHECKING:
    from bakeoff.results.capacity import CapacityPlan, LoadStep

__all__ = ["add_to"]

HERE = Path()
NOT_MET = 3


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(plan)


def plan(
    endpoint: Annotated[str | None, typer.Argument(help="The endpoint; the project's own by default.")] = None,
    *,
    rps: Annotated[float, typer.Option(metavar="NUMBER", help="Requests of one row a second.")],
    p99: Annotated[
        str, typer.Option(metavar="TIME", help="Within which time 99 of 100 are to be answered: 50ms, 1.5s.")
    ],
    step_s: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.5,
            help="How long each of some 14 steps of the load lasts; near the capacity up to six times that.",
        ),
    ] = 4.0,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Load the live release here, and say how many replicas bear a load, at what price; exit 3 when none can.

    For example: bakeoff plan --rps 500 --p99 50ms
    """
    from bakeoff.config.duration import milliseconds

    with open_project(folder) as project:
        made = project.plan(rps=rps, p99_ms=milliseconds(p99), endpoint=endpoint, seconds=step_s)
    if as_json:
        emit(made.to_json())
    else:
        typer.echo(_page(made))
        next_step("package --as k8s", folder)
    if made.replicas is None:
        raise typer.Exit(NOT_MET)


def _page(made: "CapacityPlan") -> str:
    from bakeoff.cli.tables import table

    law, most = made.scaling, made.capacity_s
    lines = [
        f"{made.model_version} on {made.endpoint!r}: {made.rps:g} requests a second, p99 {made.p99_limit_ms:g} ms",
        f"one replica answers at most {most.value:,.4g} a second {most.ends(',.4g')}; used up first: {made.saturates}",
        f"contention {law.contention.value:.3f} {law.contention.ends('.3f')}",
        f"coherency {law.coherency.value:.2g} {law.coherency.ends('.2g')}",
        f"most answers with {law.peak_callers} callers; the law is off by {law.misfit:.0%} at most",
        *_sized(made),
    ]
    heads = ["load", "answered/s", "p50 ms", "p99 ms", "failed", "cores"]
    shown = table(heads, [_row(each) for each in (*made.callers, *made.loads)], right=heads[1:])
    training = [
        f"a run like the last one on {each.nodes} nodes: {each.hours:.2g} hours, {each.price_usd:.2g} USD"
        for each in made.training
    ]
    notes = [f"note: {note}" for note in made.notes]
    return "\n\n".join(filter(None, ("\n".join(lines), shown, "\n".join([*training, *notes]))))


def _sized(made: "CapacityPlan") -> list[str]:
    if made.replicas is None or made.p99_ms is None:
        return ["the goal cannot be met: even with hardly any load one replica is slower; a faster model or machine is"]
    p99, cores = made.p99_ms, "an unknown part of a" if made.cores is None else f"{made.cores:.2f}"
    price = f"together {made.price_usd_month:,.2f} USD a month"
    lines = [
        f"{made.replicas} replicas of {made.per_replica_s:,.4g} a second: p99 {p99.value:.3g} ms {p99.ends('.3g')}",
        f"each takes {cores} core and {made.memory_mib or 'unknown'} MiB; {price}",
    ]
    if made.autoscaling is not None:
        of = made.autoscaling
        lines.append(
            f"autoscaling: {of.min_replicas} to {of.max_replicas} replicas at {of.cpu_utilisation_percent}% of "
            f"{of.cpu_request_millicores}m CPU, {of.memory_mib}Mi memory"
        )
    return lines


def _row(step: "LoadStep") -> list[str]:
    load = f"{step.callers} callers" if step.offered_s is None else f"{step.offered_s:,.4g}/s"
    cores = "" if step.cores is None else f"{step.cores:.2f}"
    return [load, f"{step.answered_s:,.4g}", f"{step.p50_ms:.3g}", f"{step.p99_ms:.3g}", f"{step.failed:,}", cores]
