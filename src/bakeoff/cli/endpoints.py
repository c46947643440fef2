"""Commands about endpoints: what is released on them, and how that is changed."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project
from bakeoff.cli.root import CommandGroup

if TYPE_CHECKING:
    from bakeoff.loop.rollout import Rollout
    from bakeoff.project.endpoints import EndpointStatus, ProjectEndpoints

__all__ = ["add_to"]

HERE = Path()
Name = Annotated[str | None, typer.Argument(metavar="[ENDPOINT]", help="The endpoint; the project's own by default.")]
Model = Annotated[
    str, typer.Argument(help='A model version ("name/2", "2"), an alias, a candidate of the last run, or a release id.')
]
On = Annotated[
    str | None, typer.Option("--endpoint", "-e", metavar="NAME", help="The endpoint; the project's own by default.")
]
Why = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the endpoint's history.")]


def add_to(app: typer.Typer) -> None:
    """Add the group `endpoints` to the app; alone, it lists them."""
    group = typer.Typer(name="endpoints", cls=CommandGroup, invoke_without_command=True, rich_markup_mode=None)
    group.callback()(endpoints)
    group.command("list")(list_endpoints)
    for command in (show, create, release, canary, shadow, promote, rollback, pause, resume, undo, steer):
        group.command()(command)
    app.add_typer(group)


def endpoints(context: typer.Context, *, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Endpoints and their routes: what answers, what is tried beside it; commands that change them.

    For example: bakeoff endpoints
    """
    if context.invoked_subcommand is None:
        list_endpoints(folder=folder, as_json=as_json)


def list_endpoints(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """All endpoints with what answers on them.

    For example: bakeoff endpoints list
    """
    with open_project(folder) as project:
        statuses = project.endpoints.all()
    if as_json:
        emit({"endpoints": [status.to_json() for status in statuses]})
        return
    from bakeoff.cli.tables import table

    rows = [
        [status.name, route.status, route.model_version, route.percent, "paused" if status.paused else ""]
        for status in statuses
        for route in status.routes
    ]
    rows += [[status.name, "upstream", each, "", ""] for status in statuses for each in status.upstreams]
    rows += [
        [status.name, "", "nothing released", "", ""]
        for status in statuses
        if not status.routes and not status.upstreams
    ]
    typer.echo(table(["endpoint", "role", "model", "share", ""], rows, right=["share"]) if rows else "no endpoint yet")
    next_step("endpoints show" if rows else "run", folder)


def show(name: Name = None, *, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """What answers on an endpoint, the evidence about what is tried beside it, and how much more it takes.

    For example: bakeoff endpoints show
    """
    _shown(folder, lambda endpoints: endpoints.show(name), as_json=as_json)


def create(
    name: Annotated[str, typer.Argument(metavar="ENDPOINT", help="The new endpoint's name.")],
    *,
    why: Why = "",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Make an endpoint; a server that runs serves it from now on, once something is released on it.

    For example: bakeoff endpoints create reviews-by-mail
    """
    _shown(folder, lambda endpoints: endpoints.create(name, why=why), as_json=as_json)


def release(model: Model, *, on: On = None, why: Why = "", folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Let a model answer everything, at once.

    For example: bakeoff endpoints release reviews/2 --why "the one before was better"
    """
    _shown(folder, lambda endpoints: endpoints.release(model, endpoint=on, why=why), as_json=as_json)


def canary(
    model: Model,
    *,
    share: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of the calls, over 0 and at most 1; [endpoint] canary_share by default."),
    ] = None,
    on: On = None,
    why: Why = "",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Let a model answer a share of the calls; it is promoted or rolled back by the evidence.

    For example: bakeoff endpoints canary reviews/3 --share 0.1
    """
    _shown(folder, lambda endpoints: endpoints.canary(model, share=share, endpoint=on, why=why), as_json=as_json)


def shadow(
    model: Model,
    *,
    share: Annotated[float, typer.Option(metavar="SHARE", help="Of the calls that are copied, over 0.")] = 1.0,
    on: On = None,
    why: Why = "",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Let a model answer copies of calls, for nobody; when it is shown to be no worse, it becomes a canary.

    For example: bakeoff endpoints shadow reviews/3
    """
    _shown(folder, lambda endpoints: endpoints.shadow(model, share=share, endpoint=on, why=why), as_json=as_json)


def promote(name: Name = None, *, why: Why = "", folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Let the canary (where there is none, the shadow) answer everything now, whatever the evidence.

    For example: bakeoff endpoints promote
    """
    _shown(folder, lambda endpoints: endpoints.promote(name, why=why), as_json=as_json)


def rollback(name: Name = None, *, why: Why = "", folder: Folder = HERE, as_json: AsJson = False) -> None:
    """End the canary and the shadow; where there are none, go back to what was live before.

    For example: bakeoff endpoints rollback --why "complaints"
    """
    _shown(folder, lambda endpoints: endpoints.rollback(name, why=why), as_json=as_json)


def pause(name: Name = None, *, why: Why = "", folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Let the live release answer everything, and decide nothing, until resume.

    For example: bakeoff endpoints pause
    """
    _shown(folder, lambda endpoints: endpoints.pause(name, why=why), as_json=as_json)


def resume(name: Name = None, *, why: Why = "", folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Go on after pause.

    For example: bakeoff endpoints resume
    """
    _shown(folder, lambda endpoints: endpoints.resume(name, why=why), as_json=as_json)


def undo(name: Name = None, *, why: Why = "", folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Bring back the routes that were there before the last change, whatever it was.

    For example: bakeoff endpoints undo
    """
    _shown(folder, lambda endpoints: endpoints.undo(name, why=why), as_json=as_json)


def steer(
    *,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    every: Annotated[float, typer.Option(metavar="SECONDS", help="How often to look.", min=0.1)] = 2.0,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Promote or roll back what is tried beside live releases, by the evidence; bakeoff serve does so by itself.

    For example: bakeoff endpoints steer --once
    """
    from dataclasses import asdict

    with open_project(folder) as project:
        waits = False
        while True:
            rollouts = project.endpoints.steer()
            until_ms = None if rollouts else project.endpoints.steered_until_ms
            if as_json:
                emit({"rollouts": [asdict(each) for each in rollouts], "steered_until_ms": until_ms})
            elif rollouts or once or (until_ms is not None and not waits):
                typer.echo("\n\n".join(map(_of_rollout, rollouts)) or _nothing_steered(until_ms))
            if once:
                return
            waits = until_ms is not None
            time.sleep(every)


def _nothing_steered(until_ms: int | None) -> str:
    if until_ms is None:
        return "nothing to steer"
    until = datetime.fromtimestamp(until_ms / 1000, UTC)
    return f"another steerer has the lease until {until:%H:%M:%S} (UTC): a server that runs, perhaps; it steers"


def _shown(folder: Path, change: "Callable[[ProjectEndpoints], EndpointStatus]", *, as_json: bool) -> None:
    with open_project(folder) as project:
        status = change(project.endpoints)
    if as_json:
        emit(status.to_json())
    else:
        typer.echo(_page(status))
        next_step("endpoints show" if status.rollouts else "serve", folder)


def _page(status: "EndpointStatus") -> str:
    from bakeoff.cli.tables import table

    head = f"endpoint {status.name!r}{': paused' if status.paused else ''}"
    routes = [[each.status, each.model_version, each.percent, each.release_id] for each in status.routes]
    upstreams = f"asks {', then '.join(status.upstreams)}" if status.upstreams else "nothing released"
    parts = [table(["role", "model", "share", "release"], routes, right=["share"]) if routes else upstreams]
    parts += map(_of_rollout, status.rollouts)
    changes = [
        [f"{datetime.fromtimestamp(each.time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}", each.what, each.who, each.why]
        for each in status.changes
    ]
    parts += [table(["when (UTC)", "change", "who", "why"], changes)] if changes else []
    return "\n\n".join([head, *parts])


def _of_rollout(rollout: "Rollout") -> str:
    lines = [f"{rollout.role} {rollout.model_version}: {rollout.action}; {rollout.reason}"]
    lines += [
        f"  {test.sentence}; evidence against it {_evidence(test.against, test.against_limit)}, for it "
        f"{_evidence(test.favour, test.favour_limit)}"
        for test in rollout.tests
        if test.calls or test.live_calls
    ]
    if rollout.differing is not None:
        lines.append(f"  answers: {rollout.differing:.1%} differ from the live ones")
    lines += [f"  note: {note}" for note in rollout.notes]
    return "\n".join(lines)


def _evidence(value: float, limit: float) -> str:
    return f"{value:.3g} of {limit:.0f}"
