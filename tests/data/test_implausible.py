"""What may not mean what it says is told, and changed by a setting alone."""

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from bakeoff.data.formats import ColumnSettings, typed, typed_values
from bakeoff.data.implausible import implausible

AGES = np.random.default_rng(0).normal(40, 10, 200).round(1).tolist()
DAYS = [datetime.fromisoformat(f"2024-{1 + n % 12:02}-{1 + n % 28:02}") for n in range(120)]


@pytest.mark.parametrize(
    ("values", "word", "rows"),
    [
        ([*AGES, *[-999.0] * 12], "-999", 12),
        ([*AGES, *[9999.0] * 5], "9999", 5),
        ([*range(0, 90, 3), *[-1] * 9, *range(30)], "-1", 9),
        ([*(x / 1000 for x in AGES), *[-32768.0] * 3], "-32768", 3),
        ([*AGES, *[123456.0] * 4], "123456", 4),  # no word that anybody knows, but as far
    ],
)
def test_a_number_far_from_all_others_is_told_with_the_setting(values, word, rows):
    (loss,) = implausible(pl.Series("age", values), "numeric")
    assert (loss.subject, loss.count, loss.examples, loss.doubtful) == ("age", rows, (word,), True)
    assert loss.remedy == f'if it does, missing = ["{word}"] in [data]'


@pytest.mark.parametrize("first", ["1900-01-01", "9999-12-31", "1970-01-01"])
def test_so_is_a_day_that_programs_write_for_none(first):
    series = pl.Series("seen", [*DAYS, *[datetime.fromisoformat(first)] * 6])
    (loss,) = implausible(series, "datetime")
    assert (loss.count, loss.examples) == (6, (first,))


@pytest.mark.parametrize(
    "values",
    [
        AGES,
        [*AGES, 250.0],  # once: an outlier
        [0.0] * 300 + [float(n) for n in range(100)],  # zeros among counts
        np.random.default_rng(1).lognormal(3, 2, 500).tolist(),
        [0, 1] * 50,
        [*[-1.0] * 40, *np.random.default_rng(2).normal(0, 1, 300).tolist()],
    ],
)
def test_what_is_usual_is_not_told(values):
    assert implausible(pl.Series("n", values), "numeric") == []


def test_two_units_of_time_in_one_column_are_told():
    seconds = [1_700_000_000 + 977 * n for n in range(60)]
    (loss,) = implausible(pl.Series("at", [*seconds, *(1000 * s for s in seconds[:20])]), "numeric")
    assert "60 in seconds, 20 in milliseconds" in loss.reason
    assert loss.count == 20
    assert implausible(pl.Series("at", seconds), "numeric") == []


def test_years_of_the_buddhist_calendar_are_told():
    series = pl.Series("day", [day.replace(year=2567) for day in DAYS if day.day < 28])
    (loss,) = implausible(series, "datetime")
    assert "2567 is 2024" in loss.reason


@pytest.mark.parametrize(
    "series",
    [
        pl.Series("n", [1.5, -999.0, 3.0]),
        pl.Series("n", [1, -999, 3]),
        pl.Series("n", [1, -999, 3], dtype=pl.Int16),
        pl.Series("n", [1.5, -999.0, 3.0], dtype=pl.Float32),
    ],
)
def test_a_word_for_missing_is_one_in_columns_that_have_types_too(series):
    result = typed_values(series, ColumnSettings(missing=("-999",)))
    assert result.series.null_count() == 1
    assert [(loss.count, loss.reason) for loss in result.losses] == [(1, "a word for missing by [data] missing")]


def test_so_it_is_however_the_number_is_written():
    result = typed(pl.Series("n", ["1.5", "-999.0", "-999", "-9.99e2", "4"] * 3), ColumnSettings(missing=("-999",)))
    assert result.series.null_count() == 9
    assert sum(loss.count for loss in result.losses) == 9


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["20240131123000", "20240201000000"], "2024-01-31T12:30:00"),
        (["202401311230", "202402010000"], "2024-01-31T12:30:00"),
        (["20240131", "20240201"], "2024-01-31T00:00:00"),
    ],
)
def test_compact_times_are_times_as_texts_and_as_numbers(texts, first):
    for series in (pl.Series("t", texts), pl.Series("t", [int(text) for text in texts])):
        result = (typed if series.dtype == pl.String else typed_values)(series, ColumnSettings())
        assert result.series.to_list()[0].isoformat() == first
        assert "taken as times" in result.notes[0]


def test_a_number_that_is_none_is_no_time():
    result = typed_values(pl.Series("t", [20240131.0, float("nan"), None]), ColumnSettings())
    assert [value and value.isoformat() for value in result.series.to_list()] == ["2024-01-31T00:00:00", None, None]
    assert typed_values(pl.Series("t", [20240131.0, float("inf")]), ColumnSettings()).series.dtype == pl.Float64


def test_dates_of_two_orders_stay_texts_or_are_told():
    mixed = [f"{13 + n % 15}/0{1 + n % 9}/2024" for n in range(30)] + [
        f"0{1 + n % 9}/{13 + n % 15}/2024" for n in range(30)
    ]
    result = typed(pl.Series("d", mixed), ColumnSettings())
    assert result.series.dtype == pl.String
    assert "nobody can tell what 01/02 means" in result.notes[0]
    few = [*mixed[:30] * 20, "01/25/2024"]
    result = typed(pl.Series("d", few), ColumnSettings())
    assert isinstance(result.series.dtype, pl.Datetime)
    assert any(loss.doubtful and "days first" in loss.reason for loss in result.losses)


def test_signed_numbers_are_no_days():
    result = typed(pl.Series("t", ["+20240131", "+20240201"]), ColumnSettings())
    assert result.series.to_list() == [20240131, 20240201]
