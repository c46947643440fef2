"""Near-duplicates: clusters of texts, the step that keeps one of each, and groups for splits."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np
from blake3 import blake3

from bakeoff.core.types import Schema
from bakeoff.data.snapshot import mix
from bakeoff.prepare.rows.comparison import Known, RowKeys, Sets, firsts
from bakeoff.prepare.rows.duplicates import RowStep, texts_of
from bakeoff.prepare.rows.minhash import Buckets, MinHashParams, band_keys, buckets, minima
from bakeoff.prepare.steps import Apply
from bakeoff.prepare.text.negations import NEGATION_WORD
from bakeoff.prepare.text.words import Shingles, shingles_of, units_of

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Cluster", "cluster", "clusters", "drop_near_duplicates", "near_duplicate_groups", "row_keys", "stars"]

FEW_PAIRS = 8  # so few are compared sooner one by one
COMPARED = 2048  # pairs whose sets are compared at once
MOST_WORD_BYTES = 40  # so long that a text of as many bytes for each word is surely not short
SET_BITS = 30  # of a shingle's hash: two runs among a thousand of each of two texts agree by chance once in 1,000 pairs
# What a short text says beside its words: numbers with their sign, signs (of emoticons, code, comparisons), negations.
SIGN = (
    r"(?:^|[\s(\[=<>,:])[-−+±]\p{N}[\p{N}.,]*|\b\p{N}+(?:[.,:/]\p{N}+)*\b"
    r"|[:;=8xX][-o'^]?[()\[\]{}DPp/\\|3>*]+|[)(]-?[:;=]|</?3|\^_*\^|!=+|[?#@&%\\/*~^|_]+|\p{S}+"
    rf"|(?i:\b(?:{NEGATION_WORD})\b|n['’]t\b)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Rows (ascending) that are near-duplicates: of the first one, or ("chain") directly or through others."""

    rows: tuple[int, ...]


def near_duplicate_groups(texts: "pl.Series", params: MinHashParams | None = None) -> "NDArray[np.int64]":
    """A group for each row: the first row of its cluster, its own number when it has no near-duplicate."""
    chosen = params or MinHashParams()
    return cluster(row_keys(texts, chosen), chosen)


def row_keys(texts: "pl.Series", params: MinHashParams) -> RowKeys:
    """Keys of texts (2 + bands, n): of all that counts (0 without words), of each band, and of their signs.

    The last is 0 for texts that are not short.
    """
    shingles = shingles_of(texts, params.words)
    sign_n = _signs(texts, params.signs_below)
    key_bn = band_keys(minima(shingles, params), params)
    members = _sets(shingles) if params.compares else Sets.empty(len(texts))
    return RowKeys(key_cn=np.vstack([_whole(shingles, sign_n), key_bn, sign_n]), members=members)


def _whole(shingles: Shingles, sign_n: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    """A key of all runs, in any order, and of the signs; 0 without runs."""
    sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(mix(shingles.hash_s), dtype=np.uint64)))
    whole_n = sums[shingles.start_n[1:]] - sums[shingles.start_n[:-1]]  # modulo 2**64
    return np.where(np.diff(shingles.start_n) > 0, mix(whole_n ^ mix(sign_n)) | np.uint64(1), np.uint64(0))


def _signs(texts: "pl.Series", signs_below: int) -> "NDArray[np.uint64]":
    """A key of the numbers, signs and negations of each short text; 0 for the others."""
    import polars as pl

    key_n = np.zeros(len(texts), dtype=np.uint64)
    is_short = texts.str.len_bytes().fill_null(0) < signs_below * MOST_WORD_BYTES
    short, places = texts.filter(is_short), is_short.arg_true().to_numpy()
    few = (units_of(short).list.len().fill_null(0) < signs_below).to_numpy()
    signs = short.filter(pl.Series(few)).str.extract_all(SIGN).list.eval(pl.element().str.strip_chars())
    told = signs.list.join(" ").str.to_lowercase().fill_null("").to_list()
    key_n[places[few]] = [int.from_bytes(blake3(text.encode()).digest(length=8), "little") | 1 for text in told]
    return key_n


def _sets(shingles: Shingles) -> Sets:
    return Sets(member_s=(shingles.hash_s >> np.uint64(64 - SET_BITS)).astype(np.int32), start_n=shingles.start_n)


def cluster(known: Known, params: MinHashParams) -> "NDArray[np.int64]":
    """Groups of rows (of all parts of a corpus, one below the other).

    Two rows are near when they agree in a whole band, their sets of runs have at least the threshold's similarity and
    their signs agree, where both are short. With linkage "star" rows are looked at in order: one that is near a row
    that stays goes to the group of the most similar of them (and so do its copies), any other stays. With "chain" a
    group is what is connected. The result is exactly that of comparing all pairs (but for a chance of 2**-64 for each).
    """
    whole_n = known.key(0)
    groups = np.arange(len(whole_n), dtype=np.int64)
    worded = np.flatnonzero(whole_n)
    if not len(worded):
        return groups
    # Equal texts are one row from here on: one that came a thousand times is compared once.
    _, first, inverse = np.unique(whole_n[worded], return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    row_d = worded[first[order]]
    pairs = _Pairs(known=known, row_d=row_d, sign_d=known.key(1 + params.bands)[row_d], params=params)
    head_d = stars(pairs, params.bands) if params.linkage == "star" else _chains(pairs)
    groups[worded] = row_d[head_d[rank[inverse]]]
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Distinct rows, in order, and how near two of them are."""

    known: Known
    row_d: "NDArray[np.int64]"
    sign_d: "NDArray[np.uint64]"
    params: MinHashParams

    def buckets(self, band: int) -> Buckets:
        """The rows that share a band's key with another."""
        return buckets(self.known.key(1 + band)[self.row_d])

    def similarity(self, left: "NDArray[np.int64]", right: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """The Jaccard similarity of pairs of rows; -1 for those that are not near."""
        sign_l, sign_r = self.sign_d[left], self.sign_d[right]
        similarity_p = np.where((sign_l == sign_r) | (sign_l == 0) | (sign_r == 0), 1.0, -1.0)
        for start in range(0, len(left), COMPARED) if self.params.compares else ():
            part = slice(start, start + COMPARED)
            jaccard = self._jaccard(left[part], right[part])
            similarity_p[part] = np.where(jaccard >= self.params.threshold, similarity_p[part] * jaccard, -1.0)
        return similarity_p

    def _jaccard(self, left: "NDArray[np.int64]", right: "NDArray[np.int64]") -> "NDArray[np.float64]":
        from scipy.sparse import csr_array

        rows, place = np.unique(np.concatenate((left, right)), return_inverse=True)
        sets = self.known.sets(self.row_d[rows])
        if len(left) <= FEW_PAIRS:
            members = [np.unique(sets.member_s[a:b]) for a, b in pairwise(sets.start_n.tolist())]
            couples = [(members[i], members[j]) for i, j in place.reshape(2, -1).T.tolist()]
            shared = np.array([len(np.intersect1d(one, other, assume_unique=True)) for one, other in couples])
            return shared / (np.array([len(one) + len(other) for one, other in couples]) - shared)
        ones = np.ones(len(sets.member_s), dtype=np.int32)
        table = csr_array((ones, sets.member_s, sets.start_n.astype(np.int32)), shape=(len(rows), 2**SET_BITS))
        table.sum_duplicates()
        table.data[:] = 1
        one, other = place[: len(left)], place[len(left) :]
        shared = np.asarray(table[one].multiply(table[other]).sum(axis=1)).ravel()
        size_r = np.diff(table.indptr)
        return shared / (size_r[one] + size_r[other] - shared)


class Pairs(Protocol):
    """Rows that share a band's key, and how near two rows are (-1: not near)."""

    @property
    def row_d(self) -> "NDArray[np.int64]":
        """The rows, in order."""
        ...

    def buckets(self, band: int) -> Buckets:
        """The rows that share a band's key with another."""
        ...

    def similarity(self, left: "NDArray[np.int64]", right: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """Of pairs of rows."""
        ...


def stars(pairs: Pairs, bands: int) -> "NDArray[np.int64]":
    """For each row the one that stays for it: itself, or the most similar one before it that stays."""
    members = [(found.row_m, found.bucket_m) for found in map(pairs.buckets, range(bands))]
    base_b = np.cumsum([0, *(int(bucket_m[-1]) + 1 if len(bucket_m) else 0 for _, bucket_m in members)])
    row_m = np.concatenate([row for row, _ in members])
    bucket_m = np.concatenate([bucket + base for (_, bucket), base in zip(members, base_b[:-1], strict=True)])
    order = np.argsort(row_m, kind="stable")
    row_m, bucket_m = row_m[order], bucket_m[order]
    head_d = np.arange(len(pairs.row_d))
    if not len(row_m):
        return head_d
    cuts = np.flatnonzero(np.concatenate(([True], row_m[1:] != row_m[:-1])))
    staying: dict[int, list[int]] = {}
    for start, end in zip(cuts.tolist(), [*cuts[1:].tolist(), len(row_m)], strict=True):
        row, shared = int(row_m[start]), bucket_m[start:end].tolist()
        near = sorted({other for bucket in shared for other in staying.get(bucket, ())})
        if near:
            similarity = pairs.similarity(np.full(len(near), row), np.array(near))
            best = int(np.argmax(similarity))
            if similarity[best] >= 0:
                head_d[row] = near[best]
                continue
        for bucket in shared:
            staying.setdefault(bucket, []).append(row)
    return head_d


def _chains(pairs: _Pairs) -> "NDArray[np.int64]":
    """For each row the first of those that are connected to it."""
    label_d = np.arange(len(pairs.row_d))
    for band in range(pairs.params.bands):
        label_d = _joined(pairs, pairs.buckets(band), label_d)
    least_d = np.full(len(label_d), len(label_d), dtype=np.int64)
    np.minimum.at(least_d, label_d, np.arange(len(label_d)))
    return least_d[label_d]


def _joined(pairs: _Pairs, found: Buckets, label_d: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Labels after joining the near rows of each bucket; pairs that are already joined are not compared."""
    row_m, bucket_m, apart = found.row_m, found.bucket_m, 1
    while len(row_m) > apart:
        place = np.flatnonzero(bucket_m[apart:] == bucket_m[:-apart])
        left, right = row_m[place], row_m[place + apart]
        open_p = label_d[left] != label_d[right]
        left, right = left[open_p], right[open_p]
        near = pairs.similarity(left, right) >= 0
        label_d = _components(label_d, left[near], right[near])
        # A bucket is done when all its rows are joined, or too small for rows farther apart.
        starts = np.flatnonzero(np.concatenate(([True], bucket_m[1:] != bucket_m[:-1])))
        sizes = np.diff(np.append(starts, len(bucket_m)))
        label_m = label_d[row_m]
        split = np.minimum.reduceat(label_m, starts) != np.maximum.reduceat(label_m, starts)
        go_on = np.repeat(split & (sizes > apart + 1), sizes)
        row_m, bucket_m, apart = row_m[go_on], bucket_m[go_on], apart + 1
    return label_d


def _components(
    label_n: "NDArray[np.int64]", left: "NDArray[np.int64]", right: "NDArray[np.int64]"
) -> "NDArray[np.int64]":
    if not len(left):
        return label_n
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(label_n)
    edges = coo_array((np.ones(len(left), dtype=bool), (label_n[left], label_n[right])), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    return component[label_n].astype(np.int64)


def clusters(groups: "NDArray[np.int64]") -> tuple[Cluster, ...]:
    """The clusters of two or more rows, the largest first (then by first row): what a person should look at."""
    order = np.argsort(groups, kind="stable")
    cuts = np.flatnonzero(groups[order][1:] != groups[order][:-1]) + 1
    parts = [part for part in np.split(order, cuts) if len(part) > 1]
    parts.sort(key=lambda part: (-len(part), int(part[0])))
    return tuple(Cluster(rows=tuple(part.tolist())) for part in parts)


@dataclass(frozen=True, slots=True)
class _NearDuplicates:
    """Of rows whose texts are near-duplicates, the first."""

    params: MinHashParams

    def __call__(self, table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        if texts_of(table, schema) is None:
            return table
        return table.filter(firsts(self.groups(self.keys(table, schema))))

    def keys(self, table: "pl.DataFrame", schema: Schema) -> RowKeys:
        """Keys of each row's text, and the set of its runs."""
        texts = texts_of(table, schema)
        assert texts is not None
        return row_keys(texts, self.params)

    def groups(self, known: Known) -> "NDArray[np.int64]":
        """Each row's text that stays for it."""
        return cluster(known, self.params)


def _drop_near_duplicates(params: MinHashParams) -> Apply:
    return _NearDuplicates(params)


drop_near_duplicates = RowStep(
    name="drop_near_duplicates",
    version=3,
    make=_drop_near_duplicates,
    params=MinHashParams,
    requires=("numpy", "scipy"),
)
"""Rows whose text is near none that stays before it; labels are not looked at."""
