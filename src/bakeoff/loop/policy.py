"""The policy: what `[loop]` allows now. Settings, past cycles and the time in, a `Hold` or nothing out.

The loop and its replay over past data ask the same functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.config.duration import pause_seconds, seconds
from bakeoff.config.schedule import FreezeWindow
from bakeoff.core.moments import moment

if TYPE_CHECKING:
    from bakeoff.config.sections import LoopBudget, LoopConfig
    from bakeoff.loop.cycle import Cycle

__all__ = ["Hold", "HoldKind", "PastRun", "Spent", "frozen_until", "holding", "past_runs", "spent"]

HoldKind: TypeAlias = Literal["freeze", "failures", "cool_down", "budget", "labels"]

FIRST_RETRY_MS = 600_000
LAST_RETRY_MS = 86_400_000
"""After a run that failed, the next one waits ten minutes, then twice as long each time, a day at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why a cycle that has its reasons must wait, and until when, if that is known."""

    kind: HoldKind
    reason: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """What the policy knows of a run that the loop began before: when it ended, and what it cost."""

    ended_ms: int
    failed: bool = False
    seconds: float = 0.0
    usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the loop's runs cost within the budget's period."""

    runs: int
    seconds: float
    usd: float


def past_runs(cycles: "Sequence[Cycle]") -> list[PastRun]:
    """The runs of these cycles; the one that is going on is none."""
    return [
        PastRun(
            ended_ms=cycle.last.time_ms if cycle.state == "failed" else ended_ms,
            failed=cycle.state == "failed",
            seconds=cycle.number_of("seconds"),
            usd=cycle.number_of("usd"),
        )
        for cycle in cycles
        if (ended_ms := cycle.run_ended_ms) is not None
    ]


def holding(
    config: "LoopConfig", runs: Sequence[PastRun], *, now_ms: int, new_labels: int, data_changed: bool
) -> Hold | None:
    """Why no run may begin now; None when one may. `new_labels` are those that no run has had."""
    if (until_ms := frozen_until(config, now_ms)) is not None:
        return Hold(kind="freeze", reason=f"frozen until {moment(until_ms)}", until_ms=until_ms)
    return (
        _after_failures(runs, now_ms)
        or _cooling(config, runs, now_ms)
        or _over(config.budget, runs, now_ms)
        or _few_labels(config, new_labels, data_changed=data_changed)
    )


def frozen_until(config: "LoopConfig", now_ms: int) -> int | None:
    """When the freeze ends that it is now; None outside of one."""
    ends = [FreezeWindow.parsed(text).until(now_ms) for text in config.freeze]
    return max((each for each in ends if each is not None), default=None)


def spent(budget: "LoopBudget", runs: Sequence[PastRun], now_ms: int) -> Spent:
    """What was spent within the period that ends now."""
    since_ms = now_ms - seconds(budget.per) * 1000
    recent = [each for each in runs if each.ended_ms > since_ms]
    return Spent(runs=len(recent), seconds=sum(each.seconds for each in recent), usd=sum(each.usd for each in recent))


def _after_failures(runs: Sequence[PastRun], now_ms: int) -> Hold | None:
    failures = 0
    for run in reversed(runs):
        if not run.failed:
            break
        failures += 1
    if not failures:
        return None
    until_ms = runs[-1].ended_ms + min(FIRST_RETRY_MS * 2 ** min(failures - 1, 20), LAST_RETRY_MS)
    if now_ms >= until_ms:
        return None
    reason = f"the last run failed ({failures} in a row): the next try is at {moment(until_ms)}"
    return Hold(kind="failures", reason=reason, until_ms=until_ms)


def _cooling(config: "LoopConfig", runs: Sequence[PastRun], now_ms: int) -> Hold | None:
    if not runs:
        return None
    until_ms = runs[-1].ended_ms + round(pause_seconds(config.cool_down) * 1000)
    # A run that ended in the future was written before the clock was set back.
    if now_ms >= until_ms or runs[-1].ended_ms > now_ms:
        return None
    return Hold(
        kind="cool_down", reason=f"cool_down = {config.cool_down!r}: until {moment(until_ms)}", until_ms=until_ms
    )


def _over(budget: "LoopBudget", runs: Sequence[PastRun], now_ms: int) -> Hold | None:
    used = spent(budget, runs, now_ms)
    # The next run is expected to cost what the last one did: a limit that is only looked at behind it is none.
    next_s, next_usd = (runs[-1].seconds, runs[-1].usd) if runs else (0.0, 0.0)
    for name, value, more, limit in (
        ("runs", used.runs, 1, budget.runs),
        ("seconds", used.seconds, next_s, budget.seconds),
        ("usd", used.usd, next_usd, budget.usd),
    ):
        if limit is not None and value + more > limit:
            reason = f"budget of {limit:g} {name} within {budget.per}: {value:.4g} are spent, a run takes {more:.4g}"
            return Hold(kind="budget", reason=reason)
    return None


def _few_labels(config: "LoopConfig", new_labels: int, *, data_changed: bool) -> Hold | None:
    if data_changed or new_labels >= config.min_new_labels:
        return None
    return Hold(kind="labels", reason=f"{new_labels:,} new labels, at least {config.min_new_labels:,} are needed")
