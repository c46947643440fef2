"""Columns that are made of others: calendar parts, differences of times, products and ratios, counts, group means.

A `Derived` is plain data, learned from training rows, and makes of a table one with more columns; the same call does it
in training, in evaluation and in serving. Which of them are worth their place is chosen in `derivation`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.ledger import Loss
from bakeoff.core.types import Column, Schema
from bakeoff.families.features import calendar
from bakeoff.families.features.columns import categories, instants, numbers
from bakeoff.families.features.history import History
from bakeoff.families.features.lags import Lags

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CATEGORICAL", "Derived", "Feature", "FeatureKind", "FeatureSpec"]

FeatureKind: TypeAlias = Literal[
    "elapsed",
    "day_of_year",
    "weekend",
    "holiday",
    "hour_of_week",
    "days_between",
    "product",
    "ratio",
    "difference",
    "count",
    "deviation",
    "pair",
]
FeatureSpec: TypeAlias = tuple[FeatureKind, tuple[str, ...]]
"""A kind, and the columns that it is made of."""
CATEGORICAL: frozenset[FeatureKind] = frozenset({"hour_of_week", "pair"})
_Floats: TypeAlias = NDArray[np.float64]
_Values: TypeAlias = "_Floats | list[str | None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A column made of the columns `of`.

    `origin` is the first time of the training rows (elapsed; in microseconds since the epoch) or the mean of all
    (deviation); `days` are holidays since the epoch; `levels` what was counted or averaged by category.
    """

    name: str
    kind: FeatureKind
    of: tuple[str, ...]
    origin: float = 0.0
    days: tuple[int, ...] = ()
    levels: dict[str, float] | None = None


class _Cells:
    """The columns of a table as features need them, each read once."""

    def __init__(self, table: "pl.DataFrame", sources: Mapping[str, Column]) -> None:
        self._table, self._sources = table, sources
        self._times: dict[str, NDArray[np.datetime64]] = {}

    def times(self, name: str) -> "NDArray[np.datetime64]":
        if name not in self._times:
            self._times[name] = instants(self._table.get_column(name))
        return self._times[name]

    def numbers(self, name: str) -> _Floats:
        return numbers(self._table, (self._sources[name],))[:, 0]

    def names(self, name: str) -> list[str | None]:
        return categories(self._table, self._sources[name])


def _of_categories(feature: Feature, cells: _Cells, name: str, otherwise: float) -> _Floats:
    levels = feature.levels or {}
    return np.array(
        [np.nan if value is None else levels.get(value, otherwise) for value in cells.names(name)], dtype=np.float64
    )


def _ratio(feature: Feature, cells: _Cells) -> _Floats:
    above_n, below_n = (cells.numbers(name) for name in feature.of)
    with np.errstate(over="ignore"):
        return np.divide(above_n, below_n, out=np.full(len(above_n), np.nan), where=below_n != 0)


def _difference(feature: Feature, cells: _Cells) -> _Floats:
    return cells.numbers(feature.of[0]) - cells.numbers(feature.of[1])


def _product(feature: Feature, cells: _Cells) -> _Floats:
    with np.errstate(over="ignore"):
        return cells.numbers(feature.of[0]) * cells.numbers(feature.of[1])


def _pair(feature: Feature, cells: _Cells) -> list[str | None]:
    both = zip(cells.names(feature.of[0]), cells.names(feature.of[1]), strict=True)
    return [None if one is None or other is None else f"{one} & {other}" for one, other in both]


def _deviation(feature: Feature, cells: _Cells) -> _Floats:
    """How far a number is from the mean of its category's rows."""
    return cells.numbers(feature.of[1]) - _of_categories(feature, cells, feature.of[0], feature.origin)


VALUES: Mapping[FeatureKind, Callable[[Feature, _Cells], _Values]] = {
    "elapsed": lambda feature, cells: calendar.days_since(cells.times(feature.of[0]), feature.origin),
    "day_of_year": lambda feature, cells: calendar.day_of_year(cells.times(feature.of[0])),
    "weekend": lambda feature, cells: calendar.is_weekend(cells.times(feature.of[0])),
    "holiday": lambda feature, cells: calendar.is_holiday(cells.times(feature.of[0]), feature.days),
    "hour_of_week": lambda feature, cells: calendar.hour_of_week(cells.times(feature.of[0])),
    "days_between": lambda feature, cells: calendar.days_of(cells.times(feature.of[0]) - cells.times(feature.of[1])),
    "product": _product,
    "ratio": _ratio,
    "difference": _difference,
    "count": lambda feature, cells: _of_categories(feature, cells, feature.of[0], 0.0),
    "deviation": _deviation,
    "pair": _pair,
}


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What makes of a table one with more columns: `features` of `sources`, lags of the target, history of inputs."""

    sources: tuple[Column, ...]
    features: tuple[Feature, ...]
    lags: Lags | None = None
    history: History | None = None

    @classmethod
    def fit(
        cls,
        table: "pl.DataFrame",
        columns: Sequence[Column],
        specs: Sequence[FeatureSpec],
        schema: Schema,
        *,
        lags: Lags | None = None,
        history: History | None = None,
    ) -> "Derived":
        """Learn what features need of training rows: where time begins, how frequent categories are, means.

        Raises:
            CandidateError: holidays cannot be told.
        """
        used = {name for _, names in specs for name in names}
        sources = {column.name: column for column in columns if column.name in used}
        cells = _Cells(table, sources)
        taken = {column.name for column in columns} | {schema.target}
        features: list[Feature] = []
        for kind, names in specs:
            name = f"{kind}({', '.join(names)})"
            while name in taken:
                name += "_"
            taken.add(name)
            features.append(_learned(name, kind, names, cells, schema))
        return cls(sources=tuple(sources.values()), features=tuple(features), lags=lags, history=history)

    @cached_property
    def origins(self) -> Mapping[str, tuple[str, ...]]:
        """The columns that each further one is made of; lags are of the time."""
        lagged = dict.fromkeys(self.lags.names, (self.lags.time,)) if self.lags else {}
        earlier = self.history.origins if self.history else {}
        return {feature.name: feature.of for feature in self.features} | lagged | earlier

    @cached_property
    def _sources(self) -> dict[str, Column]:
        return {column.name: column for column in self.sources}

    def columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """The columns of the table that comes out when these are those of the one that goes in."""
        made = [
            Column(name=feature.name, kind="categorical", dtype="String")
            if feature.kind in CATEGORICAL
            else Column(name=feature.name, kind="numeric", dtype="Float64")
            for feature in self.features
        ]
        earlier = (*(self.lags.names if self.lags else ()), *(self.history.names if self.history else ()))
        return (*columns, *made, *(Column(name=name, kind="numeric", dtype="Float64") for name in earlier))

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """The table with more columns; a value that cannot be worked out is missing."""
        parts = [(part.names, part(table)) for part in (self.lags, self.history) if part]
        return self._with(table, parts)

    def of_training(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """The same for the training rows, whose lags know nothing that was not known when rows like them are served."""
        parts = [(part.names, part.of_training(table)) for part in (self.lags, self.history) if part]
        return self._with(table, parts)

    @property
    def rows_before(self) -> int:
        """How many rows before a row are looked at, as many as the model keeps of training."""
        return self.history.rows if self.history else 0

    def losses(self) -> tuple[Loss, ...]:
        """What could not be worked out of rows since this was loaded."""
        return tuple(loss for part in (self.lags, self.history) if part for loss in part.losses())

    def _with(self, table: "pl.DataFrame", earlier: "Sequence[tuple[Sequence[str], _Floats]]") -> "pl.DataFrame":
        import polars as pl

        cells = _Cells(table, self._sources)
        made: list[pl.Series] = []
        for feature in self.features:
            values = VALUES[feature.kind](feature, cells)
            dtype = pl.String if feature.kind in CATEGORICAL else pl.Float64
            made.append(pl.Series(feature.name, values, dtype=dtype))
        for names, value_nd in earlier:
            made += [pl.Series(name, value_nd[:, at]) for at, name in enumerate(names)]
        if any(series.name in table.columns for series in made):  # a further column of the caller is called so
            return table.with_columns(made)
        return table.hstack(made) if made else table


def _learned(name: str, kind: FeatureKind, of: tuple[str, ...], cells: _Cells, schema: Schema) -> Feature:
    """A feature with what it needs to know of the training rows."""
    if kind in {"elapsed", "holiday"}:
        time_n = cells.times(of[0])
        known_n = time_n[~np.isnat(time_n)].astype(np.int64)
        first, last = (float(known_n.min()), float(known_n.max())) if len(known_n) else (0.0, 0.0)
        if kind == "elapsed":
            return Feature(name=name, kind=kind, of=of, origin=first)
        return Feature(name=name, kind=kind, of=of, days=calendar.holiday_days(schema.holidays or "", first, last))
    if kind == "count":
        values, counts = np.unique([value for value in cells.names(of[0]) if value is not None], return_counts=True)
        return Feature(
            name=name, kind=kind, of=of, levels=dict(zip(values.tolist(), np.log1p(counts).tolist(), strict=True))
        )
    if kind == "deviation":
        number_n = cells.numbers(of[1])
        present = [
            (value, number)
            for value, number in zip(cells.names(of[0]), number_n.tolist(), strict=True)
            if value is not None and np.isfinite(number)
        ]
        mean = float(np.mean([number for _, number in present])) if present else 0.0
        return Feature(name=name, kind=kind, of=of, origin=mean, levels=_means(present, mean))
    return Feature(name=name, kind=kind, of=of)


SMOOTHING = 10.0


def _means(present: Sequence[tuple[str, float]], mean: float) -> dict[str, float]:
    """The mean number of each category, pulled towards the mean of all."""
    sums: dict[str, tuple[float, int]] = {}
    for value, number in present:
        total, count = sums.get(value, (0.0, 0))
        sums[value] = (total + number, count + 1)
    return {value: (total + SMOOTHING * mean) / (count + SMOOTHING) for value, (total, count) in sorted(sums.items())}
