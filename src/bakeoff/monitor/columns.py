"""Logged rows by whole columns: what is JSON in the log becomes columns, without an object for each row's values.

All values must have the type of their column; else nothing is said, and who asks reads row by row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.core.events import RawPrediction
from bakeoff.core.types import Signature
from bakeoff.data.schema import conform

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RowColumns", "columns_of"]

_TYPES = {"numeric": float, "boolean": bool}
"""Of a kind of column, in JSON; others are texts."""


_Types: TypeAlias = tuple[tuple[str, type], ...]
MANY = 100
"""From so many rows on they are scanned."""
DOUBTFUL = tuple("0123456789-[{")
"""What numbers, lists and objects begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowColumns:
    """Rows by column: the `table` of a signature's inputs, which rows (`known`) have probabilities, and these.

    `misfits`: rows with a value that does not fit its column; they count as all missing.
    """

    table: "pl.DataFrame"
    known: NDArray[np.intp]
    shares_nk: NDArray[np.float64]
    misfits: int = 0


def columns_of(events: Sequence[RawPrediction], signature: Signature) -> RowColumns | None:
    """The columns of these rows; None where any value does not have its column's type, or rows tell more than values.

    What a row lacks is missing, and what the signature does not know is passed over.
    """
    import polars as pl

    columns = signature.inputs
    if not columns or any(column.format.vector is not None or column.kind == "datetime" for column in columns):
        return None
    types = tuple((column.name, _TYPES.get(column.kind, str)) for column in columns)
    decode = _decoder(tuple((name, float) for name in signature.classes), 0.0)
    try:
        shares = decode([event.probabilities for event in events]) if signature.classes else []
        conformed = conform(_table([event.row for event in events], types), columns)
    except (msgspec.MsgspecError, UnicodeDecodeError, pl.exceptions.PolarsError, TypeError, OverflowError):
        return None
    known = [at for at, each in enumerate(shares) if each is not None]
    return RowColumns(
        table=conformed,
        known=np.asarray(known, dtype=np.intp),
        shares_nk=_matrix([shares[at] for at in known], len(signature.classes)),
    )


def _table(rows: Sequence[msgspec.Raw], types: _Types) -> "pl.DataFrame":
    """JSON objects as a table; it raises where a value does not have its column's type."""
    import polars as pl

    dtypes = {float: pl.Float64, bool: pl.Boolean, str: pl.String}
    schema = {name: dtypes[of] for name, of in types}
    if len(rows) >= MANY and (table := _scanned(rows, schema)) is not None:
        return table
    structs = _decoder(types, None)(rows)
    values = (list(map(attrgetter(_field(at)), structs)) for at in range(len(types)))
    return pl.DataFrame([pl.Series(name, each, dtype=schema[name]) for name, each in zip(schema, values, strict=True)])


def _scanned(rows: Sequence[msgspec.Raw], schema: Mapping[str, Any]) -> "pl.DataFrame | None":
    """The same without a Python object for each value; None where it may not be the same.

    Where a text should stand, Polars makes one of anything else: a column in which a text might have been something
    else is not read so.
    """
    import polars as pl

    try:
        table = pl.read_ndjson(b"\n".join(rows), schema=dict(schema))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    texts = pl.selectors.string()
    doubtful = texts.str.head(1).is_in(DOUBTFUL).any() | texts.is_in(["true", "false"]).any()
    has_doubts = pl.String in schema.values() and any(table.select(doubtful).row(0))
    return table if table.height == len(rows) and not has_doubts else None


def _matrix(shares: Sequence[Any], classes: int) -> NDArray[np.float64]:
    """Probabilities of all classes (n, k); of a single class they are 1."""
    if classes < 2:  # noqa: PLR2004
        return np.ones((len(shares), classes))
    rows = map(attrgetter(*map(_field, range(classes))), shares)
    return np.fromiter(chain.from_iterable(rows), np.float64, len(shares) * classes).reshape(len(shares), classes)


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
