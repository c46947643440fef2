"""A model's chat template: Jinja, as in `tokenizer_config.json`, run in a sandbox.

Source: the environment that templates are written for, in `transformers` (utils/chat_template_utils.py).
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bakeoff.core.errors import DataError, MissingExtraError
from bakeoff.core.generation import Messages
from bakeoff.core.types import Json

__all__ = ["ChatTemplate"]

GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""Marks of what the assistant says, which a template may have for trainers; they write nothing."""


class ChatTemplate:
    """A template that makes one text of a conversation."""

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
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        names: dict[str, Any] = environment.globals
        names.update(raise_exception=_refuse, strftime_now=_now)
        try:
            self._template = environment.from_string(GENERATION.sub(_unmarked, template))
        except TemplateError as error:
            raise DataError(f"expected a Jinja chat template: {error}") from error
        self._tokens = dict(tokens or {})
        self.source = template

    @property
    def takes_tools(self) -> bool:
        """Whether it has a place for calls of tools."""
        return "tool_calls" in self.source

    def render(self, messages: Messages, *, answer: bool = False, tools: Sequence[Json] = ()) -> str:
        """The text of a conversation; with `answer`, up to where the assistant speaks next.

        Raises:
            DataError: the template refuses the conversation.
        """
        turns = [dict(message) for message in messages]
        given = {"messages": turns, "tools": list(tools) or None, "documents": None, "add_generation_prompt": answer}
        try:
            return self._template.render(**given, **self._tokens)
        except Exception as error:  # a template may fail in any way that Python knows
            raise DataError(f"the chat template refuses the conversation: {error}") from error


def _unmarked(mark: re.Match[str]) -> str:
    """A comment that takes away the blanks that the mark took away."""
    return f"{{#{'-' if mark[0][2] == '-' else ''} {'-' if mark[0][-3] == '-' else ''}#}}"


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - as templates call it
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002 - as templates call it
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
