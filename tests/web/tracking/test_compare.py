"""Runs that MLflow's own client logged, judged by bakeoff, and the judgement read by that client."""

import pytest

from bakeoff.actions.judge_runs import judge_runs, keep
from bakeoff.core.errors import DataError
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.tracking.app import create_tracking_app

N = 40
TRACES = 20


@pytest.fixture
def mlflow(tracking, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    import mlflow

    before = mlflow.get_tracking_uri()
    with Server(create_tracking_app(tracking, hosts=local_hosts("127.0.0.1"))) as server:
        mlflow.set_tracking_uri(server.url)
        mlflow.tracing.reset()  # its exporter keeps the server that it first had
        mlflow.set_experiment("questions")
        yield mlflow
    mlflow.set_tracking_uri(before)


@pytest.mark.filterwarnings("ignore:For backward compatibility:Warning")  # what mlflow asks of pandas 3
def test_tables_of_rows(mlflow, tracking):
    truth = ["a", "b", "c", "d"] * (N // 4)
    ids = {}
    for name, wrong in (("good", 2), ("poor", 16)):
        with mlflow.start_run(run_name=name) as run:
            answers = ["e" if at * 7 % N < wrong else each for at, each in enumerate(truth)]
            mlflow.log_table({"id": list(range(N)), "target": truth, "prediction": answers}, "eval_results_table.json")
        ids[name] = run.info.run_id
    judged = judge_runs(tracking.records, tracking.blobs, ["good", "poor"], metric="accuracy", key="id")
    assert (judged.verdict.winner, judged.rows) == ("good", N)
    keep(tracking.records, tracking.blobs, judged, tracking.clock)
    client = mlflow.MlflowClient()
    base = f"compare/{ids['good'][:8]}"
    metrics = client.get_run(ids["poor"]).data.metrics
    assert metrics[f"{base}/accuracy/diff"] == pytest.approx(-0.35)
    assert metrics[f"{base}/accuracy/ci_high"] < 0
    document = mlflow.artifacts.load_dict(f"runs:/{ids['poor']}/{base}.json")
    assert document["baseline_run_id"] == ids["good"]


@pytest.mark.filterwarnings("default")
def test_traces_with_feedback(mlflow, tracking):
    """Each row is a trace; several scores of a name are one, by their mean, and what other runs said does not count."""

    @mlflow.trace
    def answer(question):
        return question.upper()

    for name, threshold in (("first", 2), ("second", 12)):
        with mlflow.start_run(run_name=name):
            for at in range(TRACES):
                answer(f"question {at * 7 % TRACES}" if name == "first" else f"question {at}")
                place = at * 7 % TRACES if name == "first" else at
                trace_id = mlflow.get_last_active_trace_id()
                mlflow.log_feedback(trace_id=trace_id, name="correct", value=place * 11 % TRACES >= threshold)
                mlflow.log_feedback(trace_id=trace_id, name="tone", value=1.0)
                mlflow.log_feedback(trace_id=trace_id, name="tone", value=0.0)
    judged = judge_runs(tracking.records, tracking.blobs, ["second", "first"], metric="correct")
    assert (judged.key, judged.rows, judged.left_out) == ("request_inputs", TRACES, ())
    values = {each.name: each.values["correct"].value for each in judged.runs}
    assert values["second"] == pytest.approx(0.4)
    assert judged.verdict.winner == "first"
    assert judged.verdict.comparisons[0].p_value == pytest.approx(2 * 0.5**10)  # ten questions that one alone has right
    tone = judge_runs(tracking.records, tracking.blobs, ["second", "first"], metric="tone")
    assert {each.values["tone"].value for each in tone.runs} == {0.5}


@pytest.mark.filterwarnings("default")
def test_a_trace_that_a_scorer_left_open_is_missing_and_told(mlflow, tracking):
    """As a prediction that is not there: a run gains nothing by what its scorer could not judge."""

    @mlflow.trace
    def answer(question):
        return question.upper()

    for name, judged in (("whole", TRACES), ("open", TRACES - 8)):
        with mlflow.start_run(run_name=name):
            for at in range(TRACES):
                answer(f"question {at}")
                if at < judged:
                    mlflow.log_feedback(
                        trace_id=mlflow.get_last_active_trace_id(), name="correct", value=at * 11 % TRACES >= 2
                    )
    with pytest.raises(DataError, match=f"open has none in 8 of {TRACES} paired rows"):
        judge_runs(tracking.records, tracking.blobs, ["whole", "open"], metric="correct")
    dropped = judge_runs(tracking.records, tracking.blobs, ["whole", "open"], metric="correct", missing="drop")
    assert (dropped.rows, dropped.left_out[0].count) == (TRACES - 8, 8)
