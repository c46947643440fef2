"""Whether a column holds language, categories or ids: told from how varied its texts are and what they share."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.core import narrow
from bakeoff.core.scripts import UNSPACED

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Wording", "wording_of"]

TEXT_WORDS = 3.0
TEXT_CHARACTERS = 100.0
VARIED_SHARE = 0.3
VARIED_DISTINCT = 50
ID_SHARE = 0.95
ID_ROWS = 50
SHORT_WORDS = 1.5
UNSPACED_CHARACTERS = 5.0
SHARED_VALUES = 0.3
COMMON_SHARE = 0.6
SAMPLE = 2000
TOKEN = re.compile(r"(?<![^\W_])[^\W\d_]{3,}(?![^\W_])")
"""A word of letters alone; letters beside digits may be a part of a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What the texts of a column are like.

    Attributes:
        rows: Values that are present.
        distinct: How many of them are different.
        words: Words of a value, on average.
        characters: Characters of a value, on average.
        unspaced: Characters of scripts without blanks, of a value, on average.
        shared: The share of values with a word that other values have too, but not nearly all.
        lettered: The share of values of letters alone.
    """

    rows: int
    distinct: int
    words: float
    characters: float
    unspaced: float
    shared: float
    lettered: float

    @property
    def varied(self) -> bool:
        """Many different values."""
        return bool(self.rows) and (self.distinct / self.rows >= VARIED_SHARE or self.distinct >= VARIED_DISTINCT)

    @property
    def unique(self) -> bool:
        """Nearly every value is another."""
        return self.rows >= ID_ROWS and self.distinct > ID_SHARE * self.rows

    @property
    def language(self) -> bool:
        """Many different values of several words each, or long ones."""
        return self.varied and (self.words >= TEXT_WORDS or self.characters >= TEXT_CHARACTERS)

    @property
    def short_language(self) -> bool:
        """Short texts: different in most rows, in scripts without blanks, or of words that come again in others."""
        if self.rows < ID_ROWS or self.distinct < VARIED_SHARE * self.rows:
            return False
        if self.unspaced >= UNSPACED_CHARACTERS:
            return True
        if self.words >= SHORT_WORDS and self.shared >= SHARED_VALUES:
            return True
        return self.unique and (self.shared >= SHARED_VALUES or self.lettered >= ID_SHARE)

    def __str__(self) -> str:
        return (
            f"{self.distinct:,} different values in {self.rows:,} rows, {self.words:.1f} words "
            f"and {self.characters:.0f} characters each"
        )


def wording_of(present: "pl.Series") -> Wording:
    """The wording of a column's texts, none of them missing."""
    rows = len(present)
    if not rows:
        return Wording(rows=0, distinct=0, words=0, characters=0, unspaced=0, shared=0, lettered=0)
    distinct = present.n_unique()
    if distinct < VARIED_DISTINCT and distinct < VARIED_SHARE * rows:
        return Wording(rows=rows, distinct=distinct, words=0, characters=0, unspaced=0, shared=0, lettered=0)
    varied = distinct >= VARIED_SHARE * rows  # counting is for those that may be short texts
    sample = present.unique(maintain_order=True).gather_every(max(1, distinct // SAMPLE)) if varied else present[:0]
    return Wording(
        rows=rows,
        distinct=distinct,
        words=narrow.number((present.str.count_matches(r"\s+") + 1).mean()),
        characters=narrow.number(present.str.len_chars().mean()),
        unspaced=narrow.number(sample.str.count_matches(f"[{UNSPACED}]").mean() or 0.0),
        shared=_shared(sample.to_list()),
        lettered=narrow.number(sample.str.contains(r"^[\p{L}\p{M}'’. -]+$").mean() or 0.0),
    )


def _shared(values: list[str]) -> float:
    """The share of values that have a word of other values, but of no more than `COMMON_SHARE` of them."""
    if not values:
        return 0.0
    words = [frozenset(TOKEN.findall(value.casefold())) for value in values]
    counts: dict[str, int] = {}
    for some in words:
        for word in some:
            counts[word] = counts.get(word, 0) + 1
    most = COMMON_SHARE * len(values)
    telling = {word for word, count in counts.items() if 1 < count <= most}
    return sum(not telling.isdisjoint(some) for some in words) / len(values)
