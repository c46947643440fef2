import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.core.errors import NotFoundError
from bakeoff.core.types import Column, Schema
from bakeoff.prepare.steps import Change, Preparation
from bakeoff.prepare.text import TextStep, repair_unicode, squeeze_whitespace, strip_html

COLUMNS = (
    Column(name="text", kind="text", dtype="String"),
    Column(name="code", kind="categorical", dtype="String"),
)
SCHEMA = Schema(columns=COLUMNS, target="label", inputs=("text", "code"))
ALL = ["repair_unicode", "strip_html", "squeeze_whitespace", "drop_duplicates", "drop_empty"]
TABLE = pl.DataFrame(
    {
        "text": ["<p>a  b</p>", "a b", None, " ", "c"],
        "code": [" <b>", " <b>", "z", "z", "z"],
        "label": ["x", "x", "y", "y", "y"],
    }
)


def test_training_rows_and_served_rows_get_the_same_columns() -> None:
    preparation = Preparation(ALL)
    prepared = preparation.apply_rows_and_columns(TABLE, SCHEMA)
    assert prepared.table.rows() == [("a b", " <b>", "x"), ("c", "z", "y")]
    assert prepared.kept.tolist() == [0, 4]
    assert [(c.step, c.rows_in, c.rows_out, c.cells_changed) for c in prepared.changes] == [
        ("repair_unicode", 5, 5, 0),
        ("strip_html", 5, 5, 1),
        ("squeeze_whitespace", 5, 5, 2),
        ("drop_duplicates", 5, 3, 0),
        ("drop_empty", 3, 2, 0),
    ]
    served = preparation.apply_columns(TABLE.drop("label"), COLUMNS)
    assert served.height == 5
    assert served[prepared.kept.tolist()].equals(prepared.table.drop("label"))


def test_no_steps_change_nothing() -> None:
    prepared = Preparation([]).apply_rows_and_columns(TABLE, SCHEMA)
    assert prepared.table.equals(TABLE)
    assert prepared.changes == ()
    assert Preparation([]).key == ""


def test_an_unknown_step_gets_a_suggestion() -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'strip_html'"):
        Preparation(["strip_htm"])


def test_changes_compare() -> None:
    assert Change(step="a", rows_in=1, rows_out=1, cells_changed=0) == Change(
        step="a", rows_in=1, rows_out=1, cells_changed=0
    )


@pytest.mark.parametrize(
    ("step", "text", "clean"),
    [
        (repair_unicode, "It\u00e2\u20ac\u2122s caf\u00c3\u00a9", "It\u2019s caf\u00e9"),
        (repair_unicode, "na\u00efve \u00c3 la carte", "na\u00efve \u00c3 la carte"),
        (repair_unicode, "cafe\u0301\x00\ufeff\tok", "caf\u00e9\tok"),
        (repair_unicode, "\u05e9\u05dc\u05d5\u05dd \U0001f600", "\u05e9\u05dc\u05d5\u05dd \U0001f600"),
        (strip_html, "a < b & c > d", "a < b & c > d"),
        (strip_html, "<style>p{}</style><b>x</b>&lt;y&gt;&#233;", "x<y>é"),
        (strip_html, "one<br>two", "one\ntwo"),
        (strip_html, "x<div" * 3, "x<divx<divx<div"),
        (strip_html, "<b>" * 100_000 + "deep" + "</b>" * 100_000, "deep"),
        (squeeze_whitespace, "\u3000a \n\n b\u00a0", "a b"),
        (squeeze_whitespace, " \n", None),
    ],
)
def test_texts(step: TextStep, text: str, clean: str | None) -> None:
    assert step.apply(pl.DataFrame({"text": [text]}), SCHEMA)["text"].to_list() == [clean]


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_whitespace_is_squeezed_once_for_all(text: str) -> None:
    once = squeeze_whitespace.function(text)
    assert squeeze_whitespace.function(once) == once
