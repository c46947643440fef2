"""The engine: answers, logs, and follows the pointer without losing a call."""

import dataclasses
import itertools
import threading
import time

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError, CorruptError, DataError, NotFoundError, StoreError
from bakeoff.core.events import FailureEvent, PredictionEvent
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.project.files import answered, listed
from bakeoff.serve.engine import Call, Engine
from bakeoff.serve.inputs import NO_GAPS, Gaps
from bakeoff.serve.runtime import Answer
from bakeoff.testing.memory import MemoryEvents

INPUTS = (Column(name="x", kind="numeric", dtype="Float64"), Column(name="note", kind="text", dtype="String"))


class SignModel:
    """Says `pos` for x > 0; every release may say it more or less surely."""

    def __init__(self, surety: float = 0.75, *, task: str = "classification") -> None:
        classes = ("neg", "pos") if task == "classification" else ()
        self.signature = Signature(task=task, inputs=INPUTS, classes=classes)
        self.chosen = {}
        self.surety = surety
        self.pause = threading.Event()
        self.pause.set()

    def predict(self, table: pl.DataFrame) -> Predictions:
        self.pause.wait(10)
        x_n = table["x"].fill_null(0.0).to_numpy()
        if self.signature.task == "regression":
            return Predictions(values_n=x_n + x_n)
        positive_n = np.where(x_n > 0, self.surety, 1 - self.surety)
        return Predictions.of_probabilities(np.stack([1 - positive_n, positive_n], axis=1), ("neg", "pos"))

    def save(self, folder) -> None:
        raise NotImplementedError


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


def a_release(number: int = 1) -> Release:
    return Release(
        release_id=f"r{number}", endpoint="signs", model="sign", number=number, family="sign", blob_id=f"b{number}"
    )


class World:
    """An engine with everything around it in reach."""

    def __init__(self, **settings) -> None:
        self.clock = Clock()
        self.events = settings.pop("events", None) or MemoryEvents(self.clock)
        self.live: Release | None = a_release()
        self.models = {"r1": SignModel(0.75), "r2": SignModel(0.9)}
        self.looks = 0
        self.loads: list[str] = []
        prepare = settings.pop("prepare", lambda table, steps, columns: table)
        self.engine = Engine(
            "signs",
            load=self.load,
            routes=self.routes,
            prepare=prepare,
            events=self.events,
            clock=self.clock,
            **settings,
        )

    def routes(self) -> list[Release]:
        self.looks += 1
        return [self.live] if self.live else []

    def load(self, release: Release) -> SignModel:
        self.loads.append(release.release_id)
        return self.models[release.release_id]

    def logged(self) -> list[PredictionEvent | FailureEvent]:
        return list(self.events.read(PredictionEvent, FailureEvent))


class FullDisk(MemoryEvents):
    def append(self, events, *, durable=True) -> None:
        raise StoreError("no space left on device")


# --- answers ------------------------------------------------------------------------------------


def test_answers_come_in_order_and_say_who_gave_them():
    answers = World(ids=(f"id{i}" for i in itertools.count()).__next__).engine.predict([{"x": 1}, {"x": -1}])
    assert [(a.id, a.label, a.release_id, a.model_version) for a in answers] == [
        ("id0", "pos", "r1", "sign/1"),
        ("id1", "neg", "r1", "sign/1"),
    ]
    assert answers[0].probabilities == {"neg": 0.25, "pos": 0.75}


def test_regression_answers_a_value():
    world = World()
    world.models["r1"] = SignModel(task="regression")
    (answer,) = world.engine.predict([{"x": 1.5}])
    assert (answer.label, answer.value, answer.probabilities) == (None, 3.0, None)
    assert world.logged()[0].value == 3.0


def test_ids_are_long_and_differ():
    ids = {answer.id for answer in World().engine.predict([{"x": 0}] * 500)}
    assert len(ids) == 500
    assert {len(bytes.fromhex(i)) for i in ids} == {16}


def test_no_rows_no_answers():
    world = World()
    assert world.engine.predict([]) == []
    assert world.logged() == []


def test_preparation_steps_of_the_release_are_applied():
    def prepare(table: pl.DataFrame, steps: tuple[str, ...], columns: tuple[Column, ...]) -> pl.DataFrame:
        assert (steps, columns) == ((), INPUTS)
        return table.with_columns(x=-pl.col("x"))

    assert World(prepare=prepare).engine.predict([{"x": 1}])[0].label == "neg"


# --- the log ------------------------------------------------------------------------------------


def test_each_row_is_logged_with_its_inputs_only():
    world = World(timer=iter([1.0, 1.008]).__next__)
    answers = world.engine.predict([{"x": 2, "note": "a", "secret": "s"}, {"x": -2}])
    first, second = world.logged()
    assert first == PredictionEvent(
        time_ms=1_000_000,
        id=answers[0].id,
        endpoint="signs",
        release_id="r1",
        model_version="sign/1",
        row={"x": 2, "note": "a"},
        label="pos",
        probabilities={"neg": 0.25, "pos": 0.75},
        latency_ms=first.latency_ms,
        rows_in_call=2,
        unknown=("secret",),
    )
    assert first.latency_ms == pytest.approx(4.0)
    assert (second.row, second.absent) == ({"x": -2, "note": None}, ("note",))


def test_an_answer_that_cannot_be_logged_is_not_given():
    world = World(events=FullDisk(Clock()))
    with pytest.raises(StoreError, match="no space"):
        world.engine.predict([{"x": 1}])


def test_best_effort_answers_without_a_log_and_says_how_many_records_are_lost():
    world = World(events=FullDisk(Clock()), log="best_effort")
    assert len(world.engine.predict([{"x": 1}, {"x": 2}])) == 2
    assert world.engine.health().lost_log_records == 2


@pytest.mark.parametrize(
    ("rows", "error"),
    [([{"x": "many"}], DataError), ([{"x": 1}] * 4, DataError), ([{"x": 1e308}], CandidateError)],
    ids=["wrong type", "too many", "no finite answer"],
)
def test_failed_calls_are_logged_as_errors_and_not_as_predictions(rows, error):
    world = World(max_rows=3)
    world.models["r1"] = SignModel(task="regression")
    with pytest.raises(error):
        world.engine.predict(rows)
    (event,) = world.logged()
    assert isinstance(event, FailureEvent)
    assert (event.error, event.rows_in_call) == (error.__name__, len(rows))


def test_a_crash_in_a_model_names_the_model():
    world = World()
    world.models["r1"].predict = lambda table: 1 / 0
    with pytest.raises(CandidateError, match="sign/1 failed on 1 rows: ZeroDivisionError"):
        world.engine.predict([{"x": 1}])


def test_a_model_that_drops_rows_is_not_believed():
    world = World()
    world.models["r1"].predict = lambda table: Predictions(values_n=np.array(["pos"]))
    with pytest.raises(CandidateError, match="expected 2 predictions, received 1"):
        world.engine.predict([{"x": 1}, {"x": 1}])


# --- the pointer --------------------------------------------------------------------------------


def test_nothing_released_is_told():
    world = World()
    world.live = None
    with pytest.raises(NotFoundError, match="bakeoff run"):
        world.engine.predict([{"x": 1}])
    assert not world.engine.health().ready


def test_the_pointer_is_looked_at_twice_a_second_at_most():
    world = World()
    for _ in range(10):
        world.engine.predict([{"x": 1}])
    assert world.looks == 1
    world.clock.now_ms += 500
    world.engine.predict([{"x": 1}])
    assert (world.looks, world.loads) == (2, ["r1"])


def test_a_moved_pointer_is_followed():
    world = World()
    world.engine.predict([{"x": 1}])
    world.live = a_release(2)
    assert world.engine.predict([{"x": 1}])[0].release_id == "r1"
    world.clock.now_ms += 500
    (answer,) = world.engine.predict([{"x": 1}])
    assert (answer.release_id, answer.probabilities["pos"]) == ("r2", 0.9)
    assert world.engine.health().model_version == "sign/2"


def test_a_clock_that_goes_back_does_not_stop_the_following():
    world = World()
    world.engine.predict([{"x": 1}])
    world.live = a_release(2)
    world.clock.now_ms -= 86_400_000
    assert world.engine.predict([{"x": 1}])[0].release_id == "r2"


def test_a_call_under_way_ends_with_the_model_that_it_started_with():
    world = World()
    world.engine.refresh()
    world.models["r1"].pause.clear()
    said = []
    slow = threading.Thread(target=lambda: said.extend(world.engine.predict([{"x": 1}])))
    slow.start()
    time.sleep(0.05)
    world.live = a_release(2)
    world.engine.refresh()
    assert world.engine.predict([{"x": 1}])[0].release_id == "r2"
    world.models["r1"].pause.set()
    slow.join(5)
    assert [answer.release_id for answer in said] == ["r1"]
    assert [event.release_id for event in world.logged()] == ["r2", "r1"]


def test_others_go_on_with_the_old_model_while_the_new_one_loads():
    world = World()
    world.engine.refresh()
    loading, loaded = threading.Event(), threading.Event()

    def slow_load(release: Release) -> SignModel:
        loading.set()
        assert loaded.wait(5)
        return world.models[release.release_id]

    world.engine._follower._load = slow_load
    world.live = a_release(2)
    world.clock.now_ms += 500
    first = threading.Thread(target=world.engine.refresh_if_due)
    first.start()
    assert loading.wait(5)
    world.clock.now_ms += 500
    assert world.engine.predict([{"x": 1}])[0].release_id == "r1"
    loaded.set()
    first.join(5)
    assert world.engine.predict([{"x": 1}])[0].release_id == "r2"


def test_a_release_that_cannot_be_loaded_leaves_the_old_one_and_is_tried_again_later():
    world = World()
    world.engine.predict([{"x": 1}])
    good = world.models.pop("r2")

    def load(release: Release) -> SignModel:
        world.loads.append(release.release_id)
        if release.release_id not in world.models:
            raise CorruptError("checksum differs")
        return world.models[release.release_id]

    world.engine._follower._load = load
    world.live = a_release(2)
    for _ in range(4):
        world.clock.now_ms += 500
        assert world.engine.predict([{"x": 1}])[0].release_id == "r1"
    health = world.engine.health()
    assert (health.ready, health.release_id) == (True, "r1")
    assert "cannot load release r2 (sign/2): checksum differs" in health.problem
    assert world.loads == ["r1", "r2"]
    world.models["r2"] = good
    world.clock.now_ms += 10_000
    assert world.engine.predict([{"x": 1}])[0].release_id == "r2"
    assert world.engine.health().problem is None


@pytest.mark.parametrize("kind", [StoreError, ValueError])
def test_records_that_cannot_be_read_leave_the_model_serving(kind):
    world = World()
    world.engine.refresh()

    def broken():
        raise kind("database is locked")

    world.engine._follower._routes = broken
    world.clock.now_ms += 500
    assert world.engine.predict([{"x": 1}])[0].release_id == "r1"
    assert "database is locked" in world.engine.health().problem


def test_no_call_is_lost_or_mixed_while_the_pointer_moves_under_load():
    world = World()
    world.engine.refresh()
    answers, stop = [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answers.append(world.engine.predict([{"x": 1}, {"x": 2}]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in [2, 1, 2, 1, 2]:
        time.sleep(0.04)
        world.live = a_release(number)
        world.clock.now_ms += 500
    time.sleep(0.04)
    stop.set()
    for thread in threads:
        thread.join(5)
    surety = {"r1": 0.75, "r2": 0.9}
    assert all(a.probabilities["pos"] == surety[a.release_id] for pair in answers for a in pair)
    assert all(len({a.release_id for a in pair}) == 1 for pair in answers)
    assert {a.release_id for pair in answers for a in pair} == {"r1", "r2"}
    logged = [event.id for event in world.logged()]
    assert sorted(logged) == sorted(a.id for pair in answers for a in pair)


# --- what rows lack -----------------------------------------------------------------------------


class WholeModel(SignModel):
    """One whose training rows all had an x."""

    def __init__(self) -> None:
        super().__init__()
        whole = (dataclasses.replace(INPUTS[0], fill=0.0), INPUTS[1])
        self.signature = dataclasses.replace(self.signature, inputs=whole)


def test_misspelt_keys_are_refused_and_logged_as_a_failure():
    world = World()
    with pytest.raises(DataError, match=r"row 2: .*'xx' \(did you mean 'x'\?\)"):
        world.engine.predict([{"x": 1}, {"xx": 1}])
    assert [type(event) for event in world.logged()] == [FailureEvent]
    assert world.engine.lacked == {}


def test_what_rows_lack_stands_in_the_answer_the_log_and_the_counts():
    world = World(unknown="warn")
    world.models["r1"] = WholeModel()
    world.live = dataclasses.replace(a_release(), aside=("truth",))
    rows = [{"x": None, "note": "a"}, {"xx": 1}, {"x": 1, "note": "", "truth": "pos"}]
    answers = world.engine.predict(rows)
    assert [answer.gaps for answer in answers] == [
        Gaps(imputed=("x",)),
        Gaps(absent=("x", "note"), imputed=("x",), unknown=("xx",)),
        NO_GAPS,
    ]
    assert [(event.absent, event.imputed, event.unknown) for event in world.logged()] == [
        ((), ("x",), ()),
        (("x", "note"), ("x",), ("xx",)),
        ((), (), ()),
    ]
    assert world.engine.lacked == {
        ("imputed", "x"): 2,
        ("absent", "x"): 1,
        ("absent", "note"): 1,
        ("unknown", ""): 1,
    }


def test_rows_that_cannot_be_answered_do_not_stop_the_others():
    world = World(ids=(f"id{i}" for i in itertools.count()).__next__)
    rows = [{"x": 1}, {"x": "many"}, {"x": -1}, {}, {"xx": 1}, [1], {"x": 2}]
    answers = world.engine.predict_each(rows)
    said = [each.label if isinstance(each, Answer) else str(each) for each in answers]
    assert [said[0], said[2], said[6]] == ["pos", "neg", "pos"]
    assert "column 'x': expected a number, received 'many'" in said[1]
    assert all(isinstance(answers[at], DataError) for at in (1, 3, 4, 5))
    logged = world.logged()
    assert [(type(event), event.rows_in_call) for event in logged] == [(PredictionEvent, 3)] * 3 + [(FailureEvent, 4)]
    assert world.engine.predict_each([]) == []


def test_what_a_release_redacts_does_not_stand_in_the_log() -> None:
    from bakeoff.prepare.personal_data.pii import redactor

    world = World(redact=redactor)
    world.live = dataclasses.replace(
        a_release(), steps=["squeeze_whitespace", {"name": "redact_pii", "kinds": ["email"]}]
    )
    world.engine.predict([{"x": 1.0, "note": "write to ann@example.org, +44 20 7946 0958"}])
    with pytest.raises(DataError):
        world.engine.predict([{"x": "bob@example.org", "note": ""}])
    first, failure = world.logged()
    assert first.row == {"x": 1.0, "note": "write to [email], +44 20 7946 0958"}
    assert "bob@example.org" not in str(failure)
    world.live = a_release(2)
    world.engine.refresh()
    world.engine.predict([{"x": 1.0, "note": "ann@example.org"}])
    assert world.logged()[-1].row["note"] == "ann@example.org"


# --- rows that come again -----------------------------------------------------------------------


def test_a_row_that_comes_again_is_not_computed_again_but_answered_and_logged():
    world = World(cache=2)
    asked: list[int] = []
    model = world.models["r1"]
    predict = model.predict
    model.predict = lambda table: (asked.append(table.height), predict(table))[1]
    first = world.engine.predict([{"x": 1}, {"x": -1}])
    again = world.engine.predict([{"x": -1.0, "other": 5, "note": None}, {"x": 2}, {"x": -1}])
    assert asked == [2, 1]
    assert [answer.label for answer in again] == ["neg", "pos", "neg"]
    assert again[0].probabilities == first[1].probabilities
    assert (again[0].gaps.unknown, again[2].gaps.unknown) == (("other",), ())
    assert len({answer.id for answer in first + again}) == 5 == len(world.logged())
    world.engine.predict([{"x": 1}])  # the one that nobody wanted for longest made room
    assert asked == [2, 1, 1]
    world.live = a_release(2)
    world.engine.refresh()
    assert world.engine.predict([{"x": -1}])[0].probabilities == {"neg": 0.9, "pos": pytest.approx(0.1)}


class SumModel(SignModel):
    """Says the sum of a row's x and of that of the row before it in the table."""

    rows_before = 1

    def __init__(self) -> None:
        super().__init__(task="regression")

    def predict(self, table: pl.DataFrame) -> Predictions:
        x_n = table["x"].to_numpy()
        return Predictions(values_n=x_n + np.concatenate([[0.0], x_n[:-1]]))


def test_a_model_that_looks_back_sees_the_rows_of_its_own_call_and_those_before_it():
    world = World(cache=100)
    world.models["r1"] = SumModel()
    engine = world.engine
    results = engine.predict_calls([Call([{"x": 1}, {"x": 2}]), Call([{"x": 10}])])
    assert [[answer.value for answer in answers] for answers in results] == [[1.0, 3.0], [10.0]]
    assert [answer.value for answer in engine.predict([{"x": 2}, {"x": 1}])] == [2.0, 3.0]  # no kept answers
    before = [{"x": 5}, {"x": 7}]
    assert [answer.value for answer in engine.predict([{"x": 1}, {"x": 2}], before=before)] == [8.0, 3.0]
    each = engine.predict_each([{"x": "many"}, {"x": 2}], before=before)
    assert isinstance(each[0], DataError)
    assert each[1].value == 9.0
    assert engine.rows_before == 1
    assert len(world.logged()) == 3 + 2 + 2 + 2


def test_a_file_in_parts_is_answered_as_the_whole_file():
    world = World()
    world.models["r1"] = SumModel()
    rows = [{"x": x} for x in (1, 2, 3, 4, 5)]
    parts = answered(world.engine, listed(rows, "rows", 2), query=False)
    assert [answer.value for part in parts for answer in part.results] == [1.0, 3.0, 5.0, 7.0, 9.0]
