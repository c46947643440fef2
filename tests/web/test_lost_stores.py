"""Servers whose database or bucket stops: calls are told at once, readiness names it, and all is well afterwards."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest

from bakeoff import Project
from bakeoff.core.events import PredictionEvent

pytestmark = pytest.mark.slow

ROW = {"row": {"review": "good film", "year": 1990}}


COMMAND = """
from bakeoff.cli.main import main
from bakeoff.stores import postgresql

postgresql.SILENCE_S = 0.5
main()
"""
"""The command line; it has waited long enough for a database sooner than outside of tests."""


class Server:
    """`bakeoff serve` or `bakeoff ui` on a folder."""

    def __init__(self, folder, *command):
        words = [sys.executable, "-c", COMMAND, *command, "--port", "0", "--json", "-C", str(folder)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.url = json.loads(self.process.stdout.readline())["url"]

    def put(self, path, data):
        """Status, headers and how long it took."""
        status, headers, _, seconds = self.call(path, data=data, method="PUT")
        return status, headers, seconds

    def call(self, path, body=None, *, data=None, method=None):
        """Status, headers, body and how long it took."""
        data = data if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"content-type": "application/json"}, method=method)
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read().decode(), time.monotonic() - began
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode(), time.monotonic() - began

    def until(self, path, status, seconds, body=None):
        """Ask until this is the status; how long it took."""
        began = time.monotonic()
        while (answer := self.call(path, body))[0] != status:
            assert time.monotonic() - began < seconds, answer
            time.sleep(0.1)
        return time.monotonic() - began


@pytest.fixture
def database(postmaster, stopped):
    """Stops and continues the database; it is continued in any case."""
    with ExitStack() as still:
        yield lambda: still.enter_context(stopped(postmaster)), still.close


@pytest.fixture
def folder(films_project, empty_postgresql):
    toml = films_project / "bakeoff.toml"
    toml.write_text(f'{toml.read_text()}[store]\nrecords = "{empty_postgresql}"\nevents = "{empty_postgresql}"\n')
    with Project(films_project) as project:
        project.run()
    return films_project


def test_an_endpoint_whose_log_says_nothing(folder, database):
    stop, go_on = database
    server, acknowledged = Server(folder, "serve"), []
    try:

        def predict():
            status, headers, body, seconds = server.call("/predict", ROW)
            acknowledged.extend([json.loads(body)["predictions"][0]["id"]] if status == 200 else [])
            return status, headers, body, seconds

        assert predict()[0] == 200
        stop()
        status, headers, body, seconds = predict()
        assert (status, headers["retry-after"]) == (503, "1")
        assert "database" in body
        assert seconds < 15
        assert [predict()[0] for _ in range(3)] == [503] * 3
        status, _, body, seconds = server.call("/health/ready")
        assert status == 503
        assert "the database at" in body
        assert "does not answer" in body
        assert seconds < 1
        assert server.call("/health/live")[0] == 200
        go_on()
        assert server.until("/health/ready", 200, 5) < 5
        assert predict()[0] == 200
        stop()
        predict()
        began = time.monotonic()
        server.process.terminate()
        assert server.process.wait(30) in {0, 1}  # 1 where it says that it lost records of failed calls
        assert time.monotonic() - began < 15
    finally:
        go_on()
        server.process.kill()
        server.process.communicate()
    with Project(folder) as project:
        logged = [event.id for event in project.events.read(PredictionEvent)]
    assert set(acknowledged) <= set(logged)
    assert len(acknowledged) == 2


def test_tracking_whose_records_say_nothing(folder, database):
    stop, go_on = database
    server = Server(folder, "ui")
    search = "/api/2.0/mlflow/experiments/search", {"max_results": 5}
    try:
        assert server.call(*search)[0] == 200
        assert json.loads(server.call("/health/ready")[2]) == {"ready": True, "lost": []}
        stop()
        status, headers, _, seconds = server.call(*search)
        assert (status, headers["retry-after"]) == (503, "1")
        assert seconds < 15
        assert server.call(*search)[3] < 1.5
        status, _, body, _ = server.call("/health/ready")
        assert (status, json.loads(body)) == (503, {"ready": False, "lost": ["records"]})
        go_on()
        server.until("/health/ready", 200, 5)
        server.until(search[0], 200, 5, search[1])
    finally:
        go_on()
        server.process.kill()
        server.process.communicate()


def test_tracking_whose_bucket_says_nothing(films_project, bucket, s3_server, stopped):
    toml = films_project / "bakeoff.toml"
    toml.write_text(f'{toml.read_text()}[store]\nblobs = "{bucket}?timeout=1"\n')
    server = Server(films_project, "ui")
    path = "/api/2.0/mlflow-artifacts/artifacts/0"
    try:
        body = {"experiment_id": "0", "start_time": 1}
        run = json.loads(server.call("/api/2.0/mlflow/runs/create", body)[2])["run"]["info"]["run_id"]
        file = f"{path}/{run}/artifacts/notes.txt"
        assert server.put(file, b"acknowledged")[0] == 200
        with stopped(s3_server[0].pid):
            status, headers, seconds = server.put(f"{path}/{run}/artifacts/other.txt", b"lost")
            assert (status, headers["retry-after"]) == (503, "1")
            assert seconds < 15
            status, _, body, _ = server.call("/health/ready")
            assert (status, json.loads(body)) == (503, {"ready": False, "lost": ["blobs"]})
            assert server.call("/health")[0] == 200
        server.until(file, 200, 5)
        assert server.until("/health/ready", 200, 5) < 5
        assert server.call(file)[2] == "acknowledged"
        assert server.put(f"{path}/{run}/artifacts/other.txt", b"again")[0] == 200
    finally:
        server.process.kill()
        server.process.communicate()
