"""How much rare classes weigh is chosen on validation rows, where the metric has both sides."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score

from bakeoff.core.jobs import MODEL, ROWS, TABLE, JobContext
from bakeoff.core.protocols import CLASS_BALANCE, FitJob
from bakeoff.core.types import Column, Predictions, Schema
from bakeoff.families.boosting import BoostingFamily, BoostingParams
from bakeoff.families.features.targets import balance, balanced_weights, class_weights
from bakeoff.families.linear import LinearFamily, LinearParams
from bakeoff.train import worker
from bakeoff.train.class_balance import class_balance, may_balance

SCHEMA = Schema(columns=(Column(name="x", kind="numeric", dtype="Float64"),), target="y", inputs=("x",))


def rows(count, *, rare=0.1, seed=0):
    """Rows of two classes that lie a standard deviation and a half apart."""
    rng = np.random.default_rng(seed)
    is_rare = rng.random(count) < rare
    return pl.DataFrame({"x": rng.normal(size=count) + 1.5 * is_rare, "y": np.where(is_rare, "rare", "usual")})


def job(tmp_path, *, metric="f1_macro", params=None, rare=0.1, train=2000, validation=1000, age_days_n=None):
    return FitJob(
        task="classification",
        schema=SCHEMA,
        train=rows(train, rare=rare),
        validation=rows(validation, rare=rare, seed=1),
        params=params or LinearParams(),
        metric=metric,
        seed=0,
        threads=1,
        cache=tmp_path,
        progress=lambda _: None,
        age_days_n=age_days_n,
    )


def held_by(given):
    """What the fit on training rows says of validation rows."""
    held: list[Predictions] = []
    LinearFamily().fit(replace(given, on_held=held.append))
    return held[0]


def test_weights_are_the_inverse_of_the_share_to_a_power():
    codes = np.array([0.0] * 9 + [1.0])
    assert balanced_weights(codes)[[0, 9]] == pytest.approx([10 / 18, 5])
    half = balanced_weights(codes, 0.5)
    assert half[9] / half[0] == pytest.approx(3)
    assert half.mean() == pytest.approx(1)


def test_a_lower_power_is_chosen_where_even_weights_give_false_alarms(tmp_path):
    """With classes so near, macro-F1 is best between the share of the rare class and a half; it rises on new rows."""
    given = job(tmp_path)
    assert may_balance(given)
    power = class_balance(given, held_by(given))
    assert power is not None
    assert 0.25 <= power <= 0.75
    new = rows(20_000, seed=2)

    def score(**chosen):
        model = LinearFamily().fit(replace(given, chosen={"penalty": 1.0, **chosen}))
        return f1_score(new["y"], model.predict(new.drop("y")).values_n, average="macro")

    assert score(**{CLASS_BALANCE: power}) > score() + 0.04


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"metric": "balanced_accuracy"}, False),
        ({"metric": "recall[rare]"}, False),
        ({"metric": "accuracy"}, False),
        ({"params": LinearParams(balanced=True)}, False),
        ({"validation": 99}, False),
        ({"age_days_n": np.zeros(3000)}, False),
        ({"metric": "f1[rare]"}, True),
        ({"metric": "mcc"}, True),
    ],
)
def test_it_is_asked_only_where_the_metric_has_both_sides_and_nobody_said(tmp_path, changes, asked):
    assert may_balance(job(tmp_path, **changes)) is asked


def test_nothing_is_chosen_of_classes_that_are_alike_or_of_too_few_rare_rows(tmp_path):
    for given in (job(tmp_path, rare=0.4), job(tmp_path, rare=0.05, validation=100)):
        assert class_balance(given, held_by(given)) is None
    assert not may_balance(job(tmp_path, rare=0.4))  # so that nothing is fitted, and no cut told, for nothing


def test_what_was_chosen_weighs_rows(tmp_path):
    given = job(tmp_path)
    codes = np.array([0.0] * 9 + [1.0])
    assert balance(given) == 1
    assert balance(replace(given, metric="accuracy")) == 0
    chosen = replace(given, chosen={CLASS_BALANCE: 0.5})
    np.testing.assert_array_equal(class_weights(chosen, codes), balanced_weights(codes, 0.5))
    assert class_weights(replace(given, chosen={CLASS_BALANCE: 0.0}), codes) is None


@pytest.mark.parametrize("family", ["linear", "boosting", "kernel", "forest", "neighbours"])
def test_a_fit_keeps_what_it_chose_and_a_refit_has_it(tmp_path, family):
    pl.concat([rows(2000), rows(1000, seed=1)]).write_parquet(tmp_path / TABLE)
    np.savez(tmp_path / ROWS, train=np.arange(2000), validation=np.arange(2000, 3000))
    context = JobContext(
        inputs={name: tmp_path / name for name in (TABLE, ROWS)},
        outputs={MODEL: tmp_path / "out" / MODEL},
        scratch=tmp_path / "scratch",
        cache=tmp_path / "cache",
        threads=1,
        progress=lambda _: None,
    )
    argument = worker.FitArgument(
        family=family, params={}, task="classification", schema=SCHEMA, metric="f1_macro", seed=0
    )
    first = worker.fit(argument, context)
    assert 0 <= first.chosen[CLASS_BALANCE] < 1
    again = replace(context, outputs={MODEL: tmp_path / "again"})
    whole = worker.FitArgument(
        family=family,
        params={},
        task="classification",
        schema=SCHEMA,
        metric="f1_macro",
        seed=0,
        rows="all",
        chosen=first.chosen,
    )
    assert worker.fit(whole, again).chosen == first.chosen


@pytest.mark.parametrize("classes", [2, 3])
def test_boosting_moves_its_answers_by_the_shares_of_classes_and_weighs_rows_evenly(tmp_path, classes):
    """Odds are those of an unweighted fit, times the inverse ratio of the shares to the power."""
    table = rows(2000)
    if classes == 3:
        table = table.with_columns(y=pl.when(pl.col("x") > 1.5).then(pl.lit("far")).otherwise(pl.col("y")))
    given = replace(job(tmp_path, params=BoostingParams(features=False)), train=table, validation=table[:0])
    trees = {"trees": 20}
    plain = BoostingFamily().fit(replace(given, params=BoostingParams(balanced=False, features=False), chosen=trees))
    new = rows(200, seed=3).drop("y")
    share_k = np.array([(table["y"] == name).mean() for name in plain.signature.classes])
    for power, chosen in (0.5, {}), (0.75, {CLASS_BALANCE: 0.75}):
        moved = BoostingFamily().fit(replace(given, chosen=trees | chosen))
        expected_nk = plain.predict(new).probabilities_nk * share_k**-power
        expected_nk /= expected_nk.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(moved.predict(new).probabilities_nk, expected_nk, rtol=1e-6)


def test_boosting_moves_its_answers_by_what_is_chosen_without_a_second_fit(tmp_path):
    """The model, and what is held of validation rows, are those of a fit that was told the power before."""
    lines, held, known = [], [], []
    given = job(tmp_path, params=BoostingParams(features=False))
    before = BoostingFamily().fit(replace(given, chosen={CLASS_BALANCE: 0.25}, on_held=known.append))
    model = BoostingFamily().fit(
        replace(given, balance=lambda _: 0.25, on_held=held.append, progress=lines.append),
    )
    assert model.trees == before.trees
    np.testing.assert_array_equal(held[0].probabilities_nk, known[0].probabilities_nk)
    assert sum(line.startswith("fitting ") for line in lines) == 1


def test_linear_weighs_rows_by_what_is_chosen_without_a_second_fit(tmp_path):
    """The model is that of a fit that was told the power before; of validation rows it says what training rows give."""
    lines, held = [], []
    given = job(tmp_path, params=LinearParams(features=False))
    model = LinearFamily().fit(replace(given, balance=lambda _: 0.25, on_held=held.append, progress=lines.append))
    chosen = {**model.chosen, CLASS_BALANCE: 0.25}
    new = rows(200, seed=3).drop("y")
    whole = LinearFamily().fit(replace(given, chosen=chosen))
    np.testing.assert_allclose(model.predict(new).probabilities_nk, whole.predict(new).probabilities_nk, rtol=1e-4)
    alone = LinearFamily().fit(replace(given, chosen=chosen, validation=given.validation[:0]))
    expected = alone.predict(given.validation.drop("y"))
    np.testing.assert_allclose(held[0].probabilities_nk, expected.probabilities_nk, rtol=1e-4)
    assert sum(line.startswith("fitting ") for line in lines) == 1
