"""Categories told by the target's mean in their training rows.

Source: D. Micci-Barreca (2001), "A Preprocessing Scheme for High-Cardinality Categorical Attributes in
Classification and Prediction Problems", with the weight n / (n + smoothing); training rows get the means of
folds that lack them, as a model would otherwise read their own targets.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import TrainingRows
from bakeoff.core.types import Column
from bakeoff.prepare.columns.categories import names_of
from bakeoff.prepare.columns.fitted import LARGEST, TableStep, new_column, unused

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CategoryMeans", "encode_target"]

_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetParams:
    """A category of n rows is told by its own mean and the mean of all, weighed n to `smoothing`.

    `folds` are those of the training rows; `keep`: whether the column itself stays.
    """

    columns: tuple[str, ...] = ()
    smoothing: Annotated[float, Field(gt=0)] = 30.0
    folds: Annotated[int, Field(ge=2, le=100)] = 5
    keep: bool = False


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A column's categories as mean targets (k numbers each): known ones, missing ones and all others."""

    names: tuple[str, ...]
    """The columns that hold them."""
    known: dict[str, tuple[float, ...]]
    missing: tuple[float, ...]
    other: tuple[float, ...]

    @cached_property
    def _rows(self) -> tuple[dict[str | None, int], _Floats]:
        rows: dict[str | None, int] = {value: at for at, value in enumerate(self.known)}
        return {**rows, None: len(rows)}, np.array([*self.known.values(), self.missing, self.other])

    def of(self, series: "pl.Series") -> _Floats:
        """The means of a column's rows (n, k)."""
        rows, means_ck = self._rows
        other = len(rows)
        return means_ck[[rows.get(value, other) for value in names_of(series)]].reshape(len(series), len(self.names))


@dataclass(frozen=True, kw_only=True)
class CategoryMeans:
    """Column → its means."""

    encodings: dict[str, Mean]
    keep: bool

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """See `bakeoff.core.protocols.Transform`."""
        return self.given(table, {name: each.of(table[name]) for name, each in self.encodings.items()})

    def given(self, table: "pl.DataFrame", means: dict[str, _Floats]) -> "pl.DataFrame":
        """The table with these means (n, k) of each column."""
        import polars as pl

        added = table.with_columns(
            pl.Series(name, means[column][:, at])
            for column, each in self.encodings.items()
            for at, name in enumerate(each.names)
        )
        return added if self.keep else added.drop(*self.encodings)

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """See `bakeoff.core.protocols.Transform`."""
        stay = tuple(column for column in columns if self.keep or column.name not in self.encodings)
        return (*stay, *(new_column(name, "numeric") for each in self.encodings.values() for name in each.names))


def _means(rows: TrainingRows, columns: tuple[Column, ...], params: TargetParams) -> CategoryMeans:
    suffixes, target_nk = _target(rows)
    taken = [*(column.name for column in rows.columns), rows.target.name]
    found: dict[str, Mean] = {}
    for column in columns:
        names: list[str] = []
        for suffix in suffixes:
            names.append(unused(f"{column.name}_{suffix}", taken))
            taken.append(names[-1])
        values = names_of(rows.table[column.name])
        known = sorted({value for value in values if value is not None})
        means_ck = _shrunk(_codes(values, known), target_nk, len(known) + 2, params.smoothing)
        missing, other = means_ck[-2].tolist(), means_ck[-1].tolist()
        by_name = {value: tuple(mean) for value, mean in zip(known, means_ck.tolist(), strict=False)}
        found[column.name] = Mean(names=tuple(names), known=by_name, missing=tuple(missing), other=tuple(other))
    return CategoryMeans(encodings=found, keep=params.keep)


def _out_of_fold(rows: TrainingRows, params: TargetParams, means: CategoryMeans) -> "pl.DataFrame":
    """The training rows, each with the means of the folds that lack it."""
    _, target_nk = _target(rows)
    fold_n = np.random.default_rng(rows.seed).permutation(rows.table.height) % params.folds
    found: dict[str, _Floats] = {}
    for name, each in means.encodings.items():
        code_n = _codes(names_of(rows.table[name]), list(each.known))
        out_nk = np.empty_like(target_nk)
        for fold in range(params.folds):
            inside_n = fold_n == fold
            means_ck = _shrunk(code_n[~inside_n], target_nk[~inside_n], len(each.known) + 2, params.smoothing)
            out_nk[inside_n] = means_ck[code_n[inside_n]]
        found[name] = out_nk
    return means.given(rows.table, found)


def _target(rows: TrainingRows) -> tuple[tuple[str, ...], _Floats]:
    """What is averaged, with a word for each: one 0/1 column per class (of two, the second), or the numbers."""
    import polars as pl

    if rows.task == "regression":
        return ("target",), rows.target.cast(pl.Float64).to_numpy()[:, None]
    if rows.task != "classification":
        raise CandidateError(
            f"step 'encode_target': expected a task of classes or numbers, received {rows.task!r}; use encode_frequency"
        )
    label_n = rows.target.cast(pl.String).to_numpy()
    classes: list[str] = sorted(set(label_n.tolist()))
    if len(classes) <= 2:  # noqa: PLR2004
        return ("target",), (label_n == classes[-1]).astype(np.float64)[:, None]
    return tuple(f"target_{name}" for name in classes), (label_n[:, None] == np.array(classes)).astype(np.float64)


def _codes(values: list[str | None], known: list[str]) -> NDArray[np.int64]:
    """Positions among the known categories; after them what is missing, then (of no training row) all others."""
    position: dict[str | None, int] = {value: at for at, value in enumerate(known)}
    position[None] = len(known)
    return np.array([position[value] for value in values], dtype=np.int64)


def _shrunk(code_n: NDArray[np.int64], target_nk: _Floats, size: int, smoothing: float) -> _Floats:
    """Mean target by code (c, k), pulled towards the mean of all; that alone for codes without rows."""
    with np.errstate(over="ignore", invalid="ignore"):
        prior_k = target_nk.mean(axis=0) if len(target_nk) else np.zeros(target_nk.shape[1])
        count_c = np.bincount(code_n, minlength=size)
        sum_ck = np.column_stack([np.bincount(code_n, weights=column, minlength=size) for column in target_nk.T])
        means_ck = (sum_ck + smoothing * prior_k) / (count_c[:, None] + smoothing)
    return np.nan_to_num(means_ck, posinf=LARGEST, neginf=-LARGEST)


encode_target = TableStep(
    name="encode_target",
    version=1,
    params=TargetParams,
    transform=CategoryMeans,
    kinds=("categorical",),
    takes=("numeric", "boolean"),
    learn=_means,
    train=_out_of_fold,
)
