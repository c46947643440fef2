"""Calls as parts of their callers' traces, and their spans sent to an OpenTelemetry collector, if there is one.

Source: OpenTelemetry's conventions for GenAI 1.44 (`gen_ai.provider.name`; before, `gen_ai.system`) and its exporter
variables: https://opentelemetry.io/docs/specs/otel/protocol/exporter/. Spans go over OTLP/HTTP as JSON.
"""

import logging
import queue
import secrets
import threading
import time
import urllib.request
from collections.abc import Mapping

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bakeoff.core.tracing import Span, parent_of, within
from bakeoff.core.types import Json

__all__ = ["SpanExporter", "Traced"]

logger = logging.getLogger(__name__)

NEWEST_NAMES = "gen_ai_latest_experimental"
MOST_WAITING, AT_ONCE, EVERY_S, TIMEOUT_S = 10_000, 512, 1.0, 5.0
SERVER, ERROR = 2, 2
FAILED = 500


class SpanExporter:
    """Sends spans from a thread of its own; what cannot be sent is dropped and counted, and no call waits.

    Args:
        url: of the collector's `/v1/traces`.
        service: the name of the service that the spans are of.
        headers: more headers, as OTEL_EXPORTER_OTLP_HEADERS has them.
        newest: whether attributes have the newest names of the conventions.
    """

    def __init__(self, url: str, *, service: str, headers: Mapping[str, str], newest: bool) -> None:
        self._url, self._service, self._headers, self.newest = url, service, dict(headers), newest
        self._waiting: queue.Queue[Json] = queue.Queue(MOST_WAITING)
        self._ended = threading.Event()
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    @classmethod
    def of_environment(cls, environ: Mapping[str, str], *, service: str) -> "SpanExporter | None":
        """As OpenTelemetry's variables say; None without OTEL_EXPORTER_OTLP_ENDPOINT."""
        base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
        url = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (f"{base}/v1/traces" if base else "")
        if not url or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return None
        pairs = (each.partition("=") for each in environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",") if each)
        opted = environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
        return cls(
            url,
            service=environ.get("OTEL_SERVICE_NAME") or service,
            headers={name.strip(): value.strip() for name, _, value in pairs},
            newest=NEWEST_NAMES in (each.strip() for each in opted),
        )

    def add(self, span: Json) -> None:
        """Send a span, if there is room for it."""
        try:
            self._waiting.put_nowait(span)
        except queue.Full:
            self._drop(1, "too many wait")

    def close(self) -> None:
        """Send what waits, and end."""
        self._ended.set()
        self._thread.join(TIMEOUT_S + EVERY_S)

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S) or not self._waiting.empty():
            spans: list[Json] = []
            while len(spans) < AT_ONCE and not self._waiting.empty():
                spans.append(self._waiting.get_nowait())
            if spans:
                self._send(spans)

    def _send(self, spans: list[Json]) -> None:
        resource = {"attributes": [_attribute("service.name", self._service)]}
        body = {
            "resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "bakeoff"}, "spans": spans}]}]
        }
        headers = {"Content-Type": "application/json", **self._headers}
        try:
            request = urllib.request.Request(self._url, msgspec.json.encode(body), headers)  # noqa: S310 - the operator's
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
                pass
        except Exception as error:  # noqa: BLE001 - whatever a collector answers, the next spans are tried
            self._drop(len(spans), str(error) or type(error).__name__)

    def _drop(self, spans: int, why: str) -> None:
        if not self.dropped:
            logger.warning("spans cannot be sent to %s (%s): they are dropped and counted", self._url, why)
        self.dropped += spans


class Traced:
    """ASGI middleware: a call belongs to the trace that its `traceparent` names, or to a new one.

    Args:
        app: what answers.
        exporter: where spans go; without one, only callers' traces are noted.
    """

    def __init__(self, app: ASGIApp, *, exporter: SpanExporter | None) -> None:
        self._app, self._exporter = app, exporter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_call = scope["type"] == "http" and scope["method"] == "POST"
        parent = _parent(scope) if is_call else None
        if not is_call or (parent is None and self._exporter is None):
            await self._app(scope, receive, send)
            return
        trace_id, parent_id = parent or (secrets.token_hex(16), None)
        # A span that is not sent anywhere is none: what is called belongs to the caller's own.
        span_id = parent_id if self._exporter is None and parent_id else secrets.token_hex(8)
        span, began_ns, status = Span(trace_id=trace_id, parent_id=parent_id, span_id=span_id), time.time_ns(), FAILED

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with within(span):
                await self._app(scope, receive, noting)
        finally:
            if self._exporter is not None:
                self._exporter.add(_exported(span, scope, began_ns, status, newest=self._exporter.newest))


def _parent(scope: Scope) -> tuple[str, str] | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return parent_of(value.decode("latin-1"))
    return None


def _exported(span: Span, scope: Scope, began_ns: int, status: int, *, newest: bool) -> Json:
    """A span in OTLP's JSON."""
    noted = dict(span.attributes)
    if "gen_ai.operation.name" in noted:
        noted["gen_ai.provider.name" if newest else "gen_ai.system"] = "bakeoff"
        name = f"{noted['gen_ai.operation.name']} {noted.get('gen_ai.request.model', '')}".strip()
    else:
        route = getattr(scope.get("route"), "path", None)
        name = f"{scope['method']} {route}" if route else str(scope["method"])
    noted |= {"http.request.method": scope["method"], "url.path": scope["path"], "http.response.status_code": status}
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        **({} if span.parent_id is None else {"parentSpanId": span.parent_id}),
        "name": name,
        "kind": SERVER,
        "startTimeUnixNano": str(began_ns),
        "endTimeUnixNano": str(time.time_ns()),
        "attributes": [_attribute(key, value) for key, value in noted.items() if value is not None],
        "status": {"code": ERROR} if status >= FAILED else {},
    }


def _attribute(key: str, value: Json) -> Json:
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [{"stringValue": str(each)} for each in value]}}}
    return {"key": key, "value": {"stringValue": str(value)}}
