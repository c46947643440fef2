"""How candidates stand to each other, as `evaluate.decide.differences` says it, for simulations: no texts for labels.

`Quick` gets codes instead of labels and works out what leaving rows out does to accuracy and f1_macro by itself; all
that follows is the product's. That both are the same is checked on the first sample of every cell (`Quick.agrees`).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions
from bakeoff.evaluate.decide.differences import Field
from bakeoff.metrics.bootstrap import BLOCKS
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.intervals import LEVEL, Interval, mid_p
from bakeoff.metrics.registry import find
from bakeoff.metrics.significance import mcnemar_exact
from bakeoff.metrics.spread import pseudo_values
from bakeoff.results.scorecard import Scorecard

__all__ = ["Quick", "card_of", "cards", "predictions"]

Codes = NDArray[np.intp]
MEASURES = {name: find(name, "classification") for name in ("accuracy", "f1_macro")}


class Quick(Field):
    """A field of candidates whose answers are codes 0 … classes - 1."""

    def __init__(
        self,
        truth_n: Codes,
        codes: Mapping[str, Codes],
        *,
        metric: str = "accuracy",
        classes: int = 2,
        seed: int = 0,
        dependence: Dependence | None = None,
        level: float = LEVEL,
    ) -> None:
        self.measure, self.level, self.sign = MEASURES[metric], level, 1.0
        self.unknown = None
        self.rows, self._seed, self._dependence = len(truth_n), seed, dependence or Dependence()
        group_n = self._dependence.group_n
        self._units = self.rows if group_n is None else int(group_n.max()) + 1
        self._serial = self._dependence.order_n is not None
        self._codes, self._truth_n = codes, truth_n
        block_n = (
            _blocks(self.rows, seed)
            if self._dependence.independent
            else self._dependence.blocks(self.rows, BLOCKS, seed)
        )
        left = _shares_left if metric == "accuracy" else _f1_left
        parts = {name: left(truth_n, each, block_n, classes) for name, each in codes.items()}
        self.values = {name: value for name, (value, _) in parts.items()}
        self._pseudo = {name: pseudo_values(value, left_b)[None] for name, (value, left_b) in parts.items()}
        self._again = dict.fromkeys(parts, ())
        self._spreads, self._levels = {}, {}

    def agrees(self, *, classes: int = 2) -> None:
        """See that the product's own field says the same of these candidates."""
        said = {name: predictions(each, classes) for name, each in self._codes.items()}
        other = Field(self._truth_n.astype("U2"), said, self.measure, seed=self._seed, resamples=400)
        pairs = [(a, b) for a in said for b in said if a < b]
        for ours, theirs in zip(self.together(pairs), other.together(pairs), strict=True):
            numbers = [[each.low, each.high, each.p_holm] for each in (ours, theirs)]
            np.testing.assert_allclose(*numbers, rtol=1e-9, atol=1e-12)

    def _alike(self, a: str, b: str) -> bool:
        return np.array_equal(self._codes[a], self._codes[b])

    def _mcnemar(self, a: str, b: str) -> float:
        right_a, right_b = (self._codes[each] == self._truth_n for each in (a, b))
        return mcnemar_exact(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum()))


@lru_cache
def _blocks(n: int, seed: int) -> Codes:
    return Dependence().blocks(n, BLOCKS, seed)


def _shares_left(truth_n: Codes, codes_n: Codes, block_n: Codes, classes: int) -> tuple[float, NDArray[np.float64]]:
    del classes
    right_n = (truth_n == codes_n).astype(np.float64)
    return float(right_n.mean()), (right_n.sum() - np.bincount(block_n, right_n)) / (
        len(truth_n) - np.bincount(block_n)
    )


def _f1_left(truth_n: Codes, codes_n: Codes, block_n: Codes, classes: int) -> tuple[float, NDArray[np.float64]]:
    """The mean F1 of the classes that are there, and that without each block."""
    blocks = int(block_n.max()) + 1

    def by_block(codes: Codes, rows: Any = slice(None)) -> NDArray[np.intp]:
        cell = block_n[rows] * classes + codes[rows]
        return np.bincount(cell, minlength=blocks * classes).reshape(blocks, classes)

    hit_bk, rows_bk = by_block(truth_n, truth_n == codes_n), by_block(truth_n) + by_block(codes_n)

    def f1(hit_rk: NDArray[Any], rows_rk: NDArray[Any]) -> NDArray[np.float64]:
        share = np.divide(2 * hit_rk, rows_rk, out=np.zeros(hit_rk.shape), where=rows_rk > 0)
        return share.sum(axis=1) / (rows_rk > 0).sum(axis=1)

    hit_k, rows_k = hit_bk.sum(axis=0), rows_bk.sum(axis=0)
    return float(f1(hit_k[None], rows_k[None])[0]), f1(hit_k - hit_bk, rows_k - rows_bk)


def predictions(codes: Codes, classes: int) -> Predictions:
    """The same answers as the product takes them."""
    return Predictions(values_n=codes.astype("U2"), classes=tuple(sorted(str(at) for at in range(classes))))


def cards(field: Quick, costs: Mapping[str, float] | None = None) -> dict[str, Scorecard]:
    """Scorecards of the accuracy, with the interval that runs give to independent rows."""
    return {name: card_of(value, field.rows, (costs or {}).get(name, 1.0)) for name, value in field.values.items()}


def card_of(accuracy: float, rows: int, cost: float = 1.0) -> Scorecard:
    """A scorecard of an accuracy, and of a price."""
    low, high = _ends(round(accuracy * rows), rows)
    found = Interval(value=accuracy, low=min(low, accuracy), high=max(high, accuracy), method="mid-p")
    return Scorecard.of_metrics({"accuracy": found}, n_test=rows, cost_usd_per_1k=cost)


@lru_cache(maxsize=10_000)
def _ends(right: int, rows: int) -> tuple[float, float]:
    return mid_p(right, rows, LEVEL)
