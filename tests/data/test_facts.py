"""Facts of columns: distributions that add up, whatever the values."""

import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bakeoff.data.facts import column_facts, numbers_of


def facts(series, kind, **more):
    return column_facts(series, kind, "input", shown=lambda value: value[:10], **more)


@example([sys.float_info.max])
@given(st.lists(st.one_of(st.floats(), st.integers(-50, 50).map(float)), min_size=1, max_size=200))
def test_every_finite_number_is_in_a_bin_or_beyond_the_ends(values):
    value_n = np.asarray(values)
    found = numbers_of(value_n)
    finite = value_n[np.isfinite(value_n)]
    if not len(finite):
        assert found is None
        return
    histogram = found.histogram
    assert sum(histogram.counts) + histogram.below + histogram.above == len(finite)
    assert len(histogram.edges) == len(histogram.counts) + 1
    assert all(low < high for low, high in zip(histogram.edges, histogram.edges[1:], strict=False))
    assert found.least <= found.q25 <= found.median <= found.q75 <= found.most


def test_small_whole_numbers_get_a_bin_each_and_larger_ones_bins_of_equally_many():
    assert numbers_of(np.asarray([1.0, 2, 2, 7])).histogram.counts == (1, 2, 0, 0, 0, 0, 1)
    steps = np.diff(numbers_of(np.arange(1000.0)).histogram.edges)
    assert set(steps.tolist()) == {42.0}


def test_outliers_do_not_flatten_the_rest():
    found = numbers_of(np.concatenate([np.linspace(0.1, 1, 999), [1e9]]))
    assert 0 < found.histogram.above < 10
    assert max(found.histogram.counts) < 200


def test_each_kind_is_told_in_its_way():
    text = facts(pl.Series(["one", "two words", None]), "text", tokens=lambda texts: texts.str.len_bytes())
    assert (text.missing, text.distinct, text.words.most, text.tokens.most) == (1, 2, 2.0, 9.0)
    words = facts(pl.Series(["b", "a", "b", "c" * 50]), "categorical")
    assert words.top == (("b", 2), ("a", 1), ("c" * 10, 1))
    assert facts(pl.Series([True, None, True]), "boolean").top == (("true", 2),)
    times = facts(pl.Series(["1970-01-02", "1970-01-01"]).str.to_datetime(), "datetime")
    assert (times.numbers.least, times.numbers.most) == (0.0, 86_400_000.0)


STORED = {
    "numeric": pl.Float64,
    "text": pl.String,
    "categorical": pl.String,
    "datetime": pl.Datetime("us"),
    "boolean": pl.Boolean,
}


@pytest.mark.parametrize(("kind", "dtype"), STORED.items())
def test_columns_without_values(kind, dtype):
    for values in ([], [None, None]):
        found = facts(pl.Series("x", values, dtype=dtype), kind)
        assert (found.distinct, found.numbers, found.top, found.characters) == (0, None, (), None)


def test_a_huge_cell_emoji_and_right_to_left():
    found = facts(pl.Series(["x" * 10_000_000, "👩‍👩‍👧", "עברית", "\x00\u202e"]), "text")
    assert found.characters.most == 10_000_000
    assert facts(pl.Series(["x" * 10_000_000]), "categorical").top == (("x" * 10, 1),)
