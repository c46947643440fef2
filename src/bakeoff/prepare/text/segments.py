"""Words of scripts that write no space between them (see `core.scripts`): Chinese, Japanese, Thai, Lao, Khmer, Burmese.

ICU's dictionaries cut them where the extra `segment` is installed; without it, each character with its marks stands for
a word. What was installed is part of what steps are known by (`requires`), so that the two are never taken for one.

Source: Unicode Standard Annex #29, "Word Boundaries", and ICU's dictionary-based break iteration.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bakeoff.core.scripts import UNSPACED

if TYPE_CHECKING:
    import polars as pl

__all__ = ["has_segmenter", "parted", "word_counts", "word_spans", "words_between_spaces"]

RUN = re.compile(f"[{UNSPACED}]+")
MARK = "\u200b"
"""The zero-width space, by which such scripts part words where they do."""
# Where rules count words that spaces part: those, and of such scripts two characters for a word, or what ICU has cut.
WORDS = rf"[{UNSPACED}]{{1,2}}|[^\s{UNSPACED}]+"
CUT_WORDS = rf"[{UNSPACED}&&[\p{{L}}\p{{M}}\p{{N}}]]+|[^\s{UNSPACED}{MARK}]+"


@lru_cache(maxsize=1)
def _breaker() -> Callable[[str], Iterator[tuple[int, int]]] | None:
    try:
        from icu4py.breakers import WordBreaker  # pyright: ignore[reportMissingImports] - an extra
    except ModuleNotFoundError:
        return None
    make: Any = WordBreaker
    return lambda text: make(text, "en").segments()  # dictionaries go by script, whatever the language


def has_segmenter() -> bool:
    """Whether words are told apart by dictionaries here."""
    return _breaker() is not None


def word_spans(run: str) -> list[tuple[int, int]] | None:
    """(start, end) of the words of a run of such a script; None without dictionaries."""
    cut = _breaker()
    return None if cut is None else list(cut(run))


def parted(texts: "pl.Series") -> "pl.Series":
    """Texts with a zero-width space between the words of such scripts; as they are without dictionaries."""
    import polars as pl

    if not has_segmenter():
        return texts
    places = texts.str.contains(f"[{UNSPACED}]{{2}}").fill_null(value=False).arg_true()
    if not len(places):
        return texts
    changed = [RUN.sub(_marked, text) for text in texts.gather(places).to_list()]
    return texts.clone().scatter(places, pl.Series(changed, dtype=pl.String))


def _marked(run: re.Match[str]) -> str:
    return MARK.join(run[0][a:b] for a, b in word_spans(run[0]) or ())


def words_between_spaces(texts: "pl.Series") -> "pl.Series":
    """The words that spaces part, signs and all, as lists; of scripts without spaces by ICU, else two characters each.

    >>> import polars as pl
    >>> words_between_spaces(pl.Series(["To be, or"])).to_list()
    [['To', 'be,', 'or']]
    """
    return parted(texts).str.extract_all(CUT_WORDS) if has_segmenter() else texts.str.extract_all(WORDS)


def word_counts(texts: "pl.Series") -> "pl.Series":
    """How many such words each text has."""
    return parted(texts).str.count_matches(CUT_WORDS) if has_segmenter() else texts.str.count_matches(WORDS)
