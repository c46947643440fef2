"""Which columns say nearly the same: shuffling one of them alone would tell nothing, since the others stay."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ALIKE", "alike", "ordered"]

_Floats: TypeAlias = NDArray[np.float64]

ALIKE = 0.8
"""From this association on, two columns are taken to say nearly the same."""
ROWS = 2000
MOST_CATEGORIES = 50


def alike(table: "pl.DataFrame", columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """The columns in groups in which every two are associated by `ALIKE` or more; most are alone.

    Between numbers (times, yes and no) it is Spearman's rank correlation; of categories and numbers the square root of
    the adjusted correlation ratio of ranks; of two categories Cramér's V. Texts are always alone.
    Source: W. Kruskal (1958), "Ordinal Measures of Association"; R. Fisher (1925), "Statistical Methods for Research
    Workers", 45 (the ratio); W. Bergsma (2013), "A bias-correction for Cramér's V and Tschuprow's T".
    """
    sample = table if len(table) <= ROWS else table[np.linspace(0, len(table) - 1, ROWS).astype(np.int64)]
    ranks = {c.name: _ranks(sample[c.name]) for c in columns if c.kind in {"numeric", "boolean", "datetime"}}
    codes = {c.name: code_n for c in columns if c.kind == "categorical" and (code_n := _codes(sample[c.name]))[0] > 1}
    strengths: dict[tuple[str, str], float] = {}
    if len(ranks) > 1:
        names = list(ranks)
        rho_cc = np.abs(np.nan_to_num(np.corrcoef(np.stack([ranks[name] for name in names]))))
        for a, b in zip(*np.nonzero(np.triu(rho_cc >= ALIKE, 1)), strict=True):
            strengths[names[a], names[b]] = float(rho_cc[a, b])
    for name, (size, code_n) in codes.items():
        strengths |= {(name, other): _ratio(code_n, size, rank_n) for other, rank_n in ranks.items()}
    for a, b in combinations(codes, 2):
        strengths[a, b] = _cramer(codes[a][1], codes[b][1])
    return _groups([column.name for column in columns], strengths)


def ordered(series: "pl.Series") -> _Floats:
    """A column of numbers, times or yes and no as numbers (n,): NaN where one is missing."""
    import polars as pl

    physical = series.to_physical() if series.dtype.is_temporal() else series
    return physical.cast(pl.Float64, strict=False).to_numpy()


def _ranks(series: "pl.Series") -> _Floats:
    """Standardised mean ranks; a missing value is a middling one."""
    import polars as pl

    rank = pl.Series(ordered(series)).fill_nan(None).rank("average")
    filled = rank.fill_null(rank.mean() or 0.0).to_numpy().astype(np.float64)
    return filled - filled.mean()


def _codes(series: "pl.Series") -> tuple[int, NDArray[np.int64]]:
    """How many categories there are (0: too many), and that of each row; missing is one of them."""
    import polars as pl

    names, code_n = np.unique(series.cast(pl.String).fill_null("").to_numpy().astype(np.str_), return_inverse=True)
    return (len(names) if len(names) <= MOST_CATEGORIES else 0), code_n


def _ratio(code_n: NDArray[np.int64], size: int, rank_n: _Floats) -> float:
    total, n = float(rank_n @ rank_n), len(rank_n)
    if not total or n <= size:
        return 0.0
    count_c = np.maximum(np.bincount(code_n, minlength=size), 1)
    between = float((np.bincount(code_n, weights=rank_n, minlength=size) ** 2 / count_c).sum())
    return max(0.0, 1 - (1 - between / total) * (n - 1) / (n - size)) ** 0.5


def _cramer(a_n: NDArray[np.int64], b_n: NDArray[np.int64]) -> float:
    n, rows, columns = len(a_n), int(a_n.max()) + 1, int(b_n.max()) + 1
    count = np.bincount(a_n * columns + b_n, minlength=rows * columns).reshape(rows, columns)
    expected = np.outer(count.sum(axis=1), count.sum(axis=0)) / n
    phi = float(((count - expected) ** 2 / np.maximum(expected, 1e-12)).sum()) / n
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return (phi / least) ** 0.5 if least > 0 else 0.0


def _groups(names: Sequence[str], strengths: dict[tuple[str, str], float]) -> list[tuple[str, ...]]:
    """Complete linkage: the strongest pairs first; two groups join when all across them are alike."""
    group_of = {name: (name,) for name in names}
    near = {pair for pair, strength in strengths.items() if strength >= ALIKE}
    near |= {(b, a) for a, b in near}
    for a, b in sorted((pair for pair in strengths if pair in near), key=lambda pair: -strengths[pair]):
        one, other = group_of[a], group_of[b]
        if one != other and all((x, y) in near for x in one for y in other):
            joined = tuple(name for name in names if name in one or name in other)
            group_of |= dict.fromkeys(joined, joined)
    return list(dict.fromkeys(group_of.values()))
