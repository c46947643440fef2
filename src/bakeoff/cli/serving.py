"""Commands around the endpoint: serve, predict, feedback, monitor."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project

__all__ = ["add_to"]

HERE = Path()


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (serve, predict, feedback, monitor):
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
    grpc_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Speak the Open Inference Protocol over gRPC there, too."),
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Serve the project's endpoints over HTTP until interrupted, and steer their rollouts.

    For example: bakeoff serve --port 8080
    """
    from bakeoff.web.auth import TokenAuthenticator
    from bakeoff.web.server import Server, local_hosts
    from bakeoff.web.serving.app import create_app
    from bakeoff.web.serving.turns import Pace

    with open_project(folder) as project:
        settings = project.config.endpoint
        address = host or settings.host
        tokens, tls = project.authenticator(), project.certificate()
        plane = project.plane()
        app = create_app(
            plane,
            project.feedback,
            hosts=local_hosts(address),
            model_names=settings.model_names,
            authenticator=tokens and TokenAuthenticator(tokens),
            pace=lambda name: Pace.of(project.served(name)),
            fine_tuning=project.fine_tuning,
        )
        listens = settings.port if port is None else port
        server = Server(app, address, listens, authenticated=tokens is not None, tls=tls)

        with ExitStack() as beside:
            ports: dict[str, int] = {}
            if grpc_port is not None:
                from bakeoff.web.serving.inference_grpc import GrpcServer

                ports["grpc_port"] = beside.enter_context(GrpcServer(plane, address, grpc_port, tokens=tokens)).port

            def ready() -> None:
                if as_json:
                    emit({"endpoint": project.endpoint, "url": server.url, **ports})
                else:
                    typer.echo(f"endpoint {project.endpoint!r} at {server.url} (Ctrl-C ends it)")
                    for listening in ports.values():
                        typer.echo(f"gRPC at {address}:{listening}")

            beside.enter_context(project.endpoints.steering())
            beside.enter_context(project.fine_tuning.working())
            server.serve_forever(on_ready=ready)


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


def feedback(
    prediction_id: Annotated[str | None, typer.Argument(help="The id of a prediction.")] = None,
    label: Annotated[str | None, typer.Argument(help="What was true.")] = None,
    *,
    correction: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The answer that should have been given.")
    ] = None,
    rating: Annotated[float | None, typer.Option(metavar="NUMBER", help="How good the answer was: -1 or +1.")] = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="Anything to say about it.")] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="A file of items: anything that [data] source may name, or JSON; - reads JSON from stdin.",
        ),
    ] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Send to a running endpoint.")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Say what was true (or better) for predictions, by id; exit 1 when some of it does not count.

    For example: bakeoff feedback ID fresh
    """
    from bakeoff.cli.answering import recording, show_recorded
    from bakeoff.core.errors import UsageError

    item: dict[str, Any] | None = None
    if prediction_id is not None:
        said = {"label": label, "correction": correction, "rating": rating, "comment": comment}
        item = {"id": prediction_id} | {kind: value for kind, value in said.items() if value is not None}
    if (file is None) == (item is None) or (item is not None and len(item) == 1):
        expected = "a prediction's id with its label, --correction, --rating or --comment, or --file"
        given = "neither" if file is None and item is None else "both" if file and item else "an id alone"
        raise UsageError(f"expected {expected}; received {given}")
    with recording(file, item, url, folder) as parts:
        show_recorded(parts, as_json=as_json, folder=folder)


def monitor(
    *,
    since_ms: Annotated[
        int | None,
        typer.Option(
            metavar="MS", help="Start of the window, in milliseconds since 1970 (UTC); the live release's by default."
        ),
    ] = None,
    until_ms: Annotated[int | None, typer.Option(metavar="MS", help="End of the window; now by default.")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Signals of the live release: drift, quality, latency, errors, volume.

    For example: bakeoff monitor
    """
    from bakeoff.cli.render import signals_page
    from bakeoff.monitor.signals import to_json

    with open_project(folder) as project:
        found = project.monitor(since_ms=since_ms, until_ms=until_ms)
    if as_json:
        emit(to_json(found))
    else:
        typer.echo(signals_page(found))
        next_step("loop --once", folder)
