"""Words: tokenisation, stop words, stems, and the flat hashed form that duplicate search works on.

A word is a run of letters, digits and marks, with inner apostrophes; its hash follows from its characters
alone, so that chunks of a corpus, other machines and later releases agree.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from blake3 import blake3

from bakeoff.core.errors import MissingExtraError
from bakeoff.core.scripts import LETTER, UNSPACED_LETTER
from bakeoff.data.snapshot import mix
from bakeoff.prepare.text.cleaning import Rewrite, TextStep
from bakeoff.prepare.text.negations import NEGATIONS
from bakeoff.prepare.text.segments import parted

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Shingles", "drop_stop_words", "shingles_of", "stem", "units_of", "words_of"]

UNIT = rf"{UNSPACED_LETTER}|{LETTER}+(?:['’]{LETTER}+)*"
WORD = r"[\p{L}\p{N}\p{M}_]+(?:['’][\p{L}\p{N}\p{M}_]+)*"
TURKISH = str.maketrans({"I": "ı", "İ": "i"})
CONTENT_WORDS = frozenset(
    {
        *("amount", "bill", "bottom", "cry", "detail", "describe", "fill", "find", "fire", "found", "interest"),
        *("mill", "serious", "sincere", "system", "thick", "thin", "top"),
    }
)
LATIN_5 = str.maketrans("þýðÞÝÐ", "şığŞİĞ")
FACTOR = np.uint64(0x9E3779B97F4A7C15)


def words_of(texts: "pl.Series") -> "pl.Series":
    """The words of each text, in lower case, as lists; a run of a script without spaces is cut where ICU is there.

    >>> import polars as pl
    >>> words_of(pl.Series(["Don't panic: 42!", None])).to_list()
    [["don't", 'panic', '42'], None]
    """
    return parted(texts).str.to_lowercase().str.extract_all(WORD)


def units_of(texts: "pl.Series") -> "pl.Series":
    """What texts are compared by: words, and single characters where a script writes no space between words.

    Dictionaries would cut the words around one changed letter otherwise, and which are installed would decide what is
    a duplicate.

    >>> import polars as pl
    >>> units_of(pl.Series(["GPT模型 is good", None])).to_list()
    [['gpt', '模', '型', 'is', 'good'], None]
    """
    return texts.str.to_lowercase().str.extract_all(UNIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shingles:
    """Hashes of the runs of n words (see `units_of`) of each text, one after the other.

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

    lists = units_of(texts).fill_null(pl.Series([[]], dtype=pl.List(pl.String)))
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
    """`language` of the list (its English name), words to drop as well (`also`), and words to `keep`.

    `source`: "glasgow", the 318 English words of the University of Glasgow's list as scikit-learn has it, or
    "stop-words", the package's list of the language (for English 1,333 words, with many that carry meaning, such as
    "good" and "interesting"); "auto" takes the first for English and the second for others. Negations stay unless
    `negations` is true: "not good" is not "good". A text of stop words alone stays as it is.
    """

    language: str = "english"
    source: Literal["auto", "glasgow", "stop-words"] = "auto"
    negations: bool = False
    also: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


def _drop_stop_words(params: StopWordParams) -> Rewrite:
    # What a text writes with a curly apostrophe, or in the capitals of Turkish, is the same word.
    also, keep = ({_plain(word, params.language) for word in words} for words in (params.also, params.keep))
    kept_ones = keep | (set() if params.negations else NEGATIONS.get(params.language, frozenset()))
    dropped = sorted(({_plain(word, params.language) for word in _listed(params)} - kept_ones) | (also - keep))

    def rewrite(texts: "pl.Series") -> "pl.Series":
        import polars as pl

        words = _words_in(texts, params.language).alias("words")
        plain = pl.element().str.replace_all("’", "'", literal=True)
        left = pl.col("words").list.filter(~plain.is_in(dropped))
        some = left.list.len() > 0
        return words.to_frame().select(pl.when(some).then(left).otherwise("words").list.join(" ")).to_series()

    return rewrite


def _listed(params: StopWordParams) -> Iterable[str]:
    """The words of a list.

    Source of the English one: scikit-learn, after the Glasgow Information Retrieval Group; what such lists lack and
    hold: Nothman, Qin, Yurchak 2018, "Stop Word Lists in Free Open-source Software Packages", NLP-OSS.
    """
    if params.source == "glasgow" or (params.source == "auto" and params.language == "english"):
        if params.language != "english":
            raise ValueError(f"the list 'glasgow' is English; received {params.language!r}")
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        # These the list has from the texts that it was drawn from; they are no function words.
        return ENGLISH_STOP_WORDS - CONTENT_WORDS
    try:
        import stop_words
    except ModuleNotFoundError:
        raise MissingExtraError.of("The step 'drop_stop_words'", "text", "stop_words") from None
    if params.language not in stop_words.AVAILABLE_LANGUAGES:
        raise ValueError(f"there are stop words for {', '.join(sorted(stop_words.AVAILABLE_LANGUAGES))}")
    words = stop_words.get_stop_words(params.language)
    # The package reads its Turkish list with the wrong encoding.
    return [word.translate(LATIN_5) for word in words] if params.language == "turkish" else words


def _plain(word: str, language: str) -> str:
    return (word.translate(TURKISH) if language == "turkish" else word).lower().replace("’", "'")


def _words_in(texts: "pl.Series", language: str) -> "pl.Series":
    """Words in the lower case of a language: Turkish has a dotless I."""
    if language != "turkish":
        return words_of(texts)
    return words_of(texts.str.replace_all("I", "ı", literal=True).str.replace_all("İ", "i", literal=True))


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

        lists = _words_in(texts, params.language)
        distinct = lists.explode(empty_as_null=False, keep_nulls=False).unique()
        stems = pl.Series(stemmer.stemWords(distinct.to_list()), dtype=pl.String)
        replaced = pl.col("words").list.eval(pl.element().replace_strict(distinct, stems, return_dtype=pl.String))
        return lists.alias("words").to_frame().select(replaced.list.join(" ")).to_series()

    return rewrite


drop_stop_words = TextStep(
    name="drop_stop_words",
    version=2,
    make=_drop_stop_words,
    params=StopWordParams,
    requires=("scikit-learn", "stop-words", "icu4py"),
)
"""The words of each text but the stop words, in lower case."""
stem = TextStep(name="stem", version=2, make=_stem, params=LanguageParams, requires=("PyStemmer", "icu4py"))
"""The Snowball stem of each word (M. F. Porter 2001, "Snowball: a language for stemming algorithms")."""
