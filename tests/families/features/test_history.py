import datetime as dt
import logging
from dataclasses import replace

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.core.types import Column
from bakeoff.families.features.history import History, HistoryPlan, pasts, step_of
from bakeoff.families.features.lags import DAY_S, group_numbers, seconds_of

HOUR_S = 3600
GROUP = Column(name="who", kind="categorical", dtype="String")
HEAT = Column(name="heat", kind="numeric", dtype="Float64")
START = dt.datetime.fromisoformat("2024-01-01T00:00:00")
PLAN = HistoryPlan(features=(("heat", "lag", HOUR_S), ("heat", "lag", DAY_S), ("heat", "mean", DAY_S)), step_s=HOUR_S)


def hours(heat_n: np.ndarray, who: str = "a", first: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "at": [START + dt.timedelta(hours=first + hour) for hour in range(len(heat_n))],
            "who": [who] * len(heat_n),
            "heat": heat_n,
        },
        schema={"at": pl.Datetime("us"), "who": pl.String, "heat": pl.Float64},
    )


def state(table: pl.DataFrame, plan: HistoryPlan = PLAN) -> History:
    return History.fit(table, time="at", group=GROUP, columns=(HEAT,), plan=plan)


def test_a_row_sees_itself_and_what_was_before_it() -> None:
    history = state(hours(np.arange(100.0)))
    assert history.names == ("lag_1h(heat)", "lag_1d(heat)", "mean_of_1d(heat)")
    assert history.of_training(hours(np.arange(100.0)))[60].tolist() == [59.0, 36.0, np.mean(np.arange(37.0, 61.0))]
    # The row of hour 100 sees the model's hours 76 to 99; one a week later is alone.
    rows = pl.concat([hours(np.array([100.0]), first=100), hours(np.array([5.0]), first=300)])
    assert history(rows)[0].tolist() == [99.0, 76.0, np.mean(np.arange(77.0, 101.0))]
    assert history.lacking(rows).tolist() == [False, True]


def test_rows_that_came_alone_are_counted_and_told(caplog) -> None:
    history = state(hours(np.arange(100.0)))
    assert history.losses() == ()
    with caplog.at_level(logging.WARNING):
        history.lacking(hours(np.arange(24.0), first=300))
    assert "send those in the same call" in caplog.text
    (loss,) = history.losses()
    assert (loss.count, loss.of, loss.subject) == (12, 24, "at")


def test_groups_do_not_see_each_other_and_what_a_call_says_counts_more_than_what_is_kept() -> None:
    table = pl.concat([hours(np.arange(100.0), "a"), hours(1000 + np.arange(100.0), "b")])
    history = state(table)
    rows = pl.concat([hours(np.array([0.0]), who, 100) for who in "ab"])
    assert history(rows)[:, 0].tolist() == [99.0, 1099.0]
    corrected = pl.concat([hours(np.array([-1.0]), "a", 99), rows])
    assert history(corrected)[1:, 0].tolist() == [-1.0, 1099.0]


def test_only_a_series_has_a_past() -> None:
    table = pl.concat([hours(np.arange(50.0), "a"), hours(np.arange(50.0), "b")])
    assert step_of(seconds_of(table, "at"), group_numbers(table, GROUP)) == HOUR_S
    assert step_of(seconds_of(table, "at"), group_numbers(table, None)) is None
    assert ("heat", "mean", 7 * DAY_S) in pasts("heat", HOUR_S, 7 * DAY_S, seasons=True)
    assert ("heat", "mean", 7 * DAY_S) not in pasts("heat", HOUR_S, 7 * DAY_S, seasons=False)
    assert all(seconds <= DAY_S for _, _, seconds in pasts("heat", HOUR_S, DAY_S, seasons=True))
    assert ("heat", "lag", DAY_S) in pasts("heat", DAY_S, 28 * DAY_S, seasons=False)


def irregular(seed: int, size: int) -> pl.DataFrame:
    """Rows of two groups at odd times, some twice, some numbers missing."""
    rng = np.random.default_rng(seed)
    moment_n = np.sort(rng.integers(0, 6 * DAY_S, size=size))
    heat_n = np.where(rng.random(size) < 0.1, np.nan, rng.normal(size=size) * 10.0 ** rng.integers(-6, 6, size=size))
    return pl.DataFrame(
        {
            "at": [START + dt.timedelta(seconds=each) for each in moment_n.tolist()],
            "who": rng.choice(["a", "b"], size=size).tolist(),
            "heat": heat_n,
        },
        schema={"at": pl.Datetime("us"), "who": pl.String, "heat": pl.Float64},
    )


@given(st.integers(0, 2**32 - 1), st.integers(2, 200))
def test_serving_gives_what_training_gives_to_the_last_bit(seed, size) -> None:
    table = irregular(seed, size)
    plan = HistoryPlan(features=(*PLAN.features, ("heat", "mean", 3 * HOUR_S)), step_s=1200)
    cut = int(np.random.default_rng(seed).integers(1, size))
    seconds_n = seconds_of(table, "at")
    while cut < size and seconds_n[cut] == seconds_n[cut - 1]:
        cut += 1
    whole = state(table, plan).of_training(table)
    served = state(table[:cut], plan)(table[cut:])
    assert served.tobytes() == whole[cut:].tobytes()
    # Of a call that brings no more than a row looks at.
    near = table[cut:].filter(pl.Series(seconds_n[cut:] > seconds_n[-1] - plan.reach_s))
    if len(near):
        assert state(table[:cut], plan)(near)[-1].tobytes() == whole[-1].tobytes()


@given(st.integers(0, 2**32 - 1), st.integers(2, 200))
def test_what_comes_later_never_changes_an_earlier_row(seed, size) -> None:
    table = irregular(seed, size)
    rng = np.random.default_rng(seed + 1)
    row = int(rng.integers(size))
    later = pl.Series(seconds_of(table, "at") > seconds_of(table, "at")[row])
    changed = table.with_columns(heat=pl.when(later).then(pl.lit(1e9)).otherwise(pl.col("heat")))
    history = state(table)
    expected = history.of_training(table)[row].tobytes()
    assert history.of_training(changed)[row].tobytes() == expected
    assert history.of_training(table.filter(~later))[row].tobytes() == expected
    bare = replace(history, second_m=history.second_m[:0], group_m=history.group_m[:0], number_mc=history.number_mc[:0])
    assert bare(changed)[row].tobytes() == expected
