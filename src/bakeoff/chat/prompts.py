"""Rows as conversations: the messages that a language model is asked with."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from bakeoff.core.conversation import conversation, plain_text
from bakeoff.core.errors import DataError
from bakeoff.core.generation import Message, Messages

__all__ = ["Preamble", "check_template", "filled", "messages_of_row"]

OPENING = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Preamble:
    """What stands before every conversation of a candidate, rows and chats alike.

    Attributes:
        system: What the project says first; a conversation's own system turn goes on from there.
        instruction: Stands before what the user says first.
        examples: Conversations that end with an answer.
    """

    system: str | None = None
    instruction: str = ""
    examples: tuple[tuple[Message, ...], ...] = ()

    def around(self, asked: Messages) -> list[Message]:
        r"""A conversation with what stands before it.

        >>> Preamble(system="Be brief.").around([{"role": "developer", "content": "Shout."}])
        [{'role': 'system', 'content': 'Be brief.\n\nShout.'}]
        """
        rest = [dict(turn) for turn in asked]
        opening = [self.system] if self.system else []
        while rest and rest[0]["role"] in OPENING:
            opening.append(str(rest.pop(0)["content"]))
        turns: list[Message] = [turn for shown in self.examples for turn in shown if turn["role"] not in OPENING]
        turns += rest
        first = next((at for at, turn in enumerate(turns) if turn["role"] == "user"), None)
        if first is not None and self.instruction:
            turns[first] = {**turns[first], "content": f"{self.instruction}\n\n{turns[first]['content']}"}
        return [{"role": "system", "content": "\n\n".join(opening)}, *turns] if opening else turns


def messages_of_row(
    row: Mapping[str, Any],
    columns: Sequence[str],
    *,
    template: str | None = None,
    conversations: Collection[str] = (),
) -> list[Message]:
    r"""The conversation that asks about a row.

    The user says the template, in which `{column}` stands for the row's value; without one, the only column, or a line
    for each of several columns that have a value. Of the columns that are known to be `conversations`, the first one
    gives the turns, and the lines of the others stand before what the user says last.

    >>> messages_of_row({"film": "Alien", "year": 1979.0, "note": None}, ["film", "year", "note"])
    [{'role': 'user', 'content': 'film: Alien\nyear: 1979'}]
    """
    if template is not None:
        shown = {name: plain_text(str(row[name])) for name in conversations if row.get(name) is not None}
        return [{"role": "user", "content": filled(template, {**row, **shown})}]
    whole = next((name for name in columns if name in conversations and row.get(name) is not None), None)
    turns = [] if whole is None else conversation(_told(row[whole]))
    others = [name for name in columns if name != whole]
    if len(others) == 1 and whole is None:
        return [{"role": "user", "content": _told(row.get(others[0]))}]
    text = "\n".join(f"{name}: {_told(row[name])}" for name in others if row.get(name) is not None)
    last = next((at for at in reversed(range(len(turns))) if turns[at]["role"] == "user"), None)
    if last is None or not text:
        return [*turns, {"role": "user", "content": text}] if last is None else turns
    turns[last] = {**turns[last], "content": f"{text}\n\n{turns[last]['content']}"}
    return turns


def check_template(what: str, template: str, columns: Sequence[str]) -> None:
    """See that a template names columns only.

    Raises:
        DataError: it is no template, or names something else.
    """
    try:
        named = [(name, spec, how) for _, name, spec, how in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise DataError(f"{what} template {template!r}: {error}; write {{{{ and }}}} for braces") from None
    for name, spec, how in named:
        if name not in columns or spec or how:
            raise DataError(
                f"{what} template: expected {{column}} with one of {', '.join(columns)}, received {{{name}}}"
            )


def filled(template: str, row: Mapping[str, Any]) -> str:
    """The template with the row's values; a missing value is the empty string."""
    pieces: list[str] = []
    for text, name, _, _ in Formatter().parse(template):
        pieces += [text, _told(row[name]) if name is not None else ""]
    return "".join(pieces)


def _told(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
