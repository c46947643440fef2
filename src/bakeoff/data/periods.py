"""Calendar periods such as "1mo", "14d", "6h": the last N months, days or hours that the data reach into."""

import re
from datetime import UTC, datetime, timedelta

from bakeoff.core.errors import DataError

__all__ = ["last_period", "seconds"]

PERIOD = re.compile(r"^\s*([1-9][0-9]{0,3})\s*(h|d|w|mo|y)\s*$")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


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


DAY_S = 86_400
UNIT_S = {"h": 3_600, "d": DAY_S, "w": 7 * DAY_S, "mo": 31 * DAY_S, "y": 366 * DAY_S}


def seconds(period: str) -> int:
    """How long a period is at most; months and years are as long as the longest.

    Raises:
        DataError: it is not a period.

    >>> seconds("36h"), seconds("1mo") // 86_400
    (129600, 31)
    """
    match = PERIOD.match(period)
    if not match:
        raise DataError(f"expected a period such as '1h', '14d', '1mo', '1y', received {period!r}")
    return int(match[1]) * UNIT_S[match[2]]
