"""Whether two candidates differ, by swapping their answers: an exact test for any metric."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.types import Predictions
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.registry import bind

__all__ = ["permutation_p_value"]

CHUNK_CELLS = 2_000_000


def permutation_p_value(
    truth_n: ArrayLike,
    a: Predictions,
    b: Predictions,
    measure: Measure,
    *,
    seed: int,
    permutations: int = 2000,
    groups_n: ArrayLike | None = None,
) -> float:
    """Two-sided p-value that it does not matter which candidate gave which answer.

    In every permutation the two answers to each row (to all rows of a group together) change sides by a coin.
    Where the metric is undefined for a permutation, that one counts as reaching the difference found.
    Source: Noreen, "Computer-Intensive Methods for Testing Hypotheses" (1989), chapter 2; adding one: Phipson
    and Smyth, Statistical Applications in Genetics and Molecular Biology 9 (2010).
    """
    joint = _stacked(outcome(truth_n, a, measure.task), outcome(truth_n, b, measure.task))
    statistic = bind([measure], joint)[measure.name]
    n = len(joint) // 2
    group_n = np.arange(n) if groups_n is None else np.unique(np.asarray(groups_n), return_inverse=True)[1]
    groups = int(group_n.max()) + 1
    rng = np.random.default_rng(seed)

    def difference(swapped_rn: NDArray[np.int64]) -> NDArray[np.float64]:
        sides = (np.hstack([1 - swapped_rn, swapped_rn]), np.hstack([swapped_rn, 1 - swapped_rn]))
        ours, theirs = (statistic.finish(statistic.sums(weights)) for weights in sides)
        return np.abs(ours - theirs)

    found = difference(np.zeros((1, n), dtype=np.int64))[0]
    reached = 0
    size = max(1, CHUNK_CELLS // (2 * n))
    for start in range(0, permutations, size):
        coins_rg = rng.integers(0, 2, size=(min(size, permutations - start), groups))
        # What rounding alone sets apart is equal.
        reached += int((~(difference(coins_rg[:, group_n]) < found - 1e-12)).sum())
    return (1 + reached) / (1 + permutations)


def _stacked(a: Outcome, b: Outcome) -> Outcome:
    """The rows of a, then those of b, with the classes of both."""
    classes = tuple(sorted({*a.classes, *b.classes}))

    def codes(values_n: NDArray[np.int64], own: tuple[str, ...]) -> NDArray[np.int64]:
        return np.asarray([classes.index(name) for name in own], dtype=np.int64)[values_n] if own else values_n

    def shares(each: Outcome) -> NDArray[np.float64] | None:
        if each.probabilities_nk is None:
            return None
        wide_nk = np.zeros((len(each), len(classes)))
        wide_nk[:, [classes.index(name) for name in each.classes]] = each.probabilities_nk
        return wide_nk

    p_a, p_b = shares(a), shares(b)
    return Outcome(
        truth_n=np.concatenate([codes(a.truth_n, a.classes), codes(b.truth_n, b.classes)]),
        predicted_n=np.concatenate([codes(a.predicted_n, a.classes), codes(b.predicted_n, b.classes)]),
        classes=classes,
        positive=a.positive,
        probabilities_nk=None if p_a is None or p_b is None else np.concatenate([p_a, p_b]),
        log_likelihood_n=_joined(a.log_likelihood_n, b.log_likelihood_n),
        tokens_n=_joined(a.tokens_n, b.tokens_n),
        scores={name: np.concatenate([a.scores[name], b.scores[name]]) for name in a.scores if name in b.scores},
    )


def _joined(a: NDArray[Any] | None, b: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if a is None or b is None else np.concatenate([a, b])
