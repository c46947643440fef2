"""What heavy tails may hold beyond the largest of the values that were seen."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["beyond"]

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
    n = len(values_n)
    largest = np.sort(values_n[values_n > 0])[::-1]
    top = min(len(largest) - 1, max(FEWEST, math.isqrt(n)))
    if top < 1:
        return float(largest.max(initial=0.0)) / n / (1 - HEAVIEST)
    index = float(np.log(largest[:top] / largest[top]).mean())
    return float(largest[0]) / n / (1 - min(index, HEAVIEST))
