"""Commands that watch a project: `top` in a terminal, `mcp` for agents."""

import sys
import time
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, open_project
from bakeoff.cli.terminal import Terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bakeoff.web.pages.overview import Picture

__all__ = ["add_to"]

HERE = Path()
BARS = " ▁▂▃▄▅▆▇█"
MOODS = {"good": "green", "warn": "yellow", "bad": "red"}


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command()(top)
    app.command("mcp")(serve_agents)


def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    every_s: Annotated[float, typer.Option(min=0.5, metavar="SECONDS", help="Seconds between two looks.")] = 2.0,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Show the loop in this terminal: each stage, live traffic, alerts, what comes next; until interrupted.

    For example: bakeoff top --once
    """
    from rich.console import Console
    from rich.live import Live

    from bakeoff.project import wiring
    from bakeoff.web.pages.overview import picture
    from bakeoff.web.pages.traffic import Traffic

    with open_project(folder) as project:
        traffic = Traffic(project.events, wiring.now_ms)

        def now() -> "Picture":
            return picture(project, traffic, wiring.now_ms())

        if as_json:
            first = now()
            rows = [each.rows for each in first.minutes]
            emit({"stages": [asdict(each) for each in first.stages], "next": dict(first.next), "rows": rows})
            return
        console = Console()
        if once or not console.is_terminal:
            console.print(_drawn(project.config.project.name, now()))
            return
        with Live(_drawn(project.config.project.name, now()), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(every_s)
                live.update(_drawn(project.config.project.name, now()), refresh=True)


def _drawn(name: str, now: "Picture") -> "RenderableType":
    """The picture as tables; what is from data is text, not markup."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    stages = Table(title=Text(name, style="bold"), title_justify="left", box=None, pad_edge=False)
    for head in ("", "stage", "state", ""):
        stages.add_column(head)
    for each in now.stages:
        colour = MOODS.get(each.mood, "dim")
        stages.add_row(Text("●", style=colour), each.name, Text(each.word, style="bold"), Text(each.line, style="dim"))
    most = max([each.rows + each.failed for each in now.minutes], default=0) or 1
    bars = Text("rows, last hour  ")
    for each in now.minutes:
        total = each.rows + each.failed
        bars.append(BARS[-(-total * (len(BARS) - 1) // most)], style="red" if each.failed else "blue")
    bars.append(f"  {sum(each.rows for each in now.minutes):,}")
    alerts = [
        Text(f"alert: {each.name} {each.value} (limit {each.limit})", style="red")
        for each in (now.signals.alerts if now.signals else ())
    ]
    coming = Table(title=Text("starts the next run", style="bold"), title_justify="left", box=None, show_header=False)
    for trigger, text in now.next:
        coming.add_row(Text(trigger), Text(text, style="dim"))
    return Group(stages, Text(), bars, *alerts, Text(), coming)


def serve_agents(
    *,
    may_run: Annotated[bool, typer.Option("--may-run", help="Agents may start runs, not only look.")] = False,
    folder: Folder = HERE,
) -> None:
    """Serve the project to agents by the Model Context Protocol on stdin and stdout (extra: mcp).

    For example: bakeoff mcp --may-run
    """
    from bakeoff.web.mcp import mcp_server

    plain = sys.stdout.below if isinstance(sys.stdout, Terminal) else sys.stdout
    with open_project(folder) as project, redirect_stdout(plain):
        mcp_server(project, may_run=may_run).run("stdio")
