"""What endpoints answered lately: counted once, by the minute, read on by cursor."""

from itertools import pairwise

import pytest

from bakeoff.core.errors import StoreError
from bakeoff.core.events import FailureEvent, FeedbackEvent, PredictionEvent, Reading
from bakeoff.testing.memory import MemoryEvents
from bakeoff.web.pages.traffic import MINUTE_MS, Traffic


def prediction(number, time_ms, **more):
    return PredictionEvent(
        id=f"p{number}", endpoint="e", release_id="r", model_version="m/1", row={}, time_ms=time_ms, **more
    )


def test_rows_are_counted_once_in_their_minute():
    now = [100 * 60 * MINUTE_MS]
    events = MemoryEvents(lambda: now[0])
    traffic = Traffic(events, lambda: now[0])
    events.append([prediction(n, now[0] - n * MINUTE_MS, latency_ms=float(n)) for n in range(3)])
    events.append([prediction(9, now[0] - 25 * 60 * MINUTE_MS)])  # of more than a day before
    failed = FailureEvent(endpoint="e", release_id="r", model_version="m/1", error="x", rows_in_call=4, time_ms=now[0])
    events.append([failed, FeedbackEvent(id="p1", label="a", time_ms=now[0])])
    for _ in range(2):  # looking counts nothing
        minutes = traffic.of("e")
        assert [each.rows for each in minutes[-3:]] == [1, 1, 1]
        assert sum(each.rows for each in minutes) == 3
        assert (minutes[-1].failed, traffic.feedback()) == (4, 1)
    events.append([prediction(4, now[0]), prediction(5, now[0], role="shadow")])
    minutes = traffic.of("e")
    assert (minutes[-1].rows, minutes[-1].by_release) == (2, {"m/1": 2})
    assert [each.id for each in traffic.recent("e")] == ["p4", "p2", "p1", "p0"]
    assert traffic.of("other")[-1].rows == 0
    now[0] += 25 * 60 * MINUTE_MS
    assert sum(each.rows for each in traffic.of("e", minutes=24 * 60, parts=48)) == 0
    assert traffic.feedback() == 0


def test_parts_are_of_the_same_length_and_the_last_one_is_now():
    now = 100 * 60 * MINUTE_MS + 59_999
    traffic = Traffic(MemoryEvents(lambda: now), lambda: now)
    parts = traffic.of("e", minutes=24 * 60, parts=48)
    assert len(parts) == 48
    assert {after.start_ms - before.start_ms for before, after in pairwise(parts)} == {30 * MINUTE_MS}
    assert parts[-1].start_ms <= now < parts[-1].start_ms + 30 * MINUTE_MS


def test_where_reading_stops_in_the_middle_nothing_is_counted_twice():
    now = 100 * 60 * MINUTE_MS
    events = MemoryEvents(lambda: now)
    events.append([prediction(n, now) for n in range(3)])
    traffic, read = Traffic(events, lambda: now), events.read

    def torn(*kinds, **more):
        reading = read(*kinds, **more)

        def some():
            for at, event in enumerate(reading):
                if at == 2:
                    raise StoreError("the disk is gone")
                yield event

        return Reading(some(), lambda: reading.cursor)

    events.read = torn
    with pytest.raises(StoreError):
        traffic.of("e")
    events.read = read
    assert traffic.of("e")[-1].rows in {2, 3}  # the event that was lost on its way may be, none is there twice
    assert len({each.id for each in traffic.recent("e")}) == len(traffic.recent("e"))


def test_of_an_older_log_that_was_restored_nothing_of_before_is_left():
    now = 100 * 60 * MINUTE_MS
    events, restored = MemoryEvents(lambda: now), MemoryEvents(lambda: now)
    events.append([prediction(n, now) for n in range(3)])
    restored.append([prediction(9, now)])
    traffic = Traffic(events, lambda: now)
    assert len(traffic.of("e")) == 60
    traffic._events = restored
    assert [each.id for each in traffic.recent("e")] == ["p9"]
    assert sum(each.rows for each in traffic.of("e")) == 1


def test_last_answers_are_those_of_a_day():
    now = [100 * 60 * MINUTE_MS]
    events = MemoryEvents(lambda: now[0])
    traffic = Traffic(events, lambda: now[0])
    events.append([prediction(1, now[0])])
    assert [each.id for each in traffic.recent("e")] == ["p1"]
    now[0] += 25 * 60 * MINUTE_MS
    events.append([prediction(2, now[0])])
    assert [each.id for each in traffic.recent("e")] == ["p2"]
