"""Connections that are silent, slow, too many, or open when the server ends."""

import contextlib
import http.client
import json
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.web.test_server import process

from bakeoff.web.connections import ConnectionLimits
from bakeoff.web.guard import Guard
from bakeoff.web.measures import Measures
from bakeoff.web.server import Server

HEAD = b"POST /predict HTTP/1.1\r\nhost: localhost\r\n"


class Lengths:
    """An app that says how long a body is; `largest` is the most of it that was in memory at once."""

    def __init__(self) -> None:
        self.began = threading.Event()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        size, more = 0, True
        while more:
            message = await receive()
            self.began.set()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        body = json.dumps(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def serving(most_bytes: int = 1_000_000, **limits) -> Iterator[Server]:
    app = Guard(Lengths(), hosts=None, max_body_bytes=most_bytes, measures=Measures())
    with Server(app, limits=ConnectionLimits(**limits)) as server:
        yield server


@contextlib.contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as made:
        yield made


def received(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts += part
    return parts


def length_of(server: Server, body: bytes) -> int:
    caller = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    with contextlib.closing(caller):
        caller.request("POST", "/predict", body)
        return json.loads(caller.getresponse().read())


def test_a_connection_without_a_request_is_closed():
    with serving(idle_s=0.2) as server, connected(server) as silent:
        assert received(silent) == b""


def test_a_head_that_does_not_come_is_told_in_time():
    with serving(head_s=0.2) as server, connected(server) as slow:
        slow.sendall(HEAD)
        assert received(slow).startswith(b"HTTP/1.1 408 ")


def test_a_head_that_is_too_long_is_refused_before_it_is_kept():
    with serving() as server, connected(server) as endless:
        endless.sendall(HEAD)
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 20_000_000:
                endless.sendall(b"x-a: " + b"a" * 10_000 + b"\r\n")
                sent += 10_000
        assert sent < 20_000_000
        assert length_of(server, b"abc") == 3


def test_a_body_must_come_in_time_and_a_drop_now_and_then_is_none():
    with serving(body_s=0.4) as server, connected(server) as slow:
        slow.sendall(HEAD + b"content-length: 1000\r\n\r\n")
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() < began + 5:
                time.sleep(0.1)
                slow.sendall(b"x")
    assert time.monotonic() - began < 3


def test_a_body_that_comes_steadily_may_take_longer():
    with serving(body_s=0.6, body_rate=1000) as server, connected(server) as steady:
        steady.sendall(HEAD + b"content-length: 12000\r\nconnection: close\r\n\r\n")
        for _ in range(12):
            time.sleep(0.15)
            steady.sendall(b"x" * 1000)
        assert received(steady).endswith(b"\r\n\r\n12000")


def test_who_makes_connections_and_says_nothing_keeps_nobody_out():
    with serving(connections=20) as server, contextlib.ExitStack() as many:
        for _ in range(60):
            many.enter_context(connected(server))
        assert [length_of(server, b"abc") for _ in range(3)] == [3, 3, 3]


def test_when_all_connections_are_at_work_the_next_is_told():
    with serving(connections=16) as server, contextlib.ExitStack() as many:
        for _ in range(16):
            many.enter_context(connected(server)).sendall(HEAD + b"content-length: 5\r\n\r\nab")
        time.sleep(0.2)
        with connected(server) as late:
            assert received(late).startswith(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n")


@pytest.mark.parametrize("both", [False, True])
def test_no_header_switches_the_limit_of_bodies_off(both):
    headers = (b"content-length: 5\r\n" if both else b"") + b"transfer-encoding: chunked\r\n"
    with serving(most_bytes=100_000) as server, connected(server) as large:
        large.sendall(HEAD + headers + b"\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(4):
                large.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            large.sendall(b"0\r\n\r\n")
            large.shutdown(socket.SHUT_WR)
        # Two lengths in one request are refused before its body; the reset may be faster than what is told.
        assert received(large)[:13] in ({b"HTTP/1.1 413 "} if not both else {b"HTTP/1.1 400 ", b""})
        assert length_of(server, b"abcd") == 4


@pytest.mark.processes
def test_fewer_files_than_callers(tmp_path):
    """With 256 files, 300 silent connections stopped the server."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limit[1]))
    try:
        serving_process = process(tmp_path)
        _, url = serving_process.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    with contextlib.ExitStack() as stack:
        stack.push(serving_process.__exit__)
        port = int(url.rpartition(":")[2])
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        for x in (1, 2):
            caller = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            stack.callback(caller.close)
            caller.request("POST", "/predict", json.dumps({"row": {"x": x}}))
            assert json.loads(caller.getresponse().read())["predictions"][0]["value"] == 2.0 * x


@pytest.mark.processes
def test_an_idle_caller_is_answered_once_more_when_the_server_ends(tmp_path):
    with process(tmp_path) as (child, url):
        caller = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=5)
        with contextlib.closing(caller):
            caller.request("POST", "/predict", '{"row": {"x": 1}}')
            assert caller.getresponse().read()
            child.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            caller.request("POST", "/predict", '{"row": {"x": 2}}')
            answer = caller.getresponse()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert json.loads(answer.read())["predictions"][0]["value"] == 4.0
        assert child.wait(10) == 0
