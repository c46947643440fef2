"""What endpoints answered lately, by the minute: the log is read on after where it was read before."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bakeoff.core.errors import NotFoundError
from bakeoff.core.events import Cursor, FailureEvent, FeedbackEvent, PredictionEvent
from bakeoff.core.protocols import Clock, EventLog

__all__ = ["Minute", "Traffic"]

MINUTE_MS = 60_000
KEPT_MINUTES = 24 * 60
MOST_RECENT = 50
MOST_TIMES = 200
"""Latencies that are kept of a minute."""


@dataclass(slots=True)
class Minute:
    """Rows that were answered, and that were not, in a minute; `by_release` are the answered ones."""

    start_ms: int
    rows: int = 0
    failed: int = 0
    latency_ms: list[float] = field(default_factory=list[float])
    by_release: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def p95_ms(self) -> float | None:
        """The 95th percentile of latencies, of the first few hundred."""
        ordered = sorted(self.latency_ms)
        return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else None

    def add(self, other: "Minute") -> None:
        """Count another one's rows, too."""
        self.rows += other.rows
        self.failed += other.failed
        self.latency_ms += other.latency_ms
        for release, rows in other.by_release.items():
            self.by_release[release] = self.by_release.get(release, 0) + rows


class Traffic:
    """The traffic of a day; safe in many threads.

    Args:
        events: the log.
        clock: milliseconds since the epoch.
    """

    def __init__(self, events: EventLog, clock: Clock) -> None:
        self._events, self._clock = events, clock
        self._lock = threading.Lock()
        self._cursor: Cursor | None = None
        self._minutes: dict[str, dict[int, Minute]] = {}
        self._feedback: dict[int, int] = {}
        self._recent: dict[str, deque[PredictionEvent]] = {}

    def recent(self, endpoint: str) -> Sequence[PredictionEvent]:
        """The last answers of a day, the newest first."""
        with self._lock:
            oldest = self._read_on() // MINUTE_MS - KEPT_MINUTES
            known = self._recent.get(endpoint, ())
            return [each for each in reversed(known) if each.time_ms // MINUTE_MS >= oldest]

    def of(self, endpoint: str, *, minutes: int = 60, parts: int = 60) -> Sequence[Minute]:
        """The last so many minutes in `parts` of the same length, the oldest first; parts without rows, too."""
        each_ms = minutes * MINUTE_MS // parts
        with self._lock:
            now_ms = self._read_on()
            known = self._minutes.get(endpoint, {})
            end = now_ms // each_ms + 1
            made = {at: Minute(at * each_ms) for at in range(end - parts, end)}
            for start_ms, minute in known.items():
                at = start_ms // each_ms
                if at in made:
                    made[at].add(minute)
        return list(made.values())

    def feedback(self) -> int:
        """How often somebody said what was true, in a day."""
        with self._lock:
            self._read_on()
            return sum(self._feedback.values())

    def _read_on(self) -> int:
        now_ms = self._clock()
        oldest = now_ms // MINUTE_MS - KEPT_MINUTES
        try:
            self._take(oldest)
        except NotFoundError:  # an older log was restored: it is counted anew
            self._cursor, self._minutes, self._feedback, self._recent = None, {}, {}, {}
            self._take(oldest)
        for minutes in self._minutes.values():
            for start_ms in [each for each in minutes if each // MINUTE_MS < oldest]:
                del minutes[start_ms]
        self._feedback = {at: count for at, count in self._feedback.items() if at >= oldest}
        return now_ms

    def _take(self, oldest: int) -> None:
        since_ms = None if self._cursor else oldest * MINUTE_MS
        reading = self._events.read(PredictionEvent, FailureEvent, FeedbackEvent, after=self._cursor, since_ms=since_ms)
        try:
            for event in reading:
                self._count(event)
        finally:  # where reading stops in the middle, what was counted is not counted again
            self._cursor = reading.cursor

    def _count(self, event: PredictionEvent | FailureEvent | FeedbackEvent) -> None:
        at = event.time_ms // MINUTE_MS
        if isinstance(event, FeedbackEvent):
            self._feedback[at] = self._feedback.get(at, 0) + 1
            return
        if not event.served:
            return
        minutes = self._minutes.setdefault(event.endpoint, {})
        minute = minutes.setdefault(at * MINUTE_MS, Minute(at * MINUTE_MS))
        if isinstance(event, FailureEvent):
            minute.failed += event.rows_in_call
            return
        self._recent.setdefault(event.endpoint, deque(maxlen=MOST_RECENT)).append(event)
        minute.rows += 1
        minute.by_release[event.model_version] = minute.by_release.get(event.model_version, 0) + 1
        if len(minute.latency_ms) < MOST_TIMES:
            minute.latency_ms.append(event.latency_ms)
