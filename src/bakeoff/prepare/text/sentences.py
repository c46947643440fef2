"""Sentences by rule: ends of sentences after marks, but not after abbreviations, initials or inside numbers."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["sentence_spans", "sentences_of"]

# A mark (with closing quotes and brackets), then white space; or an ideographic mark; or an empty line.
END = re.compile(r"[.!?…।॥۔؟։።။។៕༎།]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”’）]*|\n\s*\n")
ABBREVIATIONS = frozenset(
    {
        *("mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "rev", "gen", "col", "lt", "sgt", "capt", "gov", "sen"),
        *("rep", "hon", "vs", "etc", "e.g", "i.e", "cf", "al", "fig", "figs", "eq", "vol", "pp", "ed", "eds", "approx"),
        *("est", "dept", "inc", "ltd", "co", "corp", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept"),
        *("oct", "nov", "dec", "bzw", "usw", "z.b", "d.h", "ca", "nr", "str", "p.ex", "av"),
    }
)
NUMBERED = frozenset({"no", "nos", "art", "sec", "ch", "p", "n"})
"""Abbreviations before a number; words elsewhere."""
CLOSING = "\"'”’»)]"
LAST_WORD = re.compile(r"([^\W_](?:[\w.]{0,12}[^\W_])?)\.$")
WORD_REACH = 16


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, without the white space between them.

    >>> [f"{a}:{b}" for a, b in sentence_spans("Dr. Who paid 3.50. Really? Yes.")]
    ['0:18', '19:26', '27:31']
    """
    found: list[tuple[int, int]] = []
    start = 0
    for match in END.finditer(text):
        if _ends(text, start, match):
            _add(found, text, start, match.end())
            start = match.end()
    _add(found, text, start, len(text))
    return found


def _ends(text: str, start: int, match: re.Match[str]) -> bool:
    follows = text[match.end() : match.end() + WORD_REACH].lstrip()[:1]
    if match[0] != ".":
        # "Stop!" and left: what is quoted ends, what is told goes on.
        return not (match[0][-1] in CLOSING and match[0][0] in "!?…" and follows.islower())
    last = LAST_WORD.search(text[max(start, match.end() - WORD_REACH) : match.end()])
    if follows.islower():
        return False
    if last is None:
        return True
    word = last[1]
    if word.isdigit() and not text[text.rfind("\n", 0, match.start()) + 1 : match.start() - len(word)].strip():
        return False  # the number of an item of a list
    if word.lower() in NUMBERED and follows.isdigit():
        return False
    initial = len(word) == 1 and word.isupper() and word != "I"
    return not initial and word.lower() not in ABBREVIATIONS


def _add(found: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    end = start + len(piece.strip())
    if end > start:
        found.append((start, end))


def sentences_of(texts: "pl.Series") -> "pl.Series":
    """The sentences of each text, as lists; missing stays missing."""
    import polars as pl

    return pl.Series(
        texts.name,
        [None if text is None else [text[a:b] for a, b in sentence_spans(text)] for text in texts.to_list()],
        dtype=pl.List(pl.String),
    )
