"""A project file written from what is in one."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bakeoff.core import narrow

__all__ = ["toml_key", "toml_text", "toml_value"]

BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(tree: Mapping[str, Any]) -> str:
    """TOML of a tree as `tomllib` gives it; what is None is left out.

    >>> print(toml_text({"project": {"name": "films"}, "candidates": {"linear": {}, "my own": {"bins": [1, 2.5]}}}))
    [project]
    name = "films"
    [candidates.linear]
    [candidates."my own"]
    bins = [1, 2.5]
    <BLANKLINE>
    """
    return "".join(f"{line}\n" for line in _table(tree, ()))


def _table(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in tree.items() if not narrow.is_mapping(value) and value is not None}
    tables = {key: value for key, value in tree.items() if narrow.is_mapping(value)}
    if path and (plain or not tables):
        yield f"[{'.'.join(map(toml_key, path))}]"
    yield from (f"{toml_key(key)} = {toml_value(value)}" for key, value in plain.items())
    for key, value in tables.items():
        yield from _table(value, (*path, key))


def toml_key(key: str) -> str:
    """A key as a file has it."""
    return key if BARE.fullmatch(key) else _text(key)


def toml_value(value: Any) -> str:
    """A value in one line."""
    if narrow.is_mapping(value):
        inner = ", ".join(f"{toml_key(key)} = {toml_value(each)}" for key, each in value.items() if each is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if narrow.is_sequence(value):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):  # inf and nan are written so in TOML, too
        return repr(value)
    return _text(value) if isinstance(value, str) else value.isoformat()


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON has it as it is, TOML may not
