"""Tests for `bakeoff.evaluate.score.own_history`, and for changes of rows that hold conversations."""

import numpy as np
import polars as pl

from bakeoff.core.conversation import conversation, question_text
from bakeoff.core.types import Column, ColumnFormat, Predictions
from bakeoff.evaluate.findings.perturbations import perturbations
from bakeoff.evaluate.score.own_history import own_history
from bakeoff.metrics.registry import find

COLUMN = Column(name="messages", kind="text", dtype="String", format=ColumnFormat(form="conversation"))


def turns(at: int) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"My name is N{at}"},
        {"role": "assistant", "content": f"Hello N{at}"},
        {"role": "user", "content": "Who am I?"},
        {"role": "assistant", "content": f"You are N{at}"},
        {"role": "user", "content": "Again?"},
    ]


def last_name(table: pl.DataFrame) -> Predictions:
    """Names whom the last answer names; the first answer forgets it for odd rows."""
    said = []
    for text in table["messages"].to_list():
        told = conversation(text)
        answers = [turn["content"] for turn in told if turn["role"] == "assistant"]
        name = (answers[-1] if answers else told[0]["content"]).split()[-1]
        said.append("Hello you" if not answers and int(name[1:]) % 2 else f"You are {name}")
    return Predictions(values_n=np.asarray(said, dtype=object))


def test_errors_of_earlier_answers_reach_the_last_one() -> None:
    table = pl.DataFrame({"messages": [question_text(turns(at)) for at in range(8)] + ["Hi N9"]})
    truth_n = np.asarray([f"You are N{at}" for at in range(8)] + ["You are N9"], dtype=object)
    measure = find("exact_match", "generation")
    plain = last_name(table)
    (drop,) = own_history(last_name, table, truth_n, plain, measure, inputs=[COLUMN], most=20, seed=0, groups_n=None)
    assert (drop.name, drop.rows, drop.value, drop.drop) == ("own_history", 8, 0.5, 0.5)
    assert drop.low is not None
    assert drop.low < 0.5
    assert drop.changed == 0.5
    none = own_history(last_name, table, truth_n, plain, measure, inputs=[COLUMN], most=0, seed=0, groups_n=None)
    assert none == []


def test_rows_without_earlier_answers_are_left_alone() -> None:
    table = pl.DataFrame({"messages": ["Hi N1", "Hi N2"]})
    found = own_history(
        last_name,
        table,
        np.asarray(["a", "b"], dtype=object),
        last_name(table),
        find("exact_match", "generation"),
        inputs=[COLUMN],
        most=20,
        seed=0,
        groups_n=None,
    )
    assert found == []


def test_changes_of_rows_leave_turns_turns() -> None:
    table = pl.DataFrame({"messages": [question_text(turns(1)), "only a question"]})
    for each in perturbations([COLUMN]):
        several, one = each.apply(table, np.random.default_rng(0))["messages"].to_list()
        found = conversation(several)
        assert [turn["role"] for turn in found] == [turn["role"] for turn in turns(1)], each.name
        assert found[:-1] == turns(1)[:-1]
        assert len(conversation(one)) == 1
    upper = next(each for each in perturbations([COLUMN]) if each.name == "upper_case")
    assert conversation(upper.apply(table, np.random.default_rng(0))["messages"][0])[-1]["content"] == "AGAIN?"
