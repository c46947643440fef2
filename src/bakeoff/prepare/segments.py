"""Words of scripts that write no space between them: Chinese, Japanese, Thai, Lao, Khmer, Burmese.

ICU's dictionaries cut them where the extra `segment` is installed; without it, each character with its marks stands for
a word. What was installed is part of what steps are known by (`requires`), so that the two are never taken for one.

Source: Unicode Standard Annex #29, "Word Boundaries", and ICU's dictionary-based break iteration.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MARK", "RANGES", "UNSPACED", "has_segmenter", "parted", "word_spans"]

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
"""In Rust syntax; `RANGES` are nearly the same in Python's."""
RANGES = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
)
RUN = re.compile(f"[{RANGES}]+")
MARK = "\u200b"
"""The zero-width space, by which such scripts part words where they do."""


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
