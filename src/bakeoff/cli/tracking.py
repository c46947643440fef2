"""Commands around tracking: the server that other tools log to."""

import contextlib
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, open_project, project_folder

if TYPE_CHECKING:
    from bakeoff.core.protocols import BlobStore, RecordStore

__all__ = ["add_to"]

HERE = Path()
PORT = 5000
RECORDS, BLOBS = "sqlite:///.bakeoff/records.db", "file://.bakeoff/blobs"


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command()(ui)


def ui(
    *,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 for any free one.")] = PORT,
    records: Annotated[str | None, typer.Option(metavar="URL", help="Records elsewhere than in the project.")] = None,
    blobs: Annotated[str | None, typer.Option(metavar="URL", help="Blobs elsewhere than in the project.")] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where clients write artifacts themselves; by default they send them."),
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Serve tracking to MLflow clients and OpenTelemetry exporters until interrupted.

    For example: bakeoff ui --port 5000
    """
    from bakeoff.web.server import Server, local_hosts
    from bakeoff.web.tracking.app import create_tracking_app
    from bakeoff.web.tracking.context import PROXIED, Tracking

    with _stores(folder, records, blobs) as (record_store, blob_store), _scratch() as scratch:
        tracking = Tracking(
            records=record_store, blobs=blob_store, clock=_now_ms, scratch=scratch, root=artifacts or f"{PROXIED}/"
        )
        tracking.prepare()
        server = Server(create_tracking_app(tracking, hosts=local_hosts(host)), host, port)

        def ready() -> None:
            if as_json:
                emit({"url": server.url})
            else:
                typer.echo(f"tracking at {server.url} (Ctrl-C ends it): export MLFLOW_TRACKING_URI={server.url}")

        server.serve_forever(on_ready=ready)


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000


@contextlib.contextmanager
def _stores(folder: Path, records: str | None, blobs: str | None) -> "Generator[tuple[RecordStore, BlobStore]]":
    """The stores of the project, or where there is none, those that stand in its place."""
    from bakeoff.config.file import FILE_NAME
    from bakeoff.project import wiring

    if records is None and blobs is None and (project_folder(folder) / FILE_NAME).exists():
        with open_project(folder) as project:
            yield project.records, project.blobs
        return
    opened = wiring.open_stores(folder.resolve(), records or RECORDS, blobs or BLOBS, _now_ms)
    try:
        yield opened
    finally:
        opened[0].close()


@contextlib.contextmanager
def _scratch() -> Generator[Path]:
    """A folder for files on their way, which nobody else reads."""
    made = Path(tempfile.mkdtemp(prefix="bakeoff-ui-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
