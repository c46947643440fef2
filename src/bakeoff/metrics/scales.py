"""The scale on which a measure's estimate is about normal: logit between two bounds, log beyond one."""

import math
from dataclasses import dataclass

__all__ = ["UNBOUNDED", "Scale"]

UNBOUNDED = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Scale:
    """Carries values between `low` and `high` to the whole line and back.

    >>> share = Scale(0.0, 1.0)
    >>> round(share.back(share.forward(0.25)), 6), Scale(0.0, math.inf).forward(1.0)
    (0.25, 0.0)
    """

    low: float
    high: float

    def inside(self, value: float) -> bool:
        """Whether the value has a place on the line: it is at no bound."""
        return self.low < value < self.high

    def forward(self, value: float) -> float:
        """The place on the line of a value inside the bounds."""
        below, above = math.isfinite(self.low), math.isfinite(self.high)
        if below and above:
            return math.log((value - self.low) / (self.high - value))
        if below:
            return math.log(value - self.low)
        return -math.log(self.high - value) if above else value

    def slope(self, value: float) -> float:
        """The derivative of `forward` there."""
        of_low = 1 / (value - self.low) if math.isfinite(self.low) else 0.0
        of_high = 1 / (self.high - value) if math.isfinite(self.high) else 0.0
        return of_low + of_high or 1.0

    def back(self, place: float) -> float:
        """The value at a place on the line."""
        below, above = math.isfinite(self.low), math.isfinite(self.high)
        if below and above:
            share = 1 / (1 + math.exp(-place)) if place >= 0 else math.exp(place) / (1 + math.exp(place))
            return self.low + (self.high - self.low) * share
        if below:
            return self.low + _exp(place)
        return self.high - _exp(-place) if above else place


def _exp(power: float) -> float:
    return math.exp(min(power, 700.0))  # beyond it a float has no room
