"""How the time for trying parameters was spent, and what advice expected of a run."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["Cut", "Expected", "OutOfTime", "PastAdvice", "ProbePoint", "Rung", "SearchBudget", "Searched", "Trial"]
__all__ += ["TrialStatus"]

TrialStatus: TypeAlias = Literal["done", "failed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What the limit of a fit cut short, in words: with more time, or on a faster machine, it may come to more.

    `budget_s` is what its run might take: a run that may take clearly longer makes the fit again.
    """

    limit_s: float
    what: str
    budget_s: float = 0.0

    @property
    def sentence(self) -> str:
        """What happened, and what to do about it."""
        return (
            f"it had {self.limit_s:.0f} s to fit, and {self.what}: more time or another machine may give another model "
            "(bakeoff run --budget 2h, or none)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfTime:
    """Why a candidate has no model: a fit of it was ended before it had one, as the run's time was to last for others.

    It had `limit_s` and was ended after `ended_s`; by its own progress it needs `needs_s` at the least (that is
    `ended_s` where it told of none). `budget_s` is what its run might take, as of `Cut`.
    """

    limit_s: float
    ended_s: float
    needs_s: float
    budget_s: float = 0.0

    @property
    def enough_s(self) -> float:
        """A budget of a run, shared as this one was, that gives the fit the time that it needs."""
        return self.budget_s * self.needs_s / max(self.limit_s, 1e-9)

    @property
    def sentence(self) -> str:
        """What happened, and what to do about it."""
        return (
            f"left out, as the run's time was to last for others too: it had {self.limit_s:.0f} s to fit, was ended "
            f"after {self.ended_s:.0f} s without a model, and needs {self.needs_s:.0f} s at the least; a budget of "
            f"about {math.ceil(self.enough_s / 60)} min gives it that (bakeoff run --budget, or [compute] budget)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePoint:
    """What a fit on a sample of `rows` rows took and gave; `row_s` are seconds for each row of a batch.

    `se` is the standard error of `value`, the project's metric, on `scored` rows (0: an earlier bakeoff measured it).
    """

    rows: int
    train_s: float
    memory_bytes: int
    size_bytes: int
    value: float | None
    se: float
    latency_p50_ms: float
    latency_p95_ms: float
    row_s: float
    scored: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A part of the training rows that settings were tried on."""

    share: float
    rows: int
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A trial that was made: its value on validation rows (none unless `done`) and the seconds that it took.

    `at_s` is when it ended, in seconds of the search.
    """

    candidate: str
    setting: int
    rung: int
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    status: TrialStatus
    seconds: float
    at_s: float
    value: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What the search found for a candidate: `params` over what it does by itself (none: nothing better)."""

    name: str
    trials: int
    seconds: float
    default: float | None = None
    best: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    searched: tuple[str, ...] = ()

    @property
    def toml(self) -> str:
        """The lines of a project file that keep the parameters."""
        lines = [f"{key} = {json.dumps(value)}" for key, value in self.params.items()]
        return "\n".join([f"[candidates.{self.name}]", *lines])


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBudget:
    """How the time for trying parameters was spent; test rows had no part in it."""

    limit_s: float
    used_s: float
    metric: str
    scored_rows: int
    rungs: tuple[Rung, ...] = ()
    by_candidate: tuple[Searched, ...] = ()
    trials: tuple[Trial, ...] = ()

    @property
    def tuned(self) -> tuple[Searched, ...]:
        """Candidates that go on with other parameters than by themselves."""
        return tuple(each for each in self.by_candidate if each.params)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What advice expected of a candidate before the run, and what the run measured."""

    name: str
    quantity: str
    expected: float
    low: float
    high: float
    measured: float
    factor: float | None
    inside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAdvice:
    """How good predictions of one quantity were: of `pairs` with a measurement, `inside` lay within their intervals.

    `factor` is the median ratio of the larger to the smaller; of the metric it is `difference`, the median distance.
    """

    quantity: str
    pairs: int
    inside: int
    factor: float | None = None
    difference: float | None = None
