"""The OpenAI API with the official client, over a real socket."""

import contextlib
import json
import threading
import time
import urllib.request

import pytest

from bakeoff.core.errors import DataError
from bakeoff.core.generation import Piece, Token
from bakeoff.core.types import Column, Signature
from bakeoff.feedback.record import record
from bakeoff.serve.engine import Engine
from bakeoff.serve.releases import Release
from bakeoff.testing.memory import MemoryEvents
from bakeoff.web.app import create_app
from bakeoff.web.server import Server, local_hosts

openai = pytest.importorskip("openai")

QUESTION = Column(name="question", kind="text", dtype="String")


class EchoModel:
    """Says the last message back, word by word; waits for `pause` after the first."""

    signature = Signature(task="generation", inputs=(QUESTION,))

    def __init__(self) -> None:
        self.chosen: dict = {}
        self.asked: list = []
        self.pause = threading.Event()
        self.pause.set()
        self.closed = threading.Event()

    def chat(self, messages, sampling):
        self.asked.append(sampling)
        words = str(messages[-1]["content"]).split()
        if len(words) > 50:
            raise DataError(f"expected a prompt of at most 50 tokens, received {len(words)}")
        return self._words(words[: sampling.max_tokens], sampling, cut=len(words) > sampling.max_tokens)

    def _words(self, words, sampling, *, cut):
        try:
            for i, word in enumerate(words):
                if i:
                    self.pause.wait(10)
                tokens = (Token(id=i, text=word, logprob=-0.5, top=(("x", -1.0),)),) if sampling.top_logprobs else ()
                yield Piece(text=word + " ", tokens=tokens)
            yield Piece(finish="length" if cut else "stop", prompt_tokens=7, completion_tokens=len(words))
        finally:
            self.closed.set()

    def predict(self, table):
        raise NotImplementedError

    def save(self, folder) -> None:
        raise NotImplementedError


class World:
    def __init__(self) -> None:
        self.events = MemoryEvents(lambda: time.time_ns() // 1_000_000)
        self.model = EchoModel()
        release = Release(release_id="r1", endpoint="talk", model="talk", number=1, family="echo", blob_id="b1")
        engine = Engine(
            "talk",
            load=lambda _: self.model,
            pointer=lambda: release,
            prepare=lambda table, steps, columns: table,
            events=self.events,
            clock=lambda: time.time_ns() // 1_000_000,
        )
        app = create_app(engine, lambda items: record(self.events, items), hosts=local_hosts("127.0.0.1"))
        self.server = Server(app)

    def client(self):
        return openai.OpenAI(base_url=f"{self.server.url}/v1", api_key="none", max_retries=0, timeout=10)

    def logged(self) -> list[dict]:
        return list(self.events.read("prediction"))


@pytest.fixture(scope="module")
def world():
    made = World()
    with made.server:
        yield made


def said(text: str) -> list[dict]:
    return [{"role": "system", "content": "Repeat."}, {"role": "user", "content": text}]


def test_whole_answer_is_logged_under_its_id(world):
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=said("one two three"))
    assert answer.choices[0].message.content == "one two three "
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 3, 10)
    event = next(event for event in world.logged() if event.get("id") == answer.id)
    assert event["value"] == "one two three "
    turns = [dict(turn) for turn in said("one two three")]
    assert json.loads(event["row"]["question"]) == turns


def test_lone_question_is_logged_as_a_row_of_the_dataset(world):
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=[{"role": "user", "content": "Who?"}])
    event = next(event for event in world.logged() if event.get("id") == answer.id)
    assert event["row"] == {"question": "Who?"}


def test_stream_comes_piece_by_piece_and_counts_when_asked(world):
    with world.client() as client:
        stream = client.chat.completions.create(
            model="talk", messages=said("a b c"), stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "a b c "
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 10
    assert len({chunk.id for chunk in chunks}) == 1
    assert any(event.get("id") == chunks[0].id for event in world.logged())


def test_first_words_arrive_before_the_last_are_made(world):
    world.model.pause.clear()
    try:
        with world.client() as client:
            stream = iter(client.chat.completions.create(model="talk", messages=said("now later"), stream=True))
            assert next(stream).choices[0].delta.role == "assistant"
            assert next(stream).choices[0].delta.content == "now "
            world.model.pause.set()
            assert next(chunk.choices[0].delta.content for chunk in stream) == "later "
    finally:
        world.model.pause.set()


def test_reader_that_goes_away_stops_the_model_and_what_was_said_is_logged(world):
    world.model.closed.clear()
    text = " ".join(f"w{i}" for i in range(40))
    with world.client() as client:
        stream = client.chat.completions.create(model="talk", messages=said(text), stream=True)
        first = next(iter(stream))
        stream.close()
    assert world.model.closed.wait(10)
    deadline = time.monotonic() + 10
    while not any(event.get("id") == first.id for event in world.logged()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert any(event.get("id") == first.id for event in world.logged())


def test_logprobs_limits_and_schema_reach_the_model(world):
    with world.client() as client:
        answer = client.chat.completions.create(
            model="talk",
            messages=said("one two three"),
            max_tokens=2,
            logprobs=True,
            top_logprobs=1,
            stop="END",
            seed=5,
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        )
    assert answer.choices[0].finish_reason == "length"
    assert [token.token for token in answer.choices[0].logprobs.content] == ["one", "two"]
    assert answer.choices[0].logprobs.content[0].top_logprobs[0].logprob == -1.0
    sampling = world.model.asked[-1]
    assert (sampling.max_tokens, sampling.stop, sampling.seed) == (2, ("END",), 5)
    assert sampling.json_schema == {"type": "object"}


def test_models_lists_the_endpoint(world):
    with world.client() as client:
        assert [model.id for model in client.models.list()] == ["talk"]


def test_feedback_finds_the_answer(world):
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=said("hello"))
    body = json.dumps({"items": [{"id": answer.id, "rating": -1, "correction": "Hello to you."}]}).encode()
    request = urllib.request.Request(
        f"{world.server.url}/feedback", body, {"content-type": "application/json"}, method="POST"
    )
    with contextlib.closing(urllib.request.urlopen(request, timeout=10)) as response:
        assert json.load(response)["accepted"] == 1


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "user"}]}, "a role and a content"),
        ({"messages": [{"role": "king", "content": "x"}]}, "a role and a content"),
        ({"n": 2}, "n: expected 1"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "parts of type text"),
        ({"response_format": {"type": "xml"}}, "response_format"),
    ],
)
def test_bad_requests_say_what_was_expected(world, change, part):
    with world.client() as client, pytest.raises(openai.BadRequestError, match=part):
        client.chat.completions.create(**{"model": "talk", "messages": said("x"), **change})


def test_unknown_model_and_too_long_prompt(world):
    with world.client() as client:
        with pytest.raises(openai.NotFoundError, match="expected model 'talk'"):
            client.chat.completions.create(model="other", messages=said("x"))
        for stream in (False, True):
            with pytest.raises(openai.UnprocessableEntityError, match="at most 50 tokens"):
                client.chat.completions.create(model="talk", messages=said("x " * 60), stream=stream)


def test_text_parts_are_joined(world):
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content == "one two "
