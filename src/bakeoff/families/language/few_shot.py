"""Examples for a prompt: drawn at random, as many of each class, or those nearest to the row in question.

Nearness is the cosine of the rows' word vectors: the mean of their tokens' input embeddings, rare tokens weighing
more. Nothing is run for it.

Source: J. Liu et al. (2022), "What Makes Good In-Context Examples for GPT-3?" (nearest examples).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.families.language.prompts import Shot

__all__ = ["Shots", "drawn", "nearest_order"]

_Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """The examples of a candidate: `count` of the pool go before each row; the same ones unless `nearest`."""

    pool: tuple[Shot, ...]
    count: int
    nearest: bool

    def of(self, texts: Sequence[str], vectors: Callable[[Sequence[str]], _Floats]) -> list[tuple[Shot, ...]]:
        """The examples for each text, the nearest one last."""
        if not self.nearest or not self.count or not texts:
            return [self.pool[: self.count]] * len(texts)
        order_nk = nearest_order(vectors(texts), vectors([shot.text for shot in self.pool]), self.count)
        return [tuple(self.pool[i] for i in reversed(row)) for row in order_nk.tolist()]


def drawn(texts: Sequence[str], answers: Sequence[str], *, count: int, balanced: bool, seed: int) -> tuple[Shot, ...]:
    """So many rows at random; `balanced` takes the classes in turn."""
    order: list[int] = np.random.default_rng(seed).permutation(len(texts)).tolist()
    if balanced:
        turn: dict[str, int] = {}
        ranked: list[tuple[int, int]] = []
        for place, i in enumerate(order):
            turn[answers[i]] = turn.get(answers[i], -1) + 1
            ranked.append((turn[answers[i]], place))
        order = [order[place] for _, place in sorted(ranked)]
    return tuple(Shot(text=texts[i], answer=answers[i]) for i in order[:count])


def nearest_order(vector_nd: _Floats, pool_md: _Floats, count: int) -> NDArray[np.int64]:
    """Positions (n, count) of the nearest vectors of the pool, the nearest first; the earlier one on a tie."""
    return np.argsort(-(vector_nd @ pool_md.T), axis=1, kind="stable")[:, :count]
