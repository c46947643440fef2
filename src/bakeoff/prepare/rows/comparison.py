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

__all__ = ["Known", "RowComparison", "RowKeys", "Sets", "firsts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """Numbers below 2**30 of each of n rows, in any order, some repeated: `member_s[start_n[i]:start_n[i + 1]]`."""

    member_s: "NDArray[np.int32]"
    start_n: "NDArray[np.int64]"

    @classmethod
    def empty(cls, rows: int) -> "Sets":
        """No members for any row."""
        return cls(member_s=np.zeros(0, dtype=np.int32), start_n=np.zeros(rows + 1, dtype=np.int64))

    def of(self, rows: "NDArray[np.int64]") -> "Sets":
        """The sets of these rows."""
        size_m = self.start_n[rows + 1] - self.start_n[rows]
        start_m = np.concatenate(([0], np.cumsum(size_m)))
        place_s = np.arange(start_m[-1]) + np.repeat(self.start_n[rows] - start_m[:-1], size_m)
        return Sets(member_s=self.member_s[place_s], start_n=start_m)


class Known(Protocol):
    """What is known of n rows, in memory or on disk."""

    def __len__(self) -> int: ...

    def key(self, column: int) -> "NDArray[np.uint64]":
        """One key of every row (n)."""
        ...

    def sets(self, rows: "NDArray[np.int64]") -> Sets:
        """What says how alike these rows are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKeys:
    """Keys (c, n) by which rows are looked up, and the sets by which they are compared (empty ones when by none)."""

    key_cn: "NDArray[np.uint64]"
    members: Sets

    def __len__(self) -> int:
        return self.key_cn.shape[1]

    def key(self, column: int) -> "NDArray[np.uint64]":
        """One key of every row."""
        return self.key_cn[column]

    def sets(self, rows: "NDArray[np.int64]") -> Sets:
        """The sets of these rows."""
        return self.members.of(rows)


@runtime_checkable
class RowComparison(Protocol):
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
