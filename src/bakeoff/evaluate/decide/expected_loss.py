"""What the candidates are worth to the project when their true metrics are not known, only how far they may be off."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bakeoff.evaluate.decide.differences import Field, joint_errors
from bakeoff.evaluate.decide.utility import Utility
from bakeoff.results.scorecard import Scorecard

__all__ = ["Worth", "expected_worth"]

DRAWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """By candidate: its expected utility (None where undefined), the chance that it has the highest, and its loss.

    The loss is how much less than the highest it is expected to be.
    """

    expected: Mapping[str, float | None]
    p_best: Mapping[str, float]
    loss: Mapping[str, float]


def expected_worth(utility: Utility, scored: Mapping[str, Scorecard], fields: Mapping[str, Field]) -> Worth:
    """The utility under draws of what the metrics may truly be, jointly over candidates and metrics.

    `fields` are those of the metrics in the expression; measurements are taken as they are. Of a straight line the
    expectation is the utility of the expected metrics; of a threshold it is not: just over it is not safely over it. A
    candidate whose utility is undefined in some draws is taken as measured.
    """
    errors = joint_errors(fields, draws=DRAWS)
    drawn: dict[str, NDArray[np.float64]] = {}
    expected: dict[str, float | None] = {}
    for name, card in scored.items():
        expected[name] = utility(card.number)
        if expected[name] is None:
            continue
        values = _values(card, fields, {metric: error[name] for metric, error in errors.items()})
        worths = [utility(partial(_number, card, values, at)) for at in range(DRAWS)]
        known = np.asarray([expected[name] if each is None else each for each in worths], dtype=np.float64)
        drawn[name] = known
        expected[name] = float(known.mean())
    if not drawn:
        return Worth(expected=expected, p_best={}, loss={})
    worth_rk = np.column_stack(list(drawn.values()))
    top_r = worth_rk.max(axis=1)
    best_rk = worth_rk == top_r[:, None]
    share_k = (best_rk / best_rk.sum(axis=1, keepdims=True)).mean(axis=0)
    loss_k = (top_r[:, None] - worth_rk).mean(axis=0)
    return Worth(
        expected=expected,
        p_best=dict(zip(drawn, share_k.tolist(), strict=True)),
        loss=dict(zip(drawn, loss_k.tolist(), strict=True)),
    )


def _values(
    card: Scorecard, fields: Mapping[str, Field], error_r: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """The metrics of a candidate in every draw, within what they can be."""
    return {
        metric: np.clip(card.metrics[metric].value + error_r[metric], *field.measure.bounds)
        for metric, field in fields.items()
        if metric in card.metrics
    }


def _number(card: Scorecard, values: Mapping[str, NDArray[np.float64]], at: int, name: str) -> float | None:
    return float(values[name][at]) if name in values else card.number(name)
