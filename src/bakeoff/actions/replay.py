"""Answer logged calls again with another model, and compare: what would it have said, how well, how fast?"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np

from bakeoff.actions.release import named_version
from bakeoff.core.errors import BakeoffError, NotFoundError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.retention import expired_of, past_retention
from bakeoff.core.types import Json, Predictions, Signature
from bakeoff.metrics.intervals import Interval, wilson
from bakeoff.metrics.registry import default, find
from bakeoff.registry.lineage import label
from bakeoff.results.verdict import Comparison
from bakeoff.serve.releases import all_releases

if TYPE_CHECKING:
    from bakeoff.project.estimator import Estimator
    from bakeoff.project.project import Project

__all__ = ["DifferingAnswer", "Replay", "ReplayLatency", "replay"]

BATCH = 500
SINGLE = 200
"""Rows that are answered one by one, for latencies like those of calls."""
SHOWN = 20
LEAST_LABELS = 10
SAME = 1e-9
"""Numbers are the same answer up to this share of them."""

Answer: TypeAlias = float | str | None
Answered: TypeAlias = tuple[PredictionEvent, Answer]
"""A logged row, and what the model says of it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingAnswer:
    """A row that is answered otherwise: what the log has, what the model says now, and the truth where it is known."""

    id: str
    row: Mapping[str, Json]
    logged: Answer
    answer: Answer
    truth: str | float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayLatency:
    """Milliseconds of calls with one row, as logged and as replayed here; None where there were none."""

    logged_p50_ms: float | None
    logged_p95_ms: float | None
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Logged calls answered again.

    Attributes:
        endpoint, model_version: whose calls, and who answers them again.
        rows: how many were answered again; `left_out` are earlier ones, over the limit.
        expired: how many of that time are past their retention, and not in the log any more.
        failed: rows that got no answer, by error; `failures` has what the first of each says.
        agreement: the share of the same answers, with its interval (95%); None without rows.
        mean_difference: of numbers, how far the new answers lie over the logged ones.
        differing: the first rows that are answered otherwise, as many as `differing_rows` says there are.
        labelled: rows whose truth is known, and can be compared: `other_classes` are those whose truth or logged answer
            is no class of the model.
        comparison: how much better the new answers are on those, paired; else `reason` says why there is none.
        latency: of single rows.
    """

    endpoint: str
    model_version: str
    rows: int
    left_out: int
    expired: int = 0
    failed: Mapping[str, int] = field(default_factory=dict[str, int])
    failures: Mapping[str, str] = field(default_factory=dict[str, str])
    agreement: Interval | None = None
    mean_difference: float | None = None
    differing_rows: int = 0
    differing: tuple[DifferingAnswer, ...] = ()
    labelled: int = 0
    other_classes: int = 0
    comparison: Comparison | None = None
    reason: str | None = None
    latency: ReplayLatency

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff replay --json` has it."""
        return msgspec.to_builtins(self)

    def __repr__(self) -> str:
        share = "nothing answered" if self.agreement is None else f"{self.agreement.value:.1%} the same"
        return f"Replay({self.model_version} on {self.rows} rows of {self.endpoint!r}: {share})"


def replay(
    project: "Project",
    endpoint: str,
    which: str,
    *,
    candidates: Mapping[str, str],
    since_ms: int | None = None,
    until_ms: int | None = None,
    limit: int = 10_000,
    timer: Callable[[], float] = time.perf_counter,
) -> Replay:
    """Answer the last `limit` logged rows of an endpoint again; nothing is logged.

    Args:
        project: whose log it is.
        endpoint: whose calls.
        which: a release id, a model version, an alias or a candidate of the last run.
        candidates: of the last run, with their versions.
        since_ms: calls from then on.
        until_ms: calls before then.
        limit: the most rows; of more, the last ones.
        timer: seconds, for latencies.

    Raises:
        NotFoundError: there is no such model, or no logged call.
    """
    releases = all_releases(project.records.documents)
    version = label(named_version(project, which, candidates=candidates, releases=releases))
    model = project.model(version)
    last: deque[PredictionEvent] = deque(maxlen=limit)
    count = 0
    for event in project.events.read(PredictionEvent, since_ms=since_ms, until_ms=until_ms):
        if event.endpoint == endpoint and event.served:
            last.append(event)
            count += 1
    if not count:
        past = past_retention(project.events, endpoint, since_ms, until_ms)
        raise NotFoundError(
            f"expected logged calls of endpoint {endpoint!r}, found none in that time; "
            + (past or 'bakeoff predict and the server log them, unless [endpoint] log = "off"')
        )
    answers, errors = _answers(model, last)
    again = [(event, answer) for event, answer in zip(last, answers, strict=True) if answer is not None]
    truths = _truths(project, endpoint)
    others = [(event, answer) for event, answer in again if not _same(event.answer, answer)]
    labelled = [(event, answer) for event, answer in again if event.id in truths]
    known = _with_classes(labelled, truths, model.signature)
    comparison, reason = _compared(project, known, truths, model.signature)
    gaps = [
        answer - event.answer
        for event, answer in again
        if isinstance(answer, float) and isinstance(event.answer, int | float)
    ]
    return Replay(
        endpoint=endpoint,
        model_version=version,
        rows=len(again),
        left_out=count - len(last),
        expired=expired_of(project.events).count(endpoint, since_ms, until_ms),
        failed={name: len(messages) for name, messages in errors.items()},
        failures={name: messages[0] for name, messages in errors.items()},
        agreement=_share(len(again) - len(others), len(again)) if again else None,
        mean_difference=float(np.mean(gaps)) if gaps else None,
        differing_rows=len(others),
        differing=tuple(
            DifferingAnswer(id=event.id, row=event.row, logged=event.answer, answer=answer, truth=truths.get(event.id))
            for event, answer in others[:SHOWN]
        ),
        labelled=len(known),
        other_classes=len(labelled) - len(known),
        comparison=comparison,
        reason=reason,
        latency=_latency(model, last, timer),
    )


def _share(part: int, whole: int) -> Interval:
    low, high = wilson(part, whole)
    return Interval(value=part / whole, low=low, high=high)


def _same(one: Answer, other: Answer) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=SAME, abs_tol=SAME)
    return one == other


def _answers(model: "Estimator", events: Sequence[PredictionEvent]) -> tuple[list[Answer], dict[str, list[str]]]:
    """An answer to each row, None where there is none; and what errors say, by their class."""
    answers: list[Answer] = []
    failed: dict[str, list[str]] = {}
    rows = [event.row for event in events]
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        try:
            answers += model.predictions(part).values_n.tolist()
        except BakeoffError:
            for row in part:
                try:
                    answers += model.predictions([row]).values_n.tolist()
                except BakeoffError as error:
                    failed.setdefault(type(error).__name__, []).append(str(error))
                    answers.append(None)
    return answers, failed


def _truths(project: "Project", endpoint: str) -> dict[str, str | float]:
    from bakeoff.feedback.join import labelled

    pairs = labelled(project.events, endpoint, truth_of=project.truth_of).pairs
    return {pair.id: pair.label for pair in pairs if pair.label is not None}


def _with_classes(
    labelled: Sequence[Answered], truths: Mapping[str, str | float], signature: Signature
) -> list[Answered]:
    """The rows whose truth and logged answer are classes of the model, if it has any."""
    classes = set(signature.classes)
    return [each for each in labelled if not classes or {truths[each[0].id], each[0].answer} <= classes]


def _compared(
    project: "Project", known: Sequence[Answered], truths: Mapping[str, str | float], signature: Signature
) -> tuple[Comparison | None, str | None]:
    """The paired comparison on rows whose truth is known, or why there is none."""
    from bakeoff.evaluate.decide.paired import compare

    if len(known) < LEAST_LABELS:
        return None, f"{len(known)} rows with a label, at least {LEAST_LABELS} needed"
    kind = np.float64 if signature.task == "regression" else np.str_
    rows = [(truths[event.id], event.answer, answer) for event, answer in known]
    truth_n, logged_n, answer_n = (np.asarray(column, dtype=kind) for column in zip(*rows, strict=True))
    metric = project.config.decide.metric or default(signature.task)
    if find(metric, signature.task).needs in {"likelihood", "scores"}:
        metric = default(signature.task)
    try:
        comparison = compare(
            truth_n,
            Predictions(values_n=answer_n, classes=signature.classes),
            Predictions(values_n=logged_n, classes=signature.classes),
            metric,
            seed=project.config.project.seed,
            resamples=project.config.decide.resamples,
            task=signature.task,
            names=("replayed", "logged"),
        )
    except BakeoffError as error:
        return None, f"they cannot be compared: {error}"
    return comparison, None


def _latency(model: "Estimator", events: Sequence[PredictionEvent], timer: Callable[[], float]) -> ReplayLatency:
    logged_ms = [event.latency_ms for event in events if event.rows_in_call == 1]
    taken_ms: list[float] = []
    for event in list(events)[:SINGLE]:
        started = timer()
        try:
            model.predictions([event.row])
        except BakeoffError:
            continue
        taken_ms.append((timer() - started) * 1e3)
    before, now = (np.quantile(each, [0.5, 0.95]).tolist() if each else [None, None] for each in (logged_ms, taken_ms))
    return ReplayLatency(logged_p50_ms=before[0], logged_p95_ms=before[1], p50_ms=now[0], p95_ms=now[1])
