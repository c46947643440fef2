"""Logged rows by whole columns: what is JSON in the log becomes columns, without an object for each row's values.

All values must have the type of their column; else nothing is said, and who asks reads row by row.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from bakeoff.core.events import RawPrediction
from bakeoff.core.types import Column, Signature
from bakeoff.data.cast import conform, stored_type

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RowColumns", "columns_of"]

_TYPES = {"numeric": float, "boolean": bool}
"""Of a kind of column, in JSON; others are texts."""


_Types: TypeAlias = tuple[tuple[str, Any], ...]
PART = 250
"""Rows that are decoded at once: their values are counted before they have left the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowColumns:
    """Rows by column: the `table` of a signature's inputs, which rows (`known`) have probabilities, and these.

    `levels`: categorical inputs that are not in the table, as rows by their value (None: missing).
    `misfits`: rows with a value that does not fit its column; they count as all missing.
    """

    table: "pl.DataFrame"
    known: NDArray[np.intp]
    shares_nk: NDArray[np.float64]
    levels: Mapping[str, Mapping[str | None, int]] = field(default_factory=dict[str, Mapping[str | None, int]])
    misfits: int = 0


def columns_of(
    events: Sequence[RawPrediction], signature: Signature, levels: Mapping[str, Sequence[str]] | None = None
) -> RowColumns | None:
    """The columns of these rows; None where any value does not have its column's type, or rows tell more than values.

    What a row lacks is missing, and what the signature does not know is passed over. `levels`: what values of these
    categorical columns mostly are; as long as they are, they are read faster.
    """
    import polars as pl

    columns = signature.inputs
    if not columns or any(column.format.vector is not None or column.kind == "datetime" for column in columns):
        return None
    decode = _decoder(tuple((name, float) for name in signature.classes), 0.0)
    try:
        shares = decode([event.probabilities for event in events]) if signature.classes else []
        table, counts = _values([event.row for event in events], columns, levels or {})
    except (msgspec.MsgspecError, UnicodeDecodeError, pl.exceptions.PolarsError, TypeError, OverflowError):
        return None
    known = [at for at, each in enumerate(shares) if each is not None]
    return RowColumns(
        table=table,
        levels=counts,
        known=np.asarray(known, dtype=np.intp),
        shares_nk=_matrix([shares[at] for at in known], len(signature.classes)),
    )


def _values(
    rows: Sequence[msgspec.Raw], columns: Sequence[Column], levels: Mapping[str, Sequence[str]]
) -> "tuple[pl.DataFrame, dict[str, dict[str | None, int]]]":
    """JSON objects as a table and counts of levels; it raises where a value does not have its column's type."""
    import polars as pl

    plain = _decoder(tuple((column.name, _TYPES.get(column.kind, str)) for column in columns), None)
    decode = plain
    if len(rows) > PART:  # of few rows, making a decoder takes longer than it spares
        decode = _decoder(tuple((column.name, _type_of(column, levels)) for column in columns), None)
    parts: dict[str, list[Any]] = {column.name: [] for column in columns if column.kind != "categorical"}
    counters = {column.name: Counter[str | None]() for column in columns if column.kind == "categorical"}
    for start in range(0, len(rows), PART):
        part = rows[start : start + PART]
        try:
            structs = decode(part)
        except msgspec.ValidationError:  # another level, or a value that is none
            decode = plain
            structs = decode(part)
        by_column = zip(*map(astuple, structs), strict=True)
        for column, values in zip(columns, by_column, strict=True):
            if column.kind == "categorical":
                counters[column.name].update(values)
            elif column.kind == "numeric":
                parts[column.name].append(np.fromiter(values, np.float64, len(values)))  # None is NaN
            else:
                parts[column.name].extend(values)
    whole = [column for column in columns if column.name in parts]
    series: list[pl.Series] = []
    for column in whole:
        given: Any = np.concatenate(parts[column.name]) if column.kind == "numeric" else parts[column.name]
        series.append(pl.Series(column.name, given, dtype=stored_type(column.kind)))
    counted = {column.name: _levels(counters[column.name], column) for column in columns if column.name in counters}
    return conform(pl.DataFrame(series), whole) if whole else pl.DataFrame(), counted


def _type_of(column: Column, levels: Mapping[str, Sequence[str]]) -> Any:
    """The type of a column's values: of known levels, a text that is one of them, of which none is made anew."""
    known = levels.get(column.name) if column.kind == "categorical" else None
    return Literal[tuple(known)] if known else _TYPES.get(column.kind, str)


def _levels(counts: Mapping[str | None, int], column: Column) -> dict[str | None, int]:
    """Rows by the stored value: each value is converted once."""
    import polars as pl

    values = pl.DataFrame([pl.Series(column.name, list(counts), dtype=pl.String)])
    levels: dict[str | None, int] = {}
    for level, rows in zip(conform(values, (column,))[column.name].to_list(), counts.values(), strict=True):
        levels[level] = levels.get(level, 0) + rows
    return levels


def _matrix(shares: Sequence[Any], classes: int) -> NDArray[np.float64]:
    """Probabilities of all classes (n, k); of a single class they are 1."""
    if classes < 2:  # noqa: PLR2004
        return np.ones((len(shares), classes))
    flat = chain.from_iterable(map(astuple, shares))
    return np.fromiter(flat, np.float64, len(shares) * classes).reshape(-1, classes)


def _field(at: int) -> str:
    return f"f{at}"


@lru_cache(maxsize=16)
def _decoder(types: _Types, default: float | None) -> Callable[[Sequence[msgspec.Raw]], list[Any]]:
    """Decodes many JSON objects at once, each to a struct of these fields, or None; what one lacks is the default."""
    of: Any = msgspec.defstruct(
        "Row",
        [(_field(at), each | None if default is None else each, default) for at, (_, each) in enumerate(types)],
        rename={_field(at): name for at, (name, _) in enumerate(types)},
        gc=False,
    )
    decode = msgspec.json.Decoder(list[of] if default is None else list[of | None]).decode
    return lambda parts: decode(b"".join((b"[", b",".join(parts), b"]")))
