"""An engine with a canary or a shadow: nobody is left without an answer, and the log says who answered."""

import threading
from collections import UserDict

import msgspec
import numpy as np
import pytest

from bakeoff.core.errors import CandidateError, CorruptError, DataError, StoreError
from bakeoff.core.events import FailureEvent, PredictionEvent
from bakeoff.core.generation import Piece, Sampling
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.data.contract import from_bytes
from bakeoff.data.contract_rows import compiled
from bakeoff.serve import releases
from bakeoff.serve.endpoints import Endpoints
from bakeoff.serve.engine import Call, Engine
from bakeoff.serve.mirror import Mirror
from bakeoff.testing.memory import MemoryEvents, MemoryRecords

INPUTS = (Column(name="x", kind="numeric", dtype="Float64"),)


class SignModel:
    """Says `pos` for x > 0, more or less surely."""

    def __init__(self, surety: float = 0.75, *, task: str = "classification") -> None:
        classes = ("neg", "pos") if task == "classification" else ()
        self.signature = Signature(task=task, inputs=INPUTS, classes=classes)
        self.chosen = {}
        self.surety = surety

    def predict(self, table):
        x_n = table["x"].to_numpy()
        positive_n = np.where(x_n > 0, self.surety, 1 - self.surety)
        return Predictions.of_probabilities(np.stack([1 - positive_n, positive_n], axis=1), ("neg", "pos"))

    def save(self, folder) -> None:
        raise NotImplementedError


class World:
    """An endpoint with release 1 live and release 2 beside it."""

    def __init__(self, role: str | None = None, *, share: float = 1.0, **settings) -> None:
        self.contract_id = "c" if "check" in settings else None
        self.documents = MemoryRecords(self.clock).documents
        self.events = MemoryEvents(self.clock)
        self.endpoints = Endpoints(self.documents, self.clock, who="ann")
        self.models = {1: SignModel(0.75), 2: SignModel(0.9)}
        self.loads: list[int] = []
        self.first, self.second = (self.release(number) for number in (1, 2))
        self.endpoints.release("signs", self.first)
        if role == "canary":
            self.endpoints.canary("signs", self.second, share=share)
        if role == "shadow":
            self.endpoints.shadow("signs", self.second, share=share)
        self.engine = Engine(
            "signs",
            load=self.load,
            routes=lambda: releases.routed(self.documents, "signs"),
            prepare=lambda table, steps, columns: table,
            events=self.events,
            clock=self.clock,
            **settings,
        )

    def clock(self) -> int:
        return 1_000_000

    def release(self, number: int) -> str:
        return releases.make_release(
            self.documents,
            endpoint="signs",
            model="sign",
            number=number,
            family="sign",
            blob_id=f"b{number}",
            contract_id=self.contract_id,
            clock=self.clock,
        ).release_id

    def load(self, release):
        self.loads.append(release.number)
        return self.models[release.number]

    def logged(self):
        return list(self.events.read(PredictionEvent, FailureEvent))


class Broken(SignModel):
    def predict(self, table):
        raise RuntimeError("out of order")


class Unreadable(SignModel):
    def predict(self, table):
        raise CorruptError("a file of the model is damaged")


class Nan(SignModel):
    def predict(self, table):
        return Predictions(
            values_n=np.array(["pos"] * len(table)),
            probabilities_nk=np.full((len(table), 2), np.nan),
            classes=("neg", "pos"),
        )


class OtherInputs(SignModel):
    def __init__(self) -> None:
        super().__init__()
        self.signature = Signature(
            task="classification",
            inputs=(Column(name="height", kind="numeric", dtype="Float64"),),
            classes=("neg", "pos"),
        )


def test_the_canary_answers_and_is_logged_as_such():
    world = World("canary")
    (answer,) = world.engine.predict([{"x": 1}], key="ann")
    assert (answer.release_id, answer.probabilities["pos"]) == (world.second, 0.9)
    (event,) = world.logged()
    assert (event.role, event.release_id, event.served) == ("canary", world.second, True)


def test_live_answers_have_the_bytes_of_before():
    world = World()
    world.engine.predict([{"x": 1}])
    (event,) = world.logged()
    assert (event.role, event.shadow_of) == ("live", None)
    assert b"role" not in msgspec.json.encode(event)
    assert b"shadow_of" not in msgspec.json.encode(event)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        (Broken(), "CandidateError"),
        (Unreadable(), "CandidateError"),
        (Nan(), "CandidateError"),
        (OtherInputs(), "DataError"),
        (SignModel(task="regression"), "CandidateError"),
    ],
    ids=["fails", "unreadable", "NaN", "other inputs", "another task"],
)
@pytest.mark.parametrize("each", [False, True])
def test_the_live_release_answers_where_the_canary_fails(model, error, each):
    world = World("canary")
    world.models[2] = model
    ask = world.engine.predict_each if each else world.engine.predict
    (answer,) = ask([{"x": 1}])
    assert (answer.release_id, answer.label) == (world.first, "pos")
    failure = next(event for event in world.logged() if isinstance(event, FailureEvent))
    assert (failure.role, failure.release_id, failure.error) == ("canary", world.second, error)
    assert [event.role for event in world.logged() if isinstance(event, PredictionEvent)] == ["live"]


def test_a_canary_that_cannot_be_loaded_is_evidence_and_stops_nobody():
    world = World("canary")
    del world.models[2]
    assert [world.engine.predict([{"x": 1}])[0].release_id for _ in range(3)] == [world.first] * 3
    failures = [event for event in world.logged() if isinstance(event, FailureEvent)]
    assert [(each.role, "could not be loaded" in each.message) for each in failures] == [("canary", True)] * 3
    health = world.engine.health()
    assert (health.ready, health.release_id) == (True, world.first)
    assert f"cannot load release {world.second}" in health.problem
    assert world.loads == [1, 2]  # and not again at each call


def test_what_the_caller_did_wrong_is_no_evidence_against_the_canary():
    world = World("canary")
    with pytest.raises(DataError):
        world.engine.predict([{"x": "many"}])
    (failure,) = world.logged()
    assert (failure.role, failure.release_id) == ("live", world.first)


def test_an_answer_that_cannot_be_logged_is_not_given_by_another():
    world = World("canary")

    def full(events, *, durable=True):
        raise StoreError("no space left")

    world.events.append = full
    with pytest.raises(StoreError, match="no space"):
        world.engine.predict([{"x": 1}])


def test_a_promoted_canary_is_not_loaded_again():
    world = World("canary")
    world.engine.predict([{"x": 1}])
    world.endpoints.promote("signs")
    world.engine.refresh()
    world.engine.predict([{"x": 1}])
    assert [event.role for event in world.logged()] == ["canary", "live"]
    assert world.loads == [1, 2]


def test_shadow_answers_stand_beside_the_live_ones():
    world = World("shadow")
    world.models[2].surety = 0.1
    answers = world.engine.predict([{"x": 1}, {"x": -1}])
    world.engine.mirror.wait()
    assert [answer.release_id for answer in answers] == [world.first] * 2
    shadows = [event for event in world.logged() if event.role == "shadow"]
    assert [event.shadow_of for event in shadows] == [answer.id for answer in answers]
    assert [(event.release_id, event.label, event.served) for event in shadows] == [
        (world.second, "neg", False),
        (world.second, "pos", False),
    ]


def test_a_failing_shadow_is_logged_and_nobody_notices():
    world = World("shadow")
    world.models[2] = Broken()
    assert world.engine.predict([{"x": 1}])[0].release_id == world.first
    world.engine.mirror.wait()
    (failure,) = (event for event in world.logged() if isinstance(event, FailureEvent))
    assert (failure.role, failure.served) == ("shadow", False)


def test_what_the_mirror_has_no_room_for_is_counted():
    mirror, go, done = Mirror(room=2), threading.Event(), []
    begun = threading.Event()
    mirror.offer(lambda: (begun.set(), go.wait(10)))
    begun.wait(10)
    for i in range(5):
        mirror.offer(lambda i=i: done.append(i))
    assert mirror.dropped == 3
    go.set()
    mirror.wait()
    assert done == [0, 1]


def test_rows_that_neither_can_answer_count_against_nobody():
    world = World("canary")
    rows = [{"x": 1}, {"x": "many"}, {"x": -1}]
    pos, refused, neg = world.engine.predict_each(rows)
    assert [(each.release_id, each.label) for each in (pos, neg)] == [(world.second, "pos"), (world.second, "neg")]
    assert isinstance(refused, DataError)
    assert [(type(event), event.role) for event in world.logged()] == [
        (PredictionEvent, "canary"),
        (PredictionEvent, "canary"),
        (FailureEvent, "live"),
    ]
    world.models[2].predict = lambda _: pytest.fail("there is nothing to ask")
    (refused,) = world.engine.predict_each([{"x": "many"}])
    assert isinstance(refused, DataError)
    assert [event.role for event in world.logged()[3:]] == ["live"]


def in_range(_, columns):
    """A contract under which x is no greater than 4."""
    contract = from_bytes(b'{"columns": {"x": {"type": {"kind": "numeric"}, "range": {"max": 4}}}}')
    return compiled(contract, columns)


@pytest.mark.parametrize("role", [None, "canary"])
def test_each_violation_counts_once_among_rows_that_cannot_be_answered(role):
    world = World(role, check=in_range)
    answers = world.engine.predict_each([{"x": 1}, {"x": 5}, {"x": "many"}, {"x": 6}])
    assert [isinstance(each, DataError) for each in answers] == [False, True, True, True]
    assert world.engine.violated == {("x", "range"): 2, ("x", "type"): 1}


def test_each_violation_counts_once_when_calls_together_fail():
    world = World(check=in_range, on_violation="log")
    world.engine.refresh()
    predict = world.models[1].predict

    def odd(table):
        if 3.0 in table["x"]:
            raise RuntimeError("no threes")
        return predict(table)

    world.models[1].predict = odd
    results = world.engine.predict_calls([Call([{"x": 5}]), Call([{"x": 3}]), Call([{"x": 6}, {"x": -1}])])
    assert [[each.label for each in results[at]] for at in (0, 2)] == [["pos"], ["pos", "neg"]]
    assert isinstance(results[1], CandidateError)
    assert world.engine.violated == {("x", "range"): 2}
    assert sorted(type(event).__name__ for event in world.logged()) == ["FailureEvent", *["PredictionEvent"] * 3]


@pytest.mark.parametrize("paused", [True, False])
def test_calls_are_answered_together_beside_a_shadow_or_a_paused_canary(paused):
    world = World("canary" if paused else "shadow")
    if paused:
        world.endpoints.pause("signs")
    world.engine.refresh()
    tables = []
    predict = world.models[1].predict
    world.models[1].predict = lambda table: tables.append(table.height) or predict(table)
    results = world.engine.predict_calls([Call([{"x": 1}]), Call([{"x": -1}, {"x": 2}]), Call([{"x": "many"}])])
    assert tables == [3]
    world.engine.mirror.wait()
    shadows = [event for event in world.logged() if event.role == "shadow"]
    live_ids = [each.id for result in results[:2] for each in result]
    assert [event.shadow_of for event in shadows] == ([] if paused else live_ids)


def test_the_direct_path_is_open_while_nothing_else_takes_part(monkeypatch):
    world = World("canary")
    world.engine.refresh()
    world.engine._follower.loaded.live.row_path = object()
    assert world.engine.direct is None
    world.endpoints.pause("signs")
    world.engine.refresh()
    assert world.engine.direct is not None


@pytest.mark.parametrize("make", ["promote", "pause"])
def test_a_runtime_in_another_role_is_not_made_anew(make):
    world = World("canary", cache=10)
    world.engine.predict([{"x": 1}])
    made = world.engine._follower.loaded.runtimes[world.second]
    world.engine._follower._make = lambda *_: 1 / 0
    getattr(world.endpoints, make)("signs")
    world.engine.refresh()
    runtime = world.engine._follower.loaded.runtimes[world.second]
    assert (runtime.release.status, runtime.model) == ("live" if make == "promote" else "canary", made.model)
    world.models[2].predict = lambda _: pytest.fail("the answer is known")
    assert runtime.answers(runtime.admitted([{"x": 1}], lambda _: None), lambda: "id")[0].label == "pos"
    assert made.release.status == "canary"


def test_without_room_nothing_is_copied():
    class Row(UserDict):
        def keys(self):
            copied.append(1)
            return super().keys()

    world, copied = World("shadow"), []
    world.engine.mirror, go, begun = Mirror(room=1), threading.Event(), threading.Event()
    world.engine.mirror.offer(lambda: (begun.set(), go.wait(10)))
    begun.wait(10)
    world.engine.mirror.offer(lambda: None)
    serving, answers = world.engine._follower.current(), world.engine.predict([{"x": 1}])
    world.engine._mirror(serving, serving.routes[1], [Row(x=1)], answers)
    assert (copied, world.engine.health().unmirrored_calls) == ([], 2)
    go.set()
    world.engine.mirror.wait()
    world.engine._mirror(serving, serving.routes[1], [Row(x=1)], answers)
    assert copied == [1]


# --- conversations ------------------------------------------------------------------------------


class Talker:
    signature = Signature(task="generation", inputs=(Column(name="q", kind="text", dtype="String"),))

    def __init__(self, *pieces: str, breaks: bool = False) -> None:
        self.chosen, self.pieces, self.breaks = {}, pieces, breaks

    def chat(self, messages, sampling):
        for text in self.pieces:
            yield Piece(text=text)
        if self.breaks:
            raise RuntimeError("gone")
        yield Piece(finish="stop")

    def predict(self, table):
        raise NotImplementedError

    def save(self, folder):
        raise NotImplementedError


def talk(world: World) -> str:
    pieces = world.engine.chat([{"role": "user", "content": "hello"}], Sampling(), answer_id="a1")
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize("canary", [Talker(), Talker("", ""), Talker(breaks=True)], ids=["empty", "blank", "breaks"])
def test_the_live_release_speaks_where_the_canary_says_nothing(canary):
    world = World("canary")
    world.models = {1: Talker("good ", "day"), 2: canary}
    assert talk(world) == "good day"
    failure, answer = world.logged()
    if isinstance(answer, FailureEvent):
        failure, answer = answer, failure
    assert (failure.role, failure.release_id, answer.role, answer.value) == ("canary", world.second, "live", "good day")
    assert answer.id == "a1"


def test_a_canary_that_breaks_off_in_the_middle_is_a_failure_of_its_own():
    world = World("canary")
    world.models = {1: Talker("good"), 2: Talker("bad", breaks=True)}
    with pytest.raises(RuntimeError, match="gone"):
        talk(world)
    (failure,) = world.logged()
    assert (failure.role, failure.release_id) == ("canary", world.second)


def test_conversations_are_mirrored():
    world = World("shadow")
    world.models = {1: Talker("good ", "day"), 2: Talker("bad ", "day")}
    assert talk(world) == "good day"
    world.engine.mirror.wait()
    live, shadow = world.logged()
    assert (live.value, shadow.value, shadow.shadow_of, shadow.role) == ("good day", "bad day", "a1", "shadow")


def test_the_unloadable_live_release_does_not_stop_the_one_before():
    world = World()
    world.engine.predict([{"x": 1}])
    del world.models[2]
    world.endpoints.release("signs", world.second)
    world.engine.refresh()
    assert world.engine.predict([{"x": 1}])[0].release_id == world.first
    world.models[1].surety = float("nan")
    with pytest.raises(CandidateError):
        world.engine.predict([{"x": 1}])
