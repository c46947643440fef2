"""Tables of conversations: a column `messages`, as fine-tuning files have it, becomes a question and its answer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.core.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MESSAGES", "question_row", "question_text", "unpacked"]

MESSAGES = "messages"


def question_text(turns: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as one text: what the user says when that is all, else the turns as JSON.

    `bakeoff.chat.prompts.conversation` reads it back.

    >>> question_text([{"role": "user", "content": "Hi"}])
    'Hi'
    >>> question_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    '[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]'

    Raises:
        TypeError: these are no messages.
    """
    told = [{"role": turn["role"], "content": turn["content"]} for turn in turns if _is_turn(turn)]
    if not told or len(told) < len(turns):
        raise TypeError
    if len(told) == 1 and told[0]["role"] == "user":
        return str(told[0]["content"])
    return msgspec.json.encode(told).decode()


def _is_turn(turn: object) -> bool:
    return isinstance(turn, Mapping) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)


def unpacked(table: "pl.DataFrame", target: str) -> "pl.DataFrame":
    """The table with its conversations as texts, when a column `messages` holds some and none is the target.

    The last turn, which must be the assistant's, becomes the target; the turns before it stay in `messages`.

    Raises:
        DataError: a row is no such conversation; with its number.
    """
    import polars as pl

    if MESSAGES not in table.columns or target in table.columns:
        return table
    first = table[MESSAGES].drop_nulls()[:1].to_list()
    if not first or not all(_is_turn(turn) for turn in _turns(first[0]) or [None]):
        return table
    questions: list[str] = []
    answers: list[str] = []
    for number, value in enumerate(table[MESSAGES].to_list(), start=1):
        turns = _turns(value)
        try:
            if not turns or turns[-1].get("role") != "assistant":
                raise TypeError  # noqa: TRY301 - one message for all that is wrong
            questions.append(question_text(turns[:-1]))
            answers.append(str(turns[-1].get("content") or ""))
        except (TypeError, AttributeError):
            raise DataError(
                f'row {number}, column {MESSAGES!r}: expected a list of {{"role", "content"}} that ends with the '
                f"assistant, received {str(value)[:80]!r}"
            ) from None
    texts = [pl.Series(MESSAGES, questions, dtype=pl.String), pl.Series(target, answers, dtype=pl.String)]
    return table.with_columns(texts)


def question_row(row: Mapping[str, object], target: str) -> Mapping[str, object]:
    """A row of a table of conversations without its answer: what `unpacked` makes an input of; other rows as they are.

    >>> question_row({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Oh"}]}, "said")
    {'messages': [{'role': 'user', 'content': 'Hi'}]}
    """
    if MESSAGES not in row or target in row:
        return row
    turns = _turns(row[MESSAGES])
    answered = bool(turns) and all(map(_is_turn, turns)) and turns[-1]["role"] == "assistant"
    return {**row, MESSAGES: turns[:-1]} if answered else row


def _turns(value: object) -> list[Any]:
    if isinstance(value, str):  # JSON inside CSV
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return []
    return list(value) if isinstance(value, list) else []
