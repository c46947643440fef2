"""Texts as weighted terms: word and character n-grams, TF-IDF.

Terms are counted once; a vectoriser for any subset of the rows (training alone, then training and
validation together) is cut out of the same counts.

Source: G. Salton, C. Buckley (1988), "Term-weighting approaches in automatic text retrieval"; the
logarithmic term frequency and smoothed inverse document frequency as in scikit-learn's `TfidfVectorizer`.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.protocols import Progress
from bakeoff.core.types import Column
from bakeoff.families.features.columns import of_kind
from bakeoff.families.features.columns import texts as column_texts
from bakeoff.families.saved import Array

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ANALYZERS", "Analyzer", "TermCounts", "Vectorizer"]

Sparse: TypeAlias = Any  # scipy's csr_array: (n, terms)
_Floats: TypeAlias = NDArray[np.float64]

MOST_REMEMBERED = 50_000
"""Words whose terms a vectoriser remembers for single rows."""
TOKEN = re.compile(r"\w+|[!?]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyzer:
    """Cuts a text into terms: n-grams of words, or of characters inside words (padded by a space)."""

    unit: Literal["word", "char"]
    low: int
    high: int
    max_chars: int = 20_000
    """What a text has beyond this many characters is not read."""

    def pieces(self, text: str) -> Iterable[str]:
        """What terms never cross: a whole text when they are of words, each padded word when of characters."""
        text = unicodedata.normalize("NFKD", text[: self.max_chars].lower())
        if not text.isascii():
            text = "".join(c for c in text if not unicodedata.combining(c))
        return (text,) if self.unit == "word" else text.split()

    def terms(self, text: str) -> Iterator[str]:
        """The terms of a text, with repetitions; case and accents do not count."""
        return (term for piece in self.pieces(text) for term in self.terms_of(piece))

    def terms_of(self, piece: str) -> Iterator[str]:
        """The terms of a piece."""
        return self._words(piece) if self.unit == "word" else self._characters(f" {piece} ")

    def _words(self, text: str) -> Iterator[str]:
        tokens = TOKEN.findall(text)
        for n in range(self.low, self.high + 1):
            for start in range(len(tokens) - n + 1):
                yield " ".join(tokens[start : start + n])

    def _characters(self, padded: str) -> Iterator[str]:
        for n in range(self.low, self.high + 1):
            if n >= len(padded):  # a short word is one term, once
                yield padded
                break
            for start in range(len(padded) - n + 1):
                yield padded[start : start + n]


ANALYZERS = (Analyzer(unit="word", low=1, high=2), Analyzer(unit="char", low=3, high=6))


@dataclass(frozen=True, slots=True, kw_only=True)
class TermCounts:
    """How often each term stands in each text: counts (n, terms)."""

    analyzer: Analyzer
    terms: tuple[str, ...]
    counts: Sparse

    @classmethod
    def of(cls, texts: Sequence[str], analyzer: Analyzer) -> "TermCounts":
        """Count all terms of all texts."""
        index: dict[str, int] = {}
        counts = _count(texts, analyzer, index, grow=True)
        return cls(analyzer=analyzer, terms=tuple(index), counts=counts)

    @classmethod
    def of_columns(
        cls, table: "pl.DataFrame", columns: Sequence[Column], progress: Progress
    ) -> list[tuple[str, "TermCounts"]]:
        """Those of each column of texts, cut in each of the ways of `ANALYZERS`."""
        counts: list[tuple[str, TermCounts]] = []
        for column in of_kind(columns, "text"):
            progress(f"counting terms of {column.name!r}")
            read = column_texts(table, column.name)
            counts += [(column.name, cls.of(read, analyzer)) for analyzer in ANALYZERS]
        return counts

    def vectorizer(self, rows: NDArray[np.int64], *, min_rows: int, most: int) -> tuple["Vectorizer", Sparse]:
        """A vectoriser fitted on some rows, and those rows weighted by it.

        Terms of fewer than `min_rows` rows are left out (unless that leaves none), and of more than
        `most` terms the rarest.
        """
        counts = self.counts[rows]
        seen_in = np.bincount(counts.indices, minlength=len(self.terms))
        kept = np.flatnonzero(seen_in >= min_rows)
        if not len(kept):
            kept = np.flatnonzero(seen_in)
        if len(kept) > most:
            kept = kept[np.argsort(-seen_in[kept], kind="stable")[:most]]
        kept = np.array(sorted(kept, key=self.terms.__getitem__), dtype=np.int64)
        idf = np.log((1 + len(rows)) / (1 + seen_in[kept])) + 1
        vectorizer = Vectorizer(analyzer=self.analyzer, terms=tuple(self.terms[i] for i in kept), idf=idf)
        return vectorizer, vectorizer.weigh(counts[:, kept])


@dataclass(frozen=True, kw_only=True)
class Vectorizer:
    """Texts → rows of TF-IDF weights of length 1 (or 0 when no term is known)."""

    analyzer: Analyzer
    terms: tuple[str, ...]
    idf: Array

    @cached_property
    def _index(self) -> dict[str, int]:
        return {term: i for i, term in enumerate(self.terms)}

    def __call__(self, texts: Sequence[str]) -> Sparse:
        """The weights (n, terms)."""
        return self.weigh(_count(texts, self.analyzer, self._index, grow=False))

    def of_row(self, text: str) -> tuple[NDArray[np.int64], _Floats]:
        """The places of a text's terms, rising, and their weights: a row of `__call__`."""
        counted = np.frombuffer(b"".join(map(self._places_of, self.analyzer.pieces(text))), dtype=np.intc)
        place_t, count_t = np.unique(counted.astype(np.int64), return_counts=True)
        return place_t, _weighed((1 + np.log(count_t.astype(np.float64))) * self.idf[place_t])

    @cached_property
    def _memory(self) -> dict[str, bytes]:
        return {}

    def _places_of(self, piece: str) -> bytes:
        """The places of a piece's terms; those of words are remembered, which come again and again."""
        if self.analyzer.unit == "word":
            return array("i", _places(self.analyzer.terms_of(piece), self._index, grow=False)).tobytes()
        places = self._memory.get(piece)
        if places is None:
            places = array("i", _places(self.analyzer.terms_of(piece), self._index, grow=False)).tobytes()
            if len(self._memory) >= MOST_REMEMBERED:
                self._memory.clear()
            self._memory[piece] = places
        return places

    def places(self, text: str) -> Iterator[tuple[str, int]]:
        """Each term of a text that is known, as often as it stands there: the word that it is of, and its position.

        Of terms that are words (or several), it is the term; of characters, the word that they stand in.
        """
        for piece in self.analyzer.pieces(text):
            word = _word(piece) if self.analyzer.unit == "char" else ""
            for term in self.analyzer.terms_of(piece):
                if (position := self._index.get(term)) is not None:
                    yield word or term, position

    def weigh(self, counts: Sparse) -> Sparse:
        """Weights of counted terms: (1 + log count) · idf, each row scaled to length 1."""
        weights = counts.copy()
        weights.sort_indices()  # one order of summation, so that equal rows give equal bits
        weights.data = (1 + np.log(weights.data)) * self.idf[weights.indices]
        lengths = np.sqrt(np.add.reduceat(np.append(weights.data**2, 0.0), weights.indptr[:-1]))
        filled = np.diff(weights.indptr)
        weights.data /= np.repeat(lengths, filled)
        return weights


def _weighed(weight_t: _Floats) -> _Floats:
    """One row's weights, scaled to length 1 as `Vectorizer.weigh` does it, to the last bit."""
    if not len(weight_t):
        return weight_t
    return weight_t / np.sqrt(np.add.reduceat(np.append(weight_t**2, 0.0), [0]))


def _word(piece: str) -> str:
    """A piece of a text as the word that word terms know: without the marks around it, if it is one word."""
    words = [each for each in TOKEN.findall(piece) if each not in "!?"]
    return words[0] if len(words) == 1 else piece


def _count(texts: Sequence[str], analyzer: Analyzer, index: dict[str, int], *, grow: bool) -> Sparse:
    """Counts of terms (n, terms); a term that is not in the index joins it (`grow`) or is left out."""
    import scipy.sparse as sp

    known: dict[str, list[int]] = {}  # words come again and again, with the same terms
    indices, starts = array("i"), array("i", [0])
    for text in texts:
        for piece in analyzer.pieces(text):
            places = known.get(piece)
            if places is None:
                places = _places(analyzer.terms_of(piece), index, grow=grow)
                if analyzer.unit == "char":
                    known[piece] = places
            indices.extend(places)
        starts.append(len(indices))
    counts = sp.csr_array((np.ones(len(indices)), np.array(indices), np.array(starts)), shape=(len(texts), len(index)))
    counts.sum_duplicates()
    return counts


def _places(terms: Iterable[str], index: dict[str, int], *, grow: bool) -> list[int]:
    if grow:
        return [index.setdefault(term, len(index)) for term in terms]
    return [place for term in terms if (place := index.get(term)) is not None]
