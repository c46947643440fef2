"""Measures of quantiles equal scikit-learn's pinball loss, of which the interval score is made."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_pinball_loss

import bakeoff
from bakeoff.core.errors import DataError

NAMES = ("0.1", "0.25", "0.5", "0.75", "0.9")


def drawn(seed, n):
    """Rows of a number and of quantiles, which may cross, tie with the truth, and be constant."""
    rng = np.random.default_rng(seed)
    truth = np.round(rng.normal(2, 3, n), 1)
    quantiles = {name: np.round(truth.mean() + rng.normal(float(name) - 0.5, 1, n), 1) for name in NAMES}
    return truth, quantiles


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_against_scikit_learn(seed, n):
    truth, quantiles = drawn(seed, n)
    loss = {name: mean_pinball_loss(truth, each, alpha=float(name)) for name, each in quantiles.items()}

    def ours(metric):
        return bakeoff.interval(truth, quantiles, metric=metric).value

    for name, each in loss.items():
        assert ours(f"pinball[{name}]") == pytest.approx(each, rel=1e-12, abs=1e-12)
    assert ours("mean_pinball") == pytest.approx(np.mean(list(loss.values())), rel=1e-12, abs=1e-12)
    for level, low, high in ((0.8, "0.1", "0.9"), (0.5, "0.25", "0.75")):
        both = 2 / (1 - level) * (loss[low] + loss[high])
        assert ours(f"interval_score[{level}]") == pytest.approx(both, rel=1e-9, abs=1e-9)
        inside = np.mean((quantiles[low] <= truth) & (truth <= quantiles[high]))
        assert ours(f"interval_coverage[{level}]") == pytest.approx(inside)
    assert ours("mae") == pytest.approx(2 * loss["0.5"], rel=1e-12, abs=1e-12)


def test_quantiles_decide():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400)
    honest = {"0.1": np.full(400, -1.2816), "0.9": np.full(400, 1.2816)}
    bold = {name: each / 4 for name, each in honest.items()}
    decision = bakeoff.compare(truth, {"honest": honest, "bold": pl.DataFrame(bold)}, metric="interval_score[0.8]")
    assert decision.winner == "honest"
    coverage = bakeoff.interval(truth, honest, metric="interval_coverage[0.8]")
    assert coverage.method == "mid-p"
    assert coverage.low < 0.8 < coverage.high


def test_what_is_not_there_is_named():
    truth, quantiles = drawn(0, 20)
    with pytest.raises(DataError, match=r"quantile 0.05; received those of \[0.1, 0.25"):
        bakeoff.interval(truth, quantiles, metric="interval_score[0.9]")
    with pytest.raises(DataError, match="a column for each quantile"):
        bakeoff.interval(truth, quantiles["0.5"], metric="mean_pinball")
    with pytest.raises(DataError, match=r"column 0.5, for 'mae'"):
        bakeoff.interval(truth, {name: quantiles[name] for name in ("0.1", "0.9")}, metric="mae")
    with pytest.raises(DataError, match="levels of quantiles"):
        bakeoff.interval(truth, {"low": truth, "high": truth}, metric="mean_pinball")
