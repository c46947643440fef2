"""Take in feedback: check every item, log all of them or none, and tell which of them say nothing yet."""

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.core.events import KEY_PREFIX, FeedbackEvent, KeyEvent, PredictionEvent, key_id
from bakeoff.core.moments import LAST_MS
from bakeoff.core.protocols import EventLog
from bakeoff.core.retention import retention_hint
from bakeoff.core.tracing import current
from bakeoff.core.types import Json
from bakeoff.feedback.keys import predictions_of
from bakeoff.feedback.truth import TruthOf

__all__ = ["Doubt", "Recorded", "record"]

KINDS = ("label", "rating", "correction", "comment", "implicit")
FREE = frozenset({"correction", "comment"})
"""Texts that somebody wrote, in which anything may stand."""
SHOWN = 100
UNMATCHED = "there is no prediction with this {}; it counts once there is"
KNOWN = frozenset({"id", "key", *KINDS, "source", "time_ms"})
MAX_IMPLICIT = 50
MAX_TEXT = 100_000
MAX_ID = 200
SECONDS_MS = range(10**9, 10**11)
"""What is the time of a call of this century in seconds; in milliseconds all of it is in 1970 to 1973."""
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
    endpoint: str = "",
    truth_of: TruthOf | None = None,
    redact: Callable[[Json], Json] = lambda value: value,
    reaches: Callable[[str], bool] = lambda _: True,
) -> Recorded:
    """Log feedback durably, and say what of it counts.

    An item has the `id` of a prediction, or the `key` that its caller gave it, and one or more of `label` (the truth:
    text, number or boolean), `rating` (from -1, bad, to 1, good; or a boolean), `correction` (the text that should have
    been said), `comment` and `implicit` (what was seen of the user, by name: `{"copied": true}`); `source` (who says
    so) and `time_ms` (since when it is known) are optional. An item with both `id` and `key` gives the prediction that
    key. The log keeps all items; what counts of them `bakeoff.feedback.resolve` tells.

    Args:
        events: the log.
        items: the feedback.
        endpoint: whose predictions the keys are of.
        truth_of: reads labels; without it all of them are taken for usable.
        redact: what is done to comments and corrections before they are logged (labels are the truth, and stay).
        reaches: whether who says this may know of an endpoint: a prediction of another one is none, and what is said of
            it is not logged.

    Raises:
        DataError: an item has the wrong shape; the message names it, and none of them is logged.
    """
    checked = [_checked(item, number, endpoint) for number, item in enumerate(items)]
    if not checked:
        return Recorded(accepted=0)
    keys = [key for item in checked if (key := item.pop("key", None)) is not None]
    written = narrow.json_array(redact([{k: e[k] for k in FREE & e.keys()} for e in checked]))
    ids = {str(item["id"]) for item in checked}
    known = _answers(events, ids)
    feedback = [
        FeedbackEvent(**item | texts, trace_id=_trace_id(known.get(str(item["id"]))))
        for item, texts in zip(checked, written, strict=True)
    ]

    def is_reached(name: str) -> bool:
        return name not in known or reaches(known[name].endpoint)

    events.append(
        [
            *(key for key in keys if is_reached(key.prediction_id)),
            *(item for item in feedback if _says_something(item) and is_reached(item.id)),
        ]
    )
    known |= _answers(events, ids - known.keys())  # which may have been on their way
    known = {name: prediction for name, prediction in known.items() if reaches(prediction.endpoint)}
    hint = retention_hint(events, reaches=reaches) if any(item.id not in known for item in feedback) else ""
    doubts = [doubt for item in feedback if (doubt := _doubt(item, known.get(item.id), truth_of, hint)) is not None]
    return Recorded(accepted=len(checked) - len(doubts), doubts=tuple(doubts))


def _answers(events: EventLog, ids: set[str]) -> dict[str, PredictionEvent]:
    """The answers that somebody got, by the ids and keys that they are named by; of a key the last one."""
    named = predictions_of(events, ids)
    predictions = {each for every in named.values() for each in every}
    if not predictions:
        return {}
    answers = {event.id: event for event in events.get(PredictionEvent, predictions) if event.served}
    known = {name: [answers[each] for each in every if each in answers] for name, every in named.items()}
    return {name: every[-1] for name, every in known.items() if every}


def _says_something(item: FeedbackEvent) -> bool:
    """Whether it is more than a key for a prediction."""
    return any(getattr(item, kind) is not None for kind in KINDS)


def _trace_id(prediction: PredictionEvent | None) -> str | None:
    """The trace that feedback belongs to: that of the prediction, else that of the call which brings it."""
    return (prediction and prediction.trace_id) or current()


def _doubt(
    item: FeedbackEvent, prediction: PredictionEvent | None, truth_of: TruthOf | None, hint: str
) -> Doubt | None:
    if prediction is None:
        named = "key" if item.id.startswith(KEY_PREFIX) else "id"
        return Doubt(id=item.id, kind="unmatched", reason=UNMATCHED.format(named) + hint)
    if truth_of is None:
        return None
    truth = truth_of(prediction.model_version)
    for kind, value in (("label", item.label), ("correction", item.correction)):
        if value is not None and truth.read(value) is None:
            return Doubt(id=item.id, kind="unusable", reason=f"{kind} {truth.problem(value)}")
    return None


def _name(item: Mapping[Any, Any], number: int) -> str | None:
    """The id of an item, None where it has a key alone."""
    for field, what in (("id", "the id of a prediction"), ("key", "the key that a prediction was given")):
        value = item.get(field)
        if value is not None and not (isinstance(value, str) and 0 < len(value) <= MAX_ID):
            raise _wrong(number, f"{field} to be {what} (1 to {MAX_ID} characters)", value)
        if field == "id" and value is not None and value.startswith(KEY_PREFIX):
            raise _wrong(number, "a key as `key`, not as an id", value)
    if item.get("id") is None and item.get("key") is None:
        raise _wrong(number, f"id to be the id of a prediction (1 to {MAX_ID} characters), or its key", None)
    return item.get("id")


def _checked(item: object, number: int, endpoint: str) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise _wrong(number, "an object with an id", item)
    unknown = sorted(str(key) for key in item if key not in KNOWN)
    if unknown:
        raise _wrong(number, f"only the keys {', '.join(sorted(KNOWN))}", unknown)
    name, key = _name(item, number), item.get("key")
    given = {kind: item[kind] for kind in KINDS if item.get(kind) is not None}
    if not given and (name is None or key is None):
        raise _wrong(number, ", ".join(KINDS[:-1]) + f" or {KINDS[-1]}", sorted(map(str, item)))
    for kind, value in given.items():
        _check_value(kind, value, number)
    if isinstance(given.get("rating"), bool):
        given["rating"] = 1 if given["rating"] else -1
    event: dict[str, Any] = {"id": key_id(endpoint, str(key)) if name is None else name, **given}
    if name is not None and key is not None:
        event["key"] = KeyEvent(id=key_id(endpoint, key), prediction_id=name)
    source, time_ms = item.get("source"), item.get("time_ms")
    if source is not None:
        if not isinstance(source, str) or len(source) > MAX_ID:
            raise _wrong(number, f"source to be a text of at most {MAX_ID} characters", source)
        event["source"] = source
    if time_ms is not None:
        if isinstance(time_ms, bool) or not isinstance(time_ms, int) or not 0 <= time_ms <= LAST_MS:
            raise _wrong(number, "time_ms to be whole milliseconds since 1970 (in a file: or ISO 8601)", time_ms)
        if time_ms in SECONDS_MS:
            raise _wrong(number, "time_ms to be milliseconds since 1970 (seconds times 1000)", time_ms)
        # The event's own time_ms stays the log's, so that reading "since" never misses late labels.
        event["known_ms"] = time_ms
    return event


def _check_value(kind: str, value: object, number: int) -> None:
    text = isinstance(value, str) and len(value) <= MAX_TEXT
    # A boolean is an int too; what is not finite, or too big for a float to hold, cannot be compared.
    figure = _is_finite(value)
    rating = isinstance(value, int | float) and -1 <= value <= 1
    fits = {"label": text or figure, "rating": rating, "correction": text, "comment": text}.get(
        kind, _is_implicit(value)
    )
    if not fits:
        expected = {
            "label": f"label to be a text (at most {MAX_TEXT} characters), a finite number or a boolean",
            "rating": "rating to be a number from -1 (bad) to 1 (good), or a boolean; of 5 stars, (stars - 3) / 2",
            "correction": f"correction to be a text (at most {MAX_TEXT} characters)",
            "comment": f"comment to be a text (at most {MAX_TEXT} characters)",
            "implicit": f"implicit to be an object of at most {MAX_IMPLICIT} names with numbers, booleans or texts",
        }[kind]
        raise _wrong(number, expected, value)


def _is_implicit(value: object) -> bool:
    if not narrow.is_mapping(value) or not 0 < len(value) <= MAX_IMPLICIT:
        return False
    return all(
        len(str(name)) <= MAX_ID and (len(each) <= MAX_ID if isinstance(each, str) else _is_finite(each))
        for name, each in value.items()
    )


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and -MAX_NUMBER < value < MAX_NUMBER


def _wrong(number: int, expected: str, received: object) -> DataError:
    shown = reprlib.repr(received)
    return DataError(f"feedback item {number}: expected {expected}, received {shown}; nothing was recorded")
