"""What erasing a person means: the key that the person's rows hold, and what stores offer that can forget it."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from bakeoff.core.errors import UsageError
from bakeoff.core.types import Json

__all__ = ["ERASED", "ErasingEvents", "ErasingRecords", "PersonKey", "RewritableBlobs", "Rewritten"]

ERASED = "[erased]"
SHORTEST = 4
"""Shorter keys would be words and numbers of others, too."""


@dataclass(frozen=True, slots=True)
class PersonKey:
    """What tells a person's rows from others': an address, a customer's number, a name; found as a whole word.

    >>> key = PersonKey("ada@example.org")
    >>> key.in_value({"note": ["ask ada@example.org!"]}), key.in_value("nada@example.org")
    (True, False)
    >>> key.scrubbed({"note": "ask ada@example.org!"})
    {'note': 'ask [erased]!'}
    """

    text: str
    _pattern: "re.Pattern[str]" = field(init=False, repr=False, compare=False)
    _spellings: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.text.strip()) < SHORTEST or self.text != self.text.strip():
            raise UsageError(
                f"expected a key of {SHORTEST} characters or more, without spaces around it, received {self.text!r}: "
                "name an address or a number that nobody else has"
            )
        spelled = {self.text, *(json.dumps(self.text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))}
        edge = r"[\w.]" if self.text.isdigit() else r"\w"  # 1234 is no part of 0.1234
        words = "|".join(map(re.escape, sorted(spelled)))
        object.__setattr__(self, "_pattern", re.compile(f"(?<!{edge})(?:{words})(?!{edge})"))
        encoded = {text.encode(code) for text in spelled for code in ("utf-8", "utf-16-le", "utf-32-le")}
        object.__setattr__(self, "_spellings", tuple(encoded))

    def in_text(self, text: str) -> bool:
        """Whether a text holds it, as it is or as JSON spells it."""
        return self._pattern.search(text) is not None

    def in_bytes(self, data: bytes) -> bool:
        """Whether bytes hold it in any spelling, also within a word: for looking whether anything is left."""
        return any(spelling in data for spelling in self._spellings)

    def in_value(self, value: Json) -> bool:
        """Whether a value of JSON holds it, at any depth."""
        if isinstance(value, str):
            return self.in_text(value)
        if isinstance(value, Mapping):
            return any(self.in_text(key) or self.in_value(inner) for key, inner in value.items())
        if isinstance(value, list | tuple):
            return any(map(self.in_value, value))
        return type(value) is int and str(value) == self.text

    def scrub(self, text: str) -> str:
        """The text without it."""
        return self._pattern.sub(ERASED, text)

    def scrubbed(self, value: Any) -> Any:
        """A value of JSON without it."""
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, Mapping):
            return {self.scrub(str(key)): self.scrubbed(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.scrubbed(each) for each in value]
        return None if type(value) is int and str(value) == self.text else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """Blobs that were written again (old id to new id), and trees that hold a file which should be."""

    renamed: Mapping[str, str]
    trees: frozenset[str]


@runtime_checkable
class ErasingEvents(Protocol):
    """An event log that can forget."""

    def erase(self, key: PersonKey) -> int:
        """Erase events that hold the key, and the feedback on them; how many. Their numbers stay, for readers.

        Raises:
            ConflictError: another process writes to the log.
        """
        ...


@runtime_checkable
class RewritableBlobs(Protocol):
    """Blobs that can be replaced by others of another content."""

    def rewrite(self, change: Callable[[bytes], bytes | None]) -> Rewritten:
        """Store again what `change` gives for a blob's content (None: it stays); files of trees are only looked at."""
        ...

    def discard(self, ids: Iterable[str]) -> None:
        """Delete blobs and trees now, with the chunks that no other needs."""
        ...


@runtime_checkable
class ErasingRecords(Protocol):
    """Records that can forget."""

    def erase(self, key: PersonKey, renamed: Mapping[str, str]) -> Mapping[str, int]:
        """Erase rows and values that hold the key, name blobs anew; how many by table, and nothing of them is left.

        The audit log stays as it is. Free space of the database is overwritten.
        """
        ...
