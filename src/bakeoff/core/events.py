"""Events: what the log holds of predictions, their keys and the feedback on them, each kind declared once.

A log stores an event as JSON under the name of its kind (`KINDS`): one encoder and one decoder, here. What a version of
before wrote decodes to the same classes. A kind of its own is a class here and a line in `KINDS`.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, NewType, TypeAlias, TypeVar

import msgspec

from bakeoff.core.errors import UsageError
from bakeoff.core.releases import Role

if TYPE_CHECKING:
    from bakeoff.core.types import Json
else:
    Json = Any  # the decoder knows no type that is made of itself

__all__ = [
    "KEY_PREFIX",
    "KINDS",
    "LARGEST_MS",
    "LIVE",
    "NOW",
    "SHADOW",
    "UNREADABLE",
    "Cursor",
    "Event",
    "FailureEvent",
    "FeedbackEvent",
    "KeyEvent",
    "Named",
    "PredictionEvent",
    "RawPrediction",
    "Readable",
    "Reading",
    "as_raw",
    "decode",
    "decoder",
    "encode",
    "key_id",
    "kind_of",
    "tag_of",
    "whole",
]

_logger = logging.getLogger(__name__)

NOW = -(2**63)
"""The `time_ms` of an event that was not appended yet: the log's clock then says when it was."""

LARGEST_MS = 2**63 - 1

LIVE: Role = "live"
SHADOW: Role = "shadow"
"""Roles of releases that events name; what has none is of the live one."""


class PredictionEvent(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="status", tag="ok"
):
    """One row that was answered.

    Attributes:
        id: of the prediction; feedback names it.
        endpoint, release_id, model_version: who answered.
        row: the inputs, as they were sent (what the project redacts, redacted). While it is appended, it may be JSON
            (`msgspec.Raw`), which `encode` writes as it is.
        label: what was predicted, for classification.
        value: what was predicted else: a number, or a text.
        probabilities: by class.
        latency_ms: the row's share of its call's computing time, in milliseconds.
        rows_in_call: how many rows the call had.
        violations: column and rule of the released contract that the row violates.
        absent, imputed, unseen, unknown: names of inputs that the row lacked, and how; of keys that nobody knows.
        role: of the release that answered: "live", "canary" or "shadow". What a shadow says nobody gets.
        shadow_of: the id of the live answer to the same row, of a shadow's.
        trace_id: the caller's trace, in hexadecimal, if the call named one.
        tokens_in, tokens_out: tokens read and written, of a language model.
        cost_usd: what a service was paid for the answer, in dollars.
        caller: who called, where callers are asked who they are.
        time_ms: when it was logged, in milliseconds since 1970.
    """

    id: str
    endpoint: str
    release_id: str
    model_version: str
    row: Mapping[str, Json]
    label: str | None = None
    value: float | str | None = None
    probabilities: Mapping[str, float] | None = None
    latency_ms: float = 0.0
    rows_in_call: int = 1
    violations: tuple[tuple[str, str], ...] = ()
    absent: tuple[str, ...] = ()
    imputed: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    role: Role = LIVE
    shadow_of: str | None = None
    trace_id: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    caller: str | None = None
    time_ms: int = NOW

    @property
    def served(self) -> bool:
        """Whether somebody got this answer: a shadow's nobody gets."""
        return self.role != SHADOW

    @property
    def answer(self) -> float | str | None:
        """What was predicted: the label, or the value."""
        return self.value if self.label is None else self.label


class RawPrediction(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="status", tag="ok"
):
    """A `PredictionEvent` as it is logged: `row` and `probabilities` are still JSON.

    For who reads many of them and makes columns of them: a log reads it as it does the event itself, and nobody appends
    it. What it lacks of the event it does not know.
    """

    id: str
    endpoint: str
    release_id: str
    model_version: str
    row: msgspec.Raw
    label: str | None = None
    value: float | str | None = None
    probabilities: msgspec.Raw = msgspec.Raw(b"null")
    latency_ms: float = 0.0
    rows_in_call: int = 1
    violations: tuple[tuple[str, str], ...] = ()
    absent: tuple[str, ...] = ()
    imputed: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    role: Role = LIVE
    tokens_in: int | None = None
    tokens_out: int | None = None
    time_ms: int = NOW


class FailureEvent(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="status", tag="error"
):
    """One call that was not answered, or the rows of one that were not.

    Attributes:
        endpoint, release_id, model_version: who should have answered.
        error: the name of the error's class.
        message: what it says, its first 500 characters.
        latency_ms: computing time per row until then, in milliseconds.
        rows_in_call: how many rows got no answer.
        violating_rows: how many of them violate the released contract.
        role: of the release that failed: "live", "canary" (the live one was asked instead) or "shadow".
        time_ms: when it was logged, in milliseconds since 1970.
    """

    endpoint: str
    release_id: str
    model_version: str
    error: str
    message: str = ""
    latency_ms: float = 0.0
    rows_in_call: int = 1
    violating_rows: int = 0
    role: Role = LIVE
    time_ms: int = NOW

    @property
    def served(self) -> bool:
        """Whether somebody waited for an answer of this release: of a shadow nobody does."""
        return self.role != SHADOW


class FeedbackEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What somebody says about a prediction; what counts of all that is said, `bakeoff.feedback.resolve` tells.

    Attributes:
        id: of the prediction; or what `key_id` makes of the caller's own key.
        label: the truth, as it came.
        rating: from -1 (bad) to 1 (good).
        correction: the text that should have been said.
        comment: any text.
        implicit: what was seen of the user instead of said by them, by name: `{"copied": true, "dwell_s": 12}`.
        source: who says so.
        known_ms: since when it is known, in milliseconds since 1970; None when it is not known.
        trace_id: the trace of the prediction, or where that has none, of the call that brought the feedback.
        time_ms: when it was logged, in milliseconds since 1970.
    """

    id: str
    label: Json = None
    rating: float | None = None
    correction: str | None = None
    comment: str | None = None
    implicit: Mapping[str, Json] | None = None
    source: str | None = None
    known_ms: int | None = None
    trace_id: str | None = None
    time_ms: int = NOW

    @property
    def truth(self) -> Json:
        """What is said to be true: the label, without one the correction."""
        return self.correction if self.label is None else self.label


class KeyEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """That a prediction has a key of the caller's own; feedback may name it before or after.

    A key may have several predictions (a call that was sent twice, a canary beside the live release): what is said of
    the key is said of each of them.

    Attributes:
        id: what `key_id` makes of the endpoint and the key.
        prediction_id: of the prediction.
        time_ms: when it was logged, in milliseconds since 1970.
    """

    id: str
    prediction_id: str
    time_ms: int = NOW


KEY_PREFIX = "key:"


def key_id(endpoint: str, key: str) -> str:
    """Under which id things are logged that are known by the caller's own key.

    >>> key_id("films", "order 17")
    'key:films:order 17'
    """
    return f"{KEY_PREFIX}{endpoint}:{key}"


Event: TypeAlias = PredictionEvent | FailureEvent | FeedbackEvent | KeyEvent

Readable: TypeAlias = Event | RawPrediction
"""What a log reads."""

E = TypeVar("E", bound=Readable)

Named = TypeVar("Named", bound=PredictionEvent | FeedbackEvent | KeyEvent)
"""Events that are found by an id."""

Cursor = NewType("Cursor", str)
"""A place in a log: what was read up to there, whatever is moved or added meanwhile. Opaque, and of the log that gave
it; to be stored as any text."""

KINDS: Mapping[type[Event], str] = {
    PredictionEvent: "prediction",
    FailureEvent: "prediction",
    FeedbackEvent: "feedback",
    KeyEvent: "key",
}
"""Under which name a log stores events of a class."""


class Reading(Generic[E]):
    """Events as they are read; `cursor` says how far, at any moment: reading after it gives the others.

    >>> reading = Reading(iter(()), lambda: Cursor("7"))
    >>> [event for event in reading], reading.cursor
    ([], '7')
    """

    def __init__(self, events: Iterator[E], cursor: Callable[[], Cursor]) -> None:
        self._events, self._cursor = events, cursor

    def __iter__(self) -> Iterator[E]:
        return self._events

    @property
    def cursor(self) -> Cursor:
        """The place after the last event that was given; of a reading that ended, the end of the log."""
        return self._cursor()


def encode(event: Event, now_ms: int) -> tuple[int, bytes]:
    """The event's time and its JSON. Floats that JSON lacks (NaN, the infinities) become null.

    Raises:
        UsageError: JSON cannot hold it, or its time is no time.
    """
    if event.time_ms == NOW:
        event = msgspec.structs.replace(event, time_ms=now_ms)
    if type(event.time_ms) is not int or not -LARGEST_MS < event.time_ms < LARGEST_MS:
        raise UsageError(f"expected an event with an integer time_ms, received {event!r}")
    try:
        return event.time_ms, msgspec.json.encode(event)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"expected values that JSON can hold, received {event!r} ({error})") from error


_DECODERS: Mapping[tuple[str, bool], Callable[[bytes], Readable]] = {
    ("prediction", False): msgspec.json.Decoder(PredictionEvent | FailureEvent).decode,
    ("prediction", True): msgspec.json.Decoder(RawPrediction | FailureEvent).decode,
    ("feedback", False): msgspec.json.Decoder(FeedbackEvent).decode,
    ("key", False): msgspec.json.Decoder(KeyEvent).decode,
}


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)
"""What a decoder raises where its JSON is no event."""

_NAMES: Mapping[type[Readable], str] = {**KINDS, RawPrediction: KINDS[PredictionEvent]}


def kind_of(kind: type[Readable]) -> str:
    """Under which name a log stores events of a class that it reads."""
    return _NAMES[kind]


def decoder(kind: str, classes: Collection[type[Readable]]) -> Callable[[bytes], Readable]:
    """What makes events of a stored kind of their JSON, for who wants these classes; it raises on what is none."""
    return _DECODERS[kind, kind == KINDS[PredictionEvent] and RawPrediction in classes]


def decode(kind: str, payload: bytes, classes: Collection[type[Readable]] = ()) -> Readable | None:
    """The event of a stored kind, or None: no version ever wrote such a thing, and it is in nobody's way."""
    if (kind, False) not in _DECODERS:
        return None
    try:
        return decoder(kind, classes)(payload)
    except UNREADABLE as error:
        _logger.warning("passed over what is no %s event (%s): %r", kind, error, payload[:200])
        return None


def whole(raw: RawPrediction) -> PredictionEvent | None:
    """The event, as far as the raw one knows it; None where its row is none."""
    event = decode(KINDS[PredictionEvent], msgspec.json.encode(raw), (PredictionEvent,))
    return event if isinstance(event, PredictionEvent) else None


def as_raw(event: PredictionEvent) -> RawPrediction:
    """The event as a log reads it raw."""
    return msgspec.json.decode(msgspec.json.encode(event), type=RawPrediction)


def tag_of(kind: type[Readable]) -> tuple[str, str] | None:
    """Key and value in the JSON by which a class is told from others of its kind."""
    config = kind.__struct_config__
    return None if config.tag_field is None else (config.tag_field, str(config.tag))
