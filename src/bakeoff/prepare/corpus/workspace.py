"""Where a run over a corpus works until its result is whole, and how the result comes into its place."""

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bakeoff.core.disk import sync_path
from bakeoff.core.errors import ConflictError, UsageError
from bakeoff.prepare.corpus.stages import part_file, parts_folder
from bakeoff.prepare.corpus.writing import join_parts, lack_of_room

__all__ = ["check_free", "clear", "publish", "workspace"]

LOCK, CACHE = "lock", "cache"


def check_free(out: Path, *, replace: bool) -> None:
    """Refuse to write over what is there, unless it may be replaced."""
    if (out.exists() or out.is_symlink()) and not replace:
        raise UsageError(f"expected a name that is free, received {str(out)!r}. Say --force to write over it.")


@contextmanager
def workspace(out: Path, *, replace: bool) -> Generator[Path]:
    """A folder beside `out`, on its filesystem, that nobody else works in; removed when the run ends or fails.

    A run that is killed or interrupted leaves it, and the next one of the same plan goes on from there.

    Raises:
        ConflictError: another process works there; UsageError: it has just written `out`; StoreError: no room.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.parent / f".{out.name}.partial"
    with _locked(folder, out):
        try:
            check_free(out, replace=replace)  # again: another run may have ended since the first look
            yield folder
        except Exception as error:
            lack = lack_of_room(error, folder)
            shutil.rmtree(folder, ignore_errors=True)
            if lack is None or lack is error:
                raise
            raise lack from error
        shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path, out: Path) -> IO[str]:
    """The folder's lock, which is held until it is closed."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            lock = (folder / LOCK).open("w")
        except FileNotFoundError:  # a run that ended has just removed the folder
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock.fileno()), (folder / LOCK).stat()):
                return lock
        except BlockingIOError:
            lock.close()
            raise ConflictError(f"expected to write {str(out)!r} alone; another process is writing it") from None
        except FileNotFoundError:
            pass
        lock.close()  # of a folder that is gone: whoever comes next would not see it


def clear(folder: Path) -> None:
    """Empty a workspace, but for its lock and the inputs that were fetched."""
    for left in folder.iterdir():
        if left.name not in {LOCK, CACHE}:
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def publish(folder: Path, out: Path, parts: int, suffix: str | None) -> None:
    """Put the result in its place: written, on disk, then renamed."""
    files = [part_file(folder, part, suffix or ".parquet") for part in range(parts)]
    made = parts_folder(folder)
    if suffix is not None:
        made = folder / f"whole{suffix}"
        join_parts(files, made)
    else:
        for file in files:
            sync_path(file)
    sync_path(made)
    if out.is_dir() or (out.exists() and made.is_dir()):
        out.rename(folder / "old")
    made.replace(out)
    sync_path(out.parent)
