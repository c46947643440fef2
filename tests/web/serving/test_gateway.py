"""Endpoints that services answer: what goes through, what is tried again, what is counted, logged and refused."""

import http.client
import json
import time
from contextlib import closing

import pytest

from bakeoff.config.sections import LimitConfig, UpstreamConfig
from bakeoff.core.events import FailureEvent, PredictionEvent
from bakeoff.core.principals import ROLES, Principal
from bakeoff.feedback.record import record
from bakeoff.serve.engine import Engine
from bakeoff.serve.gateway.allowances import Allowances
from bakeoff.serve.gateway.gateway import Gateway
from bakeoff.serve.gateway.upstream import Upstream
from bakeoff.serve.plane import DataPlane
from bakeoff.serve.recorder import Recorder
from bakeoff.testing.memory import MemoryEvents, MemoryRecords
from bakeoff.testing.service import completion, event, serving
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app

HELLO = {"model": "far", "messages": [{"role": "user", "content": "Hello?"}]}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def now_ms():
    return time.time_ns() // 1_000_000


class ByToken:
    """Whoever has a token is called like it, and may call endpoints."""

    async def __call__(self, headers):
        name = headers.get("authorization", "").removeprefix("Bearer ")
        return Principal(name=name, permissions=ROLES["caller"]) if name else None


class World:
    """A server with an endpoint "far" of these services, and its parts in reach."""

    def __init__(self, *upstreams, limits=None, authenticator=None, documents=None, **settings) -> None:
        self.events = MemoryEvents(now_ms)
        self.documents = documents or MemoryRecords(now_ms).documents
        self.waits = []
        self.allowances = Allowances(
            {name: LimitConfig(**limit) for name, limit in (limits or {}).items()}, self.documents, now_ms
        )

        async def sleep(seconds):
            self.waits.append(seconds)

        log = settings.pop("log", "required")
        self.gateway = Gateway(
            "far",
            [Upstream(UpstreamConfig(**each), name=each.get("name", f"u{at}")) for at, each in enumerate(upstreams)],
            recorder=Recorder("far", self.events, log=log, redact=lambda _: lambda value: value),
            allowances=self.allowances,
            clock=now_ms,
            sleep=sleep,
            **settings,
        )

        def engine(name):
            parts = {"load": None, "routes": list, "prepare": None, "events": self.events, "clock": now_ms}
            return Engine(name, **parts)

        self.plane = DataPlane("own", lambda: ["own", "far"], engine, {"far": self.gateway})
        feedback = lambda items: record(self.events, items)  # noqa: E731
        app = create_app(self.plane, feedback, hosts=local_hosts("127.0.0.1"), authenticator=authenticator)
        self.server = Server(app, authenticated=authenticator is not None)

    def post(self, path, body, **headers):
        """Status, headers and body of an answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)) as connection:
            connection.request("POST", path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            content = response.read()
            is_json = response.headers.get_content_type() == "application/json"
            return response.status, response.headers, json.loads(content) if is_json else content

    def get(self, path):
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)) as connection:
            connection.request("GET", path)
            content = connection.getresponse().read().decode()
            return json.loads(content) if content.startswith("{") else content

    def openai(self):
        openai = pytest.importorskip("openai")
        return openai.OpenAI(base_url=f"{self.server.url}/v1", api_key="none", max_retries=0, timeout=10)

    @property
    def predictions(self):
        return list(self.events.read(PredictionEvent))

    @property
    def failures(self):
        return list(self.events.read(FailureEvent))


def test_a_call_goes_through_with_what_bakeoff_does_not_know_and_is_logged(monkeypatch):
    monkeypatch.setenv("FAR_KEY", "sesame")
    with serving(lambda _: completion("Hi!") | {"id": "chatcmpl-1", "extra": [1.0]}) as service:
        upstream = {"url": service.url, "model": "large", "key_env": "FAR_KEY", "price_in": 2.0, "price_out": 10.0}
        world = World(upstream | {"headers": {"X-Team": "a"}})
        with world.server:
            body = HELLO | {"user": "u1", "odd_option": {"deep": [1, 2.50]}}
            status, headers, answer = world.post("/v1/chat/completions", body, traceparent=f"00-{TRACE}-{SPAN}-01")
    (came,) = service.asked
    assert came.body == body | {"model": "large"}
    assert (came.headers["authorization"], came.headers["x-team"]) == ("Bearer sesame", "a")
    assert came.headers["traceparent"] == f"00-{TRACE}-{SPAN}-01"
    assert (status, answer["extra"], answer["choices"][0]["message"]["content"]) == (200, [1.0], "Hi!")
    (logged,) = world.predictions
    assert answer["id"] == logged.id == headers["x-bakeoff-prediction-id"] != "chatcmpl-1"
    assert (logged.endpoint, logged.release_id, logged.model_version, logged.value) == ("far", "u0", "large", "Hi!")
    assert logged.row == {"messages": HELLO["messages"]}
    assert (logged.tokens_in, logged.tokens_out, logged.trace_id, logged.caller) == (10, 2, TRACE, None)
    assert logged.cost_usd == pytest.approx((10 * 2 + 2 * 10) / 1e6)


def test_a_stream_goes_through_piece_by_piece_and_is_counted():
    def parts():
        yield event("Hel")
        yield event("lo", finish="stop")
        yield event(usage={"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9})
        yield "data: [DONE]\n\n"

    with serving(lambda _: (200, parts(), {})) as service:
        world = World({"url": service.url, "price_in": 1.0, "price_out": 1.0})
        with world.server:
            client = world.openai()
            chunks = list(client.chat.completions.create(**HELLO, stream=True))
            counted = list(client.chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True}))
            text = world.get("/metrics")
    assert service.asked[0].body["stream_options"] == {"include_usage": True}
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hel", "lo"]
    assert [bool(chunk.choices) for chunk in counted] == [True, True, False]
    assert counted[-1].usage.total_tokens == 9
    logged = world.predictions[0]
    assert (logged.value, logged.tokens_in, logged.tokens_out, logged.cost_usd) == ("Hello", 7, 2, pytest.approx(9e-6))
    assert 'vllm:prompt_tokens_total{model_name="far"} 14' in text
    assert 'bakeoff_upstream_tokens_total{endpoint="far",upstream="u0",kind="read"} 14' in text
    assert 'bakeoff_upstream_calls_total{endpoint="far",upstream="u0"} 2' in text
