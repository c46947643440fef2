"""Rows of several tables that are the same row: paired by a key, or by their place where the dataset is the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.core.errors import DataError, UsageError
from bakeoff.core.ledger import EXAMPLES, Loss, example

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Paired", "alike", "by_key", "by_position", "common_columns", "keys_of"]

SHOWN = 8
_KEY = "__key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The tables with the rows that all have, in one order; and by table what was left out, with the reason."""

    tables: "Mapping[str, pl.DataFrame]"
    left_out: tuple[Loss, ...] = ()


def by_key(tables: "Mapping[str, pl.DataFrame]", key: str) -> Paired:
    """Pair rows by the value of a column; a value that stands several times in a table says not which row is meant.

    Raises:
        UsageError: a table has no such column. DataError: no value is in all of them.
    """
    for name, table in tables.items():
        if key not in table.columns:
            known = ", ".join(table.columns[:SHOWN])
            raise UsageError(f"expected a column {key!r} in the rows of every run; {name} has {known}")
    keyed, losses = dict[str, "pl.DataFrame"](), list[Loss]()
    for name, table in tables.items():
        keyed[name], lost = _keyed(name, table, key)
        losses += lost
    common = _common([each[_KEY] for each in keyed.values()])
    if not len(common):
        shown = "; ".join(f"{name}: {', '.join(each[_KEY].head(3).to_list())}" for name, each in keyed.items())
        raise DataError(f"expected rows with the same {key!r} in every run, received none in common ({shown})")
    paired = dict[str, "pl.DataFrame"]()
    for name, table in keyed.items():
        inside = table[_KEY].is_in(common.implode())
        losses += _lost(name, table.filter(~inside)[_KEY], "not in every run", of=tables[name].height)
        order = common.to_frame(_KEY).join(table.with_row_index("__at"), on=_KEY, how="left", maintain_order="left")
        paired[name] = table[order["__at"]].drop(_KEY)
    return Paired(tables=paired, left_out=tuple(losses))


def _keyed(name: str, table: "pl.DataFrame", key: str) -> "tuple[pl.DataFrame, list[Loss]]":
    texts = keys_of(table[key]).alias(_KEY)
    there = texts.is_not_null()
    again = there & texts.is_duplicated()
    of = table.height
    lost = _lost(name, table.filter(~there).to_series(0), f"no value of {key}", of=of, shown=False)
    lost += _lost(name, texts.filter(again), f"the same {key} stands several times", of=of)
    return table.with_columns(texts).filter(there & ~again), lost


def _common(keys: "Sequence[pl.Series]") -> "pl.Series":
    first, *others = keys
    inside = first
    for each in others:
        inside = inside.filter(inside.is_in(each.implode()))
    return inside


def _lost(name: str, keys: "pl.Series", reason: str, *, of: int, shown: bool = True) -> list[Loss]:
    if not len(keys):
        return []
    examples = tuple(example(each) for each in keys.head(EXAMPLES).to_list()) if shown else ()
    return [Loss(kind="row", reason=reason, count=len(keys), of=of, subject=name, examples=examples)]


def by_position(tables: "Mapping[str, pl.DataFrame]") -> Paired:
    """Pair the first row with the first, and so on.

    Raises:
        DataError: the tables have different numbers of rows.
    """
    heights = {name: table.height for name, table in tables.items()}
    if len(set(heights.values())) > 1:
        counts = ", ".join(f"{name} {height:,}" for name, height in heights.items())
        raise DataError(
            f"expected as many rows of every run to pair them by their place, received {counts}: name a --key"
        )
    return Paired(tables=dict(tables))


def keys_of(values: "pl.Series") -> "pl.Series":
    """Values as texts by which they are paired: whole numbers alike, whether they came as integers or as floats."""
    import polars as pl

    if values.dtype.is_float():
        whole = values.is_finite() & (values == values.round()) & (values.abs() < 2**53)
        plain = values.fill_nan(None)
        return pl.Series(
            [None if v is None else str(int(v)) if w else repr(v) for v, w in zip(plain, whole, strict=True)],
            dtype=pl.String,
        )
    if values.dtype == pl.Boolean:
        return values.cast(pl.String)
    return (
        values.cast(pl.String)
        if not values.dtype.is_nested()
        else pl.Series([None if v is None else repr(v) for v in values.to_list()], dtype=pl.String)
    )


def common_columns(tables: "Mapping[str, pl.DataFrame]") -> list[str]:
    """Columns that all tables have, in the order of the first."""
    first, *others = tables.values()
    return [name for name in first.columns if all(name in each.columns for each in others)]


def alike(tables: "Mapping[str, pl.DataFrame]", column: str, what: str, key: str) -> "pl.Series | None":
    """A column that some of the tables have, whose values are the same in all of these; None where none has it.

    Raises:
        DataError: they differ in a row.
    """
    having = {name: table[column] for name, table in tables.items() if column in table.columns}
    if not having:
        return None
    (first, values), *others = having.items()
    texts = keys_of(values)
    for name, each in others:
        differ = texts.ne_missing(keys_of(each))
        if differ.any():
            at = int(differ.arg_max() or 0)
            raise DataError(
                f"expected the same {what} in {first} and {name} for rows paired by {key}; received others in "
                f"{int(differ.sum()):,} of {len(differ):,}, such as {values[at]!r} and {each[at]!r}: name another "
                "--key, or log both against the same rows"
            )
    return values
