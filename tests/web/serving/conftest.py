"""A model that says words back, served over a real socket: what the tests of the APIs for conversations share."""

import json
import threading
import time

import pytest

from bakeoff.chat.client import RefusedError, ServiceError
from bakeoff.core.errors import ContextLengthError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.generation import Piece, Token, ToolCall
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Signature
from bakeoff.feedback.record import record
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app

QUESTION = Column(name="question", kind="text", dtype="String")


class EchoModel:
    """Says the last message back, word by word; waits for `pause` after the first."""

    signature = Signature(task="generation", inputs=(QUESTION,))
    able = frozenset({"logprobs", "response_format", "frequency_penalty", "presence_penalty", "logit_bias", "tools"})

    def __init__(self) -> None:
        self.chosen: dict = {}
        self.asked: list = []
        self.pause = threading.Event()
        self.pause.set()
        self.closed = threading.Event()
        self.given = self.paused = self.cached = 0

    def chat(self, messages, sampling):
        self.asked.append(sampling)
        sampling.require(self.able, "the echo")
        self.messages = messages
        words = str(messages[-1]["content"]).split()
        if sampling.tools and words[:1] == ["call"]:
            return self._calls(words[1:], sampling)
        if len(words) > 50:
            raise ContextLengthError(f"expected a prompt of at most 50 tokens, received {len(words)}")
        if words[:1] == ["break"]:
            raise {"upstream": ServiceError, "refuse": RefusedError, "disk": OSError}[words[1]](28, "no room")
        return self._words(words[: sampling.max_tokens], sampling, cut=len(words) > sampling.max_tokens)

    def _words(self, words, sampling, *, cut):
        try:
            self.given = 0
            for i, word in enumerate(words):
                if i:
                    self.paused += 1
                    self.pause.wait(10)
                self.given += 1
                tokens = (
                    (Token(id=i, text=word, logprob=-0.5, top=(("x", -1.0),)[: sampling.top_logprobs]),)
                    if sampling.top_logprobs is not None
                    else ()
                )
                yield Piece(text=word + " ", tokens=tokens)
            finish = "length" if cut else "stop"
            yield Piece(finish=finish, prompt_tokens=7, completion_tokens=len(words), cached_tokens=self.cached)
        finally:
            self.closed.set()

    def _calls(self, words, sampling):
        """Calls the first tools with {"say": word}, in two bits each."""
        for at, word in enumerate(words):
            name = str(sampling.tools[at % len(sampling.tools)]["name"])
            yield Piece(calls=(ToolCall(index=at, id=f"call_{at}", name=name, arguments='{"say": '),))
            yield Piece(calls=(ToolCall(index=at, arguments=json.dumps(word) + "}"),))
        yield Piece(finish="tool_calls", prompt_tokens=7, completion_tokens=len(words))

    def prompt_tokens(self, messages, tools=()):
        return sum(len(str(message["content"]).split()) for message in messages) + 10 * len(tools)

    def predict(self, table):
        raise NotImplementedError

    def save(self, folder) -> None:
        raise NotImplementedError


class World:
    def __init__(self, *, model_names=()) -> None:
        self.events = MemoryEvents(lambda: time.time_ns() // 1_000_000)
        self.model = EchoModel()
        release = Release(release_id="r1", endpoint="talk", model="talk", number=1, family="echo", blob_id="b1")
        engine = Engine(
            "talk",
            load=lambda _: self.model,
            routes=lambda: [release],
            prepare=lambda table, steps, columns: table,
            events=self.events,
            clock=lambda: time.time_ns() // 1_000_000,
        )
        self.app = create_app(
            DataPlane.of(engine),
            lambda items: record(self.events, items),
            hosts=local_hosts("127.0.0.1"),
            model_names=model_names,
        )
        self.server = Server(self.app)

    def client(self):
        openai = pytest.importorskip("openai")
        return openai.OpenAI(base_url=f"{self.server.url}/v1", api_key="none", max_retries=0, timeout=10)

    def logged(self) -> list[PredictionEvent]:
        return list(self.events.read(PredictionEvent))


@pytest.fixture(scope="package")
def talk():
    made = World()
    with made.server:
        yield made
