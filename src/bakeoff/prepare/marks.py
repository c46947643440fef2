"""Findings of personal data and secrets in a text, and marks in their place: one way for steps, logs and reports."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bakeoff.prepare.pii_kinds import PATTERN_KINDS, PatternKind, plain, spans

__all__ = ["EntityKind", "Finding", "Marks", "PiiKind", "apart", "find_pii", "marked", "replaced"]

EntityKind: TypeAlias = Literal["name", "place"]
PiiKind: TypeAlias = PatternKind | EntityKind
Marks: TypeAlias = Callable[[PiiKind, str], str]
"""What stands for a value of a kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something personal at `text[start:end]`."""

    kind: PiiKind
    start: int
    end: int


def find_pii(text: str, kinds: Sequence[PatternKind] = PATTERN_KINDS) -> list[Finding]:
    """What patterns and their checks find, in the order of the text; findings do not overlap.

    >>> [(f.kind, f.start) for f in find_pii("Mail ann@example.org or call +44 20 7946 0958.")]
    [('email', 5), ('phone', 29)]
    """
    read = plain(text)
    return apart([Finding(kind=k, start=a, end=b) for k in PATTERN_KINDS if k in kinds for a, b in spans(read, k)])


def apart(findings: list[Finding]) -> list[Finding]:
    """Without those that touch one found before (kinds come in order of preference)."""
    kept: list[Finding] = []
    starts: list[int] = []
    for found in findings:
        place = bisect_right(starts, found.start)
        before = kept[place - 1] if place else None
        after = kept[place] if place < len(kept) else None
        if (before is None or before.end <= found.start) and (after is None or found.end <= after.start):
            kept.insert(place, found)
            starts.insert(place, found.start)
    return kept


def marked(text: str) -> str:
    """The text with a mark for everything that patterns find: what examples in reports are shown by.

    >>> marked("Write to ann@example.org")
    'Write to [email]'
    """
    return replaced(text, find_pii(text), lambda kind, _: f"[{kind}]")


def replaced(text: str, findings: Sequence[Finding], marks: Marks) -> str:
    """The text with a mark in the place of each finding."""
    pieces: list[str] = []
    end = 0
    for found in findings:
        pieces += [text[end : found.start], marks(found.kind, text[found.start : found.end])]
        end = found.end
    return "".join([*pieces, text[end:]])
