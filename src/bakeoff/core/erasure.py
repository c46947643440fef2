"""What erasing a person means: the key that the person's rows hold, and what stores offer that can forget it."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from bakeoff.core.errors import UsageError
from bakeoff.core.types import Json

__all__ = ["ERASED", "ErasingEvents", "ErasingRecords", "PersonKey", "RewritableBlobs", "Rewritten"]

ERASED = "[erased]"
SHORTEST = 4
"""Shorter keys would be words and numbers of others, too."""
WIDTHS = {"utf-8": 1, "utf-16-le": 2, "utf-32-le": 4}
"""Encodings of texts that are looked for in bytes, and the bytes of an ASCII character in each."""


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
    _in_bytes: "re.Pattern[bytes]" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.text.strip()) < SHORTEST or self.text != self.text.strip():
            raise UsageError(
                f"expected a key of {SHORTEST} characters or more, without spaces around it, received {self.text!r}: "
                "name an address or a number that nobody else has"
            )
        spelled = {self.text, *(json.dumps(self.text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))}
        words = "|".join(map(re.escape, sorted(spelled)))
        before, after = r"(?<!\w)", r"(?!\w)"
        if self.text.isdecimal():  # 1234 is no part of 0.1234, and 1234.0 is the same number
            before, after = r"(?<!\w)(?<!\d\.)", r"(?:\.0+)?(?!\w|\.\d)"
        object.__setattr__(self, "_pattern", re.compile(f"{before}(?:{words}){after}"))
        encoded = {text.encode(code) for text in spelled for code in WIDTHS}
        object.__setattr__(self, "_spellings", tuple(encoded))
        wholes = (self._whole(sorted(spelled), code, width) for code, width in WIDTHS.items())
        object.__setattr__(self, "_in_bytes", re.compile(b"|".join(wholes)))

    def _whole(self, spelled: Sequence[str], code: str, width: int) -> bytes:
        """A pattern of the key as a whole word in bytes of an encoding, whose characters have so many."""
        pad = rb"\x00" * (width - 1)
        words, word, digit, point = b"|".join(re.escape(text.encode(code)) for text in spelled), rb"\w", rb"\d", rb"\."
        before, after = b"(?<!%b%b)" % (word, pad), b"(?!%b%b)" % (word, pad)
        if self.text.isdecimal():
            before += b"(?<!%b%b%b%b)" % (digit, pad, point, pad)
            after = b"(?!%b%b|%b%b%b%b)" % (word, pad, point, pad, digit, pad)
            after = b"(?:%b%b(?:0%b)+)?%b" % (point, pad, pad, after)
        return b"%b(?:%b)%b" % (before, words, after)

    @property
    def number(self) -> int | None:
        """The number that the key is, if it is one: 00123 is none, as it is not 123."""
        return int(self.text) if self.text.isdecimal() and str(int(self.text)) == self.text else None

    def in_text(self, text: str) -> bool:
        """Whether a text holds it, as it is or as JSON spells it."""
        return self._pattern.search(text) is not None

    def in_bytes(self, data: bytes) -> bool:
        """Whether bytes hold it in any spelling, also within a word: for looking whether anything is left."""
        return any(spelling in data for spelling in self._spellings)

    def in_content(self, data: bytes) -> bool:
        """Whether bytes hold it as a whole word, in any spelling."""
        return self._in_bytes.search(data) is not None

    def in_value(self, value: Json) -> bool:
        """Whether a value of JSON holds it, at any depth."""
        if isinstance(value, str):
            return self.in_text(value)
        if isinstance(value, Mapping):
            return any(self.in_text(key) or self.in_value(inner) for key, inner in value.items())
        if isinstance(value, list | tuple):
            return any(map(self.in_value, value))
        return self._is(value)

    def _is(self, value: object) -> bool:
        """Whether a number is the key; 12345.0 is 12345, as tables with missing ids have it."""
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        return type(whole) is int and str(whole) == self.text

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
        return None if self._is(value) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """Blobs that were written again (old id to new id), trees that hold a file which should be, and `left` blobs.

    These hold what is to go, and stay as they are: nobody knows their form.
    """

    renamed: Mapping[str, str]
    trees: frozenset[str]
    left: frozenset[str] = frozenset()


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
        """Store again what `change` gives for a blob's content; files of trees are only looked at.

        For None a blob stays. For nothing (`b""`) it stays, too, and is named as `left`.
        """
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
