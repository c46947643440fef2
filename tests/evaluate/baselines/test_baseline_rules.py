"""Rules that answer every row alike, with values worked out by hand."""

import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Column, Schema
from bakeoff.evaluate.baselines.rules import BaselineData, Side, constants, joined, with_right_share

SIDE = Side(asked=np.array([4, 5]), learn=np.arange(4), known=np.arange(6))


def data(target, task, **more):
    table = pl.DataFrame({"x": list(range(len(target))), "y": target})
    schema = Schema(columns=(Column(name="x", kind="numeric", dtype="Int64"),), target="y", inputs=("x",))
    return BaselineData.of(table, schema, task, **more)


def answers(rules, side=SIDE):
    return {rule.name: rule.answer(side).predictions for rule in rules}


def test_the_majority_and_the_prior_come_of_training_rows_alone():
    said = answers(constants(data(["no", "yes", "no", "no", "yes", "yes"], "classification")))
    assert said["majority class"].values_n.tolist() == ["no", "no"]
    assert said["majority class"].probabilities_nk is None
    assert said["class prior"].values_n.tolist() == ["no", "no"]
    assert said["class prior"].classes == ("no", "yes")
    assert said["class prior"].probabilities_nk.tolist() == [[0.75, 0.25], [0.75, 0.25]]


def test_with_costs_the_prior_answers_what_costs_least():
    """Expected cost of "no": 0.25 x 9 = 2.25; of "yes": 0.75 x 1."""
    costs = {"yes": {"no": 9.0}, "no": {"yes": 1.0}}
    said = answers(constants(data(["no", "yes", "no", "no", "yes", "yes"], "classification", costs=costs)))
    assert said["class prior"].values_n.tolist() == ["yes", "yes"]
    assert said["majority class"].values_n.tolist() == ["no", "no"]


def test_numbers_have_mean_median_and_the_quantiles_that_are_read():
    said = answers(constants(data([1.0, 2.0, 3.0, 10.0, 50.0, 60.0], "regression", levels=("0.5", "0.9"))))
    assert said["mean value"].values_n.tolist() == [4.0, 4.0]
    assert said["median value"].values_n.tolist() == [2.5, 2.5]
    assert said["median value"].scores["0.9"].tolist() == pytest.approx([7.9, 7.9])  # 3 + 0.7 x 7


def test_generation_has_the_most_frequent_answer_or_an_empty_one():
    (rule,) = constants(data(["a", "b", "b", "c", "d", "e"], "generation"))
    assert (rule.name, rule.answer(SIDE).predictions.values_n.tolist()) == ("most frequent answer", ["b", "b"])
    (rule,) = constants(data(["a", "b", "c", "d", "e", "f"], "generation"))
    assert (rule.name, rule.answer(SIDE).predictions.values_n.tolist()) == ("empty answer", ["", ""])


def test_by_folds_each_row_is_answered_from_the_others_in_the_order_of_the_rows():
    rows = data([1.0, 2.0, 3.0, 100.0], "regression")
    mean = constants(rows)[0]
    sides = [
        Side(asked=np.array([1, 3]), learn=np.array([0, 2]), known=np.array([0, 2])),
        Side(asked=np.array([0, 2]), learn=np.array([1, 3]), known=np.array([1, 3])),
    ]
    numbers, said = joined([(side, mean.answer(side)) for side in sides])
    assert numbers.tolist() == [0, 1, 2, 3]
    assert said.predictions.values_n.tolist() == [51.0, 2.0, 51.0, 2.0]


def test_an_answer_has_the_probability_with_which_its_rule_was_right():
    rows = data(["a", "a", "b", "c", "a", "b"], "classification")
    said = with_right_share(rows, SIDE, np.array([0, 2]), 0.6, np.array([False, True]))
    assert said.values_n.tolist() == ["a", "c"]
    assert said.probabilities_nk[0].tolist() == pytest.approx([0.6, 0.2, 0.2])  # b and c share the rest as 1 to 1
    assert said.probabilities_nk[1].tolist() == [0.5, 0.25, 0.25]  # nothing was known: the prior
