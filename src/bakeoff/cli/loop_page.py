"""Where the loop stands, and what is proposed for archiving, as people read it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bakeoff.cli.tables import table
from bakeoff.core.moments import moment

if TYPE_CHECKING:
    from bakeoff.loop.cycle import Cycle
    from bakeoff.loop.person import LoopStatus
    from bakeoff.loop.retire import Retirement

__all__ = ["retirements_page", "status_page"]


def status_page(standing: "LoopStatus") -> str:
    """The open cycle, what holds a run back, what was spent, the last cycles."""
    cycle, used = standing.cycle, standing.spent
    lines = ["no cycle is open" if cycle is None else cycle.headline]
    lines += [] if cycle is None else [f"  {cycle.last.sentence}"]
    free = "no cool-down, freeze or budget holds a run back"
    lines.append(f"a run would wait: {standing.holding.reason}" if standing.holding else free)
    lines.append(f"spent within {standing.period}: {used.runs} runs, {used.seconds:.0f} s, {used.usd:.4f} $")
    lines += [] if standing.due_ms is None else [f"the schedule is due at {moment(standing.due_ms)}"]
    if standing.recent:
        heads = ["cycle", "began", "triggers", "state", "run s", "why"]
        lines += ["", table(heads, [_row(each) for each in standing.recent], right=["cycle", "run s"])]
    return "\n".join(lines)


def _row(cycle: "Cycle") -> list[str]:
    kinds = ", ".join(dict.fromkeys(each.kind for each in cycle.triggers))
    took = f"{cycle.number_of('seconds'):.1f}" if cycle.fact("seconds") is not None else ""
    return [str(cycle.number), moment(cycle.opened_ms), kinds, cycle.state.replace("_", " "), took, cycle.last.why]


def retirements_page(proposed: "Sequence[Retirement]", *, archived: bool) -> str:
    """Versions that are proposed for archiving, or were archived."""
    if not proposed:
        return "nothing to archive: every version is used, or was lately"
    rows = [[each.model_version, each.reason, moment(each.unused_since_ms)] for each in proposed]
    lead = "archived:" if archived else "proposed for archiving ('bakeoff models retire --apply' does it):"
    return f"{lead}\n\n{table(['model', 'why', 'unused since'], rows)}"
