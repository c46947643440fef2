# pyright: basic
# scipy comes without complete types
"""`neighbours`: the mean of the nearest training rows, near ones weighing more, over scaled columns.

Columns count by how much they say of the target alone, as far as validation rows call for it.

Source: T. Cover, P. Hart (1967), "Nearest Neighbor Pattern Classification"; S. Dudani (1976), "The Distance-Weighted
k-Nearest-Neighbor Rule"; D. Wettschereck et al. (1997), "A Review and Empirical Evaluation of Feature Weighting
Methods".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import one_of
from bakeoff.core.deadline import Deadline
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Predictions, Signature, Task
from bakeoff.families import saved
from bakeoff.families.features.choice import given, in_time, least_loss, sampled
from bakeoff.families.features.columns import complete, placed_columns
from bakeoff.families.features.heads import HeadSpec, validation_loss
from bakeoff.families.features.scaled import ScaledTable, alike
from bakeoff.families.features.targets import Target, row_weights
from bakeoff.families.saved import Array

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NeighboursFamily", "NeighboursModel", "NeighboursParams"]

_Floats: TypeAlias = NDArray[np.float64]

GRID = (3.0, 6.0, 12.0, 24.0)
LIMITS = (1.0, 200.0)
EMPHASES = (0.0, 0.5, 1.0, 2.0)
CHOICE_ROWS = 2000
"""Validation rows that are enough to choose on."""
PRIOR = 0.5
"""Neighbours that the shares of classes among all rows count for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighboursParams:
    """Parameters of `neighbours`.

    `neighbours`: how many near rows have a say. `emphasis`: how much columns count by what each says of the target,
    from 0 (all alike) on. `one_scale`: whether all columns keep their own units, as those of pixels should. All are
    chosen on validation rows when left out. `max_rows`: rows that are remembered, a random part if there are more.
    `balanced`: whether every class weighs the same; when left out, if the project's metric calls for it.
    """

    neighbours: Annotated[int, Field(ge=1, le=1000)] | None = None
    emphasis: Annotated[float, Field(ge=0, le=4)] | None = None
    one_scale: bool | None = None
    max_rows: Annotated[int, Field(ge=10)] = 50_000
    balanced: bool | None = field(default=None, metadata=one_of((True, False)) | only_for("classification"))


@dataclass(frozen=True, kw_only=True)
class NeighboursModel:
    """A fitted `neighbours` candidate: training rows as coordinates, and what was true of each."""

    signature: Signature
    chosen: Mapping[str, Any]
    table: ScaledTable
    stretch_d: Array
    row_md: Array
    value_m: Array
    weight_m: Array

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import KDTree

        return KDTree(self.row_md)

    @cached_property
    def _class_m(self) -> NDArray[np.int64]:
        return self.value_m.astype(np.int64)

    @cached_property
    def _prior_k(self) -> _Floats:
        """What the shares of classes among all rows count for, in neighbours."""
        share_k = np.bincount(self._class_m, weights=self.weight_m, minlength=len(self.signature.classes))
        return PRIOR * share_k / share_k.sum()

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        return self.answer(*self.near(complete(table, self.signature), int(self.chosen["neighbours"])))

    def near(self, table: "pl.DataFrame", neighbours: int, threads: int = 1) -> tuple[_Floats, NDArray[np.int64]]:
        """The distances (n, j) of the nearest rows and one more, and which they are."""
        x_nd = self.table(table) * self.stretch_d
        most = min(neighbours + 1, len(self.row_md))
        distance_nj, near_nj = self._tree.query(x_nd, most, workers=threads)
        return distance_nj.reshape(len(x_nd), most), near_nj.reshape(len(x_nd), most)

    def answer(self, distance_nj: _Floats, near_nj: NDArray[np.int64]) -> Predictions:
        """The weighted mean of neighbours; the last one only says how far is far."""
        far_n1 = distance_nj[:, -1:] + 1e-12
        if near_nj.shape[1] > 1:
            distance_nj, near_nj = distance_nj[:, :-1], near_nj[:, :-1]
        weight_nj = (1.0 + 1e-6 - distance_nj / far_n1) * self.weight_m[near_nj]
        classes = self.signature.classes
        if not classes:
            mean_n = (weight_nj * self.value_m[near_nj]).sum(axis=1) / weight_nj.sum(axis=1)
            return Predictions(values_n=mean_n)
        share_nk = np.tile(self._prior_k, (len(near_nj), 1))
        for at in range(near_nj.shape[1]):
            share_nk[np.arange(len(near_nj)), self._class_m[near_nj[:, at]]] += weight_nj[:, at]
        return Predictions.of_probabilities(share_nk / share_nk.sum(axis=1, keepdims=True), classes)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        saved.write(folder, NeighboursFamily.name, self)


class NeighboursFamily:
    """Builds `NeighboursModel`s."""

    name = "neighbours"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = NeighboursParams
    requires = ("numpy", "scipy", "polars")
    extra: str | None = None
    balances = True

    def fit(self, job: FitJob) -> NeighboursModel:
        """See `bakeoff.core.protocols.Family`."""
        return _Fit(job).model()

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> NeighboursModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`."""
        model, _ = saved.read(folder, self.name, NeighboursModel)
        _ = model._tree  # noqa: SLF001 # build it now, not at the first request
        return model


def stretches(x_nd: _Floats, value_n: _Floats, n_classes: int, emphasis: float) -> _Floats:
    """What each coordinate is multiplied by (d,): its correlation ratio with the target to the power of `emphasis` / 2.

    The ratio is the share of the variance that lies between classes; of numbers, between tenths of the target.
    """
    if emphasis == 0:
        return np.ones(x_nd.shape[1])
    group_n = value_n.astype(np.int64)
    if not n_classes:
        group_n = np.searchsorted(np.quantile(value_n, np.linspace(0, 1, 11)[1:-1]), value_n)
    _, group_n, count_g = np.unique(group_n, return_inverse=True, return_counts=True)
    off_nd = x_nd - x_nd.mean(axis=0)
    sum_gd = np.stack([np.bincount(group_n, weights=column) for column in off_nd.T], axis=1)
    between_d, all_d = (sum_gd**2 / count_g[:, None]).sum(axis=0), (off_nd**2).sum(axis=0)
    ratio_d = np.divide(between_d, all_d, out=np.zeros_like(all_d), where=all_d > 0)
    stretch_d = np.maximum(ratio_d, 1e-4) ** (emphasis / 2)
    return stretch_d / stretch_d.max()


class _Fit:
    """One fit: what is not given is chosen by what training rows say of validation rows."""

    def __init__(self, job: FitJob) -> None:
        self.job = job
        self._deadline = Deadline(job)
        self.params: NeighboursParams = job.params
        self.columns = placed_columns(job, "neighbours")
        self.target = Target.of(job)
        self.spec = HeadSpec.of(job, self.target.classes)
        self.given = given(job, "neighbours", "emphasis", "one_scale")

    def model(self) -> NeighboursModel:
        chosen = self._chosen()
        rows = self.target.split(whole=True)
        if len(rows) > self.params.max_rows:
            reason = f"of more rows than {self.params.max_rows:,}, a random part is remembered"
            lost = len(rows) - self.params.max_rows
            self.job.on_loss(Loss(kind="row", reason=reason, count=lost, of=len(rows), remedy="raise max_rows"))
        some = self._some(rows)
        return self._model(some, self._placed(some, one_scale=chosen["one_scale"]), chosen)

    def _some(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return sampled(rows, self.params.max_rows, self.job.seed)

    def _placed(self, rows: NDArray[np.int64], *, one_scale: bool) -> tuple[ScaledTable, _Floats]:
        target = self.target
        return ScaledTable.fit(
            target.table[rows], self.columns, target.columns(rows), one_scale=one_scale, seed=self.job.seed
        )

    def _model(
        self, rows: NDArray[np.int64], placed: tuple[ScaledTable, _Floats], chosen: dict[str, Any]
    ) -> NeighboursModel:
        target, (table, x_nd) = self.target, placed
        value_n = target.value_n[rows]
        stretch_d = stretches(x_nd, value_n, len(target.classes), chosen["emphasis"])
        return NeighboursModel(
            signature=Signature(task=self.job.task, inputs=self.columns, classes=target.classes),
            chosen=chosen,
            table=table,
            stretch_d=stretch_d,
            row_md=x_nd * stretch_d,
            value_m=value_n,
            weight_m=row_weights(self.job, value_n),
        )

    def _chosen(self) -> dict[str, Any]:
        """What is given, and of the rest the best on validation rows."""
        rows = self._some(self.target.split(whole=False))
        one_scales = (False, True) if alike(self.target.table[rows], self.columns) else (False,)
        one_scales = one_scales if self.given["one_scale"] is None else (bool(self.given["one_scale"]),)
        emphases = EMPHASES if self.given["emphasis"] is None else (float(self.given["emphasis"]),)
        if self.given["neighbours"] is not None and len(one_scales) == len(emphases) == 1:
            return {"neighbours": int(self.given["neighbours"]), "emphasis": emphases[0], "one_scale": one_scales[0]}
        placed: dict[bool, tuple[ScaledTable, _Floats]] = {}
        trials: list[tuple[float, dict[str, Any]]] = []
        options = tuple(product(one_scales, emphases))
        for one_scale, emphasis in in_time(options, self._deadline, "emphases of columns"):
            if one_scale not in placed:
                placed[one_scale] = self._placed(rows, one_scale=one_scale)
            loss, neighbours = self._number(rows, placed[one_scale], emphasis)
            trials.append((loss, {"neighbours": neighbours, "emphasis": emphasis, "one_scale": one_scale}))
        return min(trials, key=lambda trial: trial[0])[1]

    def _number(
        self, rows: NDArray[np.int64], placed: tuple[ScaledTable, _Floats], emphasis: float
    ) -> tuple[float, int]:
        """The least loss on validation rows, and how many neighbours it takes."""
        held = slice(self.target.training, self.target.training + CHOICE_ROWS)
        most = min(int(self.given["neighbours"] or LIMITS[1]), len(rows) - 1)
        model = self._model(rows, placed, {"neighbours": most, "emphasis": emphasis})
        distance_nj, near_nj = model.near(self.target.table[held], most, self.job.threads)
        losses: dict[float, float] = {}

        def loss(neighbours: float) -> float:
            first = round(neighbours) + 1
            predictions = model.answer(distance_nj[:, :first], near_nj[:, :first])
            losses[neighbours] = validation_loss(self.spec, predictions, self.target.value_n[held])
            return losses[neighbours]

        grid = [each for each in GRID if each <= most]
        if self.given["neighbours"] is not None or len(grid) < 2:  # noqa: PLR2004
            return loss(most), most
        name = f"emphasis {emphasis:g}, neighbours"
        best = least_loss(
            grid, loss, limits=(LIMITS[0], most), progress=self.job.progress, name=name, deadline=self._deadline
        )
        return losses[best], round(best)
