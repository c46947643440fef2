"""Cycles: one trip through the loop each, from its triggers to its end, with every decision and its evidence.

A cycle is a document that moves by compare-and-swap, in one commit with its record in the audit log. Its state names
the step that comes next, so that a killed loop goes on there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import msgspec

from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.protocols import Clock, DocumentRecords
from bakeoff.core.records import Document, DocumentChange
from bakeoff.core.types import Json
from bakeoff.security.audit import AuditLog

__all__ = ["ENDS", "LOOP", "Cycle", "CycleDecision", "CycleReason", "CycleState", "Cycles"]

CYCLES = "cycles"
LOOP = "bakeoff loop"
"""Who decided, where no person did."""
TRIES = 100

CycleState: TypeAlias = Literal[
    "waiting",
    "collecting",
    "running",
    "approval",
    "approved",
    "rollout",
    "promoted",
    "kept",
    "rolled_back",
    "rejected",
    "withdrawn",
    "failed",
]
ENDS = frozenset({"promoted", "kept", "rolled_back", "rejected", "withdrawn", "failed"})
"""States that a cycle does not leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleReason:
    """What began a cycle: the kind of trigger ("first": nothing was released yet), and in words."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleDecision:
    """One decision: the state that it led to, who took it and why, and what that rests on."""

    time_ms: int
    state: CycleState
    who: str
    why: str
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """JSON."""

    @property
    def sentence(self) -> str:
        """Time, state, who and why."""
        moment = f"{datetime.fromtimestamp(self.time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
        return f"{moment}  {self.state.replace('_', ' ')}: {self.why} ({self.who})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One trip through the loop; `revision` counts its writes."""

    number: int
    triggers: tuple[CycleReason, ...]
    decisions: tuple[CycleDecision, ...]
    revision: int = 0

    @property
    def last(self) -> CycleDecision:
        """The newest decision."""
        return self.decisions[-1]

    @property
    def state(self) -> CycleState:
        """Where it is."""
        return self.last.state

    @property
    def is_open(self) -> bool:
        """Whether something is yet to come."""
        return self.state not in ENDS

    @property
    def opened_ms(self) -> int:
        """When it began."""
        return self.decisions[0].time_ms

    @property
    def run_ended_ms(self) -> int | None:
        """When its run ended, whatever it waited for after that; None while no run has."""
        ended_ms = None
        for decision in reversed(self.decisions):
            if decision.state == "running":
                return ended_ms
            ended_ms = decision.time_ms
        return None

    def entered_ms(self, state: CycleState) -> int | None:
        """When it came into a state, the last time."""
        return next((each.time_ms for each in reversed(self.decisions) if each.state == state), None)

    def fact(self, name: str) -> Json:
        """The newest evidence of this name; None where there is none."""
        return next((each.evidence[name] for each in reversed(self.decisions) if name in each.evidence), None)

    def number_of(self, name: str) -> float:
        """The newest evidence of this name as a number; 0 where there is none."""
        value = self.fact(name)
        return float(value) if isinstance(value, int | float) else 0.0

    @property
    def headline(self) -> str:
        """Its number, state and triggers."""
        kinds = ", ".join(dict.fromkeys(each.kind for each in self.triggers))
        return f"cycle {self.number} ({kinds}): {self.state.replace('_', ' ')}"

    @property
    def story(self) -> str:
        """What happened and why, a decision a line with the evidence under it."""
        lines = [self.headline, *(f"  trigger {each.kind}: {each.reason}" for each in self.triggers), ""]
        for decision in self.decisions:
            lines.append(decision.sentence)
            lines += [f"    {name}: {_shown(value)}" for name, value in decision.evidence.items() if value is not None]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff loop explain --json` has it."""
        return {**msgspec.to_builtins(self), "state": self.state, "open": self.is_open}


def _shown(value: Json) -> str:
    """Evidence in words."""
    match value:
        case float():
            return f"{value:.5g}"
        case Mapping():
            return "; ".join(f"{name} {_shown(each)}" for name, each in value.items()) or "none"
        case str():
            return value
        case Sequence():
            return "; ".join(map(_shown, value)) or "none"
        case _:
            return str(value)


class Cycles:
    """The cycles of a project.

    Args:
        documents: the records.
        clock: milliseconds since the epoch.
        project: whose they are.
    """

    def __init__(self, documents: DocumentRecords, clock: Clock, project: str) -> None:
        self._documents, self._clock, self._project = documents, clock, project

    def all(self) -> list[Cycle]:
        """Every cycle, oldest first."""
        return [_cycle(document) for document in self._documents.find(CYCLES, f"{self._project}/")]

    def get(self, number: int | None = None) -> Cycle:
        """A cycle by its number; the last one by default.

        Raises:
            NotFoundError: there is none.
        """
        cycles = self.all()
        for cycle in reversed(cycles):
            if number in (None, cycle.number):
                return cycle
        known = f"one of 1 to {cycles[-1].number}" if cycles else "any: the loop has not begun one yet"
        raise NotFoundError(f"expected a cycle of the loop, {known}, received {'none' if number is None else number}")

    def open(self) -> Cycle | None:
        """The cycle that has not ended, if there is one."""
        last = next(reversed(self.all()), None)
        return last if last is not None and last.is_open else None

    def begin(
        self, triggers: Sequence[CycleReason], evidence: Mapping[str, Json], *, state: CycleState = "waiting"
    ) -> Cycle:
        """Open a cycle.

        Raises:
            ConflictError: another loop did so meanwhile.
        """
        last = next(reversed(self.all()), None)
        assert last is None or not last.is_open, "one cycle is open at a time"
        why = "; ".join(f"{each.kind}: {each.reason}" for each in triggers)
        decision = CycleDecision(time_ms=self._clock(), state=state, who=LOOP, why=why, evidence=evidence)
        number = 1 if last is None else last.number + 1
        return self._written(Cycle(number=number, triggers=tuple(triggers), decisions=(decision,)), before=None)

    def move(
        self,
        cycle: Cycle,
        state: CycleState,
        why: str,
        evidence: Mapping[str, Json] | None = None,
        *,
        who: str = LOOP,
    ) -> Cycle:
        """The cycle with one more decision, written down.

        Raises:
            ConflictError: somebody else moved it since it was read.
        """
        decision = CycleDecision(time_ms=self._clock(), state=state, who=who, why=why, evidence=evidence or {})
        return self._written(replace(cycle, decisions=(*cycle.decisions, decision)), before=cycle.state)

    def _written(self, cycle: Cycle, *, before: CycleState | None) -> Cycle:
        audit, key = AuditLog(self._documents, self._clock), f"{self._project}/{cycle.number:06d}"
        body: dict[str, Json] = msgspec.to_builtins(cycle)
        del body["revision"]
        change = DocumentChange(collection=CYCLES, key=key, body=body, expected=cycle.revision)
        last, subject = cycle.last, f"cycle {key}"
        for _ in range(TRIES):
            after: dict[str, Json] = {"state": last.state, "why": last.why}
            record = audit.changes(f"loop {last.state}", subject, who=last.who, before=before, after=after)
            try:
                self._documents.apply([change, *record])
            except ConflictError:
                now = self._documents.get(CYCLES, key)
                if (now.revision if now else 0) != cycle.revision:
                    break
            else:
                return replace(cycle, revision=cycle.revision + 1)
        raise ConflictError(
            f"expected cycle {cycle.number} as it was read ({before or 'not begun'}), but somebody else moved it; "
            "'bakeoff loop status' tells where it is now"
        )


def _cycle(document: Document) -> Cycle:
    return msgspec.convert({**document.body, "revision": document.revision}, Cycle)
