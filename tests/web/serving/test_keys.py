"""A caller's key meets the same release by every protocol; over gRPC callers are known as over REST."""

import json

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.web.serving.conftest import SumModel

from bakeoff.core.errors import SecurityError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.releases import Release
from bakeoff.feedback.record import record
from bakeoff.security.roles import Roles
from bakeoff.security.tokens import AccessTokens
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents, MemoryRecords
from bakeoff.web.serving.app import create_app

NOW = 1_000_000
KEYS = [f"caller {at}" for at in range(12)]
ROW = {"a": 1, "b": 2.0}
TENSORS = {"inputs": [{"name": n, "shape": [1], "datatype": "FP64", "data": [ROW[n]]} for n in ROW]}
CHAT = {"messages": [{"role": "user", "content": json.dumps(ROW)}]}


class World:
    """Half of the calls for the live release, half for a canary."""

    def __init__(self) -> None:
        self.events = MemoryEvents(lambda: NOW)
        about = {"endpoint": "sums", "model": "sums", "family": "f", "blob_id": "b"}
        releases = [
            Release(release_id="live", number=1, status="live", share=0.5, **about),
            Release(release_id="canary", number=2, status="canary", share=0.5, **about),
        ]
        engine = Engine(
            "sums",
            load=lambda _: SumModel(),
            routes=lambda: releases,
            prepare=lambda table, *_: table,
            events=self.events,
            clock=lambda: NOW,
        )
        self.plane = DataPlane.of(engine)
        self.app = create_app(self.plane, lambda items, **within: record(self.events, items, **within))

    def releases(self, call):
        """Who answered the calls of each key."""
        before = len(list(self.events.read(PredictionEvent)))
        for key in KEYS:
            call(key)
        return [event.release_id for event in self.events.read(PredictionEvent)][before:]


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/invocations", {"dataframe_records": [ROW]}),
        ("/v2/models/sums/infer", TENSORS),
        ("/v1/chat/completions", CHAT),
        ("/v1/messages", {**CHAT, "max_tokens": 5}),
    ],
)
def test_a_key_meets_one_release_whatever_the_protocol(world, path, body) -> None:
    with TestClient(world.app) as client:

        def call(path, body, **headers):
            answer = client.post(path, json=body, headers=headers)
            assert answer.status_code == 200, answer.text

        by_rows = world.releases(lambda key: call("/predict", {"row": ROW}, **{"x-bakeoff-key": key}))
        assert set(by_rows) == {"live", "canary"}
        assert world.releases(lambda key: call(path, body, **{"x-bakeoff-key": key})) == by_rows
        if path.startswith("/v1/chat"):
            assert world.releases(lambda key: call(path, {**body, "user": key})) == by_rows


def test_over_grpc_keys_names_and_tokens_are_as_over_rest(world) -> None:
    pytest.importorskip("grpc")
    triton = pytest.importorskip("tritonclient.grpc")
    from bakeoff.web.serving.inference_grpc import GrpcServer

    tokens = AccessTokens(MemoryRecords(lambda: NOW).documents, Roles({}), lambda: NOW)
    text = tokens.create("caller", roles=["admin"], scopes=["endpoint:sums"])[1]
    none = tokens.create("other", roles=["admin"], scopes=["endpoint:others"])[1]
    inputs = [triton.InferInput(name, [1], "FP64") for name in ROW]
    for each, value in zip(inputs, ROW.values(), strict=True):
        each.set_data_from_numpy(np.array([float(value)]))
    with TestClient(world.app) as client:
        by_rows = world.releases(lambda key: client.post("/predict", json={"row": ROW}, headers={"x-bakeoff-key": key}))
    with (
        GrpcServer(world.plane, tokens=tokens, model_names=["gpt"]) as server,
        triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client,
    ):

        def call(key, name="sums", **headers):
            headers = headers or {"authorization": f"bearer {text}"}
            return client.infer(name, inputs, headers={**headers, "x-bakeoff-key": key})

        assert world.releases(call) == by_rows
        call("x", "gpt")
        call("x", "sums/1")
        call("x", **{"x-api-key": text})
        for headers, message in (
            ({"x-api-key": none}, "none is yours"),
            ({"authorization": "Bearer no"}, "expected a valid token"),
        ):
            with pytest.raises(triton.InferenceServerException, match=message):
                call("x", **headers)


def test_an_address_of_the_network_is_for_who_trusts_it(world) -> None:
    pytest.importorskip("grpc")
    from bakeoff.web.serving.inference_grpc import GrpcServer

    with pytest.raises(SecurityError, match="Listening in public needs authentication"):
        GrpcServer(world.plane, "0.0.0.0")
    with GrpcServer(world.plane, "0.0.0.0", trusted_network=True) as server:
        assert server.port > 0
