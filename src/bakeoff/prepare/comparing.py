"""Steps that compare rows with each other: what they need to know of each row, and of all rows at once.

Such a step runs in two passes, so that a corpus need not fit in memory: `keys` of each part of it (in any order, by
any number of workers), then `groups` over the keys of all.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from bakeoff.core.types import Schema

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Comparison", "Known", "RowKeys", "firsts"]


class Known(Protocol):
    """What is known of n rows, in memory or on disk."""

    def __len__(self) -> int: ...

    def key(self, column: int) -> "NDArray[np.uint64]":
        """One key of every row (n)."""
        ...

    def evidence(self, rows: "NDArray[np.int64]") -> "NDArray[np.uint32]":
        """What says how alike these rows are (m, k)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKeys:
    """Keys (c, n) by which rows are looked up, and evidence (n, k) for comparing them; k may be 0."""

    key_cn: "NDArray[np.uint64]"
    evidence_nk: "NDArray[np.uint32]"

    def __len__(self) -> int:
        return self.key_cn.shape[1]

    def key(self, column: int) -> "NDArray[np.uint64]":
        """One key of every row."""
        return self.key_cn[column]

    def evidence(self, rows: "NDArray[np.int64]") -> "NDArray[np.uint32]":
        """The evidence of these rows."""
        return self.evidence_nk[rows]


@runtime_checkable
class Comparison(Protocol):
    """A bound row step that keeps the first row of each group of like ones."""

    def __call__(self, table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        """The rows that stay."""
        ...

    def keys(self, table: "pl.DataFrame", schema: Schema) -> RowKeys:
        """What is to be known of each row; it depends on the row alone."""
        ...

    def groups(self, known: Known) -> "NDArray[np.int64]":
        """For each row the first row of its group (n)."""
        ...


def firsts(groups: "NDArray[np.int64]") -> "NDArray[np.bool_]":
    """Which rows are the first of their group."""
    return groups == np.arange(len(groups))
