"""Chat format: rows as messages, and as JSON lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from bakeoff.chat.prompts import check_template, filled
from bakeoff.core.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ChatMessage", "Role", "messages_of", "read_messages", "write_messages"]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of a conversation."""

    role: Role
    content: str


class _Line(msgspec.Struct, frozen=True):
    messages: tuple[ChatMessage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    role: Role
    template: str


def messages_of(
    table: "pl.DataFrame", *, user: str, assistant: str | None = None, system: str | None = None
) -> list[tuple[ChatMessage, ...]]:
    """A conversation for each row, from templates in which `{column}` stands for the row's value.

    A missing value is the empty string; `{{` and `}}` are braces. Without `assistant`, it ends with the user.

    >>> import polars as pl
    >>> table = pl.DataFrame({"review": ["fine"], "label": ["good"]})
    >>> messages_of(table, user="Rate: {review}", assistant="{label}")[0][1]
    ChatMessage(role='assistant', content='good')

    Raises:
        DataError: a template names a column that the table does not have.
    """
    given: list[tuple[Role, str | None]] = [("system", system), ("user", user), ("assistant", assistant)]
    parts = [_Part(role=role, template=template) for role, template in given if template is not None]
    for part in parts:
        check_template(part.role, part.template, table.columns)
    return [
        tuple(ChatMessage(role=part.role, content=filled(part.template, row)) for part in parts)
        for row in table.iter_rows(named=True)
    ]


def write_messages(conversations: Sequence[Sequence[ChatMessage]]) -> bytes:
    """JSON lines, each `{"messages": [{"role": …, "content": …}, …]}`: what fine-tuning tools read."""
    return msgspec.json.Encoder().encode_lines([_Line(messages=tuple(turns)) for turns in conversations])


def read_messages(lines: bytes) -> list[tuple[ChatMessage, ...]]:
    """What `write_messages` wrote, or any such file.

    Raises:
        DataError: a line is not a conversation; with its number.
    """
    decoder = msgspec.json.Decoder(_Line)
    found: list[tuple[ChatMessage, ...]] = []
    for number, line in enumerate(lines.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(decoder.decode(line).messages)
        except msgspec.DecodeError as error:
            raise DataError(f'line {number}: expected {{"messages": [{{"role", "content"}}, …]}}: {error}') from error
    return found
