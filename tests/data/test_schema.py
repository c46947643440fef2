import datetime as dt
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import DataError
from bakeoff.core.types import Column, ColumnKind
from bakeoff.data.cast import conform, to_kind
from bakeoff.data.schema import Precedent, infer

ROWS = 100
SENTENCES = [f"this is review number {i} and it says a lot" for i in range(ROWS)]


def config(**settings: Any) -> DataConfig:
    return DataConfig(**{"source": "x", "target": "label", **settings})


def table(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"label": ["x", "y"] * (ROWS // 2), **columns})


def column(kind: ColumnKind) -> tuple[Column, ...]:
    return (Column(name="c", kind=kind, dtype=""),)


def test_kinds_come_from_types_and_values_and_lists_win() -> None:
    rows = table(
        review=SENTENCES,
        genre=["a comedy of many long words", "drama"] * 50,
        size=[i % 7 for i in range(ROWS)],
        seen=[True, False] * 50,
        day=[dt.date.fromisoformat("2024-01-01")] * ROWS,
        zone=[1, 2] * 50,
    )
    schema = infer(rows, config(categorical=["zone"]), "classification").schema
    assert {c.name: c.kind for c in schema.columns if c.name != "label"} == {
        "review": "text",
        "genre": "categorical",
        "size": "numeric",
        "seen": "boolean",
        "day": "datetime",
        "zone": "categorical",
    }
    assert schema.inputs == ("review", "genre", "size", "seen", "day", "zone")


def test_rejected_answers_are_no_input() -> None:
    rows = table(review=SENTENCES, label_rejected=SENTENCES, worse=SENTENCES)

    def found(task: Any = "generation", **settings: Any) -> tuple[str | None, tuple[str, ...]]:
        schema = infer(rows, config(**settings), task).schema
        return schema.rejected, schema.inputs

    assert found() == ("label_rejected", ("review", "worse"))
    assert found(rejected="worse") == ("worse", ("review", "label_rejected"))
    assert found(ignore=["label_rejected"]) == (None, ("review", "worse"))
    assert found("classification")[0] is None
    assert infer(rows, config(rejected="worse"), "generation").schema.column("worse").kind == "text"
    with pytest.raises(DataError, match=r"\[data\] rejected: no column 'wors'. Did you mean 'worse'"):
        found(rejected="wors")


def test_columns_without_use_are_left_out_with_a_note() -> None:
    rows = table(size=[1, 2] * 50, empty=[None] * ROWS, row=range(ROWS), code=[f"id{i}" for i in range(ROWS)])
    found = infer(rows, config(), "classification")
    assert found.schema.inputs == ("size",)
    assert {loss.subject for loss in found.losses} == {"empty", "row", "code"}
    kept = infer(rows, config(numeric=["row"], categorical=["code"], ignore=["size"]), "classification").schema
    assert kept.inputs == ("row", "code")
    assert "size" not in {c.name for c in kept.columns}
    with pytest.raises(DataError, match=r"at least one input.*'empty' is not used"):
        infer(rows.select("label", "empty"), config(), "classification")


def test_a_group_is_an_input_only_when_listed_and_a_time_unless_there_are_texts_or_it_is_ignored() -> None:
    rows = table(size=[1, 2] * 50, at=[dt.date.fromisoformat("2024-01-01")] * ROWS, who=["a", "b"] * 50)
    assert infer(rows, config(time="at", group="who"), "classification").schema.inputs == ("size", "at")
    ignored = infer(rows, config(time="at", group="who", ignore=["at"]), "classification").schema
    assert (ignored.inputs, ignored.time) == (("size",), "at")
    texts = rows.with_columns(review=pl.Series(SENTENCES))
    assert infer(texts, config(time="at", group="who"), "classification").schema.inputs == ("size", "review")
    live = Precedent(inputs={"size": "numeric"})
    assert infer(rows, config(time="at", group="who"), "classification", precedent=live).schema.inputs == ("size",)
    listed = infer(rows, config(time="at", group="who", datetime=["at"], categorical=["who"]), "classification")
    assert listed.schema.inputs == ("size", "at", "who")


def test_all_absent_columns_are_named_with_suggestions() -> None:
    with pytest.raises(DataError) as caught:
        infer(table(review=SENTENCES), config(target="lable", text=["reviews"], ignore=["zzz"]), "classification")
    message = str(caught.value)
    assert "target: no column 'lable'. Did you mean 'label'?" in message
    assert "text: no column 'reviews'. Did you mean 'review'?" in message
    assert "ignore: no column 'zzz'" in message


UTC_NOON = dt.datetime.fromisoformat("2024-05-01T12:00:00")
SAME = {
    "text": [("a", "a"), (5, "5"), (5.0, "5"), (0.1, "0.1"), (1e300, "1e+300"), (True, "true"), ("", None)],
    "categorical": [("é", "é"), (7, "7"), (-0.0, "0"), (False, "false"), (None, None)],
    "numeric": [(3, 3.0), ("2.5", 2.5), (True, 1.0), (math.nan, None), (math.inf, None), ("", None)],
    "boolean": [(True, True), ("False", False), (1, True), (0.0, False), ("", None)],
    "datetime": [
        ("2024-05-01T14:00:00+02:00", UTC_NOON),
        ("2024-05-01 12:00:00", UTC_NOON),
        (UTC_NOON, UTC_NOON),
        (UTC_NOON.replace(tzinfo=dt.UTC), UTC_NOON),
        ("", None),
    ],
}


@pytest.mark.parametrize(("kind", "value", "stored"), [(k, v, s) for k, pairs in SAME.items() for v, s in pairs])
def test_a_value_is_stored_alike_from_a_row_and_from_a_table(kind: ColumnKind, value: Any, stored: Any) -> None:
    (from_row,) = conform([{"c": value}], column(kind))["c"].to_list()
    (from_table,) = conform(pl.DataFrame({"c": pl.Series([value], strict=False)}), column(kind))["c"].to_list()
    assert from_row == from_table == stored


@pytest.mark.parametrize(
    ("kind", "value"),
    [("numeric", "abc"), ("numeric", [1]), ("numeric", 10**400), ("boolean", 2), ("boolean", "maybe"),
     ("datetime", 5), ("datetime", "soon"), ("text", {"a": 1}), ("numeric", "1_0")],
)  # fmt: skip
def test_a_misfit_names_row_and_column(kind: ColumnKind, value: Any) -> None:
    with pytest.raises(DataError, match="row 2, column 'c': expected"):
        conform([{"c": None}, {"c": value}], column(kind))


def test_rows_that_are_no_objects_are_refused() -> None:
    with pytest.raises(DataError, match="row 1: expected an object"):
        conform([[1]], column("numeric"))  # type: ignore[list-item]


def test_a_lone_surrogate_is_replaced() -> None:
    assert conform([{"c": "a\ud800"}], column("text"))["c"].to_list() == ["a?"]


def test_no_rows_and_absent_columns_keep_the_types() -> None:
    assert conform([], column("numeric")).schema == {"c": pl.Float64()}
    assert conform(pl.DataFrame({"x": [1, 2]}), column("boolean"))["c"].to_list() == [None, None]


def test_nested_columns_are_refused() -> None:
    with pytest.raises(DataError, match="row 1, column 'c'"):
        to_kind(pl.Series("c", [[1]]), *column("categorical"))


@given(st.lists(st.one_of(st.none(), st.floats(allow_subnormal=False)), min_size=1))
def test_floats_as_text_agree_between_rows_and_tables(values: list[float | None]) -> None:
    rows = conform([{"c": value} for value in values], column("categorical"))
    assert rows.equals(conform(pl.DataFrame({"c": values}, schema={"c": pl.Float64}), column("categorical")))


def test_categories_are_one_whatever_stands_unseen_around_them_and_told() -> None:
    town = ["Bonn", "Bonn ", "\u00a0Köln", "Ko\u0308ln", "Köln"] * 20
    table = pl.DataFrame({"town": town, "size": [float(i) for i in range(100)], "label": ["a", "b"] * 50})
    found = infer(table, DataConfig(source=("x",), target="label"), "classification")
    (loss,) = [each for each in found.losses if each.kind == "label"]
    assert (loss.subject, loss.count, loss.of) == ("town", 60, 100)
    assert "'Bonn ' is 'Bonn'" in loss.examples
    column = found.schema.column("town")
    assert set(to_kind(table["town"], column)) == {"Bonn", "Köln"}
    assert conform([{"town": "Ko\u0308ln\u200b "}, {"town": " "}], (column,))["town"].to_list() == ["Köln", None]


def test_bytes_that_are_no_text_cost_their_column_alone() -> None:
    table = pl.DataFrame(
        {"raw": [b"\xff", b"\xfe"] * 30, "size": [float(i) for i in range(60)], "label": ["a", "b"] * 30}
    )
    found = infer(table, DataConfig(source=("x",), target="label"), "classification")
    assert [column.name for column in found.schema.columns] == ["size", "label"]
    assert [(loss.subject, loss.reason) for loss in found.losses] == [("raw", "it holds Binary")]
