"""Which test rows go together: by the project's group, and as near-duplicates."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.row_numbers import NEAR
from bakeoff.metrics.dependence import copies, group_codes, united

if TYPE_CHECKING:
    import polars as pl

__all__ = ["groups_of_test"]


def groups_of_test(
    group: "pl.Series | None", rows: Mapping[str, NDArray[Any]], *, by_time: bool
) -> NDArray[np.intp] | None:
    """What each test row goes together with, in their order, as a code; None where every row is on its own.

    Rows in the order of time without groups are left to their time.

    Args:
        group: the column of groups, of the test rows, if the project names one.
        rows: the arrays of `bakeoff.data.row_numbers`.
        by_time: whether the project names a column of times.
    """
    import polars as pl

    if group is None and by_time:
        return None
    near_n = copies(rows[NEAR][rows["test"]]) if NEAR in rows else None
    if group is None:
        return near_n
    group_n = group_codes(group.cast(pl.String).to_numpy())
    return group_n if near_n is None else united(group_n, near_n)
