"""MLflow's scoring protocol: the forms of bodies that its clients send."""

import http.client
import json

import pytest

ROWS = [{"x": 2.0, "note": "a"}, {"x": -1.0, "note": "b"}]


def send(row_world, path, body, kind="application/json"):
    connection = http.client.HTTPConnection("127.0.0.1", row_world.server.port, timeout=10)
    try:
        connection.request("POST", path, body, {"content-type": kind})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": ROWS},
        {"dataframe_split": {"columns": ["note", "x"], "data": [["a", 2.0], ["b", -1.0]], "index": [0, 1]}},
        {"dataframe_split": {"data": [[2.0, "a"], [-1.0, "b"]]}},
        {"instances": ROWS},
        {"instances": [[2.0, "a"], [-1.0, "b"]], "params": {}},
        {"inputs": {"x": [2.0, -1.0], "note": ["a", "b"]}},
        {"inputs": ROWS},
    ],
)
def test_every_form_of_rows(row_world, body) -> None:
    assert send(row_world, "/invocations", json.dumps(body)) == (200, {"predictions": ["pos", "neg"]})
    assert send(row_world, "/endpoints/signs/invocations", json.dumps(body))[1] == {"predictions": ["pos", "neg"]}


def test_values_alone_csv_and_numbers(row_world) -> None:
    topics, sums = "/endpoints/topics/invocations", "/endpoints/sums/invocations"
    assert send(row_world, topics, '{"instances": ["tiny", "a rather long one"]}')[1] == {
        "predictions": ["short", "long"]
    }
    assert send(row_world, sums, "a,b\n1,2\n3,\n", "text/csv; charset=utf-8") == (200, {"predictions": [21.0, 3.0]})
    assert send(row_world, sums, '{"inputs": {"a": 1, "b": 0.5}}')[1] == {"predictions": [6.0]}
    assert send(row_world, sums, '{"dataframe_records": []}')[1] == {"predictions": []}


def test_what_mlflow_makes_of_a_frame(row_world) -> None:
    pandas = pytest.importorskip("pandas")
    scoring = pytest.importorskip("mlflow.pyfunc.scoring_server.client")
    client = scoring.ScoringServerClient("127.0.0.1", row_world.server.port)
    client.ping()
    client.wait_server_ready(timeout=5)
    answers = client.invoke(pandas.DataFrame(ROWS)).get_predictions()
    assert answers[0].tolist() == ["pos", "neg"]
    lacking = client.invoke(pandas.DataFrame([ROWS[0], {"x": float("nan"), "note": "NaN"}])).get_predictions()
    assert lacking[0].tolist() == ["pos", "neg"]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ('{"instances": [], "inputs": []}', "application/json", "expected one of dataframe_split"),
        ('{"rows": []}', "application/json", "no such option"),
        ('{"instances": [[1]]}', "application/json", "instances[0]: expected 2 values (x, note)"),
        ('{"inputs": {"x": [1, 2], "note": ["a"]}}', "application/json", "lists of one length"),
        ('{"instances": [], "params": {"k": 1}}', "application/json", "models here take none"),
        ("x,x\n1,2", "text/csv", "different names"),
        ("x,note\n1", "text/csv", "line 2: expected 2 values"),
        ("", "text/xml", "application/json or text/csv"),
        ('{"dataframe_records": [{"x": "many"}]}', "application/json", "row 1"),
        ('{"dataframe_records": [{"x": NaN, "note": Infinity}]}', "application/json", "received Infinity"),
        ('{"dataframe_records": [{"x": NaN, "note": }]}', "application/json", "this is no JSON"),
    ],
)
def test_errors_have_mlflows_form(row_world, body, kind, message) -> None:
    status, answer = send(row_world, "/invocations", body, kind)
    assert status in {400, 415, 422}
    assert answer["error_code"] == "BAD_REQUEST"
    assert message in answer["message"]


def test_the_servers_own_paths(row_world) -> None:
    import bakeoff

    connection = http.client.HTTPConnection("127.0.0.1", row_world.server.port, timeout=10)
    bodies = {}
    for path in ("/ping", "/health", "/version"):
        connection.request("GET", path)
        response = connection.getresponse()
        bodies[path] = response.status, response.read().decode()
    connection.close()
    assert bodies == {"/ping": (200, "\n"), "/health": (200, "\n"), "/version": (200, bakeoff.__version__)}
