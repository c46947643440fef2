"""What a folder held when it was last looked at: names, stamps and hashes, so that what did not change is not read.

A file whose stamp is younger than the look, within a tick of the clock that stamps files, may change without its stamp
changing: it counts as unknown and is read again (as git does with what it calls racily clean).
"""

from array import array
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bakeoff.stores.files import read_cached, write_cached
from bakeoff.stores.folder_files import STAMP, FolderFiles

__all__ = ["FolderIndex", "is_settled"]

_TICK_NS = 20_000_000
_COARSE_NS = 2_000_000_000
"""Of a file system that stamps whole seconds."""
_SECOND_NS = 1_000_000_000

_RACY = -1
_HASH = 32


class _Stored(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    content: str
    names: list[str]
    stamps: bytes
    hashes: bytes
    links: dict[str, str]
    executable: set[str]


def is_settled(modified_ns: int, changed_ns: int, looked_ns: int) -> bool:
    """Whether a file with these times gets others when it changes after `looked_ns`."""
    tick_ns = _TICK_NS if modified_ns % _SECOND_NS else _COARSE_NS
    return max(modified_ns, changed_ns) <= looked_ns - tick_ns


class FolderIndex:
    """The files of a folder as they were: `content` is the id of the tree that they make.

    Args:
        content: the id of the tree (or of the one file).
        files: as they were; the inode of those that count as unknown is no inode.
        hashes: of each its hash, 32 bytes.
    """

    def __init__(self, content: str, files: FolderFiles, hashes: bytes) -> None:
        self.content = content
        self._files, self._hashes = files, hashes

    @classmethod
    def of(
        cls, content: str, files: FolderFiles, ids: Mapping[str, tuple[str, int]], *, looked_ns: int
    ) -> "FolderIndex":
        """Of a folder whose files were looked at from `looked_ns` on, and have these ids."""
        stamps = files.stamps[:]
        times = zip(stamps[1::STAMP], stamps[2::STAMP], strict=True)
        for at, (modified_ns, changed_ns) in enumerate(times):
            newest_ns = max(changed_ns, modified_ns)
            if newest_ns > looked_ns - _COARSE_NS and not is_settled(modified_ns, changed_ns, looked_ns):
                stamps[STAMP * at + STAMP - 1] = _RACY
        hashes = bytes.fromhex("".join([ids[name][0] for name in files.names]))
        then = FolderFiles(files.root, files.names, stamps, files.links, files.executable)
        return cls(content, then, hashes)

    @classmethod
    def read(cls, path: Path) -> "FolderIndex | None":
        """The index in a file; None when there is none, or it is damaged."""
        body = read_cached(path)
        if body is None:
            return None
        try:
            stored = msgspec.msgpack.decode(body, type=_Stored)
        except msgspec.MsgspecError:
            return None
        files = FolderFiles("", stored.names, array("q", stored.stamps), stored.links, stored.executable)
        return cls(stored.content, files, stored.hashes)

    def write(self, path: Path) -> None:
        """Write it to a file; it can be made again, and need not survive a loss of power."""
        files = self._files
        stamps = files.stamps.tobytes()
        body = msgspec.msgpack.encode(
            _Stored(self.content, files.names, stamps, self._hashes, files.links, files.executable)
        )
        write_cached(path, body)

    def is_as(self, files: FolderFiles) -> bool:
        """Whether these are all of its files, each with the stamp that it had."""
        return self._files.is_as(files)

    def known(self, files: FolderFiles) -> dict[str, tuple[str, int]]:
        """The id and size of each of these files that has the stamp that it had."""
        other, sizes, ids = set(files.other_names(self._files)), files.sizes(), self._ids()
        return {name: (ids[name], sizes[name]) for name in files.names if name not in other}

    def moved(self, files: FolderFiles) -> tuple[dict[str, tuple[str, int]], list[str]]:
        """What the index has of files that changed or went since; names of those that changed or came."""
        ids, sizes = self._ids(), self._files.sizes()
        before = {name: (ids[name], sizes[name]) for name in self._files.other_names(files)}
        return before, files.other_names(self._files)

    @property
    def executable(self) -> set[str]:
        """Names of files that could be executed."""
        return self._files.executable

    def _ids(self) -> dict[str, str]:
        hashes, digits = self._hashes.hex(), 2 * _HASH
        return {name: hashes[digits * at : digits * (at + 1)] for at, name in enumerate(self._files.names)}
