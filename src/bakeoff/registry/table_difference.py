"""What differs of two tables: columns, rows (by a key, or as wholes), and how their distributions moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.core.errors import DataError
from bakeoff.core.types import Column, ColumnKind, Json
from bakeoff.data.snapshot import row_hashes
from bakeoff.metrics.drift import Drift, compare, profile

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ChangedCell", "TableDifference", "table_difference"]

EXAMPLES = 5
FEW_LEVELS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedCell:
    """A value of a row, known by its key, before and after."""

    key: tuple[Any, ...]
    column: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDifference:
    """The second table beside the first.

    `retyped` columns have another type (first, second). Without a `key`, a row that changed is one removed and one
    added, and `changed` is None. `changed_by_column` counts cells. `shifts` are of the columns that both have. `unread`
    lines of each side could not be read as rows, and are in nothing of it.
    """

    rows: tuple[int, int]
    added: int
    removed: int
    changed: int | None
    key: tuple[str, ...] = ()
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    retyped: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    changed_by_column: Mapping[str, int] = field(default_factory=dict[str, int])
    examples: tuple[ChangedCell, ...] = ()
    shifts: tuple[Drift, ...] = ()
    unread: tuple[int, int] = (0, 0)

    @property
    def other_rows(self) -> bool:
        """Whether rows differ in the columns that both have."""
        return bool(self.added or self.removed or self.changed)

    @property
    def other_columns(self) -> bool:
        """Whether columns came, went, or have another type."""
        return bool(self.columns_added or self.columns_removed or self.retyped)


def table_difference(first: "pl.DataFrame", second: "pl.DataFrame", key: Sequence[str] = ()) -> TableDifference:
    """Hold two tables against each other.

    Args:
        first: the one before.
        second: the one after.
        key: columns that tell rows apart; without any, rows are compared as wholes, and their order does not count.

    Raises:
        DataError: a table lacks a column of the key, or the key does not tell rows apart.
    """
    common = [name for name in first.columns if name in second.columns]
    retyped = {
        name: (str(first.schema[name]), str(second.schema[name]))
        for name in common
        if first.schema[name] != second.schema[name]
    }
    added, removed, changed, by_column, examples = (
        _by_key(first, second, list(key), common) if key else _by_content(first, second, common)
    )
    return TableDifference(
        rows=(first.height, second.height),
        added=added,
        removed=removed,
        changed=changed,
        key=tuple(key),
        columns_added=tuple(name for name in second.columns if name not in first.columns),
        columns_removed=tuple(name for name in first.columns if name not in second.columns),
        retyped=retyped,
        changed_by_column=by_column,
        examples=examples,
        shifts=tuple(
            _shifts(first, second, [name for name in common if name not in retyped or _numeric(first, second, name)])
        ),
    )


def _numeric(first: "pl.DataFrame", second: "pl.DataFrame", name: str) -> bool:
    return all(each.schema[name].is_numeric() for each in (first, second))


def _by_content(
    first: "pl.DataFrame", second: "pl.DataFrame", common: Sequence[str]
) -> tuple[int, int, None, dict[str, int], tuple[ChangedCell, ...]]:
    """Rows that one has more often than the other, by the columns that both have."""
    counts = [np.unique(row_hashes(each), return_counts=True) for each in _alike(first, second, common)]
    (one_u, one_n), (other_u, other_n) = counts
    both, at_one, at_other = np.intersect1d(one_u, other_u, assume_unique=True, return_indices=True)
    shared = int(np.minimum(one_n[at_one], other_n[at_other]).sum()) if len(both) else 0
    return second.height - shared, first.height - shared, None, {}, ()


def _by_key(
    first: "pl.DataFrame", second: "pl.DataFrame", key: list[str], common: Sequence[str]
) -> tuple[int, int, int, dict[str, int], tuple[ChangedCell, ...]]:

    for table, which in ((first, "first"), (second, "second")):
        missing = [name for name in key if name not in table.columns]
        if missing:
            raise DataError(f"expected the key {key} among the columns of the {which} table, found no {missing}")
        repeated = table.height - table.select(key).n_unique()
        if repeated:
            raise DataError(
                f"expected a key that tells rows apart, found {repeated:,} repeated ones in the {which} table"
            )
    values = [name for name in common if name not in key]
    before, after = _alike(first, second, [*key, *values])
    joined = before.join(after, on=key, how="inner", suffix="\0after", nulls_equal=True)
    differs = {name: joined[name].ne_missing(joined[f"{name}\0after"]) for name in values}
    any_n = np.logical_or.reduce(
        [each.to_numpy() for each in differs.values()] or [np.zeros(joined.height, dtype=bool)]
    )
    examples: list[ChangedCell] = []
    for at in np.flatnonzero(any_n)[:EXAMPLES].tolist():
        row = joined.row(at, named=True)
        for name in (each for each in values if differs[each][at]):
            known = tuple(_json(row[each]) for each in key)
            examples.append(
                ChangedCell(key=known, column=name, before=_json(row[name]), after=_json(row[f"{name}\0after"]))
            )
    by_column = {name: int(each.sum()) for name, each in differs.items() if each.any()}
    shared = joined.height
    return second.height - shared, first.height - shared, int(any_n.sum()), by_column, tuple(examples[:EXAMPLES])


def _alike(first: "pl.DataFrame", second: "pl.DataFrame", names: Sequence[str]) -> "tuple[pl.DataFrame, pl.DataFrame]":
    """These columns of both in types that compare: 1 is 1.0, as which it may be read where the column has a gap."""
    import polars as pl

    before, after = first.select(names), second.select(names)
    for name in names:
        types = before.schema[name], after.schema[name]
        if types[0] == types[1]:
            continue
        if all(each.is_integer() for each in types):
            common = pl.String() if pl.UInt64 in types else pl.Int64()
        elif all(each.is_numeric() for each in types):
            common = pl.Float64()
        else:
            before, after = (_plain(each) for each in (before, after))
            common = pl.String()
        before, after = (each.with_columns(pl.col(name).cast(common)) for each in (before, after))
    return _plain(before), _plain(after)


def _plain(table: "pl.DataFrame") -> "pl.DataFrame":
    """Lists, structs and categories as texts: what is compared is what they say."""
    import polars as pl

    def text(series: "pl.Series") -> "pl.Series":
        dtype = series.dtype
        if dtype.is_numeric() and not dtype.is_decimal():
            return series
        if dtype == pl.String or dtype == pl.Boolean or dtype.is_temporal():  # noqa: PLR1714 - types have no hash in common
            return series
        if dtype.is_nested() or dtype == pl.Binary or dtype == pl.Object:  # noqa: PLR1714
            return pl.Series(
                series.name, [None if each is None else repr(each) for each in series.to_list()], pl.String
            )
        return series.cast(pl.String)

    return pl.DataFrame([text(series) for series in table]) if table.width else table


def _shifts(first: "pl.DataFrame", second: "pl.DataFrame", names: Sequence[str]) -> list[Drift]:
    if not first.height or not second.height:
        return []
    before, after = _plain(first.select(names)), _plain(second.select(names))
    columns = [Column(name=name, kind=_kind(before[name]), dtype=str(before.schema[name])) for name in names]
    moved = compare(profile(before, columns), after)
    return sorted(moved, key=lambda each: -each.psi)


def _kind(series: "pl.Series") -> ColumnKind:
    import polars as pl

    if series.dtype == pl.Boolean:
        return "boolean"
    if series.dtype.is_temporal():
        return "datetime"
    if series.dtype.is_numeric():
        return "numeric"
    return "categorical" if series.n_unique() <= FEW_LEVELS else "text"


def _json(value: object) -> Json:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
