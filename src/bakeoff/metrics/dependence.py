"""Which rows go together: by a group, by their time, or by having been answered by models of folds."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.errors import DataError

__all__ = ["INDEPENDENT", "Dependence", "copies", "group_codes", "united"]

COMMON = 0.05
"""A text that so many rows have is a value among others, and no copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """`group_n`: the group of each row, as a code; `order_n`: the rows in the order of time; `folds`: how many.

    With `repeats`, the rows were dealt into folds so many times, and what is said of a row is the mean over these.
    """

    group_n: NDArray[np.intp] | None = None
    order_n: NDArray[np.intp] | None = None
    folds: int = 0
    repeats: int = 1

    @classmethod
    def of(
        cls,
        n: int,
        *,
        groups_n: ArrayLike | None = None,
        time_n: ArrayLike | None = None,
        folds: int = 0,
        repeats: int = 1,
    ) -> "Dependence":
        """From columns of n rows; groups come before time, in which rows of a group are together anyway.

        Raises:
            DataError: a column has another number of rows.
        """
        for name, column in (("groups", groups_n), ("time", time_n)):
            if column is not None and len(np.asarray(column)) != n:
                raise DataError(f"expected {n} {name}, one for each row; received {len(np.asarray(column))}")
        if groups_n is not None:
            codes = group_codes(groups_n)
            return cls(group_n=None if int(codes.max()) + 1 == n else codes, folds=folds, repeats=repeats)
        order = None if time_n is None else np.argsort(np.asarray(time_n), kind="stable")
        return cls(order_n=order, folds=folds, repeats=repeats)

    @property
    def independent(self) -> bool:
        """Whether rows are taken to be independent of each other."""
        return self.group_n is None and self.order_n is None and not self.folds

    @property
    def factor(self) -> float:
        """By how much folds multiply the variance of a mean over independent rows.

        Models of folds share rows, and the released one is yet another: 1 / r + k / (k - 1) for k folds, r times over.
        Source: Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003), section 3: of J
        tests of a share of the rows that is q, the variance of one times 1 / J + q / (1 - q); here J = r k, q = 1 / k.
        """
        return 1 / self.repeats + self.folds / (self.folds - 1) if self.folds > 1 else 1.0

    @property
    def once(self) -> "Dependence":
        """That of what was said in one of the repeats alone."""
        return replace(self, repeats=1)

    def blocks(self, n: int, most: int, seed: int) -> NDArray[np.intp]:
        """The unit (row, group, stretch of time, or a random set of the first two) of each row; at most so many."""
        if self.order_n is not None:
            block_n = np.empty(n, dtype=np.intp)
            block_n[self.order_n] = np.arange(n) * min(most, n) // n
            return block_n
        units = n if self.group_n is None else int(self.group_n.max()) + 1
        block = np.arange(units) if units <= most else np.random.default_rng(seed).permutation(units) % most
        return block if self.group_n is None else block[self.group_n]


INDEPENDENT = Dependence()


def copies(near_n: ArrayLike) -> NDArray[np.intp] | None:
    """Near-duplicates as groups, as codes; None where no row has any. Rows of what is common are groups of their own.

    >>> copies([7, 8, 7, 9, *range(10, 60)]).tolist()[:4]
    [0, 1, 0, 2]
    """
    _, code_n, rows_g = np.unique(np.asarray(near_n), return_inverse=True, return_counts=True)
    common_n = rows_g[code_n] > max(2.0, COMMON * len(code_n))
    if not (rows_g[code_n[~common_n]] > 1).any():
        return None
    alone = len(rows_g) + np.arange(len(code_n))
    return np.unique(np.where(common_n, alone, code_n), return_inverse=True)[1].astype(np.intp)


def united(a_n: NDArray[np.intp], b_n: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows that go together by either grouping, or through others, as codes.

    >>> united(np.asarray([0, 0, 1, 2, 3]), np.asarray([0, 1, 1, 2, 3])).tolist()
    [0, 0, 0, 1, 2]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = int(a_n.max(initial=-1)) + 1, int(b_n.max(initial=-1)) + 1
    edges = coo_array((np.ones(len(a_n), dtype=bool), (a_n, first + b_n)), shape=(first + second, first + second))
    return np.asarray(connected_components(edges, directed=False)[1][a_n], dtype=np.intp)


def group_codes(groups_n: ArrayLike) -> NDArray[np.intp]:
    """Groups as codes from 0 on; each row without a group (None or NaN) is one of its own.

    >>> group_codes(["a", None, "a", None]).tolist()
    [0, 1, 0, 2]
    """
    groups = np.asarray(groups_n)
    if groups.dtype != object and groups.dtype.kind != "f":
        return np.unique(groups, return_inverse=True)[1].astype(np.intp)
    missing = np.asarray([value is None or value != value for value in groups.tolist()])  # noqa: PLR0124 - NaN
    codes = np.empty(len(groups), dtype=np.intp)
    present = np.unique(groups[~missing].astype(np.str_), return_inverse=True)[1]
    codes[~missing] = present
    codes[missing] = np.arange(int(missing.sum())) + (int(present.max()) + 1 if len(present) else 0)
    return codes
