import time

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import DataError
from bakeoff.core.types import Predictions
from bakeoff.evaluate.latency import measure


class Sleeper:
    def __init__(self, seconds=0.0):
        self.seconds, self.calls = seconds, []

    def predict(self, table):
        self.calls.append(table.height)
        time.sleep(self.seconds)
        return Predictions(values_n=np.zeros(table.height))


TABLE = pl.DataFrame({"x": np.arange(50.0)})


def test_single_rows_and_batches_are_timed():
    model = Sleeper(0.002)
    speed = measure(model, TABLE, seed=0, calls=20, budget_s=1.0)
    assert 2 <= speed.latency_ms["p50"] <= speed.latency_ms["p95"]
    assert model.calls.count(1) == 25
    assert set(model.calls) == {1, 50}
    assert 1000 < speed.throughput_rows_s < 25_000


def test_slow_models_are_cut_short():
    model = Sleeper(0.03)
    measure(model, TABLE, seed=0, calls=200, budget_s=0.1)
    assert model.calls.count(1) == 10
    assert model.calls.count(50) >= 2


def test_nothing_to_time():
    with pytest.raises(DataError, match="at least one row"):
        measure(Sleeper(), TABLE.head(0), seed=0)
