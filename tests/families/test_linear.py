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

    @pytest.mark.parametrize(("shape", "bins"), [("line", {1, 3}), ("wave", {10})])
    def test_few_rows_learn_what_is_straight_as_a_straight_line_and_curves_as_curves(
        self, family, tmp_path, shape, bins
    ):
        job = self.job_of("regression", family.params(), tmp_path, columns=("numeric",))
        rng = np.random.default_rng(2)
        x_n = rng.uniform(0, 10, size=500)
        table = pl.DataFrame(
            {
                "numeric": x_n,
                "target": (3 * x_n if shape == "line" else 3 * np.sin(2 * x_n)) + rng.normal(size=500),
            }
        )
        job = replace(job, train=table[:240], validation=table[240:400])
        model = family.fit(job)
        assert model.chosen.get("bins", 10) in bins
        again = family.fit(replace(job, chosen=model.chosen))
        held = table[400:].drop("target")
        assert np.array_equal(again.predict(held).values_n, model.predict(held).values_n)
        plain = family.fit(
            replace(job, params=family.params(bins=model.chosen.get("bins", 10), penalty=model.chosen["penalty"]))
        )
        assert np.array_equal(plain.predict(held).values_n, model.predict(held).values_n)
