"""The server ends in the middle of writes: killed, and asked to end."""

import importlib.util
import socket
import sys
import time
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("kills", Path(__file__).with_name("kills.py"))
kills = sys.modules["kills"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kills)
pytestmark = [pytest.mark.slow, pytest.mark.processes]


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request) -> str | None:
    return None if request.param == "sqlite" else request.getfixturevalue("empty_postgresql")


def test_no_acknowledged_write_is_lost_when_the_server_is_killed(tmp_path, records):
    acknowledged, lost = kills.trial(tmp_path, records, seed=1)
    assert acknowledged > 50
    assert lost == []


def test_no_acknowledged_write_is_lost_when_the_server_is_asked_to_end(tmp_path, records):
    acknowledged, lost = kills.trial(tmp_path, records, seed=2, end="term")
    assert acknowledged > 50
    assert lost == []


def test_slow_clients_do_not_keep_the_server_from_ending(tmp_path):
    server = kills.Ui(tmp_path)
    try:
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        slow[0].sendall(b"POST /api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: localhost\r\n")
        path = b"/api/2.0/mlflow-artifacts/artifacts/a/b"
        slow[1].sendall(b"PUT " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nxxx")
        time.sleep(0.3)
        assert server.stop(10) < 8
        for each in slow:
            each.close()
    finally:
        server.kill()
