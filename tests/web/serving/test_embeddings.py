"""POST /v1/embeddings with the official client, over a real socket."""

import base64
import json
import time
import urllib.request

import numpy as np
import pytest

from bakeoff.core.errors import ContextLengthError
from bakeoff.core.generation import Embedded
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Signature
from bakeoff.feedback.record import record
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app

openai = pytest.importorskip("openai")


class Letters:
    """Texts as the angles of their first letters."""

    def embed(self, texts):
        if "break" in texts:
            raise ZeroDivisionError
        if "long" in texts:
            raise ContextLengthError("expected texts of at most 9 tokens, received a longer one")
        angle_n = np.asarray([ord(text[0]) for text in texts]) / 100
        vector_nd = np.stack([np.cos(angle_n), np.sin(angle_n)], axis=1).astype(np.float32)
        return Embedded(vectors_nd=vector_nd, tokens=sum(len(text.split()) for text in texts))


class Model:
    signature = Signature(task="classification", inputs=(Column(name="text", kind="text", dtype="String"),))

    def __init__(self, embedder) -> None:
        self.chosen: dict = {}
        self.embedder = embedder

    def predict(self, table):
        raise NotImplementedError

    def save(self, folder) -> None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def world():
    events = MemoryEvents(lambda: time.time_ns() // 1_000_000)
    model = Model(Letters())
    release = Release(release_id="r1", endpoint="words", model="words", number=3, family="letters", blob_id="b1")
    engine = Engine(
        "words",
        load=lambda _: model,
        routes=lambda: [release],
        prepare=lambda table, steps, columns: table,
        events=events,
        clock=lambda: time.time_ns() // 1_000_000,
    )
    app = create_app(
        DataPlane.of(engine), lambda items, **within: record(events, items, **within), hosts=local_hosts("127.0.0.1")
    )
    with Server(app) as server:
        server.model = model
        yield server


@pytest.fixture
def client(world):
    with openai.OpenAI(base_url=f"{world.url}/v1", api_key="none", max_retries=0, timeout=10) as made:
        yield made


def test_either_format_gives_the_same_vectors_and_counts(client):
    texts = ["a word", "z"]
    packed = client.embeddings.create(model="words", input=texts)  # base64, unless something else is asked
    plain = client.embeddings.create(model="words", input=texts, encoding_format="float")
    expected_nd = Letters().embed(texts).vectors_nd
    for found in (packed, plain):
        np.testing.assert_array_equal(np.asarray([each.embedding for each in found.data], np.float32), expected_nd)
        assert [each.index for each in found.data] == [0, 1]
        assert (found.usage.prompt_tokens, found.usage.total_tokens, found.model) == (3, 3, "words")


def test_base64_is_what_was_asked_for(world):
    body = json.dumps({"input": "abc", "encoding_format": "base64"}).encode()
    request = urllib.request.Request(f"{world.url}/v1/embeddings", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        told = json.load(answer)["data"][0]["embedding"]
    found_d = np.frombuffer(base64.b64decode(told), dtype="<f4")
    np.testing.assert_array_equal(found_d, Letters().embed(["abc"]).vectors_nd[0])


def test_the_width_of_the_encoder_may_be_named(client):
    found = client.embeddings.create(model="words", input="abc", dimensions=2, encoding_format="float")
    np.testing.assert_array_equal(
        np.asarray(found.data[0].embedding, np.float32), Letters().embed(["abc"]).vectors_nd[0]
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"input": [[1, 2, 3]]}, r"input\[0\]: .*check_embedding_ctx_length"),
        ({"input": [1, 2, 3]}, r"input\[0\]: .*tokens are made here"),
        ({"input": ["a", ""]}, r"input\[1\]: .*not empty"),
        ({"input": 3}, "input: expected str or array"),
        ({"input": "a", "extra_body": {"truncate_prompt_tokens": 3}}, "truncate_prompt_tokens: expected it to be left"),
        ({"input": "a", "encoding_format": "ubinary"}, "encoding_format: "),
        ({"input": []}, "1 to 2048 texts"),
        ({"input": ["a"] * 2049}, "1 to 2048 texts"),
        ({"input": ""}, "not empty"),
        ({"input": "a", "dimensions": 8}, "width of the encoder"),
    ],
)
def test_what_is_not_served_is_said(client, given, told):
    with pytest.raises(openai.BadRequestError, match=told):
        client.embeddings.create(model="words", **given)


def test_wrong_names_and_failures_have_their_status(client):
    with pytest.raises(openai.NotFoundError, match="words"):
        client.embeddings.create(model="other", input="a")
    with pytest.raises(openai.InternalServerError, match="ZeroDivisionError"):
        client.embeddings.create(model="words", input="break")


def test_release_without_an_encoder_says_what_to_do(world, client):
    world.model.embedder, kept = None, world.model.embedder
    try:
        with pytest.raises(openai.BadRequestError, match="family embedding or encoder"):
            client.embeddings.create(model="words", input="a")
    finally:
        world.model.embedder = kept


def test_calls_are_counted(world, client):
    client.embeddings.create(model="words", input="a")
    with urllib.request.urlopen(f"{world.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert 'bakeoff_http_requests_total{route="/v1/embeddings",status="200"}' in text


def test_a_text_that_is_too_long_is_refused_as_such(client):
    with pytest.raises(openai.BadRequestError) as raised:
        client.embeddings.create(model="words", input=["long"])
    assert (raised.value.param, raised.value.code) == ("input", "context_length_exceeded")
