"""Candidates and settings to begin with: `portfolio.toml`, which says where they come from."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from bakeoff.core import narrow
from bakeoff.core.types import Json

__all__ = ["Advised", "advised", "first_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """A family that a new project of such data has, or why it has not (`reason`)."""

    family: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    needs: Literal["table", "text"] | None = None
    most_rows: int | None = None
    most_text_classes: int | None = None

    def against(self, kinds: Sequence[str], rows: int, classes: int) -> str | None:
        """What speaks against a family; None where nothing does, and "" where its kind of data is not there."""
        text, table = "text" in kinds, any(kind != "text" for kind in kinds)
        if (self.needs == "text" and not text) or (self.needs == "table" and (text or not table)):
            return ""
        if self.most_rows is not None and rows > self.most_rows:
            return f"takes long on more than {self.most_rows:,} rows"
        if self.most_text_classes is not None and text and classes > self.most_text_classes:
            return f"takes long on texts of more than {self.most_text_classes} classes"
        return None


@cache
def _document() -> Mapping[str, Json]:
    return tomllib.loads((files("bakeoff.config") / "portfolio.toml").read_text(encoding="utf-8"))


def advised(kinds: Sequence[str], *, rows: int, classes: int) -> list[Advised]:
    """The families that a new project should try, and those that its size speaks against, cheapest first.

    Args:
        kinds: of the input columns.
        rows: of the data.
        classes: of the target; 0 for numbers.

    >>> [each.family for each in advised(["numeric"], rows=500, classes=2) if each.reason is None]
    ['linear', 'boosting', 'forest', 'kernel', 'neighbours']
    >>> [each.reason for each in advised(["text"], rows=500, classes=77) if each.family == "boosting"]
    ['takes long on texts of more than 20 classes']
    """
    rules = narrow.json_object(_document()["candidates"])
    against = {name: _rule(rule).against(kinds, rows, classes) for name, rule in rules.items()}
    return [Advised(family=name, reason=reason) for name, reason in against.items() if reason != ""]


def _rule(rule: Json) -> _Rule:
    return _Rule(**narrow.json_object(rule))  # pyright: ignore[reportArgumentType] - the file is our own


def first_settings(family: str) -> list[dict[str, Json]]:
    """Parameters that a search for a family tries before it draws any, the best first."""
    listed = narrow.json_object(_document().get("settings", {})).get(family, [])
    return [dict(narrow.json_object(each)) for each in narrow.json_array(listed)]
