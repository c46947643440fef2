import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Column, ColumnFormat, Schema
from bakeoff.evaluate.baselines import nearest as module
from bakeoff.evaluate.baselines.nearest import nearest
from bakeoff.evaluate.baselines.rules import BaselineData, Side

TEXTS = ["red apple pie", "blue sea wave", "green apple tart", "deep blue sea", "apple pie recipe", "sea breeze", "zzz"]
SIDE = Side(asked=np.array([4, 5, 6]), learn=np.arange(4), known=np.arange(4))


def data(target, task, texts=TEXTS, form="plain"):
    table = pl.DataFrame({"text": texts, "y": target})
    column = Column(name="text", kind="text", dtype="String", format=ColumnFormat(form=form))
    return BaselineData.of(table, Schema(columns=(column,), target="y", inputs=("text",)), task)


def test_the_label_of_the_nearest_text_and_the_prior_where_no_word_is_shared():
    (rule,) = nearest(data(["food", "water", "food", "water", "food", "water", "food"], "classification"), 3, 4)
    said = rule.answer(SIDE)
    assert said.predictions.values_n.tolist()[:2] == ["food", "water"]
    assert said.unknown_n.tolist() == [False, False, True]
    # Each training text's nearest other one has its label: (4 + 1) / (4 + 2).
    assert said.predictions.probabilities_nk[:, 0].tolist() == pytest.approx([5 / 6, 1 / 6, 0.5])


def test_numbers_and_answers_of_the_nearest_text():
    (rule,) = nearest(data([1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 0.0], "regression"), 3, 4)
    assert rule.answer(SIDE).predictions.values_n.tolist() == [1.0, 2.0, 3.0]  # the last: the mean
    turns = ['[{"role":"user","content":"' + text + '"},{"role":"system","content":"be brief"}]' for text in TEXTS]
    answered = data(["pie", "wave", "tart", "sea", "", "", ""], "generation", texts=turns, form="conversation")
    (rule,) = nearest(answered, 3, 4)
    assert rule.name == "nearest question"
    assert rule.answer(SIDE).predictions.values_n.tolist()[:2] == ["pie", "wave"]


def test_of_many_texts_some_are_drawn_and_it_is_said(monkeypatch):
    monkeypatch.setattr(module, "MOST_PAIRS", 6)
    monkeypatch.setattr(module, "FEWEST_TEXTS", 2)
    (rule,) = nearest(data(["food", "water"] * 3 + ["food"], "classification"), 3, 4)
    assert "of 2 drawn from the training rows" in rule.rule
    assert len(rule.answer(SIDE).predictions) == 3


def test_texts_without_words_and_tables_without_texts():
    empty = data(["food", "water", "food", "food", "x", "x", "x"], "classification", texts=["?"] * 7)
    (rule,) = nearest(empty, 3, 4)
    said = rule.answer(SIDE)
    assert said.unknown_n.all()
    assert said.predictions.values_n.tolist() == ["food"] * 3
    numbers = Schema(columns=(Column(name="x", kind="numeric", dtype="Int64"),), target="y", inputs=("x",))
    table = pl.DataFrame({"x": [1, 2], "y": ["a", "b"]})
    assert nearest(BaselineData.of(table, numbers, "classification"), 1, 1) == []
