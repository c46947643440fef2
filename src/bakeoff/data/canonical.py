"""Columns of canonical texts, converted at once: whole numbers, numbers, true and false, ISO times.

Each gives what the conversion of single values gives (`bakeoff.data.values`), or None when any text is not canonical.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.core import narrow

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "FIRST_DAY",
    "LAST_DAY",
    "LONG",
    "IsoTimes",
    "NumberShape",
    "compact_times",
    "iso_times",
    "shapes_of",
    "true_false",
]

NUMBER = r"^[+-]?(?:0|[1-9][0-9]*)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?$"
LONG = r"^[+-]?[0-9]{16,}$"
"""Whole numbers that may be beyond 2^53."""
DAY = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
DAYS = f"^{DAY}$"
TIMES = rf"^{DAY}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?Z?$"
OPEN = r"^[+-]?(?:[1-9][0-9]{0,2}\.[0-9]{3}|[0-9]{1,3})$"
"""Numbers whose point could set groups of three digits apart."""
FIRST_DAY, LAST_DAY = 1900_01_01, 2100_12_31
DAYS_ALONE, TO_MINUTES, TO_SECONDS = "%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S"
COMPACT = {
    DAYS_ALONE: (FIRST_DAY, LAST_DAY),
    TO_MINUTES: (FIRST_DAY * 10**4, LAST_DAY * 10**4 + 2359),
    TO_SECONDS: (FIRST_DAY * 10**6, LAST_DAY * 10**6 + 235959),
}


def _first(series: "pl.Series") -> str:
    """The first value that is present: what it is not, the column is not."""
    if not len(series):
        return ""
    first = series[0]
    if first is None:
        first = series[series.is_not_null().arg_max() or 0]
    return first or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberShape:
    """Whether all texts of a column are whole numbers, or numbers; whether these show their decimal mark."""

    whole: bool = False
    number: bool = False
    point: bool = False


def shapes_of(table: "pl.DataFrame") -> dict[str, NumberShape]:
    """The shapes of all columns of texts at once: asked one by one, a table of thousands takes many times longer.

    Whole numbers are written as "-12": not with leading zeros or a plus. Numbers are written as "1.5" or "2e-3", and
    no whole number among them is too long for a float.
    """
    import polars as pl

    texts = [name for name, dtype in table.schema.items() if dtype == pl.String]
    firsts = {name: _first(table[name]) for name in texts}
    digits = [name for name in texts if firsts[name][-1:].isdigit()]
    if not digits and not any(first[-1:] == "." for first in firsts.values()):
        return {}
    places = {str(place): name for place, name in enumerate(digits)}
    whole = _all_true(table, {place: _is_whole(name) for place, name in places.items()})
    shapes = {places[place]: NumberShape(whole=True) for place in whole}
    rest = [name for name in texts if name not in shapes and firsts[name][:1] and firsts[name][0] in "+-.0123456789"]
    numbers = {str(place): name for place, name in enumerate(rest)}
    sound = _all_true(table, {place: _is_number(name) for place, name in numbers.items()})
    open_marks = _all_true(table, {place: pl.col(numbers[place]).str.contains(OPEN).all() for place in sound})
    return shapes | {numbers[place]: NumberShape(number=True, point=place not in open_marks) for place in sound}


def _all_true(table: "pl.DataFrame", tests: "dict[str, pl.Expr]") -> list[str]:
    """The names of the tests that the table passes."""
    row = table.select(**tests).row(0) if tests else ()
    return [name for name, passed in zip(tests, row, strict=True) if passed]


def _is_whole(name: str) -> "pl.Expr":
    import polars as pl

    text = pl.col(name)
    value = text.cast(pl.Int64, strict=False)
    return (value.null_count() == text.null_count()) & (value.cast(pl.String) == text).all()


def _is_number(name: str) -> "pl.Expr":
    import polars as pl

    text = pl.col(name)
    value = text.cast(pl.Float64, strict=False)
    short = ~((value.abs() >= 2**53) & text.str.contains(LONG)).any()
    return (value.null_count() == text.null_count()) & value.is_finite().all() & text.str.contains(NUMBER).all() & short


def true_false(series: "pl.Series") -> "pl.Series | None":
    """Texts "true" and "false", in any case."""
    if _first(series).lower() not in {"true", "false"}:
        return None
    lower = series.str.to_lowercase()
    return (lower == "true") if lower.is_in(["true", "false"]).all() else None


def compact_times(values: "pl.Series") -> "pl.Series | None":
    """Numbers such as 20240131, 202401311230 or 20240131123000, when every one is a day or time."""
    import polars as pl

    values = values.fill_nan(None) if values.dtype.is_float() else values
    if values.null_count() == len(values):
        return None
    least, most = narrow.number(values.min()), narrow.number(values.max())
    form = next((form for form, (first, last) in COMPACT.items() if first <= least and most <= last), None)
    if form is None or (values.dtype.is_float() and (values != values.floor()).any()):
        return None
    texts = values.cast(pl.Int64).cast(pl.String)
    if form == DAYS_ALONE:
        times = texts.str.to_date(form, strict=False).cast(pl.Datetime("us"))
    else:
        texts = texts if form == TO_SECONDS else texts + "00"
        times = texts.str.to_datetime(TO_SECONDS, strict=False, time_unit="us")
    return times if times.null_count() == values.null_count() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class IsoTimes:
    """Times, and how many of them are marked as UTC."""

    values: "pl.Series"
    zoned: int
    naive: int


def iso_times(series: "pl.Series") -> IsoTimes | None:
    """Texts such as "2024-01-31", "2024-01-31 10:00:00" or "2024-01-31T10:00:00.5Z"."""
    import polars as pl

    first = _first(series)
    if first[4:5] != "-" or not first[:4].isdigit():
        return None
    present = len(series) - series.null_count()
    if series.str.contains(DAYS).all():
        values, zoned = series.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")), 0
    elif series.str.contains(TIMES).all():
        plain = series.str.strip_suffix("Z").str.replace("T", " ", literal=True)
        values = plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
        zoned = int(series.str.ends_with("Z").sum())
    else:
        return None
    if values.null_count() != series.null_count():
        return None
    return IsoTimes(values=values, zoned=zoned, naive=present - zoned)
