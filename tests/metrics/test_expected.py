"""The scale that makes probabilities true: the likeliest one."""

import numpy as np
import pytest

from bakeoff.metrics.expected import ConfidenceScale


@pytest.mark.parametrize(("classes", "intercept"), [(2, 0.7), (4, 0.0)])
def test_the_scale_that_answers_were_drawn_with_is_learned(classes, intercept):
    rng = np.random.default_rng(1)
    logs_nk = np.log(rng.dirichlet(np.ones(classes), size=20_000))
    said_nk = np.exp(logs_nk)
    true_nk = ConfidenceScale(slope=0.5, intercept=intercept)(said_nk)
    truth_n = (true_nk.cumsum(axis=1) < rng.uniform(size=(len(said_nk), 1))).sum(axis=1)
    scale = ConfidenceScale.of(truth_n, said_nk)
    assert scale.slope == pytest.approx(0.5, abs=0.02)
    assert scale.intercept == pytest.approx(intercept, abs=0.05)


def test_a_model_that_is_always_right_is_sure_and_finite():
    said_nk = np.tile([[0.6, 0.4], [0.4, 0.6]], (100, 1))
    scale = ConfidenceScale.of(np.tile([0, 1], 100), said_nk)
    # The slope e^a of the least loss 200 log(1 + 1.5^-slope) + a², by a scalar search.
    assert scale.slope == pytest.approx(13.1382, abs=1e-3)
    assert scale.intercept == pytest.approx(0.0, abs=1e-6)
