from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bakeoff.families.linear import LinearFamily
from bakeoff.testing.families import FamilyConformance


class TestLinear(FamilyConformance):
    @pytest.fixture
    def family(self) -> LinearFamily:
        return LinearFamily()

    def test_a_number_that_was_missing_once_is_a_middling_one(self, family, tmp_path):
        job = self.job_of("regression", family.params(penalty=1.0), tmp_path, columns=("numeric",))
        x_n = np.random.default_rng(1).uniform(20, 180, size=200)
        table = pl.DataFrame({"numeric": x_n, "target": 1000 * x_n})
        gap = table.with_columns(pl.Series("numeric", [None, *x_n[1:]], dtype=pl.Float64))
        model = family.fit(replace(job, train=gap[:160], validation=gap[160:]))
        missing, least = model.predict(pl.DataFrame({"numeric": [None, 20.0]}, schema={"numeric": pl.Float64})).values_n
        assert least < 25_000
        assert 70_000 < missing < 130_000
