from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff.core.protocols import Usage
from bakeoff.core.types import Predictions
from bakeoff.evaluate.score import out_of_fold
from bakeoff.evaluate.score.out_of_fold import FOLD, OutOfFold, by_fold, in_order, joined
from bakeoff.evaluate.score.paid_models import usage_of


class Says:
    """A model that says its folder's name as a class, and counts what it was asked."""

    def __init__(self, name: str) -> None:
        self.name, self.rows = name, 0

    def predict(self, table: pl.DataFrame) -> Predictions:
        self.rows += table.height
        classes = tuple(sorted({"a", self.name}))
        shares_nk = np.full((table.height, len(classes)), 0.25)
        shares_nk[:, classes.index(self.name)] += 0.5
        return Predictions.of_probabilities(shares_nk / shares_nk.sum(axis=1, keepdims=True), classes)


class SaysForMoney(Says):
    @property
    def usage(self) -> Usage:
        return Usage(rows=self.rows, calls=self.rows)


def test_each_row_is_asked_of_its_own_folds_model_in_the_order_of_rows() -> None:
    asked = OutOfFold(lambda folder: Says(folder.name), [Path("a"), Path("b"), Path("c")])
    said = asked.predict(pl.DataFrame({"x": range(5), FOLD: [2, 0, 1, 2, 0]}))
    assert said.values_n.tolist() == ["c", "a", "b", "c", "a"]
    assert said.classes == ("a", "b", "c")
    assert said.probabilities_nk is not None
    np.testing.assert_allclose(said.probabilities_nk.sum(axis=1), 1)


@pytest.mark.parametrize("paid", [True, False])
def test_what_the_models_paid_for_is_counted_together(*, paid: bool) -> None:
    asked = OutOfFold(lambda folder: (SaysForMoney if paid else Says)(folder.name), [Path("a"), Path("b")])
    before = usage_of(asked)
    asked.predict(pl.DataFrame({"x": range(6), FOLD: [0, 1, 1, 1, 0, 1]}))
    after = usage_of(asked)
    if paid:
        assert before is not None
        assert after is not None
        assert (before.rows, after.rows) == (0, 6)
    else:
        assert before is after is None


def test_small_models_that_cost_nothing_are_loaded_once_whatever_is_asked_of_them() -> None:
    loaded: list[str] = []

    def load(folder: Path) -> Says:
        loaded.append(folder.name)
        return Says(folder.name)

    asked = OutOfFold(load, [Path("a"), Path("b")])
    for _ in range(2):
        assert usage_of(asked) is None
        asked.predict(pl.DataFrame({"x": range(4), FOLD: [0, 1, 1, 0]}))
    assert loaded == ["a", "b"]


def test_numbers_have_no_probabilities() -> None:
    parts = [Predictions(values_n=np.asarray([1.0, 3.0])), Predictions(values_n=np.asarray([2.0]))]
    said = in_order([np.asarray([0, 2]), np.asarray([1])], parts)
    assert said.values_n.tolist() == [1.0, 2.0, 3.0]
    assert said.probabilities_nk is None


def test_metrics_by_fold_are_none_where_they_are_undefined() -> None:
    truth_n = np.asarray(["a", "b", "a", "a"])
    said = Predictions.of_probabilities(np.asarray([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]]), ("a", "b"))
    found = by_fold(["accuracy", "roc_auc"], truth_n, said, np.asarray([0, 0, 1, 1]), "classification")
    assert found == {"accuracy": [1.0, 0.5], "roc_auc": [1.0, None]}


def test_small_models_are_loaded_once_and_large_ones_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(folder: Path) -> Says:
        loaded.append(folder.name)
        return Says(folder.name)

    table = pl.DataFrame({"x": range(4), FOLD: [0, 1, 1, 0]})
    asked = OutOfFold(load, [Path("a"), Path("b")])
    first, second = asked.predict(table), asked.predict(table)
    assert loaded == ["a", "b"]
    assert first.values_n.tolist() == second.values_n.tolist() == ["a", "b", "b", "a"]
    monkeypatch.setattr(out_of_fold, "SMALL_BYTES", -1)
    large = OutOfFold(load, [Path("a"), Path("b")])
    large.predict(table)
    large.predict(table)
    assert loaded[2:] == ["a", "b", "a", "b"]


def test_quantiles_of_parts_are_joined() -> None:
    parts = [
        Predictions(values_n=np.asarray([1.0]), scores={"0.9": np.asarray([2.0]), "0.5": np.asarray([1.0])}),
        Predictions(values_n=np.asarray([3.0]), scores={"0.9": np.asarray([5.0])}),
    ]
    assert {name: score_n.tolist() for name, score_n in joined(parts).scores.items()} == {"0.9": [2.0, 5.0]}
