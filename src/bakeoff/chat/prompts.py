"""Rows as conversations: the messages that a language model is asked with."""

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

import msgspec

from bakeoff.core.errors import DataError
from bakeoff.core.generation import Message

__all__ = ["check_template", "conversation", "filled", "messages_of_row"]

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def conversation(text: str) -> list[Message]:
    """The turns that a text stands for: those of a JSON list of messages, else one of the user.

    >>> conversation("Who is there?")
    [{'role': 'user', 'content': 'Who is there?'}]
    >>> conversation('[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]')[0]["role"]
    'system'
    """
    if text.lstrip().startswith("[{"):
        try:
            found = msgspec.json.decode(text, type=list[dict[str, Any]])
        except msgspec.DecodeError:
            found = []
        if found and all(_is_message(turn) for turn in found):
            return list(found)
    return [{"role": "user", "content": text}]


def _is_message(turn: Mapping[str, Any]) -> bool:
    return turn.get("role") in ROLES and isinstance(turn.get("content"), str)


def messages_of_row(
    row: Mapping[str, Any], columns: Sequence[str], *, template: str | None = None, system: str | None = None
) -> list[Message]:
    r"""The conversation that asks about a row.

    The user says the template, in which `{column}` stands for the row's value; without one, the only column (which
    may hold a whole conversation), or a line for each of several columns that have a value. `system` comes first.

    >>> messages_of_row({"film": "Alien", "year": 1979.0, "note": None}, ["film", "year", "note"])
    [{'role': 'user', 'content': 'film: Alien\nyear: 1979'}]
    """
    if template is not None:
        turns: list[Message] = [{"role": "user", "content": filled(template, row)}]
    elif len(columns) == 1:
        turns = conversation(_told(row.get(columns[0])))
    else:
        lines = [f"{name}: {_told(row[name])}" for name in columns if row.get(name) is not None]
        turns = [{"role": "user", "content": "\n".join(lines)}]
    return [{"role": "system", "content": system}, *turns] if system is not None else turns


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
