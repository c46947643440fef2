"""Runs as tables: filters, histories, and means over seeds with their intervals."""

import itertools
import math

import polars as pl
import pytest
from scipy import stats

from bakeoff import Project
from bakeoff.actions.runs_table import history_table, runs_over_seeds, runs_table
from bakeoff.config.sections import StoreConfig
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.records import Metric, RunChange, RunInput
from bakeoff.project import wiring

SEEN = {("2", "0"): 0.5, ("2", "1"): 0.75, ("2", "2"): 0.7, ("4", "0"): 0.9}


@pytest.fixture
def records(tmp_path):
    made, _ = wiring.open_stores(
        tmp_path, StoreConfig(records="sqlite:///records.db", blobs="file://blobs"), itertools.count(1000).__next__
    )
    yield made
    made.close()


@pytest.fixture
def log(records):
    def log(name, params, metrics, *, experiment="e", status="FINISHED", inputs=(), tags=None):
        run = records.runs.start(records.experiments.open(experiment).experiment_id, name, tags=tags)
        values = [Metric(key=key, value=value) for key, value in metrics.items()]
        change = RunChange(run_id=run.run_id, params=params, metrics=values, inputs=inputs, status=status)
        records.runs.apply([change])
        return run.run_id

    return log


@pytest.fixture
def grid(log):
    for (depth, seed), value in SEEN.items():
        log(f"run {depth} {seed}", {"depth": depth, "model__seed": seed}, {"acc": value, "loss": math.nan})


def test_a_row_for_each_run_that_the_filter_lets_through(records, grid, log):
    log("other", {}, {"acc": 0.95}, experiment="f", status="RUNNING")
    table = runs_table(records, where="metrics.acc > 0.6 AND params.depth IN ('2', '4')")
    assert table["name"].to_list() == ["run 4 0", "run 2 2", "run 2 1"]
    assert table["metrics.acc"].to_list() == [0.9, 0.7, 0.75]
    assert table["params.model__seed"].to_list() == ["0", "2", "1"]
    assert table.schema["started"] == pl.Datetime("ms", "UTC")
    whole = runs_table(records, limit=2)
    assert whole.select("name", "experiment", "status", "ended", "params.depth").rows() == [
        ("other", "f", "RUNNING", None, None),
        ("run 4 0", "e", "FINISHED", whole["ended"][1], "4"),
    ]
    assert runs_table(records, experiment="f").height == 1
    assert runs_table(records, where="status = 'KILLED'").height == 0
    with pytest.raises(UsageError, match="Invalid attribute key 'depht'"):
        runs_table(records, where="depht = '3'")
    with pytest.raises(NotFoundError, match="'g'"):
        runs_table(records, experiment="g")


def test_histories_of_several_runs(records, log):
    first, second = (log(name, {}, {}) for name in "ab")
    for at, run in enumerate((first, second, first)):
        records.runs.apply(
            [RunChange(run_id=run, metrics=[Metric(key="loss", value=1 / (at + 1), step=at, time_ms=5)])]
        )
    table = history_table(records, [second, first], "loss")
    assert table.select("run_id", "step", "value").rows() == [(second, 1, 0.5), (first, 0, 1.0), (first, 2, 1 / 3)]
    assert history_table(records, [first], "nothing").height == 0


def test_means_over_seeds_with_student_s_interval(records, grid, log):
    log("late", {"depth": "2", "model__seed": "3"}, {"acc": 0.1}, status="FAILED")
    means = runs_over_seeds(records, metrics=["acc"])
    assert (means.over, means.unfinished) == (("model__seed",), 1)
    several, single = means.table.to_dicts()
    values = [value for (depth, _), value in SEEN.items() if depth == "2"]
    low, high = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert several["params.depth"] == "2"
    assert (several["runs"], several["without"], several["mean"]) == (3, 0, pytest.approx(0.65))
    assert several["sd"] == pytest.approx(stats.tstd(values))
    assert (several["low"], several["high"]) == (pytest.approx(low), pytest.approx(high))
    assert (single["runs"], single["mean"], single["low"], single["sd"]) == (1, 0.9, None, None)
    loss = runs_over_seeds(records, metrics=["loss"]).table.to_dicts()[0]
    assert (loss["runs"], loss["without"], loss["mean"]) == (0, 3, None)


def test_other_data_and_other_candidates_are_not_other_seeds(records, log):
    for version in ("v1", "v1", "v2"):
        inputs = [RunInput(name="d", version=version)]
        for candidate in ("small", "large"):
            tags = {"bakeoff.candidate": candidate}
            log("x", {"seed": "1", "chosen.c": version}, {"acc": 0.5}, inputs=inputs, tags=tags)
    table = runs_over_seeds(records).table
    assert table.select("candidate", "dataset", "runs").rows() == [
        ("small", "v1", 2), ("large", "v1", 2), ("small", "v2", 1), ("large", "v2", 1),
    ]  # fmt: skip
    assert "params.chosen.c" not in table.columns


def test_a_run_without_data_of_its_own_has_that_of_its_parent(records, log):
    parents = [log("bake-off", {}, {}, inputs=[RunInput(name="d", version=version * 64)]) for version in "fe"]
    experiment = records.experiments.open("e").experiment_id
    for seed, parent in enumerate((parents[0], parents[0], parents[1])):
        run = records.runs.start(experiment, f"child {seed}", parent_id=parent)
        values = [Metric(key="acc", value=seed / 4)]
        records.runs.apply(
            [RunChange(run_id=run.run_id, params={"seed": str(seed)}, metrics=values, status="FINISHED")]
        )
    table = runs_over_seeds(records, metrics=["acc"]).table
    means = {each["dataset"]: each["mean"] for each in table.to_dicts() if each["runs"] and each["mean"] is not None}
    assert means == {"f" * 12: 0.125, "e" * 12: 0.5}


def test_what_is_a_seed_can_be_said(records, grid):
    means = runs_over_seeds(records, metrics=["acc"], over=["depth"])
    assert means.table.select("params.model__seed", "runs").rows() == [("0", 2), ("1", 1), ("2", 1)]
    with pytest.raises(UsageError, match="over: no finished run has dpeth; they have depth, model__seed"):
        runs_over_seeds(records, over=["dpeth"])
    with pytest.raises(UsageError, match="metrics: no finished run has f1"):
        runs_over_seeds(records, metrics=["f1"])


def test_a_project_gives_them_in_its_library(ran):
    with Project(ran, frames="pandas") as project:
        table = project.runs_table("tags.`bakeoff.kind` = 'candidate'")
        assert sorted(table["name"]) == ["first", "second"]
        assert list(project.metric_history("accuracy", "first").columns) == ["run_id", "step", "time", "value"]
        means = project.runs_over_seeds("accuracy")
        assert list(means.table["runs"]) == [1, 1]
        assert set(means.table["params.smooth"]) == {"1.0", "5.0"}
        assert (means.over, means.unfinished) == (("seed",), 0)
        assert repr(means) == "SeedMeans(2 rows over seed, 0 unfinished runs left out)"
