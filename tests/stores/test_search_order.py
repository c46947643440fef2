"""An order by a metric is the same whether its index is read first or all rows are."""

import math
import random

import pytest

from bakeoff.config.sections import StoreConfig
from bakeoff.core.filters import RUNS, filter_of, order_of
from bakeoff.core.queries import Query
from bakeoff.core.records import Metric, RunChange
from bakeoff.project import wiring
from bakeoff.stores import search


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs whose metric has ties, extremes, NaN, and is lacking in some."""
    folder = tmp_path_factory.mktemp("order")
    records, _ = wiring.open_stores(
        folder, StoreConfig(records="sqlite:///records.db", blobs=f"file://{folder}/blobs"), wiring.now_ms
    )
    experiment, drawn = records.experiments.create("order").experiment_id, random.Random(5)
    changes = []
    for at in range(120):
        run = records.runs.start(experiment, f"r{at}", start_ms=at // 7)
        values = [0.0, -1.5, 2.0, 2.0, 2.0, math.inf, -math.inf, math.nan, None]
        metrics = {key: drawn.choice([*values, drawn.random()]) for key in ("f1", "loss")}
        changes.append(
            RunChange(
                run_id=run.run_id,
                metrics=[Metric(key=key, value=value) for key, value in metrics.items() if value is not None],
                params={"model": drawn.choice(["a", "b"])},
            )
        )
    records.runs.apply(changes)
    yield records.runs
    records.close()


def pages(runs, order, where, limit):
    listed, page = [], None
    while True:
        some = runs.search(Query(where=filter_of(where, RUNS), order=order_of(order, RUNS), limit=limit, page=page))
        listed.append([run.run_id for run in some.items])
        page = some.following
        if page is None:
            return listed


@pytest.mark.parametrize("look", [0, 1, 5, 40])
@pytest.mark.parametrize("where", ["", "params.model = 'a'", "metrics.f1 > 0.5 and params.model = 'b'"])
@pytest.mark.parametrize(
    "order", [["metrics.f1 ASC"], ["metrics.f1 DESC"], ["metrics.loss DESC", "metrics.f1 ASC"], ["metrics.none ASC"]]
)
def test_the_order_by_an_index_is_that_by_all_rows(runs, order, where, look, monkeypatch):
    monkeypatch.setattr(search, "LOOK", 10**6)
    monkeypatch.setattr(search._Sql, "first", lambda *_: None)
    wanted = pages(runs, order, where, 7)
    monkeypatch.undo()
    monkeypatch.setattr(search, "LOOK", look)
    assert pages(runs, order, where, 7) == wanted


def test_the_beginning_of_a_long_order_comes_from_the_index(runs, monkeypatch):
    monkeypatch.setattr(search, "LOOK", 40)
    asked = []
    monkeypatch.setattr(search._Sql, "ordered", _counted(search._Sql.ordered, asked))
    runs.search(Query(order=order_of(["metrics.loss ASC"], RUNS), limit=1))
    assert asked == [()]  # of what the index has in its order already, only ties are sorted


def _counted(ordered, asked):
    def counted(self, statement, order):
        asked.append(tuple(order))
        return ordered(self, statement, order)

    return counted
