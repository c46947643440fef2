"""What the true confusion table may be, given the counts: draws of it, for measures of few classes."""

import numpy as np

from bakeoff.metrics.labels import Confusion, Margins
from bakeoff.metrics.outcome import Outcome

__all__ = ["FEW_CLASSES", "PRIOR_ROWS", "posterior_margins"]

FEW_CLASSES = 3
"""With more, the noise of many small cells pulls averages over classes away from their value."""
PRIOR_ROWS = 1.5
"""What is believed before any row was seen weighs as much as this many rows, spread evenly over the cells.

One (Perks 1947) leaves too little room about a class that is rare and often named wrongly (precision of 20 positives
among 200 rows covers .91), two (Jeffreys, of two classes) too little for no error at all (n = 50, 0.5% errors: .89).
"""


def posterior_margins(outcome: Outcome, *, draws: int, seed: int, of_class: str | None = None) -> Margins:
    """What measures of labels are made of, under draws of the Dirichlet posterior of the confusion cells.

    A cell without a row is not impossible: ten of ten right leave room for errors. For a measure of one class
    (`of_class`) all others are one.
    Source: Goutte and Gaussier, "A Probabilistic Interpretation of Precision, Recall and F-Score", ECIR 2005; a weight
    of the prior between one row and two: Walley, "Inferences from Multinomial Data", JRSS B 58 (1996), section 2.5.
    """
    truth_n, predicted_n, classes = outcome.truth_n, outcome.predicted_n, outcome.classes
    if of_class is not None:
        at = classes.index(of_class)
        truth_n, predicted_n = (each == at for each in (truth_n, predicted_n))
        classes = (f"not {of_class}", of_class)
    k = len(classes)
    cells = np.bincount(truth_n * k + predicted_n, minlength=k * k)
    shape = cells + PRIOR_ROWS / (k * k)
    weights_rc = np.random.default_rng(seed).standard_gamma(shape, size=(draws, k * k))
    truth_c, predicted_c = np.divmod(np.arange(k * k), k)
    positive = outcome.positive if of_class is None else of_class
    return Confusion(truth_c, predicted_c, k, classes, positive)(weights_rc)
