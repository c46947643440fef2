"""When a price counts as lower: prices come from timings, which are never twice the same."""

from bakeoff.evaluate.scorecard import Scorecard

__all__ = ["CHEAPER", "clearly_cheaper"]

CHEAPER = 1.5
"""How many times cheaper a candidate must be for its price to count."""


def clearly_cheaper(card: Scorecard, other: Scorecard) -> bool:
    """Whether a candidate is cheaper by a factor of 1.5, even if its slow batches are held against the other's fastest.

    Prices are of the fastest batch; `cost_spread` is how much the same work varied while it was timed.
    """
    dear = other.cost_usd_per_1k
    return card.cost_usd_per_1k < dear and card.cost_usd_per_1k * card.cost_spread * CHEAPER <= dear  # both may be free
