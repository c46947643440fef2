"""Experiments, runs and metrics as MLflow's clients write and read them."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import cast

import msgspec
import pytest
from starlette.requests import Request

from bakeoff.web.tracking.app import CALLS
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.wire import TrackingError, arguments

EXPERIMENTS, RUNS, METRICS = "2.0/mlflow/experiments", "2.0/mlflow/runs", "2.0/mlflow/metrics"


def named(pairs) -> dict:
    return {each["key"]: each["value"] for each in pairs}


def test_there_is_a_default_experiment(client):
    found = client("GET", f"{EXPERIMENTS}/search", max_results=10)
    assert [(each["experiment_id"], each["name"]) for each in found["experiments"]] == [("0", "Default")]


def test_an_experiment_lives_is_deleted_and_restored_with_its_runs(client):
    new = client("POST", f"{EXPERIMENTS}/create", name="tuning", tags=[{"key": "team", "value": "a"}])["experiment_id"]
    run = client.run(experiment_id=new)
    message = client.refused("POST", f"{EXPERIMENTS}/create", "RESOURCE_ALREADY_EXISTS", name="tuning")
    assert "already exists" in message
    client("POST", f"{EXPERIMENTS}/delete", experiment_id=new)
    assert client("GET", f"{EXPERIMENTS}/get", experiment_id=new)["experiment"]["lifecycle_stage"] == "deleted"
    assert client.get_run(run)["info"]["lifecycle_stage"] == "deleted"
    assert client.refused("POST", f"{RUNS}/create", "INVALID_PARAMETER_VALUE", experiment_id=new)
    client("POST", f"{EXPERIMENTS}/restore", experiment_id=new)
    client("POST", f"{EXPERIMENTS}/update", experiment_id=new, new_name="tuned")
    found = client("GET", f"{EXPERIMENTS}/get-by-name", experiment_name="tuned")["experiment"]
    assert found["experiment_id"] == new
    assert named(found["tags"]) == {"team": "a"}
    assert found["artifact_location"] == f"mlflow-artifacts:/{new}"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("name = 'a'", ["a"]),
        ("attribute.name != 'a'", ["b", "Default"]),
        ("name LIKE 'D%'", ["Default"]),
        ("name ILIKE 'd%'", ["Default"]),
        ("tags.kind = 'x'", ["a"]),
        ("tags.kind = 'x' OR name = 'b'", ["b", "a"]),
        ("(tags.kind = 'x' AND name = 'b') OR name = 'Default'", ["Default"]),
    ],
)
def test_experiments_are_searched(client, text, names):
    client("POST", f"{EXPERIMENTS}/create", name="a", tags=[{"key": "kind", "value": "x"}])
    client("POST", f"{EXPERIMENTS}/create", name="b")
    found = client("POST", f"{EXPERIMENTS}/search", filter=text)
    assert [each["name"] for each in found["experiments"]] == names


def test_a_run_holds_what_is_logged(client):
    run = client.run(run_name="first", start_time=5, tags=[{"key": "mlflow.user", "value": "ada"}])
    client("POST", f"{RUNS}/log-metric", run_id=run, key="loss", value=0.5, timestamp=7, step=1)
    client("POST", f"{RUNS}/log-metric", run_id=run, key="loss", value="NaN", timestamp=8, step=2)
    client("POST", f"{RUNS}/log-parameter", run_id=run, key="depth", value="3")
    client("POST", f"{RUNS}/set-tag", run_id=run, key="note", value="ü")
    client("POST", f"{RUNS}/update", run_id=run, status="FINISHED", end_time=9)
    found = client.get_run(run)
    assert found["info"] == {
        "run_uuid": run, "run_id": run, "run_name": "first", "experiment_id": "0", "user_id": "ada",
        "status": "FINISHED", "start_time": 5, "end_time": 9, "lifecycle_stage": "active",
        "artifact_uri": f"mlflow-artifacts:/0/{run}/artifacts",
    }  # fmt: skip
    assert found["data"]["metrics"] == [{"key": "loss", "value": "NaN", "timestamp": 8, "step": 2}]
    assert named(found["data"]["params"]) == {"depth": "3"}
    assert named(found["data"]["tags"]) == {"mlflow.runName": "first", "mlflow.user": "ada", "note": "ü"}
    history = client("GET", f"{METRICS}/get-history", run_id=run, metric_key="loss")["metrics"]
    assert [(each["step"], each["value"]) for each in history] == [(1, 0.5), (2, "NaN")]


def test_a_param_keeps_its_value(client):
    run = client.run()
    client("POST", f"{RUNS}/log-parameter", run_id=run, key="depth", value="3")
    client("POST", f"{RUNS}/log-parameter", run_id=run, key="depth", value="3")
    message = client.refused(
        "POST", f"{RUNS}/log-parameter", "INVALID_PARAMETER_VALUE", run_id=run, key="depth", value="4"
    )
    assert "Changing param values is not allowed" in message
    assert named(client.get_run(run)["data"]["params"]) == {"depth": "3"}


def test_a_batch_is_stored_whole_or_not_at_all(client):
    run = client.run()
    client("POST", f"{RUNS}/log-parameter", run_id=run, key="a", value="1")
    metrics = [{"key": "m", "value": 1.0, "timestamp": 1}]
    params = [{"key": "b", "value": "2"}, {"key": "a", "value": "9"}]
    assert client.refused(
        "POST", f"{RUNS}/log-batch", "INVALID_PARAMETER_VALUE", run_id=run, metrics=metrics, params=params
    )
    found = client.get_run(run)["data"]
    assert named(found["params"]) == {"a": "1"}
    assert found["metrics"] == []
    client("POST", f"{RUNS}/log-batch", run_id=run, metrics=metrics, params=params[:1])
    assert named(client.get_run(run)["data"]["params"]) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key": "m", "value": 1, "timestamp": 1, "run_id": 31}, "Invalid value 31 for parameter 'run_id' supplied"),
        ({"value": 1, "timestamp": 1}, "Missing value for required parameter 'key'"),
        ({"key": "m", "value": "x", "timestamp": 1}, "Invalid value \"x\" for parameter 'value' supplied"),
        ({"key": "m", "value": 1, "timestamp": -1}, "Timestamp must be a nonnegative long"),
        ({"key": "../m", "value": 1, "timestamp": 1}, "This name would resolve to '../m'"),
        ({"key": "m?", "value": 1, "timestamp": 1}, "Names may only contain alphanumerics"),
        ({"key": "m", "value": 1, "timestamp": 1, "step": 2**63}, "for parameter 'step' supplied"),
    ],
)
def test_what_cannot_be_logged_is_told_by_name(client, given, message):
    given = {"run_id": client.run(), **given}
    assert message in client.refused("POST", f"{RUNS}/log-metric", "INVALID_PARAMETER_VALUE", **given)


def test_a_batch_has_limits(client):
    run = client.run()
    metrics = [{"key": f"m{at}", "value": 1, "timestamp": 1} for at in range(1001)]
    message = client.refused("POST", f"{RUNS}/log-batch", "INVALID_PARAMETER_VALUE", run_id=run, metrics=metrics)
    assert "at most 1000 metrics" in message


def test_unknown_and_deleted_runs_are_told(client):
    missing = client.refused("GET", f"{RUNS}/get", "RESOURCE_DOES_NOT_EXIST", 404, run_id="f" * 32)
    assert missing == f"Run with id={'f' * 32} not found"
    run = client.run()
    client("POST", f"{RUNS}/delete", run_id=run)
    message = client.refused("POST", f"{RUNS}/set-tag", "INVALID_PARAMETER_VALUE", run_id=run, key="a", value="b")
    assert message.startswith(f"The run {run} must be in the 'active' state")
    client("POST", f"{RUNS}/restore", run_id=run)
    client("POST", f"{RUNS}/set-tag", run_id=run, key="a", value="b")


@pytest.fixture
def several(client):
    for name, loss, depth in (("one", 0.3, "1"), ("two", 0.1, "2"), ("three", math.nan, "3"), ("four", None, "4")):
        run = client.run(run_name=name, tags=[{"key": "kind", "value": name[0]}])
        client("POST", f"{RUNS}/log-parameter", run_id=run, key="depth", value=depth)
        if loss is not None:
            client("POST", f"{RUNS}/log-metric", run_id=run, key="loss", value=str(loss), timestamp=1)
        inputs = [{"dataset": {"name": f"set-{depth}", "digest": "d", "source_type": "t", "source": "s"}}]
        client("POST", f"{RUNS}/log-inputs", run_id=run, datasets=inputs)
    return client


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("metrics.loss < 0.2", ["two"]),
        ("metrics.loss > 0.05 and params.depth = '1'", ["one"]),
        ("tags.\"kind\" IN ('t')", ["three", "two"]),
        ("tags.kind NOT IN ('t')", ["four", "one"]),
        ("attributes.run_name LIKE 't%'", ["three", "two"]),
        ("params.`depth` >= '3'", ["four", "three"]),
        ("metrics.loss IS NULL", ["four"]),
        ("datasets.name = 'set-2'", ["two"]),
        ("metrics.loss < 0.2 OR params.depth = '4'", ["four", "two"]),
        ("status = 'RUNNING'", ["four", "three", "two", "one"]),
        ("", ["four", "three", "two", "one"]),
    ],
)
def test_runs_are_searched(several, text, names):
    assert several.runs(filter=text) == names


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (["metrics.loss ASC"], ["two", "one", "three", "four"]),
        (["metrics.loss DESC"], ["one", "two", "three", "four"]),
        (["params.depth"], ["one", "two", "three", "four"]),
        (["tags.kind DESC", "attributes.run_name ASC"], ["three", "two", "one", "four"]),
    ],
)
def test_runs_are_sorted(several, order, names):
    assert several.runs(order_by=order) == names


@pytest.mark.parametrize(
    "text",
    [
        "metrics.loss < 'x'",
        "loss < 1",
        "what.loss < 1",
        "metrics.loss <",
        "metrics.loss < 1 AND",
        "(params.a = '1'",
        "params.a = 1",
    ],
)
def test_a_filter_that_cannot_be_read_is_refused(several, text):
    assert several.refused("POST", f"{RUNS}/search", "INVALID_PARAMETER_VALUE", experiment_ids=["0"], filter=text)


def test_a_search_comes_in_pages_that_new_runs_do_not_shift(several):
    first = several("POST", f"{RUNS}/search", experiment_ids=["0"], max_results=3)
    several.run(run_name="five")
    rest = several("POST", f"{RUNS}/search", experiment_ids=["0"], max_results=3, page_token=first["next_page_token"])
    assert [run["info"]["run_name"] for run in rest["runs"]] == ["one"]
    assert "next_page_token" not in rest


def test_history_of_several_runs_is_thinned_out_for_plots(client):
    run = client.run()
    metrics = [{"key": "m", "value": at, "timestamp": 1, "step": at} for at in range(100)]
    client("POST", f"{RUNS}/log-batch", run_id=run, metrics=metrics)
    found = client("GET", f"{METRICS}/get-history-bulk-interval", run_ids=[run], metric_key="m", max_results=5)
    assert [each["step"] for each in found["metrics"]] == [0, 20, 40, 60, 80, 99]
    paged = client("GET", f"{METRICS}/get-history", run_id=run, metric_key="m", max_results=60)
    rest = client("GET", f"{METRICS}/get-history", run_id=run, metric_key="m", page_token=paged["next_page_token"])
    assert [each["step"] for each in [*paged["metrics"], *rest["metrics"]]] == list(range(100))


def test_histories_for_a_plot_come_in_the_order_in_which_their_runs_are_named(client):
    runs = [client.run(), client.run()]
    for run in runs:
        client("POST", f"{RUNS}/log-metric", run_id=run, key="m", value=1.0, timestamp=1, step=0)
    for order in (runs, runs[::-1]):
        found = client("GET", f"{METRICS}/get-history-bulk-interval", run_ids=order, metric_key="m")
        assert [each["run_id"] for each in found["metrics"]] == order


def test_values_that_share_a_step_are_thinned_out_for_plots(client):
    """As all do that are logged without one: a plot got as many as there are."""
    run = client.run()
    for first in range(0, 26_000, 1000):
        values = [{"key": "m", "value": at, "timestamp": at, "step": 0} for at in range(first, first + 1000)]
        client("POST", f"{RUNS}/log-batch", run_id=run, metrics=values)
    found = client("GET", f"{METRICS}/get-history-bulk-interval", run_ids=[run], metric_key="m")["metrics"]
    assert len(found) == 25_001
    assert [found[at]["value"] for at in (0, -1)] == [0, 25_999]


def test_a_body_that_is_no_object_is_refused(client):
    for body in (b"[1]", b"{", b'"x"', b"\xff"):
        status, answer, _ = client.raw("POST", "/api/2.0/mlflow/runs/create", body, content_type="application/json")
        assert status == 400, answer
        assert json.loads(answer)["error_code"] == "BAD_REQUEST"
    status, answer, _ = client.raw("POST", "/api/2.0/mlflow/runs/create", b"{}", content_type="text/plain")
    assert status == 400
    assert b"Content-Type" in answer


def test_unknown_paths_are_told_as_mlflow_does(client):
    assert client.refused("GET", "2.0/mlflow/nothing", "ENDPOINT_NOT_FOUND", 404)


def test_health_version_and_measures(client):
    assert client.raw("GET", "/health")[1] == b"OK"
    assert client.raw("GET", "/version")[1].split(b".")[0] == b"3"
    client.run()
    assert b'route="/api/2.0/mlflow/runs/create",status="200"} 1' in client.raw("GET", "/metrics")[1]


def test_logged_models_are_made_measured_and_searched(client):
    created = client(
        "POST", "2.0/mlflow/logged-models", experiment_id="0", name="m1", params=[{"key": "a", "value": "1"}]
    )
    model = created["model"]["info"]["model_id"]
    run = client.run()
    client(
        "POST",
        f"{RUNS}/log-metric",
        run_id=run,
        key="acc",
        value=0.9,
        timestamp=1,
        model_id=model,
        dataset_name="d",
        dataset_digest="x",
    )
    client("PATCH", f"2.0/mlflow/logged-models/{model}", status="LOGGED_MODEL_READY")
    client("POST", f"{RUNS}/outputs", run_id=run, models=[{"model_id": model, "step": 3}])
    found = client("GET", f"2.0/mlflow/logged-models/{model}")["model"]
    assert found["info"]["status"] == "LOGGED_MODEL_READY"
    assert found["data"]["metrics"][0]["value"] == 0.9
    assert client.get_run(run)["outputs"] == {"model_outputs": [{"model_id": model, "step": 3}]}
    for given, count in (
        ({"filter": "metrics.acc > 0.8"}, 1),
        ({"filter": "metrics.acc > 0.95"}, 0),
        ({"filter": "params.a = '1' AND status = 'READY'"}, 1),
        ({"datasets": [{"dataset_name": "d", "dataset_digest": "x"}]}, 1),
        ({"datasets": [{"dataset_name": "e"}]}, 0),
    ):
        found = client("POST", "2.0/mlflow/logged-models/search", experiment_ids=["0"], **given)
        assert len(found["models"]) == count, given
    client("DELETE", f"2.0/mlflow/logged-models/{model}")
    assert client.refused("GET", f"2.0/mlflow/logged-models/{model}", "RESOURCE_DOES_NOT_EXIST", 404)
    assert client("POST", "2.0/mlflow/logged-models/search", experiment_ids=["0"])["models"] == []


def test_models_that_are_told_at_once_are_all_kept_beside_tags(client):
    run_id = client.run()

    def tell(at):
        client("POST", "2.0/mlflow/runs/outputs", run_id=run_id, models=[{"model_id": f"m-{at}", "step": at}])
        client("POST", "2.0/mlflow/runs/log-inputs", run_id=run_id, models=[{"model_id": f"m-{at}"}])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tell, range(8)))
    run = client.get_run(run_id)
    assert run["outputs"]["model_outputs"] == [{"model_id": f"m-{at}", "step": at} for at in range(8)]
    assert run["inputs"]["model_inputs"] == [{"model_id": f"m-{at}"} for at in range(8)]
    assert [tag["key"] for tag in run["data"]["tags"]] == ["mlflow.runName"]


def test_a_param_that_is_cut_is_told_in_the_log(client, caplog):
    run_id = client.run()
    client("POST", "2.0/mlflow/runs/log-parameter", run_id=run_id, key="long", value="x" * 6001)
    assert len(client.get_run(run_id)["data"]["params"][0]["value"]) == 6000
    assert "param 'long' has 6001 characters: cut to the first 6000" in caplog.text


def test_runs_that_are_created_at_once_and_those_that_cannot_be(client):
    """They share commits, and each is refused or answered for itself."""
    gone = client("POST", f"{EXPERIMENTS}/create", name="gone")["experiment_id"]
    client("POST", f"{EXPERIMENTS}/delete", experiment_id=gone)
    refusals = {0: (gone, "must be in the 'active' state"), 1: ("77", "No Experiment with id=77 exists")}

    def create(at: int) -> tuple[int, dict]:
        given = {"experiment_id": refusals.get(at % 5, ("0",))[0], "tags": [{"key": "at", "value": str(at)}]}
        status, body, _ = client.raw(
            "POST", f"/api/{RUNS}/create", json.dumps(given).encode(), content_type="application/json"
        )
        return status, json.loads(body)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(create, range(40)))
    for at, (status, body) in enumerate(answers):
        if at % 5 in refusals:
            assert status in {400, 404}
            assert refusals[at % 5][1] in body["message"]
        else:
            assert client.get_run(body["run"]["info"]["run_id"]) == body["run"]
            assert named(body["run"]["data"]["tags"])["at"] == str(at)


def reading(path: str, body: bytes, kind: str, *, at_once: bool):
    """What an operation is to write, or why not."""
    operation = next(each for each in CALLS if each.path == f"{RUNS}/{path}")
    scope = {"type": "http", "method": "POST", "path_params": {}, "headers": [(b"content-type", kind.encode())]}
    assert operation.changes is not None
    assert operation.whole is not None
    try:
        given = arguments(Request(scope), body, operation.takes, operation.whole if at_once else None)
        change = operation.changes(cast("Tracking", None), given)
    except TrackingError as error:
        return error.code, error.message
    return repr(replace(change, metrics=[msgspec.structs.astuple(each) for each in change.metrics]))  # NaN equals none


VALUE = {"key": "m", "value": 0.5, "timestamp": 7, "step": 3}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"value": 1},
        {"value": "NaN"},
        {"value": None},
        {"value": 10**400},
        {"step": None},
        {"step": 2.0},
        {"step": 2**63},
        {"timestamp": "8"},
        {"timestamp": -1},
        {"timestamp": 2**63},
        {"key": ""},
        {"key": "../m"},
        {"key": "é" * 251},
        {"key": "\ud800"},
        {"series": {"model_id": "x"}},
        {"model_id": "m-1", "dataset_name": "d", "dataset_digest": ""},
        {"more": {}},
    ],
)
def test_what_is_read_at_once_is_what_is_read_piece_by_piece(changed):
    value = {**VALUE, **changed}
    batches = [{"metrics": [VALUE, value]}, {"metrics": [value], "params": [{"key": "a", "value": None}], "tags": None}]
    for path, body in (("log-metric", value), *(("log-batch", each) for each in batches)):
        raw = json.dumps({"run_id": "r", **body}).encode()
        assert reading(path, raw, "application/json", at_once=True) == reading(
            path, raw, "application/json", at_once=False
        )


@pytest.mark.parametrize(
    "body",
    [
        {"metrics": [VALUE] * 1001},
        {"metrics": [VALUE, 5]},
        {"metrics": {}},
        {"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "1", "more": 1}]},
        {"params": [{"value": "1"}]},
        {"params": [{"key": "a", "value": 1}], "tags": [{"key": "mlflow.runName", "value": "n"}]},
        {"tags": [{"key": "mlflow.runName", "value": "n"}, {"key": "b"}]},
        {"run_id": ""},
        {"run_id": None, "run_uuid": "u", "metrics": [VALUE]},
    ],
)
def test_a_batch_is_refused_as_before_it_was_read_at_once(body):
    given = {"run_id": "r", **body}
    for raw, kind in (
        (json.dumps(given).encode(), "application/json; charset=utf-8"),
        (json.dumps(json.dumps(given)).encode(), "application/json"),
        (json.dumps(given).encode(), "text/plain"),
        (json.dumps(given).encode()[:-1], "application/json"),
        (b"\xff", "application/json"),
        (b"", "application/json"),
    ):
        assert reading("log-batch", raw, kind, at_once=True) == reading("log-batch", raw, kind, at_once=False)
