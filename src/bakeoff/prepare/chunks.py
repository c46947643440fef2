"""Chunks: long texts cut into pieces of bounded length that overlap, each with its place in the text.

Not a step of `[prepare]`: chunks of one text could stand on two sides of a split, and a served row is one row.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.core.errors import UsageError
from bakeoff.prepare.sentences import sentence_spans
from bakeoff.prepare.tokens import Tokenizer

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Unit", "chunk_spans", "chunks"]

Unit: TypeAlias = Literal["characters", "words", "tokens"]
Spans: TypeAlias = list[tuple[int, int]]
WORD = re.compile(r"\S+")


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

    With `sentences` a chunk ends with a sentence where one ends in its second half. Together the chunks hold
    every character but white space between them.

    >>> text = "One two three. Four five six seven. Eight."
    >>> [text[a:b] for a, b in chunk_spans(text, size=4)]
    ['One two three.', 'Four five six seven.', 'Eight.']
    """
    if size < 1 or not 0 <= overlap < size:
        raise UsageError(f"expected 0 ≤ overlap < size, received size={size!r}, overlap={overlap!r}")
    units = _units(text, unit, tokenizer)
    ends = {end for _, end in sentence_spans(text)} if sentences else set[int]()
    found: Spans = []
    first = 0
    while first < len(units):
        last = min(first + size, len(units))
        if last < len(units):
            # At least as far as to make room for progress beyond the overlap.
            least = first + max(overlap, size // 2) + 1
            last = next((cut for cut in range(last, least - 1, -1) if units[cut - 1][1] in ends), last)
        found.append((units[first][0], units[last - 1][1]))
        if last == len(units):
            break
        first = max(last - overlap, first + 1)
    return found


def _units(text: str, unit: Unit, tokenizer: Tokenizer | None) -> Spans:
    if unit == "tokens" and tokenizer is None:
        raise UsageError("expected a tokenizer for chunks of tokens, received none")
    cut: dict[Unit, Callable[[str], Spans]] = {
        "words": lambda t: [match.span() for match in WORD.finditer(t)],
        "characters": lambda t: [(place, place + 1) for place, c in enumerate(t) if not c.isspace()],
        "tokens": lambda t: tokenizer.spans(t) if tokenizer else [],
    }
    return cut[unit](text)
