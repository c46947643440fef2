"""Files of fine-tuning, in the forms that people have: turns and an answer, each form with its own errors."""

import json

import polars as pl
import pytest

from bakeoff.actions.init import write_project
from bakeoff.config.sections import DataConfig
from bakeoff.core.conversation import conversation, unlearned
from bakeoff.core.errors import DataError
from bakeoff.data.reading import read
from bakeoff.data.schema import infer
from bakeoff.data.sources import resolve

CALL = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
USER = {"role": "user", "content": "Hi"}
BOT = {"role": "assistant", "content": "Hello"}
FORMS = {
    "messages": {"messages": [{"role": "system", "content": "Be brief."}, USER, BOT]},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, BOT]},
    "ShareGPT": {
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
        "system": "Be brief.",
    },
    "Alpaca": {"instruction": "Greet", "input": "Ann", "output": "Hello", "history": [["One", "Two"]]},
    "ChatML": {"text": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"},
    "Llama 3": {
        "text": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
    },
    "Gemma": {"text": "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"},
    "Zephyr": {"text": "<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n"},
    "### Human": {"text": "### Human: Hi### Assistant: Hello"},
    "Human and Assistant": {"text": "\n\nHuman: Hi\n\nAssistant: Hello"},
    "HH": {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: Go away"},
    "Dolly": {"instruction": "Greet", "context": "Ann", "response": "Hello"},
    "beside": {"prompt": "Hi", "messages": [USER, BOT], "system": "Be brief."},
    "KTO": {"prompt": "Hi", "completion": "Hello", "label": True},
    "preference": {"prompt": "Hi", "chosen": [USER, BOT], "rejected": [USER, {**BOT, "content": "Go away"}]},
    "completion": {"prompt": [USER], "completion": [BOT]},
    "chosen": {"prompt": "Hi", "chosen": "Hello", "rejected": "Go away"},
    "plain": {"prompt": "Hi", "completion": "Hello"},
}
TURNS = {
    "messages": [("system", "Be brief."), ("user", "Hi")],
    "ShareGPT": [("system", "Be brief."), ("user", "Hi")],
    "beside": [("system", "Be brief."), ("user", "Hi")],
    "Dolly": [("user", "Greet\n\nAnn")],
    "Alpaca": [("user", "One"), ("assistant", "Two"), ("user", "Greet\n\nAnn")],
}


def read_rows(folder, rows, **given):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = resolve("rows.jsonl", folder=folder, cache=folder / "cache", progress=print)
    config = DataConfig(source=("rows.jsonl",), **({"target": "answer"} | given))
    return read(config, {"source": files}), config


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_recognised_and_gives_turns_and_an_answer(form, tmp_path):
    rows = [FORMS[form]] * 12
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    written = write_project(tmp_path / "p", name=None, source=str(tmp_path / "rows.jsonl"), target=None, task=None)
    text = written.file.read_text()
    assert 'task = "generation"' in text
    target = {"chosen": "chosen", "plain": "completion"}.get(form, "answer")
    assert f'target = "{target}"' in text
    reading, config = read_rows(tmp_path, rows, target=target)
    schema = infer(reading.table, config, "generation", reading.formats).schema
    assert len(schema.inputs) == 1
    (column,) = (schema.column(name) for name in schema.inputs)
    asked = reading.table[column.name][0]
    assert reading.table[target].to_list() == ["Hello"] * 12
    turns = conversation(asked) if column.format.form == "conversation" else [{"role": "user", "content": asked}]
    assert [(turn["role"], turn["content"]) for turn in turns] == TURNS.get(form, [("user", "Hi")])
    if form in {"preference", "chosen", "HH"}:
        assert schema.rejected is not None
        assert reading.table[schema.rejected].to_list() == ["Go away"] * 12


def test_calls_of_tools_stay_in_the_turns_and_are_text_in_the_answer(tmp_path):
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "12:00"}
    reading, _ = read_rows(tmp_path, [{"messages": [USER, called, result, BOT]}, {"messages": [USER, called]}])
    turns = conversation(reading.table["messages"][0])
    assert turns == [USER, called, result]
    assert reading.table["answer"][1] == '<tool_call>\n{"name": "clock", "arguments": {"zone": "UTC"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": [USER]}, "row 2.*ends with the assistant.*'user'"),
        ({"messages": [{"role": "robot", "content": "x"}, BOT]}, "row 2.*expected a role among.*'robot'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, BOT]},
            "row 2.*parts of text.*'image_url'",
        ),
        ({"messages": []}, r"row 2.*expected a list of turns, received '\[\]'"),
        ({"messages": [{"role": "user"}, BOT]}, "row 2.*expected the content of the turn of 'user'"),
    ],
)
def test_a_row_that_is_none_is_named_with_what_is_wrong(row, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_rows(tmp_path, [FORMS["messages"], row])


def test_other_forms_have_their_own_errors(tmp_path):
    share = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "alien", "value": "?"}]}
    with pytest.raises(DataError, match=r"row 2.*ShareGPT.*'alien'"):
        read_rows(tmp_path, [FORMS["ShareGPT"], share])
    with pytest.raises(DataError, match=r"row 2.*ChatML.*'Sure'"):
        read_rows(tmp_path, [FORMS["ChatML"], {"text": "<|im_start|>user\nHi<|im_end|>Sure"}])
    with pytest.raises(DataError, match="'conversations': expected lists of turns"):
        read_rows(tmp_path, [{"conversations": ["Hi", "Hello"], "x": "y"}] * 2)


def test_answers_that_nobody_wanted_are_not_learned_and_counted(tmp_path):
    rows = [{"prompt": f"q{n}", "completion": f"a{n}", "label": n % 3 > 0} for n in range(30)]
    reading, config = read_rows(tmp_path, rows, target="completion")
    assert reading.table["completion"].to_list() == [f"a{n}" for n in range(30) if n % 3]
    assert infer(reading.table, config, "generation", reading.formats).schema.inputs == ("prompt",)
    (loss,) = [loss for loss in reading.losses if loss.kind == "row"]
    assert (loss.count, loss.of, loss.reason[:33]) == (10, 30, "an answer that was turned down (l")


def test_a_last_answer_of_no_weight_is_none_and_an_earlier_one_is_marked(tmp_path):
    bad = {**BOT, "weight": 0}
    reading, _ = read_rows(tmp_path, [{"messages": [USER, bad, USER, {**BOT, "weight": 1}]}] * 30)
    asked = reading.table["messages"][0]
    assert conversation(asked) == [USER, BOT, USER]
    assert unlearned(asked) == {1}
    with pytest.raises(DataError, match="expected a last answer to learn, received one of weight 0"):
        read_rows(tmp_path, [{"messages": [USER, bad]}] * 3)


def test_what_turns_have_beside_their_text_is_told(tmp_path):
    thinking = {**BOT, "reasoning_content": "Somebody greets me."}
    reading, _ = read_rows(tmp_path, [{"messages": [USER, thinking]}, {"messages": [USER, BOT]}])
    (loss,) = [loss for loss in reading.losses if loss.kind == "text"]
    assert (loss.count, loss.of, loss.subject) == (1, 2, "messages")
    assert "'reasoning_content'" in loss.reason


def test_a_few_rows_that_are_none_are_set_aside_and_counted(tmp_path):
    reading, _ = read_rows(tmp_path, [FORMS["messages"]] * 30 + [{"messages": [USER]}])
    assert reading.table.height == 30
    (loss,) = [loss for loss in reading.losses if loss.kind == "row"]
    assert (loss.count, loss.of) == (1, 31)
    assert "row 31" in loss.examples[0]


def test_an_answer_that_was_turned_down_is_no_input(tmp_path):
    rows = [{"question": f"Why {n}?", "answer": f"So {n}.", "rejected": f"No {n}."} for n in range(30)]
    reading, config = read_rows(tmp_path, rows)
    schema = infer(reading.table, config, "generation", reading.formats).schema
    assert (schema.inputs, schema.rejected) == (("question",), "rejected")


def test_columns_that_the_project_lists_are_taken_as_they_are(tmp_path):
    reading, _ = read_rows(tmp_path, [FORMS["Alpaca"]] * 3, target="output", text=["instruction"])
    assert "instruction" in reading.table.columns
    assert reading.layout is None


def test_a_column_beside_the_turns_stays_an_input_where_the_project_lists_it(tmp_path):
    rows = [{"messages": [{"role": "user", "content": f"Hi {n}"}, BOT], "system": f"Be {n}."} for n in range(30)]
    reading, config = read_rows(tmp_path, rows, text=["messages", "system"])
    schema = infer(reading.table, config, "generation", reading.formats).schema
    assert set(schema.inputs) == {"messages", "system"}
    assert conversation(reading.table["messages"][3]) == [{"role": "user", "content": "Hi 3"}]


@pytest.mark.parametrize("suffix", ["arrow", "parquet", "jsonl"])
def test_a_folder_of_shards_is_one_source(suffix, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for shard in range(2):
        table = pl.DataFrame({"prompt": [f"q{shard}"] * 3, "completion": ["a"] * 3})
        file = folder / f"data-0000{shard}-of-00002.{suffix}"
        if suffix == "arrow":
            table.write_ipc_stream(file)
        else:
            table.write_parquet(file) if suffix == "parquet" else table.write_ndjson(file)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text("{}")
    files = resolve("set", folder=tmp_path, cache=tmp_path / "cache", progress=print)
    config = DataConfig(source=("set",), target="completion")
    assert read(config, {"source": files}).table["prompt"].to_list() == ["q0"] * 3 + ["q1"] * 3


def test_a_folder_of_several_splits_says_what_to_name(tmp_path):
    for split in ("train", "test"):
        (tmp_path / "set" / split).mkdir(parents=True)
        pl.DataFrame({"x": [1]}).write_ipc_stream(tmp_path / "set" / split / "data-00000-of-00001.arrow")
    with pytest.raises(DataError, match=r"name one of set/test/data\*\.arrow; set/train/data\*\.arrow"):
        resolve("set", folder=tmp_path, cache=tmp_path / "cache", progress=print)
    (tmp_path / "cache").mkdir()
    with pytest.raises(DataError, match=r"Name its files: cache/\*\.csv"):
        resolve("cache", folder=tmp_path, cache=tmp_path / "other", progress=print)


def test_a_file_of_arrow_that_is_no_stream_is_read_too(tmp_path):
    (tmp_path / "set").mkdir()
    pl.DataFrame({"prompt": ["q"], "completion": ["a"]}).write_ipc(tmp_path / "set" / "data-00000-of-00001.arrow")
    files = resolve("set", folder=tmp_path, cache=tmp_path / "cache", progress=print)
    assert read(DataConfig(source=("set",), target="completion"), {"source": files}).table["prompt"].to_list() == ["q"]
    (tmp_path / "set" / "data-00000-of-00001.arrow").write_bytes(b"no arrow")
    with pytest.raises(DataError, match="could not be read as Arrow"):
        resolve("set", folder=tmp_path, cache=tmp_path / "cache", progress=print)


def test_a_file_of_one_conversation_is_one_row(tmp_path):
    (tmp_path / "one.jsonl").write_text(json.dumps({"messages": [USER, BOT]}) + "\n")
    config = DataConfig(source="one.jsonl", target="answer")
    files = resolve("one.jsonl", folder=tmp_path, cache=tmp_path / "cache", progress=lambda _: None)
    found = read(config, {"source": files}).table
    assert found.to_dicts() == [{"messages": "Hi", "answer": "Hello"}]
