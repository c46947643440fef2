"""A run that is decided by a measure of quantiles, with a family that predicts them."""

import textwrap

import numpy as np
import polars as pl
import pytest

from bakeoff import Project

FAMILY = '''
"""Quantiles of the numbers of each group of rows, as a third party would write it."""

import json
from dataclasses import dataclass

import msgspec
import numpy as np
from bakeoff.core.types import Predictions, Signature


@dataclass(frozen=True)
class Params:
    wider: float = 0.0


class Model:
    chosen = {}

    def __init__(self, signature, ends, wider):
        self.signature, self.ends, self.wider = signature, ends, wider

    def predict(self, table):
        names = table["shop"].cast(str).fill_null("").to_list()
        low, middle, high = np.asarray([self.ends.get(name, self.ends[""]) for name in names]).reshape(-1, 3).T
        return Predictions(values_n=middle, scores={"0.1": low - self.wider, "0.5": middle, "0.9": high + self.wider})

    def save(self, folder):
        body = {"signature": msgspec.to_builtins(self.signature), "ends": self.ends, "wider": self.wider}
        (folder / "model.json").write_text(json.dumps(body))


class QuantileFamily:
    name = "quantile"
    tasks = frozenset({"regression"})
    params = Params
    requires = ("numpy",)
    extra = None

    def fit(self, job):
        import polars as pl

        table = pl.concat([job.train, job.validation])
        parts = {str(name): part for (name,), part in table.partition_by("shop", as_dict=True).items()} | {"": table}
        target = job.schema.target
        ends = {name: np.quantile(part[target].to_numpy(), [0.1, 0.5, 0.9]).tolist() for name, part in parts.items()}
        inputs = tuple(job.schema.column(name) for name in job.schema.inputs)
        return Model(Signature(task=job.task, inputs=inputs, classes=()), ends, job.params.wider)

    def load(self, folder, threads, cache=None):
        body = json.loads((folder / "model.json").read_text())
        return Model(msgspec.convert(body["signature"], Signature), body["ends"], body["wider"])
'''
TOML = """
[project]
name = "sales"
task = "regression"
[data]
source = "sales.csv"
target = "sold"
categorical = ["shop"]
[candidates.narrow]
family = "quantile"
[candidates.wide]
family = "quantile"
wider = 30.0
[decide]
metric = "interval_score[0.8]"
resamples = 200
"""


@pytest.fixture
def sales(tmp_path, register_family, monkeypatch, ships_all, explained):
    (tmp_path / "quantile.py").write_text(textwrap.dedent(FAMILY))
    monkeypatch.syspath_prepend(str(tmp_path))
    register_family("quantile", "quantile:QuantileFamily")
    rng = np.random.default_rng(0)
    shop = rng.integers(0, 3, 600)
    sold = 20.0 * shop + rng.normal(scale=4.0, size=600)
    pl.DataFrame({"shop": [f"shop {at}" for at in shop], "sold": sold}).write_csv(tmp_path / "sales.csv")
    (tmp_path / "bakeoff.toml").write_text(TOML)
    return tmp_path


def test_quantiles_reach_the_twin_of_all_rows_and_the_learning_curve(sales):
    with Project(sales) as project:
        outcome = project.run().results

    assert outcome.verdict.winner == "narrow"
    assert outcome.shipped.reason is None  # the model of all rows was scored by its quantiles, too
    assert outcome.shipped.rows == 600
    explained = outcome.explanations[0]
    assert explained.learning is not None
    assert [point.rows for point in explained.learning.points] == [60, 120, 240, 480]
    # Of N(0, 4²) the score of a central 80% interval is 2 · 1.755 · 4 = 14.0, whatever the rows.
    assert [point.value for point in explained.learning.points] == pytest.approx([14.0] * 4, rel=0.25)
