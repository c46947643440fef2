"""Tables whose columns have their types: texts by their format, values of files that know types as they are."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bakeoff.config.sections import DataConfig
from bakeoff.core import narrow
from bakeoff.core.ledger import Loss
from bakeoff.core.types import CANONICAL, ColumnFormat, ColumnKind, DateOrder
from bakeoff.data.canonical import NumberShape, shapes_of
from bakeoff.data.formats import ColumnSettings, Hints, Typed, typed, typed_values, without_missing
from bakeoff.data.number_styles import Decimal

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TypedTable", "type_columns"]

KINDS: tuple[ColumnKind, ...] = ("text", "categorical", "numeric", "datetime", "boolean")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTable:
    """A table with typed columns; by column how it was written and what of it was lost or guessed."""

    table: "pl.DataFrame"
    formats: Mapping[str, ColumnFormat] = field(default_factory=dict[str, ColumnFormat])
    losses: tuple[Loss, ...] = ()
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


class _WantedOf:
    """What the project says of a column."""

    def __init__(self, config: DataConfig, target: str) -> None:
        self._config = config
        self._target = target
        listed: dict[str, ColumnKind] = {name: kind for kind in KINDS for name in narrow.texts(getattr(config, kind))}
        if config.time:
            listed[config.time] = "datetime"
        self._kinds = listed

    def __call__(self, name: str) -> ColumnSettings:
        target = name == self._target
        config = self._config
        return ColumnSettings(
            kind=self._kinds.get(name),
            target=target,
            missing=config.target_missing if target else config.missing,
            decimal=config.decimal,
            order=config.date_order,
        )


def type_columns(
    table: "pl.DataFrame", nested: frozenset[str], config: DataConfig, *, target: str, delimiters: Sequence[str]
) -> TypedTable:
    """The table with its texts read in the formats that their values show.

    What a column leaves open (1,234; 01/02/2024) is decided by the other columns of the table, and by a delimiter ";",
    which files with decimal commas have.
    """
    import polars as pl

    wanted = _WantedOf(config, target)
    shapes = shapes_of(table)
    results: dict[str, Typed] = {}
    for series in table:
        name = series.name
        if series.dtype == pl.String and name in nested:
            results[name] = Typed(series=series, style=ColumnFormat(form="json"))
        elif series.dtype == pl.String:
            results[name] = typed(series, wanted(name), shape=shapes.get(name, NumberShape()))
        elif isinstance(series.dtype, (pl.Time, pl.Duration)):
            result = Typed(series=series, style=ColumnFormat(form="duration"))  # as JSON has them, in texts
            results[name] = without_missing(result, wanted(name).missing)
        else:
            results[name] = typed_values(series, wanted(name))
    hints = _hints(results.values(), delimiters)
    if hints != Hints():
        for name, result in results.items():
            if result.open and table[name].dtype == pl.String:
                results[name] = typed(table[name], wanted(name), hints)
    return TypedTable(
        table=pl.DataFrame([result.series for result in results.values()]),
        formats={name: result.style for name, result in results.items() if result.style != CANONICAL},
        losses=tuple(loss for result in results.values() for loss in result.losses),
        notes={name: result.notes for name, result in results.items() if result.notes},
    )


def _hints(results: Iterable[Typed], delimiters: Sequence[str]) -> Hints:
    proven = [result.proven for result in results]
    decimals: Counter[Decimal] = Counter(each.decimal for each in proven if each.decimal)
    orders: Counter[DateOrder] = Counter(each.order for each in proven if each.order)
    if not decimals and ";" in delimiters:
        decimals[","] += 1
    return Hints(
        decimal=decimals.most_common(1)[0][0] if decimals else None,
        order=orders.most_common(1)[0][0] if orders else None,
    )
