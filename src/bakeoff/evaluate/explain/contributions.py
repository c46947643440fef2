"""What columns and words add to scores, over many rows; or, of other models, what leaving words out takes away."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.attribution import Attribution
from bakeoff.core.deadline import WorkLimit
from bakeoff.evaluate.explain.associations import ordered
from bakeoff.evaluate.explain.rows import ExplainedRows
from bakeoff.evaluate.explain.words import removed, tokens
from bakeoff.results.explanation import Contribution, WordWeight

__all__ = ["attributed", "contributions", "left_out", "word_weights"]

TRIAL = 20
"""Rows by which the time for more is told."""
MOST = 300
MOST_POINTS = 100
COLUMNS = 15
WITH_POINTS = 8
MOST_WORDS = 12
"""Words of an output, for it and against it each."""
FEWEST_HOLDING = 3
"""Rows that must hold a word before it is told of."""
CANDIDATE_WORDS = 60
NOTHING = 1e-9
"""What is less is rounding."""


def attributed(
    attribute: Callable[..., Attribution], rows: ExplainedRows, limit_s: float, *, words: bool
) -> tuple[ExplainedRows, Attribution]:
    """As many rows as the time allows, a few at the least, and what columns add there."""
    deadline = WorkLimit(limit_s)
    few = rows.sample(TRIAL)
    first = attribute(few.table, words=words)
    each_s = deadline.used_s / max(1, len(few))
    more = min(MOST, len(rows), int(deadline.left_s / max(each_s, 1e-9)))
    if more <= len(few):
        return few, first
    some = rows.sample(more)
    return some, attribute(some.table, words=words)


def contributions(
    rows: ExplainedRows, attribution: Attribution, outputs: Sequence[str], at_k: Sequence[int]
) -> tuple[Contribution, ...]:
    """The columns by the mean size of what they add to these outputs beside the average row, the largest first."""
    sign = -1.0 if _reversed(rows, outputs) else 1.0
    adds_nck = sign * (attribution.adds_nck - attribution.adds_nck.mean(axis=0))
    size_ck = np.abs(adds_nck).mean(axis=0)
    size_c = size_ck[:, list(at_k)].mean(axis=1)
    order = np.argsort(-size_c, kind="stable")[:COLUMNS]
    kinds = {column.name: column.kind for column in rows.columns}
    shown = np.linspace(0, len(rows) - 1, min(MOST_POINTS, len(rows))).astype(np.int64)
    made: list[Contribution] = []
    for rank, at in enumerate(order.tolist()):
        name = attribution.columns[at]
        place_n = _places(rows, name, kinds.get(name, "text"))
        points = tuple(
            (None if np.isnan(place_n[row]) else round(float(place_n[row]), 3), _short(adds_nck[row, at, at_k[0]]))
            for row in (shown.tolist() if rank < WITH_POINTS and len(outputs) == 1 else ())
        )
        by_output = {output: _short(size_ck[at, k]) for output, k in zip(outputs, at_k, strict=True)}
        made.append(Contribution(column=name, size=_short(size_c[at]), by_output=by_output, points=points))
    return tuple(made)


def _reversed(rows: ExplainedRows, outputs: Sequence[str]) -> bool:
    """Whether the output is the first of two classes: scores are the log odds of the second."""
    return len(rows.predictions.classes) == 2 and tuple(outputs) == rows.predictions.classes[:1]  # noqa: PLR2004


def _places(rows: ExplainedRows, name: str, kind: str) -> NDArray[np.float64]:
    """Where each value stands among all of its column, from 0 to 1; NaN where it has no place."""
    if kind not in {"numeric", "boolean", "datetime"}:
        return np.full(len(rows), np.nan)
    value_n = ordered(rows.table[name])
    known = np.sort(value_n[np.isfinite(value_n)])
    place_n = (np.searchsorted(known, value_n, "left") + np.searchsorted(known, value_n, "right") - 1) / 2
    return np.where(np.isfinite(value_n), place_n / max(1, len(known) - 1), np.nan).clip(0, 1)


def word_weights(
    rows: ExplainedRows, attribution: Attribution, outputs: Sequence[str], at_k: Sequence[int]
) -> tuple[WordWeight, ...]:
    """The words that add most to each output, and those that take most away, over the rows that hold them."""
    sums: dict[tuple[str, str], NDArray[Any]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for row in attribution.words:
        for word, adds_k in row.items():
            sums[word] = sums.get(word, 0.0) + adds_k
        counts.update(row.keys())
    sign = -1.0 if _reversed(rows, outputs) else 1.0
    totals = {word: sign * adds_k for word, adds_k in sums.items() if counts[word] >= FEWEST_HOLDING}
    return tuple(
        each
        for output, k in zip(outputs, at_k, strict=True)
        for each in _strongest({word: float(adds_k[k]) for word, adds_k in totals.items()}, counts, output)
    )


def _strongest(
    totals: dict[tuple[str, str], float], counts: "Counter[tuple[str, str]]", output: str
) -> list[WordWeight]:
    """By what they add to all rows together, so that neither rare nor weak words come first."""
    ranked = sorted(totals, key=lambda word: (-totals[word], word))
    picked = [word for word in ranked[:MOST_WORDS] if totals[word] > NOTHING]
    picked += [word for word in ranked[-MOST_WORDS:] if totals[word] < -NOTHING]
    return [
        WordWeight(
            column=column,
            word=word,
            output=output,
            adds=_short(totals[column, word] / counts[column, word]),
            rows=counts[column, word],
        )
        for column, word in picked
    ]


def left_out(rows: ExplainedRows, outputs: Sequence[str], limit_s: float) -> tuple[WordWeight, ...]:
    """What the probability (or number) loses when a word is left out of the texts that hold it, for frequent words.

    Source: J. Li, W. Monroe, D. Jurafsky (2016), "Understanding Neural Networks through Representation Erasure".
    """
    import polars as pl

    texts = [column.name for column in rows.columns if column.kind == "text"]
    affordable = int(limit_s * rows.rows_per_s)
    holders = _holders(rows, texts)
    picked: list[tuple[tuple[str, str], list[int]]] = []
    for word, holding in holders:
        if len(holding) <= affordable and len(picked) < CANDIDATE_WORDS:
            affordable -= len(holding)
            picked.append((word, holding))
    if not picked:
        return ()
    changed: list[pl.DataFrame] = []
    for (column, word), holding in picked:
        part = rows.table[holding]
        without = [removed(str(text), word) for text in part[column].fill_null("").to_list()]
        changed.append(part.with_columns(pl.Series(column, without, dtype=part[column].dtype)))
    answers = rows.answers(pl.concat(changed))
    totals: dict[str, dict[tuple[str, str], float]] = {output: {} for output in outputs}
    start = 0
    for word, holding in picked:
        part = answers.take(np.arange(start, start + len(holding)))
        start += len(holding)
        for output in outputs:
            before_n = value_of(rows.predictions.take(np.asarray(holding)), output)
            totals[output][word] = float((before_n - value_of(part, output)).sum())
    counts = Counter({word: len(holding) for word, holding in picked})
    return tuple(each for output in outputs for each in _strongest(totals[output], counts, output))


MOST_HOLDING = 20
"""Rows that a word is left out of."""


def _holders(rows: ExplainedRows, texts: Sequence[str]) -> list[tuple[tuple[str, str], list[int]]]:
    """Words with the first rows that hold them: those first that are in many rows and go with the answer."""
    answer_n = rows.predictions.values_n
    of_class = answer_n.astype(np.str_) if rows.predictions.probabilities_nk is not None else None
    rows_with: dict[tuple[str, str], list[int]] = {}
    for column in texts:
        for row, text in enumerate(rows.table[column].fill_null("").to_list()):
            for word in dict.fromkeys(tokens(str(text))):
                rows_with.setdefault((column, word), []).append(row)
    common = {word: holding for word, holding in rows_with.items() if FEWEST_HOLDING <= len(holding) < 0.9 * len(rows)}

    def telling(holding: list[int]) -> float:
        if of_class is None:
            value_n = answer_n.astype(np.float64)
            return abs(float(value_n[holding].mean() - value_n.mean())) * len(holding) ** 0.5
        inside = Counter(of_class[holding].tolist())
        everywhere = Counter(of_class.tolist())
        return max(
            abs(inside[name] - len(holding) * rows_of / len(rows)) / (len(holding) * rows_of / len(rows)) ** 0.5
            for name, rows_of in everywhere.items()
        )

    ranked = sorted(common.items(), key=lambda item: (-telling(item[1]), item[0]))
    return [(word, holding[:MOST_HOLDING]) for word, holding in ranked]


def value_of(answers: Any, output: str) -> NDArray[np.float64]:
    """The probability of a class, or the number."""
    if answers.probabilities_nk is None:
        return answers.values_n.astype(np.float64)
    return answers.probabilities_nk[:, answers.classes.index(output)]


def _short(value: float) -> float:
    return float(f"{value:.4g}")
