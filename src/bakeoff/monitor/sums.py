"""What an endpoint's predictions add up to, and the sums of parts add up to those of the whole.

They are of an hour and a release (`bakeoff.monitor.hours`), and small whatever comes: counts by the reference's bins.
"""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import DataError
from bakeoff.core.events import FailureEvent, PredictionEvent, RawPrediction, whole
from bakeoff.core.types import Json, Signature
from bakeoff.data.schema import conform
from bakeoff.metrics.answers import signs
from bakeoff.metrics.drift import Tally, frequent_levels, tally
from bakeoff.metrics.expected import Beliefs, added, beliefs_of
from bakeoff.monitor.columns import RowColumns, columns_of
from bakeoff.monitor.reference import CONFIDENCE, MonitoringReference, answers_table, outlying

__all__ = ["LACKS", "Answered", "Lack", "PredictionSums", "Sampled"]

NAMES = 1000
"""Names of unknown keys that are told apart; whoever calls may send any number of them."""
OTHERS = "(others)"
SAMPLE = 32
"""Rows of an hour that stay, drawn by their ids."""

Answered: TypeAlias = RawPrediction | PredictionEvent
Lack: TypeAlias = Literal["absent", "imputed", "unseen", "unknown"]
LACKS: tuple[Lack, ...] = ("absent", "imputed", "unseen", "unknown")


class Sampled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row that stays: those with the least `draw`, which is of the `id`, so that parts of a window draw alike."""

    draw: int
    row: dict[str, Any]
    id: str = ""


class PredictionSums(msgspec.Struct, kw_only=True, gc=False):
    """Predictions and failed calls, counted.

    Attributes:
        rows: answered rows.
        latency_ms: rows by their latency, to three significant digits.
        by_call: answered rows by the number of rows in their call.
        failed: failed calls by error; `unanswered` their rows.
        violating, violated: answered rows that violate the contract; violations by column and rule.
        refused: rows that violate it in calls that were refused.
        lacking, lacked: rows that lacked something; by what they lacked, and name.
        versions: answered rows by model version.
        inputs, predictions: rows by the bins of the reference, by column.
        misfits: rows with a value that does not fit its column; they count as all missing.
        beliefs: what the model believed of its answers (see `bakeoff.metrics.expected`).
        outlying: rows with a number far outside of the reference's.
        signs: generated answers by what may be wrong with them.
        metered, tokens_in, tokens_out: answered rows whose tokens are known; those read and written.
        sample: some of the rows; `drawn_below` is the draw below which all are here.
    """

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
    inputs: dict[str, Tally] = {}
    predictions: dict[str, Tally] = {}
    misfits: int = 0
    beliefs: Beliefs = {}
    outlying: int = 0
    signs: dict[str, int] = {}
    metered: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    sample: list[Sampled] = []
    drawn_below: int = 2**32

    @property
    def calls(self) -> float:
        """Answered calls."""
        return sum(rows / size for size, rows in self.by_call.items())

    def percentiles(self, *shares: float) -> list[float]:
        """Of the rows' latencies, in milliseconds (linear interpolation)."""
        values = np.array(sorted(self.latency_ms))
        up_to = np.cumsum([self.latency_ms[value] for value in values.tolist()])
        places = np.asarray(shares) * (self.rows - 1)
        low, high = (values[np.searchsorted(up_to, at, side="right")] for at in (np.floor(places), np.ceil(places)))
        return (low + (high - low) * (places - np.floor(places))).tolist()

    def slower_than(self, limit_ms: float) -> int:
        """Rows that took longer."""
        return sum(rows for latency_ms, rows in self.latency_ms.items() if latency_ms > limit_ms)

    @classmethod
    def total(cls, parts: "Sequence[PredictionSums]") -> "PredictionSums":
        """The sums of all of them; of the samples, what is drawn of all alike."""
        below = min((part.drawn_below for part in parts), default=2**32)
        lacked: dict[Lack, dict[str, int]] = {
            lack: _sum([part.lacked[lack] for part in parts if lack in part.lacked], most=NAMES) for lack in LACKS
        }
        return cls(
            rows=sum(part.rows for part in parts),
            latency_ms=_sum([part.latency_ms for part in parts]),
            by_call=_sum([part.by_call for part in parts]),
            failed=_sum([part.failed for part in parts]),
            unanswered=_sum([part.unanswered for part in parts]),
            violating=sum(part.violating for part in parts),
            violated=_sum([part.violated for part in parts]),
            refused=sum(part.refused for part in parts),
            lacking=sum(part.lacking for part in parts),
            lacked={lack: counts for lack, counts in lacked.items() if counts},
            versions=_sum([part.versions for part in parts]),
            inputs=_tallied([part.inputs for part in parts]),
            predictions=_tallied([part.predictions for part in parts]),
            misfits=sum(part.misfits for part in parts),
            beliefs=added(part.beliefs for part in parts),
            outlying=sum(part.outlying for part in parts),
            signs=_sum([part.signs for part in parts]),
            metered=sum(part.metered for part in parts),
            tokens_in=sum(part.tokens_in for part in parts),
            tokens_out=sum(part.tokens_out for part in parts),
            sample=[each for part in parts for each in part.sample if each.draw < below],
            drawn_below=below,
        )

    def __add__(self, other: "PredictionSums") -> "PredictionSums":
        return PredictionSums.total((self, other))

    @classmethod
    def of(
        cls,
        events: Sequence[Answered | FailureEvent],
        signature: Signature,
        reference: MonitoringReference,
    ) -> "PredictionSums":
        """What these add up to, those that are raw by whole columns where their values allow it."""
        sums = cls(latency_ms={}, by_call={}, failed={}, unanswered={}, violated={}, lacked={}, versions={})
        kinds = set(map(type, events))
        for event in events if FailureEvent in kinds else ():
            if isinstance(event, FailureEvent):
                sums.failed[event.error] = sums.failed.get(event.error, 0) + 1
                sums.unanswered[event.error] = sums.unanswered.get(event.error, 0) + event.rows_in_call
                sums.refused += event.violating_rows
        answered: Sequence[Answered]
        columns: RowColumns | None = None
        if PredictionEvent in kinds:
            answered = [event for event in events if not isinstance(event, FailureEvent)]
        else:
            answered = raw = [event for event in events if isinstance(event, RawPrediction)]
            columns = columns_of(raw, signature, frequent_levels(reference.inputs)) if raw else None
        if columns is None:
            answered = [event for each in answered if (event := _whole(each)) is not None]
        if answered:
            sums._count(answered)
            sums._count_values(answered, columns or _by_row(answered, signature), signature, reference)
        return sums

    def _count(self, events: Sequence[Answered]) -> None:
        self.rows = len(events)
        self.latency_ms = _three_digits(np.fromiter(map(attrgetter("latency_ms"), events), np.float64, len(events)))
        self.by_call = dict(Counter(map(attrgetter("rows_in_call"), events)))
        self.versions = dict(Counter(map(attrgetter("model_version"), events)))
        metered = [event for event in events if event.tokens_in is not None or event.tokens_out is not None]
        self.metered = len(metered)
        self.tokens_in = sum(event.tokens_in or 0 for event in metered)
        self.tokens_out = sum(event.tokens_out or 0 for event in metered)
        broken = [event.violations for event in events if event.violations]
        self.violating = len(broken)
        self.violated = dict(Counter(f"{column}: {rule}" for each in broken for column, rule in each))
        for event in events:
            if event.absent or event.imputed or event.unseen or event.unknown:
                self._count_lacks(event)

    def _count_lacks(self, event: Answered) -> None:
        self.lacking += 1
        lacks: dict[Lack, tuple[str, ...]] = {
            "absent": event.absent,
            "imputed": event.imputed,
            "unseen": event.unseen,
            "unknown": event.unknown,
        }
        for lack, names in lacks.items():
            known = self.lacked.setdefault(lack, {}) if names else {}
            for name in names:
                counted = name if name in known or len(known) < NAMES else OTHERS
                known[counted] = known.get(counted, 0) + 1

    def _count_values(
        self,
        events: Sequence[Answered],
        columns: RowColumns,
        signature: Signature,
        reference: MonitoringReference,
    ) -> None:
        table, known, shares_nk, self.misfits = columns.table, columns.known, columns.shares_nk, columns.misfits
        self.inputs = tally(reference.inputs, table, columns.levels)
        self.outlying = outlying(reference.inputs, table)
        sure = np.full(len(events), np.nan)
        sure[known] = shares_nk.max(axis=1, initial=0.0)
        given = [event.value if event.label is None else event.label for event in events]
        answers = answers_table(given, signature.task, sure)
        described = reference.predictions
        if not len(known):  # a model that gives none, or events of an earlier version
            described = {name: known for name, known in described.items() if name != CONFIDENCE}
        self.predictions = tally(described, answers)
        if signature.task == "generation":
            of_json = bool(reference.json_expected)
            texts = [text if isinstance(text, str) else None for text in given]
            self.signs = dict(Counter(sign for text in texts for sign in signs(text, json_expected=of_json)))
        if len(known):
            labels = [events[at].label or "" for at in known.tolist()]
            self.beliefs = beliefs_of(labels, shares_nk, reference.calibrated)
        self._draw(events)

    def _draw(self, events: Sequence[Answered]) -> None:
        draws = map(zlib.crc32, map(str.encode, map(attrgetter("id"), events)))
        draw_n = np.fromiter(draws, np.int64, len(events))
        low = np.partition(draw_n, SAMPLE)[SAMPLE] if len(draw_n) > SAMPLE else draw_n.max()
        near_n = np.flatnonzero(draw_n <= low)
        first = near_n[np.argsort(draw_n[near_n], kind="stable")][: SAMPLE + 1].tolist()
        self.sample = [
            Sampled(draw=int(draw_n[at]), row=dict(event.row), id=event.id)
            for at in first[:SAMPLE]
            if (event := _whole(events[at])) is not None
        ]
        self.drawn_below = int(draw_n[first[SAMPLE]]) if len(first) > SAMPLE else 2**32

    def shortened(self) -> "PredictionSums":
        """The same with no more rows in the sample than an hour may have."""
        drawn = sorted(self.sample, key=lambda each: each.draw)
        below = drawn[SAMPLE].draw if len(drawn) > SAMPLE else self.drawn_below
        return msgspec.structs.replace(self, sample=[each for each in drawn if each.draw < below], drawn_below=below)


def _three_digits(values_n: NDArray[np.float64]) -> dict[float, int]:
    """How many have which value, to three significant digits.

    >>> _three_digits(np.array([0.12345, 0.12349, 9.996, 123456.0, 0.0]))
    {0.0: 1, 0.123: 2, 10.0: 1, 123000.0: 1}
    """
    size_n = np.abs(values_n)
    # By so many powers of ten up (or down): of whole numbers below 2^53 and powers up to 10^22 the quotient is the
    # nearest float to the decimal number, so that the same number is always the same key.
    up_n = np.clip(2 - np.floor(np.log10(np.where(size_n > 0, size_n, 1.0))), -22, 22)
    digits_n = np.rint(np.where(up_n >= 0, values_n * 10.0 ** np.abs(up_n), values_n / 10.0 ** np.abs(up_n)))
    rounded_n = np.where(up_n >= 0, digits_n / 10.0 ** np.abs(up_n), digits_n * 10.0 ** np.abs(up_n))
    values, counts = np.unique(rounded_n, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _whole(event: Answered) -> PredictionEvent | None:
    return whole(event) if isinstance(event, RawPrediction) else event


def _by_row(events: Sequence[Answered], signature: Signature) -> RowColumns:
    """Row by row, whatever values they have."""
    rows = [event for event in events if isinstance(event, PredictionEvent)]
    table, misfits = _table([event.row for event in rows], signature)
    known, shares_nk = _probabilities(rows, signature.classes)
    return RowColumns(table=table, known=known, shares_nk=shares_nk, misfits=misfits)


def _probabilities(
    events: Sequence[PredictionEvent], classes: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which events have probabilities of the classes, and these."""
    shares = [event.probabilities for event in events]
    known = [at for at, each in enumerate(shares) if each is not None] if classes else []
    there = [each for each in shares if each is not None] if classes else []
    size = len(there) * len(classes)
    try:
        rows = map(itemgetter(*classes), there) if len(classes) > 1 else [(1.0,)] * len(there)
        shares_nk = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=size)
    except KeyError:  # of a release with other classes
        shares_nk = np.asarray([each.get(name, 0.0) for each in there for name in classes], dtype=np.float64)
    return np.asarray(known, dtype=np.intp), shares_nk.reshape(len(there), len(classes))


def _table(rows: Sequence[Mapping[str, Json]], signature: Signature) -> tuple[Any, int]:
    """Rows as a table of the model's columns, and how many do not fit them: these count as all missing."""
    import polars as pl

    plain = all(column.format.vector is None and column.kind != "datetime" for column in signature.inputs)
    if plain:  # by whole columns, where all values have the type of theirs
        types = {"numeric": pl.Float64, "boolean": pl.Boolean}
        schema = {column.name: types.get(column.kind, pl.String) for column in signature.inputs}
        try:
            return conform(pl.from_dicts(rows, schema=schema, strict=True), signature.inputs), 0
        except (pl.exceptions.PolarsError, TypeError, OverflowError, DataError):
            pass
    try:
        return conform(rows, signature.inputs), 0
    except DataError:
        fitting: list[Mapping[str, Json]] = []
        for row in rows:
            try:
                conform([row], signature.inputs)
                fitting.append(row)
            except DataError:
                fitting.append({})
        return conform(fitting, signature.inputs), sum(not row for row in fitting)


def _sum(parts: Sequence[Mapping[Any, int]], most: int | None = None) -> dict[Any, int]:
    counts = dict(parts[0]) if parts else {}
    for part in parts[1:]:
        for key, count in part.items():
            known = key if most is None or key in counts or len(counts) < most else OTHERS
            counts[known] = counts.get(known, 0) + count
    return counts


def _tallied(parts: Sequence[Mapping[str, Tally]]) -> dict[str, Tally]:
    by_column: dict[str, list[Tally]] = {}
    for part in parts:
        for name, tallied in part.items():
            by_column.setdefault(name, []).append(tallied)
    return {name: each[0] if len(each) == 1 else Tally.total(each) for name, each in by_column.items()}
