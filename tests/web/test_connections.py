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


FIVE = b"content-length: 5\r\n\r\nabcde"
CHUNKS = b"\r\n5\r\nabcde\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"transfer-encoding: gzip, chunked\r\n" + CHUNKS, 501),
        (HEAD + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n" + CHUNKS, 501),
        (HEAD + b"transfer-encoding: gzip\r\n\r\nabcde", 501),
        (HEAD + b"transfer-encoding: xchunked\r\n" + CHUNKS, 501),
        (HEAD + b"transfer-encoding: chunked, gzip\r\n" + CHUNKS, 400),
        (HEAD + b"transfer-encoding: chunked, chunked\r\n" + CHUNKS, 400),
        (HEAD + b"transfer-encoding: identity\r\n" + FIVE, 400),
        (HEAD + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n" + CHUNKS, 400),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n" + CHUNKS, 400),
        (HEAD + b"transfer-encoding : chunked\r\n" + CHUNKS, 400),
        (HEAD.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n" + CHUNKS, 400),
        (HEAD + b"content-length: 5\r\n" + FIVE, 400),
        (HEAD + b"content-length: 4\r\n" + FIVE, 400),
        (HEAD + b"content-length: 5, 5\r\n\r\nabcde", 400),
        (HEAD + b"content-length: +5\r\n\r\nabcde", 400),
        (HEAD + b"content-length:\r\n 5\r\n\r\nabcde", 400),
        (HEAD + b"x-a: b\r\n c\r\n" + FIVE, 400),
        (HEAD + b"host: other\r\n" + FIVE, 400),
        (b"POST /predict HTTP/1.1\r\n" + FIVE, 400),
        ((HEAD + FIVE).replace(b"\r\n", b"\n"), 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\nabcde\n0\n\n", 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n", 400),
        (b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused_and_the_connection_closed(sent, status):
    with serving() as server, connected(server) as caller:
        caller.sendall(sent)
        answer = received(caller)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    assert answer.count(b"HTTP/1.1 ") == 1 + body.count(b"HTTP/1.1 ")
    assert json.loads(body)["error"]["message"].startswith("expected ")


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"transfer-encoding: ChunKed\r\n" + CHUNKS,
        HEAD + b"transfer-encoding: chunked\r\n\r\n5;a=b\r\nabcde\r\n0\r\nx-sum: 1\r\n\r\n",
        b"\r\n" + HEAD + FIVE,
        HEAD + b"expect: 100-continue\r\n" + FIVE,
        HEAD + b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n" + FIVE,
        HEAD + b"connection: upgrade\r\nupgrade: websocket\r\ntransfer-encoding: chunked\r\n" + CHUNKS,
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_requests_one_after_another_however_they_are_cut(sent, step):
    """Of a request that offers HTTP/2, as Java's client does, the body was lost."""
    with serving() as server, connected(server) as caller:
        last = (HEAD + FIVE).replace(b"\r\nhost", b"\r\nconnection: close\r\nhost")
        whole = sent + sent + last
        for at in range(0, len(whole), step):
            caller.sendall(whole[at : at + step])
        answers = received(caller)
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(b"\r\n\r\n5") == 3


def test_what_comes_before_a_fault_is_answered_first():
    with serving() as server, connected(server) as caller:
        caller.sendall(HEAD + FIVE + HEAD + b"content-length: 1\r\n" + FIVE)
        answer = received(caller)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n5")


def test_http_1_0_is_answered_and_closed():
    with serving() as server, connected(server) as caller:
        caller.sendall(HEAD.replace(b"1.1", b"1.0") + b"connection: keep-alive\r\n" + FIVE)
        answer = received(caller)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\n5")


def test_a_body_in_chunks_is_refused_as_soon_as_it_is_too_long():
    """It was read until its time was over: 20 s."""
    with serving(most_bytes=100_000) as server, connected(server) as caller:
        caller.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        caller.sendall(b"30000\r\n" + b"x" * 0x30000 + b"\r\n")
        began = time.monotonic()
        answer = received(caller)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in answer
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("expect", [b"", b"expect: 100-continue\r\n"])
def test_a_length_that_is_too_much_is_refused_without_its_body(expect):
    with serving(most_bytes=100_000) as server, connected(server) as caller:
        caller.sendall(HEAD + expect + b"content-length: 2000000\r\n\r\n")
        answer = received(caller)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in answer


def test_who_sends_all_before_it_reads_gets_the_answer_too():
    with serving(most_bytes=100_000) as server:
        caller = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        with contextlib.closing(caller):
            caller.request("POST", "/predict", b"x" * 5_000_000)
            assert caller.getresponse().status == 413


def test_of_a_refused_body_no_more_than_a_rest_is_read():
    with serving(most_bytes=1000) as server, connected(server) as caller:
        caller.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 200_000_000:
                caller.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
    assert 1000 < sent < 100_000_000


def test_a_short_body_that_was_not_waited_for_costs_no_connection():
    with serving() as server, connected(server) as caller:
        caller.sendall(HEAD + b"origin: http://elsewhere\r\ncontent-length: 5\r\n\r\n")
        refused = caller.recv(65536)
        caller.sendall(b"abcde" + (HEAD + FIVE).replace(b"\r\nhost", b"\r\nconnection: close\r\nhost"))
        answer = received(caller)
    assert refused.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b"\r\n\r\n5")


@pytest.mark.parametrize(
    ("begin", "around"),
    [
        (b"0\r\n", b"x-a: " + b"a" * 10_000 + b"\r\n"),
        (b"0\r\nx-a: ", b"a" * 10_000),
        (b"1;", b"a" * 10_000),
        (b"", b"1;" + b"a" * 1000 + b"\r\nx\r\n"),
    ],
)
def test_trailers_and_extensions_of_chunks_have_an_end(begin, around):
    """They were kept, or read, for as long as they came."""
    with serving() as server, connected(server) as caller:
        caller.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + begin)
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 50_000_000:
                caller.sendall(around)
                sent += len(around)
        assert sent < 50_000_000
        assert length_of(server, b"abc") == 3


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
