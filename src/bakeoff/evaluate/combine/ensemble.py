"""Weights of a stack: many members, chosen one by one, with replacement, for the least loss of their mean.

A member that makes the mean worse is never taken, so that all candidates may be offered. The weights are the mean of
those found on halves of the rows, which keeps them from following the noise of one.

Source: R. Caruana et al. (2004), "Ensemble Selection from Libraries of Models"; the bags are of rows here.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.types import Predictions, Task
from bakeoff.evaluate.combine.blend import class_weights
from bakeoff.metrics.combined import LEAST, Mix, common_classes, spread

__all__ = ["find_stack"]

Floats: TypeAlias = NDArray[np.float64]

PICKS = 40
"""Members that are taken, one by one."""
BAGS = 10
LEAST_WEIGHT = 0.04
"""A member with less is left out: it costs as much as the others."""
PULL = 50
"""Rows for each member that call for equal weights: on few rows, the plain mean is hard to beat."""


def find_stack(truth_n: ArrayLike, parts: Sequence[Predictions], task: Task, *, even: bool, seed: int) -> Mix:
    """The weights of these predictions, 0 for those that are not needed; see `find_mix` for the arguments."""
    if task == "regression":
        value_nm = np.column_stack([np.asarray(part.values_n, dtype=np.float64) for part in parts])
        error_nm = value_nm - np.asarray(truth_n, dtype=np.float64)[:, None]
        return _bagged(error_nm, np.ones(len(error_nm)), np.square, seed)
    names_n = np.asarray(truth_n).astype(np.str_)
    classes = common_classes([*(part.classes for part in parts), np.unique(names_n).tolist()])
    truth = np.searchsorted(np.asarray(classes), names_n)
    chance_nm = np.column_stack([spread(part, classes)[np.arange(len(truth)), truth] for part in parts])
    weight_n = class_weights(truth) if even else np.ones(len(truth))
    return _bagged(np.maximum(chance_nm, LEAST), weight_n, lambda mean: -np.log(mean), seed)


def _bagged(part_nm: Floats, weight_n: Floats, loss: Callable[[Floats], Floats], seed: int) -> Mix:
    rng, n = np.random.default_rng(seed), len(part_nm)
    weight_m = np.zeros(part_nm.shape[1])
    for _ in range(BAGS):
        half = np.sort(rng.permutation(n)[: (n + 1) // 2])
        weight_m += _greedy(part_nm[half], weight_n[half], loss) / BAGS
    weight_m = np.where(weight_m < LEAST_WEIGHT, 0.0, weight_m)
    taken_m = weight_m > 0
    pull = PULL * taken_m.sum() / (n + PULL * taken_m.sum())
    weight_m = (1 - pull) * weight_m / weight_m.sum() + pull * taken_m / taken_m.sum()
    return Mix(weights=tuple((weight_m / weight_m.sum()).tolist()))


def _greedy(part_nm: Floats, weight_n: Floats, loss: Callable[[Floats], Floats]) -> Floats:
    """Weights (m,): how often each was taken until the loss was least."""
    counts, best, total_n = np.zeros(part_nm.shape[1]), np.zeros(part_nm.shape[1]), np.zeros(len(part_nm))
    least = np.inf
    for pick in range(1, PICKS + 1):
        losses = weight_n @ loss((total_n[:, None] + part_nm) / pick)
        taken = int(np.argmin(losses))
        counts[taken] += 1
        total_n += part_nm[:, taken]
        if losses[taken] < least:
            least, best = float(losses[taken]), counts / pick
    return best
