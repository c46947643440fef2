"""Choosing a number on validation rows: a grid that goes on where the loss still falls."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import isclose
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.deadline import Deadline
from bakeoff.core.protocols import FitJob, Progress

__all__ = ["CHOICE_SHARE", "given", "in_time", "least_loss", "sampled"]

_Option = TypeVar("_Option")

CHOICE_SHARE = 0.5
"""Of the time of a fit, what choosing may take: the best is then fitted on all rows."""
RISES = 2
"""Steps of a rising loss after which the rest of a grid is not tried."""


def given(job: FitJob, *names: str) -> dict[str, Any]:
    """What an earlier fit chose for these parameters, else what they say; None where something is to be chosen."""
    return {name: (job.chosen or {}).get(name, getattr(job.params, name)) for name in names}


def sampled(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most so many of these rows, by chance, in rising order."""
    return rows if len(rows) <= most else np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def in_time(options: Sequence[_Option], deadline: Deadline, name: str) -> Iterator[_Option]:
    """The options to try, as long as there is time for choosing; the first in any case. `name` is what they are."""
    for tried, option in enumerate(options):
        if tried and deadline.passed(CHOICE_SHARE):
            deadline.cut(f"only {tried} of {len(options)} {name} were tried")
            return
        yield option


def least_loss(
    grid: Sequence[float],
    loss: Callable[[float], float],
    *,
    limits: tuple[float, float],
    progress: Progress,
    name: str,
    deadline: Deadline | None = None,
) -> float:
    """The number with the least loss (the larger one on a tie).

    The grid is tried from its largest number on, until the loss has risen `RISES` times in a row. It is continued by
    the ratio of its last step beyond an end where the loss is least, up to the limits; a limit that is reached is told.

    Args:
        grid: At least two positive numbers.
        loss: The loss on validation rows.
        limits: The least and the largest number that may be tried.
        progress: Told each number and its loss.
        name: What the number is.
        deadline: Of the fit; when the part of it that choosing may take is over, the best so far is the choice.
    """
    down = sorted(grid, reverse=True)
    losses: dict[float, float] = {}

    def lost(value: float) -> float:
        losses[value] = loss(value)
        progress(f"{name} {value:g}: validation loss {losses[value]:.5f}")
        return losses[value]

    def late() -> bool:
        if deadline is None or not losses or not deadline.passed(CHOICE_SHARE):
            return False
        tried = f"value of {name} was" if len(losses) == 1 else f"values of {name} were"
        deadline.cut(f"only {len(losses)} {tried} tried")
        return True

    for at, value in enumerate(down):
        if late():
            break
        lost(value)
        last = [losses[each] for each in down[max(at - RISES, 0) : at + 1]]
        if len(last) > RISES and all(before < after for before, after in pairwise(last)):
            break
    best = min(losses, key=lambda value: (losses[value], -value))
    if len(losses) < len(down[:RISES]):
        return best
    beside = {min(losses): sorted(losses)[1], max(losses): sorted(losses)[-2]}.get(best)
    while beside is not None and best not in limits and not late():
        further = min(max(best * best / beside, limits[0]), limits[1])
        further = next((limit for limit in limits if isclose(limit, further)), further)  # and not once more beside it
        if lost(further) >= losses[best]:
            break
        best, beside = further, best
    if best in limits:
        progress(f"{name} {best:g} is at the limit of what is tried, and the loss still falls there")
    return best
