"""The bootstrap, vectorised: many resamples of rows as matrices of weights.

Rows that are alike for every statistic at hand (for instance rows in the same confusion cell) are
collapsed into one unit with a count; resampling n rows with replacement is then exactly one multinomial
draw of unit counts, whatever n is. Several statistics get the same draws, so differences are paired.
With groups, whole groups are drawn (the cluster bootstrap).
Source: Efron, Annals of Statistics 7 (1979); Davison and Hinkley, "Bootstrap Methods and their
Application" (1997), sections 2.4 and 3.8.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.errors import UsageError
from bakeoff.metrics.dependence import INDEPENDENT, Dependence
from bakeoff.metrics.ranks import Curves
from bakeoff.metrics.registry import Statistic, Sums

__all__ = ["BLOCKS", "Replicates", "jackknife", "left_out", "replicate"]

Counts: TypeAlias = NDArray[np.int64]
Draw: TypeAlias = Callable[[np.random.Generator, int], Counts]

CHUNK_CELLS = 2_000_000
"""Weights held at once by a thread: 16 MB."""
MAX_CHUNK = 512
HEAVY = 16
"""A unit of more rows than this is drawn by a binomial, the rows of lighter ones one by one (measured:
a binomial costs about as much as fifteen single draws)."""
CURVE_WORK = 20_000_000
"""Rows × curves × resamples up to which areas under curves are worked out anew for every resample."""
BLOCKS = 200
"""Blocks of the jackknife."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicates:
    """A statistic's `value` (m,), its resampled `draws_rm`, and `jackknife_bm` with a block of rows left out."""

    value_m: NDArray[np.float64]
    draws_rm: NDArray[np.float64]
    jackknife_bm: NDArray[np.float64]


def replicate(
    statistics: Sequence[Statistic],
    n: int,
    *,
    resamples: int,
    seed: int,
    groups_n: ArrayLike | None = None,
    jackknife: bool = False,
    threads: int = 1,
) -> list[Replicates]:
    """Resample n rows (or whole groups of them) and evaluate every statistic on the same draws.

    Areas under curves of many rows and classes (`CURVE_WORK`) follow their draws to first order. The result
    depends on the arguments but not on `threads`.
    """
    if resamples < 1 or not statistics:
        raise UsageError(f"expected statistics and at least 1 resample; received {len(statistics)} and {resamples}")
    group_n = None if groups_n is None else np.unique(np.asarray(groups_n), return_inverse=True)[1]
    affordable = _affordable(statistics, resamples)
    unit_n, first_u = _collapse([sums.key_n for sums in affordable.values()], n, grouped=group_n is not None)
    units = len(first_u)
    taken = {key: sums.take(first_u) if units < n else sums for key, sums in affordable.items()}

    def evaluate(weights_ru: Counts) -> list[NDArray[np.float64]]:
        sums = {key: each(weights_ru) for key, each in taken.items()}
        finished = [s.finish(sums[id(s.sums)]) for s in statistics]
        return [out[:, None] if out.ndim == 1 else out for out in finished]

    counts = np.bincount(unit_n, minlength=units)
    draw = _drawing(counts) if group_n is None else _drawing_groups(group_n)
    size = max(1, min(MAX_CHUNK, CHUNK_CELLS // units))
    sizes = [min(size, resamples - start) for start in range(0, resamples, size)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes) + 1)

    def chunk(at: int) -> list[NDArray[np.float64]]:
        return evaluate(draw(np.random.default_rng(seeds[at]), sizes[at]))

    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        drawn = list(pool.map(chunk, range(len(sizes))))
    left: list[list[NDArray[np.float64]]] = []
    if jackknife:
        block_n = _blocks(n, group_n, np.random.default_rng(seeds[-1]))
        left = [evaluate(weights) for weights in _left_out(block_n, unit_n, counts, size)]
    whole = evaluate(counts[None, :])
    return [
        Replicates(
            value_m=whole[i][0],
            draws_rm=np.concatenate([part[i] for part in drawn]),
            jackknife_bm=np.concatenate([part[i] for part in left]) if left else whole[i][:0],
        )
        for i in range(len(statistics))
    ]


def jackknife(
    statistic: Statistic, n: int, *, blocks: int, seed: int, groups_n: ArrayLike | None = None
) -> tuple[float, NDArray[np.float64]]:
    """A statistic's value on n rows, and its values with each of so many random blocks of rows (or groups) left out."""
    group_n = None if groups_n is None else np.unique(np.asarray(groups_n), return_inverse=True)[1]
    unit_n, first_u = _collapse([statistic.sums.key_n], n, grouped=False)
    sums = statistic.sums.take(first_u) if len(first_u) < n else statistic.sums
    counts = np.bincount(unit_n, minlength=len(first_u))
    block_n = _blocks(n, group_n, np.random.default_rng(seed), blocks)
    left = [statistic.finish(sums(weights)) for weights in _left_out(block_n, unit_n, counts, MAX_CHUNK)]
    whole = statistic.finish(sums(counts[None, :]))
    return float(whole[0]), np.concatenate(left) if left else whole[:0]


def left_out(
    statistics: Sequence[Statistic], n: int, *, seed: int, dependence: Dependence = INDEPENDENT, blocks: int = BLOCKS
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Of each statistic its values (m,) on n rows, and those (b, m) with each unit left out in turn.

    Units are rows, groups or stretches of time; of more than `blocks` rows or groups, random sets are left out. They
    are the same for the same seed, so that differences of candidates are paired.
    """
    block_n = dependence.blocks(n, blocks, seed)
    affordable = _affordable(statistics, blocks)
    unit_n, first_u = _collapse([sums.key_n for sums in affordable.values()], n, grouped=False)
    taken = {key: sums.take(first_u) if len(first_u) < n else sums for key, sums in affordable.items()}
    counts = np.bincount(unit_n, minlength=len(first_u))

    def evaluate(weights_ru: Counts) -> list[NDArray[np.float64]]:
        sums = {key: each(weights_ru) for key, each in taken.items()}
        finished = [s.finish(sums[id(s.sums)]) for s in statistics]
        return [out[:, None] if out.ndim == 1 else out for out in finished]

    size = max(1, min(MAX_CHUNK, CHUNK_CELLS // len(first_u)))
    left = [evaluate(weights) for weights in _left_out(block_n, unit_n, counts, size)]
    whole = evaluate(counts[None, :])
    return [
        (whole[at][0], np.concatenate([part[at] for part in left]) if left else whole[at][:0])
        for at in range(len(statistics))
    ]


def _affordable(statistics: Sequence[Statistic], resamples: int) -> dict[int, Sums]:
    """The sums objects by id, curves made linear where they would take too long."""
    distinct = {id(s.sums): s.sums for s in statistics}
    work = sum(sums.work for sums in distinct.values() if isinstance(sums, Curves))
    if work * resamples <= CURVE_WORK:
        return distinct
    return {key: sums.linear() if isinstance(sums, Curves) else sums for key, sums in distinct.items()}


def _collapse(
    keys: Sequence[NDArray[np.int64] | None], n: int, *, grouped: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The unit of each row and the first row of each unit, in the order of the first key."""
    distinct = {id(key): key for key in keys}.values()
    present = [key for key in distinct if key is not None]
    if grouped or len(present) < len(distinct):
        return np.arange(n), np.arange(n)
    unit_n = np.zeros(n, dtype=np.int64)
    first_u = np.zeros(1, dtype=np.intp)
    for key in present:
        code_n = np.unique(key, return_inverse=True)[1]
        joint_n = unit_n * (int(code_n.max()) + 1) + code_n
        _, first_u, unit_n = np.unique(joint_n, return_index=True, return_inverse=True)
    return unit_n, first_u


def _drawing(counts_u: Counts) -> Draw:
    """Draws of sum(counts) rows with replacement, counted by unit."""
    n = int(counts_u.sum())
    heavy = np.flatnonzero(counts_u > HEAVY)
    light = np.where(counts_u > HEAVY, 0, counts_u)
    shares = np.append(counts_u[heavy], light.sum()) / n
    row_to_unit = np.repeat(np.arange(len(counts_u)), light)

    def draw(rng: np.random.Generator, size: int) -> Counts:
        split = rng.multinomial(n, shares, size=size)
        out = np.zeros((size, len(counts_u)), dtype=np.int64)
        if len(row_to_unit):
            for row, picks in zip(out, split[:, -1].tolist(), strict=True):
                rows = rng.integers(0, len(row_to_unit), size=picks, dtype=np.int32)
                row[:] = np.bincount(row_to_unit[rows], minlength=len(counts_u))
        out[:, heavy] = split[:, :-1]
        return out

    return draw


def _drawing_groups(group_n: NDArray[np.intp]) -> Draw:
    """Draws of whole groups with replacement, as weights of their rows."""
    draw = _drawing(np.ones(int(group_n.max()) + 1, dtype=np.int64))
    return lambda rng, size: draw(rng, size)[:, group_n]


def _blocks(
    n: int, group_n: NDArray[np.intp] | None, rng: np.random.Generator, blocks: int = BLOCKS
) -> NDArray[np.intp]:
    """A random block for each row; rows of one group share theirs."""
    members = n if group_n is None else int(group_n.max()) + 1
    block = rng.permutation(members) % blocks
    return block if group_n is None else block[group_n]


def _left_out(block_n: NDArray[np.intp], unit_n: NDArray[np.intp], counts_u: Counts, size: int) -> Iterator[Counts]:
    """Counts (b, u) without each block, `size` blocks at a time; none when there is but one block."""
    blocks, units = int(block_n.max()) + 1, len(counts_u)
    if blocks == 1:
        return
    for start in range(0, blocks, size):
        here = (block_n >= start) & (block_n < start + size)
        height = min(size, blocks - start)
        cells = (block_n[here] - start) * units + unit_n[here]
        yield counts_u - np.bincount(cells, minlength=height * units).reshape(height, units)
