"""The files of a folder, looked at by two processes and by one."""

import os
from pathlib import Path

import pytest

from bakeoff.core.errors import UsageError
from bakeoff.stores import folder_files as module
from bakeoff.stores.folder_files import folder_files

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def forks(monkeypatch) -> list[int]:
    """The processes that were begun; a look may begin one, though others of the tests' own may have threads."""
    begun, real = list[int](), os.fork

    def fork() -> int:
        begun.append(0)
        return real()

    monkeypatch.setattr(module, "_may_fork", lambda: True)
    monkeypatch.setattr(module.os, "fork", fork)
    return begun


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(40):
        place = tmp_path / f"ü{number}" / "below"
        place.mkdir(parents=True)
        (place / "file").write_text(str(number))
        (place.parent / "run").write_text("")
        (place.parent / "run").chmod(0o755)
        (place / "link").symlink_to("file")
    (tmp_path / "alone").write_text("")
    return tmp_path


def test_two_processes_see_what_one_does(folder, forks, monkeypatch):
    two = folder_files(folder, links=True)
    assert len(forks) == 1
    monkeypatch.setattr(module, "_SHARED", 10**9)
    one = folder_files(folder, links=True)
    assert len(forks) == 1
    assert two == one
    assert (len(one.names), len(one.links), len(one.executable)) == (121, 40, 40)


def test_what_is_wrong_in_the_other_ones_part_is_an_error_here(folder, forks):
    os.mkfifo(folder / "ü9" / "pipe")  # the last by name
    with pytest.raises(UsageError, match=r"expected regular files only, received .*ü9/pipe"):
        folder_files(folder, links=True)
    (folder / "ü9" / "pipe").unlink()
    Path(os.fsdecode(os.fsencode(folder / "ü9") + b"/\xff")).write_text("")
    with pytest.raises(UsageError, match="expected file names in UTF-8"):
        folder_files(folder, links=True)
    assert len(forks) == 2
