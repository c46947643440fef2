# pyright: basic
# scipy comes without complete types
"""`kernel`: a kernel machine over scaled columns: near rows have like targets. Strong on few rows and smooth targets.

Squared loss on every class (or the number), so that a fit is one eigendecomposition, which also gives what each row
would get from a fit without it; probabilities are a softmax of those left-out scores. The machine is
exact on few rows; of many, some are landmarks that stand for all (Nyström).

Source: C. Williams, M. Seeger (2001), "Using the Nyström Method to Speed Up Kernel Machines"; R. Rifkin,
R. Lippert (2007), "Notes on Regularized Least-Squares" (leave-one-out in closed form); J. Platt (1999),
"Probabilistic Outputs for Support Vector Machines".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import one_of
from bakeoff.core.deadline import Deadline
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import FitJob
from bakeoff.core.threads import limited
from bakeoff.core.types import Predictions, Signature, Task
from bakeoff.families import saved
from bakeoff.families.features.choice import given, in_time, least_loss, sampled
from bakeoff.families.features.columns import complete, placed_columns
from bakeoff.families.features.heads import HeadSpec, probabilities, products, validation_loss
from bakeoff.families.features.scaled import ScaledTable, alike
from bakeoff.families.features.targets import Target, row_weights
from bakeoff.families.saved import Array

if TYPE_CHECKING:
    import polars as pl

__all__ = ["KernelFamily", "KernelModel", "KernelParams"]

_Floats: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = Literal["smooth", "rough"]

WIDTHS = (0.3, 1.0, 3.0)
"""How fast likeness falls, in units of the middle distance between rows."""
WIDTH_LIMITS = (0.003, 30.0)
PENALTIES = tuple(10.0**power for power in range(-8, 4))
CHOICE_ROWS, CHOICE_LANDMARKS = 3000, 500
"""Training rows and landmarks by which width and shape are chosen."""
BLOCK_ROWS = 1024
LEAST_EIGENVALUE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelParams:
    """Parameters of `kernel`.

    `width`: how fast likeness falls with the distance of rows, where 1 is the middle distance. `shape`: "smooth"
    (Gaussian), or "rough" (exponential) for targets that jump. `one_scale`: whether all columns keep their own units,
    as those of pixels should. `penalty`: L2. All are chosen on validation rows when left out. `landmarks`: rows that
    the machine is made of, where there are more than twice as many; else all are. `max_rows`: rows that are learned
    from, a random part if there are more. `balanced`: whether every class weighs the same; when left out, if the
    project's metric calls for it.
    """

    width: Annotated[float, Field(gt=0)] | None = None
    shape: Shape | None = None
    one_scale: bool | None = None
    penalty: Annotated[float, Field(gt=0)] | None = None
    landmarks: Annotated[int, Field(ge=10, le=5000)] = 1000
    max_rows: Annotated[int, Field(ge=10)] = 20_000
    balanced: bool | None = field(default=None, metadata=one_of((True, False)) | only_for("classification"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Likeness:
    """Rows (n, d) to their likeness to landmarks (n, m), between 0 and 1."""

    landmark_md: Array
    width: float
    power: float

    def __call__(self, x_nd: _Floats) -> _Floats:
        from scipy.spatial.distance import cdist

        distance_nm = cdist(x_nd, self.landmark_md, "sqeuclidean")
        distance_nm *= self.width
        return np.exp(-(distance_nm if self.power == 1 else distance_nm**self.power))


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelModel:
    """A fitted `kernel` candidate: scores are likeness · coef + intercept, probabilities their softmax."""

    signature: Signature
    chosen: Mapping[str, Any]
    table: ScaledTable
    likeness: _Likeness
    coef_mk: Array
    intercept_k: Array

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        x_nd = self.table(complete(table, self.signature))
        score_nk = np.empty((len(x_nd), self.coef_mk.shape[1]))
        for start in range(0, len(x_nd), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            score_nk[rows] = products(self.likeness(x_nd[rows]), self.coef_mk)
        return _predictions(score_nk + self.intercept_k, self.signature.classes)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        saved.write(folder, KernelFamily.name, self)


class KernelFamily:
    """Builds `KernelModel`s."""

    name = "kernel"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = KernelParams
    requires = ("numpy", "scipy", "polars")
    extra: str | None = None
    balances = True

    def fit(self, job: FitJob) -> KernelModel:
        """See `bakeoff.core.protocols.Family`."""
        with limited(1):  # the result must not depend on how many threads there are
            return _Fit(job).model()

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> KernelModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`."""
        return saved.read(folder, self.name, KernelModel)[0]


def _predictions(score_nk: _Floats, classes: tuple[str, ...]) -> Predictions:
    if not classes:
        return Predictions(values_n=score_nk[:, 0])
    return Predictions.of_probabilities(probabilities(score_nk), classes)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Training rows as coordinates, what their scores should be, and how much each weighs."""

    table: ScaledTable
    x_nd: _Floats
    wanted_nk: _Floats
    weight_n: _Floats


@dataclass(frozen=True, slots=True)
class _Machine:
    """The eigendecomposition of a ridge regression on the landmarks' features: all penalties at little cost."""

    likeness: _Likeness
    root_mr: _Floats
    center_r: _Floats
    center_k: _Floats
    value_r: _Floats
    turned_nr: _Floats
    turn_rr: _Floats
    weight_n: _Floats
    rest_nk: _Floats
    pull_rk: _Floats

    @classmethod
    def of(cls, rows: _Encoded, likeness: _Likeness) -> "_Machine":
        from scipy.linalg import eigh

        value_m, vector_mm = eigh(likeness(likeness.landmark_md))
        strong = value_m > LEAST_EIGENVALUE * value_m[-1]
        root_mr = vector_mm[:, strong] / np.sqrt(value_m[strong])
        z_nr = likeness(rows.x_nd) @ root_mr
        share_n = rows.weight_n / rows.weight_n.sum()
        center_r, center_k = share_n @ z_nr, share_n @ rows.wanted_nk
        z_nr -= center_r
        weighted_nr = z_nr * np.sqrt(rows.weight_n)[:, None]
        value_r, turn_rr = eigh(weighted_nr.T @ weighted_nr)
        turned_nr, rest_nk = z_nr @ turn_rr, rows.wanted_nk - center_k
        return cls(
            likeness=likeness,
            root_mr=root_mr,
            center_r=center_r,
            center_k=center_k,
            value_r=np.maximum(value_r, 0.0),
            turned_nr=turned_nr,
            turn_rr=turn_rr,
            weight_n=rows.weight_n,
            rest_nk=rest_nk,
            pull_rk=turned_nr.T @ (rest_nk * rows.weight_n[:, None]),
        )

    def solved(self, penalty: float) -> _Floats:
        """Coefficients of the turned features (r, k)."""
        return self.pull_rk / (self.value_r + penalty)[:, None]

    def left_out(self, penalty: float) -> _Floats:
        """Each row's score (n, k) by a fit without it."""
        own_n = self.weight_n * (self.turned_nr**2 @ (1 / (self.value_r + penalty)))
        own_n += self.weight_n / self.weight_n.sum()
        off_nk = self.rest_nk - self.turned_nr @ self.solved(penalty)
        return self.center_k + self.rest_nk - off_nk / np.maximum(1 - own_n, 1e-6)[:, None]

    def flat(self, coef_rk: _Floats) -> tuple[_Floats, _Floats]:
        """The same as coefficients of the likeness to landmarks (m, k), and the intercept (k,)."""
        back_rk = self.turn_rr @ coef_rk
        return self.root_mr @ back_rk, self.center_k - self.center_r @ back_rk


def _softened(score_nk: _Floats, value_n: _Floats, weight_n: _Floats) -> tuple[float, _Floats]:
    """The slope and the biases (k,) by which scores become logits: least log loss of the true classes."""
    from scipy.optimize import minimize

    n, k = score_nk.shape
    share_n = weight_n / weight_n.sum()
    hit_nk = np.full((n, k), 1.0 / (n + k))  # Platt's targets: never as sure as the rows that were seen
    hit_nk[np.arange(n), value_n.astype(np.int64)] = (n + 1.0) / (n + k)

    def loss(at: _Floats) -> tuple[float, _Floats]:
        slope, bias_k = np.exp(at[0]), at[1:]
        chance_nk = probabilities(slope * score_nk + bias_k)
        off_nk = (chance_nk - hit_nk) * share_n[:, None]
        gradient = np.append(slope * (off_nk * score_nk).sum(), off_nk.sum(axis=0) + 2 * bias_k / n)
        surprise_n = -(hit_nk * np.log(np.maximum(chance_nk, 1e-300))).sum(axis=1)
        return float(share_n @ surprise_n + bias_k @ bias_k / n), gradient

    best = minimize(
        loss, np.append(1.0, np.zeros(k)), jac=True, method="L-BFGS-B", bounds=[(-5, 5)] + [(None, None)] * k
    ).x
    return float(np.exp(best[0])), best[1:]


class _Fit:
    """One fit: width, shape and scale are chosen with few landmarks, the penalty with all."""

    def __init__(self, job: FitJob) -> None:
        self.job = job
        self._deadline = Deadline(job)
        self.params: KernelParams = job.params
        self.columns = placed_columns(job, "kernel")
        self.target = Target.of(job)
        self.spec = HeadSpec.of(job, self.target.classes)
        self.given = given(job, "width", "shape", "one_scale", "penalty")

    def model(self) -> KernelModel:
        one_scale, shape, width = self._shape()
        penalty = self.given["penalty"]
        if penalty is None:
            rows = self._encoded(self._some(whole=False, most=self.params.max_rows), one_scale)
            penalty, _ = self._penalty(rows, shape, width, self.params.landmarks)
        all_rows = len(self.target.value_n)
        rows = self._encoded(self._some(whole=True, most=self.params.max_rows), one_scale)
        if len(rows.x_nd) < all_rows:
            reason = f"of more rows than {self.params.max_rows:,}, a random part is learned from"
            lost = all_rows - len(rows.x_nd)
            self.job.on_loss(Loss(kind="row", reason=reason, count=lost, of=all_rows, remedy="raise max_rows"))
        self.job.progress(f"fitting {len(rows.x_nd)} rows")
        machine = _Machine.of(rows, self._likeness(rows.x_nd, shape, width, self.params.landmarks))
        coef_mk, intercept_k = self._head(machine, float(penalty), self._values(rows))
        return KernelModel(
            signature=Signature(task=self.job.task, inputs=self.columns, classes=self.target.classes),
            chosen={"one_scale": one_scale, "shape": shape, "width": width, "penalty": float(penalty)},
            table=rows.table,
            likeness=machine.likeness,
            coef_mk=coef_mk,
            intercept_k=intercept_k,
        )

    def _some(self, *, whole: bool, most: int) -> NDArray[np.int64]:
        return sampled(self.target.split(whole=whole), most, self.job.seed)

    def _shape(self) -> tuple[bool, Shape, float]:
        """Whether columns have one scale, the shape and the width: those given, else the best with few landmarks."""
        if self.given["one_scale"] is None:
            alone = alike(self.target.table[: self.target.training], self.columns)
            scales = (False, True) if alone else (False,)
        else:
            scales = (bool(self.given["one_scale"]),)
        shapes: tuple[Shape, ...] = ("smooth", "rough") if self.given["shape"] is None else (self.given["shape"],)
        if len(scales) == len(shapes) == 1 and self.given["width"] is not None:
            return scales[0], shapes[0], float(self.given["width"])
        some = self._some(whole=False, most=CHOICE_ROWS)
        encoded: dict[bool, _Encoded] = {}
        trials: list[tuple[float, bool, Shape, float]] = []
        for one_scale, shape in in_time(tuple(product(scales, shapes)), self._deadline, "shapes and scales"):
            if one_scale not in encoded:
                encoded[one_scale] = self._encoded(some, one_scale)
            loss, width = self._width(encoded[one_scale], shape)
            trials.append((loss, one_scale, shape, width))
        return min(trials, key=lambda trial: trial[0])[1:]

    def _width(self, rows: _Encoded, shape: Shape) -> tuple[float, float]:
        """The least loss on validation rows, and the width that it takes."""
        losses: dict[float, float] = {}

        def loss(width: float) -> float:
            losses[width] = self._penalty(rows, shape, width, CHOICE_LANDMARKS)[1]
            return losses[width]

        if self.given["width"] is not None:
            width = float(self.given["width"])
            return loss(width), width
        width = least_loss(
            WIDTHS,
            loss,
            limits=WIDTH_LIMITS,
            progress=self.job.progress,
            name=f"{shape}, width",
            deadline=self._deadline,
        )
        return losses[width], width

    def _encoded(self, rows: NDArray[np.int64], one_scale: bool) -> _Encoded:  # noqa: FBT001
        target = self.target
        table, x_nd = ScaledTable.fit(
            target.table[rows], self.columns, target.columns(rows), one_scale=one_scale, seed=self.job.seed
        )
        return _Encoded(table, x_nd, *self._wanted(target.value_n[rows]))

    def _wanted(self, value_n: _Floats) -> tuple[_Floats, _Floats]:
        """What scores should be (n, k), and how much each row weighs (n,)."""
        if not self.target.classes:
            return value_n[:, None], np.ones(len(value_n))
        wanted_nk = (value_n[:, None] == np.arange(len(self.target.classes))).astype(np.float64)
        return wanted_nk, row_weights(self.job, value_n)

    def _likeness(self, x_nd: _Floats, shape: Shape, width: float, most: int) -> _Likeness:
        from scipy.spatial.distance import pdist

        order = np.random.default_rng(self.job.seed).permutation(len(x_nd))
        landmark_md = x_nd[np.sort(order[:most])] if len(x_nd) > 2 * most else x_nd
        middle = float(np.median(pdist(x_nd[np.sort(order[:500])], "sqeuclidean"))) if len(x_nd) > 1 else 1.0
        return _Likeness(
            landmark_md=landmark_md, width=width / (middle or 1.0), power=1.0 if shape == "smooth" else 0.5
        )

    def _penalty(self, rows: _Encoded, shape: Shape, width: float, landmarks: int) -> tuple[float, float]:
        """The penalty with the least loss on validation rows, and that loss."""
        machine = _Machine.of(rows, self._likeness(rows.x_nd, shape, width, landmarks))
        likeness_vm = machine.likeness(rows.table(self.target.table[self.target.training :]))
        value_n = self._values(rows)
        truth_n = self.target.value_n[self.target.training :]
        wanted_vk, weight_v = self._wanted(truth_n)
        errors: dict[float, float] = {}
        for penalty in PENALTIES if self.given["penalty"] is None else (float(self.given["penalty"]),):
            coef_mk, intercept_k = machine.flat(machine.solved(penalty))
            error_v = ((likeness_vm @ coef_mk + intercept_k - wanted_vk) ** 2).sum(axis=1)
            errors[penalty] = float(weight_v @ error_v)
        best = min(errors, key=lambda penalty: (errors[penalty], -penalty))
        coef_mk, intercept_k = self._head(machine, best, value_n)
        predictions = _predictions(likeness_vm @ coef_mk + intercept_k, self.target.classes)
        return best, validation_loss(self.spec, predictions, truth_n)

    def _values(self, rows: _Encoded) -> _Floats:
        return rows.wanted_nk.argmax(axis=1).astype(np.float64) if self.target.classes else rows.wanted_nk[:, 0]

    def _head(self, machine: _Machine, penalty: float, value_n: _Floats) -> tuple[_Floats, _Floats]:
        """Coefficients and intercepts of what is to be predicted: the number, or the classes' logits."""
        coef_mk, intercept_k = machine.flat(machine.solved(penalty))
        if not self.target.classes:
            return coef_mk, intercept_k
        slope, bias_k = _softened(machine.left_out(penalty), value_n, machine.weight_n)
        return slope * coef_mk, slope * intercept_k + bias_k
