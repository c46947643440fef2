"""Steps that set rows aside: what such a step is, exact duplicates, and rows without any text."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.core.types import Schema
from bakeoff.data.snapshot import row_hashes
from bakeoff.prepare.rows.comparison import Known, RowKeys, Sets
from bakeoff.prepare.steps import Apply, NoParams, StepKind

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["RowStep", "drop_duplicates", "drop_empty", "texts_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStep:
    """A choice of rows as a step; the rows that stay keep their order.

    `make` gives, for parameters, a function of a table and its schema; it imports and checks what it needs.
    """

    name: str
    version: int
    make: "Callable[[Any], Callable[[pl.DataFrame, Schema], pl.DataFrame]]"
    params: type = NoParams
    requires: tuple[str, ...] = ()
    kind: StepKind = field(default="rows", init=False)

    def bind(self, params: Any) -> Apply:
        """The step with these parameters."""
        return self.make(params)


def texts_of(table: "pl.DataFrame", schema: Schema) -> "pl.Series | None":
    """The text inputs of each row as one text (parts on lines of their own; missing when all are).

    None when there are no text inputs.
    """
    import polars as pl

    names = [name for name in schema.of_kind("text") if name in table.columns]
    if not names:
        return None
    together = pl.concat_str(names, separator="\n", ignore_nulls=True)
    return table.select(pl.when(pl.any_horizontal(pl.col(names).is_not_null())).then(together)).to_series()


class _Equal:
    """Of rows with the same inputs and target, the first."""

    def __call__(self, table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        return table.unique(subset=_compared(table, schema), keep="first", maintain_order=True)

    def keys(self, table: "pl.DataFrame", schema: Schema) -> RowKeys:
        """The 64-bit content hash (two rows among a million differ but agree with a chance of 3e-8)."""
        hash_n = row_hashes(table.select(_compared(table, schema)))
        return RowKeys(key_cn=hash_n[np.newaxis], members=Sets.empty(table.height))

    def groups(self, known: Known) -> "NDArray[np.int64]":
        """Rows with equal hashes."""
        _, first, inverse = np.unique(known.key(0), return_index=True, return_inverse=True)
        return first.astype(np.int64)[inverse]


def _compared(table: "pl.DataFrame", schema: Schema) -> list[str]:
    return [name for name in (*schema.inputs, schema.target) if name in table.columns]


def _drop_duplicates(_: NoParams) -> Apply:
    return _Equal()


def _drop_empty(_: NoParams) -> Apply:
    def telling(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        """Rows in which at least one text input says something; all, when there are no text inputs."""
        import polars as pl

        texts = schema.of_kind("text")
        return table.filter(pl.any_horizontal(pl.col(texts).str.contains(r"\S"))) if texts else table

    return telling


drop_duplicates = RowStep(name="drop_duplicates", version=1, make=_drop_duplicates)
drop_empty = RowStep(name="drop_empty", version=1, make=_drop_empty)
