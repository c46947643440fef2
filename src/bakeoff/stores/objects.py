"""Immutable objects named by hash, and the folder that has them: `KIND/ab/cd/abcd…`, or many small ones in a pack."""

import errno
import fcntl
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from bakeoff.core.hashing import digest
from bakeoff.core.protocols import Clock
from bakeoff.stores.files import durable_folder, durable_write, sync_folder
from bakeoff.stores.packs import Packs, PackWriter

__all__ = ["KINDS", "Kind", "Objects", "Put", "StoredObjects"]

Kind: TypeAlias = Literal["whole", "lists", "trees"]
"""Bytes (small blobs and chunks), lists of the chunks of large blobs, manifests of trees."""
KINDS: tuple[Kind, ...] = ("whole", "lists", "trees")
Put: TypeAlias = Callable[[Kind, str, bytes], None]
"""Puts an object."""
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT})


class StoredObjects(Protocol):
    """What `bakeoff.stores.blobs.Blobs` keeps its objects in: each put anew says that it is needed."""

    def put(self, kind: Kind, name: str, data: bytes) -> None:
        """Durable when it returns; what is there is compared first, so that the same content heals a damaged object."""
        ...

    def together(self) -> "AbstractContextManager[Put]":
        """Within it, what is put may be written at the end, many objects at once; nothing of it when it fails."""
        ...

    def renew(self, names: Iterable[str]) -> None:
        """Say of objects that they are needed, as if they were put."""
        ...

    def get(self, kind: Kind, name: str) -> bytes | None:
        """Its bytes, or None."""
        ...

    def copies(self, kind: Kind, name: str) -> Iterator[tuple[str, bytes]]:
        """Where it is, with its bytes, not verified; it may be in several places."""
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

    def locked(self, *, alone: bool, reads: bool = False) -> "AbstractContextManager[None]":
        """Within it nobody collects what is being put; with `alone`, nobody puts. Who only `reads` may need no lock."""
        ...

    def problem(self) -> str | None:
        """Why nothing can be put or had at the moment, as far as is known."""
        ...

    def put_aside(self, kind: Kind, name: str, whole: "Callable[[bytes], bool] | None" = None) -> str:
        """Move the damaged copies of an object where nothing looks for them; where that is.

        `whole` says which bytes are; by default, those whose hash is the name.
        """
        ...

    def rewrite(self, change: Callable[[Kind, str, bytes], bytes | None]) -> int:
        """Write again the objects for whose bytes `change` gives others (None: they stay); how many.

        Safe while others put and read: each part is written under the lock of who collects. Times may stay.
        """
        ...

    def unreadable(self, *, repair: bool) -> Iterator[tuple[str, str]]:
        """Places of which no object can be told any more; with `repair`, where they were moved to."""
        ...

    def sweep(self, doomed: Iterable[tuple[Kind, str]], grace_s: float, *, delete: bool = True) -> int:
        """Delete those older than the grace period; bytes freed, or that would be."""
        ...


class Objects:
    """Durable files whose modification time says when they were last put."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._packs = Packs(root / "packs", self.staging, clock)

    def put(self, kind: Kind, name: str, data: bytes) -> None:
        """Write it unless it is there; then only its time is renewed, which keeps it from being collected.

        What is there is compared first, so that storing the same content again heals a damaged object.
        """
        self._put(kind, name, data, None)

    @contextmanager
    def together(self) -> Generator[Put]:
        """Objects of kind `whole` go into packs, each written with one sync."""
        with self._packs.writer() as pack:
            yield lambda kind, name, data: self._put(kind, name, data, pack if kind == "whole" else None)

    def _put(self, kind: Kind, name: str, data: bytes, pack: PackWriter | None) -> None:
        path = self.path(kind, name)
        try:
            if path.stat().st_size == len(data) and path.read_bytes() == data:
                time_ns = self._clock() * 1_000_000
                os.utime(path, ns=(time_ns, time_ns))
                return
        except FileNotFoundError:
            pass
        if kind == "whole":
            if pack is not None and name in pack:
                return
            same = [place.path for place in self._packs.places(name) if place.read() == data]
            if same:
                self._packs.renew(same)
                return
            if pack is not None:
                pack.add(name, data)
                return
        durable_write(path, [data], staging=self.staging(), time_ms=self._clock())

    def renew(self, names: Iterable[str]) -> None:
        """Their time becomes now."""
        time_ns, packs = self._clock() * 1_000_000, set[Path]()
        for name in names:
            places = self._packs.places(name)
            packs.update(place.path for place in places)
            for kind in ("whole", "lists") if not places else ():
                with suppress(FileNotFoundError):
                    os.utime(self.path(kind, name), ns=(time_ns, time_ns))
        self._packs.renew(packs)

    def get(self, kind: Kind, name: str) -> bytes | None:
        """Its bytes as they lie in the first place, or None."""
        return next((data for _, data in self.copies(kind, name)), None)

    def copies(self, kind: Kind, name: str) -> Iterator[tuple[str, bytes]]:
        """In packs, and as a file of its own."""
        for place in self._packs.places(name) if kind == "whole" else ():
            try:
                yield str(place.path), place.read()
            except FileNotFoundError:  # written anew meanwhile
                self._packs.forget()
                yield from ((str(again.path), again.read()) for again in self._packs.places(name))
                break
        with suppress(FileNotFoundError):
            path = self.path(kind, name)
            yield str(path), path.read_bytes()

    def path(self, kind: Kind, name: str) -> Path:
        """Where it lies, or would, as a file of its own."""
        return self._root / kind / name[:2] / name[2:4] / name

    def has(self, kind: Kind, name: str) -> bool:
        """Whether it is there."""
        return self.path(kind, name).exists() or (kind == "whole" and bool(self._packs.places(name)))

    def where(self, kind: Kind | None = None, name: str = "") -> str:
        """Where it lies, or would."""
        if kind is None:
            return str(self._root)
        places = self._packs.places(name) if kind == "whole" else []
        return str(places[0].path if places else self.path(kind, name))

    @contextmanager
    def locked(self, *, alone: bool, reads: bool = False) -> Generator[None]:
        """The folder's lock, shared unless `alone`; on a medium that cannot be written nobody has to be kept away."""
        try:
            durable_folder(self._root)
            descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            if not reads or error.errno not in _READ_ONLY:
                raise
            yield
            return
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

    def rewrite(self, change: Callable[[Kind, str, bytes], bytes | None]) -> int:
        """Those of a pack together, the others one by one; their times stay."""
        count = 0
        for kind in KINDS:
            for path in sorted((self._root / kind).glob("??/??/*")):
                with self.locked(alone=True), suppress(FileNotFoundError):
                    new = change(kind, path.name, path.read_bytes())
                    if new is not None:
                        time_ms = path.stat().st_mtime_ns // 1_000_000
                        durable_write(path, [new], staging=self.staging(), time_ms=time_ms)
                        count += 1
        for path in self._packs.paths():
            with self.locked(alone=True), suppress(FileNotFoundError):
                count += self._packs.rewrite(path, lambda name, data: change("whole", name, data))
        self._packs.forget()
        return count

    def put_aside(self, kind: Kind, name: str, whole: Callable[[bytes], bool] | None = None) -> str:
        """Move the damaged copies; a pack is written anew without its own. The new path."""
        is_whole = whole or (lambda data: digest(data) == name)
        target = self._damaged(f"{kind}-{name}")
        for place in self._packs.places(name) if kind == "whole" else ():
            if not is_whole(data := place.read()):
                target.write_bytes(data)
                self._packs.without(place.path, {name})
        path = self.path(kind, name)
        with suppress(FileNotFoundError):
            if kind != "whole" or not is_whole(path.read_bytes()):
                path.replace(target)
                sync_folder(path.parent)
        self._packs.forget()
        return str(target)

    def unreadable(self, *, repair: bool) -> Iterator[tuple[str, str]]:
        """Packs whose index is damaged."""
        self._packs.forget()
        for path in self._packs.unreadable():
            target = self._damaged(path.name) if repair else None
            if target is not None:
                path.replace(target)
                sync_folder(path.parent)
            yield str(path), str(target or "")
        self._packs.forget()

    def _damaged(self, name: str) -> Path:
        folder = self._root / "damaged"
        durable_folder(folder)
        return folder / name

    def names(self, kind: Kind) -> Iterator[str]:
        """Names of all objects of a kind; one that lies in several places may come several times."""
        yield from (path.name for path in (self._root / kind).glob("??/??/*"))
        if kind == "whole":
            yield from (name for name, _ in self._packs.listed())

    def age_s(self, path: Path) -> float:
        """Seconds since the object at `path` was last put."""
        return self._clock() / 1000 - path.stat().st_mtime

    def sweep(self, doomed: Iterable[tuple[Kind, str]], grace_s: float, *, delete: bool = True) -> int:
        """Delete those older than the grace period, and such temporary files; bytes freed, or that would be."""
        freed, packed = 0, dict[Path, dict[str, int]]()
        paths = list((self._root / "tmp").glob(".tmp-*"))
        for kind, name in dict.fromkeys(doomed):
            paths.append(self.path(kind, name))
            for place in self._packs.places(name) if kind == "whole" else ():
                packed.setdefault(place.path, {})[name] = place.length
        for path, lengths in packed.items():
            if self.age_s(path) >= grace_s:
                freed += sum(lengths.values())
                if delete:
                    self._packs.without(path, lengths.keys())
        for path in paths:
            try:
                if self.age_s(path) >= grace_s:
                    size_bytes = path.stat().st_size
                    if delete:
                        path.unlink()
                    freed += size_bytes
            except FileNotFoundError:
                continue  # a temporary file that its writer has just renamed
        return freed
