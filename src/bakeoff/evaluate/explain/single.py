"""Why a model answers one row as it does, beside the average of other rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.abilities import abilities_of
from bakeoff.core.attribution import Attribution
from bakeoff.core.protocols import Model
from bakeoff.core.types import Column
from bakeoff.evaluate.explain.contributions import value_of
from bakeoff.evaluate.explain.words import removed, tokens
from bakeoff.evaluate.explain.worker import MANY, SCORES
from bakeoff.results.explanation import AnswerPart, RowExplanation

if TYPE_CHECKING:
    import polars as pl

__all__ = ["explained_row"]

BACKGROUND = 100
ORDERS = 100
"""Orders in which columns take the row's values, where the model cannot tell what they add."""
MOST_PREDICTED = 4000
MOST_WORDS = 200
SHOWN_WORDS = 30
LONGEST = 200
NOTHING = 1e-9
"""What is less is rounding."""


def explained_row(
    model: Model, row: "pl.DataFrame", others: "pl.DataFrame", *, name: str, seed: int = 0
) -> RowExplanation:
    """Explain the answer to a table of one row, beside at most `BACKGROUND` of the `others`.

    A model that knows what columns add to its scores tells it, beside what they add to the others on average. Of any
    other, columns take the row's values one after the other, in random orders and from random rows, and what each
    changes is averaged: an estimate of Shapley values that adds up exactly.
    Source: E. Štrumbelj, I. Kononenko (2014), "Explaining Prediction Models and Individual Predictions".

    Args:
        model: what answers.
        row: the row, prepared.
        others: test rows, prepared likewise.
        name: the model's, to be shown.
        seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    some = others[np.sort(rng.permutation(len(others))[:BACKGROUND])]
    answers = model.predict(row)
    output = "" if answers.probabilities_nk is None else str(answers.values_n[0])
    columns, texts = model.signature.inputs, _texts(row, model.signature.inputs)
    attribute = abilities_of(model).attribute
    if attribute is not None:
        own, average = attribute(row, words=bool(texts)), attribute(some)
        sign, k = _scale(model.signature.classes, output)
        adds_c = sign * (own.adds_nck[0, :, k] - average.adds_nck[:, :, k].mean(axis=0))
        base = sign * float(average.score_nk[:, k].mean())
        score, how, names = sign * float(own.score_nk[0, k]), own.how, own.columns
        unit = SCORES.get(len(model.signature.classes), MANY)
        words, words_how = _own_words(own, sign, k), "what they add to the score" if own.words else ""
    else:
        names = tuple(column.name for column in columns)
        adds_c, base, score, orders = _sampled(model, row, some, names=names, output=output, rng=rng)
        how, unit = f"Shapley values from {orders} random orders", "probability" if output else "the number"
        words, words_how = (), ""
    if texts and not words:
        words, words_how = _without(model, row, texts, output, score if attribute is None else None)
    return RowExplanation(
        model=name,
        answer=str(answers.values_n[0]),
        probability=None if answers.probabilities_nk is None else float(answers.probabilities_nk[0].max()),
        output=output,
        unit=unit,
        how=how,
        base=base,
        score=score,
        background=len(some),
        columns=_ranked(
            [AnswerPart(column=c, adds=float(a), value=_shown(row, c)) for c, a in zip(names, adds_c, strict=True)]
        ),
        words=_ranked([each for each in words if abs(each.adds) > NOTHING])[:SHOWN_WORDS],
        words_how=words_how,
    )


def _scale(classes: Sequence[str], output: str) -> tuple[float, int]:
    """The sign and the place of an output's score: that of two classes is the second one's."""
    if len(classes) <= 2:  # noqa: PLR2004
        return (-1.0 if output and output == classes[0] else 1.0), 0
    return 1.0, classes.index(output)


def _texts(row: "pl.DataFrame", columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns if column.kind == "text" and row[column.name][0]]


def _own_words(own: Attribution, sign: float, k: int) -> tuple[AnswerPart, ...]:
    known = own.words[0].items() if own.words else ()
    return tuple(AnswerPart(column=c, word=w, adds=sign * float(adds_k[k])) for (c, w), adds_k in known)


def _sampled(
    model: Model, row: "pl.DataFrame", others: "pl.DataFrame", *, names: Sequence[str], output: str, rng: Any
) -> tuple[NDArray[np.float64], float, float, int]:
    """What each column adds (c,), the mean of the others, the row's own, and in how many orders it was tried."""
    import polars as pl

    orders = max(1, min(ORDERS, MOST_PREDICTED // (len(names) + 1)))
    drawn = rng.integers(0, len(others), orders)
    walks = [rng.permutation(len(names)) for _ in range(orders)]
    steps: list[pl.DataFrame] = []
    for at, walk in zip(drawn.tolist(), walks, strict=True):
        mixed = others[at : at + 1].select(names)
        steps.append(mixed)
        for column in walk.tolist():
            mixed = mixed.with_columns(row[names[column]])
            steps.append(mixed)
    value_ms = value_of(model.predict(pl.concat(steps, how="vertical_relaxed")), output).reshape(orders, -1)
    adds_c = np.zeros(len(names))
    for walk, value_s in zip(walks, value_ms, strict=True):
        adds_c[walk] += np.diff(value_s)
    return adds_c / orders, float(value_ms[:, 0].mean()), float(value_ms[:, -1].mean()), orders


def _without(
    model: Model, row: "pl.DataFrame", texts: Sequence[str], output: str, score: float | None
) -> tuple[tuple[AnswerPart, ...], str]:
    """What the answer loses without each word of its texts."""
    import polars as pl

    words = [(name, word) for name in texts for word in dict.fromkeys(tokens(str(row[name][0])))][:MOST_WORDS]
    if not words:
        return (), ""
    whole = float(value_of(model.predict(row), output)[0]) if score is None else score
    changed = [row.with_columns(pl.Series(n, [removed(str(row[n][0]), w)], dtype=row[n].dtype)) for n, w in words]
    value_w = value_of(model.predict(pl.concat(changed)), output)
    parts = tuple(AnswerPart(column=n, word=w, adds=whole - float(v)) for (n, w), v in zip(words, value_w, strict=True))
    return parts, f"what the {'probability' if output else 'number'} loses without them"


def _ranked(parts: Sequence[AnswerPart]) -> tuple[AnswerPart, ...]:
    return tuple(sorted(parts, key=lambda each: -abs(each.adds)))


def _shown(row: "pl.DataFrame", name: str) -> str:
    if name not in row.columns:
        return ""
    value = row[name][0]
    return "–" if value is None else str(value)[:LONGEST]
