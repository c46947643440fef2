"""compare, sql, runs --aggregate, import-mlflow and export-mlflow on the command line, with and without a project."""

import json

import jsonschema
import polars as pl
import pytest

from bakeoff.cli.documents import schema_of
from bakeoff.config.sections import StoreConfig
from bakeoff.core.records import Metric, RunChange
from bakeoff.project import wiring


@pytest.fixture
def store(tmp_path):
    """A folder without a project, in whose store two runs have rows."""
    records, blobs = wiring.open_stores(
        tmp_path, StoreConfig(records="sqlite:///.bakeoff/records.db", blobs="file://.bakeoff/blobs"), wiring.now_ms
    )
    experiment = records.experiments.open("e").experiment_id
    for name, wrong in (("good", 3), ("poor", 30)):
        run = records.runs.start(experiment, name)
        answers = ["no" if at * 37 % 100 < wrong else "yes" for at in range(100)]
        table = {
            "columns": ["id", "target", "prediction"],
            "data": [[at, "yes", each] for at, each in enumerate(answers)],
        }
        artifacts = {"eval_results.json": blobs.put(json.dumps(table).encode())}
        values = [Metric(key="acc", value=1 - wrong / 100)]
        params = {"seed": name, "depth": "3"}
        change = RunChange(run_id=run.run_id, artifacts=artifacts, metrics=values, params=params, status="FINISHED")
        records.runs.apply([change])
    records.close()
    return tmp_path


def test_compare_tells_who_wins_by_how_much_and_keeps_it(bakeoff, store):
    ended = bakeoff("compare", "good", "poor", "--metric", "accuracy", "--key", "id", "-C", store)
    assert ended.code == 0
    assert "good wins" in ended.out
    assert "100 rows, paired by id" in ended.out
    logged = bakeoff(
        "sql", "SELECT key, value FROM metrics WHERE key LIKE 'compare/%/diff'", "-C", store, "--json"
    ).document
    assert [round(row["value"], 3) for row in logged["rows"]] == [-0.27]


def test_compare_ends_with_3_where_the_baseline_is_not_beaten(bakeoff, store):
    words = ("compare", "good", "poor", "--metric", "accuracy", "--key", "id", "--no-log", "-C", store)
    assert bakeoff(*words, "--baseline", "poor").code == 0
    ended = bakeoff(*words, "--baseline", "good", "--json")
    assert ended.code == 3
    jsonschema.validate(ended.document, schema_of("compare"))
    assert (ended.document["passed"], ended.document["verdict"]["winner"]) == (False, "good")
    assert (
        bakeoff("sql", "SELECT * FROM metrics WHERE key LIKE 'compare/%'", "-C", store, "--json").document["rows"] == []
    )


def test_compare_says_what_is_missing(bakeoff, store):
    ended = bakeoff("compare", "good", "poor", "--metric", "accuracy", "-C", store)
    assert (ended.code, len(ended.errors)) == (2, 1)
    assert "--key, such as id" in ended.errors[0]
    ended = bakeoff("compare", "good", "bad", "--metric", "accuracy", "--key", "id", "-C", store)
    assert (ended.code, "received 'bad', found none" in ended.errors[0]) == (1, True)


def test_sql_prints_in_every_form(bakeoff, store, tmp_path):
    query = "SELECT name, value FROM runs JOIN metrics USING (run_id) ORDER BY name"
    assert bakeoff("sql", query, "-C", store).out.split()[-4:] == ["good", "0.97", "poor", "0.7"]
    assert bakeoff("sql", query, "--format", "csv", "-C", store).out == "name,value\ngood,0.97\npoor,0.7\n"
    document = bakeoff("sql", query, "--format", "json", "-C", store).document
    jsonschema.validate(document, schema_of("sql"))
    assert document["rows"] == [{"name": "good", "value": 0.97}, {"name": "poor", "value": 0.7}]
    ended = bakeoff("sql", query, "--format", "parquet", "--output", tmp_path / "a.parquet", "-C", store)
    assert ended.out.startswith("2 rows in ")
    assert pl.read_parquet(tmp_path / "a.parquet")["value"].to_list() == [0.97, 0.7]


def test_sql_without_a_query_lists_the_views(bakeoff, store):
    assert "metric_history" in bakeoff("sql", "-C", store).out
    views = {each["view"]: each for each in bakeoff("sql", "--json", "-C", store).document["rows"]}
    assert views["runs"]["columns"]["run_id"] == "its id"


def test_sql_has_one_error_and_no_traceback(bakeoff, store):
    ended = bakeoff("sql", "SELECT * FROM runz", "-C", store)
    assert (ended.code, len(ended.errors)) == (1, 1)
    assert "Did you mean 'runs'?" in ended.err
    assert bakeoff("sql", "SELECT 1", "--format", "parquet", "-C", store).code == 2
    ended = bakeoff("sql", "SELECT 1", "--json", "--format", "csv", "-C", store)
    assert (ended.code, "expected --json or --format csv, received both" in ended.err) == (2, True)
    assert bakeoff("sql", "SELECT 1 AS a", "--json", "--format", "json", "-C", store).document["rows"] == [{"a": 1}]


def test_runs_are_aggregated_over_seeds(bakeoff, store):
    ended = bakeoff("runs", "--aggregate", "-C", store)
    assert "0.8350" in ended.out
    assert "over seed; intervals are of the mean over seeds" in ended.out
    document = bakeoff("runs", "--aggregate", "--metric", "acc", "--json", "-C", store).document
    jsonschema.validate(document, schema_of("runs"))
    (row,) = document["means"]
    assert (row["runs"], round(row["mean"], 3)) == (2, 0.835)
    assert row["low"] < 0.7  # of two runs little is known
    assert row["high"] > 0.97
    assert bakeoff("runs", "--metric", "acc", "-C", store).code == 2
    ended = bakeoff("runs", "--aggregate", "--limit", "1", "-C", store)
    assert (ended.code, "expected no --limit beside it" in ended.errors[0]) == (2, True)


def test_import_and_export_count_everything(bakeoff, store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    taken = bakeoff("export-mlflow", tmp_path / "mlruns", "--json", "-C", store)
    jsonschema.validate(taken.document, schema_of("export-mlflow"))
    counts = {each["kind"]: each["moved"] for each in taken.document["counts"]}
    assert (taken.code, counts["runs"], counts["artifacts"], counts["metric values"]) == (0, 2, 2, 2)
    other = tmp_path / "other"
    other.mkdir()
    brought = bakeoff("import-mlflow", tmp_path / "mlruns", "-C", other)
    assert brought.code == 0
    assert ["runs", "2", "0", "0"] in [line.split() for line in brought.out.splitlines()]
    judged = bakeoff("compare", "good", "poor", "--metric", "accuracy", "--key", "id", "-C", other)
    assert "good wins" in judged.out
    ended = bakeoff("import-mlflow", tmp_path / "nothing", "-C", other)
    assert (ended.code, "there is nothing at" in ended.errors[0]) == (1, True)
