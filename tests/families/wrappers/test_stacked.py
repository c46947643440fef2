"""A second layer learns from what the first one says of rows that it has not seen, and of no others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, Schema
from bakeoff.families.wrappers.members import Member
from bakeoff.families.wrappers.stacked import StackedFamily, StackedParams, _dealt
from bakeoff.metrics.combined import spread
from bakeoff.testing.families import FamilyConformance

TREES = Member(name="trees", family="boosting", params={"trees": 25, "min_leaf_rows": 2, "penalty": 0.1})
LINEAR = Member(name="linear", family="linear", params={"penalty": 1.0, "features": False})
SECOND = Member(name="second", family="boosting", params={"trees": 40, "min_leaf_rows": 5, "features": False})
ALONE = Member(name="second", family="linear", params={"features": False})


class TestStacked(FamilyConformance):
    @pytest.fixture
    def family(self) -> StackedFamily:
        return StackedFamily()

    @pytest.fixture
    def params(self) -> StackedParams:
        return StackedParams(members=(LINEAR, TREES), second=SECOND, folds=3, inputs=True)

    def test_the_second_model_is_asked_with_the_answers_of_the_first(self, family, job):
        model = family.fit(job)
        held = self.held(job)
        *first, second = model.models
        odds = {
            f"bakeoff:{name}": np.diff(np.log(spread(each.predict(held), ("class 0", "class 1"))), axis=1)[:, 0]
            for name, each in zip(("linear", "trees"), first, strict=True)
        }
        expected = second.predict(held.with_columns(**{name: pl.Series(odds[name]) for name in odds}))
        assert model.predict(held).probabilities_nk.tolist() == pytest.approx(expected.probabilities_nk, abs=1e-12)
        assert [column.name for column in model.signature.inputs] == list(job.schema.inputs)

    def test_names_must_differ(self, family, job):
        same = StackedParams(members=(LINEAR,), second=replace(SECOND, name="linear"))
        with pytest.raises(CandidateError, match="names of their own"):
            family.fit(replace(job, params=same))

    def test_with_little_time_there_are_fewer_folds_and_it_is_told(self, family, job, params):
        cuts: list[str] = []
        hurried = replace(job, params=replace(params, folds=6), limit_s=1e-6, on_cut=cuts.append)
        model = family.fit(hurried)
        assert "the first layer answered by 2 of 6 folds" in cuts
        assert model.chosen["folds"] == 2
        again = family.fit(replace(hurried, limit_s=None, chosen=model.chosen))
        held = self.held(job)
        assert again.predict(held).probabilities_nk.tolist() == model.predict(held).probabilities_nk.tolist()


def noise_job(rows, params, *, copies=1, seed=0):
    """Labels that nothing tells, and columns that tell nothing."""
    rng = np.random.default_rng(seed)
    names = tuple(f"x{at}" for at in range(6))
    table = pl.DataFrame(rng.normal(size=(rows, 6)), schema=list(names))
    table = table.with_columns(target=pl.Series([("no", "yes")[at] for at in rng.integers(2, size=rows)]))
    table = pl.concat([table] * copies)
    columns = tuple(Column(name=name, kind="numeric", dtype="Float64") for name in names)
    target = Column(name="target", kind="categorical", dtype="String")
    return FitJob(
        task="classification",
        schema=Schema(columns=(*columns, target), target="target", inputs=names),
        train=table[: 4 * len(table) // 5],
        validation=table[4 * len(table) // 5 :],
        params=params,
        metric="log_loss",
        seed=0,
        threads=1,
        cache=Path(),
        progress=lambda _: None,
    )


@pytest.mark.parametrize("copies", [1, 3])
def test_on_noise_it_stays_at_chance(copies):
    """A first layer that knows its rows by heart would be trusted, had the second seen what it says of these."""
    params = StackedParams(
        members=(replace(TREES, params={**TREES.params, "trees": 200, "learning_rate": 0.2}),),
        second=replace(ALONE, params={"features": False, "penalty": 0.001}),
        inputs=False,
    )
    job = noise_job(300, params, copies=copies)
    model = StackedFamily().fit(job)
    fresh = noise_job(2500, params, seed=1).train
    said = model.predict(fresh.drop("target"))
    truth_n = np.asarray([said.classes.index(each) for each in fresh["target"]])
    p_n = said.probabilities_nk[np.arange(2000), truth_n]
    assert -np.log(p_n).mean() < np.log(2) + 0.03
    by_heart = model.models[0].predict(job.train.drop("target"))
    assert np.mean(by_heart.values_n == job.train["target"].to_numpy()) > 0.9  # there is something to be fooled by
    assert abs(np.mean(said.values_n == fresh["target"].to_numpy()) - 0.5) < 0.05


def test_numbers_are_stacked(tmp_path):
    params = StackedParams(members=(LINEAR, TREES), second=ALONE, folds=4, inputs=False)
    job = FamilyConformance().job_of("regression", params, tmp_path)
    model = StackedFamily().fit(job)
    held = FamilyConformance().held(job)
    linear, trees, second = model.models
    answers = {"bakeoff:linear": linear.predict(held).values_n, "bakeoff:trees": trees.predict(held).values_n}
    assert [column.name for column in second.signature.inputs] == list(answers)
    assert model.predict(held).values_n.tolist() == second.predict(pl.DataFrame(answers)).values_n.tolist()


def test_equal_rows_are_dealt_together_each_class_into_all_folds_and_time_in_stretches():
    job = noise_job(100, StackedParams(), copies=2)
    rows = pl.concat([job.train, job.validation])
    fold_n = _dealt(rows, "target", 5, job)
    assert fold_n[:100].tolist() == fold_n[100:].tolist()
    for label in ("no", "yes"):
        of_label = fold_n[(rows["target"] == label).to_numpy()]
        counts = np.bincount(of_label, minlength=5)
        assert counts.max() - counts.min() <= 2
    ages = np.arange(200.0)[::-1]
    assert (
        _dealt(rows, "target", 4, replace(job, age_days_n=ages)).tolist() == [0] * 50 + [1] * 50 + [2] * 50 + [3] * 50
    )
