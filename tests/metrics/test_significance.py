import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bakeoff.metrics.intervals import bca, inverted, percentile, wilson
from bakeoff.metrics.significance import detectable, holm, mcnemar_exact, t_interval, t_p_value


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_binomial_test(a, b):
    expected = stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert mcnemar_exact(a, b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_very_many_rows():
    assert 0 < mcnemar_exact(49_000, 51_000) < 1e-9


@given(st.integers(1, 2000), st.data())
def test_wilson_is_scipys(n, data):
    k = data.draw(st.integers(0, n))
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_against_its_definition(p_values):
    order = np.argsort(p_values, kind="stable")
    steps = np.minimum(1, np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1))
    expected = np.empty(len(p_values))
    expected[order] = np.maximum.accumulate(steps)
    assert holm(p_values) == pytest.approx(expected)


def test_t_test_and_interval_agree():
    rng = np.random.default_rng(0)
    apart = rng.normal(0.4, 1, 30)
    expected = stats.ttest_1samp(apart, 0)
    se = apart.std(ddof=1) / np.sqrt(30)
    assert t_p_value(apart.mean(), se, 29) == pytest.approx(expected.pvalue)
    assert t_interval(apart.mean(), se, 29) == pytest.approx(tuple(expected.confidence_interval()))


def test_differences_within_the_margin_are_none():
    assert t_p_value(-0.01, 0.001, 100, margin=0.02) == 1.0
    assert t_p_value(-0.05, 0.001, 100, margin=0.02) < 1e-9


def test_rows_that_all_agree_are_judged_as_coins():
    assert t_p_value(1.0, 0.0, 3) == 2.0**-3
    assert t_interval(1.0, 0.0, 3) == (1.0, 1.0)


def test_detectable_difference_has_the_power_it_promises():
    size = detectable(1.0)
    assert stats.norm.sf(1.959964 - size) == pytest.approx(0.8, abs=1e-3)


def test_bca_is_scipys():
    rng = np.random.default_rng(1)
    values = rng.exponential(size=60)
    draws = np.array([rng.choice(values, 60).mean() for _ in range(4000)])
    left = np.array([np.delete(values, i).mean() for i in range(60)])
    expected = stats.bootstrap((values,), np.mean, n_resamples=4000, rng=2).confidence_interval
    assert bca(values.mean(), draws, left) == pytest.approx((expected.low, expected.high), abs=0.03)


def test_intervals_from_degenerate_resamples():
    constant = np.full(50, 0.7)
    assert bca(0.7, constant, constant[:0]) == (0.7, 0.7)
    assert bca(0.7, constant, constant) == (0.7, 0.7)
    assert percentile(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert np.isnan(percentile(np.array([np.nan]))).all()
    assert inverted(0.0, np.zeros(3), np.zeros((50, 3)), 20) == (0.0, 0.0)
    assert np.isnan(inverted(0.1, np.array([0.1]), np.full((5, 1), np.nan), 20)).all()


def test_a_sum_of_sizes_that_noise_alone_explains_may_be_nothing():
    noise = np.random.default_rng(3).normal(0.0, 0.02, size=(2000, 10))
    parts = np.where(np.arange(10) % 2, 0.016, -0.016)
    low, high = inverted(float(np.abs(parts).sum()), parts, parts + noise, 1000)
    assert low == 0.0
    assert 0 < high < 0.25


def test_a_sure_sum_of_sizes_has_the_interval_of_a_mean():
    noise = np.random.default_rng(4).normal(0.0, 0.01, size=(4000, 1))
    low, high = inverted(0.5, np.array([0.5]), 0.5 + noise, 1000)
    assert (low, high) == pytest.approx((0.5 - 0.0196, 0.5 + 0.0196), abs=0.001)
