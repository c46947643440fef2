"""The recorder: logs what was answered and what failed, and counts what rows lacked and violated."""

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, TypeAlias

from msgspec import Raw

from bakeoff.core import narrow
from bakeoff.core.errors import ContractError, StoreError
from bakeoff.core.events import LIVE, Event, FailureEvent, PredictionEvent
from bakeoff.core.protocols import EventLog
from bakeoff.core.releases import Release, Role
from bakeoff.core.tracing import trace_ids
from bakeoff.core.types import Json
from bakeoff.data.contract_rows import Broken
from bakeoff.serve.inputs import NO_GAPS, Gaps
from bakeoff.serve.runtime import Answer, Row, Runtime

__all__ = ["Lack", "LogMode", "Recorder", "Redact"]

LogMode: TypeAlias = Literal["required", "best_effort", "off"]
Lack: TypeAlias = Literal["absent", "imputed", "unseen", "unknown"]
Redact: TypeAlias = Callable[[Sequence[Json]], Callable[[Json], Json]]

logger = logging.getLogger(__name__)


class Recorder:
    """Logs for one endpoint; safe to call from many threads.

    Args:
        endpoint: its name.
        events: the log.
        log: "required": no answer before its record is durable; "best_effort": answers do not wait for it; "off":
            nothing is logged.
        redact: makes, of a release's steps, what they redact of values before they are logged.
        sample: the share of calls that are logged, failed ones among them, so that shares of errors stay right.
    """

    def __init__(self, endpoint: str, events: EventLog, *, log: LogMode, redact: Redact, sample: float = 1.0) -> None:
        self.endpoint = endpoint
        self._events, self._redact = events, redact
        self._log: LogMode = log
        self._sample, self._draw = sample, random.Random()  # noqa: S311 - it draws what is logged
        self.problem: str | None = None
        """Why the log could not be written the last time; None when it could."""
        self._counting = threading.Lock()
        self._violated: Counter[tuple[str, str]] = Counter()
        self._lacked: Counter[tuple[Lack, str]] = Counter()
        self.lost = 0

    @property
    def violated(self) -> Mapping[tuple[str, str], int]:
        """How often served rows violated the released contract, by column and rule, since the start."""
        with self._counting:
            return dict(self._violated)

    @property
    def lacked(self) -> Mapping[tuple[str, str], int]:
        """How many answered rows lacked which input and how, or had unknown keys (under ""), since the start."""
        with self._counting:
            return {(lack, name): count for (lack, name), count in self._lacked.items()}

    def count_broken(self, broken: Sequence[Broken]) -> None:
        """Count what rows violate of the contract."""
        with self._counting:
            self._violated.update((each.rule.column, each.rule.rule) for each in broken)

    def _count_gaps(self, gaps: Iterable[Gaps]) -> None:
        lacking = [each for each in gaps if each is not NO_GAPS]
        if not lacking:
            return
        lacked = Counter[tuple[Lack, str]]()
        for each in lacking:
            lacked.update(("absent", name) for name in each.absent)
            lacked.update(("imputed", name) for name in each.imputed)
            lacked.update(("unseen", name) for name in each.unseen)
            lacked["unknown", ""] += bool(each.unknown)
        if lacked:
            with self._counting:
                self._lacked.update(lacked)

    def answered(
        self,
        runtime: Runtime,
        rows: Sequence[Row],
        answers: Sequence[Answer],
        latency_ms: float,
        broken: Sequence[Broken],
    ) -> None:
        """Log a call's answers, durably where the log is required, and count what their rows lacked.

        Raises:
            StoreError: they could not be logged, and must be.
        """
        self._count_gaps(answer.gaps for answer in answers)
        if not self._is_wanted(runtime.release):
            return
        events = self._events_of(runtime, rows, answers, latency_ms / max(len(rows), 1), broken)
        try:
            self._events.append(events, durable=self._log == "required")
            self.problem = None
        except StoreError as error:
            self.problem = str(error)
            if self._log == "required":
                raise
            self._lose(len(events), error)

    def _is_wanted(self, release: Release) -> bool:
        """Whether this call is logged: of what tries itself beside the live release, every one."""
        return self._log != "off" and (_role(release) != LIVE or self.draws())

    def draws(self) -> bool:
        """Whether this call of what is live is logged."""
        return self._log != "off" and (self._sample >= 1.0 or self._draw.random() < self._sample)

    def path_events(
        self,
        release: Release,
        logged: Sequence[Raw],
        answers: Sequence[Answer],
        latency_ms: float,
        time_ms: int,
    ) -> list[PredictionEvent]:
        """What is to be logged of answers to rows of JSON, which are logged as they are; for `submit`."""
        self._count_gaps(answer.gaps for answer in answers)
        if not self._is_wanted(release):
            return []
        share_ms = latency_ms / len(answers)
        rows: Any = logged  # the log writes JSON as it is; who reads it gets mappings
        return [
            PredictionEvent(
                id=answer.id,
                endpoint=self.endpoint,
                release_id=answer.release_id,
                model_version=answer.model_version,
                row=row,
                label=answer.label,
                value=answer.value,
                probabilities=answer.probabilities,
                latency_ms=share_ms,
                rows_in_call=len(answers),
                imputed=answer.gaps.imputed,
                unseen=answer.gaps.unseen,
                trace_id=trace_id,
                time_ms=time_ms,
            )
            for answer, row, trace_id in zip(answers, rows, trace_ids(len(answers)), strict=True)
        ]

    def blocked(self) -> str | None:
        """Why no answer can be given, as its record could not be written; None when it can."""
        return self._events.problem() if self.is_required else None

    @property
    def logs(self) -> bool:
        """Whether anything is logged."""
        return self._log != "off"

    @property
    def is_required(self) -> bool:
        """Whether no answer is told before its record is durable."""
        return self._log == "required"

    def submit(self, events: Sequence[Event]) -> "Future[None] | None":
        """Log events without waiting; the future of their being on disk, for who must wait for it.

        Raises:
            StoreError: they could not be logged, and must be.
        """
        if not events:
            return None
        required = self._log == "required"
        try:
            done = self._events.submit(events, urgent=required)
        except StoreError as error:
            self.problem = str(error)
            if required:
                raise
            self._lose(len(events), error)
            return None
        done.add_done_callback(lambda done: self._submitted(len(events), done))
        return done if required else None

    def _submitted(self, count: int, done: "Future[None]") -> None:
        error = done.exception()
        self.problem = None if error is None else str(error)
        if isinstance(error, StoreError) and self._log != "required":
            self._lose(count, error)

    def _events_of(
        self,
        runtime: Runtime,
        rows: Sequence[Row],
        answers: Sequence[Answer],
        latency_ms: float,
        broken: Sequence[Broken],
        *,
        shadow_of: Sequence[str] | None = None,
    ) -> list[PredictionEvent]:
        release, inputs = runtime.release, runtime.model.signature.inputs
        logged = release.columns or [column.name for column in inputs]
        vectors = {column.name: column.format.vector for column in inputs if column.format.vector is not None}
        texts = {column.name for column in inputs if column.kind == "text"}  # which the steps rewrite, and no others
        plain = [_logged(row, logged, vectors) for row in rows]
        open_texts: list[Json] = [{name: row[name] for name in texts & row.keys()} for row in plain]
        redacted = self._redact(release.steps)([open_texts, [answer.value for answer in answers]])
        plain_texts, values = narrow.json_array(redacted)
        violations = [list[tuple[str, str]]() for _ in rows]
        for each in broken:
            violations[each.row - 1].append((each.rule.column, each.rule.rule))
        return [
            PredictionEvent(
                id=answer.id,
                endpoint=self.endpoint,
                release_id=release.release_id,
                model_version=release.model_version,
                row=row | texts,
                label=answer.label,
                value=value,
                probabilities=answer.probabilities,
                latency_ms=latency_ms,
                rows_in_call=len(rows),
                violations=tuple(rules),
                absent=answer.gaps.absent,
                imputed=answer.gaps.imputed,
                unseen=answer.gaps.unseen,
                unknown=answer.gaps.unknown,
                role=_role(release),
                shadow_of=live_id,
                trace_id=trace_id,
            )
            for answer, row, texts, value, rules, live_id, trace_id in zip(
                answers,
                plain,
                plain_texts,
                values,
                violations,
                shadow_of or [None] * len(rows),
                trace_ids(len(rows)),
                strict=True,
            )
        ]

    def shadowed(
        self,
        runtime: Runtime,
        rows: Sequence[Row],
        answers: Sequence[Answer],
        latency_ms: float,
        live_ids: Sequence[str],
    ) -> None:
        """Log what a shadow answered, each beside the id of the live answer; nobody waits for it."""
        if self._log == "off":
            return
        events = self._events_of(runtime, rows, answers, latency_ms / max(len(rows), 1), (), shadow_of=live_ids)
        self._append_if_possible(events)

    def _append_if_possible(self, events: Sequence[Event]) -> None:
        try:
            self._events.append(events, durable=False)
        except StoreError as lost:
            self._lose(len(events), lost)

    def failed(self, release: Release, rows: int, latency_ms: float, error: Exception) -> None:
        """Log a call that a release did not answer; losing such a record does not hide the failure itself."""
        if not self._is_wanted(release):
            return
        violations = error.violations if isinstance(error, ContractError) else ()
        event = FailureEvent(
            endpoint=self.endpoint,
            release_id=release.release_id,
            model_version=release.model_version,
            error=type(error).__name__,
            message=str(self._redact(release.steps)(str(error)))[:500],
            latency_ms=latency_ms / max(rows, 1),
            rows_in_call=rows,
            violating_rows=len({each["row"] for each in violations}),
            role=_role(release),
        )
        self._append_if_possible([event])

    def _lose(self, records: int, error: StoreError) -> None:
        self.lost += records
        logger.warning("prediction log failed: %s", error, extra={"endpoint": self.endpoint, "records": records})


def _role(release: Release) -> Role:
    return LIVE if release.status == "retired" else release.status


def _logged(row: Row, names: Sequence[str], vectors: Mapping[str, str]) -> dict[str, Any]:
    """What a row holds under these names; the elements of a vector as the row has them, by the vector's name."""
    if vectors:
        names = list(dict.fromkeys(name if name in row else vectors.get(name, name) for name in names))
    return {name: row.get(name) for name in names}
