"""Immutable objects named by hash: files two levels deep, `KIND/ab/cd/abcd…`, or many small ones in a pack."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from bakeoff.core.protocols import Clock
from bakeoff.stores.files import durable_folder, durable_write, sync_folder
from bakeoff.stores.packs import Packs, PackWriter

__all__ = ["Kind", "Objects"]

Kind: TypeAlias = Literal["whole", "lists", "trees"]
"""Bytes (small blobs and chunks), lists of the chunks of large blobs, manifests of trees."""


class Objects:
    """Durable files whose modification time says when they were last put; those of kind `whole` may be in packs."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self.packs = Packs(root / "packs", self.staging, clock)

    def put(self, kind: Kind, name: str, data: bytes, pack: PackWriter | None = None) -> None:
        """Write it (into the pack, if one is open) unless it is there; then only its time is renewed.

        A renewed time keeps it from being collected. What is there is compared first, so that storing the same content
        again heals a damaged object.
        """
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
            same = [place.path for place in self.packs.places(name) if place.read() == data]
            if same:
                self.packs.renew(same)
                return
            if pack is not None:
                pack.add(name, data)
                return
        durable_write(path, [data], staging=self.staging(), time_ms=self._clock())

    def renew(self, names: Iterable[str]) -> None:
        """Say of objects that they were put now."""
        time_ns, packs = self._clock() * 1_000_000, set[Path]()
        for name in names:
            places = self.packs.places(name)
            packs.update(place.path for place in places)
            for kind in ("whole", "lists") if not places else ():
                with suppress(FileNotFoundError):
                    os.utime(self.path(kind, name), ns=(time_ns, time_ns))
        self.packs.renew(packs)

    def copies(self, kind: Kind, name: str) -> Iterator[tuple[Path, bytes]]:
        """Where it is, with its bytes, not verified; it may be in several places."""
        for place in self.packs.places(name) if kind == "whole" else ():
            try:
                yield place.path, place.read()
            except FileNotFoundError:  # written anew meanwhile
                self.packs.forget()
                yield from ((again.path, again.read()) for again in self.packs.places(name))
                break
        with suppress(FileNotFoundError):
            path = self.path(kind, name)
            yield path, path.read_bytes()

    def get(self, kind: Kind, name: str) -> bytes | None:
        """Its bytes as they lie in the first place, or None."""
        return next((data for _, data in self.copies(kind, name)), None)

    def exists(self, kind: Kind, name: str) -> bool:
        """Whether it is there."""
        return self.path(kind, name).exists() or (kind == "whole" and bool(self.packs.places(name)))

    def path(self, kind: Kind, name: str) -> Path:
        """Where it lies, or would, as a file of its own."""
        return self._root / kind / name[:2] / name[2:4] / name

    def staging(self) -> Path:
        """The folder of temporary files."""
        folder = self._root / "tmp"
        durable_folder(folder)
        return folder

    def put_aside(self, place: Path, name: str) -> Path:
        """Move a damaged file where nothing looks for it; the new path."""
        target = self._damaged(name)
        place.replace(target)
        sync_folder(place.parent)
        self.packs.forget()
        return target

    def aside(self, kind: Kind, name: str, data: bytes) -> Path:
        """Keep the bytes of a damaged object of a pack where nothing looks for them."""
        target = self._damaged(f"{kind}-{name}")
        target.write_bytes(data)
        return target

    def _damaged(self, name: str) -> Path:
        folder = self._root / "damaged"
        durable_folder(folder)
        return folder / name

    def names(self, kind: Kind) -> Iterator[str]:
        """Names of all objects of a kind that are files of their own."""
        return (path.name for path in (self._root / kind).glob("??/??/*"))

    def age_s(self, path: Path) -> float:
        """Seconds since the object at `path` was last put."""
        return self._clock() / 1000 - path.stat().st_mtime

    def sweep(self, needed: set[str], grace_s: float, *, delete: bool = True) -> int:
        """Delete what is not needed and older than the grace period, and such temporary files; bytes freed.

        Without `delete`, the bytes that would be freed.
        """
        kinds: tuple[Kind, ...] = ("trees", "lists", "whole")
        doomed = (self.path(kind, name) for kind in kinds for name in self.names(kind) if name not in needed)
        freed = self._swept([*doomed, *(self._root / "tmp").glob(".tmp-*")], grace_s, delete=delete)
        packed: dict[Path, dict[str, int]] = {}
        for name, place in self.packs.listed():
            if name not in needed:
                packed.setdefault(place.path, {})[name] = place.length
        for path, lengths in packed.items():
            if self.age_s(path) >= grace_s:
                freed += sum(lengths.values())
                if delete:
                    self.packs.without(path, lengths.keys())
        return freed

    def _swept(self, doomed: Iterable[Path], grace_s: float, *, delete: bool) -> int:
        freed = 0
        for path in doomed:
            try:
                if self.age_s(path) >= grace_s:
                    size_bytes = path.stat().st_size
                    if delete:
                        path.unlink()
                    freed += size_bytes
            except FileNotFoundError:
                continue  # a temporary file that its writer has just renamed
        return freed
