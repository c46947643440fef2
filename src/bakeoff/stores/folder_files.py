"""The files of a folder as they are now, with what tells that one has changed."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bakeoff.core.errors import DataError, UsageError

__all__ = ["FolderFile", "Stamp", "folder_files", "link_inside", "read_unchanged", "require_unchanged"]


class Stamp(NamedTuple):
    """Size, times (ns) and inode of a file: while these are the same, so is what it holds."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int

    @classmethod
    def of(cls, state: os.stat_result) -> "Stamp":
        """From what the system says of the file."""
        return cls(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


class FolderFile(NamedTuple):
    """A file by its name below the folder (POSIX), or a link with its target."""

    name: str
    path: str
    stamp: Stamp
    link: str | None = None


def folder_files(folder: Path, *, links: bool = False, without: frozenset[str] = frozenset()) -> Iterator[FolderFile]:
    """All files, those of a folder sorted by name, folders in the place of their name; empty folders are not kept.

    Args:
        folder: where they are.
        links: links that stay inside come as links; else they are refused. They are never followed.
        without: names of folders that are left out, wherever they are.

    Raises:
        UsageError: a name that is not UTF-8, something that is no file, a link that leads outside or is not wanted.
    """
    yield from _below(folder, str(folder), "", links, without)


def _below(root: Path, at: str, prefix: str, links: bool, without: frozenset[str]) -> Iterator[FolderFile]:  # noqa: FBT001
    with os.scandir(at) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in without:
                yield from _below(root, entry.path, f"{name}/", links, without)
            continue
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"expected file names in UTF-8, received {entry.path!r}: rename it") from error
        state = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(state.st_mode):
            yield FolderFile(name, entry.path, Stamp.of(state))
        elif stat.S_ISLNK(state.st_mode) and links:
            target = Path(entry.path).readlink().as_posix()
            yield FolderFile(name, entry.path, Stamp.of(state), link_inside(name, target))
        else:
            raise UsageError(f"expected regular files only, received {entry.path!r}: copy its content instead")


def link_inside(name: str, target: str) -> str:
    """The target of a link, if it stays within the folder.

    One that goes up after it went down is refused: what it went down to may be another link, and `..` is above the
    place where that one leads.

    Raises:
        UsageError: it does not.
    """
    steps = PurePosixPath(target).parts
    up = next((at for at, step in enumerate(steps) if step != ".."), len(steps))
    if up >= len(PurePosixPath(name).parts) or ".." in steps[up:] or target.startswith("/"):
        raise UsageError(
            f"expected a link that stays within the folder, received {name!r}, which leads to {target!r}: "
            "copy its content instead"
        )
    return target


def read_unchanged(path: str) -> bytes:
    """The content of a small file.

    Raises:
        DataError: it changed while it was read.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path for each of a million files takes as long again
        before = os.fstat(file.fileno())
        data = file.read(before.st_size + 1)
        require_unchanged(path, before, os.fstat(file.fileno()), len(data))
    return data


def require_unchanged(path: str, before: os.stat_result, after: os.stat_result, read: int) -> None:
    """See that a file is what it was when reading began.

    Raises:
        DataError: it is not.
    """
    if Stamp.of(before) != Stamp.of(after) or read != before.st_size:
        raise DataError(f"{path} changed while it was read: try again when nothing writes to it")
