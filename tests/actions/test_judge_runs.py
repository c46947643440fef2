"""Runs judged by their rows: how these are paired, by what they are judged, what is left out, where it is kept."""

import itertools
import json

import numpy as np
import polars as pl
import pytest

import bakeoff
from bakeoff.actions.judge_runs import judge_runs, keep
from bakeoff.config.sections import StoreConfig
from bakeoff.core.errors import DataError, NotFoundError, UsageError
from bakeoff.core.records import Metric, RunChange, RunInput
from bakeoff.project import wiring

N = 200
TRUTH = ["yes", "no"] * (N // 2)
TABLE = "eval_results_table.json"


def wrong_rows(wrong):
    """Where the wrong answers are: scattered, so that rows next to each other are not wrong together."""
    return {at for at in range(N) if at * 37 % N in wrong}


def predicted(wrong, *, scattered=True):
    """The truth, with as many other answers as there are numbers in `wrong`."""
    there = wrong_rows(wrong) if scattered else wrong
    return [{"yes": "no", "no": "yes"}[label] if at in there else label for at, label in enumerate(TRUTH)]


@pytest.fixture
def stores(tmp_path):
    records, blobs = wiring.open_stores(
        tmp_path, StoreConfig(records="sqlite:///records.db", blobs="file://blobs"), itertools.count(1000).__next__
    )
    yield records, blobs
    records.close()


@pytest.fixture
def log(stores):
    """Log a run with a table of rows, as `mlflow.log_table` writes one."""
    records, blobs = stores
    experiment = records.experiments.open("e").experiment_id

    def log(name, rows, *, path=TABLE, digest=None, metrics=(), data=None):
        run = records.runs.start(experiment, name)
        table = pl.DataFrame(rows)
        data = data or json.dumps({"columns": table.columns, "data": [list(row) for row in table.rows()]}).encode()
        inputs = [RunInput(name="d", version=digest)] if digest else []
        values = [Metric(key=key, value=value) for key, value in dict(metrics).items()]
        change = RunChange(
            run_id=run.run_id, artifacts={path: blobs.put(data)}, inputs=inputs, metrics=values, status="FINISHED"
        )
        records.runs.apply([change])
        return run.run_id

    return log


def rows(wrong, **more):
    return {"id": range(N), "target": TRUTH, "prediction": predicted(wrong), **more}


def test_runs_of_strangers_are_judged_as_candidates_are(stores, log):
    wrong = {"good": set(range(10)), "poor": set(range(40))}
    for name, each in wrong.items():
        log(name, rows(each))
    judged = judge_runs(*stores, ["good", "poor"], metric="accuracy", key="id")
    same = bakeoff.compare(TRUTH, {name: predicted(each) for name, each in wrong.items()}, metric="accuracy")
    assert judged.verdict.winner == "good" == same.winner
    assert judged.verdict.comparisons == same.differences
    assert judged.run("poor").values["accuracy"] == same.values["poor"]
    assert (judged.rows, judged.key, judged.left_out) == (N, "id", ())
    assert judged.verdict.comparisons[0].p_value == pytest.approx(2 * 0.5**30)  # 30 rows of which one alone is right
    assert judged.passed


def test_rows_are_paired_by_their_key_and_what_is_not_is_counted(stores, log):
    log("a", rows(range(20)))
    shuffled = pl.DataFrame(rows(range(5))).sample(fraction=1.0, shuffle=True, seed=1)
    other = pl.concat([shuffled.filter(pl.col("id") < 190), shuffled.filter(pl.col("id") == 3)])
    log("b", other.with_columns(pl.when(pl.col("id") == 7).then(None).otherwise(pl.col("id")).alias("id")))
    judged = judge_runs(*stores, ["a", "b"], metric="accuracy", key="id")
    assert judged.rows == 188  # without 190 to 199, 3 (twice) and 7 (lost)
    lost = {(each.subject, each.reason): (each.count, each.of) for each in judged.left_out}
    assert lost == {
        ("a", "not in every run"): (12, 200),
        ("b", "no value of id"): (1, 191),
        ("b", "the same id stands several times"): (2, 191),
    }
    there = set(range(190)) - {3, 7}
    assert judged.verdict.best == "b"
    assert judged.run("a").values["accuracy"].value == pytest.approx(1 - len(wrong_rows(range(20)) & there) / 188)
    assert any("left out of a: 12 of 200 rows: not in every run" in each for each in judged.sentences)


def test_without_a_key_only_rows_of_the_same_dataset_are_paired(stores, log):
    for name, digest in (("a", "d1"), ("b", "d1"), ("c", "d2")):
        columns = rows(range(ord(name) - 90))
        log(name, {key: columns[key] for key in ("target", "prediction")}, digest=digest)
    judged = judge_runs(*stores, ["a", "b"], metric="accuracy")
    assert (judged.key, judged.rows, judged.verdict.best) == ("position", N, "a")
    with pytest.raises(UsageError, match="c: d2"):
        judge_runs(*stores, ["a", "c"], metric="accuracy")


def test_the_refusal_names_the_columns_that_could_be_the_key(stores, log):
    for name in ("a", "b"):
        log(name, rows(range(9), batch=["x"] * N))
    with pytest.raises(UsageError, match=r"name it by --key, such as id$"):
        judge_runs(*stores, ["a", "b"], metric="accuracy")


def test_scores_are_judged_by_their_mean_and_the_direction_that_is_named(stores, log):
    rng = np.random.default_rng(0)
    toxic = rng.uniform(0.2, 0.4, N)
    log("a", {"id": range(N), "toxicity": toxic, "helpful": ["yes"] * N})
    log("b", {"id": range(N), "toxicity": toxic + 0.1, "helpful": ["Yes", "no"] * (N // 2)})
    judged = judge_runs(*stores, ["a", "b"], metric=["toxicity", "helpful"], key="id", lower=("toxicity",))
    assert judged.verdict.winner == "a"
    assert judged.lower == ("toxicity",)
    assert judged.run("b").values["helpful"].value == 0.5
    (apart,) = judged.further
    assert (apart.candidate, apart.versus, apart.metric, apart.difference) == ("b", "a", "helpful", -0.5)
    assert judge_runs(*stores, ["a", "b"], metric="toxicity", key="id").verdict.winner == "b"
    with pytest.raises(UsageError, match="by --metric: a column of scores in all runs \\(toxicity, helpful\\)"):
        judge_runs(*stores, ["a", "b"], key="id")
    with pytest.raises(UsageError, match="lower: expected columns of scores"):
        judge_runs(*stores, ["a", "b"], metric="toxicity", key="id", lower=("helpful",))


def test_a_run_gains_nothing_by_what_it_leaves_open(stores, log):
    log("whole", rows(range(20)))
    left_open = [None if at < 50 else each for at, each in enumerate(predicted(()))]
    log("open", {**rows(()), "prediction": left_open})
    with pytest.raises(DataError, match="open has none in 50 of 200 paired rows"):
        judge_runs(*stores, ["whole", "open"], metric="accuracy", key="id")
    judged = judge_runs(*stores, ["whole", "open"], metric="accuracy", key="id", missing="wrong")
    assert judged.run("open").values["accuracy"].value == 0.75
    assert judge_runs(*stores, ["whole", "open"], metric="f1_macro", key="id", missing="wrong").run("open").values[
        "f1_macro"
    ].value == pytest.approx(0.75)  # 25 of each class answered by the other
    assert judged.verdict.winner == "whole"
    dropped = judge_runs(*stores, ["whole", "open"], metric="accuracy", key="id", missing="drop")
    assert (dropped.rows, dropped.left_out[0].count, dropped.left_out[0].reason) == (150, 50, "no prediction")


def test_another_truth_is_not_the_same_row(stores, log):
    log("a", rows(range(9)))
    log("b", {**rows(range(9)), "target": ["no", *TRUTH[1:]]})
    with pytest.raises(DataError, match=r"received others in 1 of 200, such as 'yes' and 'no'"):
        judge_runs(*stores, ["a", "b"], metric="accuracy", key="id")


def test_rows_of_a_group_go_together(stores, log):
    """Twenty users of ten rows each: a user's rows are all right or all wrong."""
    user = np.repeat(np.arange(20), 10)
    better, worse = np.flatnonzero(user < 2), np.flatnonzero(user < 7)
    for name, wrong in (("a", better), ("b", worse)):
        log(name, {**rows(()), "prediction": predicted(set(wrong.tolist()), scattered=False), "user": user})
    alone = judge_runs(*stores, ["a", "b"], metric="accuracy", key="id")
    assert any("name what rows belong to (--group)" in each for each in alone.notes)
    together = judge_runs(*stores, ["a", "b"], metric="accuracy", key="id", group="user")
    assert together.groups == 20
    (narrow,), (wide,) = alone.verdict.comparisons, together.verdict.comparisons
    assert narrow.difference == wide.difference == pytest.approx(-0.25)
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_what_one_of_them_knows_of_groups_holds_for_all(stores, log, order):
    user = np.repeat(np.arange(20), 10)
    log("a", {**rows(()), "prediction": predicted(set(np.flatnonzero(user < 2).tolist()), scattered=False)})
    wrong = set(np.flatnonzero(user < 7).tolist())
    log("b", {**rows(()), "prediction": predicted(wrong, scattered=False), "__group": user})
    assert judge_runs(*stores, order, metric="accuracy", key="id").groups == 20


def test_a_deleted_run_is_not_in_the_way_of_one_of_its_name(stores, log):
    old = log("a", rows(range(9)))
    log("b", rows(range(3)))
    stores[0].runs.apply([RunChange(run_id=old, lifecycle="deleted")])
    with pytest.raises(NotFoundError, match="is deleted: restore it first"):
        judge_runs(*stores, ["a", "b"], metric="accuracy", key="id")
    new = log("a", rows(range(5)))
    assert judge_runs(*stores, ["a", "b"], metric="accuracy", key="id").run("a").run_id == new


def test_a_tag_that_nobody_can_read_names_no_table(stores, log):
    first = log("a", rows(range(9)))
    log("b", rows(range(3)))
    for text in ("x", "{}", "[1]", "[{}]"):
        stores[0].runs.apply([RunChange(run_id=first, tags={"mlflow.loggedArtifacts": text})])
        assert judge_runs(*stores, ["a", "b"], metric="accuracy", key="id").rows == N


def test_of_equals_the_cheaper_wins_where_prices_are_known(stores, log):
    for name, wrong, price in (("dear", 20, 9.0), ("cheap", 20, 1.0)):
        log(name, rows(range(wrong)), metrics={"usd": price})
    judged = judge_runs(*stores, ["dear", "cheap"], metric="accuracy", key="id", cost="usd", margin=0.05)
    assert judged.verdict.winner == "cheap"
    assert judged.run("dear").cost_usd_per_1k == 9.0
    log("free", rows(range(20)))
    with pytest.raises(UsageError, match="free has none"):
        judge_runs(*stores, ["dear", "free"], metric="accuracy", key="id", cost="usd")


def test_a_baseline_must_be_beaten_in_earnest(stores, log):
    for name, wrong in (("old", range(40)), ("new", range(38)), ("far", range(5))):
        log(name, rows(wrong))
    near = judge_runs(*stores, ["old", "new"], metric="accuracy", key="id", baseline="old")
    assert (near.verdict.winner, near.passed) == ("new", False)
    assert "new is not shown to be better than the baseline old in accuracy." in near.sentences
    judged = judge_runs(*stores, ["old", "new", "far"], metric="accuracy", key="id", baseline="old")
    assert judged.passed
    assert {each.candidate for each in judged.beside_baseline} == {"new", "far"}
    with pytest.raises(UsageError, match="baseline: expected one of the runs"):
        judge_runs(*stores, ["new", "far"], metric="accuracy", key="id", baseline="old")


def test_it_is_kept_where_mlflow_has_its_comparisons(stores, log):
    records, blobs = stores
    score = np.linspace(0, 1, N)
    first = log("first", {"id": range(N), "loss": score})
    second = log("second", {"id": range(N), "loss": score + 0.25})
    judged = judge_runs(*stores, [first[:6], second], metric="loss", key="id", lower=("loss",))
    keep(records, blobs, judged, lambda: 5)
    run = records.runs.get(second)
    base = f"compare/{first[:8]}"
    values = {key.removeprefix(f"{base}/loss/"): each.value for key, each in run.metrics.items()}
    assert values["diff"] == pytest.approx(0.25)  # the run's less the other's, though less is better
    assert values["ci_low"] <= 0.25 <= values["ci_high"]
    assert values["n_paired"] == N
    assert set(values) == {"diff", "ci_low", "ci_high", "p_value", "n_paired"}
    document = json.loads(blobs.get(run.artifacts[f"{base}.json"]))
    assert document["baseline_run_id"] == first
    assert document["judged"]["verdict"]["winner"] == "first"
    assert not records.runs.get(first).metrics
    again = judge_runs(*stores, ["first", "second"], metric="loss", key="id", lower=("loss",))
    assert again == judged  # the artifact is not taken for rows


@pytest.mark.parametrize(
    ("path", "write"),
    [
        ("out/rows.csv", lambda table: table.write_csv().encode()),
        ("rows.parquet", None),
        ("rows.jsonl", lambda table: table.write_ndjson().encode()),
        ("rows.json", lambda table: table.write_json().encode()),
    ],
)
def test_files_of_every_kind_are_read(stores, log, tmp_path, path, write):
    for name, wrong in (("a", range(10)), ("b", range(50))):
        table = pl.DataFrame(rows(wrong))
        if write is None:
            table.write_parquet(tmp_path / "rows.parquet")
        log(name, {}, path=path, data=write(table) if write else (tmp_path / "rows.parquet").read_bytes())
    judged = judge_runs(*stores, ["a", "b"], metric="accuracy", key="id")
    assert judged.run("b").values["accuracy"].value == 0.75
    assert judged.run("a").source == path


def test_what_cannot_be_told_apart_is_refused_with_what_to_do(stores, log):
    records, blobs = stores
    log("a", rows(range(9)))
    log("a", rows(range(9)))
    with pytest.raises(NotFoundError, match="several: give the id"):
        judge_runs(*stores, ["a", "b"], metric="accuracy", key="id")
    with pytest.raises(UsageError, match="two or more different runs"):
        judge_runs(*stores, [], metric="accuracy")
    first = log("many", rows(range(9)), path="one.csv")
    records.runs.apply([RunChange(run_id=first, artifacts={"two.csv": blobs.put(b"id\n1\n")})])
    second = log("few", rows(range(9)))
    with pytest.raises(UsageError, match=r"several tables, one\.csv, two\.csv: name one by --artifact"):
        judge_runs(*stores, [first, second], metric="accuracy", key="id")
    with pytest.raises(NotFoundError, match=r"expected an artifact 'three\.csv'"):
        judge_runs(*stores, [first, second], metric="accuracy", key="id", artifact="three.csv")
    empty = records.runs.start(records.experiments.open("e").experiment_id, "empty").run_id
    with pytest.raises(NotFoundError, match="to have logged rows"):
        judge_runs(*stores, [empty, second], metric="accuracy", key="id")
    third = log("unnamed", {"id": range(N), "says": predicted(()), "target": TRUTH})
    with pytest.raises(UsageError, match="name it by --prediction"):
        judge_runs(*stores, [third, second], metric="accuracy", key="id")
    with pytest.raises(UsageError, match="received 'nonsense'"):
        judge_runs(*stores, [third, second], metric="nonsense", key="id")
    records.runs.apply([RunChange(run_id=third, lifecycle="deleted")])
    with pytest.raises(NotFoundError, match="is deleted: restore it first"):
        judge_runs(*stores, [third, second], metric="accuracy", key="id")


def test_candidates_of_bakeoff_are_judged_as_their_run_judged_them(ran):
    with bakeoff.Project(ran) as project:
        outcome = project.last()
        of_run = {each.tags.get("bakeoff.candidate"): each.run_id for each in project.runs()}
        chosen = [of_run[each.name] for each in outcome.fine]
        judged = project.compare(*chosen)
        assert judged.key == "row"
        assert judged.metrics == (outcome.verdict.metric,)
        assert judged.rows == outcome.dataset.test
        (ours,), (theirs,) = judged.verdict.comparisons, outcome.verdict.comparisons
        # Which of two that are alike is held against which depends on their latency.
        sign = 1 if (ours.candidate, ours.versus) == (theirs.candidate, theirs.versus) else -1
        assert {ours.candidate, ours.versus} == {theirs.candidate, theirs.versus}
        assert ours.difference == pytest.approx(sign * theirs.difference)
        assert all(each.cost_usd_per_1k is not None for each in judged.runs)
        assert "<table>" in judged._repr_html_()
        by_year = project.compare(*chosen, group="year", log=False)
        assert by_year.groups == project.rows("test")["year"].n_unique()


def test_a_candidate_beside_what_somebody_else_logged(ran):
    """The test rows that bakeoff gives out, answered elsewhere: `--key` is a column of the data."""
    with bakeoff.Project(ran) as project:
        outcome = project.last()
        rows = project.rows("test").select("review", "year", "liked")
        answers = rows.with_columns(pl.col("liked").alias("output")).drop("year")
        table = {"columns": answers.columns, "data": [list(each) for each in answers.rows()]}
        blob = project.blobs.put(json.dumps(table).encode())
        run = project.records.runs.start(project.records.experiments.open("elsewhere").experiment_id, "oracle")
        project.records.runs.apply([RunChange(run_id=run.run_id, artifacts={TABLE: blob}, status="FINISHED")])
        judged = project.compare(
            "oracle", outcome.run_id, metric="accuracy", key="review", truth="liked", group="year", log=False
        )
        assert judged.rows == outcome.dataset.test == len(rows)
        assert judged.verdict.winner == "oracle"
        assert {each.name for each in judged.runs} == {"oracle", outcome.verdict.winner}
        assert judged.groups == rows["year"].n_unique()
        assert any("prices do not count: that of oracle is not known" in each for each in judged.notes)
