"""Immutable objects named by hash, and the folder that has them: `KIND/ab/cd/abcd…`, or many small ones in a pack."""

import errno
import fcntl
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from bakeoff.core.hashing import digest
from bakeoff.core.protocols import Clock
from bakeoff.stores.files import durable_folder, durable_write, sync_folder

if TYPE_CHECKING:
    from bakeoff.stores.packs import PackWriter

__all__ = ["KINDS", "Joined", "Kind", "Objects", "Put", "StoredObjects", "apart"]

Kind: TypeAlias = Literal["whole", "lists", "trees"]
"""Bytes (small blobs and chunks), lists of the chunks of large blobs, manifests of trees."""
KINDS: tuple[Kind, ...] = ("whole", "lists", "trees")
Put: TypeAlias = Callable[[Kind, str, bytes], None]
"""Puts an object."""
Joined: TypeAlias = tuple[bytes, Sequence[int]]
"""Objects that were read at once: their bytes one after the other, and the length of each."""
_TOGETHER, _TOGETHER_OBJECTS = 4 << 20, 1024
"""Bytes and objects that are looked up and packed at once."""
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT})


def apart(wholes: Iterable[bytes | None]) -> Iterator[Joined]:
    """Each as a piece of its own.

    >>> list(apart([b"ab", None]))
    [(b'ab', (2,)), (b'', (0,))]
    """
    return ((data or b"", (len(data or b""),)) for data in wholes)


class StoredObjects(Protocol):
    """What `bakeoff.stores.blobs.Blobs` keeps its objects in: each put anew says that it is needed."""

    def put(self, kind: Kind, name: str, data: bytes) -> None:
        """Durable when it returns; what is there is compared first, so that the same content heals a damaged object."""
        ...

    def together(self) -> "AbstractContextManager[Put]":
        """Within it, what is put may be written at the end, many objects at once; nothing of it when it fails."""
        ...

    def renew(self, names: Sequence[str]) -> list[str]:
        """Say of objects that they are needed, as if they were put; those that are not there."""
        ...

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Objects of kind `whole` that are not there."""
        ...

    def get(self, kind: Kind, name: str) -> bytes | None:
        """Its bytes, or None."""
        ...

    def wholes(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """The bytes of many objects of kind `whole`, each from its first place, not verified; None: not there."""
        ...

    def joined(self, names: Sequence[str]) -> Iterator[Joined]:
        """The same, in pieces as large as they are read; of what is not there, no bytes."""
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
    """Durable files whose modification time says when they were last put.

    Args:
        root: the folder.
        clock: milliseconds since the epoch.
        private: what is made is its owner's alone; else as the user's own files are.
    """

    def __init__(self, root: Path, clock: Clock, *, private: bool = True) -> None:
        from bakeoff.stores.packs import Packs  # numpy takes a while to import

        self._root = root
        self._clock = clock
        self._private = private
        self._packs = Packs(root / "packs", self.staging, clock, private=private)

    def __reduce__(self) -> "tuple[Callable[[Path, Clock], Objects], tuple[Path, Clock]]":
        """Another process opens the folder anew: the backend `ray` sends it there."""
        return partial(Objects, private=self._private), (self._root, self._clock)

    def put(self, kind: Kind, name: str, data: bytes) -> None:
        """Write it unless it is there; then only its time is renewed, which keeps it from being collected.

        What is there is compared first, so that storing the same content again heals a damaged object.
        """
        if self._same(kind, name, data):
            return
        same = [each.path for each in self._packs.places(name) if each.read() == data] if kind == "whole" else []
        if same:
            self._packs.renew(same)
        else:
            time_ms, private = self._clock(), self._private
            durable_write(self.path(kind, name), [data], staging=self.staging(), time_ms=time_ms, private=private)

    @contextmanager
    def together(self) -> Generator[Put]:
        """Objects of kind `whole` go into packs, each written with one sync."""
        waiting, renewed, size = dict[str, bytes](), set[Path](), 0

        def put(kind: Kind, name: str, data: bytes) -> None:
            nonlocal size
            if kind != "whole":
                self.put(kind, name, data)
                return
            waiting[name] = data
            size += len(data)
            if size > _TOGETHER or len(waiting) > _TOGETHER_OBJECTS:
                write()

        def write() -> None:
            nonlocal size
            if not waiting:
                return
            for name, place in zip(waiting, self._packs.first_places([*waiting]), strict=True):
                self._pack(pack, name, waiting[name], renewed, packed=place is not None)
            waiting.clear()
            size = 0

        with self._packs.writer() as pack:
            yield put
            write()
        self._packs.renew(renewed)

    def _pack(self, pack: "PackWriter", name: str, data: bytes, renewed: set[Path], *, packed: bool) -> None:
        """Add an object to a pack, unless it is there as a file or `packed`; packs that have it are to be renewed."""
        if name in pack or self._same("whole", name, data):
            return
        same = [each.path for each in self._packs.places(name) if each.read() == data] if packed else []
        renewed.update(same)
        if not same:
            pack.add(name, data)

    def _same(self, kind: Kind, name: str, data: bytes) -> bool:
        """Whether a file of its own has this content; its time becomes now."""
        place = self._place(kind, name)
        try:
            same = os.stat(place).st_size == len(data) and Path(place).read_bytes() == data  # noqa: PTH116 - a million
        except FileNotFoundError:
            return False
        return same and self._touched(place, self._clock() * 1_000_000)

    def _touched(self, place: str, time_ns: int) -> bool:
        """Set the time of a file; whether it is there."""
        try:
            os.utime(place, ns=(time_ns, time_ns))
        except FileNotFoundError:
            return False
        except PermissionError:  # another's, in the folder of a team
            if self._private:
                raise
        return True

    def renew(self, names: Sequence[str]) -> list[str]:
        """Their time becomes now; those that are not there."""
        time_ns, lacking = self._clock() * 1_000_000, list[str]()
        packs, others = self._packs.holding(names)
        for name in others:
            there = [self._touched(self._place(kind, name), time_ns) for kind in ("whole", "lists")]
            if not any(there):
                lacking.append(name)
        self._packs.renew(packs)
        return lacking

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Those that are not there."""
        _, others = self._packs.holding(names)
        return [name for name in others if not Path(self._place("whole", name)).exists()]

    def wholes(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """Those that lie side by side are read at once."""
        for name, data in zip(names, self._packs.read(names), strict=True):
            yield self.get("whole", name) if data is None else data

    def joined(self, names: Sequence[str]) -> Iterator[Joined]:
        """Those that lie side by side are one piece."""
        at = 0
        for piece in self._packs.joined(names):
            data, lengths = piece or (self.get("whole", names[at]) or b"", ())
            yield data, lengths or (len(data),)
            at += len(lengths) or 1

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
        return Path(self._place(kind, name))

    def _place(self, kind: Kind, name: str) -> str:
        return f"{self._root}/{kind}/{name[:2]}/{name[2:4]}/{name}"

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
            durable_folder(self._root, private=self._private)
            mode = 0o600 if self._private else 0o666
            descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, mode)
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
        durable_folder(folder, private=self._private)
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
        seen = set[Path]()
        while todo := [path for path in self._packs.paths() if path not in seen]:  # a collection may write others
            for path in todo:
                with self.locked(alone=True), suppress(FileNotFoundError):
                    count += self._packs.rewrite(path, lambda name, data: change("whole", name, data))
            seen.update(todo)
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
