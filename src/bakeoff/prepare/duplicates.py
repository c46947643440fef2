"""Near-duplicates: clusters of texts, the step that keeps one of each, and groups for splits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.types import Schema
from bakeoff.prepare.comparing import Known, RowKeys, firsts
from bakeoff.prepare.minhash import Buckets, MinHashParams, band_keys, buckets, signatures
from bakeoff.prepare.rows import RowStep, texts_of
from bakeoff.prepare.steps import Apply

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Cluster", "cluster", "clusters", "drop_near_duplicates", "near_duplicate_groups", "row_keys"]

COMPARED = 16_384  # pairs whose signatures are compared at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Rows (ascending) that are near-duplicates of each other, directly or through others."""

    rows: tuple[int, ...]


def near_duplicate_groups(texts: "pl.Series", params: MinHashParams | None = None) -> "NDArray[np.int64]":
    """A group for each row: the first row of its cluster, its own number when it has no near-duplicate.

    Rows of one group must not stand on two sides of a split.
    """
    chosen = params or MinHashParams()
    return cluster(row_keys(signatures(texts, chosen), chosen), chosen)


def row_keys(signature_nk: "NDArray[np.uint32]", params: MinHashParams) -> RowKeys:
    """What `cluster` needs to know of rows with these signatures."""
    evidence_nk = signature_nk if params.compares else signature_nk[:, :0]
    return RowKeys(key_cn=band_keys(signature_nk, params), evidence_nk=evidence_nk)


def cluster(known: Known, params: MinHashParams) -> "NDArray[np.int64]":
    """Groups of rows (of all parts of a corpus, one below the other).

    Two rows are near when they agree in a whole band and in `least_agreement` of all hashes; a group is what
    is connected by that. The result is exactly that of comparing all pairs (but for a chance of 2**-64 for each).
    """
    whole_n = known.key(0)
    groups = np.arange(len(whole_n), dtype=np.int64)
    told = np.flatnonzero(whole_n)
    if not len(told):
        return groups
    # Equal signatures are one row from here on: a text that came a thousand times is compared once.
    _, first, inverse = np.unique(whole_n[told], return_index=True, return_inverse=True)
    row_d = told[first]
    label_d = np.arange(len(row_d))
    for band in range(params.bands):
        found = buckets(known.key(1 + band)[row_d])
        label_d = _joined(known, row_d, found, label_d, params)
    least_d = np.full(len(row_d), len(groups), dtype=np.int64)
    np.minimum.at(least_d, label_d, row_d)
    groups[told] = least_d[label_d[inverse]]
    return groups


def _joined(
    known: Known,
    row_d: "NDArray[np.int64]",
    found: Buckets,
    label_d: "NDArray[np.int64]",
    params: MinHashParams,
) -> "NDArray[np.int64]":
    """Labels after joining the near rows of each bucket; pairs that are already joined are not compared."""
    row_m, bucket_m, apart = found.row_m, found.bucket_m, 1
    while len(row_m) > apart:
        place = np.flatnonzero(bucket_m[apart:] == bucket_m[:-apart])
        left, right = row_m[place], row_m[place + apart]
        open_p = label_d[left] != label_d[right]
        left, right = left[open_p], right[open_p]
        near = _near(known, row_d[left], row_d[right], params)
        label_d = _components(label_d, left[near], right[near])
        # A bucket is done when all its rows are joined, or too small for rows farther apart.
        starts = np.flatnonzero(np.concatenate(([True], bucket_m[1:] != bucket_m[:-1])))
        sizes = np.diff(np.append(starts, len(bucket_m)))
        label_m = label_d[row_m]
        split = np.minimum.reduceat(label_m, starts) != np.maximum.reduceat(label_m, starts)
        go_on = np.repeat(split & (sizes > apart + 1), sizes)
        row_m, bucket_m, apart = row_m[go_on], bucket_m[go_on], apart + 1
    return label_d


def _near(
    known: Known, left: "NDArray[np.int64]", right: "NDArray[np.int64]", params: MinHashParams
) -> "NDArray[np.bool_]":
    near = np.ones(len(left), dtype=bool)
    if not params.compares:
        return near
    for start in range(0, len(left), COMPARED):
        part = slice(start, start + COMPARED)
        agreed = known.evidence(left[part]) == known.evidence(right[part])
        near[part] = agreed.mean(axis=1) >= params.least_agreement
    return near


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
        """The signature of each row's text, and keys of it and of its bands."""
        texts = texts_of(table, schema)
        assert texts is not None
        return row_keys(signatures(texts, self.params), self.params)

    def groups(self, known: Known) -> "NDArray[np.int64]":
        """Rows that are near, directly or through others."""
        return cluster(known, self.params)


def _drop_near_duplicates(params: MinHashParams) -> Apply:
    return _NearDuplicates(params)


drop_near_duplicates = RowStep(
    name="drop_near_duplicates",
    version=1,
    make=_drop_near_duplicates,
    params=MinHashParams,
    requires=("numpy", "scipy"),
)
"""Of rows whose texts are near-duplicates, the first; labels are not looked at."""
