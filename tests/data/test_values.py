"""One conversion: a text means the same in a training column, in a table and in a single row."""

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import DataError
from bakeoff.core.types import Column, ColumnFormat, ColumnKind
from bakeoff.data.cast import conform, stored_type, to_kind
from bakeoff.data.formats import ColumnSettings, typed
from bakeoff.data.number_styles import _every_unit
from bakeoff.data.numerals import MEASURES, _unit
from bakeoff.data.times import moment, seconds

KINDS: tuple[ColumnKind, ...] = ("text", "categorical", "numeric", "datetime", "boolean")


def column(kind: ColumnKind, **style: Any) -> Column:
    return Column(name="c", kind=kind, dtype="", format=ColumnFormat(**style))


def one(value: object, of: Column) -> Any:
    return conform([{"c": value}], (of,))["c"][0]


def natural(series: pl.Series) -> ColumnKind:
    """The kind that a typed column has when nobody lists it."""
    if series.dtype.is_numeric():
        return "numeric"
    return "datetime" if series.dtype.is_temporal() else "boolean" if series.dtype == pl.Boolean else "text"


NUMBERS = st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: round(x, 3))
WHOLES = st.integers(-(10**12), 10**12)
MOMENTS = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2060, 1, 1)).map(lambda t: t.replace(microsecond=0))  # noqa: DTZ001


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


WRITERS: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "plain": (NUMBERS, str),
    "repr": (st.floats(allow_nan=False, allow_infinity=False), repr),
    "exponent": (NUMBERS, "{:e}".format),
    "decimal comma": (NUMBERS, lambda x: str(x).replace(".", ",")),
    "german": (NUMBERS, german),
    "english": (NUMBERS, "{:,.2f}".format),
    "swiss": (NUMBERS, lambda x: f"{x:,.2f}".replace(",", "'")),
    "narrow blanks": (NUMBERS, lambda x: f"{x:,.2f}".replace(",", "\u202f").replace(".", ",")),
    "percent": (NUMBERS, "{:.1f}%".format),
    "dollars": (NUMBERS, lambda x: f"-${-x:,.2f}" if x < 0 else f"${x:,.2f}"),
    "euros": (NUMBERS, lambda x: german(x) + " €"),
    "accounting": (NUMBERS, lambda x: f"({-x:,.2f})" if x < 0 else f"{x:,.2f}"),
    "minus sign": (WHOLES, lambda x: str(x).replace("-", "\u2212")),
    "trailing minus": (WHOLES, lambda x: f"{-x}-" if x < 0 else str(x)),
    "plus": (WHOLES, "{:+d}".format),
    "whole": (WHOLES, str),
    "long": (st.integers(2**53, 2**63 - 1), str),
    "longer": (st.integers(2**64, 2**70), str),
    "zeros": (st.integers(0, 999), "{:04d}".format),
    "iso": (MOMENTS, lambda t: t.isoformat()),
    "iso blank": (MOMENTS, lambda t: t.isoformat(" ")),
    "iso utc": (MOMENTS, lambda t: t.isoformat() + "Z"),
    "iso offset": (MOMENTS, lambda t: t.isoformat() + "+05:30"),
    "fraction": (MOMENTS, lambda t: t.isoformat() + ".25"),
    "day": (MOMENTS, lambda t: t.date().isoformat()),
    "compact": (MOMENTS, "{:%Y%m%d}".format),
    "german day": (MOMENTS, "{:%d.%m.%Y %H:%M}".format),
    "american": (MOMENTS, "{:%m/%d/%Y %I:%M:%S %p}".format),
    "british": (MOMENTS, "{:%d/%m/%Y}".format),
    "month name": (MOMENTS, "{:%d %b %Y}".format),
    "mail": (MOMENTS, "{:%a, %d %b %Y %H:%M:%S} GMT".format),
    "clock": (MOMENTS, "{:%H:%M:%S}".format),
    "clock of twelve": (MOMENTS, "{:%I:%M %p}".format),
    "iso duration": (st.integers(0, 9999), "PT{}M".format),
    "days": (st.integers(0, 99), "{} days".format),
    "boolean": (st.booleans(), str),
    "yes": (st.booleans(), lambda x: "Yes" if x else "No"),
    "ja": (st.booleans(), lambda x: "ja" if x else "nein"),
    "words": (st.text(st.characters(exclude_categories=("Cs",)), max_size=12), str),
}


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_text_means_the_same_in_training_and_from_every_door(writer: str, data: st.DataObject) -> None:
    """A typed training column in its stored type is what its texts give, by the row and by the table."""
    values, write = WRITERS[writer]
    texts: list[str | None] = [write(value) for value in data.draw(st.lists(values, min_size=1, max_size=40))]
    words = data.draw(st.lists(st.sampled_from(["NA", "?", "n/a", "", None]), max_size=2))
    series = pl.Series("c", [*texts, *(word or None for word in words)], dtype=pl.String)
    series = series.set(series == "", None)
    result = typed(series, ColumnSettings())
    for kind in {natural(result.series), "text", "categorical"}:
        of = Column(name="c", kind=kind, dtype="", format=result.style)
        trained = to_kind(result.series, of)
        assert trained.dtype == stored_type(kind)
        assert trained.to_list() == conform([{"c": text} for text in series], (of,))["c"].to_list()
        assert trained.equals(to_kind(series, of), null_equal=True)
        assert trained.equals(conform([{"c": value} for value in result.series], (of,))["c"], null_equal=True)
    lost = sum(loss.count for loss in result.losses)
    assert result.series.null_count() - series.null_count() == lost


def test_values_of_other_libraries_are_plain_values() -> None:
    noon = dt.datetime.fromisoformat("2024-05-01T12:00:00")
    numbers: list[Any] = [5, 5.0, np.int64(5), np.float32(5), np.uint8(5), Decimal(5), Decimal("5.0"), "5", " 5 "]
    assert {one(value, column("numeric")) for value in numbers} == {5.0}
    assert {one(value, column("categorical")) for value in numbers[:-1]} == {"5"} | {"5.0"} - {"5.0"}
    times: list[Any] = [noon, noon.replace(tzinfo=dt.UTC), np.datetime64("2024-05-01T12:00"), "2024-05-01T14:00+02:00"]
    times.append(noon.replace(hour=14, tzinfo=ZoneInfo("Europe/Berlin")))
    assert {one(value, column("datetime")) for value in times} == {noon}
    days = [noon.date(), 20240501, "20240501", np.datetime64("2024-05-01")]
    assert {one(value, column("datetime")) for value in days} == {noon.replace(hour=0)}
    for clock in (dt.time(1, 30), dt.timedelta(minutes=90), np.timedelta64(90, "m"), "1:30", "PT90M", 5400):
        assert one(clock, column("numeric", form="duration")) == 5400.0
    assert {one(value, column("boolean")) for value in (np.bool_(True), 1, 1.0, "yes", "T", "ja", "true")} == {True}
    absent: list[Any] = [None, "", math.nan, np.float64("nan"), np.datetime64("NaT"), Decimal("NaN")]
    for kind in KINDS:
        assert [one(value, column(kind)) for value in absent] == [None] * len(absent)
    assert one(UUID(int=1), column("text")) == "00000000-0000-0000-0000-000000000001"
    assert one(b"caf\xc3\xa9", column("text")) == "café"


@pytest.mark.parametrize(
    ("text", "style", "value"),
    [
        ("1.234,50", {"decimal": ",", "thousands": "."}, 1234.5),
        ("1 234,5", {"decimal": ",", "thousands": " \u00a0"}, 1234.5),
        ("1\u00a0234,5", {"decimal": ",", "thousands": " \u00a0"}, 1234.5),
        ("12,34,567", {"thousands": ","}, 1234567),
        ("(1,234.5)", {"thousands": ","}, -1234.5),
        ("-$5", {"units": ("$",)}, -5),
        ("$-5", {"units": ("$",)}, -5),
        ("EUR 5-", {"units": ("EUR",)}, -5),
        ("12.5 %", {"units": ("%",)}, 0.125),
        ("55%", {"units": ("%",)}, 0.55),
        ("7%", {"units": ("%",)}, 0.07),
        ("0.55", {"units": ("%",)}, 0.55),
        ("1.5e2 ‰", {"units": ("‰",)}, 0.15),
        ("25 bps", {"units": ("bps",)}, 0.0025),
        ("５１２", {}, 512),
        ("－１．５", {}, -1.5),
        ("٥١٢", {}, 512),
        ("٣٫٥", {}, 3.5),
        ("१२", {}, 12),
        ("<0.01", {"bounds": True}, 0.01),
        (">= 100", {"bounds": True}, 100),
        ("~5", {"bounds": True}, 5),
        ("5+", {"bounds": True}, 5),
        ("≤-5", {"bounds": True}, -5),
        ("1.2k", {"scales": True}, 1200),
        ("3M", {"scales": True}, 3_000_000),
        ("2,5 Mrd. €", {"scales": True, "decimal": ",", "units": ("€",)}, 2.5e9),
        ("$1.1B", {"scales": True, "units": ("$",)}, 1.1e9),
        ("3万", {"scales": True}, 30_000),
        ("1,61,346.00", {"thousands": ","}, 161346),
        ("N/A", {}, None),
        ("#DIV/0!", {}, None),
        ("?", {"missing": ("?",)}, None),
        (".5", {}, 0.5),
        ("5.", {}, 5.0),
        ("+1e-3", {}, 0.001),
    ],
)
def test_numbers_are_read_as_their_column_writes_them(text: str, style: Any, value: float | None) -> None:
    assert one(text, column("numeric", form="number", **style)) == value


UNITS = _every_unit()


@given(st.sampled_from(["", *UNITS]), st.sampled_from(["5", "1,5", "", "-"]), st.sampled_from(["", *UNITS]))
def test_the_unit_of_a_number_is_the_longest_that_stands_at_its_end_or_is_a_currency_before_it(
    before: str, body: str, after: str
) -> None:
    text = before + body + after
    longest = max(
        (each for each in UNITS if text.endswith(each) or (each not in MEASURES and text.startswith(each))),
        key=len,
        default="",
    )
    assert _unit(text, UNITS) == longest


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("1,234", {}),
        ("1.5", {"decimal": ","}),
        ("12.34.5", {"decimal": ",", "thousands": "."}),
        ("5%", {}),
        ("5 $", {"units": ("€",)}),
        ("--5", {}),
        ("(-5)", {}),
        ("?", {}),
        ("1_000", {}),
        ("0x10", {}),
        ("1e", {}),
        ("9" * 5000, {}),
    ],
)
def test_what_a_column_does_not_write_is_refused(text: str, style: Any) -> None:
    with pytest.raises(DataError, match="row 1, column 'c': expected a number"):
        one(text, column("numeric", form="number", **style))


@pytest.mark.parametrize(
    ("text", "order", "iso"),
    [
        ("2024-05-01T12:00:00+02:00", "ymd", "2024-05-01T10:00:00"),
        ("2024-05-01 12:00 +0200", "ymd", "2024-05-01T10:00:00"),
        ("2024-05-01T12:00:00,5Z", "ymd", "2024-05-01T12:00:00.500000"),
        ("2024-05-01 12:00 Europe/Berlin", "ymd", "2024-05-01T10:00:00"),
        ("2024-10-27 02:30 Europe/Berlin", "ymd", "2024-10-27T00:30:00"),
        ("2024-05-01 12:00:00 EST", "ymd", "2024-05-01T17:00:00"),
        ("2024/5/1 9:30 PM", "ymd", "2024-05-01T21:30:00"),
        ("20240501", "ymd", "2024-05-01T00:00:00"),
        ("03-05-2025", "dmy", "2025-05-03T00:00:00"),
        ("03-05-2025", "mdy", "2025-03-05T00:00:00"),
        ("31.12.68", "dmy", "2068-12-31T00:00:00"),
        ("31.12.69", "dmy", "1969-12-31T00:00:00"),
        ("Wed, 01 May 2024 12:00:00 GMT", "ymd", "2024-05-01T12:00:00"),
        ("Wed May  1 12:00:00 2024", "ymd", "2024-05-01T12:00:00"),
        ("May 1st, 2024", "ymd", "2024-05-01T00:00:00"),
        ("1. März 2024", "ymd", "2024-03-01T00:00:00"),
        ("2024年5月1日", "ymd", "2024-05-01T00:00:00"),
        ("2024-05-01 24:00:00", "ymd", "2024-05-02T00:00:00"),
        ("12:30 AM 1/2/2024", "mdy", None),
        ("2024-02-30", "ymd", None),
        ("03-05-2025", "ymd", None),
        ("1714560000", "ymd", None),
        ("2024-05-01 13:00 PM", "ymd", None),
        ("0001-01-01T00:00:00+05:00", "ymd", None),
        ("2024-05-01 12:00 Mars/Olympus", "ymd", None),
    ],
)
def test_times(text: str, order: Any, iso: str | None) -> None:
    if iso is not None:
        assert moment(text, order).isoformat() == iso
        return
    with pytest.raises(DataError, match="expected a"):
        one(text, column("datetime", order=order))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1:30:00", 5400), ("13:52", 49_920), ("9:30 pm", 77_400), ("12:00 AM", 0), ("PT5M", 300), ("P1DT2H", 93_600),
     ("2 days", 172_800), ("1 day, 2:03:04", 93_784), ("1h 30m", 5400), ("90 min", 5400), ("-0:30", -1800),
     ("100:00:00", 360_000), ("0:00:01.5", 1.5)],
)  # fmt: skip
def test_durations_are_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["5 m", "1:75", "13:00 pm", "", "P", "soon"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        seconds(text)


def test_a_vector_comes_as_its_list_or_by_its_elements() -> None:
    columns = [
        Column(
            name=f"e[{i}]",
            kind="numeric",
            dtype="",
            format=ColumnFormat(form="number", vector="e", position=i, length=2),
        )
        for i in range(2)
    ]
    rows = [{"e": [1, 2.5]}, {"e[0]": 1, "e[1]": 2.5}, {"e": np.array([1, 2.5])}, {"e": None}, {}]
    table = conform(rows, columns)
    assert table.rows() == [(1.0, 2.5), (1.0, 2.5), (1.0, 2.5), (None, None), (None, None)]
    assert conform(pl.DataFrame({"e": [[1.0, 2.5]]}), columns).rows() == [(1.0, 2.5)]
    for wrong in ([1], [1, 2, 3], "12", 5, {"a": 1}):
        with pytest.raises(DataError, match="row 2, column 'e': expected a list of 2 numbers"):
            conform([{"e": [1, 2]}, {"e": wrong}], columns)
    with pytest.raises(DataError, match="column 'e'"):
        conform([{"e": [1, "x"]}], columns)


def test_nested_values_of_a_column_of_texts() -> None:
    of = column("text", form="json")
    assert one({"a": [1]}, of) == one('{"a": [1]}', of) == '{"a":[1]}'
    assert one([{"role": "user", "content": "Hi"}], of) == "Hi"
    assert one("[not json", of) == "[not json"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for kind in KINDS:
        with pytest.raises(DataError, match="column 'c'"):
            one(deep, column(kind))
    with pytest.raises(DataError, match="column 'c'"):
        one(deep, of)


def test_columns_of_older_versions_are_canonical() -> None:
    old = msgspec.convert({"name": "c", "kind": "numeric", "dtype": "Float64", "missing": 0}, Column)
    assert old == Column(name="c", kind="numeric", dtype="Float64")
    assert one("2.5", old) == 2.5
    new = column("numeric", form="number", decimal=",", units=("€",), missing=("?",))
    assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(new))), Column) == new
