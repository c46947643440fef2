"""How much rare classes weigh in a fit: what serves the metric best on validation rows.

Weights by which every class weighs the same are too much for a metric that falls with false alarms, too.

Source: the threshold that is best for F1 is half of the F1 that it gives: Z. Lipton, C. Elkan, B. Naryanaswamy,
"Optimal Thresholding of Classifiers to Maximize F1 Measure", ECML 2014. Probabilities of one prior as those of another:
M. Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural Computation 14, 2002,
formula 2.4.
"""

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Predictions
from bakeoff.metrics.labels import weighs_false_alarms
from bakeoff.metrics.value import value

__all__ = ["class_balance", "may_balance"]

POWERS = np.linspace(0, 1, 9)
WINDOW = 3
"""Over so many powers the metric is averaged."""
FEWEST_ROWS, FEWEST_RARE = 100, 10
"""Of validation rows, and of these such as are of another than the commonest class."""
UNEQUAL = 2.0
"""From such a ratio of the commonest to the rarest class on, their weights matter."""


def may_balance(job: FitJob) -> bool:
    """Whether weights of classes are to be chosen: they matter, to both sides of the metric, and nobody said.

    Not where rows are in the order of time: shares of classes move, and only even weights do not depend on them.
    """
    if job.chosen is not None or job.task != "classification" or not weighs_false_alarms(job.metric):
        return False
    if job.age_days_n is not None or getattr(job.params, "balanced", False) is not None:
        return False
    return len(job.validation) >= FEWEST_ROWS and _unequal(job)


def _unequal(job: FitJob) -> bool:
    """Whether classes are of so unequal size that weights matter, with rows enough of other than the commonest."""
    target = job.schema.target
    counts = job.train[target].value_counts(sort=True)
    rare = (job.validation[target] != counts[target][0]).sum()
    return bool(counts["count"][0] >= UNEQUAL * counts["count"][-1] and rare >= FEWEST_RARE)


def class_balance(job: FitJob, answers: Predictions, now: float = 1.0) -> float | None:
    """The power of the inverse of a class's share that its rows are to weigh; None: what they weighed is as good.

    Args:
        job: whose validation rows are to be answered (`may_balance`).
        answers: what a fit of the training rows says of them.
        now: the power that this fit had; 1: every class weighs the same.
    """
    if answers.probabilities_nk is None or not _unequal(job):
        return None
    target = job.schema.target
    counts = dict(job.train[target].value_counts().iter_rows())
    share_k = np.array([counts.get(name, 0) for name in answers.classes], dtype=np.float64) / len(job.train)
    if share_k.min() == 0:
        return None
    truth_n = job.validation[target].to_numpy()
    values = [value(job.metric, truth_n, _moved(answers, share_k, power - now), "classification") for power in POWERS]
    smooth = _averaged(np.asarray(values))
    best = max(range(len(POWERS)), key=lambda at: (smooth[at], POWERS[at]))
    chosen = float(POWERS[best])
    before = float(np.interp(now, POWERS, values))
    job.progress(
        f"classes weigh 1/share to the power of {chosen:g}: {job.metric} {values[best]:.4f}, of {now:g} {before:.4f}"
    )
    return None if chosen == now else chosen


def _moved(answers: Predictions, share_k: NDArray[np.float64], more: float) -> Predictions:
    """What fits with so much more of a power would say, by what they said."""
    assert answers.probabilities_nk is not None
    moved_nk = answers.probabilities_nk * share_k**-more
    return Predictions.of_probabilities(moved_nk / moved_nk.sum(axis=1, keepdims=True), answers.classes)


def _averaged(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each number with its neighbours; at the ends, with those that there are."""
    ones = np.ones(WINDOW)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")
