"""What is found of models that know all, none or some of their training rows by heart."""

import numpy as np
import polars as pl

from bakeoff.core.types import Predictions, Signature
from bakeoff.evaluate.findings.memorisation import TOKENS, memorisation, memorised


class Parrot:
    """Says the answers that it was told, and nothing else; counts how often it was asked."""

    def __init__(self, known, rows=None):
        self.known, self.asked = set(known), 0
        self.chosen = {} if rows is None else {"rows": rows}
        self.signature = Signature(task="generation", inputs=())

    def predict(self, table):
        return Predictions(values_n=np.zeros(len(table)))

    def save(self, folder):
        pass

    def recall(self, table, texts, most):
        assert most == TOKENS
        assert "answer" not in table.columns
        self.asked += 1
        said = np.asarray([text in self.known for text in texts])
        return np.where(said, -0.5, -8.0), np.full(len(texts), 4), said


def rows(first, last):
    return pl.DataFrame({"question": [f"q{at}" for at in range(first, last)]}).with_columns(
        pl.col("question").str.replace("q", "a").alias("answer")
    )


TRAIN, HELD_OUT = rows(0, 60), rows(60, 100)


def look(model, **given):
    return memorisation(model, TRAIN, HELD_OUT, "answer", **{"rows": 30, "seed": 0, **given})


def test_what_is_known_of_training_rows_alone_was_memorised():
    found = look(Parrot(TRAIN["answer"]))
    assert found["train"] == {"verbatim": 1.0, "loss": 0.125}
    assert found["held_out"] == {"verbatim": 0.0, "loss": 2.0}
    assert (found["rows"], found["gap"], found["loss_ratio"]) == (30, 1.0, 0.0625)
    assert found["warning"]


def test_what_is_known_of_all_rows_was_not():
    found = look(Parrot([*TRAIN["answer"], *HELD_OUT["answer"]]))
    assert (found["gap"], found["loss_ratio"], found["warning"]) == (0.0, 1.0, False)


def test_a_small_gap_and_one_that_chance_explains_are_no_warning():
    assert not look(Parrot(TRAIN["answer"][:6]))["warning"]  # about a tenth
    few = memorisation(Parrot(["a0"]), rows(0, 2), rows(60, 62), "answer", rows=2, seed=0)
    assert (few["gap"], few["warning"]) == (0.5, False)


def test_a_fit_on_a_part_of_the_rows_is_held_to_that_part():
    half = Parrot(TRAIN["answer"][:18])
    assert look(half, rows=40)["gap"] > 0.2
    rare = Parrot(TRAIN["answer"][:9])
    assert not look(rare, rows=40)["warning"]
    assert look(rare, rows=40, seen=0.15)["warning"]


def test_a_slow_model_is_asked_no_more_than_it_takes_to_see_that():
    slow = Parrot([])
    assert "[decide] memorisation = 0 would take 0 s" in look(slow, longest_s=0.0)["skipped"]
    assert slow.asked == 3
    assert "no rows" in memorisation(slow, TRAIN, HELD_OUT[:0], "answer", rows=5, seed=0)["skipped"]


TABLE = pl.concat([TRAIN, HELD_OUT])


def of_evaluation(model, split, **more):
    return memorised(model, TABLE, split, "answer", rows=20, seed=0, **more)


def test_of_an_evaluation():
    found = of_evaluation(Parrot(TRAIN["answer"], rows=30), {"train": np.arange(60), "test": np.arange(60, 100)})
    assert (found["rows"], found["seen"], found["train"]["verbatim"]) == (20, 0.5, 1.0)


def test_with_folds_a_model_is_asked_that_did_not_see_the_first():
    every = np.arange(100)
    split = {"train": every, "test": every, "fold": np.repeat([0, 1], 50), "fold_validation": np.zeros((2, 100), bool)}
    without = Parrot([f"a{at}" for at in range(50, 100)])
    found = of_evaluation(Parrot([]), split, without_first_fold=without)
    assert found["train"]["verbatim"] == 1.0
    assert found["held_out"]["verbatim"] == 0.0
