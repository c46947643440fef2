"""MinHash signatures of texts and the pairs that locality-sensitive hashing proposes.

Sources: Broder 1997, "On the resemblance and containment of documents" (the share of equal minima estimates
the Jaccard similarity of the sets); Leskovec, Rajaraman, Ullman 2014, "Mining of Massive Datasets", §3.4 (a
pair of similarity s agrees in a whole band with chance 1 - (1 - s**rows) ** bands).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bakeoff.data.snapshot import mix
from bakeoff.prepare.text.words import Shingles, shingles_of

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Buckets", "MinHashParams", "band_keys", "buckets", "minima", "signatures"]

BLOCK_TEXTS = 512  # a block's shingles stay in the processor's cache
FACTOR = np.uint64(0x9E3779B97F4A7C15)
NOTHING = np.iinfo(np.uint32).max


@dataclass(frozen=True, slots=True, kw_only=True)
class MinHashParams:
    """How near two texts must be to count as duplicates, and how that is found.

    `threshold`: the least Jaccard similarity of their sets of runs of `words` words (characters, where a script
    writes no space between words); every pair is compared by these sets themselves. `bands` of `rows` hashes each
    propose the pairs: 20 × 6 propose one of similarity 0.8 with a chance of 0.998. With a threshold of 0 whatever
    shares a band is a pair.
    `linkage`: "star" drops a text only when it is near one that stays; "chain" also when it is near a dropped one,
    so that the ends of a chain may share nothing.
    `signs_below`: texts of fewer words are near only when their numbers, negations and signs ("C#", "<", ":(") are
    the same.
    """

    threshold: float = 0.8
    words: int = 3
    bands: int = 20
    rows: int = 6
    seed: int = 0
    linkage: Literal["star", "chain"] = "star"
    signs_below: int = 50

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1 or min(self.words, self.bands, self.rows) < 1 or self.seed < 0:
            raise ValueError(f"threshold is in [0, 1], words, bands and rows are at least 1; received {self}")
        if self.signs_below < 0:
            raise ValueError(f"signs_below is at least 0; received {self.signs_below}")

    @property
    def hashes(self) -> int:
        """Length of a signature."""
        return self.bands * self.rows

    @property
    def compares(self) -> bool:
        """Whether a pair that shares a band may still be refused."""
        return self.threshold > 0


def signatures(texts: "pl.Series", params: MinHashParams) -> "NDArray[np.uint32]":
    """Signatures (n, bands × rows) of texts; each row depends on its text and the parameters alone.

    A text without words has a row of 2**32 - 1.
    """
    return minima(shingles_of(texts, params.words), params)


def minima(shingles: Shingles, params: MinHashParams) -> "NDArray[np.uint32]":
    """The least hash of each text's shingles under each of the hash functions.

    Function j maps a shingle's upper 32 bits x to (a_j x + b_j) mod 2**32 with a_j odd (a bijection).
    """
    factors, offsets = _functions(params)
    shingle_s = (shingles.hash_s >> np.uint64(32)).astype(np.uint32)
    found = np.full((len(factors), len(shingles)), NOTHING, dtype=np.uint32)
    told = np.flatnonzero(np.diff(shingles.start_n))
    for block in np.array_split(told, max(1, -(-len(told) // BLOCK_TEXTS))):
        if not len(block):
            continue
        low, high = shingles.start_n[block[0]], shingles.start_n[block[-1] + 1]
        part, starts = shingle_s[low:high], shingles.start_n[block] - low
        hashed = np.empty_like(part)
        for j, (factor, offset) in enumerate(zip(factors, offsets, strict=True)):
            np.multiply(part, factor, out=hashed)
            np.add(hashed, offset, out=hashed)
            found[j, block] = np.minimum.reduceat(hashed, starts)
    return np.ascontiguousarray(found.T)


def _functions(params: MinHashParams) -> "tuple[NDArray[np.uint32], NDArray[np.uint32]]":
    counted = np.arange(2 * params.hashes, dtype=np.uint64) + (np.uint64(params.seed) << np.uint64(20))
    drawn = (mix(counted) >> np.uint64(32)).astype(np.uint32)
    return drawn[: params.hashes] | np.uint32(1), drawn[params.hashes :]


def band_keys(signature_nk: "NDArray[np.uint32]", params: MinHashParams) -> "NDArray[np.uint64]":
    """A key of each band (bands, n)."""
    columns_kn = signature_nk.T.astype(np.uint64, order="C")
    key_bn = np.zeros((params.bands, len(signature_nk)), dtype=np.uint64)
    for column, hash_n in enumerate(columns_kn):
        band = column // params.rows
        key_bn[band] = mix(key_bn[band] * FACTOR + hash_n)
    return key_bn


def buckets(key_n: "NDArray[np.uint64]") -> "Buckets":
    """The rows that share a band's key with another row."""
    order = np.argsort(key_n, kind="stable")
    changes = key_n[order][1:] != key_n[order][:-1]
    bucket = np.concatenate(([0], np.cumsum(changes)))
    many = (np.bincount(bucket) > 1)[bucket] if len(order) else np.zeros(0, dtype=bool)
    return Buckets(row_m=order[many], bucket_m=bucket[many] if len(order) else bucket[:0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """Rows that may be near each other: those with one number in `bucket_m`, which ascends."""

    row_m: "NDArray[np.int64]"
    bucket_m: "NDArray[np.int64]"
