"""Sums by the hour: what a release answered is read once, from where the last look ended.

A document says how far the log was read, and one of each hour what its records add up to. All that a look changes of
them is written in one batch, each with the revision that was read: two that look at once cannot both count a record,
and one that is killed has counted nothing.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TypeAlias

import msgspec
import numpy as np

from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.events import LARGEST_MS, SHADOW, Cursor, FailureEvent, RawPrediction
from bakeoff.core.protocols import DocumentRecords, EventLog
from bakeoff.core.records import DocumentChange
from bakeoff.core.types import Signature
from bakeoff.monitor.reference import MonitoringReference
from bakeoff.monitor.sums import PredictionSums

__all__ = ["HOUR_MS", "Hours", "Watched"]

STATES, HOURS = "monitor", "monitor_hours"
EARLIER = "sums"
"""Where versions without hours had their sums."""
FORMAT = 1
HOUR_MS = 3_600_000
DAY = 24
KEPT_HOURS = DAY * 36
RELEASES = 3
"""Releases of an endpoint whose hours stay."""
READ, DIGITS = 10, 8
"""Hours that are read at once, which have all but one of the digits of their keys in common."""
ROWS = 20_000
"""Records that are in memory at once."""
BATCH = 500_000
"""Records that are counted before it is written that they are."""
ATTEMPTS = 5

Served: TypeAlias = RawPrediction | FailureEvent


class _State(msgspec.Struct, kw_only=True):
    """How far the log was read, which hours there are, and how often it was looked at in the last hour with news.

    `early` and `ahead`: records with a time before the release was made, and after the moment in which they were read.
    """

    format: int = FORMAT
    cursor: str | None = None
    hours: list[int] = []
    early: int = 0
    ahead: int = 0
    look_hour: int = 0
    looks: int = 0
    labelled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is counted: an endpoint's records, of one release (made at `since_ms`) or of all; until now, `until_ms`."""

    endpoint: str
    release_id: str | None
    signature: Signature
    reference: MonitoringReference
    since_ms: int
    until_ms: int

    def between(self, events: EventLog) -> PredictionSums:
        """Of all there is with since_ms ≤ time < until_ms, read now."""
        reading = events.read(RawPrediction, FailureEvent, since_ms=self.since_ms, until_ms=self.until_ms)
        served, sums = iter(reading), PredictionSums()
        while part := list(islice(served, ROWS)):
            sums = (sums + self.sums(self.ours(part))).shortened()
        return sums

    def sums(self, part: Sequence[Served]) -> PredictionSums:
        """What some records add up to."""
        return PredictionSums.of(part, self.signature, self.reference)

    def ours(self, part: Sequence[Served]) -> list[Served]:
        """Those that count."""
        endpoint, release_id = self.endpoint, self.release_id
        return [
            event
            for event in part
            if event.endpoint == endpoint and event.role != SHADOW and release_id in (None, event.release_id)
        ]


class Hours:
    """The sums of a release by the hour, as far as the log goes now.

    Attributes:
        hours: those that there are, since 1970.
        early: records with a time before the release was made; they are counted in its first hour.
        ahead: records with a time that is yet to come; they are counted in the hour of the look that read them.
        end: the hour after the present one, and after all that there are: a clock may have been set back.
        look: the how-manieth look with news this is in its hour.
    """

    def __init__(self, watched: Watched, events: EventLog, documents: DocumentRecords, *, labelled: int = 0) -> None:
        """Read on. `labelled`: how many rows have labels; others than at the last look are news, too."""
        self._watched, self._events, self._documents = watched, events, documents
        self._key = f"{watched.endpoint}/{watched.release_id}"
        self._stale: dict[str, int] = {}
        state = self._retried(labelled)
        self._sums: dict[int, dict[int, PredictionSums]] = {}
        self._days: dict[int, PredictionSums] = {}
        self.hours, self.early, self.look = state.hours, state.early, max(1, state.looks)
        now = (watched.until_ms - 1) // HOUR_MS
        self.end = max([now, *self.hours]) + 1
        ahead = [hour for hour in self.hours if hour > now >= self.hours[0]]
        self.ahead = state.ahead + sum(each.rows for each in self._of(ahead))

    def between(self, first: int, last: int) -> PredictionSums:
        """The sums of the hours first ≤ hour < last."""
        inside = self.hours[bisect_left(self.hours, first) : bisect_left(self.hours, last)]
        parts: list[PredictionSums] = []
        for day, hours in groupby(inside, lambda hour: (hour - self.end) // DAY):
            start = self.end + day * DAY
            if not first <= start <= last - DAY:
                parts += self._of(hours)
                continue
            if day not in self._days:  # windows, and the days before them, have most days in common
                self._days[day] = PredictionSums.total(self._of(hours))
            parts.append(self._days[day])
        return PredictionSums.total(parts)

    def _of(self, hours: Iterable[int]) -> list[PredictionSums]:
        wanted = list(hours)
        for part in {hour // READ for hour in wanted} - self._sums.keys():
            documents = self._documents.find(HOURS, f"{self._key}/{part:07d}")
            self._sums[part] = {int(each.key[-DIGITS:]): _decoded(each.body) for each in documents}
        return [self._sums[hour // READ].get(hour) or PredictionSums() for hour in wanted]

    def _retried(self, labelled: int) -> _State:
        for _ in range(ATTEMPTS - 1):
            try:
                return self._read_on(labelled)
            except ConflictError:  # somebody else has read on
                continue
        return self._read_on(labelled)

    def _read_on(self, labelled: int) -> _State:
        document = self._documents.get(STATES, self._key)
        usable = document is not None and document.body.get("format") == FORMAT
        state = msgspec.convert(document.body, _State) if document is not None and usable else _State()
        revision = document.revision if document else 0
        self._stale = {} if state.cursor else self._there()
        try:
            return self._advance(state, revision, labelled)
        except NotFoundError:  # the log lost some of what was counted, or an older one was restored
            self._stale = self._there()
            return self._advance(_State(), revision, labelled)

    def _there(self) -> dict[str, int]:
        """The hours that are stored: what is counted anew replaces them, in the batch that says so."""
        return {document.key: document.revision for document in self._documents.find(HOURS, f"{self._key}/")}

    def _advance(self, state: _State, revision: int, labelled: int) -> _State:
        reading = self._events.read(
            RawPrediction, FailureEvent, after=None if state.cursor is None else Cursor(state.cursor)
        )
        served, total, news = iter(reading), 0, labelled != state.labelled
        state.labelled = labelled
        while True:
            by_hour: dict[int, PredictionSums] = {}
            read = 0
            while read < BATCH and (part := list(islice(served, ROWS))):
                read += len(part)
                if ours := self._watched.ours(part):
                    total += len(ours)
                    self._add(ours, state, by_hour)
            is_last = read < BATCH
            if is_last and not read and not total and state.cursor == reading.cursor and not news:
                return state
            state.cursor = reading.cursor
            if is_last and (total or news):
                self._count_look(state)
            revision = self._write(state, revision, by_hour)
            if is_last:
                return state

    def _count_look(self, state: _State) -> None:
        hour = self._watched.until_ms // HOUR_MS
        state.looks = state.looks + 1 if hour == state.look_hour else 1
        state.look_hour = hour

    def _add(self, part: Sequence[Served], state: _State, by_hour: dict[int, PredictionSums]) -> None:
        first, last = self._watched.since_ms, self._watched.until_ms - 1
        last = last if last > first else LARGEST_MS  # a clock that is behind the release's says nothing
        time_n = np.asarray([event.time_ms for event in part])
        state.early += int((time_n < first).sum())
        state.ahead += int((time_n > last).sum())
        hour_n = np.clip(time_n, first, last) // HOUR_MS
        for hour in np.unique(hour_n).tolist():
            inside = np.flatnonzero(hour_n == hour)
            events = part if len(inside) == len(part) else [part[at] for at in inside.tolist()]
            sums = self._watched.sums(events)
            by_hour[hour] = by_hour[hour] + sums if hour in by_hour else sums

    def _write(self, state: _State, revision: int, by_hour: dict[int, PredictionSums]) -> int:
        changes: list[DocumentChange] = []
        for hour, sums in by_hour.items():
            key = f"{self._key}/{hour:0{DIGITS}d}"
            before = self._documents.get(HOURS, key) if hour in state.hours else None
            whole = (sums if before is None else _decoded(before.body) + sums).shortened()
            body = msgspec.to_builtins(whole, str_keys=True)
            expected = before.revision if before else self._stale.pop(key, 0)
            changes.append(DocumentChange(collection=HOURS, key=key, body=body, expected=expected))
        newest = max([*state.hours, *by_hour], default=0)
        gone = [hour for hour in state.hours if hour <= newest - KEPT_HOURS and hour not in by_hour]
        changes += [DocumentChange(collection=HOURS, key=f"{self._key}/{hour:0{DIGITS}d}", body=None) for hour in gone]
        changes += [DocumentChange(collection=HOURS, key=key, body=None) for key in self._stale]
        self._stale = {}
        state.hours = sorted({*state.hours, *by_hour} - {*gone})
        if not revision:
            self._make_room()
        body = msgspec.to_builtins(state)
        changes.append(DocumentChange(collection=STATES, key=self._key, body=body, expected=revision))
        self._documents.apply(changes)
        return revision + 1

    def _make_room(self) -> None:
        """A release that is new makes room for itself: the hours of the oldest ones go."""
        self._documents.delete(EARLIER, self._key)
        known = sorted(self._documents.find(STATES, f"{self._watched.endpoint}/"), key=lambda each: each.updated_ms)
        for old in known[: -(RELEASES - 1)]:
            for document in self._documents.find(HOURS, f"{old.key}/"):
                self._documents.delete(HOURS, document.key)
            self._documents.delete(STATES, old.key)


def _decoded(body: object) -> PredictionSums:
    return msgspec.convert(body, PredictionSums, strict=False, str_keys=True)
