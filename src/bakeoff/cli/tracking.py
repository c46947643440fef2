"""Commands around tracking: the server that other tools log to."""

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, open_project, project_folder

if TYPE_CHECKING:
    from bakeoff.config.sections import Config
    from bakeoff.core.protocols import BlobStore, RecordStore

__all__ = ["add_to"]

HERE = Path()
PORT = 5000


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
    from bakeoff.project import wiring
    from bakeoff.web.server import Server, local_hosts
    from bakeoff.web.tracking.app import create_tracking_app
    from bakeoff.web.tracking.context import PROXIED, Tracking
    from bakeoff.web.tracking.prices import PriceTable

    given = {name: url for name, url in (("records", records), ("blobs", blobs)) if url is not None}
    with (
        _stores(folder, given) as (record_store, blob_store, config),
        tempfile.TemporaryDirectory(prefix="bakeoff-ui-", ignore_cleanup_errors=True) as scratch,
    ):
        tracking = Tracking(
            records=record_store,
            blobs=blob_store,
            clock=wiring.now_ms,
            scratch=Path(scratch),
            root=artifacts or f"{PROXIED}/",
            prices=PriceTable.standard(config),
        )
        tracking.prepare()
        server = Server(create_tracking_app(tracking, hosts=local_hosts(host)), host, port)

        def ready() -> None:
            if as_json:
                emit({"url": server.url})
            else:
                typer.echo(f"tracking at {server.url} (Ctrl-C ends it): export MLFLOW_TRACKING_URI={server.url}")

        server.serve_forever(on_ready=ready)


@contextlib.contextmanager
def _stores(folder: Path, given: dict[str, str]) -> "Generator[tuple[RecordStore, BlobStore, Config | None]]":
    """The stores of the project with its settings, or where there is none, those that stand in its place.

    `given` are other stores.
    """
    from bakeoff.config.file import FILE_NAME, load
    from bakeoff.config.sections import StoreConfig
    from bakeoff.project import wiring

    folder = project_folder(folder)
    is_project = (folder / FILE_NAME).exists()
    if is_project and not given:
        with open_project(folder) as project:
            yield project.records, project.blobs, project.config
        return
    config = load(folder).config if is_project else None
    stated = (StoreConfig() if config is None else config.store).model_copy(update=given)
    records, blobs = wiring.open_stores(folder.resolve(), stated.records, stated.blobs, wiring.now_ms)
    try:
        yield records, blobs, config
    finally:
        records.close()
