"""What the columns of a table hold: missing and distinct values, distributions, frequent values, lengths."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from bakeoff.core.types import ColumnKind, Schema

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["ColumnFacts", "Histogram", "NumberFacts", "Role", "column_facts", "numbers_of", "role_of"]

Role: TypeAlias = Literal["input", "target", "time", "group", "rejected", "unused"]

BINS = 24
ENDS = (0.005, 0.995)
MOST_WHOLE = 40
"""Whole numbers of so small a span get a bin each."""
EXACT = 2.0**50
"""Below it a half still counts."""
TOP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Rows by value: bin i is edges[i] ≤ value < edges[i+1]; `below` and `above` lie outside all bins."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int = 0
    above: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFacts:
    """A distribution; times are milliseconds since the epoch."""

    least: float
    q25: float
    median: float
    mean: float
    q75: float
    p95: float
    most: float
    histogram: Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """One column: `numbers` of numeric columns and times, `top` values with rows of others, lengths of texts."""

    name: str
    kind: ColumnKind
    dtype: str
    role: Role
    rows: int
    missing: int
    distinct: int
    numbers: NumberFacts | None = None
    top: tuple[tuple[str, int], ...] = ()
    characters: NumberFacts | None = None
    words: NumberFacts | None = None
    tokens: NumberFacts | None = None


def role_of(name: str, schema: Schema) -> Role:
    """What a column is for; a time that is also an input is told as the time."""
    if name == schema.target:
        return "target"
    if name == schema.time:
        return "time"
    if name == schema.group:
        return "group"
    if name == schema.rejected:
        return "rejected"
    return "input" if name in schema.inputs else "unused"


def column_facts(
    series: "pl.Series",
    kind: ColumnKind,
    role: Role,
    *,
    shown: Callable[[str], str],
    tokens: "Callable[[pl.Series], pl.Series] | None" = None,
) -> ColumnFacts:
    """The facts of one column in its stored type.

    Args:
        series: the column.
        kind: of the column.
        role: of the column.
        shown: what may be shown of a value (cut, without personal data).
        tokens: counts the tokens of texts.
    """
    import polars as pl

    present = series.drop_nulls()
    distinct = present.n_unique()
    found = ColumnFacts(
        name=series.name,
        kind=kind,
        dtype=str(series.dtype.base_type()),
        role=role,
        rows=len(series),
        missing=series.null_count(),
        distinct=distinct,
        numbers=_numbers(present, kind),
        top=_top(present, shown) if kind in {"categorical", "boolean"} else (),
    )
    if kind != "text" or present.is_empty():
        return found
    from dataclasses import replace

    return replace(
        found,
        characters=numbers_of(present.str.len_chars().cast(pl.Float64).to_numpy()),
        words=numbers_of(present.str.count_matches(r"\S+").cast(pl.Float64).to_numpy()),
        tokens=numbers_of(tokens(present).cast(pl.Float64).to_numpy()) if tokens else None,
    )


def _numbers(present: "pl.Series", kind: ColumnKind) -> NumberFacts | None:
    import polars as pl

    if kind == "numeric":
        return numbers_of(present.cast(pl.Float64).to_numpy())
    if kind == "datetime":
        return numbers_of(present.dt.epoch("ms").cast(pl.Float64).to_numpy(), times=True)
    return None


def _top(present: "pl.Series", shown: Callable[[str], str]) -> tuple[tuple[str, int], ...]:
    import polars as pl

    values = present.cast(pl.String).alias("value")
    counted = values.value_counts(name="rows").sort(["rows", "value"], descending=[True, False]).head(TOP)
    return tuple((shown(value), rows) for value, rows in counted.iter_rows())


def numbers_of(value_n: "NDArray[np.float64]", *, times: bool = False) -> NumberFacts | None:
    """The distribution of finite numbers; None when there are none."""
    value_n = value_n[np.isfinite(value_n)]
    if not len(value_n):
        return None
    least, q25, median, q75, p95, most = (float(q) for q in np.quantile(value_n, (0, 0.25, 0.5, 0.75, 0.95, 1)))
    with np.errstate(over="ignore"):
        mean = float(np.mean(value_n))
    return NumberFacts(
        least=least,
        q25=q25,
        median=median,
        mean=mean if np.isfinite(mean) else median,
        q75=q75,
        p95=p95,
        most=most,
        histogram=_histogram(value_n, whole=not times),
    )


def _histogram(value_n: "NDArray[np.float64]", *, whole: bool) -> Histogram:
    """Equal bins over all but the outermost hundredth; of whole numbers, bins that hold equally many of them."""
    least, most = float(value_n.min()), float(value_n.max())
    low, high = (float(end) for end in np.quantile(value_n, ENDS))
    room = (high - low) / 2  # ends that would cut off little are not worth cutting
    low, high = (low if least < low - room else least), (high if most > high + room else most)
    if high <= low:
        low, high = least, most
    edges = _edges(low, high, whole=whole and bool((value_n == np.floor(value_n)).all()))
    inside = value_n[(value_n >= edges[0]) & (value_n <= edges[-1])]
    counts, _ = np.histogram(inside, bins=edges)
    return Histogram(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        below=int((value_n < edges[0]).sum()),
        above=int((value_n > edges[-1]).sum()),
    )


def _edges(low: float, high: float, *, whole: bool) -> "NDArray[np.float64]":
    if whole and max(-low, high) < EXACT:
        step = max(1.0, np.ceil((high - low + 1) / (MOST_WHOLE if high - low < MOST_WHOLE else BINS)))
        return np.arange(np.floor(low) - 0.5, high + step, step)
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(low, high, BINS + 1)
    if np.isfinite(edges).all() and (np.diff(edges) > 0).all():
        return edges
    if high > low:
        return np.asarray([low, high])
    if low < np.finfo(np.float64).max:
        return np.asarray([low, np.nextafter(low, np.inf)])
    return np.asarray([np.nextafter(low, 0.0), low])
