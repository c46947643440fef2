"""A machine that refuses: full disks, files that may not grow, read-only folders, too many open files."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BAKEOFF = [sys.executable, "-m", "bakeoff"]


def ended(*args, folder: Path, limit: tuple[int, int] | None = None) -> str:
    """How a command that must fail ends: its one error line.

    With a limit it writes no bytecode: Python 3.11 keeps what a limit cut short, and reads it ever after.
    """
    done = subprocess.run(
        [*BAKEOFF, *args, "-C", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=os.environ if limit is None else {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=None if limit is None else lambda: resource.setrlimit(limit[0], (limit[1], limit[1])),
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (1, 1), done.stderr
    for word in ("Traceback", "defect", "unexpected"):
        assert word not in done.stderr
    return errors[0]


@contextlib.contextmanager
def mounted(folder: Path, *mounts: tuple[str, ...]) -> Iterator[None]:
    """Something mounted at a folder; the test is skipped where that is not allowed."""
    folder.mkdir(exist_ok=True)
    for at, arguments in enumerate(mounts):
        if subprocess.run(["mount", *arguments, str(folder)], capture_output=True, check=False).returncode:
            assert at == 0
            pytest.skip("needs the right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_full_disk(ran, tmp_path, fresh):
    disk = tmp_path / "disk"
    with mounted(disk, ("-t", "tmpfs", "-o", "size=4m", "tmpfs")):
        shutil.copytree(ran, disk, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".bakeoff" if fresh else "-"))
        with contextlib.suppress(OSError), (disk / "fill").open("wb", buffering=0) as fill:
            while True:
                fill.write(b"x" * 65_536)
        for command in (("run",), ("data", "contract")) if fresh else (("check",), ("status",)):
            told = ended(*command, folder=disk)
            assert "StoreError" in told
            assert "free space" in told


def test_a_read_only_folder(ran, tmp_path):
    place = tmp_path / "place"
    with mounted(place, ("--bind", str(ran)), ("-o", "remount,ro,bind")):
        for command in (("run",), ("data", "contract")):
            assert "StoreError" in ended(*command, folder=place)


@pytest.mark.parametrize("size", [8_192, 65_536])
def test_files_that_may_not_grow(films_project, size):
    told = ended("run", folder=films_project, limit=(resource.RLIMIT_FSIZE, size))
    assert "StoreError" in told
    assert "free space" in told or "ulimit -f" in told


def test_too_many_open_files(films_project):
    told = ended("run", folder=films_project, limit=(resource.RLIMIT_NOFILE, 12))
    assert "StoreError" in told
    assert "ulimit -n" in told


def test_a_folder_that_is_not_there(ran, bakeoff, tmp_path):
    for option in ("--html", "--png"):
        place = "/dev/null/page" if option == "--png" else tmp_path / "no" / "page.html"
        told = bakeoff("report", option, place, "-C", ran)
        assert told.code == 1
        assert "StoreError" in told.errors[0]
