# pyright: basic
# scipy.sparse comes without complete types
"""The rows of a job as families of trees fit them: terms counted once, encoded for training rows or for all."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column
from bakeoff.families.features.boosting import TreeTable
from bakeoff.families.features.columns import input_columns, of_kind, texts
from bakeoff.families.features.targets import Target, balanced_weights, is_balanced
from bakeoff.families.features.text import ANALYZERS, TermCounts

__all__ = ["EncodedRows", "TreeRows"]

_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """Rows to fit on: features (dense, or a sparse matrix), the target, and what each row weighs (None: all alike)."""

    table: TreeTable
    x_nd: Any
    value_n: _Floats
    weight_n: _Floats | None


class TreeRows:
    """Reads `max_categories`, `max_terms`, `min_rows` and `balanced` of the job's parameters."""

    def __init__(self, job: FitJob) -> None:
        self.job = job
        self.columns: tuple[Column, ...] = input_columns(job)
        self.target = Target.of(job)
        self._counts: list[tuple[str, TermCounts]] = []
        for column in of_kind(self.columns, "text"):
            job.progress(f"counting terms of {column.name!r}")
            read = texts(self.target.table, column.name)
            self._counts += [(column.name, TermCounts.of(read, analyzer)) for analyzer in ANALYZERS]

    def encoded(self, *, whole: bool) -> EncodedRows:
        """All rows, or the training rows alone."""
        params, rows = self.job.params, self.target.split(whole=whole)
        table, x_nd = TreeTable.fit(
            self.target.table[: len(rows)],
            self.columns,
            self.target.columns(rows),
            self._counts,
            max_categories=params.max_categories,
            max_terms=params.max_terms,
            min_rows=params.min_rows,
            seed=self.job.seed,
        )
        value_n = self.target.value_n[: len(rows)]
        return EncodedRows(table=table, x_nd=x_nd, value_n=value_n, weight_n=self.weights(value_n))

    def validation(self, table: TreeTable) -> EncodedRows:
        """The validation rows, encoded by what was fitted on training rows."""
        count = self.target.training
        value_n = self.target.value_n[count:]
        x_nd = table(self.target.table[count:])
        return EncodedRows(table=table, x_nd=x_nd, value_n=value_n, weight_n=self.weights(value_n))

    def weights(self, value_n: _Floats) -> _Floats | None:
        """What each row weighs."""
        return balanced_weights(value_n) if is_balanced(self.job) else None
