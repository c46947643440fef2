"""What a measure is: sums of weighted rows, and a number made of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Task
from bakeoff.metrics.outcome import Outcome

__all__ = ["Measure", "Need", "Statistic", "Sums"]

Need: TypeAlias = Literal["labels", "probabilities", "values", "quantiles", "likelihood", "scores"]


class Sums(Protocol):
    """What a measure needs of weighted rows; made once, then asked for many weightings."""

    @property
    def key_n(self) -> NDArray[np.int64] | None:
        """Units with the same key are alike; None when no two are."""
        ...

    def take(self, units: NDArray[np.intp]) -> "Sums":
        """The same over some of the units."""
        ...

    def __call__(self, weights_ru: NDArray[Any]) -> Any:
        """The sums for weights (r, u): whole numbers, how often each unit is drawn."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """A number of weighted rows: `finish(sums(weights))` is (r,), or (r, k) for one number per class."""

    sums: Sums
    finish: Callable[[Any], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure; `gather` makes the sums from an outcome, `finish` the value from the sums.

    `share`: it is the share of rows for which something holds. `parts` gives the numbers (r, k) of whose sizes it is
    the sum (expected calibration error): small samples make such a measure too large. It lies within `bounds`.
    """

    name: str
    task: Task
    higher_is_better: bool
    needs: Need
    gather: Callable[[Outcome], Sums]
    finish: Callable[[Any], NDArray[np.float64]]
    share: bool = False
    parts: Callable[[Any], NDArray[np.float64]] | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)

    def fits(self, outcome: Outcome) -> bool:
        """Whether the outcome has what it needs."""
        match self.needs:
            case "probabilities":
                return outcome.probabilities_nk is not None
            case "likelihood":
                return outcome.log_likelihood_n is not None
            case "quantiles":
                return bool(outcome.scores)
            case "scores":
                return self.name in outcome.scores
            case _:
                return True

    def __call__(self, outcome: Outcome) -> float:
        """Its value on all rows; NaN when it is undefined there."""
        return float(self.finish(self.gather(outcome)(np.ones((1, len(outcome)), dtype=np.int64)))[0])
