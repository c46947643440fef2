"""The server ends in the middle of writes: killed, and asked to end."""

import socket
import time

import pytest
from kills import Ui, trial

pytestmark = [pytest.mark.slow, pytest.mark.processes]


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request) -> str | None:
    return None if request.param == "sqlite" else request.getfixturevalue("empty_postgresql")


def test_no_acknowledged_write_is_lost_when_the_server_is_killed(tmp_path, records):
    acknowledged, lost = trial(tmp_path, records, seed=1)
    assert acknowledged > 50
    assert lost == []


def test_no_acknowledged_write_is_lost_when_the_server_is_asked_to_end(tmp_path, records):
    acknowledged, lost = trial(tmp_path, records, seed=2, end="term")
    assert acknowledged > 50
    assert lost == []


def test_slow_clients_do_not_keep_the_server_from_ending(tmp_path):
    server = Ui(tmp_path)
    try:
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        slow[0].sendall(b"POST /api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: localhost\r\n")
        head = b"PUT /api/2.0/mlflow-artifacts/artifacts/a/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
        slow[1].sendall(head + b"x" * 1000)
        time.sleep(0.3)
        assert server.stop(10) < 8
    finally:
        server.kill()
