"""Dependence that nobody named: rows that err alike because they share a unit, or lie close in time or in the file.

Intervals and tests take rows for independent unless groups or times are named; then they are too narrow.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.types import Column, Predictions, Task
from bakeoff.metrics.dependence import group_codes
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.spread import long_run

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Hidden", "clustered", "errors_of", "hidden", "row_errors", "serial"]

Floats: TypeAlias = NDArray[np.float64]

FEWEST_ROWS = 60
MOST_ROWS = 20_000
FEWEST_LEVELS = 20
LEVEL_ROWS = 1.2, 50.0
"""Rows of a level, on average: with fewer nothing is shared, with more it is a kind of row, not one unit of many."""
SURE = 4.5
"""Standard errors beyond what independent rows show: one false alarm in hundreds of thousands of looks."""
MATTERS = 1.3
"""How many times the variance of a mean must be what it would be for independent rows, to be told."""
CLIPPED = 0.99
"""Errors beyond this quantile count as that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """Rows go together by a column, or by their place in the file; a variance is `times` what it is taken for."""

    column: str | None
    by: str
    times: float

    @property
    def told(self) -> str:
        """What was seen, what it does, and the setting that handles it."""
        wider = f"intervals should be about {math.sqrt(self.times):.1f} times as wide"
        match self.by:
            case "group":
                return (
                    f"rows with the same {self.column!r} are right or wrong together, and {wider}: if new rows will "
                    f"have others, set [data] group = {self.column!r}"
                )
            case "time":
                return (
                    f"rows close in {self.column!r} are right or wrong together, and {wider}: "
                    f"set [data] time = {self.column!r}"
                )
            case _:
                return (
                    f"rows close to each other are right or wrong together, and {wider}: name the column that says "
                    "when they were made ([data] time) or what they come from ([data] group)"
                )


def row_errors(truth_n: ArrayLike, predictions: Predictions, task: Task) -> Floats:
    """How wrong each row is: whether a label is, how far off a number, how many of the words of a text.

    Labels beside what is usual for rows of their class, so that rows in the order of their classes do not look alike.
    """
    return errors_of(outcome(truth_n, predictions, task))


def errors_of(seen: Outcome) -> Floats:
    """As `row_errors`, of an outcome."""
    if not seen.classes and seen.truth_n.dtype.kind == "O":
        from bakeoff.metrics.texts import token_f1

        return np.asarray([1 - token_f1(a, b) for a, b in zip(seen.truth_n, seen.predicted_n, strict=True)])
    if seen.classes:
        wrong_n = (seen.truth_n != seen.predicted_n).astype(np.float64)
        of_class = np.bincount(seen.truth_n, weights=wrong_n) / np.maximum(1, np.bincount(seen.truth_n))
        return wrong_n - of_class[seen.truth_n]
    error_n = np.abs(np.asarray(seen.predicted_n - seen.truth_n, dtype=np.float64))
    return np.minimum(error_n, np.quantile(error_n, CLIPPED))


def hidden(
    error_n: Floats, table: "pl.DataFrame", columns: Sequence[Column], *, place_n: NDArray[Any], named: Sequence[str]
) -> list[Hidden]:
    """What rows go together by, beside what is `named`, the strongest first, by at most the first 20,000 rows.

    `place_n`: where each row stood in the file. With a named group or time nothing is said of that.
    """
    most = min(len(error_n), MOST_ROWS)
    if most < FEWEST_ROWS or float(np.ptp(error_n[:most])) == 0:
        return []
    found = list(_by_columns(error_n[:most], table.head(most), columns, named=set(named)))
    if not found and not named and (times := serial(error_n[:most][np.argsort(place_n[:most], kind="stable")])):
        found.append(Hidden(column=None, by="place", times=times))
    return sorted(found, key=lambda each: -each.times)


def _by_columns(
    error_n: Floats, table: "pl.DataFrame", columns: Sequence[Column], *, named: set[str]
) -> Iterator[Hidden]:
    import polars as pl

    for column in columns:
        if column.name in named or column.name not in table.columns:
            continue
        values = table[column.name]
        if column.kind == "datetime":
            given = values.is_not_null().to_numpy()
            order = np.argsort(values.to_physical().fill_null(0).to_numpy()[given], kind="stable")
            if times := serial(error_n[given][order]):
                yield Hidden(column=column.name, by="time", times=times)
            continue
        unit = column.kind == "categorical" or (column.kind == "numeric" and values.dtype.is_integer())
        if unit and (times := clustered(error_n, group_codes(values.cast(pl.String).to_numpy()))):
            yield Hidden(column=column.name, by="group", times=times)


def serial(error_t: Floats) -> float | None:
    """How many times as large the variance of a mean is, of errors in order; None if they look independent."""
    centred = error_t - error_t.mean()
    length, whole = len(centred), float((centred**2).sum())
    if length < FEWEST_ROWS or whole <= 0:
        return None
    first = float((centred[1:] * centred[:-1]).sum()) / whole
    times = long_run(centred)
    return times if first * math.sqrt(length) > SURE and times > MATTERS else None


def clustered(error_n: Floats, code_n: NDArray[np.intp]) -> float | None:
    """How many times as large the variance of a mean is when whole units are drawn; None if units do not matter.

    The sum over units of their squared total errors, held against what shuffled errors give.
    """
    counts = np.bincount(code_n)
    levels, size = len(counts), len(code_n) / len(counts)
    if levels < FEWEST_LEVELS or not LEVEL_ROWS[0] <= size <= LEVEL_ROWS[1]:
        return None
    centred = error_n - error_n.mean()
    whole = float((centred**2).sum())
    if whole <= 0:
        return None
    times = float((np.bincount(code_n, weights=centred, minlength=levels) ** 2).sum()) / whole
    # Pairs of rows of a unit: under shuffling the products of their errors have about no mean and this variance.
    pairs = float((counts * (counts - 1)).sum()) / 2
    spread = 2 * math.sqrt(pairs) / len(code_n)
    return times if times - 1 > SURE * spread and times > MATTERS else None
