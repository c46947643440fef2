"""Columns of canonical texts, converted at once: whole numbers, numbers, true and false, ISO times.

Each gives what the conversion of single values gives (`bakeoff.data.values`), or None when any text is not canonical.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import polars as pl

__all__ = ["IsoTimes", "compact_days", "iso_times", "numbers", "true_false", "whole_numbers"]

NUMBER = r"^[+-]?(?:0|[1-9][0-9]*)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?$"
LONG = r"^[+-]?[0-9]{16,}$"
DAY = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
DAYS = f"^{DAY}$"
TIMES = rf"^{DAY}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?Z?$"
FIRST_DAY, LAST_DAY = 1900_01_01, 2100_12_31


def _first(series: "pl.Series") -> str:
    """The first value that is present: what it is not, the column is not."""
    place = series.is_not_null().arg_max()
    return cast("str", series[place or 0]) or ""


def whole_numbers(series: "pl.Series") -> "pl.Series | None":
    """Texts such as "-12" as integers; not those with leading zeros or a plus."""
    import polars as pl

    if not _first(series)[-1:].isdigit():
        return None
    values = series.cast(pl.Int64, strict=False)
    if values.null_count() != series.null_count():
        return None
    return values if (values.cast(pl.String) == series).all() else None


def numbers(series: "pl.Series") -> "pl.Series | None":
    """Texts such as "1.5" or "2e-3" as floats, when no whole number among them is too long for one."""
    import polars as pl

    if _first(series)[:1] not in "+-.0123456789":
        return None
    values = series.cast(pl.Float64, strict=False)
    if values.null_count() != series.null_count() or not series.str.contains(NUMBER).all():
        return None
    if not values.is_finite().all() or ((values.abs() > 2**53).any() and series.str.contains(LONG).any()):
        return None
    return values


def true_false(series: "pl.Series") -> "pl.Series | None":
    """Texts "true" and "false", in any case."""
    if _first(series).lower() not in {"true", "false"}:
        return None
    lower = series.str.to_lowercase()
    return (lower == "true") if lower.is_in(["true", "false"]).all() else None


def compact_days(series: "pl.Series", values: "pl.Series") -> "pl.Series | None":
    """Whole numbers such as 20240131, when every one is a day."""
    import polars as pl

    least, most = cast("int", values.min()), cast("int", values.max())
    if least < FIRST_DAY or most > LAST_DAY:
        return None
    days = series.str.to_date("%Y%m%d", strict=False)
    return days.cast(pl.Datetime("us")) if days.null_count() == series.null_count() else None


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
