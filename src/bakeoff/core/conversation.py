"""Conversations as texts: how a column of conversations stores its turns, and how they are read back.

Only a column that is known to hold conversations (`ColumnFormat.form`) is read so; any other text is what a user says.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from bakeoff.core import narrow
from bakeoff.core.generation import Message
from bakeoff.core.types import Column

__all__ = [
    "ROLES",
    "calls_text",
    "conversation",
    "conversation_columns",
    "is_conversation",
    "lines_of",
    "plain_text",
    "question_text",
    "row_in",
    "unlearned",
]

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


WEIGHT = "weight"
"""The key of a turn that is not to be learned: it is 0. Nobody is shown it."""


def unlearned(text: str) -> frozenset[int]:
    """The places of the turns that are not to be learned, in a value of a column of conversations."""
    return frozenset(at for at, turn in enumerate(_turns(text)) if turn.get(WEIGHT) == 0)


def conversation(text: str) -> list[Message]:
    """The turns that a value of a column of conversations stands for: those of its JSON, else one of the user.

    >>> conversation("Who is there?")
    [{'role': 'user', 'content': 'Who is there?'}]
    >>> conversation('[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]')[0]["role"]
    'system'
    """
    turns = [{key: value for key, value in turn.items() if key != WEIGHT} for turn in _turns(text)]
    return [*turns] or [{"role": "user", "content": text}]


def question_text(turns: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as one text, of which `conversation` makes the same turns again.

    It is what the user says when that is all, unless that itself looks like turns; else their JSON.

    >>> question_text([{"role": "user", "content": "Hi"}])
    'Hi'
    >>> question_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    '[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]'

    Raises:
        TypeError: these are no messages.
    """
    if not turns or not all(_is_turn(turn) for turn in turns):
        raise TypeError
    first = turns[0]
    if len(turns) == 1 and set(first) == {"role", "content"} and first["role"] == "user":
        content = narrow.text(first["content"])
        if not is_conversation(content):
            return content
    return msgspec.json.encode(list(turns)).decode()


def lines_of(turns: Sequence[Message]) -> str:
    r"""Turns as plain lines: what the user says when that is all, else each turn behind its role.

    >>> lines_of([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])
    'user: Hi\nassistant: Hello'
    """
    if len(turns) == 1 and turns[0]["role"] == "user":
        return str(turns[0]["content"])
    return "\n".join(f"{turn['role']}: {_content(turn)}" for turn in turns)


def plain_text(text: str) -> str:
    """A value of a column of conversations as people read it, for whatever reads no turns."""
    return lines_of(conversation(text))


def _content(turn: Message) -> str:
    calls = narrow.json_array(turn.get("tool_calls") or ())
    return calls_text(turn.get("content"), calls) if calls else str(turn.get("content") or "")


def calls_text(content: object, calls: Sequence[Mapping[str, Any]]) -> str:
    r"""Calls of tools as the text that models write them in (the Hermes format).

    >>> calls_text(None, [{"function": {"name": "clock", "arguments": "{}"}}])
    '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'
    """
    lines = [str(content)] if content else []
    for call in calls:
        called = call.get("function", call)
        arguments = called.get("arguments") or {}
        if isinstance(arguments, str):
            with contextlib.suppress(ValueError):  # what is no JSON stays a text
                arguments = json.loads(arguments)
        body = json.dumps({"name": called.get("name"), "arguments": arguments}, ensure_ascii=False)
        lines.append(f"<tool_call>\n{body}\n</tool_call>")
    return "\n".join(lines)


def is_conversation(text: str) -> bool:
    """Whether a text is a list of chat messages as JSON."""
    return bool(_turns(text))


def conversation_columns(columns: Iterable[Column]) -> frozenset[str]:
    """The names of the columns whose values are conversations."""
    return frozenset(column.name for column in columns if column.format.form == "conversation")


def _turns(text: str) -> list[Message]:
    if not text.lstrip().startswith("["):
        return []
    try:
        turns = msgspec.json.decode(text, type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError):
        return []
    return list(turns) if all(_is_turn(turn) for turn in turns) else []


def _is_turn(turn: object) -> TypeGuard[Message]:
    """A message of a known role whose content is text; an assistant's with tool calls may have none."""
    if not narrow.is_mapping(turn):
        return False
    role, content = turn.get("role"), turn.get("content")
    silent = role == "assistant" and content is None and bool(turn.get("tool_calls"))
    return role in ROLES and (isinstance(content, str) or silent)


def row_in(turns: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, whole: bool) -> dict[str, Any] | None:
    """The row that the user gives with the last message: its one text, or an object with all inputs as JSON.

    Args:
        turns: the conversation before the answer.
        columns: the inputs.
        whole: whether the one text is all that was said, as where the column has conversations.

    Returns:
        The row; None where the user says nothing, or where it must be an object and is none.
    """
    last = next((str(turn.get("content") or "") for turn in reversed(turns) if turn.get("role") == "user"), None)
    if len(columns) == 1 and columns[0].kind == "text":
        text = question_text(turns) if whole or columns[0].format.form == "conversation" else last
        return None if text is None else {columns[0].name: text}
    try:
        row = msgspec.json.decode(last or "")
    except (msgspec.DecodeError, RecursionError):
        return None
    return row if narrow.is_object(row) else None
