"""Commands around tracking: the server that other tools log to."""

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, open_project, project_folder

if TYPE_CHECKING:
    from bakeoff.config.sections import AuthConfig, TlsConfig
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
    from bakeoff.web.auth import TokenAuthenticator
    from bakeoff.web.server import Server, local_hosts
    from bakeoff.web.tracking.app import create_tracking_app
    from bakeoff.web.tracking.context import PROXIED, Tracking

    given = {name: url for name, url in (("records", records), ("blobs", blobs)) if url is not None}
    with (
        _stores(folder, given) as (record_store, blob_store, auth, tls),
        tempfile.TemporaryDirectory(prefix="bakeoff-ui-", ignore_cleanup_errors=True) as scratch,
    ):
        tracking = Tracking(
            records=record_store,
            blobs=blob_store,
            clock=wiring.now_ms,
            scratch=Path(scratch),
            root=artifacts or f"{PROXIED}/",
        )
        tracking.prepare()
        tokens = wiring.authenticator(auth, record_store.documents, wiring.now_ms)
        app = create_tracking_app(
            tracking, hosts=local_hosts(host), authenticator=tokens and TokenAuthenticator(tokens)
        )
        encrypted = wiring.certificate(tls, project_folder(folder))
        server = Server(app, host, port, authenticated=tokens is not None, tls=encrypted)

        def ready() -> None:
            if as_json:
                emit({"url": server.url})
            else:
                typer.echo(f"tracking at {server.url} (Ctrl-C ends it): export MLFLOW_TRACKING_URI={server.url}")

        server.serve_forever(on_ready=ready)


@contextlib.contextmanager
def _stores(folder: Path, given: dict[str, str]) -> "Generator[tuple[RecordStore, BlobStore, AuthConfig, TlsConfig]]":
    """The project's stores and who may use them; without a project, what stands in their place. `given` are others."""
    from bakeoff.config.file import FILE_NAME, load
    from bakeoff.config.sections import AuthConfig, StoreConfig, TlsConfig
    from bakeoff.project import wiring

    folder = project_folder(folder)
    is_project = (folder / FILE_NAME).exists()
    if is_project and not given:
        with open_project(folder) as project:
            yield project.records, project.blobs, project.config.auth, project.config.tls
        return
    config = load(folder).config if is_project else None
    stated = (config.store if config else StoreConfig()).model_copy(update=given)
    auth, tls = (config.auth, config.tls) if config else (AuthConfig(), TlsConfig())
    records, blobs = wiring.open_stores(folder.resolve(), stated.records, stated.blobs, wiring.now_ms)
    try:
        yield records, blobs, auth, tls
    finally:
        records.close()
