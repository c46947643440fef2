"""Commands around tracking: the server that other tools log to."""

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit
from bakeoff.cli.stores import stores

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
    """Serve the project's pages, and tracking to MLflow clients and OpenTelemetry exporters, until interrupted.

    For example: bakeoff ui --port 5000
    """
    from bakeoff.project import wiring
    from bakeoff.web.pages.app import Pages
    from bakeoff.web.people import access, hosts
    from bakeoff.web.server import Server
    from bakeoff.web.tracking.app import create_tracking_app
    from bakeoff.web.tracking.context import PROXIED, Tracking
    from bakeoff.web.tracking.prices import PriceTable

    given = {name: url for name, url in (("records", records), ("blobs", blobs)) if url is not None}
    with (
        stores(folder, given) as opened,
        tempfile.TemporaryDirectory(prefix="bakeoff-ui-", ignore_cleanup_errors=True) as scratch,
    ):
        tracking = Tracking(
            records=opened.records,
            blobs=opened.blobs,
            clock=wiring.now_ms,
            scratch=Path(scratch),
            root=artifacts or f"{PROXIED}/",
            prices=PriceTable.standard(opened.config),
        )
        tracking.prepare()
        encrypted = wiring.certificate(opened.tls, opened.folder)
        tokens, people = access(opened, secure=encrypted is not None)
        pages = Pages(tracking, opened.project)
        app = create_tracking_app(
            tracking,
            hosts=hosts(host, opened.auth),
            authenticator=tokens,
            pages=[*pages.routes(), *([] if people is None else people.routes())],
        )
        server = Server(app, host, port, authenticated=tokens is not None, tls=encrypted)

        def ready() -> None:
            if as_json:
                emit({"url": server.url})
            else:
                typer.echo(
                    f"pages and tracking at {server.url} (Ctrl-C ends it): export MLFLOW_TRACKING_URI={server.url}"
                )
            pages.warm()

        with closing(pages):
            server.serve_forever(on_ready=ready)
