"""Bodies that come compressed."""

import gzip
import http.client
import zlib
from contextlib import closing

import pytest
from tests.web.test_connections import Lengths

from bakeoff.web.guard import Guard
from bakeoff.web.measures import Measures
from bakeoff.web.server import Server

MOST = 5_000_000


@pytest.fixture(scope="module")
def server():
    app = Guard(Lengths(), hosts=None, max_body_bytes=MOST, measures=Measures(), as_encoded=("/kept/",))
    with Server(app) as running:
        yield running


def answered(server, body, encoding, path="/predict"):
    """Status and body of the answer; a body that is a list goes in chunks."""
    caller = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    with closing(caller):
        caller.request("POST", path, body, {"Content-Encoding": encoding})
        response = caller.getresponse()
        return response.status, response.read()


PLAIN = bytes(range(256)) * 10_000


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(PLAIN)),
        ("GZIP", gzip.compress(PLAIN)),
        ("x-gzip", gzip.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("identity", PLAIN),
        ("gzip", gzip.compress(PLAIN[:1000]) + gzip.compress(PLAIN[1000:])),
    ],
)
def test_a_body_is_read_as_it_was_before_it_was_encoded(server, encoding, body):
    assert answered(server, body, encoding) == (200, b"%d" % len(PLAIN))
    parts = [body[at : at + 777] for at in range(0, len(body), 777)]
    assert answered(server, iter(parts), encoding) == (200, b"%d" % len(PLAIN))


def test_an_empty_body_is_empty(server):
    assert answered(server, b"", "gzip") == (200, b"0")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_an_encoding_that_is_not_known_is_named(server, encoding):
    status, body = answered(server, b"abc", encoding)
    assert status == 415
    assert encoding.encode() in body


@pytest.mark.parametrize("body", [b"abc", gzip.compress(PLAIN)[:-9], gzip.compress(PLAIN) + b"more"])
def test_a_body_that_is_not_so_encoded_is_refused(server, body):
    status, answer = answered(server, body, "gzip")
    assert status == 400
    assert b"expected a body encoded by gzip" in answer


def test_a_small_body_that_becomes_too_large_is_refused(server):
    body = gzip.compress(b" " * 50_000_000)
    assert len(body) < MOST // 50
    assert answered(server, body, "gzip")[0] == 413


def test_blocks_that_hold_nothing_have_an_end_too(server):
    begin = gzip.compress(b"")[:10]
    assert answered(server, begin + b"\x00\x00\x00\xff\xff" * (MOST // 5), "gzip")[0] == 413


def test_some_paths_take_bodies_as_they_came(server):
    packed = gzip.compress(PLAIN)
    assert answered(server, packed, "gzip", "/kept/file") == (200, b"%d" % len(packed))
