# pyright: basic
# scipy.sparse comes without complete types
"""What columns and words add to a score that is a sum over features."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.families.features.text import Vectorizer
from bakeoff.families.features.trend import Trend

__all__ = ["by_column", "centred", "of_logarithms", "with_level", "words_of"]

_Floats: TypeAlias = NDArray[np.float64]
FEW_CLASSES = 2


def by_column(
    adds_nd: Any, sources: Sequence[str], columns: Sequence[str], origins: Mapping[str, Sequence[str]] | None = None
) -> _Floats:
    """What features add (n, d; dense or sparse), summed over those that are made of each column (n, c).

    `origins` are the columns that derived ones are made of: each of them gets an equal part.
    """
    position = {name: at for at, name in enumerate(columns)}
    belongs_dc = np.zeros((len(sources), len(columns)))
    for at, name in enumerate(sources):
        owners = (origins or {}).get(name, (name,))
        for owner in owners:
            belongs_dc[at, position[owner]] += 1.0 / len(owners)
    return np.asarray(adds_nd @ belongs_dc)


def with_level(
    trend: Trend,
    level_n: _Floats,
    adds_nck: _Floats,
    base_k: _Floats,
    *,
    columns: Sequence[str],
    origins: Mapping[str, Sequence[str]],
) -> _Floats:
    """What columns add (n, c, k) to the target itself, when they were worked out of it without its trend.

    The level is what the column adds that it is made of; one that multiplies is what it changes of the rest.
    """
    owners = origins.get(trend.column, (trend.column,))
    level_nk = level_n[:, None]
    adds_nck = adds_nck * level_nk[:, None] if trend.scaled else adds_nck.copy()
    extra_nk = (level_nk - 1.0) * base_k if trend.scaled else np.broadcast_to(level_nk, (len(level_n), len(base_k)))
    for owner in owners:
        adds_nck[:, list(columns).index(owner)] += extra_nk / len(owners)
    return adds_nck


def of_logarithms(adds_nck: _Floats, base_k: _Floats) -> tuple[_Floats, _Floats]:
    """What columns add to a number, and its base, of what they add to its logarithm: parts of the same shares.

    Source: B. W. Ang (2004), "Decomposition analysis for policymaking in energy", additive logarithmic mean weights.
    """
    whole_nk = adds_nck.sum(axis=1)
    change_nk = np.exp(base_k) * np.expm1(whole_nk)
    weight_nk = np.divide(change_nk, whole_nk, out=np.exp(base_k) * np.ones_like(whole_nk), where=whole_nk != 0)
    return adds_nck * weight_nk[:, None], np.exp(base_k)


def centred(values: _Floats) -> _Floats:
    """Scores of classes (…, k) less their mean, which is what the softmax sees; a single score as it is."""
    return values - values.mean(axis=-1, keepdims=True) if values.shape[-1] > FEW_CLASSES else values


def words_of(
    column: str, text: str, vectorizer: Vectorizer, weights_d: Mapping[int, float], coef_dk: _Floats
) -> dict[tuple[str, str], _Floats]:
    """What the words of a text add through one way of cutting it; a term's part goes evenly to where it stands."""
    places = list(vectorizer.places(text))
    if not places:
        return {}
    words = list(dict.fromkeys(word for word, _ in places))
    position = {word: at for at, word in enumerate(words)}
    word_m = np.asarray([position[word] for word, _ in places])
    term_m = np.asarray([term for _, term in places])
    _, term_at_m, times = np.unique(term_m, return_inverse=True, return_counts=True)
    weight_m = np.asarray([weights_d.get(int(term), 0.0) for term in term_m]) / times[term_at_m]
    adds_wk = np.zeros((len(words), coef_dk.shape[1]))
    np.add.at(adds_wk, word_m, weight_m[:, None] * coef_dk[term_m])
    return {(column, word): adds_wk[at] for word, at in position.items()}
