"""One file out of an archive on a server, without the rest of it."""

import functools
import http.server
import io
import random
import re
import threading
import zipfile

import pytest

from bakeoff.data import packages
from bakeoff.data.packages import PackagePath, member_of
from bakeoff.data.remote_zip import fetch_member

BIG = random.Random(1).randbytes(9_000_000)
SMALL = b"what is wanted\n" * 1000


def archive(*, extra=BIG):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("pack/weights.bin", extra, zipfile.ZIP_STORED)  # it does not get smaller
        made.writestr("pack/words.txt", SMALL)
    return buffer.getvalue()


class Ranges(http.server.BaseHTTPRequestHandler):
    """Gives `files`, whole or by ranges (unless it knows none), and notes how much it sent."""

    def __init__(self, files, sent, knows, *rest):
        self.files, self.sent, self.knows = files, sent, knows
        super().__init__(*rest)

    def do_GET(self):
        body = self.files.get(self.path)
        span = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if body is None:
            self.send_error(404)
            return
        if span and self.knows:
            first = int(span[1]) if span[1] else max(0, len(body) - int(span[2]))
            last = min(len(body) - 1, int(span[2]) if span[1] and span[2] else len(body) - 1)
            part = body[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        else:
            part = body
            self.send_response(200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.sent.append(len(part))
        self.wfile.write(part)

    def log_message(self, *_):
        pass


@pytest.fixture
def serving():
    servers = []

    def serve(files, *, knows=True):
        sent = []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Ranges, files, sent, knows))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", sent

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_only_the_member_is_fetched(serving, tmp_path):
    url, sent = serving({"/p.whl": archive()})
    assert fetch_member(f"{url}/p.whl", "pack/words.txt", tmp_path / "words.txt")
    assert (tmp_path / "words.txt").read_bytes() == SMALL
    assert sum(sent) < 200_000


@pytest.mark.parametrize(
    ("files", "name", "knows"),
    [
        ({"/p.whl": archive()}, "pack/weights.bin", True),  # most of the archive
        ({"/p.whl": archive(extra=b"")}, "pack/words.txt", True),  # a small one
        ({"/p.whl": archive()}, "pack/nothing.txt", True),
        ({"/p.whl": b"no zip" * 2_000_000}, "pack/words.txt", True),
        ({"/p.whl": archive()}, "pack/words.txt", False),
        ({}, "pack/words.txt", True),
    ],
)
def test_else_the_archive_has_to_be_fetched_whole(serving, tmp_path, files, name, knows):
    url, _ = serving(files, knows=knows)
    assert not fetch_member(f"{url}/p.whl", name, tmp_path / "words.txt")
    assert not (tmp_path / "words.txt").exists()


def test_a_member_that_arrives_damaged_is_not_taken(serving, tmp_path):
    whole = archive()
    place = whole.index(b"words.txt") + 40  # within its compressed bytes
    url, _ = serving({"/p.whl": whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]})
    assert not fetch_member(f"{url}/p.whl", "pack/words.txt", tmp_path / "words.txt")


def test_a_file_of_a_package_comes_out_of_its_wheel_once(serving, tmp_path, monkeypatch):
    name = "pack-1.0-py3-none-any.whl"
    url, sent = serving({f"/{name}": archive(), "/pack/": f'<a href="/{name}#sha256=00">{name}</a>'.encode()})
    monkeypatch.setattr(packages, "_settings", lambda: {"index-url": url})
    lines = []
    package = PackagePath.parse("pypi://pack==1.0/pack/words.txt")
    for _ in range(2):
        file = member_of(package, tmp_path, lines.append)
        assert file.read_bytes() == SMALL
    assert lines == ["fetched words.txt out of pack==1.0"]
    assert sum(sent) < 200_000
    assert member_of(PackagePath.parse("pypi://pack==2.0/pack/words.txt"), tmp_path, lines.append) is None
