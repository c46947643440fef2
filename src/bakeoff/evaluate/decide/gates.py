"""Gates: limits that a candidate must keep, by its value or with a stated confidence."""

import math
from statistics import NormalDist

from bakeoff.config.sections import DecideConfig
from bakeoff.evaluate.decide.looks import look_share
from bakeoff.metrics.intervals import LEVEL, Interval
from bakeoff.results.scorecard import Scorecard
from bakeoff.results.verdict import GateOutcome

__all__ = ["GateOutcome", "gate_outcomes"]


def gate_outcomes(
    name: str, card: Scorecard, config: DecideConfig, *, among: int = 1, look: int | None = None
) -> tuple[GateOutcome, ...]:
    """What every gate says of one candidate; `among`: of so many, any of which might pass by luck.

    `look`: the gates are held against the same test rows for the n-th time; all times together pass wrongly with the
    chance that the gate allows.
    """
    spent = (1.0 if look is None else look_share(look)) / max(1, among)
    return tuple(_gate(name, card, config, metric, spent) for metric in config.gates)


def _gate(name: str, card: Scorecard, config: DecideConfig, metric: str, spent: float) -> GateOutcome:
    gate, value = config.gates[metric], card.number(metric)
    low = -math.inf if gate.min is None else gate.min
    high = math.inf if gate.max is None else gate.max
    passed, bound = value is not None and low <= value <= high, None
    if gate.confidence is not None and value is not None:
        ends = one_sided(card.metrics[metric], 1 - (1 - gate.confidence) * spent)
        passed = ends is not None and low <= ends[0] and ends[1] <= high
        bound = None if ends is None else ends[0] if gate.min is not None else ends[1]
    return GateOutcome(
        candidate=name,
        metric=metric,
        value=value,
        min=gate.min,
        max=gate.max,
        passed=passed,
        confidence=gate.confidence,
        bound=bound,
    )


def one_sided(interval: Interval, confidence: float) -> tuple[float, float] | None:
    """The ends of which each one alone holds with this confidence, from those of a 95% interval; None if unknown."""
    if interval.low is None or interval.high is None:
        return None
    times = NormalDist().inv_cdf(confidence) / NormalDist().inv_cdf(0.5 + LEVEL / 2)
    value = interval.value
    return value - times * (value - interval.low), value + times * (interval.high - value)
