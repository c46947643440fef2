"""Calendar periods such as "1mo", "14d", "6h": the last N months, days or hours that the data reach into."""

import re
from datetime import UTC, datetime, timedelta

from bakeoff.core.errors import DataError

__all__ = ["PERIOD", "last_period", "period_s"]

PERIOD = re.compile(r"^\s*([1-9][0-9]{0,3})\s*(h|d|w|mo|y)\s*$")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


HOUR_S = 3600
SECONDS = {"h": HOUR_S, "d": 24 * HOUR_S, "w": 7 * 24 * HOUR_S, "mo": 31 * 24 * HOUR_S, "y": 366 * 24 * HOUR_S}


def period_s(period: str) -> int:
    """Seconds of a period; months and years are taken as the longest there are.

    Raises:
        DataError: it is not a period.

    >>> period_s("2d")
    172800
    """
    match = PERIOD.match(period)
    if not match:
        raise DataError(f"expected a period such as '1mo', '14d', '6h', '1y', received {period!r}")
    return int(match[1]) * SECONDS[match[2]]


def last_period(latest_us: int, period: str) -> int:
    """Where the last N hours, days, weeks, months or years start, as microseconds since the epoch.

    The one that holds the latest moment counts as the last, however little of it has passed; a week is
    seven days.

    Raises:
        DataError: it is not a period.

    >>> july_9 = 1_373_328_000_000_000
    >>> (EPOCH + last_period(july_9, "1mo") * MICROSECOND).date().isoformat()
    '2013-07-01'
    """
    match = PERIOD.match(period)
    if not match:
        raise DataError(f"expected a share or a period such as '1mo', '14d', '6h', '1y', received {period!r}")
    count, unit = int(match[1]), match[2]
    latest = EPOCH + latest_us * MICROSECOND
    day = latest.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        if unit == "h":
            start = day.replace(hour=latest.hour) - timedelta(hours=count - 1)
        elif unit in {"d", "w"}:
            start = day - timedelta(days=count * (7 if unit == "w" else 1) - 1)
        else:
            months = latest.year * 12 + latest.month - count if unit == "mo" else (latest.year - count + 1) * 12
            start = day.replace(year=months // 12, month=months % 12 + 1, day=1)
    except (ValueError, OverflowError):
        raise DataError(f"expected a period within the calendar, received {period!r}") from None
    return (start - EPOCH) // MICROSECOND
