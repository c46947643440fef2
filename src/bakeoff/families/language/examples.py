"""What is learned from: token ids with an answer, in batches of like length whose order a seed decides."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Example", "epoch_batches", "stratified", "with_rejected"]

POOLED_BATCHES = 16
"""Batches among which rows are sorted by length: enough to hardly pad, few enough to stay random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Token ids and the answer: a class position or a number (`target`), or the last `completion` ids.

    `rejected` is the same prompt with an answer that was turned down, and `reference` the log-probability of the
    answer less that of the rejected one, by the model that training starts from.
    """

    ids: tuple[int, ...]
    target: float = 0.0
    completion: int = 0
    rejected: "Example | None" = None
    reference: float = 0.0

    @property
    def length(self) -> int:
        """Tokens of the longer one of its texts."""
        return max(len(self.ids), len(self.rejected.ids) if self.rejected else 0)

    @property
    def tokens(self) -> int:
        """Tokens of all its texts."""
        return len(self.ids) + (len(self.rejected.ids) if self.rejected else 0)


def with_rejected(rows: Sequence[int], examples: Sequence[Example]) -> tuple[list[int], list[Example]]:
    """A batch with the rejected answers of its examples behind it, in order; that of row 3 is row -4 (`~3`)."""
    pairs = [(row, example.rejected) for row, example in zip(rows, examples, strict=True) if example.rejected]
    return [*rows, *(~row for row, _ in pairs)], [*examples, *(rejected for _, rejected in pairs)]


def epoch_batches(lengths: Sequence[int], size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Every position once, in batches of `size`, rows of like length together.

    >>> epoch_batches([5, 9, 5, 9], 2, seed=0, epoch=0)
    [[1, 3], [0, 2]]
    """
    rng = np.random.default_rng([seed, epoch])
    order: list[int] = rng.permutation(len(lengths)).tolist()
    span = size * POOLED_BATCHES
    batches: list[list[int]] = []
    for start in range(0, len(order), span):
        pool = sorted(order[start : start + span], key=lambda i: (lengths[i], i))
        batches += [pool[at : at + size] for at in range(0, len(pool), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def stratified(value_n: NDArray[np.float64], most: int, *, classes: int, seed: int) -> NDArray[np.int64]:
    """Positions of at most so many rows, in order: each class with its share (at least one row), else at random."""
    count = len(value_n)
    if count <= most:
        return np.arange(count)
    order = np.random.default_rng(seed).permutation(count)
    if not classes:
        return np.sort(order[:most])
    label_n = value_n[order].astype(np.int64)
    rank_n = np.zeros(count)
    for label in range(classes):
        where = np.flatnonzero(label_n == label)
        rank_n[where] = (np.arange(len(where)) + 0.5 * (np.arange(len(where)) > 0)) / max(len(where), 1)
    return np.sort(order[np.argsort(rank_n, kind="stable")[:most]])
