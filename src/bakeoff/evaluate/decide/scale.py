"""How much a value is: beside the target's mean and spread, and beside the best baseline."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.measure import Measure
from bakeoff.results.scorecard import Scorecard

if TYPE_CHECKING:
    from bakeoff.results.verdict import Verdict, Yardstick

__all__ = ["scale"]

ERRORS = ("rmse", "mae")


def scale(
    verdict: "Verdict", card: Scorecard, truth_n: NDArray[Any], measure: Measure, *, unit: str = ""
) -> str | None:
    """One or two sentences; None where nothing is known beside the value itself.

    Args:
        verdict: with its yardstick, if there is one.
        card: of the winner, or of who would have won.
        truth_n: the truth of the test rows.
        measure: the deciding metric.
        unit: of the target, if its values are written with one.
    """
    parts = [_of_numbers(card, truth_n, f" {unit}" if unit else "")] if measure.task == "regression" else []
    if verdict.yardstick is not None:
        parts.append(_of_baseline(verdict.yardstick, measure))
    return " ".join(part for part in parts if part) or None


def _of_numbers(card: Scorecard, truth_n: NDArray[Any], unit: str) -> str:
    """The usual errors beside the mean and the spread of what is predicted, and the share of it that is explained."""
    truth_n = np.asarray(truth_n, dtype=np.float64)
    errors = [f"{name} {_plain(card.metrics[name].value)}{unit}" for name in ERRORS if name in card.metrics]
    if not errors:
        return ""
    spread = (
        f"a mean of {_plain(float(truth_n.mean()))}{unit} and a standard deviation of {_plain(float(truth_n.std()))}"
    )
    explained = card.metrics.get("r2")
    share = "" if explained is None else f"; {max(0.0, explained.value):.0%} of its variance is explained"
    return f"{' and '.join(errors)}, where the target of the test rows has {spread}{unit}{share}."


def _of_baseline(yardstick: "Yardstick", measure: Measure) -> str:
    """How much of the best baseline's error is gone."""
    gone = yardstick.improvement
    if gone is None:
        return ""
    error = f"the error of the best baseline, {yardstick.baseline!r}"
    if measure.task != "regression":
        error = f"what {yardstick.baseline!r}, the best baseline, lacks"
    value = f"({measure.name} {_plain(yardstick.value)})"
    if gone <= 0:
        return f"Of {error} {value}, nothing is gone."
    return f"Of {error} {value}, {gone:.0%} is gone."


def _plain(value: float) -> str:
    """About four digits, without an exponent where that stays short."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"  # noqa: PLR2004
