"""Times as people read them."""

from datetime import UTC, datetime

__all__ = ["LAST_MS", "moment"]

LAST_MS = 253_402_300_799_999
"""The end of the year 9999, the last that has a name."""


def moment(time_ms: float, *, seconds: bool = False) -> str:
    """A time in UTC; what has no name any more as the last that has one.

    >>> moment(0), moment(61_000, seconds=True), moment(1e18)
    ('1970-01-01 00:00 UTC', '1970-01-01 00:01:01 UTC', '9999-12-31 23:59 UTC')
    """
    form = "%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC"
    return datetime.fromtimestamp(min(time_ms, LAST_MS) / 1000, UTC).strftime(form)
