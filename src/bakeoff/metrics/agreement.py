"""How far annotators agree, corrected for chance: Cohen's and Fleiss' kappa, Krippendorff's alpha."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.errors import DataError

__all__ = ["Level", "cohen_kappa", "fleiss_kappa", "krippendorff_alpha"]

Level: TypeAlias = Literal["nominal", "ordinal", "interval", "ratio"]
Floats = NDArray[np.float64]
Rating: TypeAlias = str | float | None


def cohen_kappa(one: Sequence[str | float], other: Sequence[str | float]) -> float:
    """Of two annotators who labelled the same rows: 1 is full agreement, 0 is chance; NaN where both use one label.

    Source: J. Cohen, "A Coefficient of Agreement for Nominal Scales", Educational and Psychological Measurement 20
    (1960).

    >>> round(cohen_kappa(["a", "a", "b", "b"], ["a", "a", "b", "a"]), 3)
    0.5
    """
    if len(one) != len(other) or not one:
        raise DataError(f"expected two labels for each row, received {len(one)} and {len(other)}")
    code_n, classes = _codes([*one, *other])
    table_kk = np.zeros((len(classes), len(classes)))
    np.add.at(table_kk, (code_n[: len(one)], code_n[len(one) :]), 1 / len(one))
    chance = float(table_kk.sum(axis=0) @ table_kk.sum(axis=1))
    return float("nan") if chance >= 1 else (float(np.trace(table_kk)) - chance) / (1 - chance)


def fleiss_kappa(counts_nk: ArrayLike) -> float:
    """Of n rows with the same number of labels each, by how often each class was said (n, k); NaN with one class.

    Source: J. L. Fleiss, "Measuring Nominal Scale Agreement among Many Raters", Psychological Bulletin 76 (1971).
    """
    counts = np.asarray(counts_nk, dtype=np.float64)
    labels_n = counts.sum(axis=1)
    if counts.ndim != 2 or not len(counts) or labels_n[0] < 2 or (labels_n != labels_n[0]).any():  # noqa: PLR2004
        raise DataError("expected rows with two or more labels each, of all rows the same number")
    each = labels_n[0]
    agreed = float((((counts**2).sum(axis=1) - each) / (each * (each - 1))).mean())
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return float("nan") if chance >= 1 else (agreed - chance) / (1 - chance)


def krippendorff_alpha(units: Sequence[Sequence[Rating]], level: Level = "nominal") -> float:
    """Of any number of annotators, and of rows that not all of them labelled; NaN where nothing can be compared.

    Args:
        units: for each row what annotators said; None is no label. Rows with fewer than two say nothing.
        level: whether labels are names, have an order, a distance, or a distance in proportion.

    Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011).

    >>> round(krippendorff_alpha([["a", "a"], ["a", "b"], ["b", "b"], [None, "b"]]), 3)
    0.444
    """
    pairable = [given for unit in units if len(given := [each for each in unit if each is not None]) > 1]
    if not pairable:
        return float("nan")
    code_m, values = _codes([each for unit in pairable for each in unit], numbers=level != "nominal")
    coincidence_kk = np.zeros((len(values), len(values)))
    start = 0
    for unit in pairable:
        count_k = np.bincount(code_m[start : start + len(unit)], minlength=len(values)).astype(np.float64)
        coincidence_kk += (np.outer(count_k, count_k) - np.diag(count_k)) / (len(unit) - 1)
        start += len(unit)
    total_k = coincidence_kk.sum(axis=1)
    distance_kk = _DISTANCES[level](values, total_k)
    observed = float((coincidence_kk * distance_kk).sum())
    expected = float((np.outer(total_k, total_k) * distance_kk).sum()) / (float(total_k.sum()) - 1)
    return float("nan") if expected == 0 else 1 - observed / expected


def _codes(values: Sequence[str | float], *, numbers: bool = False) -> tuple[NDArray[np.intp], Floats]:
    """Values as codes, and what each code stands for: a number, or its own place."""
    try:
        flat = [float(value) for value in values] if numbers else [str(value) for value in values]
    except ValueError as error:
        raise DataError(f"expected numbers, whose distances count; {error}") from error
    known, code_n = np.unique(np.asarray(flat), return_inverse=True)
    return code_n, known if numbers else np.arange(len(known), dtype=np.float64)


def _ordinal(_: Floats, total_k: Floats) -> Floats:
    """The rows between two ranks, half of those at its ends; squared."""
    middle_k = np.cumsum(total_k) - total_k / 2
    return (middle_k[:, None] - middle_k[None, :]) ** 2


def _ratio(values_k: Floats, _: Floats) -> Floats:
    sums_kk = values_k[:, None] + values_k[None, :]
    return ((values_k[:, None] - values_k[None, :]) / np.where(sums_kk == 0, 1.0, sums_kk)) ** 2


_DISTANCES: Mapping[Level, Callable[[Floats, Floats], Floats]] = {
    "nominal": lambda values_k, _: 1 - np.eye(len(values_k)),
    "ordinal": _ordinal,
    "interval": lambda values_k, _: (values_k[:, None] - values_k[None, :]) ** 2,
    "ratio": _ratio,
}
