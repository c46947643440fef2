"""The arrays that say which row of a prepared table is on which side; written once, read by all that work on rows.

`train`, `validation` and `test` are row numbers. With folds, every row is a test row, and a model of all rows is
released: `FOLD` is the fold that tests a row (n,), and `CHOSEN_ON` (folds, n) marks the rows on which the fit without
that fold chooses. Where rows are dealt into k folds again, `FOLD_AGAIN` (repeats - 1, n) is what `FOLD` is of each
further time; folds k, k + 1, ... are then those of the second time, in `CHOSEN_ON`, too. `NEAR` numbers the rows by
their near-duplicates, if these were looked for.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHOSEN_ON", "FOLD", "FOLD_AGAIN", "NEAR", "rows_of_fold"]

FOLD, FOLD_AGAIN, NEAR, CHOSEN_ON = "fold", "fold_again", "near", "fold_validation"


def rows_of_fold(rows: Mapping[str, NDArray[Any]], fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows that a fold's fit reads, all but the fold's own: those to fit on and those to choose on.

    Folds are counted on from one time to the next.
    """
    times = 1 + len(rows[FOLD_AGAIN]) if FOLD_AGAIN in rows else 1
    folds = len(rows[CHOSEN_ON]) // times
    fold_n = rows[FOLD] if fold < folds else rows[FOLD_AGAIN][fold // folds - 1]
    others, chosen_on = fold_n != fold % folds, rows[CHOSEN_ON][fold]
    return np.flatnonzero(others & ~chosen_on), np.flatnonzero(chosen_on)
