"""Numbers, times, sizes and prices as people read them."""

import math
from datetime import UTC, datetime
from typing import Protocol

from bakeoff.core.moments import moment
from bakeoff.data.facts import ColumnFacts

__all__ = [
    "count",
    "cut",
    "day",
    "dollars",
    "duration",
    "interval",
    "limits",
    "milliseconds",
    "moment",
    "number",
    "share",
]
__all__ += ["chance", "in_a_line", "loss", "part", "plain", "signed", "size", "utc"]


class Ends(Protocol):
    """Whatever has the two ends of an interval."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


MINUTE_S, HOUR_S = 60, 3600
STEPS = ((1000.0, 0), (100.0, 1), (10.0, 2), (1.0, 3), (0.001, 4))


def number(value: float | None) -> str:
    """About four digits, without an exponent where that stays short.

    >>> [number(x) for x in (0.80904553, 12345.6, 3.14159, 0.0000042, 0, None)]
    ['0.8090', '12,346', '3.142', '4.2e-06', '0', '–']
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    for least, decimals in STEPS:
        if abs(value) >= least:
            return f"{value:,.{decimals}f}"
    return f"{value:.2g}"


def plain(value: float) -> str:
    """A value of the data: whole numbers as they are (it may be a year), others in about four digits.

    >>> plain(1984.0), plain(49830.0), plain(10.94), plain(1e20)
    ('1984', '49,830', '10.94', '1e+20')
    """
    if abs(value) >= 1e15:  # noqa: PLR2004 - beyond it digits say nothing
        return f"{value:.4g}"
    if value == int(value):
        return f"{value:.0f}" if abs(value) < 10_000 else f"{value:,.0f}"  # noqa: PLR2004
    return number(value)


def part(value: float) -> str:
    """A share of rows; one that is not nothing never looks like it.

    >>> part(0.42), part(0.0001), part(0)
    ('42%', '< 0.1%', '0%')
    """
    return "< 0.1%" if 0 < value < 0.0005 else share(value)  # noqa: PLR2004


def signed(value: float) -> str:
    """A difference, with its sign.

    >>> signed(-0.0059), signed(0.5)
    ('−0.0059', '+0.5000')
    """
    return ("−" if value < 0 else "+") + number(abs(value))


def loss(value: float) -> str:
    """What is lost (positive) with the sign that it has for the reader.

    >>> loss(0.0143), loss(-0.002), loss(0.0)
    ('−0.0143', '+0.0020', '0')
    """
    return signed(-value) if value else "0"


def chance(value: float, *, sign: bool = False) -> str:
    """A p-value; with `sign` as the right side of a comparison.

    >>> chance(0.0123), chance(7e-10), chance(0.3, sign=True)
    ('0.012', '< 0.001', '= 0.3')
    """
    if value < 0.001:  # noqa: PLR2004
        return "< 0.001"
    return f"= {value:.2g}" if sign else f"{value:.2g}"


def interval(found: Ends) -> str:
    """The ends of an interval.

    >>> from bakeoff.metrics.intervals import Interval
    >>> interval(Interval(value=0.81, low=0.7932, high=0.8245))
    '0.7932 – 0.8245'
    """
    if found.low is None or found.high is None:
        return getattr(found, "reason", None) or "unknown"
    return f"{number(found.low)} – {number(found.high)}"


def share(value: float) -> str:
    """A share as a percentage.

    >>> share(0.1234), share(0.002)
    ('12%', '0.2%')
    """
    return f"{value:.1%}" if 0 < value < 0.01 or 0.99 < value < 1 else f"{value:.0%}"  # noqa: PLR2004


def count(value: int) -> str:
    """A count with separators.

    >>> count(12808)
    '12,808'
    """
    return f"{value:,}"


def milliseconds(value: float | None) -> str:
    """A short time.

    >>> milliseconds(0.7211), milliseconds(14.9), milliseconds(2500)
    ('0.72 ms', '14.9 ms', '2.5 s')
    """
    if value is None:
        return "–"
    if value >= 1000:  # noqa: PLR2004
        return duration(value / 1000)
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms"  # noqa: PLR2004


def duration(seconds: float | None) -> str:
    """A longer time.

    >>> duration(12.33), duration(75), duration(7300)
    ('12.3 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds is None:
        return "–"
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"


def size(count_bytes: float | None) -> str:
    """A size in decimal units.

    >>> size(3168213), size(512)
    ('3.2 MB', '512 B')
    """
    if count_bytes is None:
        return "–"
    for unit, of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count_bytes >= of:
            return f"{count_bytes / of:.1f} {unit}"
    return f"{count_bytes:.0f} B"


def dollars(per_1k: float | None) -> str:
    """The price of a million predictions, from that of a thousand.

    >>> dollars(4.185e-06), dollars(5.7e-08), dollars(0.00193), dollars(2.5)
    ('$0.0042', '$0.000057', '$1.93', '$2,500')
    """
    if per_1k is None:
        return "–"
    price = per_1k * 1000
    if price >= 100:  # noqa: PLR2004
        return f"${price:,.0f}"
    return f"${price:.2f}" if price >= 1 or price <= 0 else f"${price:.{1 - math.floor(math.log10(price))}f}"


def limits(low: float | None, high: float | None) -> str:
    """The limits of a gate.

    >>> limits(0.7, None), limits(0, 200)
    ('≥ 0.7', '≥ 0 and ≤ 200')
    """
    told = [f"≥ {low:g}"] if low is not None else []
    return " and ".join([*told, *([f"≤ {high:g}"] if high is not None else [])])


def cut(text: str, longest: int = 80) -> str:
    """A text that is cut where it grows too long.

    >>> cut("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"


def day(time_ms: float) -> str:
    """A time as people read it, in UTC.

    >>> day(0), day(86_400_000 * 1.5)
    ('1970-01-01', '1970-01-02 12:00')
    """
    time = utc(time_ms)
    if time is None:
        return f"{time_ms:.3g} ms"
    return time.strftime("%Y-%m-%d" if time.hour == time.minute == 0 else "%Y-%m-%d %H:%M")


def utc(time_ms: float) -> datetime | None:
    """A time in UTC; None where it is in no calendar: before the year 1, after 9999, or no number at all.

    >>> utc(0).year, utc(-1e14), utc(1e300), utc(math.nan)
    (1970, None, None, None)
    """
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def in_a_line(column: ColumnFacts) -> str:
    """The values of a column in a line."""
    if column.numbers is not None:
        form = day if column.kind == "datetime" else plain
        facts = column.numbers
        return f"{form(facts.least)} to {form(facts.most)}, median {form(facts.median)}"
    if column.characters is not None:
        facts = column.characters
        return f"{facts.least:,.0f} to {facts.most:,.0f} characters, median {facts.median:,.0f}"
    first = ", ".join(f"{value} ({rows:,})" for value, rows in column.top[:3])
    return first or "no values"
