"""LightGBM's text of a model is its own, however little room there was at first."""

import numpy as np
import pytest

from bakeoff.families.features.tree_text import BYTES, tree_text


@pytest.mark.parametrize("room", [1, 100, BYTES])
def test_the_text_is_lightgbms(room):
    from bakeoff.families.features.lightgbm_library import lgb

    x_nd = np.random.default_rng(0).normal(size=(60, 3))
    data = lgb.Dataset(x_nd, label=x_nd[:, 0], params={"verbosity": -1, "min_data_in_leaf": 5})
    booster = lgb.train({"verbosity": -1, "min_data_in_leaf": 5}, data, num_boost_round=4, keep_training_booster=True)
    assert tree_text(booster, 3, room) == booster.model_to_string(num_iteration=3)
