"""What several projects share, in a folder or a bucket: blobs, and small named objects beside them.

A named object has a path such as `snapshots/films.csv/HASH.json`, of any characters but NUL. It is written whole, and
only by who knows what it is now (its revision): of two writers at once, one is told to look again.
"""

import fcntl
import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import quote, unquote, urlsplit

from bakeoff.core.addresses import place_scheme
from bakeoff.core.errors import UsageError
from bakeoff.core.hashing import digest
from bakeoff.core.protocols import Clock
from bakeoff.stores import s3_blobs
from bakeoff.stores.blobs import Blobs
from bakeoff.stores.bucket import Bucket
from bakeoff.stores.encrypted_objects import EncryptedObjects
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.files import durable_folder, durable_write, storage
from bakeoff.stores.objects import Objects

__all__ = ["FolderRemote", "NamedObject", "Remote", "S3Remote", "open_remote"]

BLOBS = "blobs"


class NamedObject(NamedTuple):
    """Its path, its bytes, and what tells that they are still these."""

    path: str
    data: bytes
    revision: str


class Remote(Protocol):
    """A place that several projects share."""

    blobs: Blobs

    def where(self, path: str = "") -> str:
        """Where an object lies, or would; without a path, where all are."""
        ...

    def paths(self, below: str) -> list[str]:
        """The paths of all objects below `below/`, sorted."""
        ...

    def get(self, path: str) -> NamedObject | None:
        """An object, or None."""
        ...

    def get_all(self, paths: Sequence[str]) -> Iterator[NamedObject]:
        """Those of these that are there, in their order."""
        ...

    def put(self, path: str, data: bytes, expected: str | None) -> bool:
        """Write an object whose revision is this (None: that is not there); False where it is another's by now."""
        ...


def open_remote(place: str, *, below: str = "", folder: Path | None = None, clock: Clock, keyring: Keyring) -> Remote:
    """A folder (relative to `folder`), its `file://` URL, or `s3://BUCKET/PREFIX`; or a part of it, which is `below`.

    Its blobs are encrypted if there are keys.

    Raises:
        UsageError: it is neither. MissingExtraError: the client of buckets is not installed.
    """
    scheme = place_scheme(place)
    if scheme == "s3":
        url = urlsplit(place)
        path = "/".join(filter(None, (url.path.strip("/"), below)))
        return S3Remote(url._replace(path=f"/{path}").geturl(), clock=clock, keyring=keyring)
    if scheme != "file":
        raise UsageError(f"expected a folder, its file:// URL, or s3://BUCKET/PREFIX as remote, received {place!r}")
    path = Path(unquote(place.removeprefix("file://")) if "://" in place else place)
    return FolderRemote(((folder or Path()) / path).resolve() / below, clock=clock, keyring=keyring)


class FolderRemote:
    """`Remote` in a folder; its revisions are hashes, and its files are as the user's own: others are to read them."""

    def __init__(self, folder: Path, *, clock: Clock, keyring: Keyring) -> None:
        self._folder = folder
        objects = Objects(folder / BLOBS, clock, private=False)
        self.blobs = Blobs(EncryptedObjects(objects, keyring, spare=True))

    def where(self, path: str = "") -> str:
        """Where it lies."""
        return str(self._folder / path)

    def paths(self, below: str) -> list[str]:
        """By their places in the folder."""
        with storage(f"read {self.where(below)}"):
            files = (path for path in (self._folder / below).rglob("*") if path.is_file())
            return sorted(path.relative_to(self._folder).as_posix() for path in files)

    def get(self, path: str) -> NamedObject | None:
        """Its bytes, and their hash."""
        with storage(f"read {self.where(path)}"):
            try:
                data = (self._folder / path).read_bytes()
            except FileNotFoundError:
                return None
        return NamedObject(path, data, digest(data))

    def get_all(self, paths: Sequence[str]) -> Iterator[NamedObject]:
        """One by one."""
        return (each for path in paths if (each := self.get(path)) is not None)

    def put(self, path: str, data: bytes, expected: str | None) -> bool:
        """All or nothing, and durable when it returns; others who write wait meanwhile."""
        with storage(f"write {self.where(path)}"), self._alone():
            now = self.get(path)
            if (None if now is None else now.revision) != expected:
                return False
            durable_write(self._folder / path, [data], staging=self._folder, private=False)
        return True

    @contextmanager
    def _alone(self) -> Generator[None]:
        durable_folder(self._folder, private=False)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class S3Remote:
    """`Remote` in a bucket; its revisions are ETags, and its puts conditional ones."""

    def __init__(self, url: str, *, clock: Clock, keyring: Keyring) -> None:
        self._bucket = Bucket(url)
        parts = urlsplit(url)
        blobs = parts._replace(path=f"{parts.path.rstrip('/')}/{BLOBS}").geturl()
        self.blobs = s3_blobs.open_blobs(blobs, folder=Path(), clock=clock, keyring=keyring)

    def where(self, path: str = "") -> str:
        """Its URL."""
        return self._bucket.where(self._key(path) if path else None)

    def paths(self, below: str) -> list[str]:
        """By their keys."""
        start = len(self._key("x")) - 1
        return sorted(unquote(key[start:]) for key in self._bucket.paths(self._key(below)))

    def get(self, path: str) -> NamedObject | None:
        """Its bytes and its ETag."""
        there = self._bucket.get(self._key(path))
        return None if there is None else NamedObject(path, *there)

    def get_all(self, paths: Sequence[str]) -> Iterator[NamedObject]:
        """Some at a time."""
        with ThreadPoolExecutor(s3_blobs.AT_ONCE) as pool:
            yield from (each for each in pool.map(self.get, paths) if each is not None)

    def put(self, path: str, data: bytes, expected: str | None) -> bool:
        """By a conditional put."""
        return self._bucket.put_if(self._key(path), data, expected)

    def _key(self, path: str) -> str:
        """Keys of a bucket hold no line breaks, and clients differ in what else they change."""
        return self._bucket.path(*(quote(part, safe="") for part in path.split("/")))
