"""The ranges of a first contract: how far beyond what was seen the next honest rows may come."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bakeoff.core import narrow

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LARGEST_LOG", "RATIO_SLACK", "SLACK", "outward", "ranges"]

SLACK = 0.5
"""Of the span that was seen, on either side of it; more of few values, which have not met the rare."""
MANY_ROWS, HANDFUL, FEWEST = 1000, 20, 5
PARTS, WANDERING_ERRORS, WANDERING_SLACK = 4, 5.0, 6.0
"""Parts of the rows one after the other: where the mean rank of one is so many standard errors from that of all, values
wander with time, and the next rows may go further than these have come."""
SMOOTH = 0.5
"""So do they below this ratio of the mean square of steps to the variance, which is 2 where rows are in no order.
Source: von Neumann 1941, "Distribution of the ratio of the mean square successive difference to the variance"."""
HEAVY = 8.0
"""The largest distance from the middle over the middle one: 5 for 500 values of a normal distribution."""
RATIO_SLACK = 1.5
"""Of the ratio of the largest to the middle value."""
LARGEST_LOG = 700.0
"""The logarithm of about the largest number that a range ends at."""
SKEWED = 1.5
"""How many times as far above the middle as below it the values of a skewed column reach."""
ENOUGH_TO_GROW = 20
NEARLY_ALL, ORDERED = 0.98, 0.95
DENSE = 20
"""Distinct whole numbers that fill at least one in so many places of their span are ids."""
DIGITS = 3
NEAR_ZERO = 0.01


def ranges(present: "pl.Series") -> Iterator[str]:
    """The range of numbers, as TOML with a comment; nothing where later rows may hold any."""
    if len(present) < FEWEST:
        yield f"# {len(present)} values are too few to bound others by"
        return
    low, high = narrow.number(present.min()), narrow.number(present.max())
    whole = bool((present == present.floor()).all())
    up = _slack(present, low, high)
    # Below zero it is the other way round: few values far below the middle.
    down = _slack(-present, -high, -low) if low < 0 else _share(present) * (high - low) or abs(high) * SLACK or 1.0
    least, most = outward(low - down, up=False, whole=whole), outward(high + up, up=True, whole=whole)
    if not math.isfinite(most - least):
        return
    # Counts, and what begins at zero, stay on their side of it; a temperature may fall below; a handful say nothing.
    is_known = len(present) >= HANDFUL
    if is_known and low >= 0 and (whole or low <= NEAR_ZERO * (high - low)):
        least = max(least, 0.0)
    if is_known and high <= 0 and low < 0:
        most = min(most, 0.0)
    growth = _growth(present)
    seen = f"# seen: {low:.6g} to {high:.6g}; "
    if not growth and whole and _numbers_rows(present, low, high):
        yield f"{seen}each row has another one: later ones may be any"
        if low >= 0:
            yield "range = { min = 0 }"
        return
    if growth:
        end = f"min = {_number(least)}" if growth > 0 else f"max = {_number(most)}"
        yield f"{seen}{'rising' if growth > 0 else 'falling'} from row to row: later rows go beyond"
        yield f"range = {{ {end} }}"
        return
    share = _share(present)
    far = "far more above, as there are few large ones" if up > share * (high - low) * 1.01 else "on either side"
    yield f"{seen}{share:.0%} of that span more, {far}{'' if least else ', from 0 on'}"
    yield f"range = {{ min = {_number(least)}, max = {_number(most)} }}"


def _share(present: "pl.Series") -> float:
    """How much of the span more there may be, by how many values it is known from."""
    usual = present.mode(maintain_order=True)[0]
    rows = max(1, int((present != usual).sum()))
    share = SLACK * math.sqrt(MANY_ROWS / min(MANY_ROWS, rows)) * max(1.0, HANDFUL / rows)
    return max(share, WANDERING_SLACK) if _wanders(present) and not _one_way(present) else share


def _wanders(present: "pl.Series") -> bool:
    import numpy as np

    rows = len(present)
    if rows < PARTS * ENOUGH_TO_GROW:
        return False
    rank_r = present.rank("average").to_numpy()
    deviation, middle = float(rank_r.std()), float(rank_r.mean())
    if deviation and float((np.diff(rank_r) ** 2).mean()) < SMOOTH * deviation**2:
        return True
    error = deviation / math.sqrt(rows / PARTS)
    return max(abs(float(part.mean()) - middle) for part in np.array_split(rank_r, PARTS)) > WANDERING_ERRORS * error


def _slack(present: "pl.Series", low: float, high: float) -> float:
    """How far above all that was seen the next rows may come.

    Where few values are far above the middle (amounts, durations), the largest of the next rows may be several times
    the largest of these: then half as far again, on a scale of ratios, as the largest is above the middle.
    """
    span = _share(present) * (high - low) or abs(high) * SLACK or 1.0
    usual = present.mode(maintain_order=True)[0]
    if low >= 0 and usual == low and int((present == usual).sum()) > len(present) / 2:
        present = present.filter(present != usual)  # mostly nothing: what there is, is the rest
    middle = narrow.number(present.median() or 0.0)
    if low < 0:
        above = (present - middle).filter(present > middle)
        half = narrow.number(above.median() or 0.0)
        if not half or high - middle < HEAVY * half:
            return span
        low, high, middle = 0.0, high - middle, half
    elif middle <= 0 or high - middle < SKEWED * (middle - low):
        return span
    further = math.log(high) + RATIO_SLACK * (math.log(high) - math.log(middle))
    return max(span, math.exp(min(further, LARGEST_LOG)) - high)


def _growth(present: "pl.Series") -> int:
    """1 when later rows hold larger values (ids, counters, seconds since 1970), -1 when smaller ones, else 0."""
    import numpy as np

    if len(present) < ENOUGH_TO_GROW:
        return 0
    if direction := _one_way(present):
        return direction
    values = present.to_numpy().astype(np.float64)
    if int((np.diff(values) != 0).sum()) < ENOUGH_TO_GROW // 2:
        return 0
    # Rows that are only nearly in order: their ranks go with their places.
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    correlation = float(np.corrcoef(np.arange(len(values)), ranks)[0, 1])
    return 0 if abs(correlation) < ORDERED else 1 if correlation > 0 else -1


def _one_way(present: "pl.Series") -> int:
    """1 when nearly every step goes up, -1 when down, else 0."""
    import numpy as np

    steps = np.diff(present.to_numpy().astype(np.float64))
    rising, falling = int((steps > 0).sum()), int((steps < 0).sum())
    if rising + falling < ENOUGH_TO_GROW // 2 or max(rising, falling) < NEARLY_ALL * (rising + falling):
        return 0
    return 1 if rising > falling else -1


def _numbers_rows(present: "pl.Series", low: float, high: float) -> bool:
    """Whether whole numbers are ids in any order: each once, and close together."""
    rows = len(present)
    return rows >= ENOUGH_TO_GROW and present.n_unique() == rows and high - low + 1 <= DENSE * rows


def outward(value: float, *, up: bool, whole: bool = False) -> float:
    """A number rounded to three digits, away from what was seen."""
    if value == 0 or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    if whole:
        step = max(step, 1.0)
    rounded = (math.ceil if up else math.floor)(round(value / step, 9)) * step
    return float(f"{rounded:.12g}")


def _number(value: float) -> str:
    """A TOML number."""
    if value == int(value) and abs(value) < 1e15:  # noqa: PLR2004 - beyond it a float is not exact
        return str(int(value))
    told = repr(value)
    return told if "." in told or "e" in told else f"{told}.0"
