"""Ask for labels: what is known of predictions, and which of them to look at; quality by the answers."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.core.errors import BakeoffError, NotFoundError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.retention import past_retention
from bakeoff.core.types import Predictions, Signature
from bakeoff.feedback.join import Labelled, PredictionFeedback, comparable, judged, labelled
from bakeoff.feedback.pick import Floats, ReviewFrame, disagreement, pick, unlikeness, vectors_of
from bakeoff.feedback.review import ReasonKind, ReviewBatch, ReviewQueue, ReviewRow
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import default, find, with_class
from bakeoff.metrics.sampled import WEIGHABLE, sampled_estimate

if TYPE_CHECKING:
    from bakeoff.project.project import Project
    from bakeoff.results.candidate import Candidate

__all__ = ["Asking", "ReviewEstimate", "estimate", "pick_batch"]

COMMITTEE_S = 60.0
"""Other candidates are asked about the rows when they need no longer than this in all."""
REFERENCE_ROWS = 5_000
LEAST_REFERENCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What is asked for; see `[review]` and `ProjectReview.pick`."""

    endpoint: str
    budget: int
    window_rows: int
    shares: Mapping[ReasonKind, float]
    annotators: int
    assignees: tuple[str, ...]
    since_ms: int | None
    until_ms: int | None
    seed: int
    batch_id: str
    who: str
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewEstimate:
    """Quality by the answers to a batch: the metric's value on all predictions that it was picked from.

    `rows` have an answer: `certain` of them were picked for a reason and stand for themselves, `random` ones for all
    others. `population` is how many predictions it is of.
    """

    metric: str
    interval: Interval
    rows: int
    certain: int
    random: int
    population: int

    def __repr__(self) -> str:
        return f"ReviewEstimate({self.metric} {self.interval.value:.4f} {self.interval.ends()}, {self.rows} rows)"


def pick_batch(project: "Project", queue: ReviewQueue, asking: Asking) -> ReviewBatch:
    """Pick rows of an endpoint's log and put them into the queue.

    Raises:
        NotFoundError: no prediction without a label that is not asked for already.
    """
    events = _unlabelled(project, queue, asking)
    past = past_retention(project.events, asking.endpoint, asking.since_ms, asking.until_ms)
    if not events:
        raise NotFoundError(
            f"expected predictions of endpoint {asking.endpoint!r} that have no label and are in no open batch, found "
            "none in that time: 'bakeoff review status' shows the batches; predictions are logged by bakeoff predict "
            f'and the server, unless [endpoint] log = "off"{f"; {past}" if past else ""}'
        )
    signature = _signature(project, events[-1].model_version)
    frame = _frame(project, events, signature, asking)
    picked = pick(frame, asking.budget, asking.shares, seed=asking.seed)
    rows = [
        ReviewRow(
            batch=asking.batch_id,
            position=position,
            id=(event := events[row.index]).id,
            endpoint=event.endpoint,
            model_version=event.model_version,
            row=event.row,
            answer=event.answer,
            probabilities=event.probabilities,
            reasons=row.reasons,
            rank=row.rank,
            random=row.random,
            annotators=asking.annotators,
        )
        for position, row in enumerate(picked.rows)
    ]
    batch = ReviewBatch(
        id=asking.batch_id,
        endpoint=asking.endpoint,
        created_ms=asking.now_ms,
        created_by=asking.who,
        rows=len(rows),
        random=sum(row.random for row in rows),
        population=len(events),
        counts=picked.counts,
        notes=(*picked.notes, past) if past and len(events) < asking.window_rows else picked.notes,
        assignees=asking.assignees,
        classes=signature.classes if signature else (),
    )
    queue.add(batch, rows)
    return batch


def _unlabelled(project: "Project", queue: ReviewQueue, asking: Asking) -> list[PredictionEvent]:
    """The last predictions of the endpoint that nobody labelled and nobody is asked about."""
    pairs = labelled(project.events, asking.endpoint, truth_of=project.truth_of).pairs
    known = {pair.id for pair in pairs if pair.given is not None}
    for batch in queue.batches(asking.endpoint):
        if not batch.closed:
            known.update(row.id for row in queue.rows(batch.id))
    last: deque[PredictionEvent] = deque(maxlen=asking.window_rows)
    for event in project.events.read(PredictionEvent, since_ms=asking.since_ms, until_ms=asking.until_ms):
        if event.endpoint == asking.endpoint and event.served and event.id not in known:
            last.append(event)
    return list(last)


def _signature(project: "Project", model_version: str) -> Signature | None:
    from bakeoff.registry.lineage import signature_of

    try:
        return signature_of(project.records.versions, model_version)
    except NotFoundError:  # the model was deleted: its predictions are still there
        return None


def _frame(
    project: "Project", events: Sequence[PredictionEvent], signature: Signature | None, asking: Asking
) -> ReviewFrame:
    """What is known of these rows, as far as something is asked for by it."""
    notes: dict[str, str] = {}
    wanted = {kind for kind, share in asking.shares.items() if share > 0}
    rows = [event.row for event in events]
    uncertain_n = None
    if "uncertain" in wanted and (uncertain_n := _uncertain(events)) is None:
        notes["uncertain"] = "the model gives no probabilities"
    vectors = drift_n = None
    reference = _reference(project, asking, notes) if "drift" in wanted else []
    if signature is not None and {"typical", "drift"} & wanted:
        known, vectors = vectors_of(signature.inputs, reference, rows)
        if reference and len(rows) >= LEAST_REFERENCE:
            drift_n = unlikeness(known, vectors, seed=asking.seed)
        elif reference:
            notes["drift"] = f"{len(rows)} rows, at least {LEAST_REFERENCE} needed"
    disagreement_n = None
    if "disagreement" in wanted:
        disagreement_n = _disagreement(project, events, signature, notes)
    return ReviewFrame(
        keys=[json.dumps(row, sort_keys=True, default=str) for row in rows],
        uncertain_n=uncertain_n,
        disagreement_n=disagreement_n,
        drift_n=drift_n,
        vectors=vectors,
        notes=notes,
    )


def _uncertain(events: Sequence[PredictionEvent]) -> Floats | None:
    """One less the margin between the two likeliest classes; None where no prediction has probabilities."""
    if all(event.probabilities is None for event in events):
        return None
    margins: list[float] = []
    for event in events:
        first, second, *_ = [*sorted((event.probabilities or {"": 1.0}).values(), reverse=True), 0.0]
        margins.append(1.0 - (first - second))
    return np.clip(np.asarray(margins), 0.0, 1.0)


def _reference(project: "Project", asking: Asking, notes: dict[str, str]) -> list[dict[str, Any]]:
    """Training rows of the last run, of many a random part."""
    try:
        table = project.rows("train", frames="polars")
    except BakeoffError as error:
        notes["drift"] = f"there are no training rows to compare with ({error})"
        return []
    if table.height < LEAST_REFERENCE:
        notes["drift"] = f"{table.height} training rows, at least {LEAST_REFERENCE} needed"
        return []
    return table.sample(min(table.height, REFERENCE_ROWS), seed=asking.seed).to_dicts()


def _disagreement(
    project: "Project", events: Sequence[PredictionEvent], signature: Signature | None, notes: dict[str, str]
) -> Floats | None:
    """How much the candidates of the last run, beside the model that answered, differ on the rows."""
    if signature is None or signature.task == "generation":
        notes["disagreement"] = "texts are not compared"
        return None
    try:
        candidates = [each for each in project.last().candidates if each.model_version is not None]
    except NotFoundError:
        candidates = []
    others = [each for each in candidates if each.model_version != events[-1].model_version]
    affordable = _affordable(others, len(events))
    answers = [predictions for each in affordable if (predictions := _answers(project, each, events)) is not None]
    if not answers:
        notes["disagreement"] = (
            f"none of {len(others)} other candidates of the last run could be asked: they cost money, are slow, or fail"
            if others
            else "the last run has one candidate alone"
        )
        return None
    if signature.task == "regression":
        values_mn = np.asarray([[event.answer for event in events], *(each.values_n for each in answers)], np.float64)
        spread_n, scale = values_mn.std(axis=0), float(values_mn.std())
        return np.clip(spread_n / scale, 0.0, 1.0) if scale > 0 else spread_n * 0.0
    return disagreement(
        np.stack([_logged(events, signature.classes), *(_shares(each, signature.classes) for each in answers)])
    )


def _affordable(others: "Sequence[Candidate]", rows: int) -> "list[Candidate]":
    """Those that cost no money for each answer and are fast enough, the fastest first."""
    affordable: list[Candidate] = []
    left_s = COMMITTEE_S
    free = [each for each in others if each.usage is None and each.throughput_rows_s]
    for each in sorted(free, key=lambda each: -(each.throughput_rows_s or 0.0)):
        left_s -= rows / (each.throughput_rows_s or 1.0)
        if left_s < 0:
            break
        affordable.append(each)
    return affordable


def _answers(project: "Project", candidate: "Candidate", events: Sequence[PredictionEvent]) -> Predictions | None:
    try:
        return project.model(candidate.model_version).predictions([event.row for event in events])
    except BakeoffError:  # a row that this candidate does not take: others are asked
        return None


def _logged(events: Sequence[PredictionEvent], classes: Sequence[str]) -> Floats:
    """The logged answers as probabilities (n, k); without any, the class that was said has all."""
    each = [event.probabilities or {str(event.answer): 1.0} for event in events]
    return np.asarray([[shares.get(name, 0.0) for name in classes] for shares in each])


def _shares(predictions: Predictions, classes: Sequence[str]) -> Floats:
    if predictions.probabilities_nk is None:
        return (np.asarray(predictions.values_n)[:, None] == np.asarray(classes)[None, :]).astype(np.float64)
    place = {name: at for at, name in enumerate(predictions.classes)}
    nothing_n = np.zeros(len(predictions))
    columns = [predictions.probabilities_nk[:, place[name]] if name in place else nothing_n for name in classes]
    return np.column_stack(columns)


# --- quality ----------------------------------------------------------------------------------------


def estimate(project: "Project", batch: ReviewBatch, rows: Sequence[ReviewRow], metric: str | None) -> ReviewEstimate:
    """The quality of the predictions that a batch was picked from, by the answers to its rows so far.

    Rows that were picked for a reason stand for themselves, up to the first that nobody looked at; the random ones for
    all others. Rows that were looked at and have no label are taken to be like those that have one.

    Raises:
        NotFoundError: no random row has a label yet, or there is no such metric.
    """
    pairs = {pair.id: pair for pair in labelled(project.events, batch.endpoint, truth_of=project.truth_of).pairs}
    looked_at = {row.name for row in rows if row.done or (row.id in pairs and pairs[row.id].given is not None)}
    ranked = sorted((row for row in rows if row.rank is not None), key=lambda row: row.rank or 0)
    first = next((at for at, row in enumerate(ranked) if row.name not in looked_at), len(ranked))
    certain = ranked[:first]
    names = {row.name for row in certain}
    drawn = [row for row in rows if row.random and row.name not in names]
    signature = _signature(project, rows[-1].model_version)
    if signature is None:
        raise NotFoundError(f"expected the model {rows[-1].model_version!r} that made these predictions, found none")
    answered = [_answered(part, pairs, signature) for part in (certain, drawn)]
    shares = [
        min(len(part) / count, 1.0) if count else 0.0
        for part, count in zip(answered, (len(certain), batch.population - len(certain)), strict=True)
    ]
    known = [*answered[0], *answered[1]]
    if not answered[1] and len(certain) < batch.population:
        raise NotFoundError(
            f"expected answers to the {batch.random} rows of batch {batch.id} that were drawn at random, found none "
            "that can be compared yet: only they tell of rows that nobody looked at"
        )
    truth, predictions = judged(Labelled(pairs=tuple(known), unmatched=0), signature)
    task = signature.task
    rated = outcome(truth, predictions, task)
    name = metric or project.config.decide.metric or default(task)
    measure = find(with_class(name, task, classes=rated.classes, positive=rated.positive), task)
    if metric is None and measure.needs not in WEIGHABLE:
        measure = find(default(task), task)
    probabilities = np.repeat(shares, [len(part) for part in answered])
    return ReviewEstimate(
        metric=measure.name,
        interval=sampled_estimate(measure, rated, probabilities),
        rows=len(known),
        certain=len(answered[0]),
        random=len(answered[1]),
        population=batch.population,
    )


def _answered(
    rows: Sequence[ReviewRow], pairs: Mapping[str, PredictionFeedback], signature: Signature
) -> list[PredictionFeedback]:
    """The pairs of these rows whose truth and answer can be compared."""
    return comparable(Labelled(pairs=tuple(pairs[row.id] for row in rows if row.id in pairs), unmatched=0), signature)
