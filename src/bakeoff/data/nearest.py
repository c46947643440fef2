"""The rows of a table that are nearest to a row, over columns of all kinds.

Source: J. C. Gower (1971), "A general coefficient of similarity and some of its properties", Biometrics 27: the mean
over columns of distances from 0 to 1. Of numbers and times the difference over the range from the 1st to the 99th
percentile (at most 1), of categories whether they differ, of texts 1 less the cosine of their words' TF-IDF weights. A
value that is missing on one side is at distance 1, on both at 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NearRow", "nearest_rows"]

Floats = NDArray[np.float64]
LOW, HIGH = 1.0, 99.0
TEXT_FEATURES = 1 << 18
WORD = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+"


@dataclass(frozen=True, slots=True, kw_only=True)
class NearRow:
    """A row by its place in the table, how far it is (0: the same, 1: unlike in everything), and by which columns."""

    row: int
    distance: float
    by_column: Mapping[str, float]


def nearest_rows(
    table: "pl.DataFrame", columns: Sequence[Column], row: "pl.DataFrame", *, most: int = 5
) -> list[NearRow]:
    """The nearest rows, the nearest first; of equally near ones those that come first.

    Args:
        table: the rows that are looked at, with these columns.
        columns: those that count.
        row: a table of the one row, with the same columns.
        most: how many are wanted.
    """
    if not table.height or not columns:
        return []
    distances = {column.name: _distances(table[column.name], row[column.name], column.kind) for column in columns}
    mean_n = np.mean(list(distances.values()), axis=0)
    order = np.argsort(mean_n, kind="stable")[:most].tolist()
    return [
        NearRow(
            row=at,
            distance=float(mean_n[at]),
            by_column={name: float(distance_n[at]) for name, distance_n in distances.items()},
        )
        for at in order
    ]


def _distances(values: "pl.Series", own: "pl.Series", kind: str) -> Floats:
    import polars as pl

    missing_n, missing = values.is_null().to_numpy(), own[0] is None
    if missing:
        return np.where(missing_n, 0.0, 1.0)
    if kind == "text":
        texts, text = values.cast(pl.String).fill_null(""), str(own[0])
        distance_n = np.where((texts == text).to_numpy(), 0.0, _of_texts(texts.to_list(), text))  # also without a word
    elif kind in {"numeric", "datetime"}:
        numbers_n, number = (_numbers(each) for each in (values, own))
        distance_n = _of_numbers(numbers_n, float(number[0]))
    else:
        distance_n = (values.cast(pl.String) != own.cast(pl.String)[0]).fill_null(value=True).to_numpy().astype(float)
    return np.where(missing_n, 1.0, distance_n)


def _numbers(values: "pl.Series") -> Floats:
    import polars as pl

    plain = values.to_physical() if values.dtype.is_temporal() else values
    return plain.cast(pl.Float64, strict=False).to_numpy()


def _of_numbers(numbers_n: Floats, number: float) -> Floats:
    given = numbers_n[np.isfinite(numbers_n)]
    low, high = np.percentile(given, [LOW, HIGH]) if len(given) else (0.0, 0.0)
    away_n = np.abs(numbers_n - number)
    return np.nan_to_num(np.minimum(away_n / (high - low), 1.0) if high > low else (away_n > 0).astype(float), nan=1.0)


def _of_texts(texts: Sequence[str], text: str) -> Floats:
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    how: dict[str, Any] = {"alternate_sign": False, "norm": None, "strip_accents": "unicode"}
    hashed: Any = HashingVectorizer(n_features=TEXT_FEATURES, token_pattern=WORD, **how)
    counts_nd = hashed.transform(texts)
    weights: Any = TfidfTransformer(sublinear_tf=True)
    known_nd, own_1d = weights.fit_transform(counts_nd), weights.transform(hashed.transform([text]))
    cosine_n = np.asarray((known_nd @ own_1d.T).todense(), dtype=np.float64).ravel()
    return np.clip(1.0 - cosine_n, 0.0, 1.0)
