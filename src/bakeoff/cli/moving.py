"""Commands that move what is stored: to other stores, and between bakeoff and MLflow."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project, show_progress
from bakeoff.cli.stores import stores
from bakeoff.cli.tables import table
from bakeoff.results.transfer import Transferred

__all__ = ["add_to"]

HERE = Path()
SHOWN = 20
Uri = Annotated[
    str, typer.Argument(metavar="URI", help="https://… of a server, sqlite:///mlflow.db, postgresql://…, or a folder.")
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (move, import_mlflow, export_mlflow):
        app.command(name=command.__name__.replace("_", "-"))(command)


def move(
    *,
    to: Annotated[Path, typer.Option(metavar="CONFIG", help="A file in TOML with the [store] to copy to.")],
    again: Annotated[
        bool, typer.Option("--again", help="Remove what the target's records hold, and copy them anew.")
    ] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Copy records, blobs and events to other stores, and check them there; the project's own stay as they are.

    For example: bakeoff move --to shared.toml
    """
    with open_project(folder) as project:
        done = project.move(to, again=again)
    if as_json:
        emit(done.to_json())
        return
    rows = [[each.table, f"{each.rows:,}", each.checksum] for each in done.records if each.rows]
    rows.append(["events", f"{done.events:,}", done.events_checksum])
    typer.echo(table(["table", "rows", "checksum on both sides"], rows, right=["rows"]))
    there = f"there already were {done.blobs_already:,} of them and {done.events_already:,} events"
    typer.echo(f"{done.blobs:,} blobs ({done.blob_bytes / 1e6:,.1f} MB) read back; {there}")
    typer.echo(f"now put the [store] of {to} into bakeoff.toml; the old stores are as they were")


def import_mlflow(uri: Uri, *, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Bring experiments, runs, artifacts, models and traces over from MLflow; again brings what is new.

    For example: bakeoff import-mlflow ./mlruns
    """
    from bakeoff.project.wiring import now_ms
    from bakeoff.web.tracking.context import Tracking
    from bakeoff.web.tracking.importing import Moment, import_store

    moment = Moment(now_ms)
    with stores(folder, clock=moment) as opened, tempfile.TemporaryDirectory(prefix="bakeoff-import-") as scratch:
        tracking = Tracking(records=opened.records, blobs=opened.blobs, clock=moment, scratch=Path(scratch))
        tracking.prepare()
        done = import_store(tracking, uri, moment, show_progress)
    _tell(done, as_json=as_json)
    if not as_json:
        next_step("ui", folder)


def export_mlflow(uri: Uri, *, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Take experiments, runs, artifacts, models and traces to MLflow; again takes what is new.

    For example: bakeoff export-mlflow https://mlflow.example.com
    """
    from bakeoff.project.wiring import now_ms
    from bakeoff.web.tracking.context import Tracking
    from bakeoff.web.tracking.exporting import export_store

    with stores(folder) as opened, tempfile.TemporaryDirectory(prefix="bakeoff-export-") as scratch:
        tracking = Tracking(records=opened.records, blobs=opened.blobs, clock=now_ms, scratch=Path(scratch))
        done = export_store(tracking, uri, show_progress)
    _tell(done, as_json=as_json)


def _tell(done: Transferred, *, as_json: bool) -> None:
    """The counts, and what was left out; exit code 1 if anything was."""
    if as_json:
        emit(done.to_json())
    else:
        rows = [[each.kind, f"{each.moved:,}", f"{each.already:,}", f"{each.left_out:,}"] for each in done.counts]
        heads = ["kind", "moved", "there already", "left out"]
        typer.echo(table(heads, rows, right=heads[1:]))
        for each in done.left_out[:SHOWN]:
            typer.echo(f"left out: {each.kind}: {each.name}: {each.reason}")
        if len(done.left_out) > SHOWN:
            typer.echo(f"… and {len(done.left_out) - SHOWN:,} more: --json lists them")
    if done.left_out:
        raise typer.Exit(1)
