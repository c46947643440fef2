"""Numbers and times that may not mean what they say: words for "missing" in disguise, two units of time in one column.

Nothing is changed: a model may learn from them well enough, and nobody can tell from outside. What is seen is a line of
the ledger with the key that decides.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bakeoff.core import narrow
from bakeoff.core.ledger import Loss, example
from bakeoff.core.types import ColumnKind
from bakeoff.data.values import as_text

if TYPE_CHECKING:
    import polars as pl

__all__ = ["implausible"]

FEWEST_VALUES = 10
"""Of fewer different values, one that is far from the others is a code like them."""
FEWEST_ROWS = 3
AT_AN_END = 3
"""So many different values at one end of a column may stand for "missing"."""
FAR, FAR_KNOWN = 1.0, 0.2
"""How far from the others, in widths of all the others: any value, and one that programs use for "missing"."""
KNOWN = re.compile(r"-?(?:9{2,}|8{2,}|7{2,})(?:\.9+)?|0|-1|-32768|32767|65535|-?2147483647|-2147483648|4294967295")
KNOWN_DAYS = re.compile(
    r"(?:0001|1600|1601|1753|1800|1899|1900|1904|1970|1980|2099|2100|2999|3000|9999)-(?:01-01|12-3[01])"
)
ROUND_CLOCK = "T00:00:00"
SECONDS, MILLISECONDS, MICROSECONDS = (6e8, 2.2e9), (6e11, 2.2e12), (6e14, 2.2e15)
"""From 1989 to 2039, since 1970."""
UNITS = {"seconds": SECONDS, "milliseconds": MILLISECONDS, "microseconds": MICROSECONDS}
BUDDHIST = (2450, 2650)
OFFSET_YEARS = 543


def implausible(series: "pl.Series", kind: ColumnKind, *, key: str = "missing") -> list[Loss]:
    """What in a typed column of numbers or times may not mean what it says.

    Args:
        series: The column, in the type in which it was read.
        kind: What it is.
        key: The setting that lists words for "missing" of this column.
    """
    import polars as pl

    if kind == "numeric" and series.dtype.is_numeric():
        value_n = (series if series.dtype == pl.Float64 else series.cast(pl.Float64)).to_numpy()  # nulls become NaN
        value_n = value_n[np.isfinite(value_n)]
    elif kind == "datetime" and isinstance(series.dtype, (pl.Date, pl.Datetime)):
        value_n = series.drop_nulls().cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64).to_numpy()
    else:
        return []
    if len(value_n) < FEWEST_VALUES:
        return []
    value_n = np.sort(value_n)
    losses = _clocks(series.name, value_n) if kind == "numeric" else _buddhist(series, value_n)
    repeated = value_n[0] == value_n[FEWEST_ROWS - 1] or value_n[-1] == value_n[-FEWEST_ROWS]
    return losses or (_sentinels(series, value_n, key) if repeated else [])


def _sentinels(series: "pl.Series", value_n: "NDArray[np.float64]", key: str) -> list[Loss]:
    """Values that are repeated at an end of the column, far from all others."""
    distinct_d, rows_d = np.unique(value_n, return_counts=True)
    if len(distinct_d) <= FEWEST_VALUES:
        return []
    low = _at_the_end(series, distinct_d, rows_d)
    high = _at_the_end(series, distinct_d[::-1], rows_d[::-1])
    rest_d = distinct_d[low : len(distinct_d) - high]
    if len(rest_d) < FEWEST_VALUES:
        return []
    ends = f"{_rounded(series, rest_d[0])} … {_rounded(series, rest_d[-1])}"
    losses: list[Loss] = []
    for place in [*range(low), *range(len(distinct_d) - high, len(distinct_d))]:
        word = _shown(series, float(distinct_d[place]))
        losses.append(
            Loss(
                kind="cell",
                reason=f"{word} stands apart from all others ({ends}) and is taken as it stands; it may mean missing",
                subject=series.name,
                count=int(rows_d[place]),
                of=len(series),
                examples=(word,),
                remedy=f"if it does, {key} = [{json.dumps(word)}] in [data]",
                grave=True,
                doubtful=True,
            )
        )
    return losses


def _at_the_end(series: "pl.Series", distinct_d: "NDArray[np.float64]", rows_d: "NDArray[np.int64]") -> int:
    """How many values at the start of these may stand for "missing": the most for which each is repeated and far."""
    count = 0
    for place in range(min(AT_AN_END, len(distinct_d) - FEWEST_VALUES)):
        if rows_d[place] < FEWEST_ROWS:
            break
        rest_d = distinct_d[place + 1 :]
        gap, width = abs(float(distinct_d[place] - rest_d[0])), abs(float(rest_d[-1] - rest_d[0]))
        known = _is_known(series, float(distinct_d[place]))
        only_negative = known and distinct_d[place] < 0 <= rest_d.min() and rows_d[place] >= 2 * np.median(rows_d)
        if gap > (FAR_KNOWN if known else FAR) * width or only_negative:
            count = place + 1
    return count


def _is_known(series: "pl.Series", value: float) -> bool:
    word = _shown(series, value)
    return (KNOWN_DAYS if series.dtype.is_temporal() else KNOWN).fullmatch(word) is not None


def _rounded(series: "pl.Series", value: float) -> str:
    return _shown(series, value) if series.dtype.is_temporal() else f"{value:.6g}"


def _shown(series: "pl.Series", value: float) -> str:
    if not series.dtype.is_temporal():
        return as_text(value) or ""
    try:
        moment = datetime.fromisoformat("1970-01-01") + np.timedelta64(int(value), "us").item()
    except OverflowError:
        return example(value)
    return moment.isoformat().removesuffix(ROUND_CLOCK)


def _clocks(name: str, value_n: "NDArray[np.float64]") -> list[Loss]:
    """Seconds and milliseconds since 1970 in one column, and nothing else."""
    if value_n[0] < SECONDS[0]:
        return []
    rows = {unit: int(((value_n >= low) & (value_n < high)).sum()) for unit, (low, high) in UNITS.items()}
    units = [unit for unit, count in rows.items() if count]
    if len(units) < 2 or sum(rows.values()) < len(value_n):  # noqa: PLR2004 - two clocks
        return []
    fewest = min(units, key=rows.__getitem__)
    shown: Sequence[float] = value_n[(value_n >= UNITS[fewest][0]) & (value_n < UNITS[fewest][1])][:2].tolist()
    counts = ", ".join(f"{rows[unit]:,} in {unit}" for unit in units)
    return [
        Loss(
            kind="cell",
            reason=f"numbers that look like times since 1970 in several units ({counts}) are taken as they stand",
            subject=name,
            count=rows[fewest],
            of=len(value_n),
            examples=tuple(example(as_text(value)) for value in shown),
            remedy="bring them to one unit in [data] query",
            grave=True,
            doubtful=True,
        )
    ]


def _buddhist(series: "pl.Series", value_n: "NDArray[np.float64]") -> list[Loss]:
    """Years that are 543 ahead, as the Buddhist calendar counts them."""
    years = series.drop_nulls().dt.year()
    first, last = narrow.number(years.quantile(0.1)), narrow.number(years.quantile(0.9))
    if not BUDDHIST[0] <= first <= last <= BUDDHIST[1]:
        return []
    year = int(first)
    return [
        Loss(
            kind="cell",
            reason=f"years that the Buddhist calendar may have counted ({year} is {year - OFFSET_YEARS} there) are "
            "taken as they stand",
            subject=series.name,
            count=int(years.is_between(*BUDDHIST).sum()),
            of=len(value_n),
            examples=tuple(example(str(value)) for value in series.drop_nulls().head(2)),
            remedy=f"if they are, take {OFFSET_YEARS} years off in [data] query",
            grave=True,
            doubtful=True,
        )
    ]
