"""The solver of many classes finds the minimum that scikit-learn's finds, from wherever it starts."""

import numpy as np
import pytest
import scipy.sparse as sp

from bakeoff.families.features import softmax

CLASSES = 7


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    class_n = np.concatenate([np.arange(CLASSES), rng.integers(CLASSES, size=393)])
    x_nd = sp.random_array((400, 150), density=0.1, rng=rng, format="csr")
    x_nd = sp.csr_array(x_nd + sp.csr_array((np.ones(400), (np.arange(400), class_n * 3)), shape=(400, 150)))
    return x_nd, class_n, rng.uniform(0.5, 2, size=400)


def objective(rows, w_dk, penalty):
    x_nd, class_n, weight_n = rows
    score_nk = x_nd @ w_dk[:-1].astype(np.float64) + w_dk[-1]
    score_nk -= score_nk.max(axis=1, keepdims=True)
    log_nk = score_nk - np.log(np.exp(score_nk).sum(axis=1, keepdims=True))
    return -weight_n @ log_nk[np.arange(len(class_n)), class_n] + penalty / 2 * np.vdot(w_dk[:-1], w_dk[:-1])


@pytest.mark.parametrize("penalty", [0.01, 0.3, 10.0, 1e4])
def test_the_minimum_is_scikit_learns(rows, penalty):
    from sklearn.linear_model import LogisticRegression

    x_nd, class_n, weight_n = rows
    reference = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10_000).fit(x_nd, class_n, sample_weight=weight_n)
    best = objective(rows, np.vstack([reference.coef_.T, reference.intercept_]), penalty)
    fitted = softmax.fit(x_nd, class_n, weight_n, classes=CLASSES, penalty=penalty, tolerance=1e-4)
    assert fitted.converged
    assert objective(rows, fitted.w_dk, penalty) == pytest.approx(best, rel=1e-3)


def test_dense_features_come_to_the_same(rows):
    x_nd, class_n, weight_n = rows
    problem = {"classes": CLASSES, "penalty": 0.3, "tolerance": 1e-5}
    sparse = softmax.fit(x_nd, class_n, weight_n, **problem)
    dense = softmax.fit(x_nd.toarray(), class_n, weight_n, **problem)
    assert dense.converged
    assert objective(rows, dense.w_dk, 0.3) == pytest.approx(objective(rows, sparse.w_dk, 0.3), rel=1e-4)


def test_a_start_nearby_ends_at_the_same_minimum(rows):
    x_nd, class_n, weight_n = rows
    problem = {"classes": CLASSES, "tolerance": 1e-5}
    near = softmax.fit(x_nd, class_n, weight_n, penalty=1.0, **problem)
    cold = softmax.fit(x_nd, class_n, weight_n, penalty=0.5, **problem)
    warm = softmax.fit(x_nd, class_n, weight_n, penalty=0.5, start_dk=near.w_dk, **problem)
    assert objective(rows, warm.w_dk, 0.5) == pytest.approx(objective(rows, cold.w_dk, 0.5), rel=1e-4)


def test_equal_rows_give_equal_bits(rows):
    x_nd, class_n, weight_n = rows
    once, again = (
        softmax.fit(x_nd, class_n, weight_n, classes=CLASSES, penalty=0.1, tolerance=1e-4).w_dk for _ in range(2)
    )
    assert np.array_equal(once, again)


def test_features_that_say_nothing_give_the_shares_of_classes():
    class_n = np.repeat(np.arange(3), [10, 30, 60])
    fitted = softmax.fit(sp.csr_array((100, 4)), class_n, np.ones(100), classes=3, penalty=1.0, tolerance=1e-6)
    power_k = np.exp(fitted.w_dk[-1])
    assert power_k / power_k.sum() == pytest.approx([0.1, 0.3, 0.6], abs=0.01)


def test_threads_change_no_bit(rows):
    x_nd, class_n, weight_n = rows
    problem = {"classes": CLASSES, "penalty": 0.3, "tolerance": 1e-5}
    one, three = (softmax.fit(x_nd.toarray(), class_n, weight_n, threads=n, **problem).w_dk for n in (1, 3))
    assert np.array_equal(one, three)
