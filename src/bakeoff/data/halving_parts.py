"""Smaller and smaller parts of the training rows, for trying parameters: no other rows are looked at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.types import Schema, Task
from bakeoff.data.splits import By, Rows, cutting

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["FEWEST_ROWS", "rungs"]

FEWEST_ROWS = 300
"""A part with fewer rows is left out, since what it shows is chance."""
HELD = 0.15
"""The share of a part on which fits choose (early stopping, penalties)."""


def rungs(
    table: "pl.DataFrame",
    schema: Schema,
    train: Rows,
    shares: Sequence[float],
    *,
    by: By,
    task: Task,
    seed: int,
    near_n: "NDArray[np.int64] | None" = None,
) -> list[tuple[Rows, Rows]]:
    """Rows to fit and rows to choose on, for each share of the training rows that is large enough.

    The parts are nested. They are drawn like random splits (groups and near-duplicates stay together), the rows to
    choose on are cut off as the project's split cuts (the latest ones by time).
    """
    fair: By = "stratified" if task == "classification" else "random"
    draw = cutting(table, schema, "group" if by == "group" else fair, seed + 1, near_n=near_n)
    cut = cutting(table, schema, by, seed, near_n=near_n)
    found: list[tuple[Rows, Rows]] = []
    for share in shares:
        rows = train if share >= 1 else draw(train, share)
        held = cut(rows, HELD)
        if not len(held):  # all of one time
            held = draw(rows, HELD)
        if share >= 1 or len(rows) >= FEWEST_ROWS:
            found.append((np.setdiff1d(rows, held, assume_unique=True), held))
    return found
