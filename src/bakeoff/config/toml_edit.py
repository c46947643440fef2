"""Other values in a file of TOML: each is replaced where it stands, and comments, order and spaces stay as they are.

The scanner relies on `tomllib` having read the text before. What it makes is read again, and must say what was wanted
and nothing else: a file that is written in a way that is not foreseen here is refused, and never spoiled.
"""

import copy
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from bakeoff.config.toml_text import toml_key, toml_value
from bakeoff.core import narrow
from bakeoff.core.errors import UsageError
from bakeoff.core.types import Json

__all__ = ["edited"]

Path: TypeAlias = tuple[str, ...]
QUOTES = ('"""', "'''", '"', "'")
BARE_END = re.compile(r"[,\]}#\r\n]")
SPACE = " \t"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An assignment: its whole path, that of its table, and where its lines and its value begin and end."""

    path: Path
    table: Path
    start: int
    value: int
    value_end: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A `[table]`: its path, and where the lines behind its header begin."""

    path: Path
    end: int


def edited(text: str, changes: Mapping[str, Json]) -> str:
    r"""The text with other values at dotted keys; None takes a key away.

    Raises:
        UsageError: the text is no TOML, or written in a way in which a value cannot be replaced alone.

    >>> print(edited("[loop]\ncool_down = '1h'  # a pause\n", {"loop.cool_down": "2h", "loop.budget.runs": 8}))
    [loop]
    cool_down = "2h"  # a pause
    <BLANKLINE>
    [loop.budget]
    runs = 8
    <BLANKLINE>
    """
    try:
        tree = tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"expected TOML to change a value in, received what is none: {error}") from None
    for key, value in changes.items():
        path = tuple(key.split("."))
        _put(tree, path, value)
        text = _edited(text, path, value, tree)
    try:
        same = _pruned(tomllib.loads(text)) == _pruned(tree)
    except ValueError:
        same = False
    if not same:
        keys = ", ".join(changes)
        raise UsageError(f"expected a file in which {keys} can be changed alone; change it with an editor")
    return text


def _put(tree: dict[str, Any], path: Path, value: Json) -> None:
    *owners, last = path
    for owner in owners:
        inside: Any = tree.setdefault(owner, {})
        if not isinstance(inside, dict):
            raise UsageError(f"expected {'.'.join(path)} to be in a table, {owner} is none; change it with an editor")
        tree = inside
    if value is None:
        tree.pop(last, None)
    else:
        tree[last] = copy.deepcopy(value)


def _pruned(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Without tables in which nothing is."""
    inner = {key: _pruned(value) if narrow.is_mapping(value) else _listed(value) for key, value in tree.items()}
    return {key: value for key, value in inner.items() if value != {}}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _edited(text: str, path: Path, value: Json, tree: Mapping[str, Any]) -> str:
    parts = list(_scanned(text))
    entries = [each for each in parts if isinstance(each, _Entry)]
    for entry in entries:
        if entry.path == path[: len(entry.path)]:  # itself, or the inline table that it is in
            inside: Any = tree
            for key in entry.path:
                inside = inside.get(key) if narrow.is_mapping(inside) else None
            if inside is None:
                return text[: entry.start] + text[entry.end :]
            return text[: entry.value] + toml_value(inside) + text[entry.value_end :]
    if value is None:
        return text
    return _with_line(text, path, value, parts)


def _with_line(text: str, path: Path, value: Json, parts: "list[_Entry | _Table]") -> str:
    """The text with a new assignment: behind its neighbours, else under its table, else in a table at the end."""
    newline = "\r\n" if "\r\n" in text else "\n"
    beside = [each for each in parts if isinstance(each, _Entry) and each.path[:-1] == path[:-1]]
    tables = [each for each in parts if isinstance(each, _Table) and each.path == path[:-1]]
    table, at = path[:-1], len(text)
    if beside:
        table, at = beside[-1].table, beside[-1].end
    elif tables:
        at = tables[-1].end
    line = f"{'.'.join(map(toml_key, path[len(table) :]))} = {toml_value(value)}{newline}"
    if not beside and not tables:
        line = f"{newline if text.strip() else ''}[{'.'.join(map(toml_key, table))}]{newline}{line}"
    before = text[:at] + (newline if text[:at] and not text[:at].endswith("\n") else "")
    return before + line + text[at:]


def _scanned(text: str) -> "Iterator[_Entry | _Table]":
    """Assignments and headers in their order."""
    at, table = 0, ()
    while at < len(text):
        start, at = at, _past(text, at, SPACE)
        if at >= len(text) or text[at] in "#\r\n":
            at = _line_end(text, at)
        elif text[at] == "[":
            many = text.startswith("[[", at)
            end = _key_end(text, at + 1 + many, "]")
            table, at = _path(text[at + 1 + many : end]), _line_end(text, end)
            if many:  # one of several, in which nothing is changed
                table = (*table, "[]")
            else:
                yield _Table(path=table, end=at)
        else:
            equals = _key_end(text, at, "=")
            value = _past(text, equals + 1, SPACE)
            value_end = _value_end(text, value)
            path, at = (*table, *_path(text[at:equals])), _line_end(text, value_end)
            yield _Entry(path=path, table=table, start=start, value=value, value_end=value_end, end=at)


def _past(text: str, at: int, signs: str) -> int:
    while at < len(text) and text[at] in signs:
        at += 1
    return at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _key_end(text: str, at: int, sign: str) -> int:
    """Where the sign behind a key is, outside of its quotes."""
    while text[at] != sign:
        at = _quoted_end(text, at) if text[at] in "\"'" else at + 1
    return at


def _path(key: str) -> Path:
    """The parts of a key as it is written."""
    tree: Any = tomllib.loads(f"{key.strip()} = 0")
    path: list[str] = []
    while narrow.is_mapping(tree):
        ((name, tree),) = tree.items()
        path.append(name)
    return tuple(path)


def _quoted_end(text: str, at: int) -> int:
    """Behind a string that begins here."""
    quote = next(each for each in QUOTES if text.startswith(each, at))
    at += len(quote)
    while not text.startswith(quote, at):
        at += 2 if quote[0] == '"' and text[at] == "\\" else 1
    at += len(quote)
    while len(quote) > 1 and text.startswith(quote[0], at):  # quotes may stand right before those that end it
        at += 1
    return at


def _value_end(text: str, at: int) -> int:
    """Behind a value that begins here."""
    if text[at] in "\"'":
        return _quoted_end(text, at)
    if text[at] not in "[{":
        end = BARE_END.search(text, at)
        return len(text[: end.start() if end else len(text)].rstrip(SPACE))
    depth = 0
    while True:
        if text[at] in "\"'":
            at = _quoted_end(text, at)
            continue
        if text[at] == "#":
            at = _line_end(text, at)
            continue
        depth += (text[at] in "[{") - (text[at] in "]}")
        at += 1
        if not depth:
            return at
