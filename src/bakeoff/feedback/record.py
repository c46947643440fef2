"""Take in feedback: check every item, log all of them or none, and tell which of them say nothing yet."""

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.protocols import EventLog
from bakeoff.core.tracing import current
from bakeoff.core.types import Json
from bakeoff.feedback.truth import TruthOf

__all__ = ["Doubt", "Recorded", "record"]

KINDS = ("label", "rating", "correction", "comment")
FREE = frozenset({"correction", "comment"})
"""Texts that somebody wrote, in which anything may stand."""
SHOWN = 100
UNMATCHED = "there is no prediction with this id; it counts once there is"
KNOWN = frozenset({"id", *KINDS, "source", "time_ms"})
MAX_TEXT = 100_000
MAX_ID = 200
MAX_TIME_MS = 2**53
MAX_NUMBER = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """An item that was logged, but does not count: the id, and why."""

    id: str
    kind: Literal["unmatched", "unusable"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """How many items count (`accepted`), and those that do not: all of them are logged.

    An item is `unmatched` when there is no prediction with its id; it counts once there is. It is `unusable` when its
    label is no class of the model (or no number); what else it holds counts all the same.
    """

    accepted: int
    doubts: tuple[Doubt, ...] = ()

    def __repr__(self) -> str:
        return f"Recorded(accepted={self.accepted}, unmatched={self.unmatched}, unusable={self.unusable})"

    @property
    def unmatched(self) -> int:
        """Items without a prediction."""
        return sum(doubt.kind == "unmatched" for doubt in self.doubts)

    @property
    def unusable(self) -> int:
        """Items whose label says nothing."""
        return sum(doubt.kind == "unusable" for doubt in self.doubts)

    def to_json(self) -> dict[str, Json]:
        """As JSON: the three counts, and the first items that do not count."""
        problems: list[Json] = [{"id": d.id, "kind": d.kind, "reason": d.reason} for d in self.doubts[:SHOWN]]
        return {
            "accepted": self.accepted,
            "unmatched": self.unmatched,
            "unusable": self.unusable,
            "problems": problems,
        }


def record(
    events: EventLog,
    items: Sequence[Mapping[str, Json]],
    *,
    truth_of: TruthOf | None = None,
    redact: Callable[[Json], Json] = lambda value: value,
    reaches: Callable[[str], bool] = lambda _: True,
) -> Recorded:
    """Log feedback durably, and say what of it counts.

    An item has the `id` of a prediction and one or more of `label` (the truth: text, number or boolean),
    `rating` (from -1, bad, to 1, good; or a boolean), `correction` (the text that should have been said) and `comment`;
    `source` (who says so) and `time_ms` (since when it is known) are optional. The log keeps all of them; of each kind
    the last one for an id counts.

    Args:
        events: the log.
        items: the feedback.
        truth_of: reads labels; without it all of them are taken for usable.
        redact: what is done to comments and corrections before they are logged (labels are the truth, and stay).
        reaches: whether who says this may know of an endpoint: a prediction of another one is none, and what is said of
            it is not logged.

    Raises:
        DataError: an item has the wrong shape; the message names it, and none of them is logged.
    """
    checked = [_checked(item, number) for number, item in enumerate(items)]
    if not checked:
        return Recorded(accepted=0)
    written = narrow.json_array(redact([{k: e[k] for k in FREE & e.keys()} for e in checked]))
    known = _answers(events, {str(item["id"]) for item in checked})
    feedback = [
        FeedbackEvent(**item | texts, trace_id=_trace_id(known.get(str(item["id"]))))
        for item, texts in zip(checked, written, strict=True)
    ]
    events.append([item for item in feedback if item.id not in known or reaches(known[item.id].endpoint)])
    known |= _answers(events, {item.id for item in feedback} - known.keys())  # which may have been on their way
    known = {name: prediction for name, prediction in known.items() if reaches(prediction.endpoint)}
    doubts = [doubt for item in feedback if (doubt := _doubt(item, known.get(item.id), truth_of)) is not None]
    return Recorded(accepted=len(checked) - len(doubts), doubts=tuple(doubts))


def _answers(events: EventLog, ids: set[str]) -> dict[str, PredictionEvent]:
    """The answers of these ids that somebody got."""
    return {event.id: event for event in events.get(PredictionEvent, ids) if event.served} if ids else {}


def _trace_id(prediction: PredictionEvent | None) -> str | None:
    """The trace that feedback belongs to: that of the prediction, else that of the call which brings it."""
    return (prediction and prediction.trace_id) or current()


def _doubt(item: FeedbackEvent, prediction: PredictionEvent | None, truth_of: TruthOf | None) -> Doubt | None:
    if prediction is None:
        return Doubt(id=item.id, kind="unmatched", reason=UNMATCHED)
    if truth_of is None:
        return None
    truth = truth_of(prediction.model_version)
    for kind, value in (("label", item.label), ("correction", item.correction)):
        if value is not None and truth.read(value) is None:
            return Doubt(id=item.id, kind="unusable", reason=f"{kind} {truth.problem(value)}")
    return None


def _checked(item: object, number: int) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise _wrong(number, "an object with an id", item)
    unknown = sorted(str(key) for key in item if key not in KNOWN)
    if unknown:
        raise _wrong(number, f"only the keys {', '.join(sorted(KNOWN))}", unknown)
    if not (isinstance(item.get("id"), str) and 0 < len(item["id"]) <= MAX_ID):
        raise _wrong(number, f"id to be the id of a prediction (1 to {MAX_ID} characters)", item.get("id"))
    given = {kind: item[kind] for kind in KINDS if item.get(kind) is not None}
    if not given:
        raise _wrong(number, "label, rating, correction or comment", sorted(map(str, item)))
    for kind, value in given.items():
        _check_value(kind, value, number)
    if isinstance(given.get("rating"), bool):
        given["rating"] = 1 if given["rating"] else -1
    event: dict[str, Any] = {"id": item["id"], **given}
    source, time_ms = item.get("source"), item.get("time_ms")
    if source is not None:
        if not isinstance(source, str) or len(source) > MAX_ID:
            raise _wrong(number, f"source to be a text of at most {MAX_ID} characters", source)
        event["source"] = source
    if time_ms is not None:
        if isinstance(time_ms, bool) or not isinstance(time_ms, int) or not 0 <= time_ms < MAX_TIME_MS:
            raise _wrong(number, "time_ms to be whole milliseconds since 1970", time_ms)
        # The event's own time_ms stays the log's, so that reading "since" never misses late labels.
        event["known_ms"] = time_ms
    return event


def _check_value(kind: str, value: object, number: int) -> None:
    text = isinstance(value, str) and len(value) <= MAX_TEXT
    # A boolean is an int too; what is not finite, or too big for a float to hold, cannot be compared.
    figure = isinstance(value, int | float) and -MAX_NUMBER < value < MAX_NUMBER
    rating = isinstance(value, int | float) and -1 <= value <= 1
    fits = {"label": text or figure, "rating": rating, "correction": text, "comment": text}[kind]
    if not fits:
        expected = {
            "label": f"label to be a text (at most {MAX_TEXT} characters), a finite number or a boolean",
            "rating": "rating to be a number from -1 (bad) to 1 (good), or a boolean; of 5 stars, (stars - 3) / 2",
            "correction": f"correction to be a text (at most {MAX_TEXT} characters)",
            "comment": f"comment to be a text (at most {MAX_TEXT} characters)",
        }[kind]
        raise _wrong(number, expected, value)


def _wrong(number: int, expected: str, received: object) -> DataError:
    shown = reprlib.repr(received)
    return DataError(f"feedback item {number}: expected {expected}, received {shown}; nothing was recorded")
