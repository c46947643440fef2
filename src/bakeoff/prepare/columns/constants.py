"""Columns that say the same of every row, left out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bakeoff.core.protocols import TrainingRows
from bakeoff.core.types import Column
from bakeoff.prepare.columns.fitted import TableStep

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Dropped", "drop_constant", "largest_share"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantParams:
    """A column goes when one value (or none) fills at least `share` of the training rows."""

    columns: tuple[str, ...] = ()
    share: Annotated[float, Field(gt=0.5, le=1)] = 1.0


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """The columns that go."""

    names: tuple[str, ...]

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """See `bakeoff.core.protocols.Transform`."""
        return table.drop(*self.names, strict=False)

    def in_row(self, row: dict[str, Any]) -> None:
        """See `bakeoff.core.protocols.RowTransform`."""
        for name in self.names:
            row.pop(name, None)

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """See `bakeoff.core.protocols.Transform`."""
        return tuple(column for column in columns if column.name not in self.names)


def largest_share(series: "pl.Series") -> float:
    """The share of rows that the most frequent value has; missing is a value, too."""
    if not len(series):
        return 1.0
    return float(series.alias("value").value_counts(name="rows")["rows"].max() or 0) / len(series)  # pyright: ignore[reportArgumentType]


def _constant(rows: TrainingRows, columns: tuple[Column, ...], params: ConstantParams) -> Dropped:
    """Constant columns, but never the last input."""
    names = [column.name for column in columns if largest_share(rows.table[column.name]) >= params.share]
    return Dropped(names=tuple(names if len(names) < len(rows.columns) else names[1:]))


drop_constant = TableStep(
    name="drop_constant",
    version=1,
    params=ConstantParams,
    transform=Dropped,
    kinds=("numeric", "categorical", "boolean", "datetime", "text"),
    learn=_constant,
)
