"""Measures of generated texts that need more than truth and answer: likelihoods, and scores of each row."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.moments import Means, Moments
from bakeoff.metrics.outcome import Outcome

__all__ = ["likelihood_moments", "mean_score", "perplexity", "score_moments"]


def likelihood_moments(outcome: Outcome) -> Moments:
    """Columns: log-likelihood of the truth, its number of tokens."""
    assert outcome.log_likelihood_n is not None
    assert outcome.tokens_n is not None
    return Moments(np.column_stack([outcome.log_likelihood_n, outcome.tokens_n.astype(np.float64)]))


def perplexity(means: Means) -> NDArray[np.float64]:
    """exp(−Σ log-likelihood / Σ tokens), (r,); only models that cut texts into the same tokens can be compared.

    Source: Jelinek et al., "Perplexity – a measure of the difficulty of speech recognition tasks", JASA 62 (1977).
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.exp(-means.mean_rm[:, 0] / means.mean_rm[:, 1])


def score_moments(name: str) -> Callable[[Outcome], Moments]:
    """Columns: the row's score of that name (0 where it has none), whether it has one."""

    def gather(outcome: Outcome) -> Moments:
        score_n = outcome.scores[name]
        there_n = ~np.isnan(score_n)
        return Moments(np.column_stack([np.where(there_n, score_n, 0.0), there_n.astype(np.float64)]))

    return gather


def mean_score(means: Means) -> NDArray[np.float64]:
    """The mean over the rows that have a score, (r,); NaN when none has."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return means.mean_rm[:, 0] / means.mean_rm[:, 1]
