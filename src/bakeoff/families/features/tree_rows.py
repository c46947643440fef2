# pyright: basic
# scipy.sparse comes without complete types
"""The rows of a job as families of trees fit them: terms counted once, encoded for training rows or for all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, Signature
from bakeoff.families.features.boosting import TreeTable
from bakeoff.families.features.columns import input_columns
from bakeoff.families.features.targets import Target, class_weights
from bakeoff.families.features.text import TermCounts

__all__ = ["ROUNDS_SHARE", "EncodedRows", "TreeRows", "TreesState", "dense", "singles"]

_Floats: TypeAlias = NDArray[np.float64]


ROUNDS_SHARE = 0.45
"""Of the time of a fit, what choosing the number of trees may take: then as many are fitted on all rows."""


@dataclass(frozen=True, kw_only=True)
class TreesState:
    """All of a model but its trees, which a library keeps in a file of its own."""

    signature: Signature
    chosen: Mapping[str, Any]
    table: TreeTable


def dense(x_nd: Any) -> _Floats:
    """Features with their zeros: libraries of trees take what a sparse matrix does not store for missing."""
    return x_nd if isinstance(x_nd, np.ndarray) else x_nd.toarray()


def singles(x_nd: _Floats) -> NDArray[np.float32]:
    """Features in single precision, as libraries of trees read them; what is too large for it is its largest number."""
    most = np.finfo(np.float32).max
    return np.clip(x_nd, -most, most).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """Rows to fit on: features, the target, and what each row weighs (None: all alike)."""

    table: TreeTable
    x_nd: _Floats
    value_n: _Floats
    weight_n: _Floats | None


class TreeRows:
    """Reads `max_categories`, `max_terms`, `min_rows` and `balanced` of the job's parameters."""

    def __init__(self, job: FitJob) -> None:
        self.job = job
        self.columns: tuple[Column, ...] = input_columns(job)
        self.target = Target.of(job)
        self._counts = TermCounts.of_columns(self.target.table, self.columns, job.progress)

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
        return EncodedRows(table=table, x_nd=dense(x_nd), value_n=value_n, weight_n=class_weights(self.job, value_n))

    def validation(self, table: TreeTable) -> EncodedRows:
        """The validation rows, encoded by what was fitted on training rows."""
        count = self.target.training
        value_n = self.target.value_n[count:]
        x_nd = dense(table(self.target.table[count:]))
        return EncodedRows(table=table, x_nd=x_nd, value_n=value_n, weight_n=class_weights(self.job, value_n))
