"""What the log says of a release beside the live one: calls that failed, were slow, were wrong; each read once.

A call is an observation, however many rows it had. Both releases are counted while both take part, so that what happens
to all (an outage, a Monday) happens to both. Sums of what came later are added to the sums before; they are a document.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal

import msgspec
import numpy as np

from bakeoff.core.errors import NotFoundError
from bakeoff.core.events import LIVE, Cursor, FailureEvent, FeedbackEvent, KeyEvent, PredictionEvent
from bakeoff.core.protocols import DocumentRecords, EventLog
from bakeoff.core.releases import Endpoint, Role, Route
from bakeoff.feedback.keys import by_prediction, predictions_of
from bakeoff.feedback.truth import TruthOf

__all__ = ["ROLLOUTS", "BesideLive", "CallCounts", "RolloutEvidence", "read_on", "stored"]

ROLLOUTS = "rollouts"
FORMAT = 1
WARM_UP = 50
"""Calls of the live release that say what is slow, or how far off an answer may be; they are no evidence themselves."""
SLOW_FACTOR, SLOW_MS = 1.5, 1.0
"""A call is slow over the live release's 95th percentile of before, so many times and with so much more."""
PART = 5_000
MOST_LABELS = 5_000
CALLERS = frozenset({"DataError", "ContractError", "ContextLengthError", "UsageError", "OptionError"})
"""Errors of calls that no release could answer, when the live one says so."""
STORES = frozenset({"StoreError", "CorruptError"})
"""Errors that no release is to blame for."""

logger = logging.getLogger(__name__)

Side = Literal["live", "beside"]
Logged = PredictionEvent | FailureEvent | FeedbackEvent | KeyEvent


class CallCounts(msgspec.Struct):
    """How many there were (of calls, which may come in parts), and how many of them were bad."""

    calls: float = 0.0
    bad: float = 0.0

    def add(self, calls: float, *, bad: bool) -> None:
        """Count more of them."""
        self.calls += calls
        self.bad += calls * bad


class BesideLive(msgspec.Struct):
    """The same of the release and of the live one."""

    beside: CallCounts = msgspec.field(default_factory=CallCounts)
    live: CallCounts = msgspec.field(default_factory=CallCounts)

    def of(self, side: Side) -> CallCounts:
        """Of one of them."""
        return self.beside if side == "beside" else self.live


class _Threshold(msgspec.Struct):
    """Values over a limit are bad. The live release's first values set it; those of the other one wait for it."""

    limit: float | None = None
    first: list[float] = []
    waiting: list[tuple[float, float]] = []
    dropped: int = 0

    def add(
        self, to: BesideLive, side: Side, value: float, calls: float, *, limit_of: Callable[[list[float]], float]
    ) -> None:
        """Count a value, or let it set the limit."""
        if self.limit is not None:
            to.of(side).add(calls, bad=value > self.limit)
        elif side == "beside":
            if len(self.waiting) < PART:
                self.waiting = [*self.waiting, (value, calls)]
            else:
                self.dropped += 1
        else:
            self.first = [*self.first, value]
            if len(self.first) >= WARM_UP:
                self.limit = limit_of(self.first)
                for earlier, of_it in self.waiting:
                    to.beside.add(of_it, bad=earlier > self.limit)
                self.first, self.waiting = [], []


class RolloutEvidence(msgspec.Struct, kw_only=True):
    """What was seen of a release while it was a canary or a shadow, and of the live one meanwhile.

    Attributes:
        format: of this document; other ones are counted anew.
        endpoint, release_id, live_id, role, since_ms: of what; of another release or role it is counted anew.
        cursor: up to where the log was read.
        errors: calls that failed.
        slow: calls over a limit that the live release's first calls set.
        wrong: labelled answers that were wrong; of numbers, farther off than most of the live release's first ones.
        differing: a shadow's answers, and those that differ from the live ones.
        labelled: ids whose label was counted.
    """

    format: int = FORMAT
    endpoint: str
    release_id: str
    live_id: str
    role: Role
    since_ms: int
    cursor: str | None = None
    errors: BesideLive = msgspec.field(default_factory=BesideLive)
    slow: BesideLive = msgspec.field(default_factory=BesideLive)
    wrong: BesideLive = msgspec.field(default_factory=BesideLive)
    differing: CallCounts = msgspec.field(default_factory=CallCounts)
    latency: _Threshold = msgspec.field(default_factory=_Threshold)
    distance: _Threshold = msgspec.field(default_factory=_Threshold)
    labelled: set[str] = set()

    @property
    def key(self) -> str:
        """Of its document."""
        return f"{self.endpoint}/{self.role}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the log was not counted."""
        notes: list[str] = []
        if len(self.labelled) >= MOST_LABELS:
            notes.append(f"{MOST_LABELS:,} labels are counted, and no later ones")
        for what, dropped in (("latencies", self.latency.dropped), ("labels", self.distance.dropped)):
            if dropped:
                why = f"more than {PART:,} came before {WARM_UP} of the live release"
                notes.append(f"{dropped:,} {what} of it are not counted: {why}")
        return tuple(notes)

    def side(self, event: PredictionEvent | FailureEvent) -> Side | None:
        """Whose event it is, if it is of either."""
        if event.endpoint != self.endpoint:
            return None
        if event.release_id == self.release_id and event.role == self.role:
            return "beside"
        return "live" if event.release_id == self.live_id and event.role == LIVE else None

    def add(self, event: PredictionEvent | FailureEvent, *, accepted_ms: float) -> None:
        """Count an answer or a failure."""
        side = self.side(event)
        if side is None:
            return
        if isinstance(event, FailureEvent):
            if event.error not in STORES and (side == "beside" or event.error not in CALLERS):
                self.errors.of(side).add(1.0, bad=True)
            return
        part = 1.0 / event.rows_in_call
        self.errors.of(side).add(part, bad=event.answer == "")  # a text that says nothing

        def slow_from(first: list[float]) -> float:
            return max(float(np.quantile(first, 0.95)) * SLOW_FACTOR + SLOW_MS, accepted_ms)

        self.latency.add(self.slow, side, event.latency_ms, part, limit_of=slow_from)

    def add_label(self, event: PredictionEvent, feedback: Sequence[FeedbackEvent], truth_of: TruthOf) -> None:
        """Count whether an answer was right, the first time that this is known."""
        side = self.side(event)
        late = event.time_ms >= self.since_ms  # of before, the live release alone has answers
        if side is None or not late or event.id in self.labelled or len(self.labelled) >= MOST_LABELS:
            return
        resolved = truth_of(event.model_version).resolve(feedback)
        truth = resolved.label
        if isinstance(truth, float) and isinstance(event.answer, int | float):
            far = abs(event.answer - truth)
            self.distance.add(self.wrong, side, far, 1.0, limit_of=lambda first: float(np.quantile(first, 0.75)))
        elif truth is not None:
            self.wrong.of(side).add(1.0, bad=truth != event.answer)
        elif resolved.rating is not None:
            self.wrong.of(side).add(1.0, bad=resolved.rating < 0)
        else:
            return
        self.labelled.add(event.id)


def stored(documents: DocumentRecords, endpoint: Endpoint, route: Route) -> RolloutEvidence:
    """What was counted so far; nothing, where the release, its role or the live release is another one by now.

    What cannot be read is counted anew, too.
    """
    assert endpoint.live is not None, "a route stands beside a live release"
    new = RolloutEvidence(
        endpoint=endpoint.name,
        release_id=route.release_id,
        live_id=endpoint.live,
        role=route.role,
        since_ms=route.since_ms,
    )
    document = documents.get(ROLLOUTS, new.key)
    if document is None or document.body.get("format") != FORMAT:
        return new
    try:
        known = msgspec.convert(document.body, RolloutEvidence)
    except msgspec.ValidationError as error:
        logger.warning("the evidence of endpoint %r is counted anew: %s", endpoint.name, error)
        return new
    same = ("release_id", "live_id", "since_ms")
    return known if all(getattr(known, name) == getattr(new, name) for name in same) else new


def read_on(evidence: RolloutEvidence, events: EventLog, truth_of: TruthOf, *, accepted_ms: float) -> RolloutEvidence:
    """With what the log has more.

    Args:
        evidence: what was counted so far; it is changed.
        events: the log.
        truth_of: reads labels.
        accepted_ms: what is not slow, however fast the live release is.
    """
    kinds = (PredictionEvent, FailureEvent, FeedbackEvent, KeyEvent)
    if evidence.cursor is None:
        reading = events.read(*kinds, since_ms=evidence.since_ms)
    else:
        reading = events.read(*kinds, after=Cursor(evidence.cursor))
    try:
        _add(evidence, iter(reading), events, truth_of, accepted_ms)
    except NotFoundError:  # the log lost some of what was counted, or an older one was restored
        new = RolloutEvidence(
            endpoint=evidence.endpoint,
            release_id=evidence.release_id,
            live_id=evidence.live_id,
            role=evidence.role,
            since_ms=evidence.since_ms,
        )
        if evidence.cursor is None:
            raise
        return read_on(new, events, truth_of, accepted_ms=accepted_ms)
    evidence.cursor = reading.cursor
    return evidence


def _add(
    evidence: RolloutEvidence, reading: Iterator[Logged], events: EventLog, truth_of: TruthOf, accepted_ms: float
) -> None:
    while part := list(islice(reading, PART)):
        history = _history(part, evidence, events)
        shadowed = {event.shadow_of for event in part if isinstance(event, PredictionEvent) and event.shadow_of}
        wanted = shadowed | history.keys()
        answers = {event.id: event for event in events.get(PredictionEvent, wanted)} if wanted else {}
        for event in part:
            if isinstance(event, FeedbackEvent | KeyEvent):
                continue
            evidence.add(event, accepted_ms=accepted_ms)
            if isinstance(event, PredictionEvent) and event.shadow_of and evidence.side(event) == "beside":
                live = answers.get(event.shadow_of)
                if live is not None:
                    evidence.differing.add(1.0, bad=event.answer != live.answer)
        for prediction_id, feedback in history.items():
            if prediction_id in answers:
                evidence.add_label(answers[prediction_id], feedback, truth_of)


def _history(
    part: Sequence[Logged], evidence: RolloutEvidence, events: EventLog
) -> Mapping[str, Sequence[FeedbackEvent]]:
    """All feedback on the predictions that something came for: feedback, a key, or the prediction itself, after it."""
    brought = {event.id: None for event in part if isinstance(event, FeedbackEvent | KeyEvent)}
    late = {event.id for event in part if isinstance(event, PredictionEvent) and evidence.side(event) is not None}
    known = {event.id for event in events.get(FeedbackEvent, late)} if late else set[str]()
    named = predictions_of(events, [*brought, *(known - brought.keys())])
    touched = {each for every in named.values() for each in every}
    names = named.keys() | (touched - named.keys())
    feedback = events.get(FeedbackEvent, names) if names else ()
    return by_prediction(feedback, named | {name: (name,) for name in touched})
