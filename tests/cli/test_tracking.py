"""`bakeoff ui` as a process: which stores it opens, and what its one line of JSON says."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest


@contextlib.contextmanager
def ui(folder: Path, *args: str) -> Iterator[httpx.Client]:
    """A client of the server while it runs; it must end by itself on SIGTERM."""
    command = [sys.executable, "-m", "bakeoff", "ui", "--port", "0", "--json", "-C", str(folder), *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with httpx.Client(base_url=json.loads(process.stdout.readline())["url"], timeout=10) as client:
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def made(client: httpx.Client) -> None:
    """An experiment, a run in it and an artifact of that run."""
    experiment = client.post("/api/2.0/mlflow/experiments/create", json={"name": "taxis"}).json()["experiment_id"]
    run = client.post("/api/2.0/mlflow/runs/create", json={"experiment_id": experiment}).json()["run"]["info"]
    assert run["artifact_uri"] == f"mlflow-artifacts:/{experiment}/{run['run_id']}/artifacts"
    path = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert client.put(f"/api/2.0/mlflow-artifacts/artifacts/{path}/a.txt", content=b"yellow").status_code == 200


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}


def test_a_folder_without_a_project_gets_a_store(tmp_path):
    with ui(tmp_path) as client:
        made(client)
    with ui(tmp_path) as client:
        assert client.get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=taxis").status_code == 200
    assert files(tmp_path) == {".bakeoff"}


@pytest.mark.parametrize("option", ["records", "blobs"])
def test_one_store_elsewhere_and_the_other_the_projects(tmp_path, option):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "bakeoff.toml").write_text(
        '[project]\nname = "a"\ntask = "classification"\n[data]\nsource = "a.csv"\ntarget = "b"\n'
        '[candidates.linear]\n[store]\nrecords = "sqlite:///here/records.db"\nblobs = "file://here/blobs"\n'
    )
    url = {"records": f"sqlite:///{tmp_path}/there/records.db", "blobs": f"file://{tmp_path}/there/blobs"}[option]
    with ui(folder, f"--{option}", url) as client:
        made(client)
    here, there = ("blobs", "records") if option == "records" else ("records", "blobs")
    assert {path.name.split(".")[0] for path in (folder / "here").iterdir()} == {here}
    assert {path.name.split(".")[0] for path in (tmp_path / "there").iterdir()} == {there}


def test_what_mlflow_names_the_folder_of_artifacts(tmp_path):
    with ui(tmp_path, "--artifacts", str(tmp_path / "shared")) as client:
        created = client.post("/api/2.0/mlflow/experiments/create", json={"name": "local"}).json()["experiment_id"]
        location = client.get(f"/api/2.0/mlflow/experiments/get?experiment_id={created}").json()["experiment"]
        assert location["artifact_location"] == f"{tmp_path}/shared/{created}"


def test_a_preview_of_the_policy_ends_with_the_server(ran, third_party_path, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("PYTHONPATH", str(third_party_path))
    with ui(ran) as client:
        sent, here = {"by": "year", "start": "1960"}, {"origin": str(client.base_url).rstrip("/")}
        assert "Replaying the past" in client.post("/loop/policy/preview", data=sent, headers=here).text
        assert list(scratch.glob("bakeoff-preview-*"))
    assert list(scratch.glob("bakeoff-preview-*")) == []
