"""How much worse counts as no worse, where the project does not say."""

import math

from bakeoff.config.sections import DecideConfig
from bakeoff.metrics.measure import Measure

__all__ = ["champion_margin", "default_margin", "margin_of"]

POINT = 0.01
"""Of measures that end at 1 or within two units."""
SHARE = 0.02
"""Of the best value, for all others."""
WIDEST = 2.0


def default_margin(measure: Measure, best: float) -> float:
    """One point of a measure with ends close by; else 2% of the best value, in the measure's own unit.

    It is the same for any number of rows: a margin that grows with the noise would help the worse model.
    """
    low, high = measure.bounds
    near = high - low <= WIDEST or (math.isfinite(high) and not math.isfinite(low))
    return POINT if near else SHARE * abs(best)


def margin_of(config: DecideConfig, measure: Measure, best: float) -> float:
    """The project's margin, or the default one."""
    return default_margin(measure, best) if config.margin is None else config.margin


def champion_margin(config: DecideConfig, measure: Measure, value: float) -> float:
    """By how much a successor may be worse than the champion: none unless the project or its rule allows some."""
    if config.margin is None and config.champion != "non_inferior":
        return 0.0
    return margin_of(config, measure, value)
