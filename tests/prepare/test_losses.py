"""What steps take away: rows with their classes, and texts of which nothing is left."""

import polars as pl
import pytest

from bakeoff.core.types import Column, Schema
from bakeoff.prepare.steps import Preparation

SCHEMA = Schema(
    columns=(
        Column(name="note", kind="text", dtype="String"),
        Column(name="price", kind="numeric", dtype="Float64"),
        Column(name="y", kind="categorical", dtype="String"),
    ),
    target="y",
    inputs=("note", "price"),
)


def table(notes, *, y=None):
    return pl.DataFrame({"note": notes, "price": 1.0, "y": y or ["a"] * len(notes)})


def losses(steps, rows, schema=SCHEMA):
    return Preparation(steps).apply_rows_and_columns(rows, schema).losses


def test_rows_that_a_step_sets_aside_are_counted_with_their_classes():
    rows = table(["one", "two", "one", "three", "one"], y=["a", "b", "a", "b", "a"])
    (lost,) = losses(["drop_duplicates"], rows)
    assert (lost.kind, lost.reason, lost.count, lost.of) == ("row", "step drop_duplicates", 2, 5)
    assert dict(lost.classes) == {"a": 2}
    assert lost.examples == ("'one'", "'one'")
    assert lost.chosen


def test_a_step_counts_out_of_the_rows_that_it_was_given():
    rows = table(["one", "one", "", " ", "two"])
    first, second = losses(["drop_empty", "drop_duplicates"], rows)
    assert (first.count, first.of, second.count, second.of) == (2, 5, 1, 3)


def test_texts_of_which_a_step_leaves_nothing_are_cells_lost():
    rows = table(["home about menu", "This is a fine film about a very long story.", None, ""])
    (lost,) = losses(["c4_lines"], rows)
    assert (lost.kind, lost.subject, lost.count, lost.of) == ("cell", "note", 1, 4)
    assert lost.examples == ("'home about menu'",)


@pytest.mark.parametrize("kind", ["numeric", "text"])
def test_a_target_that_is_no_class_has_no_classes(kind):
    columns = (*SCHEMA.columns[:2], Column(name="y", kind=kind, dtype="String"))
    schema = Schema(columns=columns, target="y", inputs=("note", "price"))
    (lost,) = losses(["drop_duplicates"], table(["one", "one"]), schema)
    assert dict(lost.classes) == {}


def test_steps_that_take_nothing_lose_nothing():
    assert losses(["squeeze_whitespace", "drop_duplicates", "drop_empty"], table(["a  b", "c"])) == ()


def test_examples_show_nothing_personal():
    (lost,) = losses(["drop_duplicates"], table(["mail ann@example.org", "mail ann@example.org"]))
    assert lost.examples == ("'mail [email]'",)
    numbers = table([None, None]).with_columns(price=1.0)
    (lost,) = losses(["drop_duplicates"], numbers)
    assert "ann@" not in str(lost.examples)
