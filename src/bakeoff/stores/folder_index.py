"""What a folder held when it was last looked at: names, stamps and hashes, so that what did not change is not read.

A file whose stamp is younger than the look, within a tick of the clock that stamps files, may change without its stamp
changing: it counts as unknown and is read again (as git does with what it calls racily clean).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bakeoff.core.hashing import digest
from bakeoff.stores.files import durable_folder, whole_write
from bakeoff.stores.folder_files import FolderFile, Stamp

__all__ = ["FolderIndex"]

_TICK_NS = 20_000_000
_COARSE_NS = 2_000_000_000
"""Of a file system that stamps whole seconds."""
_RACY = -1
_HASH = 32


class _Stored(msgspec.Struct, array_like=True):
    content: str
    names: list[str]
    stamps: bytes
    hashes: bytes


class FolderIndex:
    """The files of a folder as they were: `content` is the id of the tree that they make.

    Args:
        content: the id of the tree (or of the one file).
        files: name → stamp, id.
    """

    def __init__(self, content: str, names: Sequence[str], stamps: Any, hashes: bytes) -> None:
        self.content = content
        self._names, self._stamps, self._hashes = names, stamps, hashes

    @classmethod
    def of(
        cls, content: str, files: Sequence[FolderFile], ids: Mapping[str, tuple[str, int]], *, looked_ns: int
    ) -> "FolderIndex":
        """Of a folder whose files were looked at from `looked_ns` on, and have these ids."""
        stamps = np.array([file.stamp for file in files], dtype=np.int64).reshape(-1, len(Stamp._fields))
        newest_n = np.maximum(stamps[:, 1], stamps[:, 2])
        coarse_n = stamps[:, 1] % 1_000_000_000 == 0
        racy_n = newest_n > looked_ns - np.where(coarse_n, _COARSE_NS, _TICK_NS)
        stamps[racy_n, 3] = _RACY
        hashes = b"".join(bytes.fromhex(ids[file.name][0]) for file in files)
        return cls(content, [file.name for file in files], stamps, hashes)

    @classmethod
    def read(cls, path: Path) -> "FolderIndex | None":
        """The index in a file; None when there is none, or it is damaged."""
        try:
            known, _, body = path.read_bytes().partition(b"\n")
            if known.decode("ascii") != digest(body):
                return None
            stored = msgspec.msgpack.decode(body, type=_Stored)
        except (FileNotFoundError, UnicodeDecodeError, msgspec.MsgspecError):
            return None
        stamps = np.frombuffer(stored.stamps, dtype="<i8").reshape(-1, len(Stamp._fields))
        return cls(stored.content, stored.names, stamps, stored.hashes)

    def write(self, path: Path) -> None:
        """Write it to a file; it can be made again, and need not survive a loss of power."""
        body = msgspec.msgpack.encode(
            _Stored(self.content, list(self._names), self._stamps.astype("<i8").tobytes(), self._hashes)
        )
        durable_folder(path.parent)
        whole_write(path, [digest(body).encode() + b"\n", body], staging=path.parent)

    def is_as(self, files: Sequence[FolderFile]) -> bool:
        """Whether these are all of its files, each with the stamp that it had."""
        if len(files) != len(self._names) or [file.name for file in files] != self._names:
            return False
        stamps = np.array([file.stamp for file in files], dtype=np.int64).reshape(-1, len(Stamp._fields))
        return bool((stamps == self._stamps).all())

    def known(self, files: Sequence[FolderFile]) -> dict[str, tuple[str, int]]:
        """The id and size of each of these files that has the stamp that it had."""
        places = {name: at for at, name in enumerate(self._names)}
        stamps = [tuple(stamp) for stamp in self._stamps.tolist()]
        return {
            file.name: (self._hashes[_HASH * at : _HASH * (at + 1)].hex(), 0 if file.link else file.stamp.size)
            for file in files
            if (at := places.get(file.name)) is not None and stamps[at] == tuple(file.stamp)
        }
