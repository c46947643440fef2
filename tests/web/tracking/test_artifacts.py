"""Artifacts through the proxy: streamed in and out, listed, deleted, never outside."""

import hashlib
import http.client
import json
from contextlib import closing
from urllib.parse import quote

import pytest

PROXY = "/api/2.0/mlflow-artifacts/artifacts"


def test_files_of_a_run_come_back_as_they_were(client, tracking):
    run = client.run()
    root = f"{PROXY}/0/{run}/artifacts"
    content = bytes(range(256)) * 40_000
    assert client.raw("PUT", f"{root}/model/weights.bin", content)[0] == 200
    assert client.raw("PUT", f"{root}/notes.txt", b"hello")[0] == 200
    status, found, headers = client.raw("GET", f"{root}/model/weights.bin")
    assert (status, hashlib.sha256(found).digest()) == (200, hashlib.sha256(content).digest())
    assert headers["x-content-type-options"] == "nosniff"
    listed = client("GET", "2.0/mlflow/artifacts/list", run_id=run)
    assert listed["files"] == [
        {"path": "model", "is_dir": True},
        {"path": "notes.txt", "is_dir": False, "file_size": 5},
    ]
    inner = client("GET", "2.0/mlflow/artifacts/list", run_id=run, path="model")["files"]
    assert inner == [{"path": "model/weights.bin", "is_dir": False, "file_size": len(content)}]
    assert set(tracking.records.runs.get(run).artifacts) == {"model/weights.bin", "notes.txt"}
    assert client.raw("GET", f"/get-artifact?run_id={run}&path=notes.txt")[1] == b"hello"
    assert client.raw("DELETE", f"{root}/model")[0] == 200
    assert client.raw("GET", f"{root}/model/weights.bin")[0] == 404
    assert not list(tracking.scratch.iterdir())


def test_what_a_run_of_bakeoff_shows_stays_as_it_is(client, tracking):
    run = tracking.records.runs.start("0", "a bake-off").run_id
    root = f"{PROXY}/0/{run}/artifacts"
    assert client.raw("PUT", f"{root}/report.html", b"as it was")[0] == 200
    assert client.raw("PUT", f"{root}/report.html", b"as it was")[0] == 200  # sent again
    status, answer, _ = client.raw("PUT", f"{root}/report.html", b"better")
    assert (status, json.loads(answer)["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert client.raw("DELETE", f"{root}/report.html")[0] == 400
    assert client.raw("GET", f"{root}/report.html")[1] == b"as it was"
    assert client.raw("PUT", f"{root}/notes.txt", b"seen by me")[0] == 200


def test_files_of_logged_models_are_kept_too(client):
    model = client("POST", "2.0/mlflow/logged-models", experiment_id="0")["model"]["info"]
    path = model["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert client.raw("PUT", f"{PROXY}/{path}/MLmodel", b"flavors: {}")[0] == 200
    base = f"2.0/mlflow/logged-models/{model['model_id']}/artifacts"
    assert [each["path"] for each in client("GET", f"{base}/directories")["files"]] == ["MLmodel"]
    assert client.raw("GET", f"/ajax-api/{base}/files?artifact_file_path=MLmodel")[1] == b"flavors: {}"


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "..%2Fx",
        "%2e%2e/x",
        "a/../../x",
        "%252e%252e%252fx",
        "%2Fetc%2Fpasswd",
        "..%5Cx",
        "a%00b",
        "C:%5Cx",
        "%7E/x",
    ],
)
def test_no_path_leads_out(client, tmp_path, path):
    run = client.run()
    before = {each.name for each in tmp_path.iterdir()}
    for method, where in (
        ("GET", f"{PROXY}/0/{run}/artifacts/{path}"), ("PUT", f"{PROXY}/{path}"), ("DELETE", f"{PROXY}/{path}"),
        ("GET", f"/get-artifact?run_id={run}&path={path}"), ("GET", f"{PROXY}?path={path}"),
        ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run}&path={path}"),
        ("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={path}"),
    ):  # fmt: skip
        status, answer, _ = client.raw(method, where, b"data" if method in {"PUT", "POST"} else None)
        assert status in {400, 404}, (method, where, answer)
    assert {each.name for each in tmp_path.iterdir()} == before


def test_a_file_comes_in_parts_in_any_order(client, tracking):
    run = client.run()
    begin = f"2.0/mlflow-artifacts/mpu/create/0/{run}/artifacts/model"
    made = client("POST", begin, path="/home/ada/weights.bin", num_parts=3)
    pieces = {1: b"a" * 70_000, 2: b"b" * 70_000, 3: b"c"}
    etags = {}
    for credential in reversed(made["credentials"]):
        number, path = credential["part_number"], "/" + credential["url"].split("/", 3)[3]
        status, _, headers = client.raw("PUT", path, pieces[number])
        assert status == 200
        etags[number] = headers["etag"]
    end = {"path": "/home/ada/weights.bin", "upload_id": made["upload_id"]}
    finish = f"2.0/mlflow-artifacts/mpu/complete/0/{run}/artifacts/model"
    wrong = [{"part_number": 1, "etag": etags[2]}]
    assert "part 1" in client.refused("POST", finish, "INVALID_PARAMETER_VALUE", **end, parts=wrong)
    client("POST", finish, **end, parts=[{"part_number": number, "etag": etags[number]} for number in (1, 2, 3)])
    assert not list(tracking.scratch.iterdir())
    content = client.raw("GET", f"{PROXY}/0/{run}/artifacts/model/weights.bin")[1]
    assert content == b"".join(pieces.values())
    client.refused("POST", finish, "RESOURCE_DOES_NOT_EXIST", 404, **end, parts=wrong)


def test_a_small_file_that_is_too_large_is_not_read_to_its_end(client):
    """The refusal comes while the rest of the body is still to come."""
    run = client.run()
    connection = http.client.HTTPConnection(client.host, client.port, timeout=10)
    with closing(connection):
        connection.putrequest("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=a")
        connection.putheader("Content-Length", str(2**40))
        connection.endheaders()
        for _ in range(10):
            connection.send(b"x" * 2**20)
        connection.send(b"x")
        response = connection.getresponse()
        assert response.status == 400
        assert json.loads(response.read())["message"] == "Artifact size is too large. Max size is 10MB."


def test_an_upload_in_parts_begins_with_a_body_as_it_is_described(client):
    described = json.loads(client.raw("GET", "/openapi.json")[1])
    create = described["paths"]["/api/2.0/mlflow-artifacts/mpu/create/{artifact_path}"]["post"]
    assert [each["in"] for each in create["parameters"]] == ["path"]
    body = create["requestBody"]["content"]["application/json"]["schema"]
    assert (set(body["properties"]), body["required"]) == ({"path", "num_parts"}, ["path"])


def test_an_upload_in_parts_is_given_up(client, tracking):
    made = client("POST", "2.0/mlflow-artifacts/mpu/create/x", path="f", num_parts=1)
    path = "/" + made["credentials"][0]["url"].split("/", 3)[3]
    assert client.raw("PUT", path, b"1")[0] == 200
    client("POST", "2.0/mlflow-artifacts/mpu/abort/x", path="f", upload_id=made["upload_id"])
    assert not list(tracking.scratch.iterdir())
    assert client.raw("PUT", path, b"1")[0] == 404
    assert client.raw("GET", f"{PROXY}/x/f")[0] == 404


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("create/x", {"path": "f", "num_parts": 0}),
        ("create/x", {"path": "f", "num_parts": 10_001}),
        ("create/..%2f..", {"path": "f"}),
        ("create/x", {"path": ".."}),
        ("create/x", {}),
        ("complete/x", {"path": "f", "upload_id": "../../etc", "parts": [{"part_number": 1}]}),
        ("abort/x", {"path": "f", "upload_id": "0" * 32}),
    ],
)
def test_a_wrong_upload_in_parts_is_refused(client, tracking, path, given):
    body = json.dumps(given).encode()
    status, _, _ = client.raw("POST", f"/api/2.0/mlflow-artifacts/mpu/{path}", body, content_type="application/json")
    assert status in {400, 404}
    assert not list(tracking.scratch.iterdir())


@pytest.mark.parametrize(
    ("name", "kind", "named"),
    [
        ("a.txt", "text/plain", "filename=a.txt"),
        ("MLmodel", "text/plain", "filename=MLmodel"),
        ("c.png", "image/png", "filename=c.png"),
        ("page.html", "text/plain", "filename=page.html"),  # else a page of this server's would be the artifact's
        ("code.js", "text/plain", "filename=code.js"),
        ("drawn.svg", "application/octet-stream", "filename=drawn.svg"),
        ("b.pkl", "application/octet-stream", "filename=b.pkl"),
        ('"ü.png', "image/png", "filename*=utf-8''%22%C3%BC.png"),
    ],
)
def test_a_file_has_its_name_and_a_type_that_no_browser_runs(client, name, kind, named):
    client.raw("PUT", f"{PROXY}/{quote(name)}", b"x")
    _, _, headers = client.raw("GET", f"{PROXY}/{quote(name)}")
    assert (headers["content-type"], headers["content-disposition"]) == (kind, f"attachment; {named}")
    assert headers["x-content-type-options"] == "nosniff"


def test_double_slashes_lead_to_the_path_with_one(client):
    status, _, headers = client.raw("GET", "//model-versions//get-artifact?name=a&path=b")
    assert (status, headers["location"].endswith("/model-versions/get-artifact?name=a&path=b")) == (308, True)
    assert client.raw("GET", "//nowhere.example/")[2]["location"].count("//") == 1  # the one of http://
