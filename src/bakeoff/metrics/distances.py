"""How far two tables lie apart, column by column, by all of their rows: what a drift report says.

Few columns are in memory at a time. Distances are those of scipy: Kolmogorov and Smirnov's, Wasserstein's in standard
deviations of the reference, Jensen and Shannon's (natural logarithm) of levels; PSI is of the reference's tenths.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import DataError, UsageError
from bakeoff.core.types import Json
from bakeoff.metrics.drift import bin_distances, psi

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Distances", "compare_columns", "compare_files", "compare_tables"]

Floats = NDArray[np.float64]

TENTHS = 10
FEW_VALUES = 20
"""A column of whole numbers with no more values than that in the reference is one of levels."""
LEAST_SD = 1e-3
CELLS = 1_000_000
"""Of each table that are in memory at once."""
BLOCK = 2**16
"""Sorted numbers of each side that are merged at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """Of one column: None where it has no such distance; `p` is of Kolmogorov and Smirnov's, or of chi-square."""

    kind: str
    psi: float
    missing_change: float
    js: float | None = None
    ks: float | None = None
    wasserstein: float | None = None
    chi2: float | None = None
    p: float | None = None

    def to_json(self) -> dict[str, Json]:
        """As JSON."""
        return asdict(self)


def compare_files(reference: Path, current: Path) -> dict[str, Distances]:
    """Of all columns that both files (Parquet or CSV) have, in the reference's order.

    Raises:
        UsageError: a file is neither.
        DataError: they have no column in common.
    """
    return compare_tables(_scanned(reference), _scanned(current))


def compare_tables(reference: "pl.LazyFrame", current: "pl.LazyFrame") -> dict[str, Distances]:
    """Of all columns that both have; of long tables few are read at once.

    Raises:
        DataError: they have no column in common.
    """
    import polars as pl

    of_current = current.collect_schema()
    names = [name for name in reference.collect_schema() if name in of_current]
    if not names:
        raise DataError(f"expected tables with a column in common, received none; the second has {of_current.names()}")
    rows = max(1, *(int(table.select(pl.len()).collect().item()) for table in (reference, current)))
    width, compared = max(1, CELLS // rows), dict[str, Distances]()
    for start in range(0, len(names), width):
        some = names[start : start + width]
        before, now = (table.select(some).collect() for table in (reference, current))
        compared |= {name: compare_columns(before[name], now[name]) for name in some}
    return compared


def compare_columns(reference: "pl.Series", current: "pl.Series") -> Distances:
    """Of two columns: of numbers, or of the levels that they have."""
    is_number = reference.dtype.is_numeric() and current.dtype.is_numeric()
    if is_number and (reference.dtype.is_float() or reference.n_unique() > FEW_VALUES):
        before, now = (_given(column) for column in (reference, current))
        return _of_numbers(before, now, len(reference), len(current))
    return _of_levels(reference, current)


def _scanned(path: Path) -> "pl.LazyFrame":
    import polars as pl

    match path.suffix.lower():
        case ".parquet":
            return pl.scan_parquet(path)
        case ".csv":
            return pl.scan_csv(path, infer_schema_length=10_000)
        case _:
            raise UsageError(f"expected a file that ends in .parquet or .csv, received {str(path)!r}")


def _given(column: "pl.Series") -> Floats:
    given = column.drop_nulls() if column.null_count() else column
    numbers = given.to_numpy().astype(np.float64, copy=False)
    is_nan = np.isnan(numbers)
    return numbers[~is_nan] if is_nan.any() else numbers


def _of_numbers(before_n: Floats, now_m: Floats, rows: int, rows_now: int) -> Distances:
    n, m = len(before_n), len(now_m)
    missing_change = (1 - m / rows_now if rows_now else 0.0) - (1 - n / rows if rows else 0.0)
    if not n or not m:
        return Distances(kind="numeric", psi=0.0, missing_change=missing_change)
    from scipy.special import kolmogorov

    sd = max(float(before_n.std()), LEAST_SD)
    before, now = np.sort(before_n), np.sort(now_m)
    edges = np.unique(before[np.arange(1, TENTHS) * n // TENTHS])
    bins = [np.diff([0, *np.searchsorted(each, edges, side="right"), len(each)]) for each in (before, now)]
    ks, area = _between(before, now)
    return Distances(
        kind="numeric",
        psi=psi(bins[0], bins[1]),
        missing_change=missing_change,
        ks=ks,
        wasserstein=area / sd,
        p=float(kolmogorov(ks * (n * m / (n + m)) ** 0.5)),
    )


def _between(before: Floats, now: Floats) -> tuple[float, float]:
    """The largest distance of the distribution functions of sorted numbers, and the area between them."""
    n, m = len(before), len(now)
    last = max(before[-1], now[-1])
    cuts = np.unique(np.concatenate([before[BLOCK::BLOCK], now[BLOCK::BLOCK], [last]]))
    ks = area = height = 0.0
    start = min(before[0], now[0])
    i = j = 0
    for to, up in zip(*(np.searchsorted(each, cuts, side="right").tolist() for each in (before, now)), strict=True):
        both = np.concatenate([before[i:to], now[j:up]])
        order = np.argsort(both, kind="stable")  # two runs that are merged
        of_before = i + np.cumsum(order < to - i)
        of_now = i + j + np.arange(1, len(both) + 1) - of_before
        heights = np.concatenate([[height], np.abs(of_before / n - of_now / m)])  # right of each value
        gaps = np.diff(both[order], prepend=start)
        ks = max(ks, float(np.max(heights[:-1], where=gaps > 0, initial=0.0)))
        area += float((heights[:-1] * gaps).sum())
        start, height, i, j = both[order[-1]], float(heights[-1]), to, up
    return ks, area


def _of_levels(reference: "pl.Series", current: "pl.Series") -> Distances:
    import polars as pl

    counted = [column.cast(pl.String).drop_nulls().value_counts(name="rows") for column in (reference, current)]
    joined = counted[0].join(
        counted[1].rename({counted[1].columns[0]: counted[0].columns[0]}),
        on=counted[0].columns[0],
        how="full",
        coalesce=True,
    )
    a, b = (joined[name].fill_null(0).to_numpy().astype(np.float64) for name in ("rows", "rows_right"))
    missing_change = current.null_count() / max(len(current), 1) - reference.null_count() / max(len(reference), 1)
    apart = bin_distances(a, b)
    if not apart:
        return Distances(kind="levels", psi=0.0, missing_change=missing_change)
    from scipy.special import chdtrc

    return Distances(
        kind="levels",
        psi=psi(a, b),
        missing_change=missing_change,
        js=apart["js"],
        chi2=apart["chi2"],
        p=float(chdtrc(max(1, len(a) - 1), apart["chi2"])),
    )
