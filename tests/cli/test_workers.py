"""Workers behind one address: they answer together, one that dies comes again, and replacing them fails nobody."""

import contextlib
import http.client
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bakeoff.cli.main import app

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from restarts import children, measure, served

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def predict(url, row):
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", "/predict", json.dumps({"row": row}))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


ROW = {"review": "a fine film", "year": 1999}


def test_rolling_restarts_fail_nobody(ran):
    counts = measure(ran, ROW, restarts=1, callers=8)
    assert counts.failures == []
    assert counts.answered > 20
    assert counts.closed >= 2  # answered once more by those that left


def counted(url):
    """How many predictions the workers say that they answered, and how many of them are ready."""
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    lines = [line for line in text.splitlines() if line.startswith('bakeoff_http_requests_total{route="/predict"')]
    return int(lines[0].rpartition(" ")[2]) if lines else 0


def test_a_scrape_tells_of_all_workers_and_counts_never_go_back(ran):
    with served(ran, 2) as (process, url):
        first = children(process.pid)
        counts = [0]
        for at in range(1, 31):
            assert predict(url, ROW)[0] == 200
            counts.append(counted(url))
            assert counts[-1] <= at
        until = time.monotonic() + 20
        while counts[-1] < 30:  # what a worker measured is with the others within a second
            assert time.monotonic() < until
            counts.append(counted(url))
        os.kill(min(first), signal.SIGKILL)
        while children(process.pid) == first or len(children(process.pid)) < 2:
            assert time.monotonic() < until + 60
            time.sleep(0.1)
        counts += [counted(url) for _ in range(6)]
        assert predict(url, ROW)[0] == 200
        until = time.monotonic() + 20
        while counts[-1] < 31:
            assert time.monotonic() < until
            counts.append(counted(url))
        assert counts == sorted(counts)
        assert counts[-1] == 31


def test_one_that_dies_comes_again_and_all_end_with_the_first(ran):
    with served(ran, 2) as (process, url):
        assert predict(url, ROW)[0] == 200
        before = children(process.pid)
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        until = time.monotonic() + 60
        while (now := children(process.pid)) == before or len(now) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        statuses = {predict(url, ROW)[0] for _ in range(10)}  # what comes to its place waits for it
        assert statuses == {200}
        process.kill()
        until = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in now):
            assert time.monotonic() < until
            time.sleep(0.1)


def test_a_taken_port_is_told(ran):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", "--workers", "2", "--port", port, "-C", str(ran)])
    assert result.exit_code == 1
    assert "choose another" in str(result.exception or result.output)
