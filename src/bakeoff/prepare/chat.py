"""Chat format: rows as messages, as JSON lines, and rendered by a model's chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from bakeoff.chat.prompts import check_template, filled
from bakeoff.core.errors import DataError, MissingExtraError
from bakeoff.core.types import Json

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ChatTemplate", "Message", "Role", "messages_of", "read_messages", "write_messages"]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of a conversation."""

    role: Role
    content: str


class _Line(msgspec.Struct, frozen=True):
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    role: Role
    template: str


def messages_of(
    table: "pl.DataFrame", *, user: str, assistant: str | None = None, system: str | None = None
) -> list[tuple[Message, ...]]:
    """A conversation for each row, from templates in which `{column}` stands for the row's value.

    A missing value is the empty string; `{{` and `}}` are braces. Without `assistant`, it ends with the user.

    >>> import polars as pl
    >>> table = pl.DataFrame({"review": ["fine"], "label": ["good"]})
    >>> messages_of(table, user="Rate: {review}", assistant="{label}")[0][1]
    Message(role='assistant', content='good')

    Raises:
        DataError: a template names a column that the table does not have.
    """
    given: list[tuple[Role, str | None]] = [("system", system), ("user", user), ("assistant", assistant)]
    parts = [_Part(role=role, template=template) for role, template in given if template is not None]
    for part in parts:
        check_template(part.role, part.template, table.columns)
    return [
        tuple(Message(role=part.role, content=filled(part.template, row)) for part in parts)
        for row in table.iter_rows(named=True)
    ]


def write_messages(conversations: Sequence[Sequence[Message]]) -> bytes:
    """JSON lines, each `{"messages": [{"role": …, "content": …}, …]}`: what fine-tuning tools read."""
    return msgspec.json.Encoder().encode_lines([_Line(messages=tuple(turns)) for turns in conversations])


def read_messages(lines: bytes) -> list[tuple[Message, ...]]:
    """What `write_messages` wrote, or any such file.

    Raises:
        DataError: a line is not a conversation; with its number.
    """
    decoder = msgspec.json.Decoder(_Line)
    found: list[tuple[Message, ...]] = []
    for number, line in enumerate(lines.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(decoder.decode(line).messages)
        except msgspec.DecodeError as error:
            raise DataError(f'line {number}: expected {{"messages": [{{"role", "content"}}, …]}}: {error}') from error
    return found


class ChatTemplate:
    """A model's chat template (Jinja, as in `tokenizer_config.json`), run in a sandbox."""

    def __init__(self, template: str, *, tokens: Mapping[str, str] | None = None) -> None:
        """`tokens` are what the template may name, such as `bos_token`.

        Raises:
            MissingExtraError: the extra `text` is not installed.
            DataError: the template is not Jinja.
        """
        try:
            from jinja2 import TemplateError
            from jinja2.ext import loopcontrols
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ModuleNotFoundError:
            raise MissingExtraError.of("Chat templates", "text", "jinja2") from None
        # The settings under which Hugging Face's templates are written.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(template)
        except TemplateError as error:
            raise DataError(f"expected a Jinja chat template: {error}") from error
        self._error: type[Exception] = TemplateError
        self._tokens = dict(tokens or {})

    def render(self, messages: Sequence[Message], *, answer: bool = False) -> str:
        """The text of a conversation; with `answer`, up to where the assistant speaks next.

        Raises:
            DataError: the template refuses the conversation.
        """
        turns: Json = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(
                messages=turns, add_generation_prompt=answer, raise_exception=_refuse, **self._tokens
            )
        except self._error as error:
            raise DataError(f"the chat template refuses the conversation: {error}") from error


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=indent)
