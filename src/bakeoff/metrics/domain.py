"""How well rows of two tables can be told apart: a classifier that is trained on half of them and asked for the others.

Source: D. Lopez-Paz, M. Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017; S. Rabanser, S. Günnemann,
Z. Lipton, "Failing Loudly", NeurIPS 2019; the p-value is Mann and Whitney's.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["separation", "vector_separation"]

WORDS = 64
"""Columns of hashed words of a text."""
PENALISED = 0.5
"""How little the classifier of vectors is held back, over their width: rows are often fewer than numbers."""


def separation(
    reference: Sequence[Mapping[str, Any]],
    window: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, str],
    *,
    seed: int = 0,
) -> tuple[float, float, dict[str, float]]:
    """ROC AUC on rows that the classifier has not seen, how likely that is without a difference, and what it used.

    Args:
        reference: rows.
        window: rows.
        kinds: "numeric", "levels" or "text" of each column that is used.
        seed: of the halves.

    Returns:
        The AUC; p; each column's share of the gain.
    """
    from lightgbm import LGBMClassifier
    from scipy.stats import mannwhitneyu

    rows = [*reference, *window]
    made = {name: _features([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
    features_nf = np.column_stack([np.zeros(len(rows)), *made.values()])
    is_window_n = np.arange(len(rows)) >= len(reference)
    half_n = np.random.default_rng(seed).random(len(rows)) < 0.5  # noqa: PLR2004
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
    score_n = model.booster_.predict(features_nf[~half_n])
    of_window, of_reference = (np.asarray(score_n)[is_window_n[~half_n] == side] for side in (True, False))
    test = mannwhitneyu(of_window, of_reference, alternative="greater")
    gain_f = model.feature_importances_[1:]
    total, at = max(float(gain_f.sum()), 1e-12), 0
    weights: dict[str, float] = {}
    for name, each in made.items():
        weights[name] = float(gain_f[at : at + each.shape[1]].sum()) / total
        at += each.shape[1]
    return float(test.statistic) / (len(of_window) * len(of_reference)), float(test.pvalue), weights


def vector_separation(
    reference_nd: NDArray[np.float64], window_nd: NDArray[np.float64], *, seed: int = 0
) -> tuple[float, float]:
    """As `separation`, of rows that are vectors (n, d), by a linear classifier: the AUC, and p.

    >>> rng = np.random.default_rng(0)
    >>> auc, p = vector_separation(rng.normal(0.0, 1, (200, 9)), rng.normal(0.5, 1, (200, 9)))
    >>> auc > 0.75, p < 1e-6
    (True, True)
    """
    from scipy.stats import mannwhitneyu
    from sklearn.linear_model import LogisticRegression

    rows_nd = np.vstack([reference_nd, window_nd])
    is_window_n = np.arange(len(rows_nd)) >= len(reference_nd)
    order_n = np.random.default_rng(seed).permutation(len(rows_nd))
    half_n = np.zeros(len(rows_nd), dtype=np.bool_)
    for side_n in (is_window_n, ~is_window_n):  # half of each side
        of_side = order_n[side_n[order_n]]
        half_n[of_side[: len(of_side) // 2]] = True
    centre_d, spread_d = rows_nd[half_n].mean(axis=0), rows_nd[half_n].std(axis=0)
    scaled_nd = (rows_nd - centre_d) / np.maximum(spread_d, 1e-9)
    model = LogisticRegression(C=PENALISED / scaled_nd.shape[1], class_weight="balanced", max_iter=200)
    model.fit(scaled_nd[half_n], is_window_n[half_n])
    score_n: NDArray[np.float64] = np.asarray(model.decision_function(scaled_nd[~half_n]))
    of_window, of_reference = (score_n[is_window_n[~half_n] == side] for side in (True, False))
    test = mannwhitneyu(of_window, of_reference, alternative="greater")
    return float(test.statistic) / (len(of_window) * len(of_reference)), float(test.pvalue)


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
