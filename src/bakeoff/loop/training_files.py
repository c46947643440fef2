"""Files to fine-tune on, as OpenAI's API has them: a JSON object in each line; and their rows as rows of the project.

Supervised: `{"messages": […]}`, which ends with the assistant. DPO: `{"input": {"messages": […]}, "preferred_output":
[…], "non_preferred_output": […]}`. Keys beside these (`tools`) are refused rather than left out in silence.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/fine-tuning (chat and preference input).
"""

import codecs
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bakeoff.core import narrow
from bakeoff.core.conversation import row_in
from bakeoff.core.errors import DataError
from bakeoff.core.types import Schema, Task
from bakeoff.data.turns import ConversationExample, answered, turns_of
from bakeoff.loop.fine_tune_jobs import Method

__all__ = ["examples_of", "row_of"]

SUPERVISED = frozenset({"messages"})
PAIRS = frozenset({"input", "preferred_output", "non_preferred_output"})
EXAMPLES: Mapping[Method, str] = {
    "supervised": '{"messages": [{"role": "user", "content": …}, …, {"role": "assistant", "content": …}]}',
    "dpo": '{"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}',
}
LEAST = 10
"""Examples that a file must hold, as OpenAI's API asks for."""


def examples_of(content: bytes, method: Method, *, name: str, least: int = LEAST) -> list[ConversationExample]:
    """The conversations in a file.

    Raises:
        DataError: a line is no such conversation, or there are too few; with the line.
    """
    examples: list[ConversationExample] = []
    for number, line in enumerate(content.removeprefix(codecs.BOM_UTF8).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            examples.append(_example(msgspec.json.decode(line), method))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
            raise DataError(f"{name}, line {number}: expected {EXAMPLES[method]}; {error}") from None
    if len(examples) < least:
        raise DataError(f"{name}: expected at least {least} examples, one in each line; received {len(examples)}")
    return examples


def _example(line: Any, method: Method) -> ConversationExample:
    keys = SUPERVISED if method == "supervised" else PAIRS
    if not narrow.is_object(line) or line.keys() != keys:
        received = sorted(line) if narrow.is_object(line) else type(line).__name__
        raise TypeError(f"expected the keys {sorted(keys)}, received {received}")
    if method == "supervised":
        return answered(turns_of(line["messages"]))
    asked = line["input"]
    if not narrow.is_object(asked) or asked.keys() != SUPERVISED:
        raise TypeError("expected an input with messages alone")
    turns = turns_of(asked["messages"])
    preferred, other = (_only(line[key], key) for key in ("preferred_output", "non_preferred_output"))
    return ConversationExample(turns=turns, answer=preferred, rejected=other)


def _only(value: Any, key: str) -> str:
    example = answered(turns_of(value))
    if example.turns:
        raise TypeError(f"expected one message of the assistant in {key}, received {len(example.turns) + 1}")
    return example.answer


def row_of(example: ConversationExample, schema: Schema, task: Task, *, name: str) -> dict[str, Any]:
    """A conversation as a row of the project: what the user says last is its one text, or else its inputs as JSON.

    Of a project for generation the one text is the whole conversation before the answer.

    Raises:
        DataError: the inputs are several, and the user says no JSON object.
    """
    row = row_in(example.turns, schema.input_columns, whole=task == "generation")
    said = [str(turn.get("content") or "") for turn in example.turns if turn.get("role") == "user"]
    if row is None and not said:
        raise DataError(f"{name}: expected a message of the user in every conversation, received one without")
    if row is None:
        listed: Sequence[str] = schema.inputs[:10]
        raise DataError(
            f"{name}: expected the user to give the row as a JSON object with {', '.join(map(repr, listed))}, as the "
            f"project has several inputs; received {said[-1][:80]!r}"
        )
    answers: dict[str, Any] = {schema.target: example.answer}
    if schema.rejected is not None and example.rejected is not None:
        answers[schema.rejected] = example.rejected
    return {**row, **answers}
