"""The app that serves endpoints: the protocols' routes behind one guard."""

from collections.abc import Callable, Sequence
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bakeoff.core.errors import BakeoffError
from bakeoff.project.fine_tuning import ProjectFineTuning
from bakeoff.serve.plane import DataPlane
from bakeoff.web.auth import Authenticator, protect
from bakeoff.web.guard import Guard
from bakeoff.web.openapi import DocumentRoutes
from bakeoff.web.problems import HttpError, error_response
from bakeoff.web.serving.bodies import shown
from bakeoff.web.serving.context import Serving, TakesFeedback
from bakeoff.web.serving.conversations import ConversationRoutes
from bakeoff.web.serving.direct import Direct
from bakeoff.web.serving.files import UPLOADS, FileRoutes
from bakeoff.web.serving.finetuning import FineTuningRoutes
from bakeoff.web.serving.health import HealthRoutes
from bakeoff.web.serving.inference import InferenceRoutes
from bakeoff.web.serving.invocations import InvocationRoutes
from bakeoff.web.serving.relay import Relay
from bakeoff.web.serving.rows import RowRoutes
from bakeoff.web.serving.tracing import SpanExporter, Traced
from bakeoff.web.serving.turns import Pace
from bakeoff.web.worker_measures import WorkerMeasures

__all__ = ["create_app"]

MAX_BODY_BYTES, MAX_UPLOAD_BYTES = 10 * 2**20, 100 * 2**20
THREADS = 16
NOT_FOUND, NOT_ALLOWED = 404, 405


def create_app(
    plane: DataPlane,
    record_feedback: TakesFeedback,
    *,
    hosts: frozenset[str] | None = None,
    model_names: Sequence[str] = (),
    max_body_bytes: int = MAX_BODY_BYTES,
    max_upload_bytes: int = MAX_UPLOAD_BYTES,
    threads: int = THREADS,
    authenticator: Authenticator | None = None,
    pace: Callable[[str], Pace] = lambda _: Pace(),
    exporter: SpanExporter | None = None,
    fine_tuning: ProjectFineTuning | None = None,
    signals: Callable[[Sequence[str]], str] = lambda _: "",
    workers: WorkerMeasures | None = None,
) -> Starlette:
    """The app that serves a plane's endpoints.

    Args:
        plane: the endpoints.
        record_feedback: logs feedback items.
        hosts: the names that a Host header may have, or None for all.
        model_names: what the default endpoint may be called beside its name; "*" for whatever callers like.
        max_body_bytes: the largest body that is read.
        max_upload_bytes: the largest one with a file.
        threads: calls that compute or wait for the log at once.
        authenticator: says who calls; without one, whoever can call may.
        pace: of an endpoint's calls, by its name.
        exporter: where spans of calls are sent.
        fine_tuning: files and fine-tuning jobs of the project; not served without.
        signals: the newest signals of monitoring of these endpoints, in Prometheus' text format, for `/metrics`.
        workers: what other workers at the same address measured, for `/metrics`.

    Raises:
        SecurityError: a route declares no permission.
    """
    serving = Serving(
        plane,
        record_feedback,
        threads=threads,
        model_names=model_names,
        guarded=authenticator is not None,
        pace=pace,
    )
    rows, conversations = RowRoutes(serving), ConversationRoutes(serving)
    parts = (
        HealthRoutes(serving, signals, workers),
        rows,
        conversations,
        InferenceRoutes(serving),
        InvocationRoutes(serving),
    )
    routes = [route for part in parts for route in part.routes]
    if fine_tuning is not None:
        routes += [*FileRoutes(serving, fine_tuning.files).routes, *FineTuningRoutes(serving, fine_tuning).routes]
    routes += DocumentRoutes(routes).routes
    protect(routes, authenticator)
    direct = Middleware(Direct, serving=serving, routes=rows.routes, authenticator=authenticator)
    relay = Middleware(Relay, serving=serving, routes=conversations.routes, authenticator=authenticator)
    uploads = {UPLOADS: max_upload_bytes}
    guard = Middleware(Guard, hosts=hosts, max_body_bytes=max_body_bytes, uploads=uploads, measures=serving.measures)
    return Starlette(
        routes=routes,
        middleware=[guard, Middleware(Traced, exporter=exporter), relay, direct],
        lifespan=serving.lifespan,
        exception_handlers={
            BakeoffError: _on_error,
            HttpError: _on_error,
            HTTPException: _on_http_exception,
            ClientDisconnect: _on_disconnect,
        },
    )


async def _on_error(request: Request, error: Exception) -> Response:
    return error_response(error, request.url.path)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = {404: "NotFoundError", 405: "MethodNotAllowed"}.get(error.status_code, "BadRequest")
    return error_response(HttpError(error.status_code, kind, _problem_of(request, error)), request.url.path)


def _problem_of(request: Request, error: HTTPException) -> str:
    """What is wrong with a request that no handler takes."""
    path, routes = request.url.path, cast("Starlette", request.app).routes
    served = {route.path for route in routes if isinstance(route, Route)}
    if error.status_code == NOT_FOUND:
        # Clients of OpenAI's API have a base URL that ends with /v1; those of Anthropic's have one without.
        near = [each for each in (f"/v1{path}", path.replace("/v1/v1", "/v1")) if each.rstrip("/") in served]
        hint = f"; is it {near[0]!r}? look at the base URL of the client" if near else "; GET / tells what is served"
        return f"expected a path that is served here, received {shown(path)}{hint}"
    if error.status_code == NOT_ALLOWED:
        allowed = sorted((error.headers or {}).get("Allow", "").replace(" ", "").split(","))
        return f"expected {' or '.join(allowed)} at {path}, received {request.method}"
    return error.detail


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)
