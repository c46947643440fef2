"""Feedback rows that join a dataset, and those that cannot: every one is accounted for."""

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.core.types import Column, ColumnFormat, Schema
from bakeoff.loop.feedback_rows import conformed, fitting

COLUMNS = (
    Column(name="x", kind="numeric", dtype="Float64"),
    Column(name="g", kind="categorical", dtype="String"),
    Column(name="y", kind="categorical", dtype="String"),
)
SCHEMA = Schema(columns=COLUMNS, target="y", inputs=("x", "g"))
CLASSES = pl.Series("y", ["0", "1", "1"])


def joined(rows, schema=SCHEMA, task="classification"):
    fed, misfits = conformed(rows, COLUMNS)
    table, losses = fitting(fed, schema, CLASSES, task, "trim")
    return table, {loss.reason: loss.count for loss in (*misfits, *losses)}


def test_labels_take_the_names_of_the_dataset():
    table, lost = joined([{"x": 1, "g": "a", "y": label} for label in ("1 ", "1.0", "TRUE", "0")])
    assert (table["y"].to_list(), lost) == (["1", "1", "1", "0"], {})


def test_what_does_not_fit_is_counted_and_the_rest_joins():
    rows = [{"x": 1, "g": "a", "y": "1"}, {"x": "many", "g": "a", "y": "1"}, {"x": 2, "g": None, "y": "maybe"}]
    table, lost = joined(rows)
    assert table.rows() == [(1.0, "a", "1")]
    assert lost == {"feedback with a value that does not fit its column": 1, "feedback with an unknown label": 1}


def test_an_input_that_the_rows_never_had_sets_all_aside():
    schema = Schema(
        columns=(*COLUMNS, Column(name="new", kind="text", dtype="String")), target="y", inputs=("x", "g", "new")
    )
    table, lost = joined([{"x": 1, "g": "a", "y": "1"}] * 3, schema)
    assert (table.height, table.columns, lost) == (0, ["x", "g", "y", "new"], {"feedback without an input": 3})


def test_an_input_of_another_kind_takes_what_fits_it():
    changed = Column(name="g", kind="numeric", dtype="Float64")
    schema = Schema(columns=(COLUMNS[0], changed, COLUMNS[2]), target="y", inputs=("x", "g"))
    table, lost = joined([{"x": 1, "g": "5", "y": "1"}, {"x": 1, "g": "a", "y": "1"}], schema)
    assert (table["g"].to_list(), lost) == ([5.0], {"feedback with a value that does not fit its column": 1})


@pytest.mark.parametrize("known", ["v", "v[0]"])
def test_a_vector_is_there_as_a_list_or_as_its_elements(known):
    column = Column(name="v[0]", kind="numeric", dtype="Float64", format=ColumnFormat(vector="v", position=0, length=1))
    schema = Schema(columns=(column, COLUMNS[2]), target="y", inputs=("v[0]",))
    fed = pl.DataFrame({known: [[1.5]] if known == "v" else [1.5], "y": ["1"]})
    table, losses = fitting(fed, schema, CLASSES, "classification", "trim")
    assert (table["v[0]"].to_list(), losses) == ([1.5], ())


cells = st.sampled_from([None, 1, 2.5, "3", "many", "", True])
labels = st.sampled_from(["0", "1", 1, 1.0, True, "maybe", "", None, " "])


@given(st.lists(st.fixed_dictionaries({"x": cells, "g": cells, "y": labels}), max_size=8))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
def test_rows_in_are_rows_joined_and_rows_lost(rows):
    table, lost = joined(rows)
    assert len(rows) == table.height + sum(lost.values())
    assert table["y"].null_count() == 0
    assert set(table["y"]) <= {"0", "1"}
