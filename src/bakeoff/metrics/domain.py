"""How well rows of two tables can be told apart: a classifier that is trained on half of them and asked for the others.

Rows of a day may have much in common (the weather, what people talk about): a classifier that knows some of a day's
rows knows the others, and a week has as few independent rows as it has days. Where days are known, it is asked for days
that it has not seen, and the p-value is of how days differ: Student's t of their mean ranks.

Source: D. Lopez-Paz, M. Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017; S. Rabanser, S. Günnemann,
Z. Lipton, "Failing Loudly", NeurIPS 2019; the p-value is Mann and Whitney's without days.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_DAYS", "mean_of_days", "separation", "vector_separation"]

WORDS = 64
"""Columns of hashed words of a text."""
PENALISED = 0.5
"""How little the classifier of vectors is held back, over their width: rows are often fewer than numbers."""
LEAST_DAYS = 4

Floats: TypeAlias = NDArray[np.float64]
Scores: TypeAlias = Callable[[NDArray[np.bool_]], Floats]
"""Trained on these rows, what a classifier says of all: the higher, the more they look like the window's."""


def separation(
    reference: Sequence[Mapping[str, Any]],
    window: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, str],
    *,
    days: Sequence[int] = (),
    seed: int = 0,
) -> tuple[float, float, dict[str, float]]:
    """ROC AUC on rows that the classifier has not seen, how likely that is without a difference, and what it used.

    Args:
        reference: rows.
        window: rows.
        kinds: "numeric", "levels" or "text" of each column that is used.
        days: of the window's rows; none: unknown.
        seed: of the halves.

    Returns:
        The AUC; p; each column's share of the gain.
    """
    from lightgbm import LGBMClassifier

    rows = [*reference, *window]
    made = {name: _features([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
    features_nf = np.column_stack([np.zeros(len(rows)), *made.values()])
    is_window_n = np.arange(len(rows)) >= len(reference)
    gain_f = np.zeros(features_nf.shape[1] - 1)

    def scores(half_n: NDArray[np.bool_]) -> Floats:
        model = LGBMClassifier(
            n_estimators=60,
            num_leaves=15,
            min_child_samples=10,
            learning_rate=0.1,
            n_jobs=1,
            verbose=-1,
            random_state=seed,
            importance_type="gain",
        )
        model.fit(features_nf[half_n], is_window_n[half_n])
        gain_f[:] += model.feature_importances_[1:]
        return np.asarray(model.booster_.predict(features_nf), dtype=np.float64)

    auc, p = _told_apart(scores, is_window_n, np.asarray(days) if len(days) else None, seed)
    total, at = max(float(gain_f.sum()), 1e-12), 0
    weights: dict[str, float] = {}
    for name, each in made.items():
        weights[name] = float(gain_f[at : at + each.shape[1]].sum()) / total
        at += each.shape[1]
    return auc, p, weights


def vector_separation(
    reference_nd: Floats, window_nd: Floats, *, days: Sequence[int] = (), seed: int = 0
) -> tuple[float, float]:
    """As `separation`, of rows that are vectors (n, d), by a linear classifier: the AUC, and p.

    >>> rng = np.random.default_rng(0)
    >>> auc, p = vector_separation(rng.normal(0.0, 1, (200, 9)), rng.normal(0.5, 1, (200, 9)))
    >>> auc > 0.75, p < 1e-6
    (True, True)
    """
    from sklearn.linear_model import LogisticRegression

    rows_nd = np.vstack([reference_nd, window_nd])
    is_window_n = np.arange(len(rows_nd)) >= len(reference_nd)

    def scores(half_n: NDArray[np.bool_]) -> Floats:
        centre_d, spread_d = rows_nd[half_n].mean(axis=0), rows_nd[half_n].std(axis=0)
        scaled_nd = (rows_nd - centre_d) / np.maximum(spread_d, 1e-9)
        model = LogisticRegression(C=PENALISED / scaled_nd.shape[1], class_weight="balanced", max_iter=200)
        model.fit(scaled_nd[half_n], is_window_n[half_n])
        return np.asarray(model.decision_function(scaled_nd), dtype=np.float64)

    return _told_apart(scores, is_window_n, np.asarray(days) if len(days) else None, seed)


def _told_apart(
    scores: Scores, is_window_n: NDArray[np.bool_], day_m: NDArray[np.int64] | None, seed: int
) -> tuple[float, float]:
    """The AUC on rows of the other half, and p; `day_m` are of the window's rows alone."""
    from scipy.stats import mannwhitneyu, t

    rng = np.random.default_rng(seed)
    reference_n, window_n = np.flatnonzero(~is_window_n), np.flatnonzero(is_window_n)
    half_n = np.zeros(len(is_window_n), dtype=np.bool_)
    half_n[rng.permutation(reference_n)[: len(reference_n) // 2]] = True
    names = np.unique(day_m) if day_m is not None else np.asarray([])
    if day_m is None or len(names) < LEAST_DAYS:
        half_n[rng.permutation(window_n)[: len(window_n) // 2]] = True
        score_n = scores(half_n)
        now, before = score_n[~half_n & is_window_n], score_n[~half_n & ~is_window_n]
        test = mannwhitneyu(now, before, alternative="greater")
        return float(test.statistic) / (len(now) * len(before)), float(test.pvalue)
    half_n[window_n] = np.isin(day_m, rng.permutation(names)[: len(names) // 2])
    rank_m = np.empty(len(window_n))  # of each row of the window, the share of reference rows below it
    for trained_n in (half_n, ~half_n):
        score_n = scores(trained_n)
        before = np.sort(score_n[~trained_n & ~is_window_n])
        asked_n = ~trained_n[window_n]
        now = score_n[window_n[asked_n]]
        rank_m[asked_n] = (before.searchsorted(now, "left") + before.searchsorted(now, "right")) / (2 * len(before))
    auc, variance = mean_of_days(rank_m, day_m)
    # Each half is asked for what the other taught: both say the same of how alike the halves are, in effect once.
    spread = (2 * variance + 1 / (12 * len(reference_n))) ** 0.5
    return auc, float(t.sf((auc - 0.5) / spread, len(names) - 1))


def mean_of_days(value_m: Floats, day_m: NDArray[np.int64]) -> tuple[float, float]:
    """The mean of rows, and its variance as days differ; it is no less than what independent rows have.

    Source: W. Cochran, "Sampling Techniques" (1977), 9A: clusters of unequal sizes.

    >>> mean, variance = mean_of_days(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0]), np.array([0, 0, 1, 1, 2, 2]))
    >>> round(mean, 3), round(variance, 3)
    (0.667, 0.111)
    """
    mean = float(value_m.mean())
    names, at_m = np.unique(day_m, return_inverse=True)
    apart_d = np.bincount(at_m, weights=value_m - mean) / len(value_m)
    between = float((apart_d**2).sum()) * len(names) / (len(names) - 1)
    return mean, max(between, float(value_m.var()) / len(value_m))


def _features(values: Sequence[Any], kind: str) -> NDArray[np.float64]:
    """Columns (n, f): a number as it is, a level as a code, a text as its length and its hashed words."""
    if kind == "numeric":
        numbers = [value if isinstance(value, int | float) else _number(value) for value in values]
        return np.asarray(numbers, dtype=np.float64)[:, None]
    if kind == "levels":
        return np.asarray([np.nan if value is None else _code(str(value).lower(), 2**20) for value in values])[:, None]
    made = np.zeros((len(values), WORDS + 1))
    for at, value in enumerate(values):
        text = value if isinstance(value, str) else "" if value is None else str(value)
        made[at, WORDS] = len(text)
        for word in text.lower().split():
            made[at, _code(word, WORDS)] += 1
    return made


def _number(value: object) -> float:
    try:
        return float(value)  # pyright: ignore[reportArgumentType] - whatever it is
    except (TypeError, ValueError):
        return np.nan


def _code(word: str, most: int) -> int:
    return zlib.crc32(word.encode()) % most
