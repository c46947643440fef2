"""Immutable objects named by hash, and the folder that has them two levels deep: `KIND/ab/cd/abcd…`."""

import fcntl
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from bakeoff.core.protocols import Clock
from bakeoff.stores.files import durable_folder, durable_write, sync_folder

__all__ = ["KINDS", "Kind", "Objects", "StoredObjects"]

Kind: TypeAlias = Literal["whole", "lists", "trees"]
"""Bytes (small blobs and chunks), lists of the chunks of large blobs, manifests of trees."""
KINDS: tuple[Kind, ...] = ("whole", "lists", "trees")


class StoredObjects(Protocol):
    """What `bakeoff.stores.blobs.Blobs` keeps its objects in: each put anew says that it is needed."""

    def put(self, kind: Kind, name: str, data: bytes) -> None:
        """Durable when it returns; what is there is compared first, so that the same content heals a damaged object."""
        ...

    def get(self, kind: Kind, name: str) -> bytes | None:
        """Its bytes, or None."""
        ...

    def has(self, kind: Kind, name: str) -> bool:
        """Whether it is there."""
        ...

    def where(self, kind: Kind | None = None, name: str = "") -> str:
        """Where it lies, or would, for people; without a kind, where all are."""
        ...

    def names(self, kind: Kind) -> Iterator[str]:
        """Names of all objects of a kind."""
        ...

    def locked(self, *, alone: bool) -> "AbstractContextManager[None]":
        """Within it nobody collects what is being put; with `alone`, nobody puts."""
        ...

    def problem(self) -> str | None:
        """Why nothing can be put or had at the moment, as far as is known."""
        ...

    def put_aside(self, kind: Kind, name: str) -> str:
        """Move a damaged object where nothing looks for it; where that is."""
        ...

    def sweep(self, doomed: Iterable[tuple[Kind, str]], grace_s: float, *, delete: bool = True) -> int:
        """Delete those older than the grace period; bytes freed, or that would be."""
        ...


class Objects:
    """Durable files whose modification time says when they were last put."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock

    def put(self, kind: Kind, name: str, data: bytes) -> None:
        """Write it unless it is there; then only its time is renewed, which keeps it from being collected.

        What is there is compared first, so that storing the same content again heals a damaged object.
        """
        path = self.path(kind, name)
        try:
            if path.stat().st_size == len(data) and path.read_bytes() == data:
                time_ns = self._clock() * 1_000_000
                os.utime(path, ns=(time_ns, time_ns))
                return
        except FileNotFoundError:
            pass
        durable_write(path, [data], staging=self.staging(), time_ms=self._clock())

    def get(self, kind: Kind, name: str) -> bytes | None:
        """Its bytes, or None."""
        try:
            return self.path(kind, name).read_bytes()
        except FileNotFoundError:
            return None

    def path(self, kind: Kind, name: str) -> Path:
        """Where it lies, or would."""
        return self._root / kind / name[:2] / name[2:4] / name

    def has(self, kind: Kind, name: str) -> bool:
        """Whether it is there."""
        return self.path(kind, name).exists()

    def where(self, kind: Kind | None = None, name: str = "") -> str:
        """Where it lies, or would."""
        return str(self._root if kind is None else self.path(kind, name))

    @contextmanager
    def locked(self, *, alone: bool) -> Generator[None]:
        """The folder's lock, shared unless `alone`."""
        durable_folder(self._root)
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def problem(self) -> str | None:
        """None: a folder's errors are told by each call."""
        return None

    def staging(self) -> Path:
        """The folder of temporary files."""
        folder = self._root / "tmp"
        durable_folder(folder)
        return folder

    def put_aside(self, kind: Kind, name: str) -> str:
        """Move a damaged object where nothing looks for it; the new path."""
        target = self._root / "damaged" / f"{kind}-{name}"
        durable_folder(target.parent)
        path = self.path(kind, name)
        path.replace(target)
        sync_folder(path.parent)
        return str(target)

    def names(self, kind: Kind) -> Iterator[str]:
        """Names of all objects of a kind."""
        return (path.name for path in (self._root / kind).glob("??/??/*"))

    def age_s(self, path: Path) -> float:
        """Seconds since the object at `path` was last put."""
        return self._clock() / 1000 - path.stat().st_mtime

    def sweep(self, doomed: Iterable[tuple[Kind, str]], grace_s: float, *, delete: bool = True) -> int:
        """Delete those older than the grace period, and such temporary files; bytes freed, or that would be."""
        freed = 0
        for path in (*(self.path(kind, name) for kind, name in doomed), *(self._root / "tmp").glob(".tmp-*")):
            try:
                if self.age_s(path) >= grace_s:
                    size_bytes = path.stat().st_size
                    if delete:
                        path.unlink()
                    freed += size_bytes
            except FileNotFoundError:
                continue  # a temporary file that its writer has just renamed
        return freed
