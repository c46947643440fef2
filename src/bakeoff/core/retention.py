"""How long a log keeps predictions: what may go, what a pass removed, and what is gone for good."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import msgspec

from bakeoff.core.moments import moment

__all__ = [
    "HOUR_MS",
    "Expired",
    "ExpiringEvents",
    "Expiry",
    "Retention",
    "expired_of",
    "past_retention",
    "retention_hint",
]

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What may go of a log.

    Predictions and failed calls of an endpoint before its limit, with their keys, and feedback whose prediction is
    gone. What people said something of stays (a label, rating, correction or comment): it is training data.

    Attributes:
        limits: by endpoint, the moment before which things go, in milliseconds since 1970; of others all stay.
        spared: ids of predictions that stay all the same.
        notes: why a limit is another than the settings say.
    """

    limits: Mapping[str, int]
    spared: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def latest_ms(self) -> int:
        """Nothing from then on goes, of any endpoint."""
        return max(self.limits.values(), default=0)


class Expiry(msgspec.Struct, kw_only=True):
    """What a pass removed, or would.

    Attributes:
        predictions, shadows, failures: answers that somebody got, copies that shadows answered, failed calls.
        feedback, keys: of predictions that are gone.
        bytes: what is free then; before it is done, about so many.
        first_ms, last_ms: the times of the first and the last of all that, in milliseconds since 1970.
        spared: older predictions that stay, as people said something of them or are asked for it.
        waiting: events in a file that a process writes to, which go when it has closed it.
        notes: why some stay longer than the settings say.
    """

    predictions: int = 0
    shadows: int = 0
    failures: int = 0
    feedback: int = 0
    keys: int = 0
    bytes: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    spared: int = 0
    waiting: int = 0
    notes: tuple[str, ...] = ()

    @property
    def events(self) -> int:
        """All that goes."""
        return self.predictions + self.shadows + self.failures + self.feedback + self.keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """How many predictions are past their retention and gone, by endpoint and hour since 1970."""

    hours: Mapping[str, Mapping[int, int]] = field(default_factory=dict[str, Mapping[int, int]])

    def count(self, endpoint: str | None = None, since_ms: int | None = None, until_ms: int | None = None) -> int:
        """Those of an endpoint, or of all, with a time since ≤ time < until; hours that are cut count whole.

        >>> Expired(hours={"films": {10: 3, 11: 4}}).count("films", since_ms=11 * HOUR_MS)
        4
        """
        return sum(n for _, n in self._within(endpoint, since_ms, until_ms))

    def reached(self, reaches: Callable[[str], bool]) -> "Expired":
        """Those of the endpoints that somebody may know of."""
        return Expired(hours={name: hours for name, hours in self.hours.items() if reaches(name)})

    def last_ms(self, endpoint: str | None = None) -> int | None:
        """The end of the last hour of which some are gone."""
        hours = [hour for hour, _ in self._within(endpoint, None, None)]
        return (max(hours) + 1) * HOUR_MS if hours else None

    def _within(self, endpoint: str | None, since_ms: int | None, until_ms: int | None) -> list[tuple[int, int]]:
        named = self.hours if endpoint is None else {endpoint: self.hours.get(endpoint, {})}
        return [
            (hour, n)
            for hours in named.values()
            for hour, n in hours.items()
            if since_ms is None or (hour + 1) * HOUR_MS > since_ms
            if until_ms is None or hour * HOUR_MS < until_ms
        ]


@runtime_checkable
class ExpiringEvents(Protocol):
    """An event log that can let old events go."""

    def expire(self, retention: Retention, *, look: bool = False) -> Expiry:
        """Remove what is past its retention, or `look` what would go; others may write and read meanwhile.

        What one that was stopped left undone, the next one does. Cursors and the numbers of others stay true.

        Raises:
            CorruptError: a damaged segment.
        """
        ...

    def expired(self) -> Expired:
        """What is gone by now."""
        ...


def expired_of(events: object) -> Expired:
    """What is gone of a log by now; nothing of one that lets nothing go."""
    return events.expired() if isinstance(events, ExpiringEvents) else Expired()


def past_retention(
    events: object,
    endpoint: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    *,
    reaches: Callable[[str], bool] = lambda _: True,
) -> str | None:
    """What who reads a log is told of predictions that are gone; None where none are.

    `reaches` says of which endpoints they may know.
    """
    gone = expired_of(events).reached(reaches)
    count, last_ms = gone.count(endpoint, since_ms, until_ms), gone.last_ms(endpoint)
    if not count or last_ms is None:
        return None
    before_ms = last_ms if until_ms is None else min(last_ms, until_ms)
    return f"{count:,} older predictions are past their retention ([endpoint] keep), all before {moment(before_ms)}"


def retention_hint(events: object, *, reaches: Callable[[str], bool] = lambda _: True) -> str:
    """What is put behind the message that there is no such prediction: it may have been one; "" where none are gone."""
    past = past_retention(events, reaches=reaches)
    return "" if past is None else f"; {past}"
