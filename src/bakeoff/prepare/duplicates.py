"""Near-duplicates: clusters of texts, the step that keeps one of each, and groups for splits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.types import Schema
from bakeoff.prepare.minhash import Buckets, MinHashParams, buckets, signatures
from bakeoff.prepare.rows import RowStep, texts_of
from bakeoff.prepare.steps import Apply

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Cluster", "cluster", "clusters", "drop_near_duplicates", "near_duplicate_groups"]

COMPARED = 65_536  # pairs whose signatures are compared at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Rows (ascending) that are near-duplicates of each other, directly or through others."""

    rows: tuple[int, ...]


def near_duplicate_groups(texts: "pl.Series", params: MinHashParams | None = None) -> "NDArray[np.int64]":
    """A group for each row: the first row of its cluster, its own number when it has no near-duplicate.

    Rows of one group must not stand on two sides of a split.
    """
    chosen = params or MinHashParams()
    return cluster(signatures(texts, chosen), chosen)


def cluster(signature_nk: "NDArray[np.uint32]", params: MinHashParams) -> "NDArray[np.int64]":
    """Groups of signatures (of all chunks of a corpus, one below the other).

    Two rows are near when they agree in a whole band and in `least_agreement` of all hashes; a group is what
    is connected by that. The result is exactly that of comparing all pairs.
    """
    told = np.flatnonzero((signature_nk != np.iinfo(np.uint32).max).any(axis=1))
    groups = np.arange(len(signature_nk), dtype=np.int64)
    if not len(told):
        return groups
    # Equal signatures are one row from here on: a text that came a thousand times is compared once.
    distinct, first, inverse = np.unique(signature_nk[told], axis=0, return_index=True, return_inverse=True)
    del distinct
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    kept = signature_nk[told[first[order]]]
    label_d = np.arange(len(kept))
    for found in buckets(kept, params):
        label_d = _joined(kept, found, label_d, params.least_agreement)
    least = np.full(len(kept), len(groups), dtype=np.int64)
    np.minimum.at(least, label_d, told[first[order]])
    groups[told] = least[label_d[place[inverse.ravel()]]]
    return groups


def _joined(
    signature_nk: "NDArray[np.uint32]", found: Buckets, label_n: "NDArray[np.int64]", least: float
) -> "NDArray[np.int64]":
    """Labels after joining the near rows of each bucket; pairs that are already joined are not compared."""
    row_m, bucket_m, apart = found.row_m, found.bucket_m, 1
    while len(row_m) > apart:
        place = np.flatnonzero(bucket_m[apart:] == bucket_m[:-apart])
        left, right = row_m[place], row_m[place + apart]
        open_p = label_n[left] != label_n[right]
        near = _near(signature_nk, left[open_p], right[open_p], least)
        label_n = _components(label_n, left[open_p][near], right[open_p][near])
        # A bucket is done when all its rows are joined, or too small for rows farther apart.
        starts = np.flatnonzero(np.concatenate(([True], bucket_m[1:] != bucket_m[:-1])))
        sizes = np.diff(np.append(starts, len(bucket_m)))
        label_m = label_n[row_m]
        split = np.minimum.reduceat(label_m, starts) != np.maximum.reduceat(label_m, starts)
        go_on = np.repeat(split & (sizes > apart + 1), sizes)
        row_m, bucket_m, apart = row_m[go_on], bucket_m[go_on], apart + 1
    return label_n


def _near(
    signature_nk: "NDArray[np.uint32]", left: "NDArray[np.int64]", right: "NDArray[np.int64]", least: float
) -> "NDArray[np.bool_]":
    near = np.zeros(len(left), dtype=bool)
    for start in range(0, len(left), COMPARED):
        part = slice(start, start + COMPARED)
        near[part] = (signature_nk[left[part]] == signature_nk[right[part]]).mean(axis=1) >= least
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


def _drop_near_duplicates(params: MinHashParams) -> Apply:
    def first(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        texts = texts_of(table, schema)
        if texts is None:
            return table
        groups = near_duplicate_groups(texts, params)
        return table.filter(groups == np.arange(len(groups)))

    return first


drop_near_duplicates = RowStep(
    name="drop_near_duplicates",
    version=1,
    make=_drop_near_duplicates,
    params=MinHashParams,
    requires=("numpy", "scipy"),
)
"""Of rows whose texts are near-duplicates, the first; labels are not looked at."""
