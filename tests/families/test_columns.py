"""Tests for `bakeoff.families.columns`."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Column
from bakeoff.families.columns import DATETIME_PARTS, number_names, numbers

# ruff: noqa: DTZ001 - moments without a zone are what is tested
MOMENTS = [
    dt.datetime(2024, 2, 29, 23, 59, 59),
    dt.datetime(1969, 12, 31, 0, 30),
    None,
    dt.datetime(2013, 7, 1, 5, 15),
]


def column(name: str, kind: str) -> Column:
    return Column(name=name, kind=kind, dtype="")  # type: ignore[arg-type]


def parts(series: pl.Series) -> dict[str, list[float]]:
    """The parts of a datetime column by name."""
    column_t = column("t", "datetime")
    matrix = numbers(pl.DataFrame({"t": series}), [column_t])
    return {
        name.removeprefix("t."): values.tolist()
        for name, values in zip(number_names([column_t]), matrix.T, strict=True)
    }


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_parts_of_moments_are_those_of_the_calendar(unit: str) -> None:
    found = parts(pl.Series(MOMENTS, dtype=pl.Datetime(unit)))  # type: ignore[arg-type]
    assert tuple(found) == DATETIME_PARTS
    for row, moment in enumerate(MOMENTS):
        if moment is None:
            assert all(np.isnan(values[row]) for values in found.values())
            continue
        assert found["hour"][row] == pytest.approx(moment.hour + moment.minute / 60)
        assert found["weekday"][row] == moment.weekday()
        assert found["day"][row] == moment.day
        assert found["month"][row] == moment.month - 1
        assert found["hour_cos"][row] == pytest.approx(np.cos(2 * np.pi * (moment.hour + moment.minute / 60) / 24))
        assert found["month_sin"][row] == pytest.approx(np.sin(2 * np.pi * (moment.month - 1) / 12))


def test_a_time_zone_counts_by_its_own_clock() -> None:
    there = dt.datetime(2024, 7, 4, 22, 30, tzinfo=ZoneInfo("America/New_York"))
    found = parts(pl.Series([there], dtype=pl.Datetime("us", "America/New_York")))
    assert (found["hour"], found["day"]) == ([22.5], [4.0])


def test_dates_and_texts_of_moments_are_moments() -> None:
    assert parts(pl.Series([dt.date(2024, 7, 4)]))["day"] == [4.0]
    said = parts(pl.Series(["2024-07-04T22:30:00", "no moment"]))
    assert said["hour"][0] == 22.5
    assert np.isnan(said["hour"][1])


def test_numbers_are_finite_or_missing() -> None:
    table = pl.DataFrame(
        {"f": [1.5, float("inf"), None], "b": [True, None, False], "i": [1, 2, None], "s": ["3", "x", None]}
    )
    matrix = numbers(table, [column(name, "numeric") for name in table.columns])
    missing = np.nan
    np.testing.assert_array_equal(
        matrix, [[1.5, 1, 1, 3], [missing, missing, 2, missing], [missing, 0, missing, missing]]
    )
    assert numbers(table, []).shape == (3, 0)
