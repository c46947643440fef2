"""The tracking app over a real socket, on records and blobs in a folder."""

import http.client
import itertools
import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from bakeoff.config.sections import StoreConfig
from bakeoff.project import wiring
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking


class Client:
    """Calls below /api, and what they answer."""

    def __init__(self, server: Server) -> None:
        self.host, self.port = server.host, server.port

    def raw(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, response.read(), dict(response.getheaders())
        finally:
            connection.close()

    def __call__(self, method: str, path: str, expected: int = 200, /, **given) -> dict:
        path = f"/api/{path}"
        body = None
        if method == "GET":
            path += f"?{urlencode(given, doseq=True)}"
        else:
            body = json.dumps(given).encode()
        status, answer, _ = self.raw(method, path, body, content_type="application/json")
        assert status == expected, answer
        return json.loads(answer)

    def run(self, **given) -> str:
        return self("POST", "2.0/mlflow/runs/create", **{"experiment_id": "0", **given})["run"]["info"]["run_id"]

    def get_run(self, run_id: str) -> dict:
        return self("GET", "2.0/mlflow/runs/get", run_id=run_id)["run"]

    def runs(self, **given) -> list[str]:
        found = self("POST", "2.0/mlflow/runs/search", **{"experiment_ids": ["0"], **given})
        return [run["info"]["run_name"] for run in found["runs"]]

    def refused(self, method: str, path: str, code: str, status: int = 400, /, **given) -> str:
        answer = self(method, path, status, **given)
        assert answer["error_code"] == code, answer
        return answer["message"]


@pytest.fixture(params=["sqlite", "postgresql"])
def tracking(request, tmp_path) -> Iterator[Tracking]:
    moments = itertools.count(1_000_000, 10)

    def clock() -> int:
        return next(moments)

    url = "sqlite:///records.db" if request.param == "sqlite" else request.getfixturevalue("empty_postgresql")
    records, blobs = wiring.open_stores(tmp_path, StoreConfig(records=url, blobs="file://blobs"), clock)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    made = Tracking(records=records, blobs=blobs, clock=clock, scratch=scratch)
    made.prepare()
    yield made
    records.close()


@pytest.fixture
def client(tracking) -> Iterator[Client]:
    with Server(create_tracking_app(tracking, hosts=local_hosts("127.0.0.1"))) as server:
        yield Client(server)


def _value(content):
    kind = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}[type(content)]
    return {kind: str(content) if kind == "intValue" else content}


def _span(number, *, parent=None, name="call", start_ms=1000, took_ms=5, code=1, trace=1, **attributes):
    body = {
        "traceId": f"{trace:032x}",
        "spanId": f"{number:016x}",
        "name": name,
        "startTimeUnixNano": str(start_ms * 1_000_000),
        "endTimeUnixNano": str((start_ms + took_ms) * 1_000_000),
        "status": {"code": code},
        "attributes": [{"key": key.replace("__", "."), "value": _value(v)} for key, v in attributes.items()],
    }
    return body if parent is None else {**body, "parentSpanId": f"{parent:016x}"}


def _export(*spans):
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": list(spans)}]}]}


@pytest.fixture
def span():
    """A span in OTLP's JSON."""
    return _span


@pytest.fixture
def send(client):
    def send(*spans, expected=200, encode=lambda data: data, **headers):
        data = encode(json.dumps(_export(*spans)).encode())
        headers = {"content_type": "application/json", "x_mlflow_experiment_id": "0", **headers}
        status, answer, _ = client.raw("POST", "/v1/traces", data, **headers)
        assert status == expected, answer
        return answer

    return send
