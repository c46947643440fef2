"""Weights of a blend, found on validation rows that its members were not fitted on.

The plain mean is the anchor: it has nothing to overfit. Other weights, and stacking, take its place only
when their loss on these rows is lower by more than chance would make it.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.types import Predictions, Task
from bakeoff.metrics.combined import LEAST, Mix, common_classes, spread

__all__ = ["class_weights", "find_mix"]

Floats: TypeAlias = NDArray[np.float64]

STEPS = 10
"""Weights are tenths."""
SURE = 2.0
"""Standard errors by which a loss must be lower to replace the anchor's."""
FOLDS = 5
ROUNDING = 1e-9
NEWTON_STEPS, NEWTON_GAIN = 50, 1e-10
"""The most steps, and the share of the loss below which another step gains nothing."""


def find_mix(truth_n: ArrayLike, parts: Sequence[Predictions], task: Task, *, even: bool, seed: int) -> Mix:
    """The mix of these predictions that is best by log loss (squared error of numbers), the simplest if unsure.

    Args:
        truth_n: what was true of the n rows.
        parts: what each model said of them; models that were fitted on other rows.
        task: classification or regression.
        even: whether every class weighs the same.
        seed: of the folds on which stacking is tried.
    """
    mean = Mix(weights=tuple([1 / len(parts)] * len(parts)))
    if task == "regression":
        value_nm = np.column_stack([np.asarray(part.values_n, dtype=np.float64) for part in parts])
        error_nm = value_nm - np.asarray(truth_n, dtype=np.float64)[:, None]
        return _weighted(lambda w: (error_nm @ w) ** 2, mean, np.ones(len(error_nm)))
    names_n = np.asarray(truth_n).astype(np.str_)
    classes = common_classes([*(part.classes for part in parts), np.unique(names_n).tolist()])
    truth = np.searchsorted(np.asarray(classes), names_n)
    spread_mnk = np.stack([spread(part, classes) for part in parts])
    chance_nm = np.maximum(spread_mnk[:, np.arange(len(truth)), truth].T, LEAST)
    weight_n = class_weights(truth) if even else np.ones(len(truth))
    found = _weighted(lambda w: -np.log(chance_nm @ w), mean, weight_n)
    known = common_classes(part.classes for part in parts)
    return _stacked(spread_mnk, truth, weight_n, found, classes=classes, seed=seed) if known == classes else found


def class_weights(truth_n: NDArray[np.intp]) -> Floats:
    """Row weights with which every class that is there weighs the same, on average 1."""
    counts = np.bincount(truth_n)
    return len(truth_n) / (np.count_nonzero(counts) * counts[truth_n])


def _weighted(loss: Callable[[Floats], Floats], mean: Mix, weight_n: Floats) -> Mix:
    """The weights in tenths with the lowest loss, if that is surely lower than the plain mean's."""
    sizes = range(1, STEPS)
    grid = [w for w in product(sizes, repeat=len(mean.weights)) if sum(w) == STEPS]
    anchor_n = loss(np.asarray(mean.weights))
    losses = {w: loss(np.asarray(w) / STEPS) for w in grid}
    best = min(losses, key=lambda w: float(np.average(losses[w], weights=weight_n)))
    if not _surely_lower(losses[best], anchor_n, weight_n):
        return mean
    return Mix(weights=tuple(w / STEPS for w in best))


def _surely_lower(loss_n: Floats, anchor_n: Floats, weight_n: Floats) -> bool:
    gain_n = weight_n * (anchor_n - loss_n)
    return bool(gain_n.mean() > SURE * gain_n.std() / np.sqrt(len(gain_n)) + ROUNDING)


def _stacked(
    spread_mnk: Floats,
    truth_n: NDArray[np.intp],
    weight_n: Floats,
    found: Mix,
    *,
    classes: tuple[str, ...],
    seed: int,
) -> Mix:
    """Stacking instead of `found` when, fitted on other folds, its loss is surely lower.

    Where it is not even on the rows that it was fitted on, folds are not asked.

    Source: Wolpert, "Stacked Generalization", Neural Networks 5 (1992).
    """
    n, found_n = len(truth_n), _log_loss(found, spread_mnk, truth_n, classes)
    whole = _fit_stack(spread_mnk, truth_n, weight_n, classes)
    if not _surely_lower(_log_loss(whole, spread_mnk, truth_n, classes), found_n, weight_n):
        return found
    fold_n = np.random.default_rng(seed).permutation(n) % FOLDS
    stacked_n = np.zeros(n)
    for fold in range(FOLDS):
        inside, held = fold_n != fold, fold_n == fold
        mix = _fit_stack(spread_mnk[:, inside], truth_n[inside], weight_n[inside], classes)
        stacked_n[held] = _log_loss(mix, spread_mnk[:, held], truth_n[held], classes)
    return whole if _surely_lower(stacked_n, found_n, weight_n) else found


def _log_loss(mix: Mix, spread_mnk: Floats, truth_n: NDArray[np.intp], classes: tuple[str, ...]) -> Floats:
    chance_n = mix.of_probabilities(list(spread_mnk), classes)[np.arange(len(truth_n)), truth_n]
    return -np.log(np.maximum(chance_n, LEAST))


def _fit_stack(spread_mnk: Floats, truth_n: NDArray[np.intp], weight_n: Floats, classes: tuple[str, ...]) -> Mix:
    """One weight for each model's log probabilities and one bias for each class, by penalised log loss.

    The loss is convex, and its parameters are few: Newton's method, each step halved until the loss falls.
    Source: Boyd and Vandenberghe, "Convex Optimization" (2004), 9.5.
    """
    stack = _Stack(np.log(np.maximum(spread_mnk, LEAST)), truth_n, weight_n / weight_n.sum())
    m, _, k = stack.log_mnk.shape
    start = np.concatenate([np.full(m, 1 / m), np.zeros(k)])
    at, value = start, stack.loss(start, start)
    for _ in range(NEWTON_STEPS):
        slope, curve = stack.derivatives(at, start)
        step = np.linalg.solve(curve, slope)
        if slope @ step < NEWTON_GAIN * max(value, 1.0):
            break
        share = 1.0
        while (lower := stack.loss(at - share * step, start)) > value - share * (slope @ step) / 4 and share > ROUNDING:
            share /= 2
        at, value = at - share * step, lower
    biases = dict(zip(classes, at[m:].tolist(), strict=True))
    return Mix(weights=tuple(at[:m].tolist()), biases=biases, log=True)


class _Stack:
    """The loss of a stack (weights of m models, biases of k classes) on n rows, pulled to where it starts."""

    def __init__(self, log_mnk: Floats, truth_n: NDArray[np.intp], share_n: Floats) -> None:
        self.log_mnk, self._truth_n, self._share_n = log_mnk, truth_n, share_n

    def _chances(self, at: Floats) -> tuple[Floats, Floats]:
        """Probabilities (n, k), and the log of that of the true class (n,)."""
        m, n, _ = self.log_mnk.shape
        score_nk = np.tensordot(at[:m], self.log_mnk, axes=1) + at[m:]
        score_nk -= score_nk.max(axis=1, keepdims=True)
        power_nk = np.exp(score_nk)
        total_n = power_nk.sum(axis=1)
        return power_nk / total_n[:, None], score_nk[np.arange(n), self._truth_n] - np.log(total_n)

    def loss(self, at: Floats, start: Floats) -> float:
        pull = at - start
        return float(-self._share_n @ self._chances(at)[1] + (pull @ pull) / len(self._truth_n))

    def derivatives(self, at: Floats, start: Floats) -> tuple[Floats, Floats]:
        """The slope (m + k,) and the curvature (m + k, m + k) of the loss."""
        m, n, k = self.log_mnk.shape
        chance_nk, _ = self._chances(at)
        off_nk = chance_nk * self._share_n[:, None]
        mean_mn = (self.log_mnk * chance_nk).sum(axis=2)
        curve = np.zeros((m + k, m + k))
        weighed_mnk = self.log_mnk * off_nk
        curve[:m, :m] = np.tensordot(weighed_mnk, self.log_mnk, axes=([1, 2], [1, 2]))
        curve[:m, :m] -= (mean_mn * self._share_n) @ mean_mn.T
        curve[:m, m:] = weighed_mnk.sum(axis=1) - mean_mn @ off_nk
        curve[m:, :m] = curve[:m, m:].T
        curve[m:, m:] = np.diag(off_nk.sum(axis=0)) - chance_nk.T @ off_nk
        curve += 2 / n * np.eye(m + k)
        off_nk[np.arange(n), self._truth_n] -= self._share_n
        slope = np.concatenate([np.tensordot(self.log_mnk, off_nk, axes=2), off_nk.sum(axis=0)])
        return slope + 2 / n * (at - start), curve
