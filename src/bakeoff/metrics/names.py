r"""Names of metrics as project files write them: `f1_macro`, `recall[fraud]`, `precision_at_recall["a, b", 0.8]`.

What stands in the brackets are arguments, parted by commas. One that holds a comma, a bracket, a quote, a backslash
or spaces at its ends stands in double quotes, as a JSON string: `recall["say \"no\", or [yes]"]`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["MetricName", "replace_names"]

_BASE = re.compile(r"(?<!\w)[^\W\d]\w*")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_BARE = re.compile(r'[^,\[\]"\\]*')
_SPECIAL = re.compile(r'[,\[\]"\\\x00-\x1f]')


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricName:
    """A metric's name in its parts.

    >>> MetricName.parse('precision_at_recall["a, b", 0.8]').arguments
    ('a, b', '0.8')
    >>> str(MetricName(base="recall", arguments=("a, b",)))
    'recall["a, b"]'
    """

    base: str
    arguments: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "MetricName":
        """The parts of a name.

        Raises:
            ValueError: it is written otherwise; the message says where.
        """
        name, end = _read(text.strip(), 0)
        if end != len(text.strip()):
            raise ValueError(f"expected nothing after {text.strip()[:end]!r}, found {text.strip()[end:]!r}")
        return name

    def __str__(self) -> str:
        if not self.arguments:
            return self.base
        return f"{self.base}[{', '.join(_written(each) for each in self.arguments)}]"


def replace_names(expression: str, replacement: Callable[[MetricName], str]) -> str:
    """An expression in which each name, of a metric or of whatever else, is replaced; the rest is left alone.

    Raises:
        ValueError: a bracket is not closed, or an argument is not written as it should be.

    >>> replace_names("1 - recall[not spam] * 1e6", lambda name: name.base)
    '1 - recall * 1e6'
    """
    parts: list[str] = []
    at = 0
    for match in _BASE.finditer(expression):
        if match.start() < at:
            continue
        name, end = _read(expression, match.start())
        parts += [expression[at : match.start()], replacement(name)]
        at = end
    return "".join([*parts, expression[at:]])


def _read(text: str, start: int) -> tuple[MetricName, int]:
    """The name that starts there, and where it ends."""
    base = _BASE.match(text, start)
    if base is None:
        raise ValueError(f"expected a metric's name, as f1_macro or recall[fraud], found {text[start:]!r}")
    end = base.end()
    if not text.startswith("[", end):
        return MetricName(base=base.group()), end
    arguments: list[str] = []
    while True:
        argument, end = _argument(text, end + 1)
        arguments.append(argument)
        if end >= len(text) or text[end] not in ",]":
            shown = text[end:] or "nothing"
            raise ValueError(f'expected , or ] after {text[start:end]!r}, found {shown!r}; quote what holds , [ ] or "')
        if text[end] == "]":
            return MetricName(base=base.group(), arguments=tuple(arguments)), end + 1


def _argument(text: str, start: int) -> tuple[str, int]:
    start += len(text) - start - len(text[start:].lstrip())
    quoted = _QUOTED.match(text, start)
    if quoted is None:
        bare = _BARE.match(text, start)
        assert bare is not None, "it may be empty"
        argument, end = bare.group().strip(), bare.end()
        if not argument:
            raise ValueError(f'expected an argument after {text[:start]!r}, found none (an empty one is written "")')
        return argument, end
    try:
        argument = json.loads(quoted.group(), strict=False)
    except ValueError:
        raise ValueError(f"expected an argument quoted as a JSON string, found {quoted.group()}") from None
    end = quoted.end()
    return argument, end + len(text) - end - len(text[end:].lstrip())


def _written(argument: str) -> str:
    """An argument as it is written: bare where that reads back the same."""
    bare = argument and argument == argument.strip() and not _SPECIAL.search(argument)
    return argument if bare else json.dumps(argument, ensure_ascii=False)
