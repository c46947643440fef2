"""Calls wait for their turn no longer than they can be answered in time, and are computed together where that pays."""

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.web.serving.test_app import Served

from bakeoff.core.errors import DataError
from bakeoff.core.events import FailureEvent, PredictionEvent
from bakeoff.serve.engine import Call
from bakeoff.web.problems import HttpError
from bakeoff.web.serving.turns import Durations, Pace, Turns


class Slow:
    """Answers each batch after `batch_s` and `row_s` for each of its rows, and notes its calls."""

    def __init__(self, batch_s: float, row_s: float = 0.0) -> None:
        self.batch_s, self.row_s = batch_s, row_s
        self.batches: list[list[int]] = []

    def predict_calls(self, calls):
        self.batches.append([len(call.rows) for call in calls])
        time.sleep(self.batch_s + self.row_s * sum(len(call.rows) for call in calls))
        return [DataError("odd") if "odd" in call.rows else list(call.rows) for call in calls]


def gathered(engine, pace, calls, slots=1, deadline_s=None):
    """What comes of calls, each a list of rows, that come at once after two alone."""

    async def run():
        with ThreadPoolExecutor(4) as pool:
            turns = Turns(engine, pool, pace, slots)
            await turns.answered(Call(["cold"]))
            await turns.answered(Call(["first"]))
            engine.batches.clear()
            return await asyncio.gather(
                *(turns.answered(Call(rows), deadline_s) for rows in calls), return_exceptions=True
            )

    return asyncio.run(run())


def test_calls_that_waited_are_computed_together():
    engine = Slow(0.02)
    calls = [[at] for at in range(20)]
    assert gathered(engine, Pace(), calls) == calls
    assert engine.batches == [[1], [1] * 3, [1] * 7, [1] * 9]  # twice as many are tried, as long as it pays


def test_batches_hold_no_more_rows_than_they_may():
    engine = Slow(0.01)
    calls = [[at] * 3 for at in range(6)] + [["large"] * 50]
    assert gathered(engine, Pace(batch_rows=8), calls) == calls
    assert engine.batches == [[3], [3, 3], [3, 3], [3], [50]]


def test_a_batch_that_does_not_pay_is_not_made_again():
    engine = Slow(0.0, row_s=0.01)
    calls = [[at] for at in range(20)]
    assert gathered(engine, Pace(deadline_s=60), calls) == calls
    assert sum(len(batch) > 1 for batch in engine.batches) <= 5  # once for each size that is tried
    assert engine.batches[-1] == [1]


def test_without_batches_each_call_is_alone():
    engine = Slow(0.005)
    gathered(engine, Pace(batch_rows=1), [[at] for at in range(5)])
    assert engine.batches == [[1]] * 5


def test_a_call_may_wait_for_others():
    engine = Slow(0.005)

    async def run():
        with ThreadPoolExecutor(2) as pool:
            turns = Turns(engine, pool, Pace(wait_s=0.05), slots=2)
            return await asyncio.gather(*(turns.answered(Call([at])) for at in range(3)))

    assert asyncio.run(run()) == [[0], [1], [2]]
    assert engine.batches == [[1, 1, 1]]


def test_what_is_wrong_with_one_call_is_not_told_to_others():
    results = gathered(Slow(0.01), Pace(), [["a"], ["odd"], ["b"]])
    assert [results[0], results[2]] == [["a"], ["b"]]
    assert isinstance(results[1], DataError)


def test_who_could_not_be_answered_in_time_is_refused_at_once():
    """A call takes .05 s: of ten within .2 s, the first of all is tried and about three may wait."""
    began = time.monotonic()
    results = gathered(Slow(0.05), Pace(deadline_s=0.2, batch_rows=1), [[at] for at in range(10)])
    refused = [each for each in results if isinstance(each, HttpError)]
    assert 5 <= len(refused) <= 8
    assert {each.status for each in refused} == {429}
    assert all(each.retry_after_s >= 1 for each in refused)
    assert time.monotonic() - began < 0.5


def test_a_call_that_takes_long_by_itself_may_wait_as_long():
    pace = Pace(deadline_s=0.01, batch_rows=1)
    assert gathered(Slow(0.05), pace, [["a"], ["b"]], slots=1) == [["a"], ["b"]]
    of_callers = gathered(Slow(0.05), pace, [["a"], ["b"]], deadline_s=0.06)
    assert of_callers[0] == ["a"]  # before it nobody waits
    assert isinstance(of_callers[1], HttpError)


def test_durations():
    durations = Durations()
    assert durations.expected(5) == 0.0
    durations.add(1, 0.5)
    assert durations.expected(1) == 0.5
    assert durations.expected(8) == pytest.approx(0.5 * 8)
    durations.add(8, 1.0)
    assert durations.expected(9) == pytest.approx(1.0)
    assert durations.batch_pays(8)
    durations.add(8, 20.0)
    assert not durations.batch_pays(8)
    assert durations.batch_pays(2)  # twice as many as are known are tried


def test_overload_keeps_who_is_accepted_quick_and_loses_nothing():
    """Three times as many calls as can be answered: those accepted are in time, the rest is told when to come again."""
    served = Served(pace=Pace(deadline_s=0.3, batch_rows=1))
    served.models["r1"].seconds = 0.02
    took: list[tuple[int, float]] = []
    live: list[float] = []
    until = time.monotonic() + 2.0

    def ask() -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            status, _ = served.send("POST", "/predict", b'{"row": {"x": 1}}')
            took.append((status, time.monotonic() - began))
            if status == 429:
                time.sleep(0.05)

    with served.server:
        threads = [threading.Thread(target=ask) for _ in range(60)]
        for thread in threads:
            thread.start()
        while time.monotonic() < until:
            began = time.monotonic()
            assert served.send("GET", "/health/live")[0] == 200
            live.append(time.monotonic() - began)
            time.sleep(0.05)
        for thread in threads:
            thread.join(10)
    statuses = Counter(status for status, _ in took)
    assert set(statuses) == {200, 429}
    accepted = sorted(seconds for status, seconds in took if status == 200)
    assert accepted[len(accepted) * 99 // 100] < 0.9  # on a busy machine; the time in the queue alone is under .3
    assert sorted(live)[len(live) // 2] < 0.3
    assert len(list(served.events.read(PredictionEvent))) == statuses[200]


@pytest.mark.parametrize(("header", "status"), [("5000", 200), ("0", 400), ("soon", 400), ("nan", 400)])
def test_callers_say_how_long_they_wait(header, status):
    served = Served()
    with served.server:
        assert served.send("POST", "/predict", b'{"row": {"x": 1}}', **{"x-deadline-ms": header})[0] == status


def test_calls_at_once_are_answered_as_alone():
    served = Served()
    with served.server:
        served.send("POST", "/predict", b'{"row": {"x": 1}}')
        results = served.engine.predict_calls(
            [Call([{"x": 1}, {"x": -1}]), Call([{"x": "many"}]), Call([{"x": -1}]), Call([])]
        )
    assert [[answer.label for answer in result] for result in (results[0], results[2], results[3])] == [
        ["pos", "neg"],
        ["neg"],
        [],
    ]
    assert isinstance(results[1], DataError)
    events = list(served.events.read(PredictionEvent, FailureEvent))
    assert [type(event) for event in events] == [PredictionEvent, FailureEvent, *[PredictionEvent] * 3]
    assert [event.id for event in events[2:]] == [answer.id for at in (0, 2) for answer in results[at]]
