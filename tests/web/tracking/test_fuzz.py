"""Malformed requests from the server's own document, and ways out of the artifacts' folder: a few of each kind."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("schemathesis")

_spec = importlib.util.spec_from_file_location("fuzz", Path(__file__).with_name("fuzz.py"))
fuzz = sys.modules["fuzz"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fuzz)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = fuzz.World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


def test_the_document_has_every_route_with_what_it_takes(world):
    status, body = world.send("GET", "/openapi.json")
    document = json.loads(body)
    assert status == 200
    known = {(path, method) for path, methods in document["paths"].items() for method in methods}
    app = fuzz.create_tracking_app(world.tracking)
    served = {(route.path.replace(":path}", "}"), each.lower()) for route in app.routes for each in route.methods}
    assert known == {each for each in served if each[1] != "head"}
    log = document["paths"]["/api/2.0/mlflow/runs/log-batch"]["post"]
    schema = log["requestBody"]["content"]["application/json"]["schema"]
    assert log["x-permission"] == "track"
    assert schema["required"] == ["run_id"]
    assert schema["properties"]["tags"]["items"] == {"$ref": "#/components/schemas/KeyValue"}
    assert set(document["components"]["schemas"]["KeyValue"]["properties"]) == {"key", "value"}
    history = document["paths"]["/api/2.0/mlflow/metrics/get-history"]["get"]["parameters"]
    assert [(each["name"], each["in"], each["required"]) for each in history][:2] == [
        ("run_id", "query", True),
        ("metric_key", "query", True),
    ]


def test_malformed_requests_get_no_5xx(world):
    statuses, failed = fuzz.malformed(world, 80, number=0)
    assert failed == []
    assert statuses[200] > 5
    assert statuses[400] > 30


def test_no_path_leads_out_of_the_artifacts(world):
    count, failed = fuzz.escaped(world)
    assert failed == []
    assert count > 1000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("2.0/mlflow/runs/log-inputs", {"run_id": "r", "datasets": [{"dataset": []}]}),
        ("2.0/mlflow/runs/log-batch", {"run_id": "r", "tags": [[]]}),
        ("2.0/mlflow/runs/log-batch", {"run_id": "r", "metrics": [1]}),
        ("2.0/mlflow/runs/log-model", {"run_id": "r", "model_json": "null"}),
        ("3.0/mlflow/traces", {"trace": []}),
        ("3.0/mlflow/traces", {"trace": {"trace_info": {"tags": []}}}),
        ("3.0/mlflow/traces/search", {"locations": [{"mlflow_experiment": 1}]}),
        ("3.0/mlflow/traces/tr-1/assessments", {"assessment": {"assessment_name": "a", "feedback": 1}}),
        ("2.0/mlflow/logged-models/search", {"order_by": ["name"]}),
    ],
)
def test_a_malformed_message_inside_is_refused_in_mlflows_words(world, path, body):
    body = {**body, "run_id": world.ids["run_id"]} if "run_id" in body else body
    status, answer = world.send("POST", f"/api/{path}", json.dumps(body).encode())
    assert (status, json.loads(answer)["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
