"""Repeated looks at the same test rows: with how much confidence each is held, and when the rows are worn out.

Who tries often enough passes by chance. The chance of all looks together is spent over them, most of it on the first.
A look that passes gives back what it spent: only those that fail make the next one dearer. It holds as long as what is
tried next is chosen by whether looks passed; who follows their numbers upwards fits the test rows all the same.
Source: alpha spending with recycling, Tian and Ramdas, "Online control of the familywise error rate", Statistical
Methods in Medical Research 30 (2021), the online fallback procedure.
"""

import math
from statistics import NormalDist

from bakeoff.metrics.intervals import LEVEL

__all__ = ["WORN", "fresh_rows", "is_worn", "look_level", "look_share", "times_rows"]

CHANCE = 0.05
"""That any of all looks passes wrongly."""
POWER = 0.8
WORN = 2.0
"""Test rows are worn out when it takes so many times as many to show what they showed at first."""


def look_level(number: int) -> float:
    """The confidence of the two-sided interval whose lower end the look with this number (from 1 on) is held by.

    The first one is as confident as any other interval.

    >>> [round(look_level(number), 4) for number in (1, 2, 3, 10)]
    [0.95, 0.9848, 0.9932, 0.9994]
    """
    return max(LEVEL, 1 - 2 * CHANCE * look_share(number))


def look_share(number: int) -> float:
    """The share of a chance that the look with this number may spend: all looks together spend no more than all of it.

    >>> [round(look_share(number), 3) for number in (1, 2, 3, 10)]
    [0.608, 0.152, 0.068, 0.006]
    """
    return 6 / (math.pi * number) ** 2


def times_rows(number: int) -> float:
    """How many times the rows it takes that this look shows what the first one does, four times in five.

    >>> [round(times_rows(number), 2) for number in (1, 2, 6)]
    [1.0, 1.36, 2.02]
    """
    normal = NormalDist()
    first, now = (normal.inv_cdf(0.5 + look_level(each) / 2) + normal.inv_cdf(POWER) for each in (1, number))
    return (now / first) ** 2


def is_worn(number: int) -> bool:
    """Whether the test rows are worn out for the look with this number."""
    return times_rows(number) >= WORN


def fresh_rows(number: int, rows: int) -> int:
    """How many fresh test rows would mend what earlier looks cost: beside the old ones, or instead of all of them."""
    return math.ceil(rows * min(1.0, times_rows(number) - 1))
