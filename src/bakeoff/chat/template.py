"""A model's chat template: Jinja, as in `tokenizer_config.json`, run in a sandbox.

Source: the environment that templates are written for, in `transformers` (utils/chat_template_utils.py).
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import prod
from typing import Any

from bakeoff.core.errors import DataError, MissingExtraError
from bakeoff.core.generation import Messages
from bakeoff.core.types import Json

__all__ = ["ChatTemplate"]

LONGEST = 1_000_000
"""Characters of a text that a template makes by one word."""
WIDE = re.compile(r"\d{6}|\*")
"""In a form for texts: a field that is long, or as long as somebody says."""
LONG_FILTERS = ("batch", "center", "format")
"""Filters that make long values of short ones; templates of models have no use for them."""
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
        except ModuleNotFoundError:
            raise MissingExtraError.of("Chat templates", "text", "jinja2") from None
        environment = _sandbox()(trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=[loopcontrols])
        for name in LONG_FILTERS:
            environment.filters.pop(name)
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


def _sandbox() -> Any:
    """The class of the environment: no code of Python is reached, and no value is made long by a short word."""
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**", "%"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            numbers = isinstance(left, int | float) and isinstance(right, int | float)
            lengths = [len(each) if isinstance(each, str | list | tuple) else each for each in (left, right)]
            if operator == "**" or (operator == "*" and not numbers and prod(lengths) > LONGEST):
                raise SecurityError(f"expected values of at most {LONGEST:,} characters, received {operator}")
            if operator == "%" and isinstance(left, str) and WIDE.search(left):
                raise SecurityError(f"expected a form without long fields, received {left[:40]!r}")
            return super().call_binop(context, operator, left, right)

        def call(self, context: Any, called: Any, *args: Any, **named: Any) -> Any:
            owner = getattr(getattr(called, "__wrapped__", called), "__self__", None)
            texts = [each for each in (owner, *args, *named.values()) if isinstance(each, str)]
            wide = isinstance(owner, str) and any(isinstance(each, int) and each > LONGEST for each in args)
            if wide or (getattr(called, "__name__", "").startswith("format") and any(map(WIDE.search, texts))):
                raise SecurityError(f"expected texts of at most {LONGEST:,} characters")
            return super().call(context, called, *args, **named)

    return Sandbox


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
