"""Gopher's rules in datatrove's reading, for corpora that must be filtered as its users filter them.

Where it differs from ours: words are spaCy's English tokens, with punctuation apart; lengths and counts of words are
those of tokens with more than punctuation in them; shares of characters are of the text with its white space; a most
frequent run counts even if it comes once; repeated runs are counted from their second coming on, each word once.

Source: datatrove 0.10, `pipeline/filters/gopher_quality_filter.py` and `gopher_repetition_filter.py`, with their
defaults; there after Rae et al. 2021, §A1.1.
"""

import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from bakeoff.core.errors import MissingExtraError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["gopher", "gopher_repetition", "tokens"]

Rules: TypeAlias = Callable[[str, list[str]], dict[str, bool]]

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
FEWEST, MOST = 50, 100_000
SHORTEST, LONGEST = 3, 10
TOP = {2: 0.20, 3: 0.18, 4: 0.16}
REPEATED = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
PARTS = {"line": (re.compile(r"\n+"), 0.30, 0.20), "paragraph": (re.compile(r"\n{2,}"), 0.30, 0.20)}


# Marks beside those of ASCII: of CCNet (Wenzek et al. 2020, arXiv 1911.00359), and control characters.
MARKS = "—–”“„’´…»«►％１〈〉《》（）【】「」、。，．：；？！～━∶"
SENTENCE_END = r"^\p{Sentence_Terminal}$"


def tokens(texts: "Sequence[str]") -> list[list[str]]:
    """Words and punctuation of each text, each apart.

    Raises:
        MissingExtraError: the extra `nlp` is not installed.

    >>> tokens(["It isn't 3.14, is it?"])
    [['It', 'is', "n't", '3.14', ',', 'is', 'it', '?']]
    """
    english = _english()
    split: list[list[str]] = []
    for text in texts:
        with english.memory_zone():  # else every new word of a corpus stays in memory
            split.append([token.text.strip() for token in english.tokenizer(text) if token.text.strip()])
    return split


@lru_cache(maxsize=1)
def _english() -> Any:
    try:
        import spacy
    except ModuleNotFoundError:
        raise MissingExtraError.of("The reading 'datatrove' of quality rules", "nlp", "spacy") from None
    return spacy.blank("en")


@lru_cache(maxsize=1)
def _punctuation() -> frozenset[str]:
    import polars as pl

    characters = map(chr, range(sys.maxunicode + 1))
    every = pl.Series([each for each in characters if unicodedata.category(each)[0] == "P"])
    ends = every.filter(every.str.contains(SENTENCE_END)).to_list()
    control = [chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))]
    return frozenset({*string.punctuation, *MARKS, *ends, *control})


def gopher(texts: "pl.Series") -> "pl.DataFrame":
    """Which rules each text breaks; missing texts break none."""
    return _judged(texts, _gopher)


def gopher_repetition(texts: "pl.Series") -> "pl.DataFrame":
    """Which rules each text breaks; missing texts break none."""
    return _judged(texts, _repetition)


def _judged(texts: "pl.Series", rules: Rules) -> "pl.DataFrame":
    import polars as pl

    names = list(rules("a", ["a"]))
    given = [text or "" for text in texts.to_list()]
    rows = [
        rules(text, words) if text else dict.fromkeys(names, False)
        for text, words in zip(given, tokens(given), strict=True)
    ]
    return pl.DataFrame({name: [row[name] for row in rows] for name in names}, schema=dict.fromkeys(names, pl.Boolean))


def _gopher(text: str, words: list[str]) -> dict[str, bool]:
    plain = [word for word in words if not _punctuation().issuperset(word)]
    lines, count = text.splitlines() or [""], max(len(words), 1)
    length = sum(map(len, plain)) / max(len(plain), 1)
    return {
        "word_count": not FEWEST <= len(plain) <= MOST,
        "word_length": not SHORTEST <= length <= LONGEST,
        "hash_ratio": text.count("#") / count > 0.1,  # noqa: PLR2004 - the paper's
        "ellipsis_ratio": (text.count("...") + text.count("…")) / count > 0.1,  # noqa: PLR2004
        "bullet_lines": _share(lines, lambda line: line.lstrip().startswith(("•", "-"))) > 0.9,  # noqa: PLR2004
        "ellipsis_lines": _share(lines, lambda line: line.rstrip().endswith(("...", "…"))) > 0.3,  # noqa: PLR2004
        "alphabetic": sum(any(c.isalpha() for c in word) for word in words) / count < 0.8,  # noqa: PLR2004
        "stop_words": len(STOP_WORDS.intersection(words)) < 2,  # noqa: PLR2004
    }


def _repetition(text: str, words: list[str]) -> dict[str, bool]:
    broken: dict[str, bool] = {}
    for name, (separator, most, most_characters) in PARTS.items():
        parts = separator.split(text.strip() if name == "paragraph" else text)
        again = list((Counter(parts) - Counter(set(parts))).elements())
        broken[f"repeated_{name}s"] = len(again) / len(parts) > most
        broken[f"repeated_{name}_characters"] = sum(map(len, again)) / len(text) > most_characters
    for n, most in TOP.items():
        runs = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        (run, times) = runs.most_common(1)[0] if runs else ("", 0)
        broken[f"top_run_of_{n}"] = len(run) * times / len(text) > most
    for n, most in REPEATED.items():
        broken[f"repeated_runs_of_{n}"] = _again(words, n) / len(text) > most
    return broken


def _share(lines: Sequence[str], test: Callable[[str], bool]) -> float:
    return sum(map(test, lines)) / len(lines)


def _again(words: Sequence[str], n: int) -> int:
    """Characters of runs that came before; after such a run the next one begins behind it."""
    seen: set[str] = set()
    characters = place = 0
    while place <= len(words) - n:
        run = "".join(words[place : place + n])
        if run in seen:
            characters += len(run)
            place += n
        else:
            seen.add(run)
            place += 1
    return characters
