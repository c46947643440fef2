"""Layers of images: tar archives whose bytes follow from their files alone."""

import hashlib
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Layer", "archive", "layer"]

LEVEL = 1
"""Of gzip: most of a layer are libraries, of which higher levels save a tenth for five times the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer in the blobs of a layout: the digest of its bytes, and that of the archive before compression."""

    digest: str
    diff_id: str
    size: int


class _Hashed:
    """Writes a gzip file, and hashes what goes in and what comes out."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file, self._plain, self._packed = file, hashlib.sha256(), hashlib.sha256()
        self._compress = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)  # 31: a header of gzip without name and time
        self._size = 0

    def write(self, data: bytes) -> int:
        """Take in the next bytes of the archive."""
        self._plain.update(data)
        self._put(self._compress.compress(data))
        return len(data)

    def _put(self, data: bytes) -> None:
        self._packed.update(data)
        self._size += self._file.write(data)

    def end(self) -> Layer:
        """The layer, when all is written."""
        self._put(self._compress.flush())
        digest, diff_id = f"sha256:{self._packed.hexdigest()}", f"sha256:{self._plain.hexdigest()}"
        return Layer(digest=digest, diff_id=diff_id, size=self._size)


def layer(blobs: Path, parts: Sequence[tuple[str, Path]], *, owned: Sequence[str] = (), user: int = 0) -> Layer:
    """Write a layer of folders to the blobs of a layout.

    Args:
        blobs: the folder `blobs/sha256`.
        parts: folders by the place where they go ("" for the root).
        owned: empty folders that belong to the user.
        user: whose these are.
    """
    scratch = blobs / ".layer"
    with scratch.open("wb") as file:
        writer = _Hashed(file)
        with tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # pyright: ignore[reportArgumentType, reportCallIssue] - it only writes
            archive(tar, parts, owned=owned, user=user)
        made = writer.end()
    scratch.replace(blobs / made.digest.partition(":")[2])
    return made


def archive(
    tar: tarfile.TarFile, parts: Sequence[tuple[str, Path]], *, owned: Sequence[str] = (), user: int = 0
) -> None:
    """Add folders sorted by name, without times, all owned by root."""
    written: set[str] = set()
    for place, folder in parts:
        for name, path in _entries(place, folder):
            if name not in written:
                written.add(name)
                _add(tar, name, path)
    for place in owned:
        for name in _above(place):
            if name not in written:
                written.add(name)
                own = user if name == place else 0
                tar.addfile(_info(name, tarfile.DIRTYPE, 0o755, own))


def _entries(place: str, folder: Path) -> Iterator[tuple[str, Path | None]]:
    yield from ((name, None) for name in _above(place))
    for path in sorted(folder.rglob("*")):
        yield "/".join(filter(None, (place, path.relative_to(folder).as_posix()))), path


def _above(place: str) -> list[str]:
    parts = [part for part in place.split("/") if part]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _add(tar: tarfile.TarFile, name: str, path: Path | None) -> None:
    if path is None:
        tar.addfile(_info(name, tarfile.DIRTYPE, 0o755))
        return
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        info = _info(name, tarfile.SYMTYPE, 0o777)
        info.linkname = os.readlink(path)  # noqa: PTH115 - Path.readlink would drop "./" and "//"
        tar.addfile(info)
    elif stat.S_ISDIR(mode):
        tar.addfile(_info(name, tarfile.DIRTYPE, stat.S_IMODE(mode) | 0o555))
    elif stat.S_ISREG(mode):
        info = _info(name, tarfile.REGTYPE, (stat.S_IMODE(mode) & 0o7111) | 0o644)
        info.size = path.stat().st_size
        with path.open("rb") as file:
            tar.addfile(info, file)


def _info(name: str, kind: bytes, mode: int, user: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, user, user, 0
    return info
