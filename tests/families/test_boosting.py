from dataclasses import replace

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score

from bakeoff.families.boosting import BoostingFamily, BoostingParams, _Fit
from bakeoff.testing.families import FamilyConformance


class TestBoosting(FamilyConformance):
    @pytest.fixture
    def family(self) -> BoostingFamily:
        return BoostingFamily()

    @pytest.fixture
    def params(self) -> BoostingParams:
        return BoostingParams(max_trees=60, patience=20, min_leaf_rows=5)

    @pytest.mark.parametrize("name", ["class 0", "class 1"])
    def test_trees_end_where_the_area_of_the_named_class_is_largest(self, job, name):
        rows = pl.int_range(pl.len()) % 4 == 0  # of this class, few are left
        train, held = (part.filter((pl.col("target") != name) | rows) for part in (job.train, job.validation))
        params = replace(job.params, max_trees=8, patience=8)
        fit = _Fit(replace(job, train=train, validation=held, params=params, metric=f"pr_auc[{name}]"))
        encoder, _, data = fit._encode(whole=False)
        booster = lgb.train(fit._settings(), data, num_boost_round=8)
        second = [booster.predict(encoder(held), num_iteration=trees) for trees in range(1, 9)]
        shares = [1 - each if name == "class 0" else each for each in second]
        areas = [average_precision_score(held["target"].to_numpy() == name, each) for each in shares]
        assert fit._trees() == int(np.argmax(areas)) + 1
