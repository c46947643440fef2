"""In which order the dates of a column stand: told from all its texts, or else from the order of its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from bakeoff.core.types import DateOrder
from bakeoff.data.times import day_and_month, has_zone, moment

__all__ = ["TimeStyle", "learn_times"]

CLEARLY = 0.6
"""Dates in the order of the rows are this much nearer to each other, at the most, when they are read rightly."""
ROWS = 1000
MONTHS = 12
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times are stored without a zone


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeStyle:
    """How a column's times are written: their order, whether the texts prove it, and how many have a zone or none."""

    order: DateOrder
    proven: bool
    zoned: int
    naive: int


def learn_times(
    texts: Sequence[str], rows: Sequence[str], *, order: DateOrder | None = None, hint: DateOrder | None = None
) -> TimeStyle:
    """The way in which these texts write times.

    Args:
        texts: Different texts of the column.
        rows: Texts of its first rows, in their order.
        order: Whether days or months come first, when it is set.
        hint: The order of other columns, for a column that leaves it open.
    """
    days_first = months_first = either = zoned = 0
    mark = ""
    for text in texts:
        zoned += has_zone(text)
        pair = day_and_month(text)
        if pair is None:
            continue
        first, second, mark = pair
        days_first += first > MONTHS >= second
        months_first += second > MONTHS >= first
        either += first <= MONTHS and second <= MONTHS
    counts = {"zoned": zoned, "naive": len(texts) - zoned}
    if not days_first + months_first + either:
        return TimeStyle(order="ymd", proven=True, **counts)
    if order in {"dmy", "mdy"}:
        return TimeStyle(order=order or "dmy", proven=True, **counts)
    if days_first + months_first:
        return TimeStyle(order="dmy" if days_first >= months_first else "mdy", proven=True, **counts)
    near = _nearer(rows)
    return TimeStyle(order=hint or near or ("mdy" if mark == "/" else "dmy"), proven=False, **counts)


def _nearer(rows: Sequence[str]) -> DateOrder | None:
    """The order in which rows that follow each other are clearly nearer in time."""
    spans: dict[DateOrder, float] = {}
    orders: tuple[DateOrder, DateOrder] = ("dmy", "mdy")
    for order in orders:
        times: list[float] = []
        for text in rows[:ROWS]:
            try:
                times.append((moment(text, order) - EPOCH).total_seconds())
            except (ValueError, OverflowError):
                continue
        spans[order] = sum(abs(b - a) for a, b in pairwise(times))
    best = min(orders, key=spans.__getitem__)
    return best if spans[best] <= CLEARLY * max(spans.values()) and max(spans.values()) > 0 else None
