"""Times of the calendar in settings: when the loop runs (`Schedule`), and when it must not (`FreezeWindow`); in UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bakeoff.config.duration import seconds
from bakeoff.core.errors import UsageError

__all__ = ["FreezeWindow", "Schedule"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEK_MS = 7 * 86_400_000
DAY_MS = 86_400_000
MONDAY_MS = 4 * DAY_MS
"""The first Monday after 1970-01-01, which was a Thursday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When something is due: every so often, or by five cron fields.

    >>> Schedule.parsed("every 7d").due_ms(0) // DAY_MS
    7
    >>> datetime.fromtimestamp(Schedule.parsed("0 3 * * 1").due_ms(0) / 1000, UTC).isoformat()
    '1970-01-05T03:00:00+00:00'
    """

    text: str
    every_ms: int | None = None

    @classmethod
    def parsed(cls, text: str) -> "Schedule":
        """The schedule that a setting says.

        Raises:
            UsageError: it says none.
        """
        if text.startswith("every "):
            return cls(text=text, every_ms=round(seconds(text.removeprefix("every ")) * 1000))
        from cronsim import CronSim, CronSimError

        try:
            next(CronSim(text, datetime(2000, 1, 1, tzinfo=UTC)))
        except (CronSimError, StopIteration) as error:
            raise UsageError(
                f'expected a schedule such as "every 7d", or five cron fields in UTC such as "0 3 * * 1" (Mondays at '
                f"3:00), received {text!r}: {error or 'it never comes'}"
            ) from None
        return cls(text=text)

    def due_ms(self, after_ms: int) -> int:
        """The first time after this one at which it is due."""
        if self.every_ms is not None:
            return after_ms + self.every_ms
        from cronsim import CronSim

        after = datetime.fromtimestamp(after_ms / 1000, UTC)
        return round(next(CronSim(self.text, after)).timestamp() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeWindow:
    """A time in which nothing is to change: since_ms ≤ time < until_ms, once or every week; a last day is in it whole.

    >>> window = FreezeWindow.parsed("2026-12-20/2027-01-03")
    >>> window.until(int(datetime(2027, 1, 3, 23, tzinfo=UTC).timestamp() * 1000)) == window.until_ms
    True
    >>> FreezeWindow.parsed("fri 18:00/mon 06:00").until(MONDAY_MS + 7 * 3_600_000) is None
    True
    >>> weekend = FreezeWindow.parsed("sat/sun")
    >>> (weekend.until_ms - weekend.since_ms) // DAY_MS
    2
    """

    text: str
    since_ms: int
    until_ms: int
    weekly: bool = False

    @classmethod
    def parsed(cls, text: str) -> "FreezeWindow":
        """The window that a setting says.

        Raises:
            UsageError: it says none, or one that ends before it begins.
        """
        first, _, last = (part.strip().lower() for part in text.partition("/"))
        weekly = first[:3] in DAYS
        try:
            moment = _in_week if weekly else _moment
            since_ms, until_ms = moment(first, ends=False), moment(last, ends=True)
        except ValueError:
            raise _unclear(text) from None
        if weekly and until_ms <= since_ms:
            until_ms += WEEK_MS
        if until_ms <= since_ms:
            raise _unclear(text)
        return cls(text=text, since_ms=since_ms, until_ms=until_ms, weekly=weekly)

    def until(self, now_ms: int) -> int | None:
        """When the window ends that this time is in; None outside of it."""
        turns = (now_ms - self.since_ms) // WEEK_MS * WEEK_MS if self.weekly else 0
        inside = self.since_ms + turns <= now_ms < self.until_ms + turns
        return self.until_ms + turns if inside else None


def _moment(text: str, *, ends: bool) -> int:
    """Milliseconds since 1970 of a date or time; as an end, a date means the end of its day."""
    moment = datetime.fromisoformat(text)
    if ends and len(text) == len("2026-12-20"):
        moment += timedelta(days=1)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _in_week(text: str, *, ends: bool) -> int:
    """Milliseconds since 1970 of a day and time in the first whole week; as an end, a day means the end of it."""
    matched = re.fullmatch(r"([a-z]{3})(?: (\d\d):(\d\d))?", text)
    if matched is None or matched[1] not in DAYS or int(matched[2] or 0) > 23 or int(matched[3] or 0) > 59:  # noqa: PLR2004
        raise ValueError(text)
    minutes = int(matched[2] or 0) * 60 + int(matched[3] or 0)
    day_ms = MONDAY_MS + DAYS.index(matched[1]) * DAY_MS
    return day_ms + DAY_MS if ends and matched[2] is None else day_ms + minutes * 60_000


def _unclear(text: str) -> UsageError:
    return UsageError(
        'expected a window such as "2026-12-20/2027-01-03", "2026-12-24T18:00/2026-12-27T06:00" or, every week, '
        f'"fri 18:00/mon 06:00" (UTC), which ends after it begins; received {text!r}'
    )
