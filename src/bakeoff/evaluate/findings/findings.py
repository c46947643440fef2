"""What is found of one candidate beside its scorecard: slices, robustness, calibration; as JSON."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from numpy.typing import NDArray

from bakeoff.core import narrow
from bakeoff.core.types import Column, Json, Predictions
from bakeoff.evaluate.findings.calibration import calibration
from bakeoff.evaluate.findings.robustness import robustness
from bakeoff.evaluate.findings.slices import slices
from bakeoff.evaluate.score.own_history import own_history
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.outcome import Outcome, outcome

if TYPE_CHECKING:
    import polars as pl

__all__ = ["findings", "told_calibration"]

DIGITS = 5
"""Significant digits that are kept: findings are read, not computed with."""


def findings(
    predict: "Callable[[pl.DataFrame], Predictions]",
    table: "pl.DataFrame",
    truth_n: NDArray[Any],
    predictions: Predictions,
    measure: Measure,
    *,
    columns: Sequence[Column],
    inputs: Sequence[Column],
    seed: int,
    rows_per_s: float,
    groups_n: NDArray[Any] | None,
    own_turns: int = 0,
) -> dict[str, Json]:
    """`slices` and `weak_slices` (lists), `robustness` (a list), `calibration` (an object, or None).

    Args:
        predict: asks the model, with nothing remembered.
        table: the test rows.
        truth_n: what was true.
        predictions: what was said.
        measure: what decides.
        columns: those to slice by.
        inputs: those that the model reads, to be perturbed.
        seed: of everything random.
        rows_per_s: how fast the model predicts in batches.
        groups_n: the group of each row, if any.
        own_turns: of how many conversations the model's own earlier answers are tried.
    """
    parts = slices(table, truth_n, predictions, measure, columns, seed=seed, groups_n=groups_n)
    drops = robustness(
        predict,
        table,
        truth_n,
        predictions,
        measure,
        columns=inputs,
        seed=seed,
        rows_per_s=rows_per_s,
        groups_n=groups_n,
    )
    drops += own_history(
        predict,
        table,
        truth_n,
        predictions,
        measure,
        inputs=inputs,
        most=own_turns,
        seed=seed,
        groups_n=groups_n,
    )
    shares = predictions.probabilities_nk is not None
    return {
        "slices": _json(parts.slices),
        "weak_slices": _json(parts.weak),
        "slices_tested": parts.tested,
        "robustness": _json(drops),
        "calibration": told_calibration(outcome(truth_n, predictions, measure.task)) if shares else None,
    }


def told_calibration(test: Outcome, validation: Outcome | None = None) -> Json:
    """`bakeoff.evaluate.findings.calibration.Calibration` as JSON."""
    return _json(calibration(test, validation))


def _json(found: object) -> Json:
    return _short(msgspec.to_builtins(found))


def _short(value: Any) -> Json:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if narrow.is_object(value):
        return {key: _short(item) for key, item in value.items() if item is not None}
    if narrow.is_sequence(value):
        return [_short(item) for item in value]
    return value
