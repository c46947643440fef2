"""What heavy tails may hold beyond the largest of the values that were seen."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["beyond", "excess"]

HEAVIEST = 0.9
FEWEST = 5


def beyond(values_n: NDArray[np.float64]) -> float:
    """How much the mean of values ≥ 0 may lack for what is larger than all of them.

    One in n is: of a Pareto tail it is M / (1 - index) on average, where M is the largest value seen. The index is
    estimated from the √n largest values, and taken to be at most 0.9 (at 1 there is no mean).
    Source: Hill, "A Simple General Approach to Inference About the Tail of a Distribution", Annals of Statistics 3
    (1975); the tail's part of the mean: Peng, "Estimating the mean of a heavy tailed distribution", Statistics and
    Probability Letters 52 (2001).

    >>> float(beyond(np.ones(100)))
    0.01
    """
    return _of_tail(values_n)[0]


def excess(values_n: NDArray[np.float64]) -> float:
    """By how much what is larger than all of these exceeds the largest, as a part of their mean: index times `beyond`.

    Of values that hardly differ it is nothing.
    Source: the mean excess of a Pareto tail over M is M index / (1 - index), Embrechts, Klüppelberg and Mikosch,
    "Modelling Extremal Events" (1997), section 3.4.

    >>> float(excess(np.ones(100)))
    0.0
    """
    room, index = _of_tail(values_n)
    return index * room


def _of_tail(values_n: NDArray[np.float64]) -> tuple[float, float]:
    """The tail's part of the mean, and its index."""
    n = len(values_n)
    largest = np.sort(values_n[values_n > 0])[::-1]
    top = min(len(largest) - 1, max(FEWEST, math.isqrt(n)))
    if top < 1:
        return float(largest.max(initial=0.0)) / n / (1 - HEAVIEST), HEAVIEST
    index = min(float(np.log(largest[:top] / largest[top]).mean()), HEAVIEST)
    return float(largest[0]) / n / (1 - index), index
