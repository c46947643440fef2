"""How strong evidence must be, when many columns are tested and tested again every hour.

The false discovery proportion of a week is at most the sum of those of its looks: what all looks discover is at least
as much as what one does. So looks whose levels add up to a rate keep the week's false discovery rate below it, however
their windows overlap. Within a look, over columns, it is bounded by the procedure of Benjamini and Hochberg.

Source: Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate", JRSS B 57 (1995); for columns that depend on
each other, Y. Benjamini, D. Yekutieli, Annals of Statistics 29 (2001). Why a rate by the week and not by the lifetime,
for which levels must sink for ever: A. Ramdas, F. Yang, M. Wainwright, M. Jordan, "Online control of the false
discovery rate with decaying memory", NeurIPS 2017.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["HOURS_A_WEEK", "discovered", "look_level"]

HOURS_A_WEEK = 168


def look_level(rate: float, *, look: int = 1) -> float:
    """The level of one look, of which there may be any number in each hour of a week.

    Args:
        rate: the most share of weeks without a change in which anything may be discovered.
        look: the how-manieth look with news it is in its hour, from 1 on; their levels add up to the hour's.

    >>> sum(168 * look_level(0.05, look=look) for look in range(1, 10_000)) < 0.05
    True
    """
    return rate / HOURS_A_WEEK * 6 / (math.pi**2 * look**2)


def discovered(p_values: Sequence[float], level: float) -> NDArray[np.bool_]:
    """Which of them are discoveries at a false discovery rate of `level`.

    >>> discovered([0.001, 0.9, 0.02, 0.04], 0.05).tolist()
    [True, False, True, False]
    """
    p_n = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_n)
    small = np.flatnonzero(p_n[order] <= level * np.arange(1, len(p_n) + 1) / max(len(p_n), 1))
    is_discovery = np.zeros(len(p_n), dtype=np.bool_)
    if len(small):
        is_discovery[order[: small[-1] + 1]] = True
    return is_discovery
