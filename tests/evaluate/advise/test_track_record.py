"""Predictions are shifted and widened by what earlier ones missed by."""

import numpy as np
import pytest

from bakeoff.evaluate.advise.track_record import TrackRecord, past_advice
from bakeoff.evaluate.advise.whole_run import RunPlan, whole_run
from bakeoff.metrics.intervals import Interval
from bakeoff.results.search import Expected

METRIC = "f1_macro"


def pair(expected, measured, half, *, quantity="train_s", name="linear"):
    """A time whose interval is a factor wide, or a value of the metric whose interval is so much wide, each way."""
    low, high = (expected - half, expected + half) if quantity == METRIC else (expected / half, expected * half)
    factor = max(measured / expected, expected / measured)
    return Expected(
        name=name,
        quantity=quantity,
        expected=expected,
        low=low,
        high=high,
        measured=measured,
        factor=factor,
        inside=low <= measured <= high,
    )


def test_without_a_past_nothing_changes():
    given = Interval(value=10.0, low=8.0, high=12.0)
    assert TrackRecord(pairs=(), metric=METRIC).calibrated("linear", "train_s", given) == given


def test_times_that_were_always_twice_as_long_are_doubled_and_less_so_for_others():
    record = TrackRecord(pairs=tuple(pair(10, 20, 1.5) for _ in range(40)), metric=METRIC)
    given = Interval(value=3.0, low=2.0, high=4.5)
    own = record.calibrated("linear", "train_s", given)
    other = record.calibrated("boosting", "train_s", given)
    assert own.value == pytest.approx(6.0, rel=0.1)
    assert 3.0 < other.value < own.value
    assert own.low < 6.0 < own.high
    assert record.calibrated("linear", "size_bytes", given) == given


def test_one_miss_counts_little():
    record = TrackRecord(pairs=(pair(10, 100, 1.5),), metric=METRIC)
    assert record.calibrated("linear", "train_s", Interval(value=1.0, low=0.8, high=1.2)).value < 1.7


@pytest.mark.parametrize("times", [0.5, 1.0, 3.0])
def test_intervals_hold_19_times_in_20_whatever_their_width_was(times):
    """The errors are `times` as large as the intervals say; with a past of 60 the next ones hold."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        past = tuple(pair(0.8, 0.8 + times * 0.01 * z, 0.0196, quantity=METRIC) for z in rng.normal(size=60))
        given = Interval(value=0.7, low=0.7 - 0.0196, high=0.7 + 0.0196)
        calibrated = TrackRecord(pairs=past, metric=METRIC).calibrated("linear", METRIC, given)
        inside += calibrated.low <= 0.7 + times * 0.01 * rng.normal() <= calibrated.high
    assert inside / 400 >= 0.92
    assert inside / 400 <= 0.98 or times == 0.5  # it is never narrowed to less than a share


def test_how_good_advice_was_is_told():
    pairs = [pair(10, 20, 1.5), pair(10, 11, 1.5), pair(0.8, 0.9, 0.2, quantity=METRIC)]
    time, metric = past_advice(pairs, METRIC)
    assert (time.quantity, time.pairs, time.inside, time.factor) == ("train_s", 2, 1, pytest.approx(1.55))
    assert (metric.inside, metric.factor, metric.difference) == (1, None, pytest.approx(0.1))


def figures(train_s, row_s=1e-5):
    known = {
        "train_s": train_s,
        "latency_p50_ms": 0.2,
        "memory_bytes": 1e8,
        "cost_usd_per_1k": row_s * 1000 * 0.1 / 3600,
    }
    return {name: Interval(value=value, low=value / 2, high=value * 2) for name, value in known.items()}


def plan(**changes):
    known = {"folds": 0, "test_rows": 100, "at_once": 2, "combines": False, "refits": False, "findings": False}
    return RunPlan(**(known | {"price_per_hour_usd": 0.1} | changes))


def test_a_run_takes_its_fits_beside_each_other_and_more_for_folds_combinations_and_the_refit():
    few = {"a": figures(10.0), "b": figures(10.0)}
    whole = whole_run(few, plan())
    seconds, memory = whole.seconds, whole.memory_bytes
    assert 10 < seconds.value < 14
    assert memory.value == 2e8
    assert seconds.low < 10 < seconds.high
    assert whole_run(few, plan(at_once=1)).seconds.value == pytest.approx(seconds.value + 10)
    assert whole_run(few, plan(folds=5)).seconds.value == pytest.approx(seconds.value + 50)
    assert whole_run(few, plan(combines=True)).seconds.value == pytest.approx(seconds.value + 5)
    assert whole_run(few, plan(refits=True)).seconds.value == pytest.approx(seconds.value + 5)
