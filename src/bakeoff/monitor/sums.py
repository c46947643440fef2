"""What an endpoint's predictions add up to, and how far they were read: so that each is read once.

Sums of what came later are added to the sums before, so a look costs what is new. They are a document, one per release.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from bakeoff.core.errors import NotFoundError
from bakeoff.core.events import Cursor, FailureEvent, PredictionEvent, Reading
from bakeoff.core.protocols import DocumentRecords, EventLog
from bakeoff.core.types import Signature
from bakeoff.data.schema import conform
from bakeoff.metrics.drift import Tally, tally
from bakeoff.monitor.reference import MonitoringReference, said_table

__all__ = ["LACKS", "Lack", "PredictionSums", "Watched"]

SUMS = "sums"
FORMAT = 1
HOUR_MS = 3_600_000
RELEASES = 10  # of an endpoint, whose sums stay
ROWS = 10_000  # whose inputs are made a table at a time
NAMES = 1000
"""Names of unknown keys that are told apart; whoever calls may send any number of them."""
OTHERS = "(others)"

Lack: TypeAlias = Literal["absent", "imputed", "unseen", "unknown"]
LACKS: tuple[Lack, ...] = ("absent", "imputed", "unseen", "unknown")


class PredictionSums(msgspec.Struct, kw_only=True):
    """Predictions and failed calls, counted.

    Attributes:
        format: of this document; other ones are counted anew.
        cursor: up to where the log was read.
        rows: answered rows.
        latency_ms: rows by their latency, to three significant digits.
        by_call: answered rows by the number of rows in their call.
        failed: failed calls by error; `unanswered` their rows.
        violating, violated: answered rows that violate the contract; violations by column and rule.
        refused: rows that violate it in calls that were refused.
        lacking, lacked: rows that lacked something; by what they lacked, and name.
        versions: answered rows by model version.
        early: records with a time before the release was made.
        hours: records by the hour of their time, since 1970.
        inputs, predictions: rows by the bins of the reference, by column.
    """

    format: int = FORMAT
    cursor: str | None = None
    rows: int = 0
    latency_ms: dict[float, int] = {}
    by_call: dict[int, int] = {}
    failed: dict[str, int] = {}
    unanswered: dict[str, int] = {}
    violating: int = 0
    violated: dict[str, int] = {}
    refused: int = 0
    lacking: int = 0
    lacked: dict[Lack, dict[str, int]] = {}
    versions: dict[str, int] = {}
    early: int = 0
    hours: dict[int, int] = {}
    inputs: dict[str, Tally] = {}
    predictions: dict[str, Tally] = {}

    @property
    def calls(self) -> float:
        """Answered calls."""
        return sum(rows / size for size, rows in self.by_call.items())

    def out_of_time(self, until_ms: int) -> int:
        """Records with a time before the release was made, or in an hour that is yet to come."""
        return self.early + sum(records for hour, records in self.hours.items() if hour > until_ms // HOUR_MS)

    def percentiles(self, *shares: float) -> list[float]:
        """Of the rows' latencies, in milliseconds (linear interpolation)."""
        values = np.array(sorted(self.latency_ms))
        up_to = np.cumsum([self.latency_ms[value] for value in values.tolist()])
        places = np.asarray(shares) * (self.rows - 1)
        low, high = (values[np.searchsorted(up_to, at, side="right")] for at in (np.floor(places), np.ceil(places)))
        return (low + (high - low) * (places - np.floor(places))).tolist()

    def add_failure(self, event: FailureEvent) -> None:
        """Count a failed call."""
        _count(self.failed, event.error)
        _count(self.unanswered, event.error, event.rows_in_call)
        self.refused += event.violating_rows

    def add(self, event: PredictionEvent) -> None:
        """Count an answered row, but for its inputs and what was predicted."""
        self.rows += 1
        _count(self.latency_ms, float(f"{event.latency_ms:.3g}"))
        _count(self.by_call, event.rows_in_call)
        _count(self.versions, event.model_version)
        self.violating += bool(event.violations)
        for column, rule in event.violations:
            _count(self.violated, f"{column}: {rule}")
        lacks: dict[Lack, tuple[str, ...]] = {
            "absent": event.absent,
            "imputed": event.imputed,
            "unseen": event.unseen,
            "unknown": event.unknown,
        }
        self.lacking += any(lacks.values())
        for lack, names in lacks.items():
            known = self.lacked.setdefault(lack, {}) if names else {}
            for name in names:
                _count(known, name if name in known or len(known) < NAMES else OTHERS)

    def add_values(self, events: list[PredictionEvent], signature: Signature, reference: MonitoringReference) -> None:
        """Count the inputs of rows, and what was predicted."""
        inputs = tally(reference.inputs, conform([event.row for event in events], signature.inputs))
        answers = said_table([event.answer for event in events], signature.task)
        self.inputs = _added(self.inputs, inputs)
        self.predictions = _added(self.predictions, tally(reference.predictions, answers))


def _count(counts: dict[Any, int], key: object, by: int = 1) -> None:
    counts[key] = counts.get(key, 0) + by


def _added(one: Mapping[str, Tally], other: Mapping[str, Tally]) -> dict[str, Tally]:
    return {name: one[name] + each if name in one else each for name, each in other.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is counted: an endpoint's records, of one release or of all; `since_ms` ≤ time < `until_ms` is in time.

    With `by_time` nothing else is counted; without, a record out of that time is counted all the same, and noted.
    """

    endpoint: str
    release_id: str | None
    signature: Signature
    reference: MonitoringReference
    since_ms: int
    until_ms: int
    by_time: bool = True

    def sums(self, events: EventLog) -> PredictionSums:
        """Of all there is."""
        between = (self.since_ms, self.until_ms) if self.by_time else (None, None)
        reading = events.read(PredictionEvent, FailureEvent, since_ms=between[0], until_ms=between[1])
        return self._added(PredictionSums(), reading)

    def sums_so_far(self, events: EventLog, documents: DocumentRecords) -> PredictionSums:
        """Of all there is of a release, counted on from the sums of the last look, which are replaced by these."""
        key = f"{self.endpoint}/{self.release_id}"
        before = _read(documents, key)
        try:
            cursor = None if before.cursor is None else Cursor(before.cursor)
            sums = self._added(before, events.read(PredictionEvent, FailureEvent, after=cursor))
        except NotFoundError:  # the log lost some of what was counted, or an older one was restored
            sums = self.sums(events)
        documents.put(SUMS, key, msgspec.to_builtins(sums, str_keys=True))
        known = sorted(documents.find(SUMS, f"{self.endpoint}/"), key=lambda each: each.updated_ms)
        for old in known[:-RELEASES]:
            documents.delete(SUMS, old.key)
        return sums

    def _added(self, sums: PredictionSums, reading: Reading[PredictionEvent | FailureEvent]) -> PredictionSums:
        ours = self._ours(reading)
        while part := list(islice(ours, ROWS)):
            answered = [event for event in part if isinstance(event, PredictionEvent)]
            for event in part:
                sums.early += event.time_ms < self.since_ms
                _count(sums.hours, event.time_ms // HOUR_MS)
                sums.add(event) if isinstance(event, PredictionEvent) else sums.add_failure(event)
            if answered:
                sums.add_values(answered, self.signature, self.reference)
        sums.cursor = reading.cursor
        return sums

    def _ours(self, reading: Reading[PredictionEvent | FailureEvent]) -> Iterator[PredictionEvent | FailureEvent]:
        for event in reading:
            if event.served and event.endpoint == self.endpoint and self.release_id in (None, event.release_id):
                yield event


def _read(documents: DocumentRecords, key: str) -> PredictionSums:
    document = documents.get(SUMS, key)
    if document is None or document.body.get("format") != FORMAT:
        return PredictionSums()
    return msgspec.convert(document.body, PredictionSums, strict=False, str_keys=True)
