"""Words: tokenisation, stop words, stems, and the flat hashed form that duplicate search works on.

A word is a run of letters, digits and marks, with inner apostrophes; its hash follows from its characters
alone, so that chunks of a corpus, other machines and later releases agree.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from blake3 import blake3

from bakeoff.core.errors import MissingExtraError
from bakeoff.data.snapshot import mix
from bakeoff.prepare.text import Rewrite, TextStep

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Shingles", "drop_stop_words", "shingles_of", "stem", "words_of"]

WORD = r"[\p{L}\p{N}\p{M}_]+(?:['’][\p{L}\p{N}\p{M}_]+)*"
FACTOR = np.uint64(0x9E3779B97F4A7C15)


def words_of(texts: "pl.Series") -> "pl.Series":
    """The words of each text, in lower case, as lists.

    >>> import polars as pl
    >>> words_of(pl.Series(["Don't panic: 42!", None])).to_list()
    [["don't", 'panic', '42'], None]
    """
    return texts.str.to_lowercase().str.extract_all(WORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shingles:
    """Hashes of the runs of n words of each text, one after the other.

    Those of text i are `hash_s[start_n[i]:start_n[i + 1]]`; a text of fewer words than n has one, of all its
    words, and a text without words has none.
    """

    hash_s: "NDArray[np.uint64]"
    start_n: "NDArray[np.int64]"

    def __len__(self) -> int:
        return len(self.start_n) - 1


def shingles_of(texts: "pl.Series", n: int) -> Shingles:
    """Runs of `n` words of each text, hashed (repeated ones stay)."""
    import polars as pl

    lists = words_of(texts).fill_null(pl.Series([[]], dtype=pl.List(pl.String)))
    length_n = lists.list.len().to_numpy().astype(np.int64)
    hash_w = _word_hashes(lists.explode(empty_as_null=False, keep_nulls=False))
    first_n = np.concatenate(([0], np.cumsum(length_n)))
    count_n = np.where(length_n >= n, length_n - n + 1, np.minimum(length_n, 1))
    start_n = np.concatenate(([0], np.cumsum(count_n)))
    # Place of each shingle's first word: the text's first word, and how far into the text it is.
    text_s = np.repeat(np.arange(len(length_n)), count_n)
    place_s = np.arange(start_n[-1]) - start_n[:-1][text_s] + first_n[:-1][text_s]
    end_s = first_n[1:][text_s]
    hash_s = np.zeros(len(place_s), dtype=np.uint64)
    padded = np.append(hash_w, np.uint64(0))
    for step in range(n):
        at = place_s + step
        # Past the end of a short text there is nothing to add; no word hashes to 0 but by a chance of 2**-64.
        hash_s = hash_s * FACTOR + padded[np.where(at < end_s, at, len(hash_w))]
    return Shingles(hash_s=mix(hash_s), start_n=start_n)


def _word_hashes(words: "pl.Series") -> "NDArray[np.uint64]":
    # Polars' hash tells equal words apart fast, but only this process knows it; BLAKE3's is the same everywhere.
    _, first, inverse = np.unique(words.hash().to_numpy(), return_index=True, return_inverse=True)
    digests = b"".join(blake3(word.encode()).digest(length=8) for word in words.gather(first).to_list())
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)[inverse]


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageParams:
    """`language`: its English name, in lower case."""

    language: str = "english"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWordParams:
    """`language` of the package's list (its English name), words to drop as well, and words to `keep`."""

    language: str = "english"
    also: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


def _drop_stop_words(params: StopWordParams) -> Rewrite:
    try:
        import stop_words
    except ModuleNotFoundError:
        raise MissingExtraError.of("The step 'drop_stop_words'", "text", "stop_words") from None
    if params.language not in stop_words.AVAILABLE_LANGUAGES:
        raise ValueError(f"there are stop words for {', '.join(sorted(stop_words.AVAILABLE_LANGUAGES))}")
    listed = {word.lower() for word in [*stop_words.get_stop_words(params.language), *params.also]}
    dropped = sorted(listed - {word.lower() for word in params.keep})

    def rewrite(texts: "pl.Series") -> "pl.Series":
        import polars as pl

        lists = words_of(texts).alias("words").to_frame()
        kept = pl.col("words").list.filter(~pl.element().is_in(dropped))
        return lists.select(kept.list.join(" ")).to_series()

    return rewrite


def _stem(params: LanguageParams) -> Rewrite:
    try:
        import Stemmer
    except ModuleNotFoundError:
        raise MissingExtraError.of("The step 'stem'", "text", "Stemmer") from None
    if params.language not in Stemmer.algorithms():
        raise ValueError(f"there are Snowball stemmers for {', '.join(Stemmer.algorithms())}")
    stemmer = Stemmer.Stemmer(params.language)

    def rewrite(texts: "pl.Series") -> "pl.Series":
        import polars as pl

        lists = words_of(texts)
        distinct = lists.explode(empty_as_null=False, keep_nulls=False).unique()
        stems = pl.Series(stemmer.stemWords(distinct.to_list()), dtype=pl.String)
        replaced = pl.col("words").list.eval(pl.element().replace_strict(distinct, stems, return_dtype=pl.String))
        return lists.alias("words").to_frame().select(replaced.list.join(" ")).to_series()

    return rewrite


drop_stop_words = TextStep(
    name="drop_stop_words", version=1, make=_drop_stop_words, params=StopWordParams, requires=("stop-words",)
)
"""The words of each text but the stop words, in lower case."""
stem = TextStep(name="stem", version=1, make=_stem, params=LanguageParams, requires=("PyStemmer",))
"""The Snowball stem of each word (M. F. Porter 2001, "Snowball: a language for stemming algorithms")."""
