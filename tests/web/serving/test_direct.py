"""Rows past routes and threads: the same answers, for those who may ask, and all else by the ordinary way."""

import json
import threading
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from tests.web.serving.test_app import Served, a_release, now_ms

from bakeoff.core.errors import StoreError
from bakeoff.core.events import FailureEvent, PredictionEvent
from bakeoff.core.principals import ROLES, Principal
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents
from bakeoff.web.server import Server
from bakeoff.web.serving.app import create_app

INPUTS = (Column(name="x", kind="numeric", dtype="Float64"), Column(name="y z", kind="numeric", dtype="Float64"))


class Sums:
    """Adds numbers; it counts the tables that it is asked about."""

    signature = Signature(task="regression", inputs=INPUTS)
    chosen: ClassVar[dict[str, object]] = {}

    def __init__(self) -> None:
        self.tables = 0

    def predict(self, table) -> Predictions:
        self.tables += 1
        return Predictions(values_n=table["x"].fill_null(0.0).to_numpy() + table["y z"].fill_null(0.0).to_numpy())

    def predict_rows(self, rows) -> Predictions:
        return Predictions(values_n=np.array([(row["x"] or 0.0) + (row["y z"] or 0.0) for row in rows]))

    def save(self, folder) -> None:
        raise NotImplementedError


class World(Served):
    """A server of `Sums`, with its parts in reach."""

    def __init__(self, *, authenticator=None, events=None, **settings) -> None:
        self.events = events or MemoryEvents(now_ms)
        self.model, self.live = Sums(), a_release(1)
        self.engine = Engine(
            "sums",
            load=lambda _: self.model,
            routes=lambda: [self.live],
            prepare=lambda table, steps, columns: table,
            events=self.events,
            clock=now_ms,
            **settings,
        )
        self.engine.refresh()
        self.recorded = []
        app = create_app(DataPlane.of(self.engine), self.recorded.extend, authenticator=authenticator)
        self.server = Server(app)

    def sums(self, body, path="/predict", **headers):
        status, answer = self.send("POST", path, json.dumps(body).encode(), **headers)
        return [each["value"] for each in answer["predictions"]] if status == 200 else (status, answer)


@pytest.fixture
def world():
    made = World()
    with made.server:
        yield made


@pytest.mark.parametrize("path", ["/predict", "/predict/sums", "/endpoints/sums/predict"])
def test_rows_are_answered_without_a_table_and_logged(world, path):
    assert world.sums({"row": {"x": 1, "y z": 2.5}}, path) == [3.5]
    assert world.sums({"rows": [{"x": 1, "y z": None}, {"x": -1.0, "y z": 1}]}, path) == [1.0, 0.0]
    assert world.model.tables == 0
    events = list(world.events.read(PredictionEvent))
    assert [(event.row, event.value, event.rows_in_call) for event in events] == [
        ({"x": 1, "y z": 2.5}, 3.5, 1),
        ({"x": 1, "y z": None}, 1.0, 2),
        ({"x": -1.0, "y z": 1}, 0.0, 2),
    ]
    assert (
        f'route="{path if path == "/predict" else path.replace("sums", "{name}")}",status="200"}} 2'
        in world.send("GET", "/metrics")[1]["text"]
    )


@pytest.mark.parametrize(
    "body", [{"row": {"x": "1", "y z": 2}}, {"row": {"x": 1}}, {"rows": [{"X": 1, "y z": 2}]}], ids=str
)
def test_other_rows_take_the_ordinary_way(world, body):
    assert isinstance(world.sums(body)[0], float)
    assert world.model.tables == 1


@pytest.mark.parametrize("body", [{"row": {"x": 1, "y z": 2}, "rows": []}, {}, [], {"rows": [{"x": "?!", "y z": 1}]}])
def test_errors_are_those_of_the_ordinary_way(world, body):
    status, answer = world.sums(body)
    assert status in {400, 422}
    assert answer["error"]["message"]


def test_an_unknown_endpoint_is_told(world):
    assert world.sums({"row": {"x": 1, "y z": 2}}, "/predict/nobody")[0] == 404


def test_no_answer_before_its_record_is_durable():
    """Also when many answers end at once: nobody is told before the group is written."""

    class Held(MemoryEvents):
        def __init__(self) -> None:
            super().__init__(now_ms)
            self.go, self.groups = threading.Event(), []

        def submit(self, events, *, urgent=True):
            done = super().submit([])
            later = type(done)()

            def write() -> None:
                self.go.wait(10)
                self.append(events)
                self.groups.append(len(events))
                later.set_result(None)

            threading.Thread(target=write, daemon=True).start()
            return later

    events = Held()
    world = World(events=events)
    answers = []
    with world.server:
        asking = [
            threading.Thread(target=lambda at=at: answers.append(world.sums({"row": {"x": at, "y z": 0}})))
            for at in range(8)
        ]
        for thread in asking:
            thread.start()
        asking[0].join(0.3)
        assert answers == []
        events.go.set()
        for thread in asking:
            thread.join(10)
    assert sorted(answers) == [[float(at)] for at in range(8)]
    assert sum(events.groups) == 8


class FullDisk(MemoryEvents):
    def append(self, events, *, durable=True) -> None:
        raise StoreError("no space left on device")


def test_a_log_that_fails_fails_the_call_or_is_counted():
    required, best = World(events=FullDisk(now_ms)), World(events=FullDisk(now_ms), log="best_effort")
    with required.server, best.server:
        status, answer = required.sums({"row": {"x": 1, "y z": 2}})
        assert (status, answer["error"]["message"]) == (503, "no space left on device")
        assert best.sums({"row": {"x": 1, "y z": 2}}) == [3.0]
    assert best.engine.health().lost_log_records == 1  # the record is written after the answer


def test_records_that_nobody_waits_for_are_written_before_the_server_ends(monkeypatch):
    monkeypatch.setattr("bakeoff.web.serving.context.GATHER_S", 60.0)
    world = World(log="best_effort")
    with world.server:
        assert world.sums({"rows": [{"x": 1, "y z": 2}, {"x": 3, "y z": 4}]}) == [3.0, 7.0]
        assert not list(world.events.read(PredictionEvent))  # they wait for others
    assert [event.value for event in world.events.read(PredictionEvent)] == [3.0, 7.0]


def test_many_records_that_nobody_waits_for_wait_no_longer_for_others(monkeypatch):
    monkeypatch.setattr("bakeoff.web.serving.context.GATHER_S", 60.0)
    world = World(log="best_effort")
    with world.server:
        assert world.sums({"rows": [{"x": x, "y z": 2} for x in range(32)]}) == [x + 2.0 for x in range(32)]
        assert world.sums({"row": {"x": 1, "y z": 2}}) == [3.0]
        assert len(list(world.events.read(PredictionEvent))) >= 32


def test_what_is_not_to_be_logged_is_not():
    off, some = World(log="off"), World(sample=0.5)
    with off.server, some.server:
        for world in (off, some):
            for x in range(200):
                assert world.sums({"row": {"x": x, "y z": 2}}) == [x + 2.0]
            for _ in range(100):
                assert world.sums({"row": {"x": "?!", "y z": 2}})[0] == 422
    assert not list(off.events.read(PredictionEvent, FailureEvent))
    assert 60 < len(list(some.events.read(PredictionEvent))) < 140
    assert 25 < len(list(some.events.read(FailureEvent))) < 75


def test_callers_are_asked_who_they_are():
    """The short way is behind the same check as the routes."""
    ada = Principal(name="ada", permissions=ROLES["caller"], scopes=(("endpoint", "s*"),))
    bob = replace(ada, scopes=(("endpoint", "others"),))
    eve = replace(ada, permissions=ROLES["viewer"])

    class ByKey:
        async def __call__(self, headers):
            return {"right": ada, "elsewhere": bob, "looks": eve}.get(headers.get("x-api-key", ""))

        def remembered(self, headers):
            return ada if (b"x-api-key", b"remembered") in headers else None

    world = World(authenticator=ByKey())
    body = {"row": {"x": 1, "y z": 2}}
    with world.server:
        assert world.sums(body)[0] == 401
        statuses = [world.sums(body, **{"x-api-key": key})[0] for key in ("wrong", "elsewhere", "looks")]
        assert statuses == [401, 404, 403]
        for key in ("remembered", "right"):
            assert world.sums(body, **{"x-api-key": key}) == [3.0]
    assert world.model.tables == 0
    assert len(list(world.events.read(PredictionEvent))) == 2


def test_a_server_whose_answers_could_not_be_logged_is_not_ready():
    class Stuck(MemoryEvents):
        stuck = False

        def problem(self):
            return "the disk is full" if self.stuck else None

    events = Stuck(now_ms)
    required, best = World(events=events), World(events=events, log="best_effort")
    with required.server, best.server:
        assert required.send("GET", "/health/ready")[0] == 200
        events.stuck = True
        status, health = required.send("GET", "/health/ready")
        assert (status, health["ready"], health["problem"]) == (503, False, "the disk is full")
        assert best.send("GET", "/health/ready")[0] == 200
        assert required.send("GET", "/health/live")[0] == 200
        events.stuck = False
        assert required.send("GET", "/health/ready")[0] == 200
