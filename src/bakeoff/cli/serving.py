"""Commands around the endpoint: serve, predict."""

import contextlib
import gc
import json
import os
import socket
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, open_project
from bakeoff.core.errors import UsageError
from bakeoff.core.machine import cores

if TYPE_CHECKING:
    from bakeoff.project.project import Project
    from bakeoff.serve.plane import DataPlane

__all__ = ["add_to"]

HERE = Path()
SWITCH_S = 0.0005


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (serve, predict):
        app.command()(command)


def serve(
    *,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A loopback address; [endpoint] host by default.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="0 for any free one; [endpoint] port by default."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Processes that serve together, 0 for one a core; SIGHUP replaces them one by one."
        ),
    ] = 1,
    grpc_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Speak the Open Inference Protocol over gRPC there, too."),
    ] = None,
    listening: Annotated[int | None, typer.Option(hidden=True)] = None,
    measures: Annotated[Path | None, typer.Option(hidden=True)] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Serve the project's endpoints over HTTP until interrupted, and steer their rollouts.

    For example: bakeoff serve --port 8080
    """
    if workers != 1:
        if grpc_port is not None:
            raise UsageError(
                f"--grpc-port: expected --workers 1 beside it, received {workers}: one process listens there"
            )
        _serve_by_workers(workers or cores(), host, port, folder, as_json=as_json)
        return
    from bakeoff.web.auth import TokenAuthenticator
    from bakeoff.web.server import Server, local_hosts
    from bakeoff.web.serving.app import create_app
    from bakeoff.web.serving.tracing import SpanExporter
    from bakeoff.web.serving.turns import Pace
    from bakeoff.web.worker_measures import WorkerMeasures

    # The thread of the log wants the interpreter for a moment after each of its calls to the system; by default it
    # waits up to 5 ms for it each time while the loop is busy, and with it all answers whose records it writes.
    sys.setswitchinterval(SWITCH_S)
    with open_project(folder) as project:
        settings = project.config.endpoint
        address = host or settings.host
        tokens, tls = project.authenticator(), project.certificate()
        exporter = SpanExporter.of_environment(os.environ, service=project.config.project.name)
        plane, of_workers = project.plane(), None if measures is None else WorkerMeasures(measures)
        app = create_app(
            plane,
            project.feedback,
            hosts=local_hosts(address),
            model_names=settings.model_names,
            authenticator=tokens and TokenAuthenticator(tokens),
            pace=lambda name: Pace.of(project.served(name)),
            exporter=exporter,
            fine_tuning=project.fine_tuning,
            signals=project.signal_metrics,
            workers=of_workers,
        )
        listens = settings.port if port is None else port
        inherited = None if listening is None else socket.socket(fileno=listening)
        server = Server(
            app,
            address,
            listens,
            authenticated=tokens is not None,
            trusted_network=settings.trusted_network,
            tls=tls,
            listening=inherited,
        )
        with contextlib.ExitStack() as beside:
            ports = (
                {}
                if grpc_port is None
                else {"grpc_port": beside.enter_context(_grpc(project, plane, address, grpc_port))}
            )

            def ready() -> None:
                gc.freeze()  # modules and routes live as long as the process: no collection has to look at them
                if as_json:
                    emit({"endpoint": project.endpoint, "url": server.url, **ports})
                    return
                also = "".join(f", gRPC at port {each}" for each in ports.values())
                typer.echo(f"endpoint {project.endpoint!r} at {server.url}{also} (Ctrl-C ends it)")

            if exporter is not None:
                beside.enter_context(contextlib.closing(exporter))
            if of_workers is not None:
                beside.enter_context(of_workers.writing())
            beside.enter_context(project.endpoints.steering())
            beside.enter_context(project.fine_tuning.working())
            beside.enter_context(project.expiring())
            server.serve_forever(on_ready=ready)


@contextlib.contextmanager
def _grpc(project: "Project", plane: "DataPlane", host: str, port: int) -> Generator[int]:
    """Serve gRPC meanwhile: the port."""
    from bakeoff.web.serving.inference_grpc import GrpcServer

    names, trusted = project.config.endpoint.model_names, project.config.endpoint.trusted_network
    tokens, tls = project.authenticator(), project.certificate()
    with GrpcServer(plane, host, port, tokens=tokens, model_names=names, trusted_network=trusted, tls=tls) as server:
        yield server.port


def _serve_by_workers(count: int, host: str | None, port: int | None, folder: Path, *, as_json: bool) -> None:
    """The same by several processes; each is this command with a listening socket."""
    from bakeoff.web.workers import Workers

    with open_project(folder) as project:
        settings, endpoint, place = project.config.endpoint, project.endpoint, project.folder
        address, listens = host or settings.host, settings.port if port is None else port
        _ = project.authenticator(), project.certificate()  # what is wrong with them is told once
    command = [sys.executable, "-m", "bakeoff", "serve", "-C", str(place), "--host", address, "--json"]

    def ready(line: str) -> None:
        url = json.loads(line)["url"]
        if as_json:
            emit({"endpoint": endpoint, "url": url})
        else:
            typer.echo(f"endpoint {endpoint!r} at {url}, {count} workers (Ctrl-C ends them, SIGHUP replaces them)")

    with tempfile.TemporaryDirectory(prefix="bakeoff-serve-") as measures:
        Workers(address, listens, count, [*command, "--measures", measures, "--listening"]).run(ready)


def predict(
    row: Annotated[str | None, typer.Argument(help='A row as JSON: \'{"review": "a delight"}\'.')] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="A file of rows: anything that [data] source may name, or JSON; - reads JSON from stdin.",
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask a running endpoint instead of this process.")
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Answer rows with the live release; exit 1 when a row of a file has no answer.

    For example: bakeoff predict -f new.csv --json
    """
    from bakeoff.cli.answering import answering, show_answers

    with answering(file, row, url, folder) as parts:
        show_answers(parts, as_json=as_json, folder=folder)
