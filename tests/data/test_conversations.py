"""Conversations as rows: a column `messages` becomes question and answer, and requests may be conversations."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.chat.prompts import Preamble, messages_of_row
from bakeoff.config.sections import DataConfig
from bakeoff.core.conversation import conversation, is_conversation, question_text
from bakeoff.core.errors import DataError
from bakeoff.core.types import Column
from bakeoff.data.cast import conform, to_kind
from bakeoff.data.conversations import unpacked
from bakeoff.data.schema import infer

CONFIG = DataConfig(source=("rows.jsonl",), target="answer")
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text()}), min_size=1
)


@given(TURNS)
def test_a_conversation_survives_being_a_text(turns):
    text = question_text(turns)
    alone = len(turns) == 1 and turns[0]["role"] == "user"
    assert conversation(text) == turns
    assert not alone or text == turns[0]["content"] or is_conversation(turns[0]["content"])


@given(st.text())
def test_any_text_is_a_conversation(text):
    turns = conversation(text)
    assert turns
    assert all(isinstance(turn["content"], str) for turn in turns)


def rows(*conversations):
    return pl.DataFrame({"messages": [json.dumps(turns) for turns in conversations]})


def test_the_last_turn_is_the_answer():
    asked, told = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
    system = {"role": "system", "content": "Be brief."}
    table = unpacked(rows([asked, told], [system, asked, told]), CONFIG).table
    assert table["answer"].to_list() == ["Hello", "Hello"]
    assert table["messages"].to_list() == ["Hi", json.dumps([system, asked], separators=(",", ":"))]


def test_a_row_that_ends_otherwise_is_named():
    asked, told = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
    with pytest.raises(DataError, match=r"row 2.*ends with the assistant"):
        unpacked(rows([asked, told], [told, asked]), CONFIG)


def test_other_tables_stay_as_they_are():
    plain = pl.DataFrame({"messages": ["3 new messages", "none"], "x": [1, 2]})
    assert unpacked(plain, CONFIG).table.equals(plain)
    both = rows([{"role": "user", "content": "Hi"}]).with_columns(answer=pl.lit("Hello"))
    assert unpacked(both, CONFIG).table.equals(both)


def test_a_request_may_be_a_conversation():
    column = Column(name="messages", kind="text", dtype="String")
    asked = {"role": "user", "content": "Hi"}
    assert conform([{"messages": [asked]}], (column,))["messages"].to_list() == ["Hi"]
    for wrong in ([], ["Hi"], [{"role": "user"}], [[]]):
        with pytest.raises(DataError, match="row 1"):
            conform([{"messages": wrong}], (column,))


def test_a_system_line_comes_first():
    turns = Preamble(system="Be brief.").around(messages_of_row({"q": "Hi"}, ["q"], template="Say: {q}"))
    assert [turn["content"] for turn in turns] == ["Be brief.", "Say: Hi"]


def test_other_columns_of_conversations_are_texts_and_mean_the_same_when_served(read_file):
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    rows = [{"dialogue": asked if i % 2 else asked[1:], "label": "xy"[i % 2]} for i in range(60)]
    reading = read_file("".join(json.dumps(row) + "\n" for row in rows).encode(), "rows.jsonl")
    config = DataConfig(source=("rows.jsonl",), target="label")
    schema = infer(reading.table, config, "classification", reading.formats).schema
    (column,) = (schema.column(name) for name in schema.inputs)
    assert (column.name, column.kind) == ("dialogue", "text")
    trained = to_kind(reading.table["dialogue"], column)
    assert trained[0] == "Hi"
    assert trained.equals(conform(rows, (column,))["dialogue"])
