from dataclasses import replace

import numpy as np
import pytest

from bakeoff.config.sections import CostConfig
from bakeoff.core.types import Predictions
from bakeoff.evaluate.score.prices import clearly_cheaper, monthly
from bakeoff.metrics.timing import measure
from bakeoff.results.scorecard import Scorecard

CARD = Scorecard(
    metrics={},
    n_test=10,
    intervals="",
    per_class={},
    latency_ms={},
    throughput_rows_s=1.0,
    train_s=1.0,
    size_bytes=1,
    cost_usd_per_1k=1.0,
)


@pytest.mark.parametrize(
    ("cost", "spread", "cheaper"), [(1.0, 1.0, True), (1.01, 1.0, False), (1.0, 1.1, False), (0.5, 1.9, True)]
)
def test_a_price_counts_beyond_what_timings_vary(cost, spread, cheaper):
    card, other = replace(CARD, cost_usd_per_1k=cost, cost_spread=spread), replace(CARD, cost_usd_per_1k=1.5)
    assert clearly_cheaper(card, other) is cheaper
    assert not clearly_cheaper(other, card)


def test_what_is_free_is_cheaper_than_what_is_not_and_than_nothing_else():
    free = replace(CARD, cost_usd_per_1k=0.0)
    assert not clearly_cheaper(free, free)
    assert clearly_cheaper(free, CARD)
    assert not clearly_cheaper(CARD, free)


def test_batches_of_a_fast_model_are_timed_for_a_while_and_their_spread_is_kept():
    import polars as pl

    class Model:
        batches = 0

        def predict(self, table):
            self.batches += table.height > 1
            return Predictions(values_n=np.zeros(table.height))

    model = Model()
    speed = measure(model, pl.DataFrame({"x": np.arange(50.0)}), seed=0)
    assert model.batches > 10
    assert speed.spread >= 1


def test_a_month_at_the_teams_own_traffic():
    config = CostConfig(price_per_hour_usd=0.1, requests_per_day=100_000)
    card = replace(CARD, single_cost_usd_per_1k=0.01)
    month = monthly(card, config)
    assert month.requests == pytest.approx(3_043_750)
    assert month.used_usd == pytest.approx(30.4375)
    assert (month.machines, month.machines_usd) == (1, pytest.approx(73.05))
    busy = monthly(card, CostConfig(price_per_hour_usd=0.1, requests_per_day=500_000))
    assert busy.machines == 3  # 152 dollars of time do not fit into two machines' months
    bought = monthly(replace(card, takes_machine=False), config)
    assert (bought.machines, bought.machines_usd) == (0, 0.0)
    assert monthly(CARD, config) is None
    assert monthly(card, CostConfig()) is None
