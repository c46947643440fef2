import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression, Ridge

from bakeoff.core.families import load_family
from bakeoff.families.features.heads import HeadSpec, LinearHead, best_penalty
from bakeoff.testing.families import FamilyConformance

BALANCED = [
    ("forest", {"trees": 10, "kind": "extra", "column_share": 1.0, "min_leaf_rows": 5}),
    ("neighbours", {"neighbours": 5, "emphasis": 0.0, "one_scale": False}),
    ("kernel", {"width": 1.0, "shape": "smooth", "one_scale": False, "penalty": 1.0}),
    ("linear", {"penalty": 1.0, "features": False}),
    ("boosting", {"trees": 5, "features": False}),
    ("xgboost", {"trees": 5}),
    ("catboost", {"trees": 5}),
]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5))
CLASS_2 = (X[:, 0] + RNG.normal(size=200) > 0.7).astype(float)
CLASS_3 = np.digitize(X[:, 0] + 0.5 * RNG.normal(size=200), [-0.5, 0.5]).astype(float)


def spec(*classes: str, balanced: bool = True, lines: list[str] | None = None) -> HeadSpec:
    progress = (lines if lines is not None else []).append
    return HeadSpec(classes=classes, balance=float(balanced), metric="f1_macro", seed=0, progress=progress)


@pytest.mark.parametrize(("classes", "value_n"), [(("a", "b"), CLASS_2), (("a", "b", "c"), CLASS_3)])
def test_probabilities_are_those_of_scikit_learn(classes: tuple[str, ...], value_n) -> None:
    head = spec(*classes).fit(X, value_n, 0.5, np.ones(5))
    model = LogisticRegression(C=2, class_weight="balanced", tol=1e-10, max_iter=1000).fit(X, value_n)
    np.testing.assert_allclose(head(X).probabilities_nk, model.predict_proba(X), atol=1e-4)


def test_sparse_and_dense_features_agree() -> None:
    dense = spec("a", "b", "c").fit(X, CLASS_3, 1.0, np.ones(5))(X)
    fitted = spec("a", "b", "c").fit(sp.csr_array(X), CLASS_3, 1.0, np.ones(5), tolerance=1e-6)
    sparse = fitted(sp.csr_array(X))
    np.testing.assert_allclose(sparse.probabilities_nk, dense.probabilities_nk, atol=1e-3)


def test_ridge_is_in_the_units_of_the_target() -> None:
    value_n = 1e6 + 1e3 * X[:, 0]
    head = spec().fit(X, value_n, 1e-6, np.ones(5))
    np.testing.assert_allclose(head(X).values_n, value_n, rtol=1e-6)
    assert Ridge(alpha=1e-6).fit(X, value_n).score(X, head(X).values_n) > 0.999


def test_a_scale_is_a_weaker_penalty_in_the_features_own_units() -> None:
    weak = spec("a", "b").fit(X, CLASS_2, 100.0, np.full(5, 10.0))
    plain = spec("a", "b").fit(X, CLASS_2, 1.0, np.ones(5))
    np.testing.assert_allclose(weak.coef_dk, plain.coef_dk, rtol=1e-3)


@pytest.mark.parametrize("missing", [0.0, 1.0, 2.0])
def test_a_class_without_training_rows_is_improbable(missing: float) -> None:
    rows = missing != CLASS_3
    probabilities_nk = spec("a", "b", "c").fit(X[rows], CLASS_3[rows], 1.0, np.ones(5))(X).probabilities_nk
    assert probabilities_nk.shape == (200, 3)
    assert probabilities_nk[:, int(missing)].max() < 1e-6


def test_the_best_penalty_is_chosen_on_validation_rows() -> None:
    noise = np.random.default_rng(1).normal(size=(60, 80))
    labels = (noise[:, 0] > 0).astype(float)
    lines: list[str] = []
    chosen, head = best_penalty(
        spec("a", "b", lines=lines),
        noise[:40],
        labels[:40],
        np.ones(80),
        validation=(noise[40:], labels[40:]),
        grid=(1e-6, 1.0, 1e6),
    )
    assert chosen == 1.0
    assert np.array_equal(head.coef_dk, spec("a", "b").fit(noise[:40], labels[:40], 1.0, np.ones(80)).coef_dk)
    assert len(lines) == 3


@pytest.mark.parametrize("classes", [(), ("a", "b"), ("a", "b", "c")])
def test_a_row_gets_the_same_to_the_last_bit_whatever_rows_stand_beside_it(classes: tuple[str, ...]) -> None:
    x_nd = RNG.normal(size=(150, 301))
    head = LinearHead(
        coef_dk=RNG.normal(size=(301, max(len(classes) - (len(classes) == 2), 1))),
        intercept_k=np.array([0.1]),
        classes=classes,
    )

    def numbers(rows_nd) -> list[float]:
        said = head(rows_nd)
        return (said.values_n if said.probabilities_nk is None else said.probabilities_nk).tolist()

    whole = numbers(x_nd)
    assert [numbers(x_nd[row : row + 1])[0] for row in range(150)] == whole
    assert numbers(x_nd[::-1])[::-1] == whole
    assert numbers(x_nd[3:]) == whole[3:]


@pytest.mark.parametrize(("name", "params"), BALANCED)
def test_numbers_have_no_classes_that_could_weigh_the_same(name: str, params: dict, tmp_path) -> None:
    """Their rows were weighed as if each whole number were a class."""
    if name in {"xgboost", "catboost"}:
        pytest.importorskip(name)
    family, conformance = load_family(name), FamilyConformance()
    jobs = [
        conformance.job_of("regression", family.params(**params, balanced=balanced), tmp_path, columns=("numeric",))
        for balanced in (None, True)
    ]
    plain, balanced = (family.fit(job).predict(job.validation).values_n for job in jobs)
    np.testing.assert_array_equal(balanced, plain)


@pytest.mark.parametrize("features", [5, 300])
def test_ridge_is_that_of_scikit_learn(features: int) -> None:
    x_nd, weight_n = RNG.normal(size=(200, features)), RNG.uniform(0.5, 2.0, size=200)
    value_n = x_nd[:, 0] + 3 + RNG.normal(size=200)
    head = spec().fit(x_nd, value_n, 2.0, np.ones(features), weight_n=weight_n)
    model = Ridge(alpha=2.0).fit(x_nd, value_n, sample_weight=weight_n)
    np.testing.assert_allclose(head(x_nd).values_n, model.predict(x_nd), atol=1e-9)
