# pyright: basic
# scikit-learn comes without complete types
"""Trees as flat arrays, and the walk of many rows through all of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions
from bakeoff.families.saved import Array

__all__ = ["FlatTrees"]

_Floats: TypeAlias = NDArray[np.float64]

BLOCK = 400_000
"""Pairs of a row and a tree that walk together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatTrees:
    """The nodes of all trees, one after the other; the mean of the leaves that a row reaches is its answer.

    At a node, a row goes to `left_i` if its feature `column_i` is at most `limit_i`, else to the node after that. A
    leaf leads to itself, and has row `leaf_i` of `value_lk`: the shares of classes, or the mean of the numbers.
    """

    root_t: Array
    column_i: Array
    limit_i: Array
    left_i: Array
    leaf_i: Array
    value_lk: Array

    @classmethod
    def of(cls, trees: Sequence[Any], present: NDArray[np.int64], width: int) -> "FlatTrees":
        """Of scikit-learn's trees; `present` are the positions, of `width`, of the values in their leaves."""
        parts = [_flat(tree) for tree in trees]
        sizes = np.array([len(part[0]) for part in parts])
        root_t = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        leaves = np.concatenate([[0], np.cumsum([len(part[4]) for part in parts])[:-1]])
        value_lk = np.zeros((sum(len(part[4]) for part in parts), width), dtype=np.float32)
        value_lk[:, present] = np.concatenate([part[4] for part in parts])
        return cls(
            root_t=root_t.astype(np.int32),
            column_i=np.concatenate([part[0] for part in parts]),
            limit_i=np.concatenate([part[1] for part in parts]),
            left_i=np.concatenate([part[2] + root for part, root in zip(parts, root_t, strict=True)]).astype(np.int32),
            leaf_i=np.concatenate([part[3] + first for part, first in zip(parts, leaves, strict=True)]).astype(
                np.int32
            ),
            value_lk=value_lk,
        )

    def __call__(self, x_nd: NDArray[np.float32]) -> _Floats:
        """The mean of the leaves (n, k)."""
        trees = len(self.root_t)
        out_nk = np.empty((len(x_nd), self.value_lk.shape[1]))
        step = max(BLOCK // trees, 1)
        for start in range(0, len(x_nd), step):
            leaf_nt = self._leaves(x_nd[start : start + step])
            total_nk = np.zeros((len(leaf_nt), out_nk.shape[1]))
            for at in range(0, trees, 32):  # in one order, whatever the number of rows
                total_nk += self.value_lk[leaf_nt[:, at : at + 32]].sum(axis=1, dtype=np.float64)
            out_nk[start : start + step] = total_nk / trees
        return out_nk

    def predictions(self, x_nd: NDArray[np.float32], classes: tuple[str, ...]) -> Predictions:
        """What the trees say of rows."""
        mean_nk = self(x_nd)
        if not classes:
            return Predictions(values_n=mean_nk[:, 0])
        return Predictions.of_probabilities(mean_nk / mean_nk.sum(axis=1, keepdims=True), classes)

    def _leaves(self, x_nd: NDArray[np.float32]) -> NDArray[np.int32]:
        """The leaf that each row reaches in each tree (n, t)."""
        width = x_nd.shape[1]
        value_i = x_nd.ravel()
        node_i = np.tile(self.root_t, len(x_nd))
        row_i = np.repeat(np.arange(len(x_nd)) * width, len(self.root_t))
        active = np.arange(len(node_i))
        while len(active):
            at = node_i[active]
            after = self.left_i[at] + (value_i[row_i[active] + self.column_i[at]] > self.limit_i[at])
            node_i[active] = after
            active = active[self.left_i[after] != after]
        return self.leaf_i[node_i].reshape(len(x_nd), -1)


def _flat(tree: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Columns, limits, left children, leaves of one tree, its children side by side; and the values of its leaves."""
    left_i, right_i = tree.children_left, tree.children_right
    order, level = [np.zeros(1, dtype=np.int64)], np.zeros(1, dtype=np.int64)
    while len(level := level[left_i[level] >= 0]):
        level = np.column_stack([left_i[level], right_i[level]]).ravel()
        order.append(level)
    old_i = np.concatenate(order)
    new_i = np.empty_like(old_i)
    new_i[old_i] = np.arange(len(old_i))
    inner = left_i[old_i] >= 0
    # Rows are in single precision: what is at most the limit is at most the single that is next below it.
    single = tree.threshold[old_i].astype(np.float32)
    single = np.where(single > tree.threshold[old_i], np.nextafter(single, np.float32(-np.inf)), single)
    return (
        np.where(inner, tree.feature[old_i], 0).astype(np.int32),
        np.where(inner, single, np.float32(np.inf)).astype(np.float32),
        np.where(inner, new_i[left_i[old_i]], np.arange(len(old_i))),
        np.where(inner, 0, np.cumsum(~inner) - 1),
        tree.value[old_i[~inner], 0, :],
    )
