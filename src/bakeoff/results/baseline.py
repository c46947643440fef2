"""A baseline: a rule that needs no model, scored on the candidates' test rows. No version is made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bakeoff.metrics.intervals import Interval
from bakeoff.results.verdict import Comparison

__all__ = ["Baseline", "Stops"]

Stops: TypeAlias = Literal["equal", "worse", "none"]
"""Which winners a baseline stops: those that measure no better, those that are distinguishably worse, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A rule that needs no model, with what it scored; it can be neither released nor promoted.

    `rule` says in plain words what it answers. `needs` is the truth that it takes to answer a row, beside training
    rows, and `lag_s` how long before the row that truth was (seconds). `stops` says who must not win beside it:
    "equal" of rules that cost nothing, "worse" of those that keep all training rows and so are no cheaper than a model,
    "none" of those that need truth which may come too late (`[data] horizon`): they warn. `fallback` is the share
    of test rows of which the rule knew no such row, so that a constant answers. `undefined` are the project's metrics
    that it has no value of. `comparison` is how much better the winner is (or who would have won).
    """

    name: str
    rule: str
    needs: str | None = None
    lag_s: float = 0.0
    stops: Stops = "equal"
    fallback: float = 0.0
    metrics: Mapping[str, Interval] = field(default_factory=dict[str, Interval])
    undefined: tuple[str, ...] = ()
    comparison: Comparison | None = None
