"""Agreement of annotators, against published examples."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from bakeoff.core.errors import DataError
from bakeoff.metrics.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha

N = None
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
"""Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part C: four observers, twelve units."""


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_krippendorff(level, alpha):
    assert krippendorff_alpha(list(zip(*OBSERVERS, strict=True)), level) == pytest.approx(alpha, abs=5e-4)


def test_cohen():
    """Cohen (1960), table 1 as counts of 200: two judges, three categories, kappa .492."""
    table = np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]])
    one, other = (np.repeat(each.ravel(), table.ravel()).tolist() for each in np.indices((3, 3)))
    assert cohen_kappa(one, other) == pytest.approx(0.492, abs=5e-4)
    assert cohen_kappa(one, other) == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)


def test_fleiss():
    """Fourteen raters, ten subjects, five categories, kappa .210: an example after Fleiss (1971) often cited."""
    counts = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)


def test_nothing_to_compare():
    assert math.isnan(krippendorff_alpha([["a"], ["b", None]]))
    assert math.isnan(cohen_kappa(["a", "a"], ["a", "a"]))
    with pytest.raises(DataError, match="two labels for each row"):
        cohen_kappa(["a"], [])
    with pytest.raises(DataError, match="same number"):
        fleiss_kappa([[1, 1], [3, 0]])
    with pytest.raises(DataError, match="expected numbers"):
        krippendorff_alpha([["a", "b"]], "interval")
