"""Artifacts through the proxy: streamed in and out, listed, deleted, never outside."""

import hashlib

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
