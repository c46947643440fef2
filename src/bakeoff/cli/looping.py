"""`bakeoff loop`: the daemon or one turn, what it did and why, and a person's word to it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project, show_progress
from bakeoff.cli.root import CommandGroup
from bakeoff.core.errors import BakeoffError

if TYPE_CHECKING:
    from bakeoff.loop.cycle import Cycle
    from bakeoff.loop.retrain import LoopTurn

__all__ = ["add_to"]

HERE = Path()
GATE_FAILED = 3
Why = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the cycle and the audit log.")]


def add_to(app: typer.Typer) -> None:
    """Add the group `loop` to the app; alone, it is the daemon."""
    group = typer.Typer(name="loop", cls=CommandGroup, invoke_without_command=True, rich_markup_mode=None)
    group.callback()(loop)
    for command in (status, explain, approve, reject, replay):
        group.command()(command)
    app.add_typer(group)


def loop(
    context: typer.Context,
    *,
    once: Annotated[bool, typer.Option("--once", help="Take one turn and end.")] = False,
    every_s: Annotated[float, typer.Option(metavar="SECONDS", help="Seconds between turns.", min=1.0)] = 60.0,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Watch what is served; when the policy in [loop] has reason to, take the feedback in, run again, and release.

    For example: bakeoff loop --once
    """
    if context.invoked_subcommand is not None:
        return
    while not once:  # what goes wrong in a turn is written down in its cycle, and the next turn may do better
        try:
            _shown(_turn(folder), as_json=as_json)
        except BakeoffError as error:
            show_progress(f"error: {type(error).__name__}: {error}")
        time.sleep(every_s)
    turn = _turn(folder)
    _shown(turn, as_json=as_json)
    if not as_json:
        next_step("loop explain" if turn.cycle else "status", folder)
    if turn.blocked is not None:
        typer.echo(f"not released: {turn.blocked}", err=True)
        raise typer.Exit(GATE_FAILED)
    if turn.outcome is not None:
        from bakeoff.cli.lifecycle import end_of_run

        end_of_run(turn.outcome.results, allow_missing=True)


def _turn(folder: Path) -> "LoopTurn":
    with open_project(folder) as project:
        return project.loop_once()


def _shown(turn: "LoopTurn", *, as_json: bool) -> None:
    from bakeoff.cli.render import turn_json, turn_page

    if as_json:
        emit(turn_json(turn))
    else:
        typer.echo(turn_page(turn))


def status(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Where the loop stands: the open cycle, what holds a run back, what was spent, the last cycles.

    For example: bakeoff loop status
    """
    with open_project(folder) as project:
        standing = project.cycles.status()
    if as_json:
        emit(standing.to_json())
        return
    from bakeoff.cli.loop_page import status_page

    typer.echo(status_page(standing))
    waits = standing.cycle is not None and standing.cycle.state == "approval"
    next_step("loop approve" if waits else "loop explain" if standing.recent else "loop --once", folder)


def explain(
    number: Annotated[
        int | None, typer.Argument(metavar="[CYCLE]", help="The number of a cycle; the last one by default.")
    ] = None,
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """The story of a cycle: what began it, every decision, by whom, and what it rests on.

    For example: bakeoff loop explain 3
    """
    with open_project(folder) as project:
        cycle = project.cycles.get(number)
    _print(cycle, as_json=as_json)


def approve(*, why: Why = "", folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Release the winner that waits for a person.

    For example: bakeoff loop approve --why "looked at the slices"
    """
    with open_project(folder) as project:
        cycle = project.cycles.approve(why=why)
    _print(cycle, as_json=as_json)


def reject(*, why: Why = "", folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Let the champion stay instead of the winner that waits for a person.

    For example: bakeoff loop reject --why "the new slice is worse"
    """
    with open_project(folder) as project:
        cycle = project.cycles.reject(why=why)
    _print(cycle, as_json=as_json)


def replay(
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="The past, with the project's columns; its own source by default."),
    ] = None,
    *,
    by: Annotated[str, typer.Option(metavar="COLUMN", help="A column of times; or one whose values are the periods.")],
    every: Annotated[str, typer.Option(metavar="PERIOD", help="How long a period of times is.")] = "1mo",
    start: Annotated[
        str | None,
        typer.Option(metavar="PERIOD", help="The first that is replayed; by default half are known before."),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Score answers by it instead of the target; no model sees it."),
    ] = None,
    tune: Annotated[bool, typer.Option("--tune", help="Propose a policy for this past.")] = False,
    beside: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A project file whose [loop] and [monitor] are tried beside the project's."),
    ] = None,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the chart of quality over time.")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Run the policy over the past, beside never retraining, always, and the best in hindsight: quality, cost, alarms.

    For example: bakeoff loop replay --by departure --every 1mo --start 2013-08
    """
    with open_project(folder) as project:
        result = project.cycles.replay(data, by=by, every=every, start=start, truth=truth, tune=tune, beside=beside)
    if png is not None:
        from bakeoff.actions.loop_replay import chart

        chart(result).save(png)
    if as_json:
        emit({**result.to_json(), "files": [str(png)] if png else []})
        return
    from bakeoff.cli.loop_replay_page import replay_page

    typer.echo(replay_page(result))
    if png is not None:
        typer.echo(f"wrote {png}", err=True)


def _print(cycle: "Cycle", *, as_json: bool) -> None:
    if as_json:
        emit(cycle.to_json())
    else:
        typer.echo(cycle.story)
