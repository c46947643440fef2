"""Derived features through the whole loop: evaluation, `predict`, batches and HTTP see the same."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from bakeoff import Project
from bakeoff.web.client import Client
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app

pytestmark = pytest.mark.slow
START = dt.datetime.fromisoformat("2022-01-01T00:00:00")
TOML = """
[project]
name = "shops"
task = "regression"
[data]
source = "shops.csv"
target = "sold"
categorical = ["shop"]
time = "day"
group = "shop"
horizon = "2d"
[candidates.boosting]
max_trees = 60
[split]
test = "30d"
validation = "30d"
[decide]
resamples = 200
findings = false
[combine]
blends = false
cascades = false
"""


@pytest.fixture(scope="module")
def shops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shops")
    rng = np.random.default_rng(1)
    day_n, shop_n = np.repeat(np.arange(480), 4), np.tile(np.arange(4), 480)
    sold_n = 100 * (shop_n + 1) + (shop_n - 1) * day_n * 0.5 + rng.normal(scale=15, size=len(day_n))
    days = [(START + dt.timedelta(days=int(day))).date().isoformat() for day in day_n]
    pl.DataFrame({"day": days, "shop": [f"s{shop}" for shop in shop_n], "sold": sold_n.round(2)}).write_csv(
        folder / "shops.csv"
    )
    (folder / "bakeoff.toml").write_text(TOML)
    with Project(folder) as project:
        project.run()
    return folder


def test_one_path_for_evaluation_predict_batches_and_http(shops):
    with Project(shops) as project:
        outcome = project.outcome()
        (candidate,) = (each for each in outcome.candidates if each.name == "boosting")
        assert candidate.chosen["lags"]["horizon_s"] == 2 * 86_400
        assert set(candidate.chosen["tried"]) >= {"elapsed time", "lags"}
        test = project.rows("test")
        model = project.model().model
        batch_n = model.predict(test.drop("sold")).values_n
        rmse = float(np.sqrt(np.mean((batch_n - test["sold"].to_numpy()) ** 2)))
        assert rmse == pytest.approx(candidate.metrics["rmse"].value, rel=1e-6)
        rows = test.drop("sold").with_columns(pl.col("day").dt.to_string("iso:strict")).to_dicts()
        answers = [float(answer.value) for answer in project.predict(rows)]
        single = [float(project.predict([row])[0].value) for row in rows[:5]]
        app = create_app(project.plane(), project.feedback, hosts=local_hosts("127.0.0.1"))
        with Server(app) as server, Client(server.url) as client:
            served = [each["value"] for each in client.predict(rows)["predictions"]]
            odd = [{"day": None, "shop": "s1"}, {"day": "2050-01-01", "shop": "s1"}, {"day": "2023-05-01", "shop": ""}]
            assert np.isfinite([each["value"] for each in client.predict(odd)["predictions"]]).all()
        np.testing.assert_allclose(answers, batch_n, rtol=1e-9)
        np.testing.assert_allclose(single, batch_n[:5], rtol=1e-9)
        np.testing.assert_allclose(served, batch_n, rtol=1e-9)
