"""Steps over categories: rare ones put together, shares in place of names, and names hashed into buckets."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bakeoff.core.hashing import digest
from bakeoff.core.protocols import TrainingRows
from bakeoff.core.types import Column
from bakeoff.prepare.columns.fitted import TableStep, new_column, unused

if TYPE_CHECKING:
    import polars as pl

__all__ = ["GroupedCategories", "Hashed", "Shares", "encode_frequency", "encode_hash", "group_rare", "names_of"]


def names_of(series: "pl.Series") -> list[str | None]:
    """Values as category names; None where missing."""
    import polars as pl

    return series.cast(pl.String).to_list()


def _counted(series: "pl.Series") -> dict[str | None, int]:
    """How many rows each category has, the most frequent first."""
    import polars as pl

    counts = (
        series.cast(pl.String).alias("name").value_counts(name="rows").sort("rows", "name", descending=[True, False])
    )
    return dict(counts.iter_rows())


# --- rare categories ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RareParams:
    """A category stays when it has at least `min_rows` and at least `min_share` of the training rows."""

    columns: tuple[str, ...] = ()
    min_rows: Annotated[int, Field(ge=1)] = 20
    min_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    other: Annotated[str, Field(min_length=1)] = "other"


@dataclass(frozen=True, kw_only=True)
class GroupedCategories:
    """Column → the categories that stay; all others, unseen ones too, become `other`. Missing ones stay missing."""

    kept: dict[str, tuple[str, ...]]
    other: str

    @cached_property
    def _known(self) -> "dict[str, set[str | None]]":
        return {name: {None, *kept} for name, kept in self.kept.items()}

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """See `bakeoff.core.protocols.Transform`."""
        import polars as pl

        return table.with_columns(
            pl.Series(name, [v if v in known else self.other for v in table[name].to_list()], dtype=pl.String)
            for name, known in self._known.items()
        )

    def in_row(self, row: dict[str, Any]) -> None:
        """See `bakeoff.core.protocols.RowTransform`."""
        for name, known in self._known.items():
            if row[name] not in known:
                row[name] = self.other

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """See `bakeoff.core.protocols.Transform`."""
        return columns


def _frequent(rows: TrainingRows, columns: tuple[Column, ...], params: RareParams) -> GroupedCategories:
    least = max(params.min_rows, params.min_share * rows.table.height)
    kept = {
        column.name: tuple(v for v, n in _counted(rows.table[column.name]).items() if v is not None and n >= least)
        for column in columns
    }
    return GroupedCategories(kept=kept, other=params.other)


# --- shares -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyParams:
    """`keep`: whether the column itself stays beside its shares."""

    columns: tuple[str, ...] = ()
    keep: bool = False


@dataclass(frozen=True, kw_only=True)
class Share:
    """A column's categories as shares of the training rows, and the name of the column that holds them."""

    name: str
    shares: dict[str, float]
    missing: float

    @cached_property
    def by_name(self) -> Mapping[str | None, float]:
        """The share of each category; None is what is missing."""
        return {**self.shares, None: self.missing}


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Column → its shares; a category that training rows did not have has none of them."""

    encodings: dict[str, Share]
    keep: bool

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """See `bakeoff.core.protocols.Transform`."""
        import polars as pl

        added = table.with_columns(
            pl.Series(each.name, [each.by_name.get(v, 0.0) for v in names_of(table[name])], dtype=pl.Float64)
            for name, each in self.encodings.items()
        )
        return added if self.keep else added.drop(*self.encodings)

    def in_row(self, row: dict[str, Any]) -> None:
        """See `bakeoff.core.protocols.RowTransform`."""
        import polars as pl

        for name, each in self.encodings.items():
            value = row[name] if self.keep else row.pop(name)
            if not isinstance(value, str):
                (value,) = names_of(pl.Series([value]))
            row[each.name] = each.by_name.get(value, 0.0)

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """See `bakeoff.core.protocols.Transform`."""
        stay = tuple(column for column in columns if self.keep or column.name not in self.encodings)
        return (*stay, *(new_column(each.name, "numeric") for each in self.encodings.values()))


def _shares(rows: TrainingRows, columns: tuple[Column, ...], params: FrequencyParams) -> Shares:
    taken = [*(column.name for column in rows.columns), rows.target.name]
    found: dict[str, Share] = {}
    for column in columns:
        name = unused(f"{column.name}_frequency", taken)
        taken.append(name)
        counts = _counted(rows.table[column.name])
        shares = {value: count / rows.table.height for value, count in counts.items() if value is not None}
        found[column.name] = Share(name=name, shares=shares, missing=counts.get(None, 0) / max(rows.table.height, 1))
    return Shares(encodings=found, keep=params.keep)


# --- buckets ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HashParams:
    """How many buckets there are; two categories share one with a chance of about one in so many."""

    columns: tuple[str, ...] = ()
    buckets: Annotated[int, Field(ge=2, le=2**20)] = 256


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """Columns whose categories become the names of buckets, by the bytes of the category alone.

    Source: K. Weinberger et al. (2009), "Feature Hashing for Large Scale Multitask Learning", without signs.
    """

    names: tuple[str, ...]
    buckets: int

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """See `bakeoff.core.protocols.Transform`."""
        import polars as pl

        return table.with_columns(pl.Series(name, self._hashed(table[name]), dtype=pl.String) for name in self.names)

    def _hashed(self, series: "pl.Series") -> list[str | None]:
        values = names_of(series)
        buckets = {v: None if v is None else str(int(digest(v.encode())[:15], 16) % self.buckets) for v in set(values)}
        return [buckets[value] for value in values]

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """See `bakeoff.core.protocols.Transform`."""
        return columns


def _hashes(rows: TrainingRows, columns: tuple[Column, ...], params: HashParams) -> Hashed:
    del rows  # nothing is learned but which columns there are
    return Hashed(names=tuple(column.name for column in columns), buckets=params.buckets)


group_rare = TableStep(
    name="group_rare",
    version=1,
    params=RareParams,
    transform=GroupedCategories,
    kinds=("categorical",),
    learn=_frequent,
)
encode_frequency = TableStep(
    name="encode_frequency",
    version=1,
    params=FrequencyParams,
    transform=Shares,
    kinds=("categorical",),
    takes=("numeric", "boolean"),
    learn=_shares,
)
encode_hash = TableStep(
    name="encode_hash", version=1, params=HashParams, transform=Hashed, kinds=("categorical",), learn=_hashes
)
