"""Sequential comparisons: right values, and right rates of error when one looks after every observation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import betaln, xlog1py, xlogy

from bakeoff.metrics.sequential import (
    PRIORS,
    log_evidence_better,
    log_evidence_worse,
    rate_interval,
    times_needed,
)


def likelihood(s, n, rate):
    return xlogy(s, rate) + xlog1py(n - s, -rate)


def mixture(s, n):
    return math.log(np.mean([math.exp(betaln(a + s, b + n - s) - betaln(a, b)) for a, b in PRIORS]))


def greatest(s, n, t, m, margin, *, worse):
    """The greatest likelihood under the hypothesis, by a general search."""
    a, b = s / n, t / m
    if (a - b <= margin) == worse or a - b == margin:
        return likelihood(s, n, a) + likelihood(t, m, b)
    search = minimize_scalar(
        lambda rate: -(likelihood(s, n, rate + margin) + likelihood(t, m, rate)),
        bounds=(0, 1 - margin),
        method="bounded",
        options={"xatol": 1e-12},
    )
    return -search.fun


@given(
    st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.integers(1, 60).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m))),
    st.sampled_from([0.0, 0.01, 0.1]),
)
def test_it_is_the_mixture_over_the_greatest_likelihood(one, other, margin):
    (s, n), (t, m) = one, other
    top = mixture(s, n) + mixture(t, m)
    for worse, evidence in ((True, log_evidence_worse), (False, log_evidence_better)):
        expected = top - greatest(s, n, t, m, margin, worse=worse)
        assert float(evidence(s, n, t, m, margin)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("evidence", [log_evidence_worse, log_evidence_better])
def test_nothing_seen_is_no_evidence(evidence):
    assert float(evidence(0, 0, 0, 0, 0.01)) <= 0
    assert float(evidence(0, 0, 3, 500, 0.01)) <= 0


def test_without_the_other_side_nothing_is_worse_than_it():
    assert float(log_evidence_worse(50, 50, 0, 0, 0.01)) <= 0


def test_arrays_are_taken_element_by_element():
    s, t = np.array([0, 5, 20]), np.array([1, 1, 1])
    together = log_evidence_worse(s, 40, t, 300, 0.01)
    assert together.tolist() == pytest.approx([float(log_evidence_worse(each, 40, 1, 300, 0.01)) for each in s])
    assert together[0] < 0 < together[1] < together[2]


def streams(rate, beside, *, share, looks, trials, seed):
    """Counts of the canary and of the live release, look by look: each call is of one of them."""
    rng = np.random.default_rng(seed)
    s, n, t, m = (np.zeros(trials) for _ in range(4))
    for _ in range(looks):
        canary = rng.random(trials) < share
        bad = rng.random(trials) < np.where(canary, rate, beside)
        n, s, m, t = n + canary, s + (canary & bad), m + ~canary, t + (~canary & bad)
        yield s, n, t, m


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_false_alarms_are_rare_with_a_look_after_every_call(rate):
    alpha, ever = 0.1, np.zeros(400, bool)
    for counts in streams(rate, rate, share=0.3, looks=300, trials=400, seed=1):
        ever |= log_evidence_worse(*counts, 0.0) >= math.log(1 / alpha)
    assert ever.mean() <= alpha


def test_false_acquittals_are_rare_with_a_look_after_every_call():
    alpha, ever = 0.1, np.zeros(400, bool)
    for counts in streams(0.12, 0.02, share=0.5, looks=300, trials=400, seed=2):
        ever |= log_evidence_better(*counts, 0.1) >= math.log(1 / alpha)
    assert ever.mean() <= alpha


def test_intervals_hold_at_all_times_at_once():
    alpha, ever = 0.1, np.zeros(200, bool)
    for s, n, _, _ in streams(0.2, 0.0, share=1.0, looks=120, trials=200, seed=3):
        if n[0] % 4 == 0:
            edges = {(a, b): rate_interval(a, b, alpha) for a, b in {(a, b) for a, b in zip(s, n, strict=True)}}
            ever |= [not edges[a, b][0] <= 0.2 <= edges[a, b][1] for a, b in zip(s, n, strict=True)]
    assert ever.mean() <= alpha


def test_how_much_more_it_takes_is_what_it_takes():
    limit = math.log(20)
    times = times_needed(0, 100, 0, 900, 0.01, log_limit=limit)
    assert float(log_evidence_better(0, 100 * times, 0, 900 * times, 0.01)) >= limit
    assert float(log_evidence_better(0, 98 * times, 0, 882 * times, 0.01)) < limit
    assert times_needed(0, 5_000, 0, 45_000, 0.01, log_limit=limit) == 1.0
    assert times_needed(30, 100, 0, 900, 0.01, log_limit=limit) is None
    assert times_needed(0, 0, 0, 900, 0.01, log_limit=limit) is None
