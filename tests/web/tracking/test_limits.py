"""What the server does when it is asked too much, when its database is gone, and how requests are named."""

import http.client
import json
import logging
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from bakeoff.config.sections import StoreConfig
from bakeoff.core.errors import UsageError
from bakeoff.project import wiring
from bakeoff.stores import database
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.tracking.app import MOST_SEARCHES, create_tracking_app
from bakeoff.web.tracking.context import Tracking

RUNS = "/api/2.0/mlflow/runs"


def test_a_request_has_an_id_in_its_answer_and_in_the_log(client, caplog):
    with caplog.at_level(logging.INFO, logger="bakeoff.web.request_ids"):
        _, _, own = client.raw("GET", "/health", X_Request_Id="mine-1")
        _, _, new = client.raw("GET", "/health", X_Request_Id="with spaces")
        _, _, refused = client.raw("GET", "/no-such-path")
        until = time.monotonic() + 10
        while len(caplog.records) < 3 and time.monotonic() < until:  # a line is written after its answer
            time.sleep(0.01)
    assert own["x-request-id"] == "mine-1"
    assert re.fullmatch("[0-9a-f]{32}", new["x-request-id"])
    assert re.fullmatch("[0-9a-f]{32}", refused["x-request-id"])
    lines = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(r"GET '/health': 200 in [\d.]+ ms, request mine-1", lines[0])
    assert "404" in lines[2]
    assert lines[2].endswith(refused["x-request-id"])


def test_measures_are_told_by_route(client):
    client.run()
    _, body, headers = client.raw("GET", "/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'bakeoff_http_requests_total{route="/api/2.0/mlflow/runs/create",status="200"} 1' in body


def test_a_search_that_costs_too_much_is_ended(tracking, monkeypatch):
    monkeypatch.setattr(database, "QUERY_S", 1)
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    began = time.monotonic()
    with (
        pytest.raises(UsageError, match="at most 1 s, this one was ended: narrow its filter"),
        tracking.records.database.search() as connection,
    ):
        connection.exec_driver_sql(endless).scalar()
    assert time.monotonic() - began < 5
    with tracking.records.database.search() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_many_long_searches_do_not_stop_the_others(client, tracking, monkeypatch):
    run = client.run()
    search, ended = tracking.records.runs.search, threading.Event()

    def slow(query):
        ended.wait(30)
        return search(query)

    monkeypatch.setattr(tracking.records.runs, "search", slow)
    body = json.dumps({"experiment_ids": ["0"]}).encode()

    def long(_number: int) -> tuple[int, str | None]:
        status, _, headers = client.raw("POST", f"{RUNS}/search", body, content_type="application/json")
        return status, headers.get("retry-after")

    with ThreadPoolExecutor(MOST_SEARCHES + 10) as pool:
        answers = [pool.submit(long, each) for each in range(MOST_SEARCHES + 10)]
        while sum(each.done() for each in answers) < 10:  # those that are too many
            time.sleep(0.01)
        began = time.monotonic()
        client("POST", "2.0/mlflow/runs/log-metric", run_id=run, key="loss", value=1.0, timestamp=1)
        assert client.get_run(run)["data"]["metrics"][0]["value"] == 1.0
        took = time.monotonic() - began
        ended.set()
        results = [each.result() for each in answers]
    assert took < 5
    assert results.count((429, "1")) == 10
    assert results.count((200, None)) == MOST_SEARCHES


def test_searches_by_the_old_path_of_traces_are_long_ones(client, tracking, monkeypatch):
    """They have threads of their own, whatever their path."""
    search, threads = tracking.records.documents.search, []

    def noted(*given):
        threads.append(threading.current_thread().name)
        return search(*given)

    monkeypatch.setattr(tracking.records.documents, "search", noted)
    client("GET", "2.0/mlflow/traces", experiment_ids="0")
    assert [each.rpartition("_")[0] for each in threads] == ["tracking-search"]


def test_one_bad_write_among_many_harms_none_of_them(client):
    run, gone = client.run(), client.run()
    client("POST", "2.0/mlflow/runs/delete", run_id=gone)

    def log(at: int) -> int:
        given = {"run_id": gone if at % 5 == 0 else run, "key": "loss", "value": float(at), "timestamp": 1, "step": at}
        return client.raw("POST", f"{RUNS}/log-metric", json.dumps(given).encode(), content_type="application/json")[0]

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(log, range(80)))
    assert statuses == [400 if at % 5 == 0 else 200 for at in range(80)]
    known = client("GET", "2.0/mlflow/metrics/get-history", run_id=run, metric_key="loss")["metrics"]
    assert [(each["step"], each["value"]) for each in known] == [(at, float(at)) for at in range(80) if at % 5]


class Gate:
    """A way to a database's socket that can be closed."""

    def __init__(self, folder, target: str) -> None:
        self.path, self._target = folder / ".s.PGSQL.5432", target
        self._open: list[socket.socket] = []
        self.listen()

    def listen(self) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen(50)
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def close(self) -> None:
        self._server.close()
        self.path.unlink()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                caller, database_ = server.accept()[0], socket.socket(socket.AF_UNIX)
                database_.connect(self._target)
                self._open += [caller, database_]
                for one, other in ((caller, database_), (database_, caller)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)


@pytest.mark.slow
def test_a_lost_database_gives_503_and_comes_back(empty_postgresql, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    gate = Gate(folder, parse_qs(urlsplit(empty_postgresql).query)["host"][0] + "/.s.PGSQL.5432")
    records, blobs = wiring.open_stores(
        folder, StoreConfig(records=f"postgresql://bakeoff@/postgres?host={folder}", blobs="file://blobs"), lambda: 1
    )
    tracking = Tracking(records=records, blobs=blobs, clock=lambda: 1, scratch=folder)
    tracking.prepare()

    def call(server: Server, path: str, **given) -> tuple[int, dict, str | None]:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
        try:
            connection.request("POST", f"{RUNS}/{path}", json.dumps(given), {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.getheader("retry-after")
        finally:
            connection.close()

    with Server(create_tracking_app(tracking, hosts=local_hosts("127.0.0.1"))) as server:
        run_id = call(server, "create", experiment_id="0")[1]["run"]["info"]["run_id"]
        value = {"run_id": run_id, "key": "loss", "value": 1.0, "timestamp": 1}
        assert call(server, "log-metric", **value)[0] == 200
        gate.close()
        began = time.monotonic()
        for path, given in (("log-metric", value), ("search", {"experiment_ids": ["0"]}), ("create", {})):
            status, body, retry = call(server, path, **given)
            assert (status, body["error_code"], retry) == (503, "TEMPORARILY_UNAVAILABLE", "1")
        assert time.monotonic() - began < 10
        gate.listen()
        came_back = time.monotonic()
        while (answer := call(server, "log-metric", **{**value, "step": 1}))[0] == 503:
            time.sleep(float(answer[2]))  # as it was told
        assert answer[0] == 200
        assert time.monotonic() - came_back < 5
    gate.close()
    records.close()
