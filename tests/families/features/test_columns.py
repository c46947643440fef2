"""Tests for `bakeoff.families.features.columns`."""

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import polars as pl
import pytest

from bakeoff.core.conversation import question_text
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, ColumnFormat, Schema, Signature
from bakeoff.families.features.columns import DATETIME_PARTS, complete, input_columns, number_names, numbers, plain

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


def fitted_on(**columns: pl.Series) -> Signature:
    """The signature of a model fitted on these columns, each of the kind that its name begins with."""
    inputs = tuple(column(name, name.partition("_")[0]) for name in columns)
    table = pl.DataFrame(columns)
    job = FitJob(
        task="regression",
        schema=Schema(columns=inputs, target="y", inputs=tuple(columns)),
        train=table[: len(table) // 2],
        validation=table[len(table) // 2 :],
        params=None,
        metric="rmse",
        seed=0,
        threads=1,
        cache=Path(),
        progress=lambda _: None,
    )
    return Signature(task="regression", inputs=input_columns(job))


def test_gaps_that_no_row_had_are_filled_with_the_middle():
    signature = fitted_on(
        numeric=pl.Series([1.0, 2.0, 40.0, 3.0]),
        categorical=pl.Series(["b", "a", "b", "a"]),
        boolean=pl.Series([True, True, False, True]),
        datetime=pl.Series([dt.datetime(2024, 1, day) for day in (1, 3, 5, 31)]),
        text=pl.Series(["a", "b", "c", "d"]),
    )
    assert [each.fill for each in signature.inputs] == [2.5, "a", True, "2024-01-04T00:00:00", ""]
    gaps = pl.DataFrame({each.name: [None, None] for each in signature.inputs})
    assert complete(gaps, signature).rows() == [(2.5, "a", True, dt.datetime(2024, 1, 4), None)] * 2
    assert gaps["numeric"].to_list() == [None, None]


def test_a_number_that_is_none_is_a_gap_too():
    signature = fitted_on(numeric=pl.Series([1.0, 2.0, 3.0, 4.0]))
    table = complete(pl.DataFrame({"numeric": [np.nan, np.inf, None, 7.0]}, strict=False), signature)
    assert table["numeric"].to_list() == [2.5, 2.5, 2.5, 7.0]


@pytest.mark.parametrize("gap", [None, float("nan"), float("inf")])
def test_where_training_had_gaps_the_model_knows_what_they_mean(gap: float | None):
    signature = fitted_on(numeric=pl.Series([1.0, 2.0, 3.0, gap]), categorical=pl.Series(["a", None, "a", "a"]))
    assert [each.fill for each in signature.inputs] == [None, None]
    gaps = pl.DataFrame({"numeric": [None], "categorical": [None]})
    assert complete(gaps, signature).rows() == [(None, None)]


def test_a_table_without_gaps_is_left_as_it_is():
    signature = fitted_on(numeric=pl.Series([1.0, 2.0]))
    table = pl.DataFrame({"numeric": [5.0], "further": [None]})
    assert complete(table, signature) is table


def test_signatures_of_older_models_have_nothing_to_fill_with():
    old = {"task": "regression", "inputs": [{"name": "x", "kind": "numeric", "dtype": "Float64", "missing": 0}]}
    signature = msgspec.convert(old, Signature)
    assert complete(pl.DataFrame({"x": [None]}), signature).rows() == [(None,)]


def test_families_that_read_words_see_the_turns_of_a_conversation_and_no_json() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    texts = [question_text(turns), "Only a question", None]
    columns = (
        Column(name="messages", kind="text", dtype="String", format=ColumnFormat(form="conversation")),
        Column(name="note", kind="text", dtype="String"),
    )
    shown = plain(pl.DataFrame({"messages": texts, "note": texts}), columns)
    assert shown["messages"].to_list() == ["user: Hi\nassistant: Hello", "Only a question", None]
    assert shown["note"].to_list() == texts
