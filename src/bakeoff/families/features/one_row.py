"""One row's values, as encoders read them from a table of one row: serving mostly asks about single rows.

Of a row most time goes into tables that are made for it. Here the encoders get the values themselves, and do the same
arithmetic with them. A row whose values are not of the types that its columns store is left to the table's way.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from operator import contains
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.conversation import conversation_columns
from bakeoff.core.types import Column, ColumnKind, Signature
from bakeoff.families.features.columns import moment_parts

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NumberReader", "Row", "RowReader", "row_numbers"]

_Floats: TypeAlias = NDArray[np.float64]
Row: TypeAlias = Mapping[str, Any]
"""The stored values of the inputs by name, gaps filled that the model has learned nothing of."""

TYPES: Mapping[ColumnKind, frozenset[type]] = {
    "numeric": frozenset({float, int, bool}),
    "boolean": frozenset({bool}),
    "text": frozenset({str}),
    "categorical": frozenset({str}),
    "datetime": frozenset({datetime}),
}


WHOLE = 2**63 - 1
"""The largest whole number that a table holds."""


@dataclass(frozen=True)
class RowReader:
    """Reads rows for a model of this signature; none are read where that is not `wanted`."""

    signature: Signature
    wanted: bool = True

    @cached_property
    def _plan(self) -> tuple[tuple[str, frozenset[type], Any], ...] | None:
        """Of each input its name, its types and what fills its gaps; None: no row is read here."""
        inputs = self.signature.inputs
        if not self.wanted or conversation_columns(inputs):
            return None
        return tuple((c.name, TYPES[c.kind], _fill(c)) for c in inputs)

    def __call__(self, given: Mapping[str, Any]) -> Row | None:
        """The row, or None where its values are of other types, or one is absent."""
        if self._plan is None:
            return None
        row: dict[str, Any] = {}
        for name, types, fill in self._plan:
            if name not in given:
                return None
            value: Any = given[name]
            if value is None:
                value = fill
            elif type(value) not in types:
                return None
            elif type(value) is float:
                value = value if math.isfinite(value) else fill
            elif (type(value) is datetime and value.tzinfo is not None) or (type(value) is int and abs(value) > WHOLE):
                return None
            row[name] = value
        return row

    def of(self, table: "pl.DataFrame") -> Row | None:
        """That of a table of one row; None for other tables."""
        if self._plan is None or table.height != 1:
            return None
        return self(dict(zip(table.columns, table.row(0), strict=True)))


@dataclass(frozen=True)
class NumberReader:
    """Reads rows at once for a model of this signature, if all its inputs are numbers or booleans."""

    signature: Signature

    @cached_property
    def _plan(self) -> tuple[tuple[str, ...], tuple[frozenset[type], ...], _Floats] | None:
        """The names of the inputs, the types that may stand there, and what fills gaps; None: no row is read here."""
        inputs = self.signature.inputs
        if not all(column.kind in {"numeric", "boolean"} for column in inputs):
            return None
        types = tuple(TYPES[column.kind] | {type(None)} for column in inputs)
        fills = np.array([_fill(column) for column in inputs], dtype=np.float64)
        return tuple(column.name for column in inputs), types, fills

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> _Floats | None:
        """The numbers of the rows (n, d), as they are; None where a row has other keys, or values of other types.

        The keys of each row must be in the order of the inputs.
        """
        if self._plan is None:
            return None
        names, types, _ = self._plan
        values_n = [tuple(row.values()) for row in rows]
        for row, values in zip(rows, values_n, strict=True):
            if tuple(row) != names or not all(map(contains, types, map(type, values))):
                return None
        try:
            x_nd = np.array(values_n, dtype=np.float64).reshape(len(rows), len(names))  # None becomes NaN
        except OverflowError:  # a whole number of hundreds of digits
            return None
        return x_nd

    def filled(self, x_nd: _Floats) -> _Floats | None:
        """Numbers of rows in the order of the inputs (n, d), what is missing filled; None: no row is read here."""
        if self._plan is None:
            return None
        known_nd = np.isfinite(x_nd)
        return x_nd if np.logical_and.reduce(known_nd, axis=None) else np.where(known_nd, x_nd, self._plan[2])


def _fill(column: Column) -> Any:
    if column.fill in {None, ""}:
        return None
    return datetime.fromisoformat(str(column.fill)) if column.kind == "datetime" else column.fill


def row_numbers(row: Row, columns: Sequence[Column]) -> _Floats:
    """As `bakeoff.families.features.columns.numbers` (1, d)."""
    if not any(column.kind == "datetime" for column in columns):
        values = [row[column.name] for column in columns]
        return np.array([values], dtype=np.float64).reshape(1, len(columns))  # None becomes NaN
    return np.hstack([_one(row[column.name], column) for column in columns])


def _one(value: Any, column: Column) -> _Floats:
    if column.kind != "datetime":
        return np.array([[value]], dtype=np.float64)
    return moment_parts(np.array([value], dtype="datetime64[us]"))
