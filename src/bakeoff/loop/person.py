"""What a person says to the loop: approve or reject a winner that waits, and where the loop stands."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core.errors import ConflictError
from bakeoff.core.moments import moment
from bakeoff.core.types import Json
from bakeoff.loop.advance import LoopLook, advance, cycles_of
from bakeoff.loop.cycle import Cycle, Cycles
from bakeoff.loop.policy import Hold, Spent, frozen_until, holding, past_runs, spent
from bakeoff.loop.stored_outcome import LAST, PASSES
from bakeoff.monitor.triggers import schedule_due_ms

if TYPE_CHECKING:
    from bakeoff.config.sections import LoopConfig
    from bakeoff.core.protocols import Clock, RecordStore
    from bakeoff.loop.context import Stage

__all__ = ["LoopStatus", "approve", "loop_status", "reject"]

SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStatus:
    """Where the loop stands: the open cycle, what holds a run back now, what was spent, when the schedule is due.

    `holding` is what would hold a run back if there were reason for one, but for labels; `recent` are the last cycles,
    newest first.
    """

    cycle: Cycle | None
    holding: Hold | None
    spent: Spent
    period: str
    due_ms: int | None
    recent: tuple[Cycle, ...]

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff loop status --json` has it."""
        body: dict[str, Json] = msgspec.to_builtins(self)
        cycle = None if self.cycle is None else self.cycle.to_json()
        return {**body, "cycle": cycle, "recent": [each.to_json() for each in self.recent]}


def loop_status(records: "RecordStore", clock: "Clock", project: str, config: "LoopConfig") -> LoopStatus:
    """Where the loop of a project stands."""
    cycles, now_ms = Cycles(records.documents, clock, project).all(), clock()
    runs, last = past_runs(cycles), records.documents.get(PASSES, LAST)
    due_ms = None if last is None else schedule_due_ms(config, last_run_ms=last.updated_ms, now_ms=now_ms)
    return LoopStatus(
        cycle=cycles[-1] if cycles and cycles[-1].is_open else None,
        holding=holding(config, runs, now_ms=now_ms, new_labels=config.min_new_labels, data_changed=False),
        spent=spent(config.budget, runs, now_ms),
        period=config.budget.per,
        due_ms=due_ms,
        recent=tuple(cycles[: -SHOWN - 1 : -1]),
    )


def approve(stage: "Stage", *, who: str, why: str = "") -> Cycle:
    """Release the winner that waits, as `[endpoint] rollout` says; the cycle as it is then.

    Raises:
        ConflictError: none waits, or the loop is frozen, or the champion is not the one that it was compared with.
    """
    cycle = _waiting(stage)
    if (until_ms := frozen_until(stage.config.loop, stage.clock())) is not None:
        raise ConflictError(
            f"expected no freeze, but [loop] freeze holds until {moment(until_ms)}: approve then, or take the window "
            "out of the project file"
        )
    approved = cycles_of(stage).move(cycle, "approved", why or "approved", who=who)
    return advance(stage, approved, LoopLook()).cycle


def reject(stage: "Stage", *, who: str, why: str = "") -> Cycle:
    """Let the champion stay; the winner that waited stays registered.

    Raises:
        ConflictError: none waits.
    """
    return cycles_of(stage).move(_waiting(stage), "rejected", why or "rejected", who=who)


def _waiting(stage: "Stage") -> Cycle:
    cycle = cycles_of(stage).open()
    if cycle is None or cycle.state != "approval":
        state = "no cycle is open" if cycle is None else f"cycle {cycle.number} is {cycle.state.replace('_', ' ')}"
        raise ConflictError(
            f"expected a winner that waits for a person, but {state}; 'bakeoff loop status' tells where the loop is"
        )
    return cycle
