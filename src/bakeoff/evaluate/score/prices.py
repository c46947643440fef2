"""When a price counts as lower (prices come from timings, which are never twice the same), and what a month costs."""

import math

from bakeoff.config.sections import CostConfig
from bakeoff.results.candidate import Monthly
from bakeoff.results.scorecard import Scorecard

__all__ = ["CHEAPER", "Monthly", "clearly_cheaper", "monthly"]

DAYS, HOURS = 365.25 / 12, 365.25 * 2
"""Of a month."""

CHEAPER = 1.5
"""How many times cheaper a candidate must be for its price to count."""


def clearly_cheaper(card: Scorecard, other: Scorecard) -> bool:
    """Whether a candidate is cheaper by a factor of 1.5, even if its slow batches are held against the other's fastest.

    Prices are of the fastest batch; `cost_spread` is how much the same work varied while it was timed.
    """
    dear = other.cost_usd_per_1k
    return card.cost_usd_per_1k < dear and card.cost_usd_per_1k * card.cost_spread * CHEAPER <= dear  # both may be free


def monthly(card: Scorecard, cost: CostConfig) -> Monthly | None:
    """None without `requests_per_day`, or where single rows were not timed."""
    per_1k = card.single_cost_usd_per_1k
    if cost.requests_per_day is None or per_1k is None:
        return None
    requests = cost.requests_per_day * DAYS
    used = requests / 1000 * per_1k
    if not card.takes_machine:
        return Monthly(requests=requests, used_usd=used, machines=0, machines_usd=0.0)
    always_on = cost.price_per_hour_usd * HOURS
    machines = max(1, math.ceil(used / always_on))  # the price of a row holds the utilisation already
    return Monthly(requests=requests, used_usd=used, machines=machines, machines_usd=machines * always_on)
