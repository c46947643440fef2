from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score

from bakeoff.config.sections import DataConfig
from bakeoff.core.protocols import FitJob
from bakeoff.data.schema import infer
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
        second = [booster.predict(encoder.table(encoder.more(held)), num_iteration=trees) for trees in range(1, 9)]
        shares = [1 - each if name == "class 0" else each for each in second]
        areas = [average_precision_score(held["target"].to_numpy() == name, each) for each in shares]
        assert fit._trees() == int(np.argmax(areas)) + 1


def _of_classes(count: int, **more: object) -> _Fit:
    labels = [f"class {i % count}" for i in range(3 * count)]
    table = pl.DataFrame({"x": [float(i % count) for i in range(3 * count)], "target": labels})
    job = FitJob(
        task="classification",
        schema=infer(table, DataConfig(source=("rows.csv",), target="target"), "classification").schema,
        train=table[: 2 * count],
        validation=table[2 * count :],
        params=BoostingParams(),
        metric="f1_macro",
        seed=0,
        threads=1,
        cache=Path(),
        progress=lambda _: None,
    )
    return _Fit(replace(job, **more))


def test_a_limit_ends_the_choosing_with_the_best_so_far_and_is_told() -> None:
    cuts: list[str] = []
    assert _of_classes(3, limit_s=0.0, on_cut=cuts.append)._trees() == 1
    assert cuts == ["1 rounds of trees of up to 1,500 were tried"]


def test_of_many_classes_there_are_fewer_rounds_that_learn_faster() -> None:
    """Forty classes: 200 rounds at most; a hundred: 80 at 2.5 times the rate."""
    few, many = _of_classes(40), _of_classes(100)
    assert (few._most_rounds, few._settings()["learning_rate"]) == (200, 0.05)
    assert (many._most_rounds, many._settings()["learning_rate"]) == (80, pytest.approx(0.125))
    assert (few._most_terms, many._most_terms) == (500, 200)
    two = _of_classes(2)
    assert (two._most_rounds, two._settings()["learning_rate"], two._most_terms) == (1500, 0.05, 2000)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_of_several_seeds_the_mean_score_is_said(task, tmp_path) -> None:
    job = FamilyConformance().job_of(task, BoostingParams(max_trees=30, min_leaf_rows=5, seeds=3), tmp_path)
    rows, held = job.validation, []
    mean = BoostingFamily().fit(replace(job, on_held=held.append))
    assert not held  # what was chosen with is a model of one seed
    assert mean.chosen["seeds"] == 3

    def score(model):
        said = model.predict(rows)
        return (
            said.values_n if task == "regression" else np.log(said.probabilities_nk[:, 1] / said.probabilities_nk[:, 0])
        )

    one = replace(job, params=replace(job.params, seeds=1), chosen=mean.chosen | {"seeds": 1})
    trees = lgb.Booster(model_str=mean.trees)
    single = BoostingFamily().fit(one)
    assert trees.num_trees() == 3 * lgb.Booster(model_str=single.trees).num_trees()
    twin = BoostingFamily().fit(replace(job, params=replace(job.params, seeds=1)))
    assert twin.trees == single.trees  # the first seed is the candidate without others
    assert twin.chosen == {name: value for name, value in mean.chosen.items() if name != "seeds"}
    firsts = trees.predict(mean.table(rows), raw_score=True, num_iteration=twin.chosen["trees"])
    np.testing.assert_allclose(
        firsts * 3, lgb.Booster(model_str=single.trees).predict(single.table(rows), raw_score=True)
    )
    assert np.abs(score(mean) - score(single)).max() > 1e-3


def test_a_limit_leaves_seeds_out_and_tells_it(tmp_path) -> None:
    cuts: list[str] = []
    job = FamilyConformance().job_of("regression", BoostingParams(trees=20, seeds=4), tmp_path)
    model = BoostingFamily().fit(replace(job, limit_s=0.0, on_cut=cuts.append))
    assert cuts[-1] == "1 of 4 seeds were fitted"
    assert model.chosen["seeds"] == 1
    again = BoostingFamily().fit(replace(job, limit_s=0.0, chosen=model.chosen))
    assert again.trees == model.trees


def _products(*, lowest: float = 0.0) -> FitJob:
    """Counts whose mean is a product of what two numbers and a word add to its logarithm."""
    rng = np.random.default_rng(6)
    a_n, b_n, word_n = rng.uniform(-2, 2, 2400), rng.uniform(-2, 2, 2400), rng.integers(0, 4, 2400)
    value_n = rng.poisson(np.exp(2 + a_n + np.sin(2 * b_n) + 0.7 * word_n)) + lowest
    table = pl.DataFrame({"a": a_n, "b": b_n, "word": np.array(list("wxyz"))[word_n], "y": value_n})
    schema = infer(table, DataConfig(target="y"), "regression").schema
    return FitJob(
        task="regression",
        schema=schema,
        train=table[:1500],
        validation=table[1500:2000],
        params=BoostingParams(features=False, max_trees=300),
        metric="rmse",
        seed=0,
        threads=1,
        cache=Path(),
        progress=lambda _: None,
    )


def test_effects_that_multiply_are_learned_by_their_logarithms(tmp_path) -> None:
    job, family = _products(), BoostingFamily()
    model = family.fit(job)
    plain = family.fit(replace(job, params=replace(job.params, link="identity")))
    assert (model.link, model.chosen["link"], plain.link) == ("log", "log", "identity")
    assert "link" not in plain.chosen
    fresh = _products().validation.drop("y")
    word_n = fresh["word"].replace_strict(dict(zip("wxyz", range(4), strict=True))).to_numpy()
    truth_n = np.exp(2 + fresh["a"].to_numpy() + np.sin(2 * fresh["b"].to_numpy()) + 0.7 * word_n)
    errors = [float(np.mean((each.predict(fresh).values_n - truth_n) ** 2)) for each in (model, plain)]
    assert errors[0] < 0.7 * errors[1]
    model.save(tmp_path)
    again = family.load(tmp_path, 1)
    given_n = model.predict(fresh).values_n
    np.testing.assert_array_equal(again.predict(fresh).values_n, given_n)
    assert again.predict(fresh[7:8]).values_n[0] == pytest.approx(given_n[7], rel=1e-12)
    assert again.attribute(fresh).score_nk[:, 0] == pytest.approx(given_n)
    refitted = family.fit(replace(job, chosen=model.chosen))
    np.testing.assert_array_equal(refitted.predict(fresh).values_n, given_n)


def test_what_is_below_zero_has_no_logarithm() -> None:
    assert BoostingFamily().fit(_products(lowest=-3.0)).link == "identity"


def test_numbers_of_few_rows_are_learned_by_small_trees_and_the_next_fit_keeps_them():
    rng = np.random.default_rng(3)
    table = pl.DataFrame({"x": rng.uniform(size=1400)}).with_columns(target=pl.col("x") * 10)

    def fitted(rows, chosen=None, **given):
        held = rows * 3 // 4
        params = BoostingParams(max_trees=20, features=False, **given)
        job = FitJob(
            task="regression",
            schema=infer(table, DataConfig(source=("rows.csv",), target="target"), "regression").schema,
            train=table[:held],
            validation=table[held:rows],
            params=params,
            metric="rmse",
            seed=0,
            threads=1,
            cache=Path(),
            progress=lambda _: None,
            chosen=chosen,
        )
        return BoostingFamily().fit(job)

    def most_leaves(model):
        return max(int(each.split("=")[1]) for each in model.trees.splitlines() if each.startswith("num_leaves="))

    few, many = fitted(800), fitted(1400)
    assert (most_leaves(few), few.chosen["leaves"], few.chosen["min_leaf_rows"]) == (8, 8, 5)
    assert most_leaves(many) > 8
    assert "leaves" not in many.chosen
    assert most_leaves(fitted(1400, few.chosen)) == 8
    assert most_leaves(fitted(800, many.chosen)) > 8
    assert most_leaves(fitted(800, leaves=12)) > 8
