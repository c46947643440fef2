"""What projects share in a folder or a bucket: named objects that no writer takes from another."""

import os
import stat
import threading
from pathlib import Path

import pytest

from bakeoff.core.errors import NotFoundError, StoreError, UsageError
from bakeoff.stores.blobs import Sending
from bakeoff.stores.bucket import Bucket
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.remotes import NamedObject, open_remote
from bakeoff.testing.clock import FakeClock

pytestmark = pytest.mark.slow

ODD = ["a b.csv", "ü/日本", "new\nline", "50% #1?&*", "e\u0301", "\u00e9"]


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    return str(tmp_path / "50% of it") if request.param == "folder" else f"{request.getfixturevalue('bucket')}/team/a"


@pytest.fixture
def remote(place):
    return open_remote(place, clock=FakeClock(), keyring=Keyring())


def test_an_object_is_written_by_who_knows_what_it_is(remote):
    assert remote.get("tags/x") is None
    assert remote.put("tags/x", b"1", None)
    assert not remote.put("tags/x", b"2", None)
    first = remote.get("tags/x")
    assert first == NamedObject("tags/x", b"1", first.revision)
    assert remote.put("tags/x", b"2", first.revision)
    assert not remote.put("tags/x", b"3", first.revision)
    assert not remote.put("tags/none", b"3", first.revision)
    assert remote.get("tags/x").data == b"2"
    assert remote.paths("tags") == ["tags/x"]


def test_names_are_of_any_characters(remote):
    paths = [f"tags/{name}" for name in ODD]
    for path in paths:
        assert remote.put(path, path.encode(), None)
    assert remote.paths("tags") == sorted(paths)
    assert [each.data.decode() for each in remote.get_all([*paths, "tags/none"])] == paths
    assert remote.paths("tag") == remote.paths("nothing") == []


def test_of_writers_at_once_none_loses_what_another_wrote(remote):
    def add(letter):
        for _ in range(5):
            while True:
                there = remote.get("word")
                word = b"" if there is None else there.data
                if remote.put("word", word + letter, None if there is None else there.revision):
                    break

    threads = [threading.Thread(target=add, args=(letter.encode(),)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(remote.get("word").data) == sorted(b"abcd" * 5)


def test_a_part_of_a_remote_is_apart(place, remote):
    part = open_remote(place, below="steps", clock=FakeClock(), keyring=Keyring())
    blob = part.blobs.put(b"x")
    assert part.put("entries/a", b"1", None)
    assert remote.get("steps/entries/a").data == b"1"
    assert not remote.blobs.contains(blob)
    assert part.where("entries/a") == remote.where("steps/entries/a")


def test_a_large_blob_goes_from_store_to_store_and_comes_back(remote, tmp_path):
    own = open_remote(str(tmp_path / "own"), clock=FakeClock(), keyring=Keyring()).blobs
    large = own.put(bytes(i * i % 251 for i in range(1009)) * 5000)
    assert own.send(remote.blobs, [large]) > 1 << 20
    assert own.send(remote.blobs, [large]) == 0
    again = open_remote(str(tmp_path / "again"), clock=FakeClock(), keyring=Keyring()).blobs
    remote.blobs.send(again, [large])
    assert again.get(large) == own.get(large)
    with pytest.raises(NotFoundError, match="expected the id of a blob"):
        own.send(remote.blobs, ["../x"])


@pytest.mark.parametrize("wrong", ["gs://bucket/x", "https://host/x"])
def test_other_places_are_refused(wrong):
    with pytest.raises(UsageError, match="a folder, its file:// URL, or s3://BUCKET/PREFIX"):
        open_remote(wrong, clock=FakeClock(), keyring=Keyring())


def test_a_file_url_may_have_escapes(tmp_path):
    remote = open_remote(f"file://{tmp_path}/a%20b", clock=FakeClock(), keyring=Keyring())
    assert remote.put("x", b"1", None)
    assert (tmp_path / "a b" / "x").read_bytes() == b"1"


@pytest.mark.parametrize("timeout", ["0", "soon", "-1", "1e9"])
def test_a_timeout_is_seconds(timeout):
    with pytest.raises(UsageError, match=r"as in \?timeout=60"):
        Bucket(f"s3://bucket/x?timeout={timeout}")


def test_what_is_in_a_folder_is_for_others_too(tmp_path, monkeypatch):
    """As far as the umask of who writes lets them; times of what is another's cannot be set, and need not be."""
    own = open_remote(str(tmp_path / "own"), clock=FakeClock(), keyring=Keyring()).blobs
    large, small = own.put(b"".join(bytes([n % 251]) * 700 for n in range(3000))), own.put(b"x")
    before = os.umask(0o002)
    try:
        remote = open_remote(str(tmp_path / "team"), clock=FakeClock(), keyring=Keyring())
        assert remote.put("tags/x", b"1", None)
        own.send(remote.blobs, [large, small])
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "team").rglob("*")}
    assert modes == {0o664, 0o775}

    def refused(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refused)
    assert own.send(remote.blobs, [large, small], Sending(renews=False)) == 0
    assert own.send(remote.blobs, [large]) == 0


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    remote = open_remote(str(tmp_path / "file" / "below"), clock=FakeClock(), keyring=Keyring())
    with pytest.raises(StoreError, match=str(Path("file") / "below")):
        remote.put("x", b"1", None)
