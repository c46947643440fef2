"""In which order the dates of a column stand: told from all its texts, or else from the order of its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from bakeoff.core.types import DateOrder
from bakeoff.data.times import MONTHS, day_and_month, has_zone, moment

__all__ = ["TimeStyle", "learn_times"]

CLEARLY = 0.6
"""Dates in the order of the rows are this much nearer to each other, at the most, when they are read rightly."""
ROWS = 1000
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times are stored without a zone


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeStyle:
    """How a column's times are written: their order, whether the texts prove it, and how many have a zone or none.

    `contrary` are texts that can only be read in the other order.
    """

    order: DateOrder
    proven: bool
    zoned: int
    naive: int
    contrary: tuple[str, ...] = ()


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
    days_first: list[str] = []
    months_first: list[str] = []
    either = zoned = 0
    mark = ""
    for text in texts:
        zoned += has_zone(text)
        pair = day_and_month(text)
        if pair is None:
            continue
        first, second, mark = pair
        if first > MONTHS >= second:
            days_first.append(text)
        elif second > MONTHS >= first:
            months_first.append(text)
        either += first <= MONTHS and second <= MONTHS
    naive = len(texts) - zoned
    if not (days_first or months_first or either):
        return TimeStyle(order="ymd", proven=True, zoned=zoned, naive=naive)
    if order in {"dmy", "mdy"}:
        contrary = months_first if order == "dmy" else days_first
        return TimeStyle(order=order or "dmy", proven=True, contrary=tuple(contrary), zoned=zoned, naive=naive)
    if days_first or months_first:
        more: DateOrder = "dmy" if len(days_first) >= len(months_first) else "mdy"
        contrary = months_first if more == "dmy" else days_first
        return TimeStyle(order=more, proven=True, contrary=tuple(contrary), zoned=zoned, naive=naive)
    near = _nearer(rows)
    return TimeStyle(order=hint or near or ("mdy" if mark == "/" else "dmy"), proven=False, zoned=zoned, naive=naive)


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
