"""Replay of a policy over the past: what the loop would have done, beside never, always and the best in hindsight.

For each cut of the past there is one model, trained on what was known then. A policy is a walk over these models and
the periods that they answered, with the triggers, holds and comparisons of the loop itself. So the models are trained
once, and any number of policies are tried in no time.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec

from bakeoff.core.types import Json
from bakeoff.loop.policy import PastRun, holding
from bakeoff.monitor.triggers import due

if TYPE_CHECKING:
    from bakeoff.config.sections import LoopConfig, MonitorConfig
    from bakeoff.monitor.signals import MonitorReport

__all__ = [
    "PolicyName",
    "PolicyReplay",
    "ReplayContest",
    "ReplayPeriod",
    "ReplayResult",
    "ReplayStep",
    "ReplayValue",
    "ReplayWorld",
    "TunedPolicy",
    "replay_beside",
    "replayed",
    "tuned",
]

PolicyName: TypeAlias = Literal["loop", "beside", "never", "always", "oracle"]
ALERTS = frozenset({"quality", "drift"})
NORMAL_95 = 1.959964
WORTH = 0.9
"""A policy is good enough when it has so much of what the best one gains beside never retraining."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPeriod:
    """A period of the past that is replayed: its name, when it ended, and its rows."""

    name: str
    end_ms: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayValue:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Its standard error, by the width of its interval."""
        return (self.high - self.low) / 2 / NORMAL_95


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayContest:
    """How a challenger stood beside the champion and the anchor: whether it is promoted, and becomes the anchor."""

    promoted: bool
    raises: bool
    reason: str


class ReplayWorld(Protocol):
    """The past. Model 0 knows what was known before the first period, model p + 1 what was known at the end of p."""

    @property
    def periods(self) -> Sequence[ReplayPeriod]:
        """The replayed periods, oldest first."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Of the metric."""
        ...

    def won(self, model: int) -> bool:
        """Whether there is such a model: some candidate passed the gates then."""
        ...

    def quality(self, model: int, period: int) -> ReplayValue:
        """How good a model is in a period."""
        ...

    def beside(self, model: int, other: int, period: int) -> ReplayValue:
        """By how much a model is better than another one in a period; positive is better."""
        ...

    def report(self, model: int, period: int, config: "MonitorConfig") -> "MonitorReport":
        """What monitoring sees at the end of a period in which a model answered."""
        ...

    def contest(self, model: int, champion: int, anchor: int, attempt: int) -> ReplayContest:
        """How a challenger stands, as the attempt of this number beside this anchor."""
        ...

    def cost(self, model: int) -> tuple[float, float]:
        """What it took to make a model: seconds and dollars."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayStep:
    """What happened in a period: which model answered, how well, what fired at its end, and what then was done."""

    period: str
    model: int
    quality: ReplayValue
    triggers: tuple[str, ...] = ()
    hold: str | None = None
    retrained: bool = False
    promoted: bool = False
    false_alarm: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReplay:
    """A policy over the whole past: mean quality of the periods, what it gains beside never retraining, what it costs.

    `alarms` are periods at whose end a signal was over its limit. Of these, `false_alarms` are those after which a
    model made then is not distinguishably better in the next period.
    """

    policy: PolicyName
    quality: ReplayValue
    gain: ReplayValue
    runs: int
    promotions: int
    alarms: int
    false_alarms: int
    seconds: float
    usd: float
    steps: tuple[ReplayStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedPolicy:
    """The proposed settings under [loop] and [monitor], how they fared, and how many were tried.

    They were chosen by this past: another one may ask for others.
    """

    loop: Mapping[str, Any]
    monitor: Mapping[str, Any]
    replay: PolicyReplay
    tried: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """All policies over the same past, by `metric`; `tuned` where a proposal was asked for."""

    project: str
    metric: str
    by: str
    periods: tuple[ReplayPeriod, ...]
    policies: tuple[PolicyReplay, ...]
    tuned: TunedPolicy | None = field(default=None)

    def policy(self, name: PolicyName) -> PolicyReplay:
        """The policy called so."""
        return next(each for each in self.policies if each.policy == name)

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff loop replay --json` has it."""
        return msgspec.to_builtins(self)


def replayed(world: ReplayWorld, loop: "LoopConfig", monitor: "MonitorConfig") -> tuple[PolicyReplay, ...]:
    """The project's policy beside never, always and the best in hindsight."""
    never = _never(world)
    walks: dict[PolicyName, list[ReplayStep]] = {
        "loop": list(_loop(world, loop, monitor)),
        "never": never,
        "always": list(_always(world)),
        "oracle": list(_oracle(world)),
    }
    return tuple(_summed(world, name, steps) for name, steps in walks.items())


def replay_beside(world: ReplayWorld, loop: "LoopConfig", monitor: "MonitorConfig") -> PolicyReplay:
    """Another policy over the same past."""
    return _summed(world, "beside", list(_loop(world, loop, monitor)))


def tuned(world: ReplayWorld, loop: "LoopConfig", monitor: "MonitorConfig") -> TunedPolicy:
    """The cheapest policy that has nine tenths of what the best one gains beside never retraining."""
    tries: list[tuple[Mapping[str, Json], Mapping[str, Json], PolicyReplay]] = []
    for rules, limits in _candidates(loop, monitor):
        settings = loop.model_copy(update=dict(rules)), monitor.model_copy(update=dict(limits))
        tries.append((rules, limits, _summed(world, "loop", list(_loop(world, *settings)))))
    best = max(each.gain.value for _, _, each in tries)
    enough = [each for each in tries if each[2].gain.value >= WORTH * best] if best > 0 else tries
    rules, limits, replay = min(enough, key=lambda each: (each[2].seconds, -each[2].gain.value))
    return TunedPolicy(loop=rules, monitor=limits, replay=replay, tried=len(tries))


def _candidates(
    loop: "LoopConfig", monitor: "MonitorConfig"
) -> Iterator[tuple[Mapping[str, Json], Mapping[str, Json]]]:
    """Policies that are tried: what may fire, how large a drop or drift must be, how long a pause."""
    for pause in dict.fromkeys((loop.cool_down, "none", "30d", "60d")):
        for days in (30, 60, 90):
            yield {"triggers": ["schedule"], "schedule": f"every {days}d", "cool_down": pause}, {}
        for drop in dict.fromkeys((monitor.quality_drop, 0.005, 0.01, 0.02, 0.05)):
            yield {"triggers": ["quality"], "schedule": None, "cool_down": pause}, {"quality_drop": drop}
        for psi in dict.fromkeys((monitor.drift_psi, 0.1, 0.5)):
            yield {"triggers": ["drift"], "schedule": None, "cool_down": pause}, {"drift_psi": psi}
        both = {"triggers": ["quality", "drift"], "schedule": None, "cool_down": pause}
        yield both, {"quality_drop": monitor.quality_drop, "drift_psi": monitor.drift_psi}


def _never(world: ReplayWorld) -> list[ReplayStep]:
    return [_step(world, 0, at) for at in range(len(world.periods))]


def _always(world: ReplayWorld) -> Iterator[ReplayStep]:
    model = 0
    for at in range(len(world.periods)):
        more = at + 1 < len(world.periods)
        wins = more and world.won(at + 1)
        yield replace(_step(world, model, at), retrained=more, promoted=wins, why="always" if more else "")
        model = at + 1 if wins else model


def _oracle(world: ReplayWorld) -> Iterator[ReplayStep]:
    """The best model of those that there were, in each period, as one knows afterwards; only these are paid."""
    sign, made = (1 if world.higher_is_better else -1), set[int]()
    for at in range(len(world.periods)):
        models = [model for model in range(at + 1) if world.won(model)]
        best = max(models, key=lambda model, at=at: sign * world.quality(model, at).value)
        new = best not in made and best > 0
        made.add(best)
        yield replace(_step(world, best, at), retrained=new, promoted=new, why="the best in hindsight")


def _loop(world: ReplayWorld, loop: "LoopConfig", monitor: "MonitorConfig") -> Iterator[ReplayStep]:
    """The policy as it is: one look at the end of each period."""
    champion, anchor, attempt = 0, 0, 1
    runs: list[PastRun] = []
    labels = 0
    made_ms = 2 * world.periods[0].end_ms - world.periods[1].end_ms  # when the first period began, about
    for at, period in enumerate(world.periods):
        step, labels = _step(world, champion, at), labels + period.rows
        if at + 1 == len(world.periods):
            yield step  # nothing follows that a new model could answer
            return
        triggers = due(
            world.report(champion, at, monitor),
            loop,
            last_run_ms=runs[-1].ended_ms if runs else made_ms,
            now_ms=period.end_ms,
            new_feedback=labels,
            data_changed=False,
        )
        alarm = any(each.kind in ALERTS for each in triggers)
        step = replace(
            step,
            triggers=tuple(each.kind for each in triggers),
            false_alarm=alarm and not (world.won(at + 1) and world.beside(at + 1, champion, at + 1).low > 0),
            why="; ".join(each.reason for each in triggers),
        )
        hold = holding(loop, runs, now_ms=period.end_ms, new_labels=labels, data_changed=False) if triggers else None
        if not triggers or hold is not None:
            yield replace(step, hold=hold.reason if hold else None)
            continue
        seconds, usd = world.cost(at + 1)
        runs.append(PastRun(ended_ms=period.end_ms, seconds=seconds, usd=usd))
        contest, labels = world.contest(at + 1, champion, anchor, attempt), 0
        yield replace(step, retrained=True, promoted=contest.promoted, why=f"{step.why} → {contest.reason}")
        if contest.promoted:
            champion = at + 1
            anchor, attempt = (champion, 1) if contest.raises else (anchor, attempt)
        else:
            attempt += 1


def _step(world: ReplayWorld, model: int, period: int) -> ReplayStep:
    return ReplayStep(period=world.periods[period].name, model=model, quality=world.quality(model, period))


def _summed(world: ReplayWorld, policy: PolicyName, steps: Sequence[ReplayStep]) -> PolicyReplay:
    made = {at + 1 for at, step in enumerate(steps) if step.retrained}
    if policy == "oracle":
        made = {step.model for step in steps} - {0}
    costs = [world.cost(model) for model in made]
    gains = [world.beside(step.model, 0, at) for at, step in enumerate(steps)]
    return PolicyReplay(
        policy=policy,
        quality=_mean([step.quality for step in steps]),
        gain=_mean(gains),
        runs=len(made),
        promotions=sum(step.promoted for step in steps),
        alarms=sum(bool(ALERTS & set(step.triggers)) for step in steps),
        false_alarms=sum(step.false_alarm for step in steps),
        seconds=sum(seconds for seconds, _ in costs),
        usd=sum(usd for _, usd in costs),
        steps=tuple(steps),
    )


def _mean(values: Sequence[ReplayValue]) -> ReplayValue:
    """The mean over periods, which are independent: errors add up as squares."""
    mean = sum(each.value for each in values) / len(values)
    error = math.sqrt(sum(each.error**2 for each in values)) / len(values)
    return ReplayValue(value=mean, low=mean - NORMAL_95 * error, high=mean + NORMAL_95 * error)
