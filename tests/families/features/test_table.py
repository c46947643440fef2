from datetime import datetime

import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Column
from bakeoff.families.features.columns import categories, number_names, numbers
from bakeoff.families.features.table import CategoryCodes, PiecewiseLinear, TargetMeans

CATEGORY = Column(name="c", kind="categorical", dtype="String")


def test_codes_of_rare_unseen_and_missing_categories() -> None:
    table = pl.DataFrame({"c": ["a", "a", "b", "b", "b", "rare", None]})
    codes = CategoryCodes.fit(table, CATEGORY, most=10, min_rows=2)
    assert codes.known == ("b", "a")
    assert codes.complete
    assert codes(pl.DataFrame({"c": ["a", "b", "rare", "new", None]})).tolist() == [1, 0, 2, 2, 3]


def test_whole_numbers_keep_their_names_when_gaps_made_them_floats() -> None:
    column = Column(name="c", kind="categorical", dtype="Int64")
    assert categories(pl.DataFrame({"c": [3.0, None]}), column) == ["3", None]


def test_target_means_of_training_rows_lack_the_row_itself() -> None:
    table = pl.DataFrame({"c": [f"id{i}" for i in range(50)] * 2})
    target_nk = np.tile(np.arange(50.0), 2)[:, None]
    means, out_nk = TargetMeans.fit(table, CATEGORY, target_nk, seed=0, smoothing=0.0001)
    np.testing.assert_allclose(means(table), target_nk, atol=0.01)
    alone = pl.DataFrame({"c": [f"id{i}" for i in range(50)]})
    _, leaked_nk = TargetMeans.fit(alone, CATEGORY, np.arange(50.0)[:, None], seed=0)
    assert abs(np.corrcoef(leaked_nk[:, 0], np.arange(50.0))[0, 1]) < 0.5
    assert out_nk.shape == (100, 1)


def test_unseen_categories_get_the_mean_of_all() -> None:
    table = pl.DataFrame({"c": ["a", "a", "b", "b"]})
    means, _ = TargetMeans.fit(table, CATEGORY, np.array([[0.0], [0.0], [1.0], [1.0]]), seed=0)
    assert means(pl.DataFrame({"c": ["new", None]})).tolist() == [[0.5], [0.5]]


def test_pieces_reach_from_zero_to_one() -> None:
    pieces = PiecewiseLinear.fit(np.array([[0.0], [1.0], [2.0], [3.0], [4.0]]), bins=2)
    encoded = pieces(np.array([[-9.0], [1.0], [3.0], [9.0], [np.nan]]))
    assert encoded[:, 0].tolist() == [0, 0, 0, 0, 1]
    assert encoded[:, 2:].tolist() == [[0, 0], [0.5, 0], [1, 0.5], [1, 1], [0.7, 0.3]]


@pytest.mark.parametrize("values", [[np.nan, np.nan], [5.0, 5.0], [5.0, np.nan]])
def test_pieces_of_numbers_that_say_nothing(values: list[float]) -> None:
    encoded = PiecewiseLinear.fit(np.array(values)[:, None], bins=4)(np.array([[7.0], [np.nan]]))
    assert np.isfinite(encoded).all()


def test_numbers_whose_mean_is_infinite_are_filled() -> None:
    most = np.finfo(np.float64).max
    value_nd = np.array([[most, 1.0], [most, 2.0], [-most, 3.0], [1.0, 4.0]])
    pieces = PiecewiseLinear.fit(value_nd, bins=2)
    for rows in (value_nd, value_nd[:1], np.array([[np.nan, np.nan]])):
        assert np.isfinite(pieces(rows)).all()
    assert pieces(value_nd)[:, 0].tolist() == [0, 0, 0, 0]  # none is missing


def test_datetimes_become_parts_in_any_type() -> None:
    moment = datetime(2013, 7, 1, 18, 30)  # noqa: DTZ001
    column = Column(name="t", kind="datetime", dtype="Datetime")
    names = number_names([column])
    typed = numbers(pl.DataFrame({"t": [moment, None]}), [column])
    as_text = numbers(pl.DataFrame({"t": ["2013-07-01T18:30:00", None]}), [column])
    zoned = numbers(pl.DataFrame({"t": pl.Series([moment, None]).dt.replace_time_zone("UTC")}), [column])
    np.testing.assert_array_equal(typed, as_text)
    np.testing.assert_array_equal(typed, zoned)
    parts = dict(zip(names, typed[0], strict=True))
    assert (parts["t.hour"], parts["t.weekday"], parts["t.day"], parts["t.month"]) == (18.5, 0, 1, 6)
    assert np.isnan(typed[1]).all()


def test_infinite_and_unreadable_numbers_are_missing() -> None:
    column = Column(name="x", kind="numeric", dtype="Float64")
    assert np.isnan(numbers(pl.DataFrame({"x": [float("inf"), float("-inf"), None]}), [column])).all()
    assert numbers(pl.DataFrame({"x": ["1.5", "many"]}), [column])[0, 0] == 1.5
