"""The test rows that a candidate is explained on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column, Predictions
from bakeoff.evaluate.score.out_of_fold import joined
from bakeoff.metrics.measure import Measure

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ExplainedRows", "units"]

BATCH_ROWS = 8192
STRETCHES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRows:
    """Test rows with what was true and predicted of them.

    `predict` asks the model (of folds: each row's own), `columns` are its inputs. `unit_n` says which rows go together,
    as a code, `rows_per_s` how many it predicts in a second. `positive` is the class of two that is told of.
    """

    predict: "Callable[[pl.DataFrame], Predictions]"
    table: "pl.DataFrame"
    truth_n: NDArray[Any]
    predictions: Predictions
    measure: Measure
    columns: tuple[Column, ...]
    unit_n: NDArray[Any]
    rows_per_s: float
    seed: int
    positive: str | None = None

    def __len__(self) -> int:
        return len(self.truth_n)

    def sample(self, most: int) -> "ExplainedRows":
        """At most so many of the rows, drawn at random, in their order."""
        if len(self) <= most:
            return self
        rows = np.sort(np.random.default_rng(self.seed).permutation(len(self))[:most])
        return replace(
            self,
            table=self.table[rows],
            truth_n=self.truth_n[rows],
            predictions=self.predictions.take(rows),
            unit_n=self.unit_n[rows],
        )

    def answers(self, table: "pl.DataFrame") -> Predictions:
        """What the model says of changed rows, in batches."""
        parts = [self.predict(table[at : at + BATCH_ROWS]) for at in range(0, len(table), BATCH_ROWS)]
        return parts[0] if len(parts) == 1 else joined(parts)

    def outputs(self, most: int) -> tuple[str, ...]:
        """What predictions are told of: "" for a number, of two classes the positive one, else the most frequent."""
        classes = self.predictions.classes
        if self.predictions.probabilities_nk is None:
            return ("",)
        if len(classes) <= 2:  # noqa: PLR2004
            return (self.positive,) if self.positive is not None and self.positive in classes else classes[-1:]
        names, counts = np.unique(self.truth_n.astype(np.str_), return_counts=True)
        frequent = sorted(zip(-counts, names.tolist(), strict=True))
        return tuple(name for _, name in frequent if name in classes)[:most]


def units(n: int, groups_n: NDArray[Any] | None, time_n: NDArray[Any] | None) -> NDArray[Any]:
    """Which rows go together: those of a group, of a stretch of time, or each by itself."""
    if groups_n is not None:
        return np.unique(groups_n, return_inverse=True)[1]
    if time_n is None:
        return np.arange(n)
    unit_n = np.empty(n, dtype=np.int64)
    unit_n[np.argsort(time_n, kind="stable")] = np.arange(n) * min(STRETCHES, n) // n
    return unit_n
