import errno
import fcntl
import os

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
