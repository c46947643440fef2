"""Tables of each library: what they are as rows, as the file that a project learns from, and on the way out."""

import datetime as dt
import subprocess
import sys
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import DataError, UsageError
from bakeoff.core.types import Column
from bakeoff.data.cast import conform
from bakeoff.data.column_types import type_columns
from bakeoff.data.flat import plain_types, unfolded
from bakeoff.data.schema import infer
from bakeoff.project.frames import given_back, library_named, library_of, taken
from bakeoff.project.rows import as_rows

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

DAYS = [dt.datetime(2024, 1, 1), None, dt.datetime(2024, 2, 3, 4, 5)]  # noqa: DTZ001
BERLIN = "Europe/Berlin"


def pandas_frame():
    """A column for each way in which pandas holds values; each has something missing where it can."""
    return pd.DataFrame(
        {
            "whole": [1, 2, 3],
            "number": [1.5, np.nan, 2.0],
            "narrow": np.array([0.1, np.nan, 0.3], dtype="float32"),
            "truth": [True, False, True],
            "text": ["a", None, "c"],
            "mixed": [1, "x", None],
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "perhaps": pd.array([True, None, False], dtype="boolean"),
            "maybe": [True, None, False],
            "kind": pd.Categorical(["u", None, "v"]),
            "level": pd.Categorical([3, None, 1]),
            "band": pd.cut([1, np.nan, 9], [0, 5, 10]),
            "at": pd.to_datetime(DAYS),
            "zoned": pd.to_datetime(DAYS).tz_localize(BERLIN),
            "took": pd.to_timedelta([1, 2, None], unit="h"),
            "month": pd.period_range("2024-01", periods=3, freq="M"),
            "day": [dt.date(2024, 1, 1), None, dt.date(2024, 1, 3)],
            "price": [Decimal("1.5"), None, Decimal(2)],
            "vector": [np.array([1.0, 2.0]), np.array([3.0, 4.0]), None],
            "arrow": pd.array([1, None, 2], dtype="int64[pyarrow]"),
            "sparse": pd.arrays.SparseArray([0.0, 1.0, np.nan]),
        },
        index=pd.Index([7, 8, 9], name="customer"),
    )


EXPECTED = {
    "customer": [7, 8, 9],
    "whole": [1, 2, 3],
    "number": [1.5, None, 2.0],
    "narrow": [0.10000000149011612, None, 0.30000001192092896],
    "truth": [True, False, True],
    "text": ["a", None, "c"],
    "mixed": ["1", "x", None],
    "nullable": [1, None, 3],
    "perhaps": [True, None, False],
    "maybe": [True, None, False],
    "kind": ["u", None, "v"],
    "level": [3, None, 1],
    "band": ["(0, 5]", None, "(5, 10]"],
    "at": DAYS,
    "zoned": [each and each.replace(tzinfo=dt.UTC) - dt.timedelta(hours=1) for each in DAYS],
    "took": [dt.timedelta(hours=1), dt.timedelta(hours=2), None],
    "month": [dt.datetime(2024, month, 1) for month in (1, 2, 3)],  # noqa: DTZ001
    "day": [dt.date(2024, 1, 1), None, dt.date(2024, 1, 3)],
    "price": [1.5, None, 2.0],
    "vector": [[1.0, 2.0], [3.0, 4.0], None],
    "arrow": [1, None, 2],
    "sparse": [0.0, 1.0, None],
}


def test_a_pandas_frame_is_taken_column_by_column():
    frame = taken(pandas_frame(), argument="source")
    assert {name: frame.table[name].to_list() for name in frame.table.columns} == EXPECTED
    assert frame.library == "pandas"
    assert frame.categorical == ("kind", "level", "band")
    assert frame.index == ("customer",)
    assert frame.mixed == ("mixed",)


def polars_frame():
    return pl.DataFrame(
        {
            "price": [Decimal("1.50"), None, Decimal("2.25")],
            "kind": ["a", None, "b"],
            "tags": [["x"], ["y", "z"], None],
            "vector": [[1, 2], [3, 4], [5, 6]],
            "nothing": [None, None, None],
            "nan": [1.0, float("nan"), None],
            "zoned": [each and each.replace(tzinfo=dt.UTC) for each in DAYS],
            "time": [dt.time(1, 30), None, dt.time(2)],
            "nested": [{"a": 1}, {"a": 2}, None],
        },
        schema_overrides={"kind": pl.Categorical, "price": pl.Decimal(8, 2)},
    )


def arrow_table():
    return pa.table(
        {
            "kind": pa.array(["a", None, "b"]).dictionary_encode(),
            "level": pa.array([3, None, 5]).dictionary_encode(),
            "price": pa.array([Decimal("1.50"), None, Decimal("2.25")]),
            "at": pa.array(DAYS, type=pa.timestamp("ns")),
            "tags": pa.array([["x"], ["y", "z"], None]),
            "nothing": pa.nulls(3),
        }
    )


def array_with_fields():
    return np.array([(1, 0.5, "a"), (2, np.nan, "b"), (3, 1.5, "c")], dtype=[("n", "i4"), ("x", "f8"), ("s", "U3")])


DICTS = [{"x": 1, "c": "a"}, {"x": 2.5, "at": DAYS[0]}, {"c": None, "x": None, "at": DAYS[2]}]


@pytest.mark.parametrize(
    "make",
    [pandas_frame, polars_frame, arrow_table, array_with_fields, lambda: DICTS, lambda: (row for row in DICTS)],
    ids=["pandas", "polars", "arrow", "numpy", "dicts", "generator"],
)
def test_what_a_frame_means_in_training_it_means_row_by_row(make):
    """The file that training reads, and the rows that serving reads, are the same inputs to the last bit."""
    frame = taken(make(), argument="source")
    read = unfolded(plain_types(frame.table))
    config = DataConfig(target="none", categorical=frame.categorical)
    typed = type_columns(read.table, frozenset(), config, target="none", delimiters=())
    formats = {**read.formats, **typed.formats}
    table = typed.table.with_columns(pl.Series("none", ["a", "b", "a"]))
    schema = infer(table, config, "classification", formats).schema
    trained = conform(table, schema.input_columns)
    assert trained.width >= 2
    assert conform(as_rows(make()), schema.input_columns).equals(trained, null_equal=True)


def test_arrays_without_names_have_them_by_place():
    matrix = np.array([[1.0, 2.0], [np.nan, 4.0]])
    assert taken(matrix, argument="source").table.to_dict(as_series=False) == {"x0": [1.0, None], "x1": [2.0, 4.0]}
    assert as_rows(matrix, names=["size", "age"]) == [{"size": 1.0, "age": 2.0}, {"size": None, "age": 4.0}]
    with pytest.raises(DataError, match=r"rows: expected an array of 3 columns \(a, b, c\), received one of 2"):
        as_rows(matrix, names=["a", "b", "c"])
    masked = np.ma.masked_array([[1, 2], [3, 4]], mask=[[False, True], [False, False]])
    assert taken(masked, argument="source").table["x1"].to_list() == [None, 4]


def test_an_index_without_a_name_numbers_the_rows():
    frame = pandas_frame().reset_index(drop=True)
    assert taken(frame, argument="source").index == ()
    assert "customer" not in as_rows(frame)[0]
    two = pandas_frame().set_index("whole", append=True)[["number"]]
    assert taken(two, argument="source").index == ("customer", "whole")
    assert as_rows(two)[0] == {"customer": 7, "whole": 1, "number": 1.5}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (
            {"x": [1, 2]},
            "source: expected rows as dicts, or a table .* received one dict: put a single row into a list",
        ),
        ("rows.csv", "source: expected rows as dicts.* received one str: files are read by source="),
        (7, "source: expected rows .* received one int"),
        (pd.Series([1, 2]), r"received a pandas.Series: one column is no table; make one by to_frame\(\)"),
        (pl.Series([1, 2]), "received a polars.series.series.Series: one column is no table"),
        (np.zeros(3), r"source: expected an array of rows and columns, received one of shape \(3,\): reshape"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "source: expected distinct column names .* received 'a' more"),
        (
            pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
            r"received levels of names such as \('a'",
        ),
        (pd.DataFrame(), "source: expected a table with rows and columns, received one of 0 rows and 0 columns"),
        (pl.DataFrame({"a": []}), "received one of 0 rows and 1 columns"),
        ([], "received one of 0 rows and 0 columns"),
        ([{"x": 1}, 3], "source: row 2: expected an object of column names and values, received 3"),
        (pd.DataFrame({"x": [1 + 2j]}), "row 1, column 'x': expected a text, number, boolean, time or list of them"),
        (pd.DataFrame({"x": [object()]}), "row 1, column 'x': expected a text, number"),
    ],
    ids=lambda each: each[:30] if isinstance(each, str) else type(each).__name__,
)
def test_what_is_no_table_is_one_error_that_names_the_argument(data, why):
    with pytest.raises(DataError, match=why):
        taken(data, argument="source")


OUT = pl.DataFrame(
    {
        "label": ["a", None],
        "probability": [0.5, None],
        "count": [1, None],
        "fine": [True, None],
        "at": [DAYS[0], None],
        "n": [1, 2],
    }
)


def test_a_table_goes_out_in_the_library_that_came_in():
    assert given_back(OUT, "polars") is OUT
    frame = given_back(OUT, "pandas", index=pd.Index(["r", "s"], name="row"))
    assert [str(each) for each in frame.dtypes] == ["str", "float64", "Int64", "boolean", "datetime64[us]", "int64"]
    assert frame.index.tolist() == ["r", "s"]
    assert frame.loc["r"].tolist() == ["a", 0.5, 1, True, pd.Timestamp(2024, 1, 1), 1]
    assert frame.loc["s"].isna().tolist() == [True, True, True, True, True, False]
    assert given_back(OUT, "arrow").to_pylist() == OUT.to_dicts()
    assert given_back(OUT, "numpy")["n"].tolist() == [1, 2]


def test_libraries_are_known_by_what_they_offer():
    tables = {"pandas": pandas_frame(), "polars": polars_frame(), "arrow": arrow_table(), "numpy": np.zeros((2, 2))}
    assert {name: library_of(table) for name, table in tables.items()} == {name: name for name in tables}
    assert library_of(polars_frame().lazy()) == "polars"
    assert library_of(arrow_table().to_batches()[0]) == "arrow"
    assert [library_of(each) for each in (DICTS, pl.Series([1]), arrow_table()["kind"], "a")] == [None] * 4
    with pytest.raises(UsageError, match=r"frames: expected one of polars, pandas, arrow, numpy, received 'spark'"):
        library_named("spark", argument="frames")


def test_no_library_is_imported_for_others():
    code = (
        "import sys; from bakeoff.project.frames import taken; from bakeoff.project.rows import as_rows\n"
        "import polars as pl; taken(pl.DataFrame({'a': [1]}), argument='x'); as_rows([{'a': 1}])\n"
        "print(sorted({'pandas', 'pyarrow'} & sys.modules.keys()))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed == "[]\n"


def test_a_category_of_numbers_is_a_category():
    column = Column(name="level", kind="categorical", dtype="String")
    frame = pandas_frame()[["level"]]
    assert conform(taken(frame, argument="x").table, (column,))["level"].to_list() == ["3", None, "1"]
    assert conform(as_rows(frame), (column,))["level"].to_list() == ["3", None, "1"]
