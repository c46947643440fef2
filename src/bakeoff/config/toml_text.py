"""A project file written from what is in one."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bakeoff.core import narrow

__all__ = ["toml_text"]

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
        yield f"[{'.'.join(map(_key, path))}]"
    yield from (f"{_key(key)} = {_value(value)}" for key, value in plain.items())
    for key, value in tables.items():
        yield from _table(value, (*path, key))


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if narrow.is_mapping(value):
        inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if narrow.is_sequence(value):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):  # inf and nan are written so in TOML, too
        return repr(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else value.isoformat()
