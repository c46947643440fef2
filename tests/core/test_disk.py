import errno
import fcntl
import os
import sys

import pytest

from bakeoff.core import disk


@pytest.fixture
def calls(monkeypatch):
    made = []
    monkeypatch.setattr(os, "fsync", lambda _: made.append("fsync"))
    monkeypatch.setattr(os, "fdatasync", lambda _: made.append("fdatasync"))
    return made


def mac(monkeypatch, calls, error=None):
    def full(_descriptor, call):
        calls.append(call)
        if error:
            raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", full)
    monkeypatch.delattr(os, "fdatasync")


def test_elsewhere_it_is_fsync_and_fdatasync(calls, monkeypatch):
    monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)
    disk.sync(0)
    disk.sync_data(0)
    assert calls == ["fsync", "fdatasync"]


def test_on_macos_the_drive_is_asked_too(calls, monkeypatch):
    mac(monkeypatch, calls)
    disk.sync(0)
    disk.sync_data(0)
    assert calls == [51, 51]


def test_a_file_system_without_the_call_is_synced_as_it_can_be(calls, monkeypatch):
    mac(monkeypatch, calls, errno.ENOTSUP)
    disk.sync_data(0)
    assert calls == [51, "fsync"]


def test_a_full_disk_is_an_error(calls, monkeypatch):
    mac(monkeypatch, calls, errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        disk.sync(0)
    assert calls == [51]


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_what_is_written_begins_to_go_to_the_disk_and_a_hint_that_fails_is_none(tmp_path):
    call = disk._sync_file_range()
    assert call is not None
    with (tmp_path / "a").open("xb") as file:
        file.write(b"a" * 10_000)
        file.flush()
        assert call(file.fileno(), 0, 10_000, disk._WRITE) == 0
        disk.begin_sync(file.fileno(), 0, 10_000)
    disk.begin_sync(-1, 0, 10_000)
    assert (tmp_path / "a").read_bytes() == b"a" * 10_000
