import datetime as dt
import logging
from dataclasses import replace

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.core.types import Column
from bakeoff.families.features.lags import DAY_S, LagPlan, Lags, group_numbers, seconds_of

GROUP = Column(name="who", kind="categorical", dtype="String")
START = dt.datetime.fromisoformat("2024-01-01T00:00:00")


def days(count: int, who: str = "a", first: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {"at": [START + dt.timedelta(days=first + day) for day in range(count)], "who": [who] * count},
        schema={"at": pl.Datetime("us"), "who": pl.String},
    )


def state(table: pl.DataFrame, value_n: np.ndarray, *, horizon: int = 1, span: int = 7) -> Lags:
    plan = LagPlan.of(
        seconds_of(table, "at"), group_numbers(table, GROUP), horizon_s=horizon * DAY_S, span_s=span * DAY_S
    )
    assert plan is not None
    return Lags.fit(table, value_n, time="at", group=GROUP, target="y", plan=plan)


def test_a_row_sees_what_was_known_when_the_model_was_fitted() -> None:
    lags = state(days(60), np.arange(60.0))
    assert lags.plan.periods_s == (7 * DAY_S,)
    assert lags.plan.windows_s == (7 * DAY_S,)
    made = dict(zip(lags.names, lags(days(1, first=64))[0].tolist(), strict=True))
    # Frozen on day 59 and known up to day 58; seven days before day 64 is day 57.
    assert made == {
        "last(y)": 58.0,
        "mean_of_7d(y)": 55.0,
        "same_time_7d_ago(y)": 57.0,
        "mean_same_time_7d(y)": (57 + 50 + 43 + 36) / 4,
    }


def test_training_rows_see_the_state_at_the_beginning_of_their_span() -> None:
    table = days(60)
    last_n = state(table, np.arange(60.0)).of_training(table)[:, 0]
    assert last_n[53:60].tolist() == [51.0] * 7  # frozen on day 52, known up to day 51
    assert last_n[46:53].tolist() == [44.0] * 7
    assert np.isnan(last_n[0])


def test_groups_do_not_see_each_other_and_an_unknown_one_sees_nothing() -> None:
    table = pl.concat([days(60, "a"), days(60, "b")])
    lags = state(table, np.concatenate([np.arange(60.0), 1000 + np.arange(60.0)]))
    rows = pl.concat([days(1, "a", 60), days(1, "b", 60), days(1, "c", 60)])
    assert lags(rows)[:2, 0].tolist() == [58.0, 1058.0]
    assert np.isnan(lags(rows)[2]).all()


def test_serving_keeps_what_it_needs_and_gives_the_same() -> None:
    table, value_n = days(300), np.random.default_rng(0).normal(size=300)
    lags = state(table, value_n)
    served = lags.pruned()
    assert len(served.value_m) < 60 < len(lags.value_m)
    rows = days(10, first=300)
    np.testing.assert_allclose(served(rows), lags(rows), rtol=1e-12)


def test_what_comes_too_late_or_without_a_time_is_missing_and_counted(caplog) -> None:
    lags = state(days(60), np.arange(60.0))
    assert lags.good_until == "2024-03-14T00:00:00"
    with caplog.at_level(logging.WARNING):
        late = lags(days(3, first=73))
    assert np.isfinite(late[0]).all()
    assert np.isnan(late[1:]).all()
    assert "2024-03-14" in caplog.text
    (loss,) = lags.losses()
    assert (loss.count, loss.of) == (2, 3)
    nowhen = days(1).with_columns(pl.lit(None, pl.Datetime("us")).alias("at"))
    assert np.isnan(lags(nowhen)).all()
    assert lags.losses()[0].count == 2


def test_too_few_rows_have_no_lags() -> None:
    table = days(20)
    assert LagPlan.of(seconds_of(table, "at"), group_numbers(table, GROUP), horizon_s=DAY_S, span_s=7 * DAY_S) is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(3, 30))
def test_no_feature_depends_on_a_target_later_than_the_horizon_before_its_row(seed, horizon, span) -> None:
    rng = np.random.default_rng(seed)
    moment_n = np.sort(rng.integers(0, 200 * 86_400, size=150))
    table = pl.DataFrame(
        {
            "at": [START + dt.timedelta(seconds=each) for each in moment_n.tolist()],
            "who": rng.choice(["a", "b"], size=150).tolist(),
        },
        schema={"at": pl.Datetime("us"), "who": pl.String},
    )
    value_n = rng.normal(size=150)
    row = int(rng.integers(150))
    plan = LagPlan(
        horizon_s=horizon * DAY_S,
        span_s=span * DAY_S,
        step_s=DAY_S,
        periods_s=(DAY_S, 7 * DAY_S),
        windows_s=(7 * DAY_S, 28 * DAY_S),
    )
    later_n = moment_n > moment_n[row] - horizon * DAY_S
    other_n = np.where(later_n, 1e6 * rng.normal(size=150), value_n)
    lags = Lags.fit(table, value_n, time="at", group=GROUP, target="y", plan=plan)
    changed = Lags.fit(table, other_n, time="at", group=GROUP, target="y", plan=plan)
    assert np.array_equal(lags.of_training(table)[row], changed.of_training(table)[row], equal_nan=True)
    assert np.array_equal(lags(table)[row], changed(table)[row], equal_nan=True)
    # What a training row of the last span sees is what is served to a row of its time by a state frozen before it.
    began = lags.frozen_s - plan.span_s
    past = table.filter(pl.Series(seconds_of(table, "at") <= began))
    if len(past) and seconds_of(table, "at")[-1] > began:
        frozen = Lags.fit(past, value_n[: len(past)], time="at", group=GROUP, target="y", plan=plan)
        served = replace(frozen, frozen_s=began)(table[-1:])
        np.testing.assert_allclose(served[0], lags.of_training(table)[-1], rtol=1e-9, atol=1e-9)
