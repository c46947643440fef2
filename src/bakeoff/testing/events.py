"""What every `EventLog` must do."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import UsageError
from bakeoff.core.protocols import EventKind, EventLog
from bakeoff.testing.clock import FakeClock

__all__ = ["EventLogConformance"]

# Each example finds what earlier ones left in the store, and several classes inherit the test.
_shared = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
_examples = settings(max_examples=15, deadline=None, suppress_health_check=_shared, database=None)
_text = st.text(st.characters(exclude_categories=["Cs"]))
_integers = st.integers(-(2**63), 2**64 - 1)
_json = st.recursive(
    st.none() | st.booleans() | _integers | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)


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
        """It has no events and nothing to compact."""
        assert list(log.read("prediction")) == []
        assert log.compact() == 0

    def test_events_come_back_in_order(self, log: EventLog, clock: FakeClock) -> None:
        """Numbered upwards, timed by the clock unless they bring a time, by kind."""
        log.append("prediction", [{"id": "a"}, {"id": "b", "time_ms": 7}])
        log.append("feedback", [{"id": "a", "label": "ü"}])
        log.append("prediction", [{"id": "c"}])
        log.append("prediction", [])
        predictions = list(log.read("prediction"))
        assert [event["id"] for event in predictions] == ["a", "b", "c"]
        times = [event["time_ms"] for event in predictions]
        assert times == [clock.now_ms - 2, 7, clock.now_ms]
        (feedback,) = log.read("feedback")
        assert {key: feedback[key] for key in ("id", "label")} == {"id": "a", "label": "ü"}
        numbers = [event["seq"] for event in (predictions[0], predictions[1], feedback, predictions[2])]
        assert all(isinstance(number, int) for number in numbers)
        assert numbers == sorted(set(map(int, map(str, numbers))))

    @given(events=st.lists(st.dictionaries(_text.filter(lambda k: k not in ("seq", "time_ms")), _json, max_size=3)))
    @_examples
    def test_any_json_comes_back(self, log: EventLog, events: list[dict[str, object]]) -> None:
        """Whatever the text, nesting and numbers."""
        before = len(list(log.read("span")))
        log.append("span", events)  # pyright: ignore[reportArgumentType]  # JSON by construction
        found = list(log.read("span"))[before:]
        assert [{k: v for k, v in event.items() if k not in ("seq", "time_ms")} for event in found] == events

    @pytest.mark.parametrize(
        ("since_ms", "until_ms", "expected"),
        [(0, None, [10, 20, 30]), (20, None, [20, 30]), (0, 20, [10]), (10, 30, [10, 20]), (31, None, [])],
    )
    def test_reading_a_time(self, log: EventLog, since_ms: int, until_ms: int | None, expected: list[int]) -> None:
        """The start is included, the end is not."""
        log.append("prediction", [{"time_ms": time_ms} for time_ms in (10, 20, 30)])
        found = log.read("prediction", since_ms=since_ms, until_ms=until_ms)
        assert [event["time_ms"] for event in found] == expected

    @pytest.mark.parametrize("event", [{"seq": 1}, {"time_ms": "now"}, {"time_ms": 1.5}, {"a": object()}])
    def test_bad_events_are_refused(self, log: EventLog, event: dict[str, object]) -> None:
        """With `UsageError`, and none of the events is added."""
        with pytest.raises(UsageError):
            log.append("span", [{"good": True}, event])  # pyright: ignore[reportArgumentType]  # the point
        assert list(log.read("span")) == []

    def test_floats_that_json_lacks_become_null(self, log: EventLog) -> None:
        """As in any JSON."""
        log.append("span", [{"value": float("nan"), "nested": [float("inf")]}])
        (event,) = log.read("span")
        assert (event["value"], event["nested"]) == (None, [None])

    def test_many_threads(self, log: EventLog) -> None:
        """Every event is there once, and each thread's in its order."""

        def work(thread: int) -> None:
            for index in range(20):
                log.append("prediction", [{"thread": thread, "index": index}], durable=index % 2 == 0)
            log.append("prediction", [{"thread": thread, "index": 20}])

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        events = list(log.read("prediction"))
        for thread in range(4):
            assert [event["index"] for event in events if event["thread"] == thread] == list(range(21))
        assert len({str(event["seq"]) for event in events}) == len(events)

    def test_following_gives_each_event_once(self, log: EventLog, clock: FakeClock) -> None:
        """Whatever the clock says, and however much is moved meanwhile."""
        log.append("prediction", [{"id": "a"}, {"id": "b"}])
        follow = log.follow("prediction")
        assert [event["id"] for event in follow()] == ["a", "b"]
        assert list(follow()) == []
        clock.now_ms -= 1_000_000
        log.append("feedback", [{"id": "a"}])
        log.append("prediction", [{"id": "c", "text": "x" * 500}])
        assert [event["id"] for event in follow()] == ["c"]
        for name in "def":
            log.append("prediction", [{"id": name, "text": "x" * 500}])
            log.compact()
        assert [event["id"] for event in follow()] == ["d", "e", "f"]
        assert [event["id"] for event in log.follow("prediction")()] == list("abcdef")

    def test_compacting_changes_nothing_read(self, log: EventLog) -> None:
        """However much was moved."""
        kinds: tuple[EventKind, ...] = ("prediction", "feedback")
        for index in range(30):
            log.append(kinds[index % 2], [{"index": index, "text": "x" * 500}])
        before = [list(log.read(kind)) for kind in kinds]
        log.compact()
        assert [list(log.read(kind)) for kind in kinds] == before
        log.append("prediction", [{"index": 30}])
        assert [event["index"] for event in log.read("prediction")][-2:] == [28, 30]
