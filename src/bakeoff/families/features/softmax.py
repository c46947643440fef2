# pyright: basic
# scipy.sparse comes without complete types
"""Logistic regression of many classes, or over sparse features, by L-BFGS on tracked scores.

For 77 classes and 30,000 terms the coefficients are two million numbers, and scikit-learn's solver spends more
time on them than on the rows. Here the scores of the rows, X · W, move along with W, so that a step costs two
products with X and its line search none; all large arrays are single precision.

Source: J. Nocedal (1980), "Updating Quasi-Newton Matrices with Limited Storage" (the two-loop recursion);
S. Boyd, L. Vandenberghe (2004), "Convex Optimization", 9.5.1 (the Newton decrement, by which it stops).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Coefficients", "fit"]

Sparse: TypeAlias = Any
"""A scipy csr_array (n, d), or an array."""
_Singles: TypeAlias = NDArray[np.float32]

MEMORY = 6
"""Past steps that the inverse Hessian is approximated from."""
MOST_STEPS = 300
BLOCKS = 4
"""Of dense rows: as many threads can be of use."""
MOST_TRIALS = 12
"""Step lengths tried in one line search."""
SLOPE_LEFT = 0.3
"""A line search ends when its slope has fallen to this share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """Weights (d, k) and intercepts (k,) as one array (d + 1, k); `converged` when the tolerance was reached."""

    w_dk: _Singles
    converged: bool


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Features, and across, by blocks of rows that threads work on beside each other; always the same blocks."""

    parts: tuple[tuple[Sparse, Sparse], ...]
    bounds: tuple[int, ...]
    pool: ThreadPoolExecutor | None

    @classmethod
    def of(cls, x_nd: Sparse, pool: ThreadPoolExecutor | None) -> "_Blocks":
        """Sparse rows in one block: their products hold Python's lock."""
        single_nd = x_nd.astype(np.float32)
        if not isinstance(single_nd, np.ndarray):
            return cls(((single_nd, single_nd.T.tocsr()),), (), None)
        parts = np.array_split(single_nd, BLOCKS)
        bounds = tuple(np.cumsum([len(part) for part in parts])[:-1].tolist())
        return cls(tuple((part, np.ascontiguousarray(part.T)) for part in parts), bounds, pool)

    def scores(self, w_dk: _Singles) -> _Singles:
        made = self._each(lambda at: self.parts[at][0] @ w_dk)
        return made[0] if len(made) == 1 else np.concatenate(made)

    def across(self, r_nk: _Singles) -> _Singles:
        rows = np.split(r_nk, self.bounds)
        return reduce(np.add, self._each(lambda at: self.parts[at][1] @ rows[at]))

    def _each(self, product: Callable[[int], _Singles]) -> list[_Singles]:
        return list((map if self.pool is None else self.pool.map)(product, range(len(self.parts))))


@dataclass(frozen=True, slots=True)
class _Problem:
    """Mean weighted log loss + lam / 2 · |W|², without a penalty on the intercepts (the last row of W)."""

    blocks: "_Blocks"
    class_n: NDArray[np.int64]
    weight_n: NDArray[np.float64]
    lam: float

    def scores(self, w_dk: _Singles) -> _Singles:
        return self.blocks.scores(w_dk[:-1]) + w_dk[-1]

    def loss(self, score_nk: _Singles) -> tuple[float, _Singles]:
        """The log loss, and its derivative by the scores (n, k)."""
        rows = np.arange(len(self.class_n))
        r_nk = score_nk - score_nk.max(axis=1, keepdims=True)
        true_n = r_nk[rows, self.class_n].astype(np.float64)
        np.exp(r_nk, out=r_nk)
        total_n = r_nk.sum(axis=1, dtype=np.float64)
        r_nk /= total_n[:, None].astype(np.float32)
        r_nk[rows, self.class_n] -= 1
        r_nk *= self.weight_n[:, None].astype(np.float32)
        return float(self.weight_n @ (np.log(total_n) - true_n)), r_nk

    def gradient(self, r_nk: _Singles, w_dk: _Singles) -> _Singles:
        g_dk = np.empty_like(w_dk)
        g_dk[:-1] = self.blocks.across(r_nk)
        g_dk[:-1] += np.float32(self.lam) * w_dk[:-1]
        g_dk[-1] = r_nk.sum(axis=0)
        return g_dk


@dataclass(slots=True)
class _Point:
    """Where the search is: coefficients, gradient, and the scores of both."""

    w_dk: _Singles
    score_nk: _Singles
    g_dk: _Singles
    g_score_nk: _Singles
    loss: float


@dataclass(frozen=True, slots=True)
class _Direction:
    """Where to go from a point, the scores of that, and the slope of the objective along it."""

    w_dk: _Singles
    score_nk: _Singles
    slope: float


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of the past: how coefficients and gradient changed, with the scores of both."""

    w_dk: _Singles
    score_nk: _Singles
    g_dk: _Singles
    g_score_nk: _Singles
    curvature: float


def fit(
    x_nd: Sparse,
    class_n: NDArray[np.int64],
    weight_n: NDArray[np.float64],
    *,
    classes: int,
    penalty: float,
    tolerance: float,
    start_dk: _Singles | None = None,
    threads: int = 1,
) -> Coefficients:
    """Minimise sum(weight · log loss) + penalty / 2 · |W|².

    Args:
        x_nd: Features.
        class_n: Class of each row, 0 … classes-1, each present.
        weight_n: Weight of each row.
        classes: How many classes (k).
        penalty: Strength of the L2 penalty (not on intercepts).
        tolerance: Stop when the objective is expected to fall by less than this share of itself.
        start_dk: Where to start, (d + 1, k) with the intercepts last; at zero when left out.
        threads: How many work on it, over dense features; they change nothing of the result.
    """
    total = weight_n.sum()
    with ThreadPoolExecutor(max(1, threads)) as pool:
        blocks = _Blocks.of(x_nd, pool if threads > 1 else None)
        problem = _Problem(blocks, class_n, weight_n / total, penalty / total)
        w_dk = np.zeros((x_nd.shape[1] + 1, classes), np.float32) if start_dk is None else start_dk.copy()
        return _minimised(problem, w_dk, tolerance)


def _minimised(problem: _Problem, w_dk: _Singles, tolerance: float) -> Coefficients:
    """The walk from where it starts."""
    score_nk = problem.scores(w_dk)
    loss, r_nk = problem.loss(score_nk)
    g_dk = problem.gradient(r_nk, w_dk)
    point = _Point(w_dk, score_nk, g_dk, problem.scores(g_dk), loss)
    past: list[_Step] = []
    near = 0
    for _ in range(MOST_STEPS):
        direction = _direction(point, past)
        objective = point.loss + problem.lam / 2 * _squares(point.w_dk)
        # Half the slope along a Newton direction estimates how far the minimum lies below. One direction out of few
        # steps may point along a valley's floor by chance, so that two in a row must say so.
        near = near + 1 if past and -direction.slope / 2 <= tolerance * objective else 0
        if direction.slope >= 0 or near == 2:  # noqa: PLR2004
            return Coefficients(w_dk=point.w_dk, converged=True)
        first = 1.0 if past else _safe_length(problem, direction)
        step = _searched(problem, point, direction, first)
        past = [*past[-(MEMORY - 1) :], step] if step.curvature > 0 else past[-(MEMORY - 1) :]
    return Coefficients(w_dk=point.w_dk, converged=False)


def _squares(w_dk: _Singles) -> float:
    return float(np.vdot(w_dk[:-1], w_dk[:-1]))


def _direction(point: _Point, past: list[_Step]) -> _Direction:
    """Minus the inverse Hessian times the gradient."""
    q_dk, q_nk = point.g_dk.copy(), point.g_score_nk.copy()
    shares: list[float] = []
    for step in reversed(past):
        share = float(np.vdot(step.w_dk, q_dk)) / step.curvature
        q_dk -= np.float32(share) * step.g_dk
        q_nk -= np.float32(share) * step.g_score_nk
        shares.append(share)
    if past:
        scale = np.float32(past[-1].curvature / float(np.vdot(past[-1].g_dk, past[-1].g_dk)))
        q_dk *= scale
        q_nk *= scale
    for step, share in zip(past, reversed(shares), strict=True):
        back = np.float32(share - float(np.vdot(step.g_dk, q_dk)) / step.curvature)
        q_dk += back * step.w_dk
        q_nk += back * step.score_nk
    return _Direction(-q_dk, -q_nk, -float(np.vdot(point.g_dk, q_dk)))


def _safe_length(problem: _Problem, direction: _Direction) -> float:
    """A length for a first step along the bare gradient.

    Source: D. Böhning (1992), "Multinomial logistic regression algorithm": half the spread of scores bounds the
    curvature; a quarter of it is nearer to what is met.
    """
    spread_n = np.square(direction.score_nk).max(axis=1)
    curvature = problem.lam * _squares(direction.w_dk) + float(problem.weight_n @ spread_n) / 8
    return -direction.slope / (curvature + 1e-30)


def _searched(problem: _Problem, point: _Point, direction: _Direction, first: float) -> _Step:
    """Walk along a direction until the slope is a third of what it was; moves the point there."""
    length, r_nk, loss = _length(problem, point, direction, first)
    step_dk, step_nk = np.float32(length) * direction.w_dk, np.float32(length) * direction.score_nk
    point.w_dk += step_dk
    point.score_nk += step_nk
    g_dk = problem.gradient(r_nk, point.w_dk)
    g_score_nk = problem.scores(g_dk)
    change_dk = g_dk - point.g_dk
    step = _Step(step_dk, step_nk, change_dk, g_score_nk - point.g_score_nk, float(np.vdot(step_dk, change_dk)))
    point.g_dk, point.g_score_nk, point.loss = g_dk, g_score_nk, loss
    return step


def _length(problem: _Problem, point: _Point, direction: _Direction, length: float) -> tuple[float, _Singles, float]:
    """A step length (tried from `length` on), the derivative by the scores there, and the log loss there.

    The slope rises along the line (the problem is convex), so that the root of its secant, kept between the
    longest length with a negative slope and the shortest with a positive one, closes in on the minimum.
    """
    cross, squares = float(np.vdot(point.w_dk[:-1], direction.w_dk[:-1])), _squares(direction.w_dk)
    low, low_slope, high = 0.0, direction.slope, np.inf
    for trial in range(MOST_TRIALS):
        moved_nk: Any = np.float32(length) * direction.score_nk
        loss, r_nk = problem.loss(point.score_nk + moved_nk)
        here = float(np.vdot(r_nk, direction.score_nk)) + problem.lam * (cross + length * squares)
        if abs(here) <= SLOPE_LEFT * -direction.slope or trial == MOST_TRIALS - 1:
            return length, r_nk, loss
        root = length - here * (length - low) / (here - low_slope) if here > low_slope else 4 * length
        if here < 0:
            low, low_slope = length, here
            length = min(root, 4 * length) if high == np.inf else root
        else:
            high, length = length, root
        if high < np.inf and not low + 0.1 * (high - low) <= length <= high - 0.1 * (high - low):
            length = (low + high) / 2
    raise AssertionError
