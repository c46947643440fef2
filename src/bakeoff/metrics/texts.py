"""Measures of generated texts that are means over rows: exact match, token F1, ROUGE, valid JSON.

All lie between 0 and 1.
"""

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.scripts import spaced
from bakeoff.metrics.moments import Means, Moments
from bakeoff.metrics.outcome import Outcome

__all__ = [
    "ROW_SCORES",
    "exact_match",
    "json_valid",
    "k_precision",
    "mean_of",
    "normalised",
    "rouge_l",
    "rouge_n",
    "row_scores",
    "text_moments",
    "token_f1",
]

ROW_SCORES = ("token_f1", "exact_match", "rouge1", "rouge2", "rouge_l", "json_valid")
"""The columns of `text_moments`."""
ARTICLES = frozenset({"a", "an", "the"})
NOT_LATIN = re.compile(r"[^a-z0-9]+")


def normalised(text: str) -> list[str]:
    """Words without case, punctuation (of any script) and English articles.

    In scripts without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) each character, with
    the marks on it, is a word of its own. Canonically equivalent texts (é as one character or two) are the same.
    Source: Rajpurkar et al., "SQuAD", EMNLP 2016, section 6.1; the mixed segmentation of MLQA (Lewis et al., ACL 2020),
    there for Chinese alone.

    >>> normalised("The cat, sat!"), normalised("東京 Tower。"), normalised("ที่นี่")
    (['cat', 'sat'], ['東', '京', 'tower'], ['ที่', 'นี่'])
    """
    text = unicodedata.normalize("NFC", text).lower()
    letters = "".join(c for c in text if c not in string.punctuation and not unicodedata.category(c).startswith("P"))
    return [word for word in spaced(letters).split() if word not in ARTICLES]


def exact_match(truth: str, predicted: str) -> float:
    """1 when both are the same after normalising, else 0."""
    return float(normalised(truth) == normalised(predicted))


def token_f1(truth: str, predicted: str) -> float:
    """Harmonic mean of precision and recall of normalised words; 1 when both have none.

    >>> token_f1("the red cat", "a cat"), token_f1("東京大学", "京都大学")
    (0.6666666666666666, 0.75)
    """
    ours, theirs = normalised(predicted), normalised(truth)
    if not ours or not theirs:
        return float(ours == theirs)
    return _f1((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


def json_valid(text: str) -> float:
    """1 when the text is one JSON document (RFC 8259), else 0.

    >>> json_valid('{"a": [1, 2]}'), json_valid("{'a': 1}"), json_valid("NaN")
    (1.0, 0.0, 0.0)
    """

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return 0.0
    return 1.0


def rouge_n(truth: str, predicted: str, n: int) -> float:
    """F1 of word n-grams over lower-cased words of a-z and 0-9 (other scripts have none), without stemming.

    Source: Lin, "ROUGE", Text Summarization Branches Out 2004.

    >>> rouge_n("the cat sat", "the cat ran", 2)
    0.5
    """
    return _rouge_n(_latin(truth), _latin(predicted), n)


def rouge_l(truth: str, predicted: str) -> float:
    """F1 by the longest common subsequence of words, of whole texts.

    >>> rouge_l("police killed the gunman", "police kill the gunman")
    0.75
    """
    return _rouge_l(_latin(truth), _latin(predicted))


def k_precision(context: str, predicted: str) -> float:
    """The share of an answer's normalised words that stand in what it may say; NaN for an answer without words.

    Source: Adlakha et al., "Evaluating Correctness and Faithfulness of Instruction-Following Models for Question
    Answering", TACL 12 (2024), section 4.2.

    >>> k_precision("The tower is 330 metres high.", "It is 330 metres")
    0.75
    """
    ours = normalised(predicted)
    return (Counter(ours) & Counter(normalised(context))).total() / len(ours) if ours else float("nan")


def row_scores(truth: str, predicted: str) -> list[float]:
    """All of `ROW_SCORES` of one row."""
    theirs, ours = _latin(truth), _latin(predicted)
    return [
        token_f1(truth, predicted),
        exact_match(truth, predicted),
        _rouge_n(theirs, ours, 1),
        _rouge_n(theirs, ours, 2),
        _rouge_l(theirs, ours),
        json_valid(predicted),
    ]


def text_moments(outcome: Outcome) -> Moments:
    """Columns: `ROW_SCORES`; a score of the rows of the same name (JSON held against a schema) takes precedence."""
    pairs = zip(outcome.truth_n.tolist(), outcome.predicted_n.tolist(), strict=True)
    columns_nm = np.asarray([row_scores(truth, predicted) for truth, predicted in pairs])
    for at, name in enumerate(ROW_SCORES):
        if name in outcome.scores:
            columns_nm[:, at] = outcome.scores[name]
    return Moments(columns_nm)


def mean_of(column: int) -> Callable[[Means], NDArray[np.float64]]:
    """The mean of one column, (r,)."""

    def mean(means: Means) -> NDArray[np.float64]:
        return means.mean_rm[:, column]

    return mean


def _latin(text: str) -> list[str]:
    return NOT_LATIN.sub(" ", text.lower()).split()


def _f1(common: int, ours: int, theirs: int) -> float:
    return 2 * common / (ours + theirs) if common else 0.0


def _rouge_n(truth: Sequence[str], predicted: Sequence[str], n: int) -> float:
    theirs, ours = (Counter(zip(*(words[i:] for i in range(n)), strict=False)) for words in (truth, predicted))
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def _rouge_l(truth: Sequence[str], predicted: Sequence[str]) -> float:
    return _f1(_common_subsequence(truth, predicted), len(predicted), len(truth))


def _common_subsequence(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Length of the longest common subsequence, a row of the table at once as the bits of one integer.

    Source: Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA 2004.
    """
    at: dict[Any, int] = {}
    for i, word in enumerate(a):
        at[word] = at.get(word, 0) | 1 << i
    everything = (1 << len(a)) - 1
    row = everything
    for word in b:
        matched = row & at.get(word, 0)
        row = (row + matched | row - matched) & everything
    return len(a) - row.bit_count()
