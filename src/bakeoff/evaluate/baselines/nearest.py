# pyright: basic
# scikit-learn and scipy.sparse come without complete types
"""The answer of the training row whose texts are nearest: by the cosine of their TF-IDF weights.

Source: G. Salton, C. Buckley (1988), "Term-weighting approaches in automatic text retrieval".
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.conversation import conversation_columns, plain_text
from bakeoff.core.types import Predictions
from bakeoff.evaluate.baselines.rules import (
    Answers,
    BaselineData,
    BaselineRule,
    Rows,
    Side,
    fallback,
    with_right_share,
)

__all__ = ["nearest"]

MOST_PAIRS = 20_000_000
"""Texts times texts that are compared: about a second."""
FEWEST_TEXTS = 500
"""Training texts that are looked at, however many ask."""
MOST_TERMS = 50_000
MOST_CHARACTERS = 5_000
"""Of a text, so much is read."""
BLOCK_ROWS = 512
CHECKED_ROWS = 1_000
WORD = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+"


def nearest(data: BaselineData, asked: int, learn: int) -> list[BaselineRule]:
    """The rule, where the rows have texts; `asked` and `learn` are how many rows there are of each."""
    texts = [name for name in data.schema.of_kind("text") if name != data.schema.target]
    if not texts:
        return []
    most = max(FEWEST_TEXTS, MOST_PAIRS // max(1, asked))
    sampled = f" of {most:,} drawn from the training rows" if learn > most else " of the training rows"
    read = cache(lambda: _texts(data, texts))  # once for all folds
    what = "answer" if data.task == "generation" else "value" if data.task == "regression" else "label"
    return [
        BaselineRule(
            name="nearest question" if data.task == "generation" else "nearest text",
            rule=f"the {what} of the nearest text{sampled}, by the words that they share (cosine of TF-IDF)",
            answer=lambda side: _answered(data, read(), side, most),
            stops="worse",
        )
    ]


def _texts(data: BaselineData, names: list[str]) -> list[str]:
    """All texts of each row as one; conversations as the lines that people read."""
    import polars as pl

    conversations = conversation_columns(data.schema.columns)
    columns: list[list[str]] = []
    for name in names:
        read = data.table[name].cast(pl.String).fill_null("").to_list()
        columns.append([plain_text(text) if name in conversations else text for text in read])
    return [" ".join(parts)[:MOST_CHARACTERS] for parts in zip(*columns, strict=True)]


def _answered(data: BaselineData, texts: list[str], side: Side, most: int) -> Answers:
    from sklearn.feature_extraction.text import TfidfVectorizer

    learn = _drawn(side.learn, most, data.seed)
    vectorizer = TfidfVectorizer(
        sublinear_tf=True, token_pattern=WORD, max_features=MOST_TERMS, strip_accents="unicode"
    )
    constant = fallback(data, side.learn)
    try:
        known_md = vectorizer.fit_transform([texts[row] for row in learn])
    except ValueError:  # no word in any of them
        unknown_n = np.ones(len(side.asked), dtype=np.bool_)
        return _of(data, side, np.full(len(side.asked), constant, dtype=data.truth_n.dtype), unknown_n, 0.0)
    asked_nd = vectorizer.transform([texts[row] for row in side.asked])
    at_n, similar_n = _nearest(asked_nd, known_md)
    unknown_n = similar_n <= 0
    value_n = np.where(unknown_n, constant, data.truth_n[learn][at_n])
    return _of(data, side, value_n, unknown_n, _right(data, learn, known_md))


def _of(data: BaselineData, side: Side, value_n: NDArray[Any], unknown_n: NDArray[np.bool_], right: float) -> Answers:
    if data.task == "classification":
        predictions = with_right_share(data, side, value_n.astype(np.int64), right, unknown_n)
        return Answers(predictions=predictions, unknown_n=unknown_n)
    predictions = Predictions(values_n=value_n)
    if data.task == "regression":
        predictions = replace(predictions, scores=dict.fromkeys(data.levels, value_n))
    return Answers(predictions=predictions, unknown_n=unknown_n)


def _drawn(rows: Rows, most: int, seed: int) -> Rows:
    if len(rows) <= most:
        return rows
    return np.sort(rows[np.random.default_rng(seed).permutation(len(rows))[:most]])


def _nearest(asked_nd: Any, known_md: Any, *, without: Rows | None = None) -> tuple[Rows, NDArray[np.float32]]:
    """The most similar known row of each, the first of equals; `without`: never this one."""
    at: list[Any] = [np.zeros(0, dtype=np.int64)]
    similar: list[Any] = [np.zeros(0, dtype=np.float32)]
    across = known_md.T.tocsr()
    for start in range(0, asked_nd.shape[0], BLOCK_ROWS):
        cosine_bm = (asked_nd[start : start + BLOCK_ROWS] @ across).toarray()
        rows = np.arange(len(cosine_bm))
        if without is not None:
            cosine_bm[rows, without[start : start + BLOCK_ROWS]] = -1.0
        first = cosine_bm.argmax(axis=1)
        at.append(first)
        similar.append(cosine_bm[rows, first])
    return np.concatenate(at), np.concatenate(similar)


def _right(data: BaselineData, learn: Rows, known_md: Any) -> float:
    """Of how many training rows the nearest other one has the class; classification alone asks."""
    if data.task != "classification" or len(learn) < 2:  # noqa: PLR2004
        return 0.5
    some = np.sort(np.random.default_rng(data.seed).permutation(len(learn))[:CHECKED_ROWS])
    at_n, _ = _nearest(known_md[some], known_md, without=some)
    hits = int((data.truth_n[learn][at_n] == data.truth_n[learn][some]).sum())
    return (hits + 1) / (len(some) + 2)
