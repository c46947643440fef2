"""`bakeoff up`: the endpoints, tracking and the loop of a project, side by side."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, open_project

__all__ = ["add_to"]

HERE = Path()
PORT = 5000


def add_to(app: typer.Typer) -> None:
    """Add the command `up` to the app."""
    app.command()(up)


def up(
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Of the endpoints; [endpoint] port by default, 0 for any."),
    ] = None,
    ui_port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="Of tracking; 0 for any.")] = PORT,
    every_s: Annotated[float, typer.Option(metavar="SECONDS", help="Seconds between turns of the loop.", min=1.0)] = 60,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Serve the endpoints, serve tracking and run the loop, until interrupted; what dies is started again.

    For example: bakeoff up --ui-port 5000
    """
    from bakeoff.web.together import Together

    with open_project(folder) as project:
        place, listens = str(project.folder), project.config.endpoint.port if port is None else port
    program = [sys.executable, "-m", "bakeoff"]
    commands = {
        "serve": [*program, "serve", "--port", str(listens), "--json", "-C", place],
        "ui": [*program, "ui", "--port", str(ui_port), "--json", "-C", place],
        "loop": [*program, "loop", "--every-s", str(every_s), "--json", "-C", place],
    }

    def on_line(name: str, line: str) -> None:
        try:
            document = json.loads(line)
        except ValueError:
            document = {"line": line}
        if as_json:
            emit({"from": name, **document} if isinstance(document, dict) else {"from": name, "line": line})
        else:
            typer.echo(f"{name:<6} {_sentence(document)}")

    Together(commands, on_line).run()


def _sentence(document: object) -> str:
    """What a part wrote, as a person reads it."""
    if not isinstance(document, dict):
        return str(document)
    if "url" in document:
        return f"at {document['url']}"
    if "error" in document:
        return f"error: {document['error'].get('message')}"
    if "triggers" in document:
        run = " and ran" if document.get("run") else ""
        return f"{len(document['triggers'])} reasons to retrain, {document.get('taken_in') or 0} labels taken in{run}"
    return str(document.get("line", document))
