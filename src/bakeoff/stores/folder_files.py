"""The files of a folder as they are now, with what tells that one has changed."""

import os
import stat
from array import array
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

import msgspec

from bakeoff.core.errors import DataError, UsageError

__all__ = ["FolderFiles", "Stamp", "folder_files", "link_inside", "links_inside", "require_unchanged"]


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


STAMP = len(Stamp._fields)
_AT_ONCE = 4096
"""Entries of a folder that are looked at together: what the system says of each takes a kilobyte."""
_SHARED = 16
"""Folders that are worth a second process."""
_Columns: TypeAlias = tuple[list[str], bytes, dict[str, str], set[str]]
_LOOKED_AT = 0o170000 | stat.S_IXUSR
"""Of a file's mode: what kind it is, and whether its owner may execute it."""


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """Files and links below a folder, by columns: of a million files, a million objects would take longer than a look.

    Args:
        root: the folder.
        names: below it (POSIX).
        stamps: the four numbers of each name's `Stamp`, one after the other.
        links: name → target of those that are links.
        executable: names of files that their owner may execute.
    """

    root: str
    names: list[str] = field(default_factory=list[str])
    stamps: "array[int]" = field(default_factory=lambda: array("q"))
    links: dict[str, str] = field(default_factory=dict[str, str])
    executable: set[str] = field(default_factory=set[str])

    def add(self, other: "FolderFiles") -> None:
        """Add those of another part of the folder."""
        self.names.extend(other.names)
        self.stamps.extend(other.stamps)
        self.links.update(other.links)
        self.executable.update(other.executable)

    def path(self, name: str) -> str:
        """Where a file is."""
        return f"{self.root}/{name}"

    def paths(self) -> Mapping[str, str]:
        """Name → path of all that are no links."""
        return {name: self.path(name) for name in self.names if name not in self.links}

    def sizes(self) -> Mapping[str, int]:
        """Name → bytes; of a link 0."""
        links = self.links
        return {n: 0 if n in links else size for n, size in zip(self.names, self.stamps[::STAMP], strict=True)}

    def other_names(self, other: "FolderFiles") -> list[str]:
        """Names of files of which the other has none with the same stamp."""
        theirs = dict(zip(other.names, other.rows(), strict=True))
        return [name for name, stamp in zip(self.names, self.rows(), strict=True) if theirs.get(name) != stamp]

    def rows(self) -> Iterator[tuple[int, ...]]:
        """The stamp of each file."""
        return zip(*[iter(self.stamps)] * STAMP, strict=True)

    def is_as(self, other: "FolderFiles") -> bool:
        """Whether both are the same names with the same stamps."""
        return self.stamps == other.stamps and self.names == other.names


def folder_files(folder: Path, *, links: bool = False, without: frozenset[str] = frozenset()) -> FolderFiles:
    """All files, those of one folder together and sorted by name; empty folders are not there.

    Args:
        folder: where they are.
        links: links that stay inside come as links; else they are refused. They are never followed.
        without: names of folders that are left out, wherever they are.

    Raises:
        UsageError: a name that is not UTF-8, something that is no file, a link that leads outside or is not wanted.
    """
    files = FolderFiles(str(folder))
    below = _look(files, "", links, without)
    half = len(below) // 2 if len(below) >= _SHARED and _may_fork() else len(below)
    with _looked_at_beside(str(folder), below[half:], links, without) as second:
        _walk(files, below[:half], links, without)
        files.add(second())
    try:
        "".join(files.names).encode()
    except UnicodeEncodeError as error:
        odd = next(name for name in files.names if not _is_utf8(name))
        raise UsageError(f"expected file names in UTF-8, received {files.path(odd)!r}: rename it") from error
    return files


def _walk(files: FolderFiles, folders: Sequence[str], links: bool, without: frozenset[str]) -> None:  # noqa: FBT001
    """Add the files of folders, one folder with all below it after the other."""
    waiting = [*reversed(folders)]
    while waiting:
        below = _look(files, waiting.pop(), links, without)
        waiting += reversed(below)


def _may_fork() -> bool:
    """Whether a copy of this process can go on alone: it has no other thread, which might hold a lock."""
    try:
        return len(os.sched_getaffinity(0)) > 1 and len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208
    except (AttributeError, OSError):  # macOS
        return False


@contextmanager
def _looked_at_beside(
    root: str,
    folders: Sequence[str],
    links: bool,  # noqa: FBT001
    without: frozenset[str],
) -> Generator[Callable[[], FolderFiles]]:
    """Have a copy of this process look at folders meanwhile: what a look makes of a file is slow, and Python's alone.

    What fails there is done again here, and fails with its own error.
    """

    def here() -> FolderFiles:
        files = FolderFiles(root)
        _walk(files, folders, links, without)
        return files

    if not folders:
        yield lambda: FolderFiles(root)
        return
    reads, writes = os.pipe()
    other = os.fork()
    if other == 0:
        try:
            os.close(reads)
            with os.fdopen(writes, "wb") as pipe:
                pipe.write(_packed(here()))
        finally:
            os._exit(0)  # nothing that was begun is this copy's to end
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        try:
            yield lambda: _unpacked(root, pipe.read()) or here()
        finally:
            pipe.close()
            with suppress(ChildProcessError):  # a program that ignores its children's ends has none to wait for
                os.waitpid(other, 0)


def _packed(files: FolderFiles) -> bytes:
    return msgspec.msgpack.encode([files.names, files.stamps.tobytes(), files.links, files.executable])


def _unpacked(root: str, body: bytes) -> FolderFiles | None:
    try:
        names, stamps, links, executable = msgspec.msgpack.decode(body, type=_Columns)
    except msgspec.MsgspecError:  # all of it, or nothing
        return None
    return FolderFiles(root, names, array("q", stamps), links, executable)


def _look(files: FolderFiles, prefix: str, links: bool, without: frozenset[str]) -> list[str]:  # noqa: FBT001
    """Add the files of one folder; the folders in it."""
    descriptor = os.open(files.path(prefix), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # by the descriptor of the folder, the system need not walk its path for each file
        with os.scandir(descriptor) as listed:
            entries = sorted(listed, key=attrgetter("name"))
        parts = [entries[start : start + _AT_ONCE] for start in range(0, len(entries), _AT_ONCE)]
        return [below for part in parts for below in _add(files, prefix, part, links, without)]
    finally:
        os.close(descriptor)


def _add(
    files: FolderFiles,
    prefix: str,
    entries: Sequence["os.DirEntry[str]"],
    links: bool,  # noqa: FBT001
    without: frozenset[str],
) -> list[str]:
    """Add entries of one folder, column by column, which takes half the time of file by file; the folders in it."""
    folders = list[str]()
    states = [entry.stat(follow_symlinks=False) for entry in entries]
    odd = [at for at, state in enumerate(states) if state.st_mode & _LOOKED_AT != stat.S_IFREG]
    for at in odd:
        name, mode = prefix + entries[at].name, states[at].st_mode
        if stat.S_ISDIR(mode):
            if entries[at].name not in without:
                folders.append(f"{name}/")
        elif stat.S_ISREG(mode):
            files.executable.add(name)
        elif stat.S_ISLNK(mode) and links:
            files.links[name] = link_inside(name, Path(files.path(name)).readlink().as_posix())
        else:
            raise UsageError(f"expected regular files only, received {files.path(name)!r}: copy its content instead")
    if any(stat.S_ISDIR(states[at].st_mode) for at in odd):
        pairs = [pair for pair in zip(entries, states, strict=True) if not stat.S_ISDIR(pair[1].st_mode)]
        entries, states = [entry for entry, _ in pairs], [state for _, state in pairs]
    stamps = array("q", bytes(8 * STAMP * len(states)))
    stamps[0::STAMP] = array("q", [state.st_size for state in states])
    stamps[1::STAMP] = array("q", [state.st_mtime_ns for state in states])
    stamps[2::STAMP] = array("q", [state.st_ctime_ns for state in states])
    stamps[3::STAMP] = array("q", [state.st_ino for state in states])
    files.stamps.extend(stamps)
    files.names.extend([prefix + entry.name for entry in entries])
    return folders


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def links_inside(links: Mapping[str, str]) -> dict[str, str]:
    """The links of a tree, if all stay within it: none lies below another one, which may lead elsewhere.

    Raises:
        UsageError: they do not.
    """
    inside = {name: link_inside(name, target) for name, target in links.items()}
    places = {PurePosixPath(name) for name in links}
    below = next((name for name in links if not places.isdisjoint(PurePosixPath(name).parents)), None)
    if below is not None:
        raise UsageError(f"expected links in folders of their tree, received {below!r}, which is below another link")
    return inside


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


def require_unchanged(path: str, before: os.stat_result, after: os.stat_result, read: int) -> None:
    """See that a file is what it was when reading began.

    Raises:
        DataError: it is not.
    """
    if Stamp.of(before) != Stamp.of(after) or read != before.st_size:
        raise DataError(f"{path} changed while it was read: try again when nothing writes to it")
