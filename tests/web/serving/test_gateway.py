"""Endpoints that services answer: what goes through, what is tried again, what is counted, logged and refused."""

import asyncio
import http.client
import json
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace

import pytest

from bakeoff.config.sections import LimitConfig, UpstreamConfig
from bakeoff.core.errors import StoreError
from bakeoff.core.events import FailureEvent, PredictionEvent
from bakeoff.core.generation import Sampling
from bakeoff.core.principals import ROLES, Principal
from bakeoff.feedback.record import record
from bakeoff.security.roles import Roles
from bakeoff.security.tokens import AccessTokens
from bakeoff.serve.engine import Engine
from bakeoff.serve.gateway.allowances import Allowances, LimitError
from bakeoff.serve.gateway.gateway import Gateway, GatewayCall
from bakeoff.serve.gateway.upstream import Upstream, UpstreamError
from bakeoff.serve.plane import DataPlane
from bakeoff.serve.recorder import Recorder
from bakeoff.testing.memory import MemoryEvents, MemoryRecords
from bakeoff.testing.service import completion, event, serving
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app
from bakeoff.web.serving.service_reader import ServiceReader

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

    def remembered(self, headers):
        return None


class World:
    """A server with an endpoint "far" of these services, and its parts in reach."""

    def __init__(self, *upstreams, limits=None, authenticator=None, documents=None, own="own", **settings) -> None:
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

        self.plane = DataPlane(own, lambda: [own, "far"], engine, {"far": self.gateway})
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
        with world.server, world.openai() as client:
            chunks = list(client.chat.completions.create(**HELLO, stream=True))
            counted = list(client.chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True}))
            until = time.monotonic() + 5  # what a stream used is counted when its last piece has gone
            while '_total{model_name="far"} 14' not in (text := world.get("/metrics")) and time.monotonic() < until:
                time.sleep(0.02)
    assert service.asked[0].body["stream_options"] == {"include_usage": True}
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hel", "lo"]
    assert [bool(chunk.choices) for chunk in counted] == [True, True, False]
    assert counted[-1].usage.total_tokens == 9
    logged = world.predictions[0]
    assert (logged.value, logged.tokens_in, logged.tokens_out, logged.cost_usd) == ("Hello", 7, 2, pytest.approx(9e-6))
    lines = [line for line in text.splitlines() if "far" in line]
    assert 'vllm:prompt_tokens_total{model_name="far"} 14' in text, lines
    assert 'bakeoff_upstream_tokens_total{endpoint="far",upstream="u0",kind="read"} 14' in text
    assert 'bakeoff_upstream_calls_total{endpoint="far",upstream="u0"} 2' in text


ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hi!"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 5, "output_tokens": 3},
}


def test_every_protocol_reaches_a_service_of_chat_completions():
    def answer(asked):
        if asked.path == "/v1/embeddings":
            vectors = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
            return {"object": "list", "data": vectors, "model": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4}}
        if asked.path == "/v1/completions":
            usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
            choices = [{"index": 0, "text": "Yes", "finish_reason": "stop", "logprobs": None}]
            return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": choices} | {
                "usage": usage
            }
        if asked.body.get("stream"):
            words = [event("Hi"), event("!", finish="stop"), event(usage={"prompt_tokens": 5, "completion_tokens": 3})]
            return 200, iter([*words, "data: [DONE]\n\n"]), {}
        return completion("Hi!") | {"id": "c", "created": 1, "model": "m"}

    with serving(answer) as service:
        world = World({"url": service.url, "model": "large"})
        with world.server, world.openai() as client:
            names = [model.id for model in client.models.list()]
            assert client.chat.completions.create(**HELLO).choices[0].message.content == "Hi!"
            assert client.completions.create(model="far", prompt="Well?").choices[0].text == "Yes"
            vectors = client.embeddings.create(model="far", input="a", encoding_format="float")
            response = client.responses.create(model="far", input="Hello?")
            events = list(client.responses.create(model="far", input="Hello?", stream=True))
            anthropic = pytest.importorskip("anthropic")
            with anthropic.Anthropic(base_url=world.server.url, api_key="none", max_retries=0, timeout=10) as claude:
                message = claude.messages.create(model="far", max_tokens=9, messages=HELLO["messages"])
    assert names[-1] == "far"
    assert vectors.data[0].embedding == [0.5, 0.25]
    assert (response.output_text, response.usage.input_tokens, response.usage.output_tokens) == ("Hi!", 5, 3)
    assert events[-1].response.output_text == "Hi!"
    assert (message.content[0].text, message.stop_reason, message.usage.output_tokens) == ("Hi!", "end_turn", 3)
    assert [asked.path for asked in service.asked[-3:]] == ["/v1/chat/completions"] * 3
    assert service.asked[-1].body["model"] == "large"
    logged = {each.id: each for each in world.predictions}
    assert [each.value for each in logged.values()] == ["Hi!", "Yes", "Hi!", "Hi!", "Hi!"]
    assert logged[message.id].tokens_out == 3
    assert world.gateway.upstreams[0].counts.tokens_in == 10 + 3 + 4 + 5 + 5 + 5


def test_chat_reaches_anthropics_api_which_messages_go_through_to_as_they_are():
    with serving(lambda _: dict(ANTHROPIC)) as service:
        world = World({"url": service.url + "/messages", "model": "claude"})
        with world.server, world.openai() as client:
            answer = client.chat.completions.create(**HELLO, max_tokens=9)
            body = {"model": "far", "max_tokens": 9, "messages": HELLO["messages"], "thinking": {"type": "disabled"}}
            status, _, message = world.post("/v1/messages", body)
            refused = world.post("/v1/embeddings", {"model": "far", "input": "a"})
    assert (answer.choices[0].message.content, answer.usage.prompt_tokens) == ("Hi!", 5)
    assert service.asked[0].path == service.asked[1].path == "/v1/messages"
    assert service.asked[1].body["thinking"] == {"type": "disabled"}
    assert (status, message["content"], message["id"]) == (200, ANTHROPIC["content"], world.predictions[1].id)
    assert refused[0] == 400
    assert len(service.asked) == 2


def test_several_prompts_are_calls_of_their_own_to_a_service_of_another_protocol():
    def answer(asked):
        text = asked.body["messages"][-1]["content"]
        return dict(ANTHROPIC) | {"content": [{"type": "text", "text": text.upper()}]}

    with serving(answer) as service:
        world = World({"url": service.url + "/messages", "model": "claude"})
        with world.server, world.openai() as client:
            answers = client.completions.create(model="far", prompt=["a", "b"], max_tokens=9)
    assert [choice.text for choice in answers.choices] == ["A", "B"]
    assert answers.usage.prompt_tokens == 10
    logged = [(each.id, dict(each.row), each.value) for each in world.predictions]
    assert logged == [(answers.id, {"prompt": "a"}, "A"), (f"{answers.id}-1", {"prompt": "b"}, "B")]


def failing(times, failure):
    """Answers after so many failures."""
    left = [times]

    def answer(_):
        left[0] -= 1
        return failure if left[0] >= 0 else completion("Hi!")

    return answer


def error(status, **headers):
    return (
        status,
        {"error": {"message": "no: sk-sesame"}},
        {name.replace("_", "-"): value for name, value in headers.items()},
    )


def test_what_fails_is_tried_again_after_a_while_or_when_the_service_says():
    with serving(failing(2, error(503))) as one, serving(failing(1, error(429, retry_after="7"))) as other:
        world, second = World({"url": one.url}), World({"url": other.url})
        with world.server, second.server:
            assert world.post("/v1/chat/completions", HELLO)[0] == 200
            assert second.post("/v1/chat/completions", HELLO)[0] == 200
    assert len(one.asked) == 3
    assert len(world.waits) == 2
    assert 0.125 <= world.waits[0] <= 0.25 <= world.waits[1] <= 0.5
    assert second.waits == [7.0]
    assert [len(each.predictions) for each in (world, second)] == [1, 1]
    assert world.failures == []


def test_the_next_service_is_asked_and_one_that_fails_again_and_again_is_left_alone():
    with serving(lambda _: error(500)) as broken, serving(lambda _: "Here!") as fine:
        world = World({"url": broken.url, "retries": 0, "failures": 3}, {"url": fine.url, "name": "spare"})
        with world.server:
            for _ in range(5):
                status, headers, answer = world.post("/v1/chat/completions", HELLO)
                assert (status, headers["x-bakeoff-upstream"]) == (200, "spare")
                assert answer["choices"][0]["message"]["content"] == "Here!"
            health = world.get("/health/ready")["endpoints"]["far"]
    assert (len(broken.asked), len(fine.asked)) == (3, 5)
    assert (health["ready"], [each["resting"] for each in health["upstreams"]]) == (True, [True, False])
    assert "HTTP 500" in health["upstreams"][0]["problem"]
    assert [each.release_id for each in world.predictions] == ["spare"] * 5
    assert world.gateway.upstreams[0].counts.failures == {"failed": 3}
    assert world.gateway.upstreams[0].counts.rests == 1


def test_after_its_rest_one_call_tries_and_others_do_not_wait_for_it():
    now = [0.0]
    config = UpstreamConfig(url="http://127.0.0.1:9/v1", failures=1, rest_s=30)
    upstream = Upstream(config, name="u", timer=lambda: now[0])

    async def run():
        try:
            with pytest.raises(UpstreamError) as raised:
                await upstream.ask("/chat/completions", b"{}")
            assert raised.value.kind == "unreachable"
            assert upstream.resting().kind == "resting"
            assert upstream.resting().retry_after_s == 30
            now[0] = 31.0
            assert upstream.resting() is None
            trying = asyncio.create_task(upstream.ask("/chat/completions", b"{}"))
            await asyncio.sleep(0)
            assert upstream.resting() is not None
            with pytest.raises(UpstreamError):
                await trying
            assert upstream.resting().retry_after_s == 30
        finally:
            upstream.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        (error(400), 400, None),
        (error(422), 422, None),
        (error(401), 502, "misconfigured"),
        (error(500), 502, "failed"),
        (error(429, retry_after="12"), 429, "busy"),
        ((200, "<html>", {"content-type": "application/json"}), 502, "broken"),
        ((302, "", {"location": "http://127.0.0.1:1/"}), 502, "misconfigured"),
    ],
)
def test_failures_are_told_as_they_are_and_never_with_the_key(monkeypatch, answer, status, kind):
    monkeypatch.setenv("FAR_KEY", "sk-sesame")
    with serving(lambda _: answer) as service:
        world = World({"url": service.url, "model": "m", "key_env": "FAR_KEY", "retries": 0})
        with world.server:
            told, headers, body = world.post("/v1/chat/completions", HELLO)
            again = world.post("/v1/messages", HELLO | {"max_tokens": 5})
    assert told == status
    assert "sesame" not in json.dumps(body) + json.dumps(again[2]) + str(world.failures)
    assert (headers["retry-after"] if status == 429 else "12") == "12"
    assert world.gateway.upstreams[0].counts.failures.get(kind, 0) >= (kind is not None)
    assert again[2]["type"] == "error"
    assert {each.error for each in world.failures} <= {"RefusedError", "UpstreamError"}
    assert len(world.failures) == 2


def test_a_service_that_is_silent_is_given_up_in_time():
    with serving(lambda _: (time.sleep(1), completion("late"))[1]) as service:
        world = World({"url": service.url, "retries": 0, "first_byte_timeout_s": 0.2})
        with world.server:
            began = time.monotonic()
            status, _, body = world.post("/v1/chat/completions", HELLO)
            took = time.monotonic() - began
    assert (status, body["error"]["code"]) == (504, "upstream_error")
    assert took < 0.9
    assert "no byte within 0.2 s" in body["error"]["message"]


def test_a_stream_that_breaks_before_its_first_piece_is_asked_of_another_and_later_ends_with_an_error():
    def breaking():
        yield event("Half")
        time.sleep(0.1)
        raise OSError

    with serving(lambda _: (200, iter(()), {})) as empty, serving(lambda _: (200, breaking(), {})) as half:
        world = World({"url": empty.url, "retries": 0}, {"url": half.url})
        with world.server:
            status, headers, content = world.post("/v1/chat/completions", HELLO | {"stream": True})
    assert (status, headers["x-bakeoff-upstream"]) == (200, "u1")
    events = [json.loads(line[6:]) for line in content.decode().splitlines() if line.startswith("data: ")]
    assert events[0]["choices"][0]["delta"]["content"] == "Half"
    assert events[-1]["error"]["code"] == "upstream_error"
    assert b"[DONE]" not in content
    assert world.predictions == []
    assert [each.release_id for each in world.failures] == ["u1"]


def raw(*parts, pause=0.0):
    """A stream of these bytes."""
    for part in parts:
        yield part
        time.sleep(pause)


@pytest.mark.parametrize(
    ("parts", "ends", "failures", "asked"),
    [
        ([event("Half")], "error", 1, 2),  # its connection ends well, the answer does not
        ([event("Half"), 'data: {"choi'], "error", 1, 2),  # within an event
        ([event("All", finish="stop")], None, 0, 2),
        ([event("All"), "data: [DONE]"], None, 0, 1),  # without the empty line
        ([event("Half"), 'data: {"error": {"message": "overloaded"}}\n\n', "data: [DONE]\n\n"], None, 1, 2),
        (['data: {"choices": [{"delta": "x"}, 7]}\n\n', 'data: {"choices": 3, "usage": 7}\n\n'], "error", 1, 2),
        ([event("Half")] + ["x" * 2**20] * 9, "error", 1, 2),  # an event without an end
    ],
)
def test_a_stream_that_ends_before_its_answer_or_tells_of_an_error_is_no_prediction_and_not_given_again(
    parts, ends, failures, asked
):
    with serving(lambda _: (200, raw(*parts), {})) as service:
        world = World({"url": service.url, "retries": 0}, cache=5)
        with world.server:
            came = [world.post("/v1/chat/completions", HELLO | {"stream": True}) for _ in range(2)]
    assert b"choidata:" not in came[0][2]
    last = [line for line in came[0][2].decode().splitlines() if line.startswith("data: ")][-1]
    assert ("upstream_error" in last) is (ends == "error")
    assert len(came[0][2]) < 2**12
    assert (len(world.failures), len(world.predictions)) == (2 * failures, 2 - 2 * failures)
    assert len(service.asked) == asked


WRONG = [
    '{"id": "1", "choices": [{"message": {"content": "cut o',
    '{"id": "1"}',
    '{"error": {"message": "no credit", "code": 402}}',
    "[]",
    "[" * 10_000,
    '{"choices": {"0": 1}}',
    '{"choices": []}',
    '{"error": {"message": "no credit"}, "choices": [{"message": {"content": ""}}]}',
]


@pytest.mark.parametrize("body", WRONG)
def test_what_is_no_answer_for_all_its_status_is_asked_of_another(body):
    with (
        serving(lambda _: (200, body, {"content-type": "application/json"})) as broken,
        serving(lambda _: "Hi!") as fine,
    ):
        world = World({"url": broken.url, "retries": 0}, {"url": fine.url}, cache=5)
        with world.server:
            status, headers, _ = world.post("/v1/chat/completions", HELLO)
    assert (status, headers["x-bakeoff-upstream"]) == (200, "u1")
    assert world.gateway.upstreams[0].counts.failures == {"broken": 1}


@pytest.mark.parametrize(
    "usage", ["7", '{"prompt_tokens": "many", "completion_tokens": -9}', '{"prompt_tokens": 1e999, "x": NaN}']
)
def test_a_count_that_is_none_is_estimated_and_nobody_stays_under_way(usage):
    body = '{"id": ["x"], "choices": [{"message": {"content": "abcdefgh", "tool_calls": "x"}}], "usage": ' + usage + "}"
    with serving(lambda _: (200, body, {"content-type": "application/json"})) as service:
        world = World({"url": service.url}, limits={"all": {"tokens_per_day": 1000}})
        with world.server:
            status, *_ = world.post("/v1/chat/completions", HELLO)
    assert status == 200
    (logged,) = world.predictions
    assert (logged.value, logged.tokens_in, logged.tokens_out) == ("abcdefgh", -(-len(json.dumps(HELLO)) // 4), 2)
    (account,) = world.allowances._accounts.values()
    assert account.under_way == 0


@pytest.mark.parametrize(("advice", "seconds"), [("9" * 400, "86400"), ("Mon, 01 Jan 0001 00:00:00 -0000", "0")])
def test_a_wait_that_makes_no_sense_is_told_as_one_that_does(advice, seconds):
    refusal = (429, {"error": {"message": "slow down"}}, {"retry-after": advice})
    with serving(lambda _: refusal) as service:
        world = World({"url": service.url, "retries": 0})
        with world.server:
            status, headers, _ = world.post("/v1/chat/completions", HELLO)
    assert (status, headers["retry-after"]) == (429, seconds)


def test_what_the_caller_breaks_off_ends_at_the_service_and_is_logged_as_far_as_it_came():
    given = []

    def endless():
        while True:
            given.append(1)
            yield event("word ")
            time.sleep(0.01)

    with serving(lambda _: (200, endless(), {})) as service:
        world = World({"url": service.url})
        with world.server, world.openai() as client:
            stream = client.chat.completions.create(**HELLO, stream=True)
            next(iter(stream))
            stream.close()
            until = time.monotonic() + 5
            while not world.predictions and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.1)
            before = len(given)
            time.sleep(0.1)
            assert len(given) == before
    (logged,) = world.predictions
    assert logged.value.startswith("word ")


def test_the_same_request_is_answered_again_without_asking_where_that_is_wanted():
    with serving(lambda asked: f"answer {len(asked.body)}") as service:
        world = World({"url": service.url, "price_in": 1.0, "price_out": 1.0}, cache=2)
        with world.server:
            first = world.post("/v1/chat/completions", HELLO | {"seed": 1})
            again = world.post("/v1/chat/completions", {"seed": 1} | HELLO)
            other = world.post("/v1/chat/completions", HELLO | {"seed": 2})
    assert len(service.asked) == 2
    assert again[1]["x-bakeoff-cache"] == "hit"
    assert other[1]["x-bakeoff-cache"] is None
    assert again[2]["choices"] == first[2]["choices"]
    costs = {each.id: each.cost_usd for each in world.predictions}
    assert [costs[each[1]["x-bakeoff-prediction-id"]] > 0 for each in (first, again, other)] == [True, False, True]


def test_a_caller_may_use_so_much_and_no_more_and_others_are_not_touched():
    limits = {"all": {"requests_per_minute": 2}, "dear": {"callers": ["b*"], "usd_per_day": 0.00003}}
    documents = MemoryRecords(now_ms).documents
    with serving(lambda _: "Hi!") as service:
        upstream = {"url": service.url, "price_in": 1.0, "price_out": 5.0}
        world = World(upstream, limits=limits, authenticator=ByToken(), documents=documents)
        with world.server:
            ask = lambda name: world.post("/v1/chat/completions", HELLO, Authorization=f"Bearer {name}")  # noqa: E731
            ada, bob = [ask("ada") for _ in range(3)], [ask("bob") for _ in range(3)]
            unknown = world.post("/v1/chat/completions", HELLO)
            text = world.post("/v1/chat/completions", HELLO, Authorization="Bearer cy")[0]
        after_restart = World(upstream, limits=limits, authenticator=ByToken(), documents=documents)
        with after_restart.server:
            time.sleep(0.1)
            later = after_restart.post("/v1/chat/completions", HELLO, Authorization="Bearer bob")
    assert [each[0] for each in ada] == [200, 200, 429]
    assert ada[2][2]["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(ada[2][1]["retry-after"]) <= 60
    assert "requests_per_minute" in ada[2][2]["error"]["message"]
    # 20 millionths each: the second goes beyond what may be used, the third is refused.
    assert [each[0] for each in bob] == [200, 200, 429]
    assert "usd_per_day" in bob[2][2]["error"]["message"]
    assert int(bob[2][1]["retry-after"]) > 60 or later[0] == 429
    assert (unknown[0], text, later[0]) == (401, 200, 429)
    assert {each.caller for each in world.predictions} == {"ada", "bob", "cy"}


def test_callers_of_a_limit_are_named_like_their_tokens():
    allowances = Allowances(
        {"ci": LimitConfig(callers=("ci-*",), requests_per_day=1)}, MemoryRecords(now_ms).documents, now_ms
    )
    tokens = AccessTokens(MemoryRecords(now_ms).documents, Roles({}), now_ms)
    one, other = (tokens.principal(tokens.create(name, roles=["caller"])[1]).name for name in ("ci-1", "token-2"))
    allowances.admit(one, "far")
    with pytest.raises(LimitError):
        allowances.admit(one, "far")
    for _ in range(2):
        allowances.admit(other, "far")


def test_several_answers_are_let_in_together_or_not_at_all():
    limits = {"all": LimitConfig(requests_per_minute=2, tokens_per_day=100)}
    allowances, now = Allowances(limits, MemoryRecords(now_ms).documents, lambda: now[0]), [0]
    gateway = Gateway("far", [], recorder=None, allowances=allowances, clock=now_ms)
    for minute in range(20):
        now[0] = minute * 60_000
        gateway.admit("ada").settle(4)
        with pytest.raises(LimitError, match="2 requests in a minute"):
            gateway.admitted("ada", 2)
    assert len(gateway.admitted("ada", 0)) == 0


def test_processes_share_an_allowance():
    documents, now = MemoryRecords(now_ms).documents, [1_000_000]
    limits = {"all": LimitConfig(tokens_per_day=100)}
    one, two = (Allowances(limits, documents, lambda: now[0]) for _ in range(2))
    one.admit("ada", "far").settle(60)
    two.admit("ada", "far").settle(30)
    one.sync()
    two.sync()
    one.sync()
    one.admit("ada", "far").settle(10)
    one.sync()
    two.sync()
    with pytest.raises(LimitError, match="at most 100 tokens in a day"):
        two.admit("ada", "far")
    now[0] += 86_400_000
    two.admit("ada", "far").settle(1)
    two.sync()
    assert documents.get("allowances", "all/ada").body["day"]["tokens"] == 1


def test_who_may_not_know_of_it_does_not(monkeypatch):
    class Scoped(ByToken):
        async def __call__(self, headers):
            principal = await super().__call__(headers)
            return principal and replace(principal, scopes=(("endpoint", "own"),))

    with serving(lambda _: "Hi!") as service:
        world = World({"url": service.url}, authenticator=Scoped())
        with world.server:
            status, _, body = world.post("/v1/chat/completions", HELLO, Authorization="Bearer ada")
    assert (status, service.asked) == (404, [])
    assert "far" not in body["error"]["message"].partition("received")[0]


@pytest.mark.parametrize("own", ["own", "far"])
def test_a_project_that_only_stands_before_services_is_ready_and_says_what_it_serves(own):
    """It waited for a release of its own for ever; with an endpoint of services as its own one, it had none to ask."""
    world = World({"url": "http://127.0.0.1:9/v1", "model": "m"}, own=own)
    with world.server:
        deadline = time.monotonic() + 10
        while not (health := world.get("/health/ready"))["ready"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (health["ready"], list(health["endpoints"])) == (True, ["far"])
        assert world.get("/ping") == "\n"
        assert world.get("/") == {"endpoints": ["far"]}
        assert [model["id"] for model in world.get("/v1/models")["data"]] == ["far"]
        assert world.post("/predict", {"row": {}})[0] == (404 if own == "own" else 400)


def test_rows_are_not_for_services_and_paths_say_so():
    with serving(lambda _: "Hi!") as service:
        world = World({"url": service.url})
        with world.server:
            status, _, body = world.post("/predict/far", {"rows": [{"x": 1}]})
            bad = world.post("/v1/chat/completions", {"model": "far"})
    assert status == 400
    assert "/v1/chat/completions" in body["error"]["message"]
    assert bad[0] == 200  # the service says what is wrong with a request that is for it


def lines(*answers):
    """A service of raw bytes: for each call of a connection the next answer; and how many connections were made."""
    made = []

    async def answer(reader, writer):
        made.append(1)
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # who called closed it
            for each in answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(each)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    return answer, made


FINE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
CUT = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{}"
CLOSED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}"
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + FINE


@pytest.mark.parametrize(
    ("answers", "results", "connections"),
    [
        ([FINE, FINE, FINE], [b"{}", b"{}", b"{}"], 1),
        ([FINE], [b"{}", b"{}", b"{}"], 3),  # what was closed meanwhile is not used again
        ([FINE.replace(b"200 OK", b"200 OK\r\nconnection: close")], [b"{}", b"{}", b"{}"], 3),
        ([CUT], ["broken", "broken", "broken"], 3),
        ([CLOSED], [b"{}", b"{}", b"{}"], 3),
        ([EARLY, FINE], [b"{}", b"{}", b"{}"], 2),
        ([b"what?\r\n\r\n"], ["broken", "broken", "broken"], 3),
        ([b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"a" * 9999) for n in range(99))], ["broken"], 1),
    ],
)
def test_connections_are_used_again_as_long_as_both_sides_want(answers, results, connections):
    async def run():
        answer, made = lines(*answers)
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        upstream = Upstream(UpstreamConfig(url=f"http://127.0.0.1:{port}/v1", failures=99), name="u")
        came = []
        for _ in results:
            try:
                came.append((await upstream.ask("/chat/completions", b"{}")).body)
            except UpstreamError as error:
                came.append(error.kind)
            await asyncio.sleep(0.02)  # for a connection that is being closed
        upstream.close()
        await asyncio.sleep(0.05)
        server.close()
        await server.wait_closed()
        return came, len(made)

    came, made = asyncio.run(run())
    assert (came, made) == (results, connections)


@pytest.mark.parametrize("content", [b'"\xff"', rb'"\ud800"', b'"\x01"', b"[" * 5000 + b"]" * 5000])
def test_a_request_that_no_service_could_read_reaches_none(content):
    with serving(lambda _: "Hi!") as service:
        world = World({"url": service.url})
        with (
            world.server,
            closing(http.client.HTTPConnection("127.0.0.1", world.server.port, timeout=10)) as connection,
        ):
            body = b'{"model": "far", "messages": [{"role": "user", "content": ' + content + b"}]}"
            connection.request("POST", "/v1/chat/completions", body)
            with connection.getresponse() as answer:
                status = answer.status
    assert (status, service.asked) == (400, [])


@pytest.mark.parametrize("body", WRONG)
def test_a_translated_call_that_gets_no_answer_is_asked_of_another(body):
    with (
        serving(lambda _: (200, body, {"content-type": "application/json"})) as broken,
        serving(lambda _: "Hi!") as fine,
    ):
        world = World({"url": broken.url, "retries": 0}, {"url": fine.url})
        with world.server:
            asked = {"model": "far", "max_tokens": 9, "messages": HELLO["messages"]}
            status, _, answer = world.post("/v1/messages", asked)
    assert (status, answer["content"][0]["text"]) == (200, "Hi!")
    assert world.gateway.upstreams[0].counts.failures == {"broken": 1}


@pytest.mark.parametrize(
    "parts",
    [[event("word ")], [event("word "), 'data: {"choices": 3}\n\n'], [event("word "), 'data: {"choices": [7]}\n\n']],
)
def test_a_translated_stream_that_breaks_off_counts_as_a_failure_of_its_service(parts):
    with serving(lambda _: (200, raw(*parts), {})) as service:
        world = World({"url": service.url, "retries": 0})
        with world.server:
            asked = {"model": "far", "max_tokens": 9, "messages": HELLO["messages"], "stream": True}
            content = world.post("/v1/messages", asked)[2]
    assert b"error" in content
    assert world.gateway.upstreams[0].counts.failures == {"broken": 1}


def test_clocks_that_differ_lose_no_counts_of_a_window():
    """A host whose clock is slow, and a call whose time was taken before the minute turned."""
    documents, slow, fast = MemoryRecords(now_ms).documents, [60_000 * 5 - 500], [60_000 * 5 + 500]
    limits = {"all": LimitConfig(tokens_per_minute=100)}
    late, early = Allowances(limits, documents, lambda: slow[0]), Allowances(limits, documents, lambda: fast[0])
    early.admit("ada", "far").settle(60)
    early.sync()
    late.admit("ada", "far").settle(7)
    late.sync()
    late.sync()
    assert documents.get("allowances", "all/ada").body["minute"]["tokens"] == 60
    fast[0] -= 1_000
    early.admit("ada", "far").settle(50)
    with pytest.raises(LimitError):
        early.admit("ada", "far")
    early.sync()
    entry = documents.get("allowances", "all/ada").body["minute"]
    assert (entry["start_ms"], entry["tokens"]) == (300_000, 110)
    assert documents.get("allowances", "all/ada").body["day"]["tokens"] == 117
    fast[0] -= 10 * 60_000
    early.admit("ada", "far")


def test_what_was_used_is_read_again_until_the_records_answer(caplog):
    documents, limits = MemoryRecords(now_ms).documents, {"all": LimitConfig(tokens_per_day=100)}
    before = Allowances(limits, documents, now_ms)
    before.admit("ada", "far").settle(100)
    before.sync()

    class Away:
        there = False

        def __getattr__(self, name):
            if not self.there:
                raise StoreError("the records are away")
            return getattr(documents, name)

    away = Away()
    allowances = Allowances(limits, away, now_ms)
    allowances.admit("ada", "far").settle(5)
    allowances.sync()
    allowances.sync()
    assert len(caplog.records) == 1
    away.there = True
    allowances.sync()
    with pytest.raises(LimitError):
        allowances.admit("ada", "far")
    assert documents.get("allowances", "all/ada").body["day"]["tokens"] == 105


def test_nobody_stays_under_way_of_calls_that_find_no_place(monkeypatch):
    with serving(lambda _: "Hi!") as service:
        world = World({"url": service.url}, limits={"all": {"tokens_per_day": 1000}})
        with world.server:
            monkeypatch.setattr("bakeoff.web.serving.context.MAX_WAITING", 0)
            status, *_ = world.post("/v1/messages", {"model": "far", "max_tokens": 9, "messages": HELLO["messages"]})
    assert status == 503
    (account,) = world.allowances._accounts.values()
    assert account.under_way == 0


def test_a_reader_that_is_stopped_before_its_first_step_is_under_way_no_more():
    allowances = Allowances({"all": LimitConfig(tokens_per_day=1000)}, MemoryRecords(now_ms).documents, now_ms)
    gateway = Gateway("far", [], recorder=None, allowances=allowances, clock=now_ms)
    call = GatewayCall(protocol="chat", body={}, size=0, caller=None, admission=gateway.admit("ada"))

    async def read():
        reader = ServiceReader(None, gateway, call, [], Sampling())
        reading = asyncio.ensure_future(reader.rest())
        asyncio.get_running_loop().call_soon(reader.stop)
        await reading

    asyncio.run(read())
    (account,) = allowances._accounts.values()
    assert account.under_way == 0


def test_a_body_is_not_read_before_it_is_known_who_calls():
    with serving(lambda _: "Hi!") as service:
        world = World({"url": service.url}, authenticator=ByToken())
        with world.server, closing(http.client.HTTPConnection("127.0.0.1", world.server.port, timeout=5)) as connection:
            connection.putrequest("POST", "/v1/chat/completions")
            connection.putheader("content-length", "1000000")
            connection.endheaders()  # and no byte of the body
            with connection.getresponse() as answer:
                assert answer.status == 401


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_what_a_stream_used_that_breaks_off_is_counted(path):
    with serving(lambda _: (200, raw(event("word " * 40)), {})) as service:
        upstream = {"url": service.url, "retries": 0, "price_in": 1.0, "price_out": 5.0}
        world = World(upstream, limits={"all": {"tokens_per_day": 10_000}})
        with world.server:
            world.post(path, HELLO | {"max_tokens": 99, "stream": True})
            entry = _used(world)
    assert entry.tokens >= 50
    assert entry.usd > 0
    assert len(world.failures) == 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_call_whose_caller_goes_away_before_the_answer_is_counted(path):
    arrived, go = threading.Event(), threading.Event()

    def slow(_):
        arrived.set()
        go.wait(10)
        return "Hi!"

    with serving(slow) as service:
        upstream = {"url": service.url, "retries": 0, "price_in": 1.0, "price_out": 5.0}
        world = World(upstream, limits={"all": {"tokens_per_day": 10_000}})
        body = {"model": "far", "max_tokens": 9, "messages": [{"role": "user", "content": "x" * 4_000}]}
        with world.server:
            with closing(http.client.HTTPConnection("127.0.0.1", world.server.port, timeout=10)) as connection:
                connection.request("POST", path, json.dumps(body).encode())
                assert arrived.wait(10)
            until = time.monotonic() + 5
            while not world.failures and time.monotonic() < until:
                time.sleep(0.01)
            go.set()
            entry = _used(world)
    assert entry.tokens >= 1_000
    assert entry.usd > 0
    assert [each.error for each in world.failures] == ["ConnectionAbortedError"]
    (account,) = world.allowances._accounts.values()
    assert account.under_way == 0


def _used(world):
    (account,) = world.allowances._accounts.values()
    window = account.windows["day"]
    return window.shared + window.own
