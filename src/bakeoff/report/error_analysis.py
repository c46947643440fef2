"""Per-row outcomes, read for what a person would look at: reliability, agreement, rows worth reading."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions, Task
from bakeoff.metrics.intervals import wilson
from bakeoff.metrics.texts import token_f1
from bakeoff.report.model import Agreement, CandidateAnswer, ReliabilityBin, Row
from bakeoff.report.numbers import cut, number

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Outcomes", "agreement", "reliability", "worth_reading"]

Outcomes: TypeAlias = tuple[NDArray[Any], Predictions]
"""Truth and predictions, in the order of the test rows."""

BINS = 10
LONGEST_TEXT = 1500
MOST_COLUMNS = 40
QUANTILES = (0.1, 0.9)


def reliability(outcomes: Outcomes, task: Task) -> tuple[ReliabilityBin, ...]:
    """Tenths of the rows by what was predicted, against what was observed; none without probabilities."""
    truth_n, said = outcomes
    if task == "classification":
        if said.probabilities_nk is None:
            return ()
        predicted_n = said.probabilities_nk.max(axis=1)
        observed_n = _right(outcomes).astype(np.float64)
    elif task == "regression":
        predicted_n, observed_n = said.values_n.astype(np.float64), truth_n.astype(np.float64)
    else:
        return ()
    parts = np.array_split(np.argsort(predicted_n, kind="stable"), min(BINS, len(predicted_n)))
    return tuple(_bin(predicted_n[part], observed_n[part], shares=task == "classification") for part in parts)


def _bin(predicted: NDArray[np.float64], observed: NDArray[np.float64], *, shares: bool) -> ReliabilityBin:
    ends = wilson(float(observed.sum()), len(observed)) if shares else np.quantile(observed, QUANTILES).tolist()
    return ReliabilityBin(
        predicted=float(predicted.mean()),
        observed=float(observed.mean()),
        low=float(ends[0]),
        high=float(ends[1]),
        rows=len(observed),
    )


def agreement(outcomes: Mapping[str, Outcomes], task: Task) -> Agreement | None:
    """How often the candidates are right together; None unless several classify."""
    if task != "classification" or len(outcomes) < 2:  # noqa: PLR2004
        return None
    right_nc = np.column_stack([_right(each) for each in outcomes.values()])
    all_right, some_right = right_nc.all(axis=1), right_nc.any(axis=1)
    return Agreement(
        all_right=int(all_right.sum()),
        all_wrong=int((~some_right).sum()),
        mixed=int((some_right & ~all_right).sum()),
    )


def worth_reading(
    outcomes: Mapping[str, Outcomes], task: Task, table: "pl.DataFrame", target: str, *, most: int = 12
) -> tuple[Row, ...]:
    """The rows on which candidates disagree most; of a single candidate, its worst mistakes.

    Candidates disagree by the largest difference of the probabilities that they give to a class, of the numbers that
    they predict, or of how much of the true text they say; rows to which they give different answers come first.
    """
    if not outcomes:
        return ()
    spread_n = _spread(list(outcomes.values()), task)
    order = [int(at) for at in np.argsort(-spread_n, kind="stable")[:most] if spread_n[at] > 0]
    picked = table[order]
    inputs = [name for name in table.columns if name != target][:MOST_COLUMNS]
    return tuple(
        Row(
            number=at + 1,
            inputs={name: _value(row[name]) for name in inputs},
            truth=_value(next(iter(outcomes.values()))[0][at]),
            answers=tuple(_answer(name, each, at, task) for name, each in outcomes.items()),
        )
        for at, row in zip(order, picked.iter_rows(named=True), strict=True)
    )


def _spread(outcomes: Sequence[Outcomes], task: Task) -> NDArray[np.float64]:
    truth_n, said = outcomes[0]
    if task == "generation":
        return _differing_texts(outcomes)
    if task != "classification":
        values_cn = np.stack([predictions.values_n.astype(np.float64) for _, predictions in outcomes])
        return np.abs(values_cn[0] - truth_n.astype(np.float64)) if len(outcomes) == 1 else np.ptp(values_cn, axis=0)
    if len(outcomes) == 1:
        sure_n = np.ones(len(said)) if said.probabilities_nk is None else said.probabilities_nk.max(axis=1)
        return np.where(_right(outcomes[0]), 0.0, sure_n)
    classes = sorted({str(name) for _, each in outcomes for name in (*each.classes, *np.unique(each.values_n))})
    low_nk = high_nk = _shares(said, classes)
    for _, predictions in outcomes[1:]:
        shares_nk = _shares(predictions, classes)
        low_nk, high_nk = np.minimum(low_nk, shares_nk), np.maximum(high_nk, shares_nk)
    differs_n = np.any([each.values_n.astype(np.str_) != said.values_n.astype(np.str_) for _, each in outcomes], axis=0)
    return (high_nk - low_nk).max(axis=1) + differs_n


def _differing_texts(outcomes: Sequence[Outcomes]) -> NDArray[np.float64]:
    """How far the best answer is from the worst by token F1 with the truth; of one candidate, its distance."""
    truth_n = outcomes[0][0]
    score_cn = np.asarray(
        [
            [token_f1(str(truth), str(text)) for truth, text in zip(truth_n, said.values_n, strict=True)]
            for _, said in outcomes
        ]
    )
    return 1.0 - score_cn[0] if len(outcomes) == 1 else np.ptp(score_cn, axis=0)


def _shares(said: Predictions, classes: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities (n, k) in the order of `classes`; an answer without probabilities has all of it."""
    shares_nk = np.zeros((len(said), len(classes)))
    if said.probabilities_nk is None:
        at = np.searchsorted(np.asarray(classes), said.values_n.astype(np.str_))
        shares_nk[np.arange(len(said)), at] = 1.0
    else:
        shares_nk[:, [classes.index(name) for name in said.classes]] = said.probabilities_nk
    return shares_nk


def _right(outcomes: Outcomes) -> NDArray[np.bool_]:
    truth_n, said = outcomes
    return truth_n.astype(np.str_) == said.values_n.astype(np.str_)


def _answer(name: str, outcomes: Outcomes, at: int, task: Task) -> CandidateAnswer:
    truth_n, said = outcomes
    if task != "classification":
        return CandidateAnswer(candidate=name, said=_value(said.values_n[at]))
    shares = said.probabilities_nk
    return CandidateAnswer(
        candidate=name,
        said=_value(said.values_n[at]),
        probability=None if shares is None else float(shares[at].max()),
        right=str(truth_n[at]) == str(said.values_n[at]),
    )


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        whole = float(value).is_integer()
        return f"{value:.0f}" if whole and abs(value) < 1e15 else number(float(value))  # noqa: PLR2004
    text = str(value)
    rest = len(text) - LONGEST_TEXT
    return text if rest <= 0 else f"{cut(text, LONGEST_TEXT)} ({rest:,} more characters)"
