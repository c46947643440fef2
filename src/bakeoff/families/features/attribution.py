# pyright: basic
# scipy.sparse comes without complete types
"""What columns and words add to a score that is a sum over features."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.families.features.text import Vectorizer

__all__ = ["by_column", "centred", "words_of"]

_Floats: TypeAlias = NDArray[np.float64]
FEW_CLASSES = 2


def by_column(adds_nd: Any, sources: Sequence[str], columns: Sequence[str]) -> _Floats:
    """What features add (n, d; dense or sparse), summed over those that are made of each column (n, c)."""
    position = {name: at for at, name in enumerate(columns)}
    of_d = np.asarray([position[name] for name in sources], dtype=np.int64)
    belongs_dc = np.zeros((len(sources), len(columns)))
    belongs_dc[np.arange(len(sources)), of_d] = 1.0
    return np.asarray(adds_nd @ belongs_dc)


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
