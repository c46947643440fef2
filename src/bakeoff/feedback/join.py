"""Join predictions with the feedback on them: what monitoring scores and what joins the dataset."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import msgspec
import numpy as np

from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.protocols import EventLog
from bakeoff.core.retention import past_retention
from bakeoff.core.types import Column, Json, Predictions, Signature
from bakeoff.data.labels import label_text
from bakeoff.feedback.keys import by_prediction, predictions_of
from bakeoff.feedback.resolve import Resolution, Resolved
from bakeoff.feedback.truth import TruthOf

__all__ = ["FedRows", "Labelled", "PredictionFeedback", "as_rows", "comparable", "judged", "labelled", "labellers"]


class PredictionFeedback(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A prediction and what counts of the feedback on it (see `bakeoff.feedback.resolve`).

    `row` holds the inputs as they were sent; `said` is the label or value that was predicted. `given` is the truth as
    it came; `label` is what it means to the model, or None when it means nothing or none came. `rule` is by which rule
    it counts: `annotators` gave one, `agreeing` of them this one. `known_ms` and `source` are of the truth, without one
    of the last feedback. Times are of the log.
    """

    id: str
    time_ms: int
    known_ms: int
    release_id: str
    model_version: str
    row: Mapping[str, Json]
    said: str | float | None
    probabilities: Mapping[str, float] | None
    label: str | float | None
    given: Json = None
    correction: str | None = None
    rating: float | None = None
    comment: str | None = None
    source: str | None = None
    implicit: Mapping[str, Json] | None = None
    rule: Resolution | None = None
    annotators: int = 0
    agreeing: int = 0

    @property
    def unusable(self) -> bool:
        """Whether a truth came that means nothing to the model."""
        return self.given is not None and self.label is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Pairs in the order of prediction; how many feedback ids have no prediction.

    `unmatched_ids` are the first of these. `past` says how many predictions are past their retention, if any are.
    """

    pairs: tuple[PredictionFeedback, ...]
    unmatched: int
    unmatched_ids: tuple[str, ...] = ()
    past: str | None = None

    @property
    def usable(self) -> int:
        """Pairs with a truth that means something to the model."""
        return sum(pair.label is not None for pair in self.pairs)

    def losses(self, *, without_row: bool = False) -> tuple[Loss, ...]:
        """Feedback that does not count, by reason; `without_row`: only what `as_rows` makes no row of."""
        unusable = [pair for pair in self.pairs if pair.unusable and not (without_row and _name_given(pair))]
        shown = dict.fromkeys(example(pair.given) for pair in unusable)
        losses = (
            Loss(
                kind="feedback",
                reason="no prediction has this id",
                count=self.unmatched,
                examples=self.unmatched_ids[:EXAMPLES],
                remedy="send the ids that the endpoint answered with; what comes later is joined then"
                + (f"; {self.past}" if self.past else ""),
            ),
            Loss(
                kind="feedback",
                reason="the label is no class or value of the model",
                count=len(unusable),
                of=len(self.pairs),
                examples=tuple(shown)[:EXAMPLES],
                remedy="send labels as the endpoint says them",
            ),
        )
        return tuple(loss for loss in losses if loss.count)


def labelled(
    events: EventLog,
    endpoint: str,
    *,
    truth_of: TruthOf,
    since_ms: int | None = None,
    until_ms: int | None = None,
    release_id: str | None = None,
) -> Labelled:
    """Predictions of the endpoint with the feedback that came on them, ever.

    With `since_ms` and `until_ms` those of since_ms ≤ time < until_ms, with `release_id` those of that release: which
    release a prediction is of, the log says by id, whatever the clock said. `unmatched` counts the ids that nobody
    ever predicted. Reads the feedback, and of the predictions those that it is on.
    """
    feedback = list(events.read(FeedbackEvent))
    named = predictions_of(events, {item.id for item in feedback})
    history = by_prediction(feedback, named)
    pairs: dict[str, PredictionFeedback] = {}
    matched: set[str] = set()
    for event in events.get(PredictionEvent, history.keys()):
        if not event.served:  # nobody got it, so nobody can have meant it
            continue
        matched.add(event.id)
        ours = event.endpoint == endpoint and (release_id is None or event.release_id == release_id)
        if ours and _within(event.time_ms, since_ms, until_ms):
            pairs[event.id] = _pair(event, truth_of(event.model_version).resolve(history[event.id]))
    unmatched = [name for name in named if matched.isdisjoint(named[name])]
    return Labelled(
        pairs=tuple(pairs.values()),
        unmatched=len(unmatched),
        unmatched_ids=tuple(unmatched[:EXAMPLES]),
        past=past_retention(events) if unmatched else None,
    )


def labellers(
    events: EventLog, model_versions: Mapping[str, str], *, truth_of: TruthOf
) -> dict[str, frozenset[str | None]]:
    """Who gave a label that means something to the model, by prediction; one without a name is None.

    `model_versions` are those of the predictions, by id. Reads the feedback.
    """
    feedback = list(events.read(FeedbackEvent))
    history = by_prediction(feedback, predictions_of(events, {item.id for item in feedback}))
    given: dict[str, frozenset[str | None]] = {}
    for prediction_id in history.keys() & model_versions.keys():
        read = truth_of(model_versions[prediction_id]).read
        truths = [item for item in history[prediction_id] if item.truth is not None]
        given[prediction_id] = frozenset(item.source for item in truths if read(item.truth) is not None)
    return given


def _within(time_ms: int, since_ms: int | None, until_ms: int | None) -> bool:
    return (since_ms is None or since_ms <= time_ms) and (until_ms is None or time_ms < until_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class FedRows:
    """Rows of a dataset made of feedback, and those that lack an input: how many lack which."""

    rows: tuple[dict[str, Json], ...]
    absent: Mapping[str, int]
    brought: int

    def losses(self) -> tuple[Loss, ...]:
        """Rows that cannot join, by the input that they lack first."""
        return tuple(
            Loss(
                kind="row",
                reason="feedback without an input",
                subject=name,
                count=count,
                of=self.brought,
                remedy="it was given on predictions of a model without this input",
            )
            for name, count in self.absent.items()
        )


def as_rows(
    pairs: Labelled,
    target: str,
    *,
    inputs: Collection[Column] = (),
    time: str | None = None,
    rejected: str | None = None,
) -> FedRows:
    """Labelled pairs as rows of a dataset: the inputs, the truth under `target`, and nothing without a truth.

    A truth that is no class of the model is kept as it came: it may be one of the dataset's. Rows that lack one of
    `inputs` are counted and left out. With `time`, a row whose inputs lack that column gets the prediction's time
    (ISO 8601, UTC). With `rejected`, that column has the text that was said where the truth is another one, else
    None: together, a preference.

    >>> pair = PredictionFeedback(id="a", time_ms=0, known_ms=0, release_id="r", model_version="m/1", row={"x": 1.0},
    ...             said="no", probabilities=None, label="yes", given="yes")
    >>> as_rows(Labelled(pairs=(pair,), unmatched=0), "late", time="at").rows
    ({'x': 1.0, 'late': 'yes', 'at': '1970-01-01T00:00:00.000'},)
    """
    rows: list[dict[str, Json]] = []
    absent: dict[str, int] = {}
    for pair, truth in _truths(pairs):
        lacking = next((column.name for column in inputs if column.name != time and not _holds(pair.row, column)), None)
        if lacking is not None:
            absent[lacking] = absent.get(lacking, 0) + 1
            continue
        row = {**pair.row, target: truth}
        if rejected is not None:
            row[rejected] = _turned_down(pair)
        if time is not None and row.get(time) is None:
            row[time] = _iso(pair.time_ms)
        rows.append(row)
    return FedRows(rows=tuple(rows), absent=absent, brought=len(rows) + sum(absent.values()))


def _holds(row: Mapping[str, Json], column: Column) -> bool:
    """Whether a row has an input, be it missing there; of a vector's element also as the list."""
    return column.name in row or (column.format.vector or column.name) in row


def _truths(pairs: Labelled) -> Iterator[tuple[PredictionFeedback, str | float]]:
    for pair in pairs.pairs:
        if pair.label is not None:
            yield pair, pair.label
        elif (name := _name_given(pair)) is not None:
            yield pair, name


def _name_given(pair: PredictionFeedback) -> str | None:
    """The truth as it came, where it may be a class that the dataset knows and the model does not."""
    return label_text(pair.given) if isinstance(pair.said, str) else None


def comparable(pairs: Labelled, signature: Signature) -> list[PredictionFeedback]:
    """The pairs whose truth can be compared with what was said: those of `judged`, in its order."""
    text, classes = signature.task != "regression", frozenset(signature.classes)
    return [pair for pair in pairs.pairs if _comparable(pair, classes, text=text)]


def judged(pairs: Labelled, signature: Signature) -> tuple[list[str | float], Predictions]:
    """Truth and what was said, as measures take them: the pairs that have a label which fits the task.

    A number that was expected and a text that came (or the reverse) cannot be compared and is left out, as are
    answers of a release with other classes than the signature's.
    """
    text, known = signature.task != "regression", comparable(pairs, signature)
    truth = [cast("str | float", pair.label) for pair in known]
    values_n = np.asarray([pair.said for pair in known], dtype=np.str_ if text else np.float64)
    if signature.task != "classification":
        return truth, Predictions(values_n=values_n)
    shares = [pair.probabilities for pair in known]
    if any(share is None for share in shares):
        return truth, Predictions(values_n=values_n, classes=signature.classes)
    columns = [[share.get(name, 0.0) for name in signature.classes] for share in shares if share is not None]
    probabilities_nk = np.asarray(columns, dtype=np.float64).reshape(len(known), len(signature.classes))
    return truth, Predictions(values_n=values_n, probabilities_nk=probabilities_nk, classes=signature.classes)


def _comparable(pair: PredictionFeedback, classes: frozenset[str], *, text: bool) -> bool:
    kind = str if text else (int, float)
    known = pair.probabilities is None or pair.probabilities.keys() <= classes
    return known and isinstance(pair.label, kind) and isinstance(pair.said, kind)


def _turned_down(pair: PredictionFeedback) -> str | None:
    said, label = pair.said, pair.label
    if not isinstance(said, str) or not isinstance(label, str):
        return None
    return said if said.strip() and said.strip() != label.strip() else None


def _iso(time_ms: int) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(time_ms / 1000, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds")


def _pair(event: PredictionEvent, resolved: Resolved) -> PredictionFeedback:
    return PredictionFeedback(
        id=event.id,
        time_ms=event.time_ms,
        known_ms=resolved.known_ms,
        release_id=event.release_id,
        model_version=event.model_version,
        row=event.row,
        said=event.answer,
        probabilities=event.probabilities,
        label=resolved.label,
        given=resolved.given,
        correction=resolved.correction,
        rating=resolved.rating,
        comment=resolved.comment,
        source=resolved.source,
        implicit=resolved.implicit,
        rule=resolved.rule,
        annotators=resolved.annotators,
        agreeing=resolved.agreeing,
    )
