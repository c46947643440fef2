"""BLEU and chrF of a corpus, from counts of n-grams that add up over rows; both between 0 and 1.

Since counts add, a resample of rows needs no new counting.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.moments import Means, Moments
from bakeoff.metrics.outcome import Outcome

__all__ = ["bleu", "bleu_counts", "chrf", "chrf_counts", "words_13a"]

Floats = NDArray[np.float64]

WORDS = 4
"""The longest n-grams of words that BLEU counts."""
CHARACTERS = 6
"""The longest n-grams of characters that chrF counts."""
BETA = 2
"""How much more chrF weighs recall than precision."""
ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
SPLITS = (
    (re.compile(r"([!-&(-+:-@/\[-`{-~ ])"), r" \1 "),  # punctuation but ' , - .
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def words_13a(text: str) -> list[str]:
    """Words as the WMT evaluations split them (mteval version 13a).

    Source: Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018.

    >>> words_13a("It's 3.5, isn't it?")
    ["It's", '3.5', ',', "isn't", 'it', '?']
    """
    line = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in ENTITIES:
        line = line.replace(entity, character)
    line = f" {line} "
    for pattern, replacement in SPLITS:
        line = pattern.sub(replacement, line)
    return line.split()


def bleu_counts(outcome: Outcome) -> Moments:
    """Columns: matches of each order, n-grams of each order, words predicted, words true."""
    return Moments(np.asarray([_bleu_row(words_13a(t), words_13a(p)) for t, p in _pairs(outcome)], dtype=np.float64))


def _bleu_row(truth: Sequence[str], predicted: Sequence[str]) -> list[int]:
    theirs, ours = (_ngrams(words, WORDS) for words in (truth, predicted))
    matches = [(a & b).total() for a, b in zip(ours, theirs, strict=True)]
    return [*matches, *(each.total() for each in ours), len(predicted), len(truth)]


def bleu(means: Means) -> Floats:
    """Corpus BLEU up to four words, (r,), with the exponential smoothing of zero matches.

    Source: Papineni et al., ACL 2002; smoothing: Chen and Cherry, WMT 2014, method 3.
    """
    sums = np.rint(means.mean_rm * means.total_r[:, None])
    matches, total = sums[:, :WORDS], sums[:, WORDS : 2 * WORDS]
    predicted, true = sums[:, -2], sums[:, -1]
    zeros = np.cumsum(matches == 0, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(matches == 0, 0.5**zeros, matches) / total
        brevity = np.where(predicted < true, np.exp(1 - true / predicted), 1.0)
        value = brevity * np.exp(np.log(shares).mean(axis=1))
    return np.where((matches.sum(axis=1) == 0) | (total == 0).any(axis=1), 0.0, value)


def chrf_counts(outcome: Outcome) -> Moments:
    """Columns: matches, n-grams predicted, n-grams true; each for orders of one to six characters."""
    rows = [_chrf_row("".join(t.split()), "".join(p.split())) for t, p in _pairs(outcome)]
    return Moments(np.asarray(rows, dtype=np.float64))


def _chrf_row(truth: str, predicted: str) -> list[int]:
    theirs, ours = (_ngrams(text, CHARACTERS) for text in (truth, predicted))
    matches = [(a & b).total() for a, b in zip(ours, theirs, strict=True)]
    # An order that the truth is too short for is not held against the prediction.
    counted = [a.total() if b else 0 for a, b in zip(ours, theirs, strict=True)]
    return [*matches, *counted, *(each.total() for each in theirs)]


def chrf(means: Means) -> Floats:
    """Corpus chrF2 over characters without white space, (r,); mean over the orders that both sides have.

    Source: Popović, "chrF", WMT 2015; the mean over present orders as in version 2 of its reference scorer.
    """
    sums = np.rint(means.mean_rm * means.total_r[:, None])
    matches, ours, theirs = (sums[:, i * CHARACTERS : (i + 1) * CHARACTERS] for i in range(3))
    both = (ours > 0) & (theirs > 0)
    orders = np.maximum(both.sum(axis=1), 1)
    precision, recall = (
        np.divide(matches, whole, out=np.zeros_like(matches), where=both).sum(axis=1) / orders
        for whole in (ours, theirs)
    )
    below = BETA**2 * precision + recall
    return np.divide((1 + BETA**2) * precision * recall, below, out=np.zeros_like(below), where=below > 0)


def _ngrams(sequence: Sequence[str] | str, longest: int) -> list[Counter[tuple[str, ...]]]:
    return [Counter(zip(*(sequence[i:] for i in range(n)), strict=False)) for n in range(1, longest + 1)]


def _pairs(outcome: Outcome) -> list[tuple[str, str]]:
    return list(zip(outcome.truth_n.tolist(), outcome.predicted_n.tolist(), strict=True))
