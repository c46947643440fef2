import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bakeoff.families.features.logistic import fit


def sample(seed=0, rows=300, features=12):
    rng = np.random.default_rng(seed)
    x_nd = rng.normal(size=(rows, features))
    x_nd[:, 3] = 7.0  # the same in all rows
    hit_n = rng.random(rows) < 1 / (1 + np.exp(-2 * x_nd[:, 0] + x_nd[:, 1]))
    return x_nd, hit_n, rng.uniform(0.5, 2, rows)


@pytest.mark.parametrize("penalty", [0.01, 1.0, 1000.0])
def test_it_finds_what_another_solver_finds(penalty):
    x_nd, hit_n, weight_n = sample()
    fitted = fit(x_nd, hit_n, weight_n, penalty=penalty)
    other = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000).fit(x_nd, hit_n, sample_weight=weight_n)
    # What is the same in all rows has no weight here; there it shares that of the intercept.
    intercept = other.intercept_[0] + 7.0 * other.coef_[0, 3]
    assert fitted.converged
    assert fitted.w_d[3] == 0
    scores = x_nd @ fitted.w_d[:-1] + fitted.w_d[-1]
    np.testing.assert_allclose(scores, x_nd @ other.coef_[0] + other.intercept_[0], atol=2e-3)
    assert fitted.w_d[-1] == pytest.approx(intercept, abs=2e-3)


def test_classes_that_a_line_parts_have_an_end():
    x_nd = np.concatenate([np.full((20, 1), -1.0), np.full((20, 1), 1.0)])
    fitted = fit(x_nd, x_nd[:, 0] > 0, np.ones(40), penalty=1e-6)
    assert fitted.converged
    assert np.isfinite(fitted.w_d).all()
    assert fitted.w_d[0] > 5


def test_where_it_begins_does_not_matter():
    x_nd, hit_n, weight_n = sample()
    near = fit(x_nd, hit_n, weight_n, penalty=2.0).w_d
    begun = fit(x_nd, hit_n, weight_n, penalty=0.5, start_d=near)
    np.testing.assert_allclose(begun.w_d, fit(x_nd, hit_n, weight_n, penalty=0.5).w_d, atol=1e-4)


def test_of_fewer_rows_than_features_it_finds_what_another_solver_finds():
    x_nd, hit_n, weight_n = sample(rows=40, features=150)
    x_nd[5] = x_nd[4]  # rows that are the same span less
    fitted = fit(x_nd, hit_n, weight_n, penalty=0.5)
    other = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000).fit(x_nd, hit_n, sample_weight=weight_n)
    new_nd = sample(seed=1, rows=20, features=150)[0]
    expected = new_nd @ other.coef_[0] + other.intercept_[0]
    np.testing.assert_allclose(new_nd @ fitted.w_d[:-1] + fitted.w_d[-1], expected, atol=1e-4)
