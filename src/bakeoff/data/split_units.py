"""What a split keeps together: equal rows, rows of one group, near-duplicates, and what these connect."""

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from bakeoff.core.types import Schema
from bakeoff.data.snapshot import mix, row_hashes

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["By", "strata", "units"]

By: TypeAlias = Literal["random", "stratified", "group", "time"]


def units(
    table: "pl.DataFrame", schema: Schema, by: By, seed: int, *, near_n: "NDArray[np.int64] | None" = None
) -> "tuple[NDArray[np.uint64], NDArray[np.int64]]":
    """A key for each row, the same for rows that stay together, and the place of its class, the rarest first.

    When classes do not matter, all rows are of one.
    """
    content = row_hashes(table.select(*schema.inputs, schema.target))
    if by == "group":
        content = _group_hashes(table, schema, alone=content)
    if near_n is not None:
        content = _joined(content, near_n)
    keys = mix(content ^ mix(np.full(1, seed, dtype=np.uint64)))
    return keys, _by_rarity(table[schema.target]) if by == "stratified" else np.zeros(table.height, dtype=np.int64)


def strata(keys: "NDArray[np.uint64]", class_n: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """The class that each row counts for: the rarest of those that stay together with it."""
    if not class_n.any():
        return class_n
    _, unit_n = np.unique(keys, return_inverse=True)
    least_u = np.full(unit_n.max(initial=-1) + 1, len(class_n))
    np.minimum.at(least_u, unit_n, class_n)
    return least_u[unit_n]


def _group_hashes(table: "pl.DataFrame", schema: Schema, *, alone: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    """A hash of each row's group; a row without a group is a group of its own."""
    import polars as pl

    assert schema.group is not None
    group = table[schema.group]
    return np.where(group.is_null().to_numpy(), alone, row_hashes(pl.DataFrame({"group": group})))


def _joined(content: "NDArray[np.uint64]", near_n: "NDArray[np.int64]") -> "NDArray[np.uint64]":
    """The least content of all rows that are connected, by equal contents or by being near-duplicates."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    values, content_n = np.unique(content, return_inverse=True)
    groups, group_n = np.unique(near_n, return_inverse=True)
    size = len(values) + len(groups)
    edges = coo_array((np.ones(len(content), dtype=bool), (content_n, len(values) + group_n)), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    least = np.full(size, np.iinfo(np.uint64).max)
    np.minimum.at(least, component[: len(values)], values)
    return least[component[content_n]]


def _by_rarity(target: "pl.Series") -> "NDArray[np.int64]":
    """The place of each row's class among all classes, the rarest first."""
    import polars as pl

    _, class_n, rows_k = np.unique(target.cast(pl.String).to_numpy(), return_inverse=True, return_counts=True)
    place_k = np.empty(len(rows_k), dtype=np.int64)
    place_k[np.argsort(rows_k, kind="stable")] = np.arange(len(rows_k))
    return place_k[class_n]
