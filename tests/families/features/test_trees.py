import numpy as np
import pytest
from sklearn import ensemble
from sklearn.datasets import load_diabetes, load_wine

from bakeoff.families.features.trees import FlatTrees


@pytest.mark.parametrize("kind", [ensemble.ExtraTreesClassifier, ensemble.RandomForestClassifier])
def test_flat_trees_give_the_shares_that_the_library_gives(kind):
    data = load_wine()
    x_nd = data.data.astype(np.float32)
    forest = kind(30, random_state=0).fit(x_nd[::2], data.target[::2])
    flat = FlatTrees.of([each.tree_ for each in forest.estimators_], np.arange(3), 3)
    np.testing.assert_allclose(flat(x_nd), forest.predict_proba(x_nd), atol=1e-7)


def test_flat_trees_give_the_numbers_that_the_library_gives():
    data = load_diabetes()
    x_nd = data.data.astype(np.float32)
    forest = ensemble.RandomForestRegressor(30, random_state=0).fit(x_nd[::2], data.target[::2])
    flat = FlatTrees.of([each.tree_ for each in forest.estimators_], np.zeros(1, dtype=np.int64), 1)
    np.testing.assert_allclose(flat(x_nd)[:, 0], forest.predict(x_nd), rtol=1e-6)


def test_classes_that_no_leaf_has_get_nothing():
    x_nd = np.arange(8, dtype=np.float32)[:, None]
    forest = ensemble.RandomForestClassifier(3, random_state=0).fit(x_nd, [0, 0, 0, 0, 2, 2, 2, 2])
    flat = FlatTrees.of([each.tree_ for each in forest.estimators_], np.array([0, 2]), 4)
    share_nk = flat(x_nd)
    assert share_nk.shape == (8, 4)
    assert (share_nk[:, [1, 3]] == 0).all()
    assert share_nk.argmax(axis=1).tolist() == [0, 0, 0, 0, 2, 2, 2, 2]
