"""How a candidate fares on parts of the test rows, and on which parts it is weak beyond chance.

Weak parts are searched for among single conditions and pairs of them, by the mean loss of their rows against
that of all rows. Permuting the losses over the rows shows how large the largest standardised excess becomes
by chance among all parts that were looked at; a part is called weak when fewer than 5% of permutations
reach its own, so that the chance of any false alarm is at most 5%, however many parts overlap.
Source: Westfall and Young, "Resampling-Based Multiple Testing" (1993), section 2.3 (maxT); searching slices by
row losses: Chung et al., "Slice Finder", ICDE 2019. With groups, the groups' sums change sign at random
instead (the wild cluster bootstrap: Cameron, Gelbach and Miller, Review of Economics and Statistics 90, 2008).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.types import Column, Predictions
from bakeoff.evaluate.findings.conditions import Condition, conditions
from bakeoff.evaluate.score.estimates import ScoredRows, estimate
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.moments import Moments
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.texts import ROW_SCORES, row_scores
from bakeoff.results.candidate import Slice, WeakSlice

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Slice", "Slices", "WeakSlice", "row_losses", "slices"]

Floats = NDArray[np.float64]

MIN_ROWS = 30
"""Fewer rows are no slice."""
LEVEL = 0.05
PERMUTATIONS = 999
SEARCH_ROWS = 5000
"""Rows (drawn at random) among which weak slices are searched for."""
MOST_TESTED = 2000
MOST_SHOWN = 100
MOST_WEAK = 5
SAME = 0.8
"""Two slices that share this much of the rows of both together tell the same."""
RESAMPLES = 300
BLOCKS = 50
"""So many blocks of rows are left out for an interval: there are many slices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """The metric by slices, the weak ones found (worst first), and among how many they were searched for."""

    metric: str
    slices: tuple[Slice, ...]
    weak: tuple[WeakSlice, ...]
    tested: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One or two conditions together; `parents` are the positions of the single ones."""

    told: str
    rows_n: NDArray[np.bool_]
    parents: tuple[int, ...] = ()


def slices(
    table: "pl.DataFrame",
    truth_n: ArrayLike,
    predictions: Predictions,
    measure: Measure,
    columns: Sequence[Column],
    *,
    seed: int,
    groups_n: ArrayLike | None = None,
    min_rows: int = MIN_ROWS,
) -> Slices:
    """The measure by the columns' conditions, and the weak slices.

    Args:
        table: the n test rows.
        truth_n: what was true of them.
        predictions: what was said of them.
        measure: what is reported; rows are compared by the loss that goes with it (`row_losses`).
        columns: those to slice by.
        seed: of resamples, permutations and the sample of rows.
        groups_n: the group of each row, if rows of a group are alike.
        min_rows: the least rows that a slice, and the rest, must have.
    """
    result = outcome(truth_n, predictions, measure.task)
    group_n = None if groups_n is None else np.unique(np.asarray(groups_n), return_inverse=True)[1]
    held = [each for each in conditions(table, columns) if min_rows <= each.size < len(result)]

    def interval(rows_n: NDArray[np.bool_]) -> Interval | None:
        groups = None if group_n is None else group_n[rows_n]
        return _interval(measure, result.take(rows_n), seed, groups)

    shown = ((each, interval(each.rows_n)) for each in _spread(held, MOST_SHOWN))
    found, tested = _weak(held, row_losses(result, measure), min_rows=min_rows, seed=seed, group_n=group_n)
    weak = ((part, p_value, interval(part.rows_n)) for part, p_value in found)
    return Slices(
        metric=measure.name,
        slices=tuple(
            Slice(column=c.column, slice=c.told, rows=c.size, value=i.value, low=i.low, high=i.high)
            for c, i in shown
            if i is not None
        ),
        weak=tuple(
            WeakSlice(
                slice=part.told,
                rows=int(part.rows_n.sum()),
                value=i.value,
                low=i.low,
                high=i.high,
                rest=measure(result.take(~part.rows_n)),
                p_value=p_value,
            )
            for part, p_value, i in weak
            if i is not None
        ),
        tested=tested,
    )


def _interval(measure: Measure, result: Outcome, seed: int, group_n: NDArray[np.intp] | None) -> Interval | None:
    """Value and interval; of many rows fewer blocks are left out, which is as good and faster."""
    return estimate(
        measure,
        ScoredRows(
            outcome=result,
            dependence=Dependence.of(len(result), groups_n=group_n),
            draws=RESAMPLES,
            seed=seed,
            blocks=BLOCKS,
        ),
    )


def row_losses(result: Outcome, measure: Measure) -> Floats:
    """The loss (n,) of each row that goes with a measure; 0 is best.

    Classification: wrong (1) or right (0) for measures of labels, minus log-likelihood for the log loss,
    squared error of the probabilities for other measures of probabilities. Regression: squared error for
    rmse and r2, relative for mape, else absolute. Generation: one less the row's score (token F1 when the
    measure is none of rows). Of a measure that is the mean of one number of each row (expected cost, top-k, pinball),
    that number, turned so that less is better.
    """
    sums = measure.gather(result)
    if isinstance(sums, Moments) and sums.only_n is not None:
        return measure.bounds[1] - sums.only_n if measure.higher_is_better else sums.only_n
    match measure.task:
        case "generation":
            if measure.name in result.scores:
                return 1.0 - result.scores[measure.name]
            column = ROW_SCORES.index(measure.name if measure.name in ROW_SCORES else "token_f1")
            pairs = zip(result.truth_n.tolist(), result.predicted_n.tolist(), strict=True)
            return np.asarray([1.0 - row_scores(truth, predicted)[column] for truth, predicted in pairs])
        case "regression":
            return _number_losses(result, measure.name)
        case "classification":
            return _class_losses(result, measure)


def _number_losses(result: Outcome, name: str) -> Floats:
    error_n = np.abs(result.predicted_n - result.truth_n)
    match name:
        case "rmse" | "r2":
            return error_n**2
        case "mape":
            return error_n / np.maximum(np.abs(result.truth_n), np.finfo(np.float64).eps)
        case _:
            return error_n


def _class_losses(result: Outcome, measure: Measure) -> Floats:
    p_nk = result.probabilities_nk
    if measure.needs != "probabilities" or p_nk is None:
        return (result.truth_n != result.predicted_n).astype(np.float64)
    p_true_n = p_nk[np.arange(len(result)), result.truth_n]
    if measure.name == "log_loss":
        return -np.log(np.clip(p_true_n, np.finfo(np.float64).eps, 1.0))
    return (p_nk**2).sum(axis=1) - 2 * p_true_n + 1.0


def _spread(held: Sequence[Condition], most: int) -> list[Condition]:
    """All conditions, or the first few of each column when they are too many."""
    if len(held) <= most:
        return list(held)
    columns: dict[str, list[Condition]] = {}
    for each in held:
        columns.setdefault(each.column, []).append(each)
    share = max(1, most // len(columns))
    return [each for listed in islice(columns.values(), most) for each in listed[:share]]


def _weak(
    held: Sequence[Condition],
    loss_n: Floats,
    *,
    min_rows: int,
    seed: int,
    group_n: NDArray[np.intp] | None,
) -> tuple[list[tuple[_Part, float]], int]:
    """Weak parts with their corrected p-values, worst first, and how many were tested."""
    n = len(loss_n)
    rng = np.random.default_rng(seed)
    rows = np.arange(n) if n <= SEARCH_ROWS else np.sort(rng.choice(n, SEARCH_ROWS, replace=False))
    parts = _parts(held, rows, min_rows)
    excess_n = loss_n[rows] - loss_n[rows].mean()
    if not parts or not excess_n.any():
        return [], len(parts)
    inside_sn = np.stack([part.rows_n[rows] for part in parts])
    if group_n is None:
        z_s, highest_b = _permuted(inside_sn, excess_n, rng)
    else:
        z_s, highest_b = _sign_changed(inside_sn, excess_n, group_n[rows], rng)
    p_s = (1 + (highest_b[None, :] >= z_s[:, None]).sum(axis=1)) / (1 + len(highest_b))
    return [(parts[at], float(p_s[at])) for at in _telling(parts, inside_sn, z_s, p_s)], len(parts)


def _parts(held: Sequence[Condition], rows: NDArray[np.intp], min_rows: int) -> list[_Part]:
    """Single conditions and pairs of different columns, large enough among the rows searched."""
    inside_cn = np.stack([each.rows_n[rows] for each in held]) if held else np.zeros((0, len(rows)), dtype=np.bool_)
    size_c = inside_cn.sum(axis=1)
    fits = [i for i in range(len(held)) if min_rows <= size_c[i] <= len(rows) - min_rows]
    singles = [_Part(told=f"{held[i].column}: {held[i].told}", rows_n=held[i].rows_n) for i in fits]
    both_cc = inside_cn[fits].astype(np.float32) @ inside_cn[fits].astype(np.float32).T
    pairs: list[tuple[float, int, int]] = []
    for a, i in enumerate(fits):
        for b in range(a + 1, len(fits)):
            j, size = fits[b], both_cc[a, b]
            if held[i].column != held[j].column and min_rows <= size <= SAME * min(size_c[i], size_c[j]):
                pairs.append((-float(size), a, b))
    largest = sorted(pairs)[: max(0, MOST_TESTED - len(singles))]
    return singles + [
        _Part(
            told=f"{singles[a].told} and {singles[b].told}",
            rows_n=singles[a].rows_n & singles[b].rows_n,
            parents=(a, b),
        )
        for _, a, b in largest
    ]


def _permuted(
    inside_sn: NDArray[np.bool_], excess_n: Floats, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Standardised excess of each part (s,), and the highest of all in each permutation (b,).

    A part's sum has the variance of sampling without replacement.
    """
    n = len(excess_n)
    size_s = inside_sn.sum(axis=1)
    scale_s = np.sqrt((excess_n**2).mean() * size_s * (n - size_s) / (n - 1))
    weights_sn = (inside_sn / scale_s[:, None]).astype(np.float32)
    shuffled_nb = rng.permuted(np.tile(excess_n.astype(np.float32), (PERMUTATIONS, 1)), axis=1).T
    observed_s = weights_sn @ excess_n.astype(np.float32)
    return observed_s, (weights_sn @ shuffled_nb).max(axis=0)


def _sign_changed(
    inside_sn: NDArray[np.bool_], excess_n: Floats, group_n: NDArray[np.intp], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same with whole groups: the signs of their sums are drawn anew."""
    size_s = inside_sn.sum(axis=1, keepdims=True)
    against_sn = np.where(inside_sn, 1 / size_s, -1 / (inside_sn.shape[1] - size_s)) * excess_n
    order = np.argsort(group_n, kind="stable")
    starts = np.unique(group_n[order], return_index=True)[1]
    sums_sg = np.add.reduceat(against_sn[:, order], starts, axis=1)
    norm_s = np.sqrt((sums_sg**2).sum(axis=1))
    weights_sg = np.divide(sums_sg, norm_s[:, None], out=np.zeros_like(sums_sg), where=norm_s[:, None] > 0)
    weights_sg = weights_sg.astype(np.float32)
    signs_gb = rng.choice(np.asarray([-1.0, 1.0], dtype=np.float32), size=(len(starts), PERMUTATIONS))
    return weights_sg.sum(axis=1), (weights_sg @ signs_gb).max(axis=0)


def _telling(parts: Sequence[_Part], inside_sn: NDArray[np.bool_], z_s: NDArray[np.float32], p_s: Floats) -> list[int]:
    """The worst parts below the level, without pairs that tell less than one of theirs, or the same as a worse one."""
    kept: list[int] = []
    for at in np.argsort(-z_s, kind="stable").tolist():
        if p_s[at] > LEVEL or len(kept) == MOST_WEAK:
            break
        if any(z_s[parent] >= z_s[at] for parent in parts[at].parents):
            continue
        if any(_shared(inside_sn[at], inside_sn[other]) > SAME for other in kept):
            continue
        kept.append(at)
    return kept


def _shared(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())
