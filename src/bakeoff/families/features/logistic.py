"""Logistic regression of two classes over few dense features, or of few rows, by Newton's method.

Most of a small fit of a general solver is not its arithmetic, and a grid of penalties is faster when each begins where
the one before ended. Of fewer rows than features the weights are sums of rows, and are looked for among these alone.

Source: C. Bishop (2006), "Pattern Recognition and Machine Learning", 4.3.3; steps are halved until the loss falls
(S. Boyd, L. Vandenberghe (2004), "Convex Optimization", 9.5).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["LogisticFit", "fit"]

_Floats: TypeAlias = NDArray[np.float64]

STEPS = 100
GAIN = 1e-9
"""The share of the loss that a step must promise."""
NEAR = 0.1
"""After a whole step the promise is about the square of what it was: one of this share of the root is the last."""
LEAST_SHARE = 1e-6
"""Of a step; one that must be shorter would gain nothing that numbers can show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticFit:
    """Weights of the features and, last, the intercept (d + 1,); whether the steps came to their end."""

    w_d: _Floats
    converged: bool


def fit(
    x_nd: _Floats, hit_n: NDArray[np.bool_], weight_n: _Floats, *, penalty: float, start_d: _Floats | None = None
) -> LogisticFit:
    """Minimise the weighted log loss of the hits plus penalty / 2 · |w|², the intercept left free.

    Features that are the same in all rows get no weight, and cost no time.
    """
    differs_d = np.append((x_nd != x_nd[:1]).any(axis=0), True)
    x_nd = x_nd[:, differs_d[:-1]]
    if len(x_nd) > x_nd.shape[1]:
        start_d = np.zeros(x_nd.shape[1] + 1) if start_d is None else start_d[differs_d]
        fitted = _newton(x_nd, hit_n, weight_n, penalty, start_d)
    else:
        fitted = _of_rows(x_nd, hit_n, weight_n, penalty)
    out_d = np.zeros(len(differs_d))
    out_d[differs_d] = fitted.w_d
    return LogisticFit(w_d=out_d, converged=fitted.converged)


def _of_rows(x_nd: _Floats, hit_n: NDArray[np.bool_], weight_n: _Floats, penalty: float) -> LogisticFit:
    """Along the principal axes of the rows: a part of the weights across all rows adds to the penalty alone.

    Source: T. Hastie, R. Tibshirani (2004), "Efficient Quadratic Regularization for Expression Arrays".
    """
    square_r, axis_nr = np.linalg.eigh(x_nd @ x_nd.T)
    real = square_r > len(x_nd) * np.finfo(float).eps * max(float(square_r[-1]), 0.0)
    axis_nr, length_r = axis_nr[:, real], np.sqrt(square_r[real])
    fitted = _newton(axis_nr * length_r, hit_n, weight_n, penalty, np.zeros(len(length_r) + 1))
    w_d = x_nd.T @ (axis_nr / length_r @ fitted.w_d[:-1])
    return LogisticFit(w_d=np.append(w_d, fitted.w_d[-1]), converged=fitted.converged)


def _newton(x_nd: _Floats, hit_n: NDArray[np.bool_], weight_n: _Floats, penalty: float, w_d: _Floats) -> LogisticFit:
    """From these weights on, the intercept last."""
    x_nd = np.column_stack([x_nd, np.ones(len(x_nd))])
    ridge_d = np.append(np.full(x_nd.shape[1] - 1, penalty), 0.0)
    sign_n = np.where(hit_n, 1.0, -1.0)

    def loss(at_d: _Floats) -> float:
        return float(weight_n @ np.logaddexp(0.0, -sign_n * (x_nd @ at_d)) + ridge_d @ at_d**2 / 2)

    value, converged = loss(w_d), False
    for _ in range(STEPS):
        chance_n = 1 / (1 + np.exp(-np.clip(x_nd @ w_d, -500, 500)))
        slope_d = (weight_n * (chance_n - hit_n)) @ x_nd + ridge_d * w_d
        root_nd = x_nd * np.sqrt(weight_n * chance_n * (1 - chance_n))[:, None]
        curve_dd = root_nd.T @ root_nd
        curve_dd[np.diag_indices_from(curve_dd)] += ridge_d
        curve_dd[-1, -1] += 1e-12 * len(x_nd)  # where every row is sure, nothing else holds the intercept
        step_d = np.linalg.solve(curve_dd, slope_d)
        gain, enough = float(slope_d @ step_d), GAIN * max(value, GAIN)
        if gain <= enough:
            converged = True
            break
        share, last = 1.0, gain <= NEAR * np.sqrt(enough)
        while (lower := loss(w_d - share * step_d)) > value - share * gain / 4 and share > LEAST_SHARE:
            share /= 2
        w_d, value = w_d - share * step_d, lower
        if last and share == 1:
            converged = True
            break
    return LogisticFit(w_d=w_d, converged=converged)
