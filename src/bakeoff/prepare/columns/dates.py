"""Dates and times as numbers that a model can use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import tau
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from bakeoff.core.protocols import TrainingRows
from bakeoff.core.types import Column
from bakeoff.prepare.columns.fitted import TableStep, new_column, unused

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Parts", "datetime_parts"]

Part: TypeAlias = Literal["year", "month", "day", "weekday", "hour", "is_weekend"]
SATURDAY = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsParams:
    """Which parts; `cyclic` adds month, weekday and hour (with minutes) as points on a circle.

    On a circle December is near January; weekdays count from 1 (Monday). `keep`: whether the column itself stays.
    """

    columns: tuple[str, ...] = ()
    parts: tuple[Part, ...] = get_args(Part)
    cyclic: bool = False
    keep: bool = False


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Column → part → the name of the column that holds it. Parts of a missing time are missing."""

    names: dict[str, dict[str, str]]
    keep: bool

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """See `bakeoff.core.protocols.Transform`."""
        import polars as pl

        added = table.with_columns(
            _expressions()[part](pl.col(column)).alias(name)
            for column, parts in self.names.items()
            for part, name in parts.items()
        )
        return added if self.keep else added.drop(*self.names)

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """See `bakeoff.core.protocols.Transform`."""
        stay = tuple(column for column in columns if self.keep or column.name not in self.names)
        added = [
            new_column(name, "boolean" if part == "is_weekend" else "numeric")
            for parts in self.names.values()
            for part, name in parts.items()
        ]
        return (*stay, *added)


def _expressions() -> "Mapping[str, Callable[[pl.Expr], pl.Expr]]":
    import polars as pl

    def number(value: "pl.Expr") -> "pl.Expr":
        return value.cast(pl.Float64)

    def minute(time: "pl.Expr") -> "pl.Expr":
        return number(time.dt.hour()) * 60 + number(time.dt.minute())

    return {
        "year": lambda time: number(time.dt.year()),
        "month": lambda time: number(time.dt.month()),
        "day": lambda time: number(time.dt.day()),
        "weekday": lambda time: number(time.dt.weekday()),
        "hour": lambda time: number(time.dt.hour()),
        "is_weekend": lambda time: time.dt.weekday() >= SATURDAY,
        "month_sin": lambda time: (number(time.dt.month()) * (tau / 12)).sin(),
        "month_cos": lambda time: (number(time.dt.month()) * (tau / 12)).cos(),
        "weekday_sin": lambda time: (number(time.dt.weekday()) * (tau / 7)).sin(),
        "weekday_cos": lambda time: (number(time.dt.weekday()) * (tau / 7)).cos(),
        "hour_sin": lambda time: (minute(time) * (tau / 1440)).sin(),
        "hour_cos": lambda time: (minute(time) * (tau / 1440)).cos(),
    }


def _parts(rows: TrainingRows, columns: tuple[Column, ...], params: PartsParams) -> Parts:
    wanted = [*dict.fromkeys(params.parts)]
    if params.cyclic:
        wanted += [f"{part}_{axis}" for part in ("month", "weekday", "hour") for axis in ("sin", "cos")]
    taken = [*(column.name for column in rows.columns), rows.target.name]
    names: dict[str, dict[str, str]] = {}
    for column in columns:
        names[column.name] = {part: unused(f"{column.name}_{part}", taken) for part in wanted}
        taken += names[column.name].values()
    return Parts(names=names, keep=params.keep)


datetime_parts = TableStep(
    name="datetime_parts", version=1, params=PartsParams, transform=Parts, kinds=("datetime",), learn=_parts
)
