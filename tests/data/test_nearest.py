import polars as pl
import pytest

from bakeoff.core.types import Column
from bakeoff.data.nearest import nearest_rows

COLUMNS = (
    Column(name="size", kind="numeric", dtype="Float64"),
    Column(name="kind", kind="categorical", dtype="String"),
    Column(name="text", kind="text", dtype="String"),
)


def table(**columns):
    return pl.DataFrame(columns, schema_overrides={"size": pl.Float64, "kind": pl.String, "text": pl.String})


def test_distances_are_means_over_columns():
    rows = table(size=[0.0, 50.0, 100.0], kind=["a", "b", "a"], text=["red car", "blue car", "green tree"])
    near = nearest_rows(rows, COLUMNS, table(size=[0.0], kind=["a"], text=["red car"]), most=3)
    assert [each.row for each in near] == [0, 2, 1]
    assert near[0].distance == pytest.approx(0, abs=1e-12)
    assert near[1].by_column == {"size": 1.0, "kind": 0.0, "text": 1.0}
    assert near[2].by_column["size"] == pytest.approx(50 / 98)  # the range from the 1st to the 99th percentile
    assert 0 < near[2].by_column["text"] < 1


def test_a_missing_value_is_like_another_and_unlike_all_else():
    rows = table(size=[None, 1.0], kind=["a", None], text=["x", None])
    near = nearest_rows(rows, COLUMNS, table(size=[None], kind=[None], text=["x"]), most=2)
    by_row = {each.row: each.by_column for each in near}
    assert by_row[0] == {"size": 0.0, "kind": 1.0, "text": 0.0}
    assert by_row[1] == {"size": 1.0, "kind": 0.0, "text": 1.0}


def test_the_same_text_is_the_same_though_it_has_no_word():
    rows = table(size=[1.0, 1.0], kind=["a", "a"], text=["good", ":-) !!"])
    near = nearest_rows(rows, COLUMNS, table(size=[1.0], kind=["a"], text=[":-) !!"]), most=1)
    assert (near[0].row, near[0].distance) == (1, 0.0)


def test_nothing_is_near_in_an_empty_table():
    assert nearest_rows(table(size=[], kind=[], text=[]), COLUMNS, table(size=[1.0], kind=["a"], text=["x"])) == []
