# pyright: basic
# scipy.sparse comes without complete types
"""What boosted trees see of a table: numbers, category codes, target means, and texts as scores and terms.

Trees cannot add up thousands of weak terms, so that each way of cutting a text is also summed up by
naive Bayes scores (one per class), and only the terms that tell classes apart best stay as features.
The scores of training rows come from folds that lack the row, as those of target means do.

Source: S. Wang, C. Manning (2012), "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column
from bakeoff.families.features.columns import number_names, number_sources, numbers, of_kind, texts
from bakeoff.families.features.one_row import Row, row_numbers
from bakeoff.families.features.table import FOLDS, CategoryCodes, TargetMeans
from bakeoff.families.features.text import TermCounts, Vectorizer
from bakeoff.families.saved import Array

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TermFeatures", "TreeTable"]

_Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]
Sparse: TypeAlias = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TermFeatures:
    """One column of texts cut one way: `ratio_dk` scores them, `kept` are the terms that stay features."""

    column: str
    vectorizer: Vectorizer
    ratio_dk: Array
    kept: Array

    @classmethod
    def fit(
        cls, column: str, counts: TermCounts, target_nk: _Floats, *, most: int, min_rows: int, seed: int
    ) -> tuple["TermFeatures", Sparse]:
        """The encoder fitted on the first rows of the counts (as many as targets), and those rows encoded."""
        rows = np.arange(len(target_nk))
        vectorizer, weight_nd = counts.vectorizer(rows, min_rows=min_rows, most=len(counts.terms))
        kept = np.sort(np.argsort(-_separation(weight_nd, target_nk), kind="stable")[:most])
        fold_n = np.random.default_rng(seed).permutation(len(rows)) % FOLDS
        score_nk = np.empty_like(target_nk)
        for fold in range(FOLDS):
            inside, rest = np.flatnonzero(fold_n == fold), np.flatnonzero(fold_n != fold)
            score_nk[inside] = weight_nd[inside] @ _ratios(weight_nd[rest], target_nk[rest])
        fitted = cls(column=column, vectorizer=vectorizer, ratio_dk=_ratios(weight_nd, target_nk), kept=kept)
        return fitted, _join(weight_nd[:, kept], score_nk)

    def of_row(self, text: str) -> _Floats:
        """A text encoded (kept + k,), zeros included."""
        import scipy.sparse as sp

        place_t, weight_t = self.vectorizer.of_row(text)
        at_t = np.searchsorted(self.kept, place_t)
        stays_t = at_t < len(self.kept)
        stays_t[stays_t] = self.kept[at_t[stays_t]] == place_t[stays_t]
        kept_d = np.zeros(len(self.kept))
        kept_d[at_t[stays_t]] = weight_t[stays_t]
        weight_1d = sp.csr_array((weight_t, place_t, [0, len(place_t)]), shape=(1, len(self.ratio_dk)))
        return np.append(kept_d, weight_1d @ self.ratio_dk)

    def __call__(self, read: Sequence[str]) -> Sparse:
        """Texts encoded: the kept terms, then the scores."""
        weight_nd = self.vectorizer(read)
        return _join(weight_nd[:, self.kept], weight_nd @ self.ratio_dk)


def _ratios(weight_nd: Sparse, target_nk: _Floats) -> _Floats:
    """Log ratio of each term's share where the target is high to its share where it is low (d, k)."""
    low_k, span_k = target_nk.min(axis=0), np.ptp(target_nk, axis=0)
    high_nk = (target_nk - low_k) / np.where(span_k > 0, span_k, 1)
    inside_dk = weight_nd.T @ high_nk + 1
    outside_dk = weight_nd.T @ (1 - high_nk) + 1
    return np.log(inside_dk / inside_dk.sum(axis=0)) - np.log(outside_dk / outside_dk.sum(axis=0))


def _separation(weight_nd: Sparse, target_nk: _Floats) -> _Floats:
    """How unevenly each term's weight lies over the target: chi-square for classes (d,)."""
    total_d = np.asarray(weight_nd.sum(axis=0)).ravel()
    expected_dk = np.outer(total_d, target_nk.mean(axis=0))
    return (((weight_nd.T @ target_nk) - expected_dk) ** 2 / np.maximum(np.abs(expected_dk), 1e-9)).sum(axis=1)


def _join(*parts: Any) -> Sparse:
    import scipy.sparse as sp

    return sp.csr_matrix(sp.hstack([sp.csr_array(part) for part in parts], format="csr"))  # LightGBM wants a matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeTable:
    """A table's rows as the features of trees: dense, or sparse when there are texts."""

    numeric: tuple[Column, ...]
    codes: tuple[CategoryCodes, ...]
    means: tuple[TargetMeans, ...]
    terms: tuple[TermFeatures, ...]

    @classmethod
    def fit(
        cls,
        table: "pl.DataFrame",
        columns: Sequence[Column],
        target_nk: _Floats,
        counts: Sequence[tuple[str, TermCounts]],
        *,
        max_categories: int,
        max_terms: int,
        min_rows: int,
        seed: int,
    ) -> tuple["TreeTable", Any]:
        """The encoder and the encoded rows of the table; `counts` may hold further rows after them."""
        means: list[TargetMeans] = []
        codes: list[CategoryCodes] = []
        mean_parts: list[_Floats] = []
        for column in of_kind(columns, "categorical"):
            code = CategoryCodes.fit(table, column, most=max_categories, min_rows=1)
            if code.complete:
                codes.append(code)
            else:
                mean, values_nk = TargetMeans.fit(table, column, target_nk, seed=seed)
                means.append(mean)
                mean_parts.append(values_nk)
        terms: list[TermFeatures] = []
        term_parts: list[Sparse] = []
        for name, count in counts:
            fitted, part = TermFeatures.fit(name, count, target_nk, most=max_terms, min_rows=min_rows, seed=seed)
            terms.append(fitted)
            term_parts.append(part)
        encoder = cls(
            numeric=of_kind(columns, "numeric", "boolean", "datetime"),
            codes=tuple(codes),
            means=tuple(means),
            terms=tuple(terms),
        )
        return encoder, encoder._encode(table, mean_parts, term_parts)

    @property
    def categorical(self) -> list[int]:
        """Positions of the features that are codes."""
        first = len(number_names(self.numeric))
        return list(range(first, first + len(self.codes)))

    @property
    def sources(self) -> tuple[str, ...]:
        """The column that each feature is made of."""
        means = [mean.codes.column.name for mean in self.means for _ in range(mean.means_ck.shape[1])]
        terms = [term.column for term in self.terms for _ in range(len(term.kept) + term.ratio_dk.shape[1])]
        return (*number_sources(self.numeric), *(code.column.name for code in self.codes), *means, *terms)

    def __call__(self, table: "pl.DataFrame") -> Any:
        """The encoded rows (n, d)."""
        read = {name: texts(table, name) for name in dict.fromkeys(term.column for term in self.terms)}
        return self._encode(
            table, [mean(table) for mean in self.means], [term(read[term.column]) for term in self.terms]
        )

    def of_row(self, row: Row) -> _Floats:
        """The encoded row (1, d), dense."""
        codes = [code.of_row(row)[:, None].astype(np.float64) for code in self.codes]
        means = [mean.of_row(row) for mean in self.means]
        terms = [term.of_row(row[term.column] or "")[None] for term in self.terms]
        return np.hstack([row_numbers(row, self.numeric), *codes, *means, *terms])

    def _encode(self, table: "pl.DataFrame", means: Sequence[_Floats], terms: Sequence[Sparse]) -> Any:
        codes = [code(table)[:, None].astype(np.float64) for code in self.codes]
        dense_nd = np.hstack([numbers(table, self.numeric), *codes, *means])
        return _join(dense_nd, *terms) if terms else dense_nd
