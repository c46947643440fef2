"""Rows as Python programs hold them."""

import datetime as dt
import uuid
from decimal import Decimal
from enum import Enum, IntEnum

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import DataError
from bakeoff.core.types import Column, ColumnFormat
from bakeoff.data.cast import conform
from bakeoff.project.rows import as_rows, plain_items

MOMENT = dt.datetime(2024, 5, 1, 12, 30)  # noqa: DTZ001


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class NAType:
    """As pandas.NA: no comparison of it is true or false."""

    def __eq__(self, other):
        return self

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None


class NaTType(dt.datetime):
    """As pandas.NaT: a datetime that equals nothing."""

    def __ne__(self, other):
        return True

    __hash__ = None


class Timestamp(dt.datetime):
    """As pandas.Timestamp: a datetime of another class."""


class Timedelta(dt.timedelta):
    """As pandas.Timedelta."""


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.datetime64("2024-05-01T12:30"), MOMENT),
        (np.datetime64("2024-05-01T12:30:00.000000000", "ns"), MOMENT),
        (np.datetime64("NaT"), None),
        (np.array([1.5, 2.5]), [1.5, 2.5]),
        (np.array(7), 7),
        ([np.int64(1), None], [1, None]),
        ((1, 2), [1, 2]),
        (Decimal("1.50"), 1.5),
        (Decimal(7), 7),
        (Decimal("NaN"), None),
        (float("nan"), None),
        (MOMENT, MOMENT),
        (dt.date(2024, 5, 1), dt.date(2024, 5, 1)),
        (dt.time(12), dt.time(12)),
        (dt.timedelta(hours=1), dt.timedelta(hours=1)),
        (Timestamp(2024, 5, 1, 12, 30), MOMENT),
        (Timestamp(2024, 5, 1, tzinfo=dt.UTC), dt.datetime(2024, 5, 1, tzinfo=dt.UTC)),
        (Timedelta(hours=30), dt.timedelta(hours=30)),
        (NaTType(2024, 5, 1), None),
        (NAType(), None),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (pl.Series([1.0, 2.0]), [1.0, 2.0]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_what_it_is_in_plain_python(value, plain):
    (row,) = as_rows([{"x": value}])
    assert row == {"x": plain}
    assert type(row["x"]) is type(plain)


FRAME = pl.DataFrame({"x": [1, 2], "c": ["a", None], "at": [MOMENT, None]}, schema_overrides={"c": pl.Categorical})
ROWS = [{"x": 1, "c": "a", "at": MOMENT}, {"x": 2, "c": None, "at": None}]


class Pandas:
    """As much of a pandas.DataFrame as is used: columns by place, each as a list of Python scalars."""

    def __init__(self, table: pl.DataFrame, columns=None) -> None:
        self.columns = list(columns or table.columns)
        self._table = table

    @property
    def iloc(self):
        class Places:
            def __getitem__(_, place):  # noqa: N805
                return self._table.to_series(place[1]).to_numpy(allow_copy=True)

        return Places()

    def __len__(self):
        return self._table.height


class Arrow:
    """As much of a pyarrow.Table as is used."""

    columns = ()

    def to_pylist(self):
        return FRAME.to_dicts()


@pytest.mark.parametrize("table", [FRAME, FRAME.lazy(), Pandas(FRAME), Arrow(), ROWS, iter(ROWS)])
def test_tables_of_any_library_are_rows(table):
    assert as_rows(table) == ROWS


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ({"x": 1}, "received one dict: put a single row into a list"),
        ("rows.csv", "received one str"),
        (7, "rows: expected rows as dicts, or a table of polars, pandas, Arrow or numpy, received one int"),
        ([{"x": 1}, [1]], "row 2: expected an object"),
        ([{"x": 1}, {"x": object()}], r"row 2, column 'x': expected a text, number.*\(object\)"),
        ([{"x": b"\xff"}], "row 1, column 'x'"),
        (
            Pandas(FRAME, columns=["x", "x", "c"]),
            r"distinct column names \(the index's among them\), received 'x' more than once",
        ),
    ],
)
def test_what_is_no_row_is_one_clear_error(rows, why):
    with pytest.raises(DataError, match=why):
        as_rows(rows)


def test_a_frame_means_what_its_rows_mean():
    columns = (
        Column(name="x", kind="categorical", dtype="String"),
        Column(name="c", kind="categorical", dtype="String"),
        Column(name="at", kind="datetime", dtype="Datetime", format=ColumnFormat(form="time")),
    )
    assert conform(as_rows(FRAME), columns).equals(conform(FRAME, columns))


def test_feedback_is_plain_values_whatever_library_they_come_from():
    items = [
        {"id": "a", "label": np.int64(1), "rating": Decimal("0.5"), "comment": None},
        {"id": np.str_("b"), "label": np.float32(0.1), "rating": np.bool_(False), "time_ms": np.int64(5)},
        {"id": "c", "label": np.datetime64("2024-05-01"), "rating": float("nan")},
        "no item",
    ]
    assert plain_items(items) == [
        {"id": "a", "label": 1, "rating": 0.5},
        {"id": "b", "label": pytest.approx(0.1), "rating": False, "time_ms": 5},
        {"id": "c", "label": "2024-05-01"},
        "no item",
    ]
    assert plain_items(pl.DataFrame({"id": ["a"], "label": [2]})) == [{"id": "a", "label": 2}]
