"""Findings of personal data and secrets in a text, and marks in their place: one way for steps, logs and reports."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.prepare.personal_data.kinds import PATTERN_KINDS, SIGNS, PatternKind, spans
from bakeoff.prepare.text.plain_text import composed, plain

if TYPE_CHECKING:
    import polars as pl

__all__ = ["EntityKind", "Marks", "PersonalMark", "PiiKind", "apart", "find_pii", "marked", "replaced", "signs_of"]

LONG, PIECE = 4_000, 2_000
OVERLAP, MARGIN, LONGEST = 200, 400, 25_000
LONG_SECRET = re.compile("PRIVATE KEY|eyJ")
"""Characters: no sign is longer than the first, nothing but secrets longer than the second; private keys are."""

EntityKind: TypeAlias = Literal["name", "place"]
PiiKind: TypeAlias = PatternKind | EntityKind
Marks: TypeAlias = Callable[[PiiKind, str], str]
"""What stands for a value of a kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalMark:
    """Something personal at `text[start:end]`."""

    kind: PiiKind
    start: int
    end: int


def find_pii(text: str, kinds: Sequence[PatternKind] = PATTERN_KINDS) -> list[PersonalMark]:
    """What patterns and their checks find, in the order of the text; findings do not overlap.

    >>> [(f.kind, f.start) for f in find_pii("Mail ann@example.org or call +44 20 7946 0958.")]
    [('email', 5), ('phone', 29)]
    """
    whole_text, places = composed(text)
    read = plain(whole_text)
    chosen: list[PatternKind] = [kind for kind in PATTERN_KINDS if kind in kinds]
    whole: dict[PatternKind, list[tuple[int, int]]] = {kind: [(0, len(read))] for kind in chosen}
    windows = _windows(read, chosen) if len(read) > LONG else whole
    findings = apart(
        [
            PersonalMark(kind=k, start=a, end=b)
            for k in chosen
            for window in windows[k]
            for a, b in _within(read, k, window)
        ]
    )
    if places is None:
        return findings
    return [PersonalMark(kind=found.kind, start=places[found.start], end=places[found.end]) for found in findings]


def signs_of(texts: "pl.Series", kinds: Sequence[PatternKind]) -> "pl.DataFrame":
    """Which of the kinds each text (see `plain`) may hold: a column for each."""
    import polars as pl

    text = pl.col("text").str
    return (
        texts.alias("text")
        .to_frame()
        .select(pl.any_horizontal(text.contains(sign) for sign in SIGNS[kind]).alias(kind) for kind in kinds)
    )


def _windows(text: str, kinds: Sequence[PatternKind]) -> dict[PatternKind, list[tuple[int, int]]]:
    """The parts of a long text in which a kind shows a sign, each with room around it for what is found there.

    Looking for signs takes a fiftieth of the time that the patterns take.
    """
    import polars as pl

    starts = range(0, len(text), PIECE)
    signs = signs_of(pl.Series([text[max(0, start - OVERLAP) : start + PIECE] for start in starts]), kinds)
    windows: dict[PatternKind, list[tuple[int, int]]] = {}
    for kind in kinds:
        parts: list[tuple[int, int]] = []
        for place in signs[kind].arg_true().to_list():
            start, end = starts[place] - OVERLAP - MARGIN, starts[place] + PIECE
            may_be_long = kind == "secret" and LONG_SECRET.search(text, max(0, start), end)
            start, end = max(0, start), min(len(text), end + (LONGEST if may_be_long else MARGIN))
            if parts and start <= parts[-1][1]:
                parts[-1] = (parts[-1][0], end)
            else:
                parts.append((start, end))
        windows[kind] = parts
    return windows


def _within(text: str, kind: PatternKind, window: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Findings in a part of the text, but those near its ends: they have no sign, or stand in the next part."""
    first, last = window
    part = text[first:last]
    least = first + OVERLAP if first else 0
    for start, end in spans(part, kind):
        if first + start >= least and (last == len(text) or end < len(part)):
            yield first + start, first + end


def apart(findings: list[PersonalMark]) -> list[PersonalMark]:
    """Without those that touch one found before (kinds come in order of preference)."""
    kept: list[PersonalMark] = []
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


def replaced(text: str, findings: Sequence[PersonalMark], marks: Marks) -> str:
    """The text with a mark in the place of each finding."""
    pieces: list[str] = []
    end = 0
    for found in findings:
        pieces += [text[end : found.start], marks(found.kind, text[found.start : found.end])]
        end = found.end
    return "".join([*pieces, text[end:]])
