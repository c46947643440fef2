"""A model's chat template: Jinja, as in `tokenizer_config.json`, run in a sandbox.

Source: the environment that templates are written for, in `transformers` (utils/chat_template_utils.py).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import prod
from string import Formatter
from typing import Any

from bakeoff.core.errors import DataError, MissingExtraError
from bakeoff.core.generation import Messages
from bakeoff.core.types import Json

__all__ = ["ChatTemplate"]

LONGEST = 1_000_000
"""Characters of a text that a template makes by one word."""
WIDE = re.compile(r"\d{6}|\*")
"""In a form for texts: a field that is long, or as long as somebody says."""
INDENT = 16
"""The most characters of a step that JSON is indented by, and of its separators."""
LONG_FILTERS = ("batch", "center", "format", "slice", "wordwrap")
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
        environment.filters.update(_filters(dict(environment.filters)), tojson=_to_json)
        names: dict[str, Any] = environment.globals
        names.pop("lipsum")
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
            if operator == "%" and isinstance(left, str):
                if WIDE.search(left):
                    raise SecurityError(f"expected a form without long fields, received {left[:40]!r}")
                values = (
                    right.values() if isinstance(right, Mapping) else right if isinstance(right, tuple) else [right]
                )
                _require_short(_repeated(left.count("%"), values))
            return super().call_binop(context, operator, left, right)

        def call(self, context: Any, called: Any, *args: Any, **named: Any) -> Any:
            owner = getattr(getattr(called, "__wrapped__", called), "__self__", None)
            name = getattr(called, "__name__", "")
            given = [*args, *named.values()]
            if isinstance(owner, str):
                if name == "join" and args:
                    args = (list(args[0]), *args[1:])
                if any(isinstance(each, int) and each > LONGEST for each in given):
                    raise SecurityError(f"expected texts of at most {LONGEST:,} characters")
                _require_short(_growth(name, owner, args, named))
            if name.startswith("format"):
                texts = [each for each in (owner, *given) if isinstance(each, str)]
                fields = _fields(owner) if isinstance(owner, str) else []
                if any(map(WIDE.search, texts)) or any("{" in spec for spec in fields):
                    raise SecurityError(f"expected texts of at most {LONGEST:,} characters")
                values = args[0].values() if args and isinstance(args[0], Mapping) else given
                _require_short(_repeated(len(fields), values))
            return super().call(context, called, *args, **named)

    return Sandbox


def _filters(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Filters of Jinja that make texts longer, which look first how long these will be."""
    from jinja2 import pass_eval_context
    from jinja2.filters import make_attrgetter

    def indent(text: str, width: int | str = 4, *more: Any, **named: Any) -> str:
        step = len(width) if isinstance(width, str) else width
        _require_short((len(str(text).splitlines()) + 1) * step)
        return plain["indent"](text, width, *more, **named)

    @pass_eval_context
    def replace(context: Any, text: Any, old: str, new: str, count: int | None = None) -> str:
        _require_short(_growth("replace", str(text), (str(old), str(new), -1 if count is None else count), {}))
        return plain["replace"](context, text, old, new, count)

    @pass_eval_context
    def join(context: Any, value: Any, d: str = "", attribute: str | int | None = None) -> str:
        items = list(value if attribute is None else map(make_attrgetter(context.environment, attribute), value))
        _require_short(_growth("join", str(d), (items,), {}))
        return plain["join"](context, items, d)

    return {"indent": indent, "replace": replace, "join": join}


def _require_short(more: int) -> None:
    from jinja2.exceptions import SecurityError

    if more > LONGEST:
        raise SecurityError(f"expected a text that grows by at most {LONGEST:,} characters, received {more:,}")


def _growth(name: str, text: str, args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """By how many characters a method of a text makes it, or what it is given, longer."""
    if name == "replace" and len(args) > 1 and all(isinstance(each, str) for each in args[:2]):
        count = args[2] if len(args) > 2 else named.get("count", -1)  # noqa: PLR2004 - its third
        times = text.count(args[0])
        return (times if count < 0 else min(times, count)) * (len(args[1]) - len(args[0]))
    if name == "join" and args:
        return max(len(args[0]) - 1, 0) * len(text) + _repeated(1, args[0])
    if name == "expandtabs":
        return text.count("\t") * (args[0] if args else named.get("tabsize", 8))
    if name == "translate" and args and isinstance(args[0], Mapping):
        return len(text) * max((len(each) for each in args[0].values() if isinstance(each, str)), default=0)
    return 0


def _repeated(times: int, values: Iterable[Any]) -> int:
    """How many characters there are more when values are written so many times: those that come twice count as more."""
    lengths, distinct = 0, dict[int, int]()
    for value in values:
        length = len(value) if isinstance(value, str) else 0
        lengths, distinct[id(value)] = lengths + length, length
    return times * lengths - sum(distinct.values())


def _fields(form: str) -> list[str]:
    """How a form for texts wants its fields; of one that is none, nothing: it has an error of its own."""
    try:
        return [spec or "" for _, name, spec, _ in Formatter().parse(form) if name is not None]
    except ValueError:
        return []


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
    if any(_size(each) > INDENT for each in (indent, *(separators or ()))):
        raise ValueError(f"expected steps and separators of at most {INDENT} characters in JSON")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _size(indent: object) -> int:
    return len(indent) if isinstance(indent, str) else indent if isinstance(indent, int) else 0
