# pyright: basic
# scikit-learn and scipy.sparse come without complete types
"""Linear heads: logistic and ridge regression on top of any features, dense or sparse.

A fitted head is a matrix and an intercept; scikit-learn is needed to fit some, and to use none.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.deadline import Deadline
from bakeoff.core.protocols import FitJob, Progress
from bakeoff.core.threads import limited
from bakeoff.core.types import Predictions
from bakeoff.families.features.choice import least_loss, sampled
from bakeoff.families.features.targets import balance, balanced_weights, both_weights, ranked_by
from bakeoff.families.saved import Array
from bakeoff.metrics.value import value

__all__ = ["HeadSpec", "LinearHead", "answering", "best_penalty", "log_loss", "probabilities", "products"]
__all__ += ["validation_loss"]

Features: TypeAlias = Any  # (n, d): an array or a scipy csr_array
_Floats: TypeAlias = NDArray[np.float64]
MOST_FOR_HESSIAN = 1000
CHOICE_ROWS = 20_000
"""Training rows that are enough to choose a penalty on."""
TOLERANCE = 3e-6
"""Share of the objective that a fit of many classes may lie above its minimum."""
CHOICE_TOLERANCE = 3e-3
"""The same while a penalty is chosen."""
LIMITS = (1e-4, 1e6)
"""The least and the largest penalty that is tried."""
BLOCK_ROWS = 64
HESSIAN = "newton-cholesky"
FEW_CLASSES = 20
"""Over dense features: of more classes scikit-learn's solver takes minutes, and knows no start."""
NEVER = -30.0
"""Logit of a class that training rows lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearHead:
    """Scores x · coef + intercept: (n, 1) for numbers and two classes, else (n, k)."""

    coef_dk: Array
    intercept_k: Array
    classes: tuple[str, ...]

    def __call__(self, x_nd: Features) -> Predictions:
        """Predict from features (n, d)."""
        score_nk = products(x_nd, self.coef_dk) + self.intercept_k
        if not self.classes:
            return Predictions(values_n=score_nk[:, 0])
        return Predictions.of_probabilities(probabilities(score_nk), self.classes)


def products(x_nd: Features, coef_dk: Array) -> _Floats:
    """X · coef, by blocks of one size: what a row gets does not depend on the rows beside it, to the last bit.

    (BLAS adds up in another order for other shapes. Sparse rows are added up one by one anyway; so are rows of one sum,
    of which a block of several would be for nothing where one row is asked about.)
    """
    if not isinstance(x_nd, np.ndarray):
        return np.asarray(x_nd @ coef_dk)
    x_nd, coef_dk = np.ascontiguousarray(x_nd), np.ascontiguousarray(coef_dk)
    (count, width), sums = x_nd.shape, coef_dk.shape[1]
    if sums == 1:
        return (x_nd[:, None, :] @ coef_dk)[:, 0]
    rows = BLOCK_ROWS
    blocks, rest = divmod(count, rows)
    out_nk, whole = np.empty((count, sums)), count - rest
    if blocks:
        block_rd = x_nd[:whole].reshape(blocks, rows, width)
        np.matmul(block_rd, coef_dk, out=out_nk[:whole].reshape(blocks, rows, sums))
    if rest:
        last_rd = np.zeros((rows, width))
        last_rd[:rest] = x_nd[whole:]
        out_nk[whole:] = (last_rd @ coef_dk)[:rest]
    return out_nk


def probabilities(score_nk: _Floats) -> _Floats:
    """Logits to probabilities: one column means two classes (logistic), more are normalised (softmax)."""
    if score_nk.shape[1] == 1:  # the same, class by class
        score_kn = np.zeros((2, len(score_nk)))
        score_kn[1] = score_nk[:, 0]
        power_kn = np.exp(score_kn - np.maximum(0.0, score_kn[1]))
        return np.ascontiguousarray((power_kn / (power_kn[0] + power_kn[1])).T)
    power_nk = np.exp(score_nk - np.maximum.reduce(score_nk, axis=1, keepdims=True, initial=-np.inf))
    return power_nk / np.add.reduce(power_nk, axis=1, keepdims=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """How to fit a head. `scale_d` multiplies each feature, the more the weaker its penalty.

    `balance`: to what power rows weigh the inverse of their class's share. `threads` change no result.
    """

    classes: tuple[str, ...]
    balance: float
    metric: str
    seed: int
    progress: Progress
    threads: int = 1

    @classmethod
    def of(cls, job: FitJob, classes: tuple[str, ...]) -> "HeadSpec":
        """As a job wants its heads."""
        return cls(
            classes=classes,
            balance=balance(job),
            metric=job.metric,
            seed=job.seed,
            progress=job.progress,
            threads=job.threads,
        )

    def fit(
        self,
        x_nd: Features,
        value_n: _Floats,
        penalty: float,
        scale_d: _Floats,
        *,
        start: LinearHead | None = None,
        tolerance: float = TOLERANCE,
        weight_n: _Floats | None = None,
    ) -> LinearHead:
        """Fit with an L2 `penalty`: 1/C of logistic regression, alpha of ridge; `weight_n` are the rows' weights.

        One BLAS thread, so that the result does not depend on how many there are. Of many classes, where a fit is long,
        it starts from the head `start` and ends at `tolerance`.
        """
        with limited(1), warnings.catch_warnings(record=True) as caught:
            before = _unscaled(start, scale_d)
            head = self._fitted(_scaled(x_nd, scale_d), value_n, penalty, before, tolerance, weight_n=weight_n)
        if caught:
            self.progress(f"penalty {penalty:g}: stopped before it converged")
        return LinearHead(coef_dk=head.coef_dk * scale_d[:, None], intercept_k=head.intercept_k, classes=self.classes)

    def _fitted(
        self,
        x_nd: Features,
        value_n: _Floats,
        penalty: float,
        start: LinearHead | None,
        tolerance: float,
        *,
        weight_n: _Floats | None,
    ) -> LinearHead:
        if not self.classes:
            return self._ridge(x_nd, value_n, penalty, weight_n)
        weight_n = both_weights(balanced_weights(value_n, self.balance) if self.balance else None, weight_n)
        present = np.unique(value_n).astype(np.int64)
        if len(present) == 2 or (isinstance(x_nd, np.ndarray) and len(present) <= FEW_CLASSES):  # noqa: PLR2004
            if len(present) == 2 and isinstance(x_nd, np.ndarray) and min(x_nd.shape) <= MOST_FOR_HESSIAN:  # noqa: PLR2004
                return self._by_hessian(x_nd, value_n, penalty, start, present, weight_n=weight_n)
            return self._logistic(x_nd, value_n, penalty, present, weight_n)
        return self._softmax(x_nd, value_n, penalty, start, tolerance, weight_n=weight_n)

    def _softmax(
        self,
        x_nd: Features,
        value_n: _Floats,
        penalty: float,
        start: LinearHead | None,
        tolerance: float,
        *,
        weight_n: _Floats | None,
    ) -> LinearHead:
        from bakeoff.families.features import softmax

        present, class_n = np.unique(value_n.astype(np.int64), return_inverse=True)
        start_dk: NDArray[np.float32] | None = None
        if start is not None:
            start_dk = np.vstack([start.coef_dk, start.intercept_k])[:, present].astype("f4")
            start_dk[-1] = np.maximum(start_dk[-1], start_dk[-1, start_dk[-1] > NEVER].min())  # classes new to it
        fitted = softmax.fit(
            x_nd,
            class_n,
            np.ones(len(value_n)) if weight_n is None else weight_n,
            classes=len(present),
            penalty=penalty,
            tolerance=tolerance,
            start_dk=start_dk,
            threads=self.threads,
        )
        if not fitted.converged:
            self.progress(f"penalty {penalty:g}: stopped before it converged")
        return self._of_all(fitted.w_dk[:-1].astype(np.float64), fitted.w_dk[-1].astype(np.float64), present)

    def _by_hessian(
        self,
        x_nd: _Floats,
        value_n: _Floats,
        penalty: float,
        start: LinearHead | None,
        present: NDArray[np.int64],
        *,
        weight_n: _Floats | None,
    ) -> LinearHead:
        """Two classes over few dense features, or of few rows."""
        from bakeoff.families.features import logistic

        begin = None
        if start is not None and len(self.classes) == 2:  # noqa: PLR2004
            begin = np.append(start.coef_dk[:, 0], start.intercept_k[0])
        fitted = logistic.fit(
            x_nd,
            value_n == present[1],
            np.ones(len(value_n)) if weight_n is None else weight_n,
            penalty=penalty,
            start_d=begin,
        )
        if not fitted.converged:
            self.progress(f"penalty {penalty:g}: stopped before it converged")
        return self._of_all(fitted.w_d[:-1, None], fitted.w_d[-1:], present)

    def _logistic(
        self,
        x_nd: Features,
        value_n: _Floats,
        penalty: float,
        present: NDArray[np.int64],
        weight_n: _Floats | None,
    ) -> LinearHead:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(
            C=1 / penalty,
            solver=_solver(x_nd, len(present)),
            max_iter=300,
            random_state=self.seed,
        )
        _fit(model, x_nd, value_n, weight_n)
        coef_dk, intercept_k = np.ascontiguousarray(model.coef_.T), np.asarray(model.intercept_)
        return self._of_all(coef_dk, intercept_k, present)

    def _of_all(self, coef_dk: _Floats, intercept_k: _Floats, present: NDArray[np.int64]) -> LinearHead:
        """The head with all classes, those that training rows lack next to impossible."""
        if len(self.classes) == coef_dk.shape[1] or len(self.classes) == 2:  # noqa: PLR2004
            return LinearHead(coef_dk=coef_dk, intercept_k=intercept_k, classes=self.classes)
        if coef_dk.shape[1] == 1:  # two of several classes: (0, s) are the same odds as s
            coef_dk, intercept_k = np.hstack([0 * coef_dk, coef_dk]), np.append(0.0, intercept_k)
        all_dk = np.zeros((coef_dk.shape[0], len(self.classes)))
        all_k = np.full(len(self.classes), NEVER)
        all_dk[:, present], all_k[present] = coef_dk, intercept_k
        return LinearHead(coef_dk=all_dk, intercept_k=all_k, classes=self.classes)

    def _ridge(self, x_nd: Features, value_n: _Floats, penalty: float, weight_n: _Floats | None) -> LinearHead:
        center, spread = value_n.mean(), value_n.std() or 1.0
        scaled_n = (value_n - center) / spread
        if isinstance(x_nd, np.ndarray):
            coef_d, intercept = _dense_ridge(x_nd, scaled_n, penalty, weight_n)
        else:
            from sklearn.linear_model import Ridge

            model = Ridge(alpha=penalty, solver="sparse_cg", tol=1e-8, max_iter=2000)
            _fit(model, x_nd, scaled_n, weight_n)
            coef_d, intercept = np.asarray(model.coef_), model.intercept_
        return LinearHead(
            coef_dk=np.ascontiguousarray(coef_d.reshape(-1, 1)) * spread,
            intercept_k=np.atleast_1d(intercept * spread + center),
            classes=(),
        )


def _fit(model: Any, x_nd: Features, value_n: _Floats, weight_n: _Floats | None) -> None:
    """Fit an estimator of scikit-learn, which warns where it did not converge."""
    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("always", ConvergenceWarning)
    model.fit(x_nd, value_n, sample_weight=weight_n)


def _dense_ridge(x_nd: _Floats, value_n: _Floats, penalty: float, weight_n: _Floats | None) -> tuple[_Floats, float]:
    """Coefficients (d,) and the intercept, by normal equations of the features, or of the rows where these are fewer.

    Source: C. Saunders et al. (1998), "Ridge Regression Learning Algorithm in Dual Variables".
    """
    weight_n = np.ones(len(x_nd)) if weight_n is None else weight_n
    middle_d, middle = np.average(x_nd, axis=0, weights=weight_n), float(np.average(value_n, weights=weight_n))
    root_n = np.sqrt(weight_n)
    x_nd, value_n = (x_nd - middle_d) * root_n[:, None], (value_n - middle) * root_n
    n, d = x_nd.shape
    coef_d: Any
    if d > n:
        coef_d = x_nd.T @ np.linalg.solve(x_nd @ x_nd.T + penalty * np.eye(n), value_n)
    else:
        coef_d = np.linalg.solve(x_nd.T @ x_nd + penalty * np.eye(d), x_nd.T @ value_n)
    return coef_d, middle - float(middle_d @ coef_d)


def best_penalty(
    spec: HeadSpec,
    x_nd: Features,
    value_n: _Floats,
    scale_d: _Floats,
    *,
    validation: tuple[Features, _Floats],
    grid: Sequence[float],
    deadline: Deadline | None = None,
) -> tuple[float, LinearHead]:
    """The penalty whose head is best on validation rows, and that head; see `least_loss` for how far the grid goes."""
    if len(value_n) > CHOICE_ROWS:
        some = sampled(np.arange(len(value_n)), CHOICE_ROWS, spec.seed)
        x_nd, value_n = x_nd[some], value_n[some]
    heads: dict[float, LinearHead] = {}
    last: LinearHead | None = None

    def loss(penalty: float) -> float:
        nonlocal last
        last = heads[penalty] = spec.fit(x_nd, value_n, penalty, scale_d, start=last, tolerance=CHOICE_TOLERANCE)
        return validation_loss(spec, last(validation[0]), validation[1])

    best = least_loss(grid, loss, limits=LIMITS, progress=spec.progress, name="penalty", deadline=deadline)
    return best, heads[best]


def answering(
    job: FitJob,
    spec: HeadSpec,
    head: LinearHead,
    answers: Callable[[LinearHead], Predictions],
    *,
    train: tuple[Features, _Floats],
    penalty: float,
    scale_d: _Floats,
) -> tuple[HeadSpec, LinearHead]:
    """Tell what the head of training rows (`train`) says of validation rows (`answers`), unless it is one of a sample.

    Where another weight of rare classes serves the metric better, the head is fitted with that first; the spec that is
    given back has it.
    """
    if len(train[1]) > CHOICE_ROWS:
        return spec, head
    predictions = answers(head)
    power = None if job.balance is None else job.balance(predictions)
    if power is not None:
        spec = replace(spec, balance=power)
        head = spec.fit(*train, penalty, scale_d, start=head, tolerance=CHOICE_TOLERANCE)
        predictions = answers(head)
    job.on_held(predictions)
    return spec, head


def validation_loss(spec: HeadSpec, predictions: Predictions, value_n: _Floats) -> float:
    """What is to be small: squared error of numbers; one less the area of a metric of ranks; else log loss."""
    if predictions.probabilities_nk is None:
        return float(np.mean((predictions.values_n.astype(np.float64) - value_n) ** 2))
    if ranked_by(spec.metric) and len(np.unique(value_n)) > 1:
        truth_n = np.asarray(spec.classes)[value_n.astype(np.int64)]
        area = value(spec.metric, truth_n, predictions, "classification")
        if not np.isnan(area):  # no validation row may be of the class that it is of
            return 1 - area
    return log_loss(predictions.probabilities_nk, value_n, balance=spec.balance)


def log_loss(probabilities_nk: _Floats, value_n: _Floats, *, balance: float) -> float:
    """Mean negative log probability of the true class; rows weigh the inverse of their class's share to this power."""
    chance_n = probabilities_nk[np.arange(len(value_n)), value_n.astype(np.int64)]
    weight_n = balanced_weights(value_n, balance) if balance else np.ones(len(value_n))
    return float(np.average(-np.log(np.maximum(chance_n, 1e-12)), weights=weight_n))


def _unscaled(head: LinearHead | None, scale_d: _Floats) -> LinearHead | None:
    """A head of scaled features as one of the features before scaling."""
    if head is None:
        return None
    coef_dk = np.divide(head.coef_dk, scale_d[:, None], out=np.zeros_like(head.coef_dk), where=scale_d[:, None] > 0)
    return LinearHead(coef_dk=coef_dk, intercept_k=head.intercept_k, classes=head.classes)


def _solver(x_nd: Features, n_classes: int) -> str:
    """The fastest of scikit-learn's solvers: by Hessian for few dense features, else by gradients.

    Sparse features come with two classes only; more of them have a solver of their own.
    """
    n, d = x_nd.shape
    if not isinstance(x_nd, np.ndarray):
        return "liblinear"
    return HESSIAN if n > d and d * max(n_classes - 1, 1) <= MOST_FOR_HESSIAN else "lbfgs"


def _scaled(x_nd: Features, scale_d: _Floats) -> Features:
    if (scale_d == 1).all():
        return x_nd
    if isinstance(x_nd, np.ndarray):
        return x_nd * scale_d
    import scipy.sparse as sp

    return sp.csr_array((x_nd.data * scale_d[x_nd.indices], x_nd.indices, x_nd.indptr), shape=x_nd.shape)
