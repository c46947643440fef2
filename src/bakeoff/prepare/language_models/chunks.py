"""Chunks: long texts cut into pieces of bounded length that overlap, each with its place in the text.

Not a step of `[prepare]`: chunks of one text could stand on two sides of a split, and a served row is one row.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.core.errors import UsageError
from bakeoff.core.scripts import UNSPACED
from bakeoff.prepare.language_models.tokens import Tokenizer
from bakeoff.prepare.text.segments import word_spans
from bakeoff.prepare.text.sentences import sentence_spans

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Unit", "chunk_spans", "chunks"]

Unit: TypeAlias = Literal["characters", "words", "tokens"]
Spans: TypeAlias = list[tuple[int, int]]
# A character with its marks where a script writes no space (and ICU is not there); else what stands between spaces, in
# bounded parts.
MARKS = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd"
    "\u102b-\u103e\u1056-\u1059\u17b4-\u17d3\u3099\u309a"
)
WORD = re.compile(rf"(?P<run>[{UNSPACED}]+)|[^\s{UNSPACED}]{{1,100}}")
CHARACTER = re.compile(rf"[{UNSPACED}][{MARKS}]*")
JOINING = "\u0e33\u0eb3\uff9e\uff9f"
"""Letters that are written on the one before: Thai and Lao am, half-width voicing."""
VIRAMA = 9
ZWJ = "\u200d"
LAST_LATIN = 0x24F


def chunks(
    texts: "pl.Series",
    *,
    size: int,
    overlap: int = 0,
    unit: Unit = "words",
    sentences: bool = True,
    tokenizer: Tokenizer | None = None,
) -> "pl.DataFrame":
    """Rows of `row` (of the text), `chunk` (0, 1, …), `start`, `end` (characters) and `text`; order kept.

    See `chunk_spans` for how a text is cut. Missing and blank texts have no chunks.
    """
    import polars as pl

    found = [
        (row, number, start, end, text[start:end])
        for row, text in enumerate(texts.to_list())
        if text is not None
        for number, (start, end) in enumerate(
            chunk_spans(text, size=size, overlap=overlap, unit=unit, sentences=sentences, tokenizer=tokenizer)
        )
    ]
    kinds = {"row": pl.Int64, "chunk": pl.Int64, "start": pl.Int64, "end": pl.Int64, "text": pl.String}
    return pl.DataFrame(found, schema=kinds, orient="row")


def chunk_spans(
    text: str,
    *,
    size: int,
    overlap: int = 0,
    unit: Unit = "words",
    sentences: bool = True,
    tokenizer: Tokenizer | None = None,
) -> Spans:
    """(start, end) of chunks of at most `size` units; each begins up to `overlap` units before the last one's end.

    No chunk cuts a character that a reader takes for one (see `_graphemes`), also where it is several tokens; one of
    more than `size` tokens is a chunk of its own. With `sentences` a chunk ends with a sentence where one ends in its
    second half. Together the chunks hold every character but white space between them.

    >>> text = "One two three. Four five six seven. Eight."
    >>> [text[a:b] for a, b in chunk_spans(text, size=4)]
    ['One two three.', 'Four five six seven.', 'Eight.']
    """
    if size < 1 or not 0 <= overlap < size:
        raise UsageError(f"expected 0 ≤ overlap < size, received size={size!r}, overlap={overlap!r}")
    units = _units(text, unit, tokenizer)
    ends = {end for _, end in sentence_spans(text)} if sentences else set[int]()
    # Where a chunk may end, by the number of units before it.
    safe = [True] * (len(units) + 1) if unit == "characters" else _safe(text, units)
    found: Spans = []
    first = 0
    while first < len(units):
        last = min(first + size, len(units))
        while last > first and not safe[last]:
            last -= 1
        if last == first:
            last = next(cut for cut in range(first + 1, len(units) + 1) if safe[cut])
        if last < len(units):
            # At least as far as to make room for progress beyond the overlap.
            least = first + max(overlap, size // 2) + 1
            last = next((cut for cut in range(last, least - 1, -1) if safe[cut] and units[cut - 1][1] in ends), last)
        found.append((units[first][0], units[last - 1][1]))
        if last == len(units):
            break
        first = next((cut for cut in range(max(last - overlap, first + 1), last) if safe[cut]), last)
    return found


def _safe(text: str, units: Spans) -> list[bool]:
    """Whether the text may be cut before each unit, and after the last: where no character is in two parts then."""
    starts = {start for start, _ in _graphemes(text)}
    inner = (
        before[1] <= unit[0] and (unit[0] in starts or text[unit[0]].isspace()) for before, unit in pairwise(units)
    )
    return [True, *inner, True]


def _units(text: str, unit: Unit, tokenizer: Tokenizer | None) -> Spans:
    if unit == "tokens" and tokenizer is None:
        raise UsageError("expected a tokenizer for chunks of tokens, received none")
    cut: dict[Unit, Callable[[str], Spans]] = {
        "words": lambda t: list(_words(t)),
        "characters": _graphemes,
        "tokens": lambda t: tokenizer.spans(t) if tokenizer else [],
    }
    return cut[unit](text)


def _words(text: str) -> Iterator[tuple[int, int]]:
    for match in WORD.finditer(text):
        if match["run"] is None:
            yield match.span()
            continue
        spans = word_spans(match[0]) or [found.span() for found in CHARACTER.finditer(match[0])]
        yield from ((match.start() + start, match.start() + end) for start, end in spans)


def _is_one(before: str, character: str) -> bool:
    """Whether a letter goes on what stands before it: after a virama, or as the next part of a Hangul syllable."""
    if unicodedata.combining(before) == VIRAMA and character.isalpha():
        return True
    syllable = "\u1100" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7a3"
    if "\u1100" <= character <= "\u115f":
        return "\u1100" <= before <= "\u115f"
    return syllable and "\u1160" <= character <= "\u11ff"


def _graphemes(text: str) -> Spans:
    """What a reader takes for single characters: with their marks, emoji joined to one, flags of two letters.

    Source: Unicode Standard Annex #29, "Grapheme Cluster Boundaries" (rules GB6–GB13), without prepended marks.
    """
    spans: Spans = []
    flags = 0
    for place, character in enumerate(text):
        is_flag = "\U0001f1e6" <= character <= "\U0001f1ff"
        flags = flags + 1 if is_flag else 0
        joins = unicodedata.category(character) in {"Mn", "Mc", "Me"} or character == ZWJ
        joins |= character in JOINING or "\U000e0020" <= character <= "\U000e007f"
        joins |= place > 0 and _is_one(text[place - 1], character)
        joins |= "\U0001f3fb" <= character <= "\U0001f3ff" or (is_flag and flags % 2 == 0)
        joins |= place > 0 and text[place - 1] == ZWJ and ord(character) > LAST_LATIN
        if joins and spans and spans[-1][1] == place:
            spans[-1] = (spans[-1][0], place + 1)
        elif not character.isspace():
            spans.append((place, place + 1))
    return spans
