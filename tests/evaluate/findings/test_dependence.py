import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Column, Predictions
from bakeoff.evaluate.findings.dependence import hidden, row_errors
from bakeoff.testing.worlds import WORLDS

N = 1000


def columns(table):
    kinds = {"user": "categorical", "kind": "categorical", "at": "datetime", "size": "numeric"}
    return [Column(name=name, kind=kinds[name], dtype=str(table[name].dtype)) for name in table.columns]


def table_of(rng, *, user):
    return pl.DataFrame(
        {
            "user": [f"u{each}" for each in user],
            "kind": rng.choice(["a", "b", "c"], N),
            "at": pl.Series(rng.permutation(N)).cast(pl.Datetime("ms")),
            "size": rng.normal(size=N),
        }
    )


def seen(name, seed):
    rng = np.random.default_rng(seed)
    sample = WORLDS[name].draw(rng, N)
    groups = sample.groups_n if sample.groups_n is not None else rng.integers(0, 200, N)
    return row_errors(sample.truth_n, sample.predictions, "classification"), table_of(rng, user=groups)


def looked(error_n, table, *, order=None, named=()):
    place = np.random.default_rng(1).permutation(N) if order is None else order
    return hidden(error_n, table, columns(table), place_n=place, named=named)


def test_a_column_of_units_and_the_order_of_rows_are_found_with_the_setting_that_handles_them():
    error_n, table = seen("groups", 0)
    (by_user,) = looked(error_n, table)
    assert (by_user.column, by_user.by) == ("user", "group")
    assert by_user.times > 3
    assert "set [data] group = 'user'" in by_user.told
    error_n, table = seen("time, AR .9", 0)
    in_time = table.with_columns(pl.Series("at", np.arange(N)).cast(pl.Datetime("ms")))
    (by_time,) = looked(error_n, in_time)
    assert (by_time.column, by_time.by) == ("at", "time")
    assert "set [data] time = 'at'" in by_time.told
    assert looked(error_n, in_time, named=["at"]) == []
    (by_place,) = looked(error_n, table, order=np.arange(N))
    assert (by_place.column, by_place.by) == (None, "place")


def test_independent_rows_raise_no_alarm():
    for seed in range(40):
        error_n, table = seen("50% positive", seed)
        assert looked(error_n, table, order=np.arange(N)) == []


def test_kinds_of_rows_are_no_units():
    """Rows of one of three kinds are harder: that is no dependence, however often it is drawn."""
    rng = np.random.default_rng(0)
    table = table_of(rng, user=rng.integers(0, 200, N))
    error_n = (rng.random(N) < np.where(table["kind"].to_numpy() == "a", 0.6, 0.1)).astype(float)
    assert looked(error_n, table) == []


@pytest.mark.parametrize("task", ["regression", "generation"])
def test_errors_of_numbers_and_texts(task):
    truth = np.asarray(
        ["a b", "c"] if task == "generation" else [1.0, 2.0], dtype=object if task == "generation" else float
    )
    said = np.asarray(["a", "c"] if task == "generation" else [1.5, 2.0], dtype=truth.dtype)
    first, second = row_errors(truth, Predictions(values_n=said), task)
    assert first > 0.3
    assert second == 0
