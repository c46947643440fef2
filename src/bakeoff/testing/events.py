"""What every `EventLog` must do."""

import threading
from itertools import islice

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.events import Cursor, FailureEvent, FeedbackEvent, KeyEvent, PredictionEvent, RawPrediction, whole
from bakeoff.core.protocols import EventLog
from bakeoff.testing.clock import FakeClock

__all__ = ["EventLogConformance", "failure", "prediction"]

# Each example finds what earlier ones left in the store, and several classes inherit the test.
_shared = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
_examples = settings(max_examples=15, deadline=None, suppress_health_check=_shared, database=None)
_text = st.text(st.characters(exclude_categories=["Cs"]))
_floats = st.floats(allow_nan=False, allow_infinity=False)
_integers = st.integers(-(2**63), 2**64 - 1)
_json = st.recursive(
    st.none() | st.booleans() | _integers | _floats | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_names = st.lists(_text, max_size=2).map(tuple)
_predictions = st.builds(
    PredictionEvent,
    id=_text,
    endpoint=_text,
    release_id=_text,
    model_version=_text,
    row=st.dictionaries(_text, _json, max_size=3),
    label=st.none() | _text,
    value=st.none() | _floats | _text,
    probabilities=st.none() | st.dictionaries(_text, _floats, max_size=2),
    latency_ms=_floats,
    rows_in_call=st.integers(1, 2**40),
    violations=st.lists(st.tuples(_text, _text), max_size=2).map(tuple),
    absent=_names,
    unknown=_names,
    time_ms=st.integers(-(2**62), 2**62),
)
_feedback = st.builds(
    FeedbackEvent,
    id=_text,
    label=_json,
    rating=st.none() | _floats,
    correction=st.none() | _text,
    comment=st.none() | _text,
    implicit=st.none() | st.dictionaries(_text, st.booleans() | _floats | _text, max_size=2),
    source=st.none() | _text,
    known_ms=st.none() | st.integers(0, 2**53),
    time_ms=st.integers(-(2**62), 2**62),
)
_keys = st.builds(KeyEvent, id=_text, prediction_id=_text, time_ms=st.integers(-(2**62), 2**62))


def prediction(name: str, *, text: str = "", time_ms: int | None = None, **fields: object) -> PredictionEvent:
    """A prediction with this id, for tests."""
    given = {"endpoint": "late", "release_id": "r1", "model_version": "m/1", "row": {"text": text}, **fields}
    if time_ms is not None:
        given["time_ms"] = time_ms
    return PredictionEvent(id=name, **given)  # pyright: ignore[reportArgumentType]  # the test's fields


def failure(**fields: object) -> FailureEvent:
    """A failed call, for tests."""
    given = {"endpoint": "late", "release_id": "r1", "model_version": "m/1", "error": "DataError", **fields}
    return FailureEvent(**given)  # pyright: ignore[reportArgumentType]  # the test's fields


def _ids(log: EventLog, after: Cursor | None = None) -> list[str]:
    return [event.id for event in log.read(PredictionEvent, after=after)]


class EventLogConformance:
    """Derive from it and give the fixture `log`: an empty log that reads `clock`."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The clock for the log."""
        return FakeClock()

    @pytest.fixture
    def log(self, clock: FakeClock) -> EventLog:
        """The log under test."""
        raise NotImplementedError

    def test_an_empty_log(self, log: EventLog) -> None:
        """It has no events and nothing to compact; its cursor is a place all the same."""
        reading = log.read(PredictionEvent)
        assert list(reading) == []
        assert log.get(PredictionEvent, ["a"]) == []
        assert log.scan(PredictionEvent).collect().height == 0
        assert log.compact() == 0
        log.append([prediction("a")])
        assert _ids(log, reading.cursor) == ["a"]

    def test_events_come_back_in_order(self, log: EventLog, clock: FakeClock) -> None:
        """By class, timed by the clock unless they bring a time."""
        log.append([prediction("a"), prediction("b", time_ms=7), failure()])
        log.append([FeedbackEvent(id="a", label="ü")])
        log.append([prediction("c")])
        log.append([])
        predictions = list(log.read(PredictionEvent))
        assert [event.id for event in predictions] == ["a", "b", "c"]
        assert [event.time_ms for event in predictions] == [clock.now_ms - 2, 7, clock.now_ms]
        (feedback,) = log.read(FeedbackEvent)
        assert (feedback.id, feedback.label, feedback.time_ms) == ("a", "ü", clock.now_ms - 1)
        both = list(log.read(PredictionEvent, FailureEvent))
        assert [type(event) for event in both] == [PredictionEvent, PredictionEvent, FailureEvent, PredictionEvent]

    @given(events=st.lists(_predictions | _feedback | _keys, max_size=4))
    @_examples
    def test_any_event_comes_back(
        self, log: EventLog, events: list[PredictionEvent | FeedbackEvent | KeyEvent]
    ) -> None:
        """Whatever its texts, numbers and nesting; by reading, by its id, and from where it is archived."""
        kinds = (PredictionEvent, FeedbackEvent, KeyEvent)
        reading = log.read(*kinds)
        list(reading)
        log.append(events)
        assert list(log.read(*kinds, after=reading.cursor)) == events
        for event in events:
            assert event in log.get(type(event), [event.id])
        log.compact()
        assert list(log.read(*kinds, after=reading.cursor)) == events

    @given(events=st.lists(_predictions, max_size=4))
    @_examples
    def test_any_prediction_comes_back_raw(self, log: EventLog, events: list[PredictionEvent]) -> None:
        """With its row and probabilities as JSON, in the place of its class; the same from where it is archived."""
        reading = log.read(RawPrediction, FailureEvent)
        list(reading)
        log.append(events)
        log.append([FeedbackEvent(id="a"), failure()])
        for _ in ("written", "moved"):
            *raw, failed = log.read(RawPrediction, FailureEvent, after=reading.cursor)
            assert isinstance(failed, FailureEvent)
            assert [whole(each) for each in raw if isinstance(each, RawPrediction)] == events
            log.compact()

    @pytest.mark.parametrize(
        ("since_ms", "until_ms", "expected"),
        [(0, None, [10, 20, 30]), (20, None, [20, 30]), (None, 20, [-5, 10]), (10, 30, [10, 20]), (31, None, [])],
    )
    def test_reading_a_time(
        self, log: EventLog, since_ms: int | None, until_ms: int | None, expected: list[int]
    ) -> None:
        """The start is included, the end is not."""
        log.append([prediction(str(time_ms), time_ms=time_ms) for time_ms in (-5, 10, 20, 30)])
        events = log.read(PredictionEvent, since_ms=since_ms, until_ms=until_ms)
        assert [event.time_ms for event in events] == expected

    @pytest.mark.parametrize(
        "event",
        [
            prediction("a", time_ms="now"),  # pyright: ignore[reportArgumentType]  # the point
            prediction("a", time_ms=1.5),  # pyright: ignore[reportArgumentType]  # the point
            prediction("a", time_ms=2**63),
            prediction("a", row={"x": object()}),
        ],
    )
    def test_bad_events_are_refused(self, log: EventLog, event: PredictionEvent) -> None:
        """With `UsageError`, and none of the events is added."""
        with pytest.raises(UsageError):
            log.append([prediction("good"), event])
        assert _ids(log) == []

    def test_floats_that_json_lacks_become_null(self, log: EventLog) -> None:
        """As in any JSON."""
        log.append([prediction("a", row={"value": float("nan"), "nested": [float("inf")]})])
        (event,) = log.read(PredictionEvent)
        assert event.row == {"value": None, "nested": [None]}

    def test_many_threads(self, log: EventLog) -> None:
        """Every event is there once, and each thread's in its order."""

        def work(thread: int) -> None:
            for index in range(20):
                log.append([prediction(f"{thread}/{index}")], durable=index % 2 == 0)
            log.append([prediction(f"{thread}/20")])

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = _ids(log)
        for thread in range(4):
            own = [name for name in names if name.startswith(f"{thread}/")]
            assert own == [f"{thread}/{index}" for index in range(21)]
        assert log.scan(PredictionEvent).collect()["seq"].n_unique() == len(names)

    def test_reading_on_from_a_cursor_gives_each_event_once(self, log: EventLog, clock: FakeClock) -> None:
        """Whatever the clock says, however much is moved meanwhile, and wherever the reading stopped."""
        log.append([prediction("a"), prediction("b")])
        reading = log.read(PredictionEvent)
        assert [event.id for event in reading] == ["a", "b"]
        assert _ids(log, reading.cursor) == []
        clock.now_ms -= 1_000_000
        log.append([FeedbackEvent(id="a")])
        log.append([prediction("c", text="x" * 500)])
        on = log.read(PredictionEvent, after=reading.cursor)
        assert [event.id for event in on] == ["c"]
        for name in "def":
            log.append([prediction(name, text="x" * 500)])
            log.compact()
        assert _ids(log, on.cursor) == ["d", "e", "f"]
        for stop in range(7):
            part = log.read(PredictionEvent)
            assert [event.id for event in islice(part, stop)] == list("abcdef"[:stop])
            assert _ids(log, part.cursor) == list("abcdef"[stop:])

    def test_a_cursor_of_another_log_is_refused(self, log: EventLog) -> None:
        """A place that the log does not have: what was counted up to there is not in it."""
        log.append([prediction(name) for name in "abc"])
        reading = log.read(PredictionEvent)
        list(reading)
        with pytest.raises((NotFoundError, UsageError)):
            list(log.read(PredictionEvent, after=Cursor(reading.cursor + "0")))

    def test_getting_by_id(self, log: EventLog) -> None:
        """All events of the class with one of the ids, in order, wherever they are kept."""
        for index in range(30):
            log.append([prediction(str(index), text="x" * 300), FeedbackEvent(id=str(index // 2), rating=index)])
        for _ in ("written", "moved"):
            assert [event.id for event in log.get(PredictionEvent, ["7", "29", "nobody", "3"])] == ["3", "7", "29"]
            assert [event.rating for event in log.get(FeedbackEvent, ["7"])] == [14, 15]
            assert log.get(FeedbackEvent, []) == log.get(FeedbackEvent, ["29"]) == []
            log.compact()
        log.append([prediction("late"), FeedbackEvent(id="7", rating=1)])
        assert [event.id for event in log.get(PredictionEvent, ["late"])] == ["late"]
        assert [event.rating for event in log.get(FeedbackEvent, ["7"])] == [14, 15, 1]

    def test_scanning_gives_typed_columns(self, log: EventLog) -> None:
        """Whether events were moved or not: also of all together."""
        for index in range(20):
            value = index / 2 if index % 2 else f"text {index}"
            log.append([prediction(str(index), text="x" * 300, value=value, latency_ms=2, absent=("x",))])
        for _ in ("written", "moved"):
            table = log.scan(PredictionEvent).sort("seq").collect()
            assert table["id"].to_list() == [str(index) for index in range(20)]
            assert table["value"].drop_nulls().to_list() == [index / 2 for index in range(1, 20, 2)]
            assert table["value_text"].drop_nulls().to_list() == [f"text {index}" for index in range(0, 20, 2)]
            assert (table.schema["latency_ms"], table["latency_ms"].sum()) == (pl.Float64, 40)
            assert table["absent"].to_list() == [["x"]] * 20
            assert table["row"].str.json_path_match("$.text").n_unique() == 1
            log.compact()
        assert log.scan(FeedbackEvent).collect().height == 0

    def test_compacting_changes_nothing_read(self, log: EventLog) -> None:
        """However much was moved."""
        for index in range(30):
            log.append([failure(message="x" * 300)] if index % 3 else [prediction(str(index), text="x" * 500)])
        kinds = (PredictionEvent, FailureEvent)
        before = [list(log.read(kind)) for kind in kinds] + [list(log.read(*kinds))]
        log.compact()
        assert [list(log.read(kind)) for kind in kinds] + [list(log.read(*kinds))] == before
        log.append([prediction("30")])
        assert _ids(log)[-2:] == ["27", "30"]
