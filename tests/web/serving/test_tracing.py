"""A caller's trace goes with its call to the prediction and the feedback on it, and spans to a collector."""

import http.server
import json
import socketserver
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.web.serving.conftest import EchoModel
from tests.web.serving.test_direct import Sums

from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.releases import Release
from bakeoff.core.tracing import parent_of
from bakeoff.feedback.record import record
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents
from bakeoff.web.server import Server
from bakeoff.web.serving.app import create_app
from bakeoff.web.serving.tracing import SpanExporter
from bakeoff.web.tracking.otlp import spans_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def now_ms():
    return time.time_ns() // 1_000_000


class Traced:
    """A server of a model, and what it logs."""

    def __init__(self, model, exporter=None) -> None:
        self.events = MemoryEvents(now_ms)
        release = Release(release_id="r1", endpoint="made", model="made", number=1, family="echo", blob_id="b1")
        engine = Engine(
            "made",
            load=lambda _: model,
            routes=lambda: [release],
            prepare=lambda table, steps, columns: table,
            events=self.events,
            clock=now_ms,
        )
        engine.refresh()
        app = create_app(
            DataPlane.of(engine), lambda items, **within: record(self.events, items, **within), exporter=exporter
        )
        self.server = Server(app)

    def send(self, path, body, traceparent=PARENT):
        headers = {"Content-Type": "application/json"} | ({"traceparent": traceparent} if traceparent else {})
        request = urllib.request.Request(f"{self.server.url}{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read())

    def traces(self, kind=PredictionEvent):
        return [each.trace_id for each in self.events.read(kind)]


@pytest.fixture
def sums():
    made = Traced(Sums())
    with made.server:
        yield made


@pytest.fixture
def collector():
    """What is posted to it: path, headers and body."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.headers, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (PARENT, (TRACE, SPAN)),
        (f"01-{TRACE}-{SPAN}-00-more", (TRACE, SPAN)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-01", None),
        ("", None),
    ],
)
def test_what_a_header_names(header, expected):
    assert parent_of(header) == expected


@pytest.mark.parametrize("row", [{"x": 1, "y z": 2}, {"x": "1", "y z": 2}], ids=["direct", "by a thread"])
def test_a_callers_trace_reaches_prediction_and_feedback(sums, row):
    answer = sums.send("/predict", {"row": row})
    assert sums.traces() == [TRACE]
    item = {"id": answer["predictions"][0]["id"], "label": 3}
    sums.send("/feedback", {"items": [item]}, traceparent=f"00-{'a' * 32}-{SPAN}-01")
    sums.send("/feedback", {"items": [{"id": "unknown", "label": 3}]}, traceparent=f"00-{'a' * 32}-{SPAN}-01")
    assert sums.traces(FeedbackEvent) == [TRACE, "a" * 32]


def test_calls_without_a_trace_have_none(sums):
    sums.send("/predict", {"row": {"x": 1, "y z": 2}}, traceparent=None)
    sums.send("/predict", {"row": {"x": "1", "y z": 2}}, traceparent="nonsense")
    assert sums.traces() == [None, None]


def test_calls_that_are_computed_together_keep_their_own_traces(sums):
    def send(number):
        sums.send("/predict", {"rows": [{"x": str(number), "y z": 0}] * 2}, traceparent=f"00-{number:032x}-{SPAN}-01")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(1, 41)))
    events = list(sums.events.read(PredictionEvent))
    assert len(events) == 80
    assert all(int(each.trace_id, 16) == each.value for each in events)


@pytest.mark.parametrize(
    ("opted", "provider"), [("gen_ai_latest_experimental", "gen_ai.provider.name"), ("http", "gen_ai.system")]
)
def test_spans_of_conversations_go_to_the_collector(collector, opted, provider):
    url, received = collector
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{url}/",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-mlflow-experiment-id=7",
        "OTEL_SEMCONV_STABILITY_OPT_IN": opted,
    }
    exporter = SpanExporter.of_environment(environ, service="shop")
    made = Traced(EchoModel(), exporter)
    with made.server:
        body = {"model": "made", "messages": [{"role": "user", "content": "a b"}]}
        made.send("/v1/chat/completions", body)
        made.send("/v1/chat/completions", body, traceparent=None)
        fresh = made.traces()[1]
    exporter.close()
    assert made.traces() == [TRACE, fresh]
    path, headers, _ = received[0]
    assert (path, headers["x-mlflow-experiment-id"]) == ("/v1/traces", "7")
    spans = [
        span for _, headers, data in received for span in spans_of(data, kind=headers["Content-Type"], encoding=None)
    ]
    assert [(each.trace, each.parent, each.name) for each in spans] == [
        (TRACE, SPAN, "chat made"),
        (fresh, None, "chat made"),
    ]
    attributes = spans[0].attributes
    assert attributes[provider] == "bakeoff"
    assert (attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]) == (7, 2)
    assert (attributes["http.response.status_code"], attributes["gen_ai.response.finish_reasons"]) == (200, ["stop"])
    assert spans[1].attributes["service.name"] == "shop"


def test_without_an_endpoint_nothing_is_exported():
    assert SpanExporter.of_environment({}, service="shop") is None
    stated = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}
    assert SpanExporter.of_environment(stated, service="shop") is None


@pytest.mark.parametrize("answer", [b"what is this\r\n\r\n", b"HTTP/1.1 200 \xff\r\nContent-Length: x\r\n\r\n", None])
def test_whatever_a_collector_answers_the_next_spans_are_tried(monkeypatch, answer):
    """A line that is no status, and an address without a scheme, ended the thread for good."""
    monkeypatch.setattr("bakeoff.web.serving.tracing.EVERY_S", 0.05)
    asked = []

    class Collector(socketserver.StreamRequestHandler):
        def handle(self):
            asked.append(self.rfile.readline())
            self.wfile.write(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        url = "collector/v1/traces" if answer is None else url
        exporter = SpanExporter(url, service="shop", headers={}, newest=True)
        sent = 0
        for at in range(2):
            exporter.add({"name": str(at)})
            until = time.monotonic() + 10
            while not exporter._waiting.empty() and time.monotonic() < until:
                time.sleep(0.01)
            sent += exporter._waiting.empty()
        exporter.close()
        server.shutdown()
    assert sent == 2
    if answer is None:
        assert exporter.dropped == 2
    else:
        assert len(asked) == 2


def test_what_cannot_be_sent_is_dropped_and_counted(caplog):
    exporter = SpanExporter("http://127.0.0.1:9/v1/traces", service="shop", headers={}, newest=True)
    made = Traced(Sums(), exporter)
    with made.server:
        made.send("/predict", {"row": {"x": 1, "y z": 2}})
    exporter.close()
    assert exporter.dropped == 1
    assert "dropped" in caplog.text
