"""A model that says words back, served over a real socket: what the tests of the APIs for conversations share."""

import json
import threading
import time
from types import MappingProxyType

import numpy as np
import pytest

from bakeoff.chat.client import RefusedError, ServiceError
from bakeoff.core.errors import ContextLengthError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.generation import Piece, Token, ToolCall
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Predictions, Signature
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
    def __init__(self, *, model_names=(), fine_tuning=None) -> None:
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
            lambda items, **within: record(self.events, items, **within),
            hosts=local_hosts("127.0.0.1"),
            model_names=model_names,
            fine_tuning=fine_tuning,
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


class SignModel:
    """Whether x is above 0, with a probability of 0.75."""

    signature = Signature(
        task="classification",
        inputs=(Column(name="x", kind="numeric", dtype="Float64"), Column(name="note", kind="text", dtype="String")),
        classes=("neg", "pos"),
    )
    chosen = MappingProxyType({})

    def predict(self, table):
        positive_n = np.where(table["x"].fill_null(0.0).to_numpy() > 0, 0.75, 0.25)
        return Predictions.of_probabilities(np.stack([1 - positive_n, positive_n], axis=1), ("neg", "pos"))

    def save(self, folder) -> None:
        raise NotImplementedError


class TopicModel(SignModel):
    """ "long" for texts of more than ten letters, for certain."""

    signature = Signature(
        task="classification", inputs=(Column(name="text", kind="text", dtype="String"),), classes=("long", "short")
    )

    def predict(self, table):
        long_n = (table["text"].str.len_chars().to_numpy() > 10).astype(float)
        return Predictions.of_probabilities(np.stack([long_n, 1 - long_n], axis=1), ("long", "short"))


class SumModel(SignModel):
    """a + 10 b; a missing b is 0."""

    signature = Signature(
        task="regression",
        inputs=(Column(name="a", kind="numeric", dtype="Int64"), Column(name="b", kind="numeric", dtype="Float64")),
    )

    def predict(self, table):
        return Predictions(values_n=table["a"].to_numpy() + 10.0 * table["b"].fill_null(0.0).to_numpy())


class RowWorld:
    """Endpoints of models that answer rows: signs (the default one), topics and sums."""

    def __init__(self) -> None:
        self.events = MemoryEvents(lambda: time.time_ns() // 1_000_000)
        models = {"signs": SignModel(), "topics": TopicModel(), "sums": SumModel()}

        def engine(name):
            release = Release(release_id=f"r-{name}", endpoint=name, model=name, number=3, family="f", blob_id="b")
            return Engine(
                name,
                load=lambda _: models[name],
                routes=lambda: [release],
                prepare=lambda table, steps, columns: table,
                events=self.events,
                clock=lambda: time.time_ns() // 1_000_000,
            )

        self.plane = DataPlane.of(*map(engine, models))
        self.app = create_app(
            self.plane, lambda items, **within: record(self.events, items, **within), hosts=local_hosts("127.0.0.1")
        )
        self.server = Server(self.app)

    def logged(self) -> list[PredictionEvent]:
        return list(self.events.read(PredictionEvent))


@pytest.fixture(scope="package")
def row_world():
    made = RowWorld()
    with made.server:
        yield made
