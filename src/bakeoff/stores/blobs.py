"""Content-addressed blobs and trees, in a folder or in an object store.

whole/   blobs below 1 MiB; in an object store also chunks of larger ones
packs/   in a folder: chunks of larger blobs, and small files of folders, many in a file (see `bakeoff.stores.packs`)
lists/   of a larger blob: the ids and sizes of its chunks, so that near-identical blobs share bytes
trees/   manifests of folders: path → id and size, links, executables; a tree's id is the hash of its manifest
tmp/     files being written, in a folder
damaged/ what a repair put aside
lock     of a folder: held shared while putting, exclusively while collecting
"""

import io
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec
from blake3 import blake3

from bakeoff.core.damage import Damage
from bakeoff.core.erasure import Rewritten
from bakeoff.core.errors import CorruptError, NotFoundError, SecurityError, UsageError
from bakeoff.core.hashing import canonical_json, digest, tree_manifest
from bakeoff.core.protocols import Clock, FileTree
from bakeoff.core.threads import ahead, as_they_come, at_once
from bakeoff.stores.encrypted_objects import EncryptedObjects
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.files import file_url, storage, temporary, whole_write, write_sparse
from bakeoff.stores.folder_files import folder_files, links_inside, require_unchanged
from bakeoff.stores.objects import KINDS, Kind, Objects, Put, StoredObjects

__all__ = ["Blobs", "Sending", "open_blobs"]

_SMALL = 1 << 20  # blobs below this size are stored whole
_AT_ONCE = 1024  # objects that are looked up together when they are sent
_TOGETHER, _WRITTEN = 4 << 20, 256  # bytes and files that a thread writes together
_AHEAD = 32  # chunks, some 2.5 MiB, that go from one thread to the next together
_LOOSE = 16  # of a folder with fewer small files, each is a file of its own
_ID = re.compile("[0-9a-f]{64}")
_Unwritten: TypeAlias = tuple[str, int, Iterable[bytes]]
"""A file: its path, its mode, what it will hold."""
LISTED: tuple[Kind, Kind] = ("lists", "trees")
"""Kinds of objects that name others."""


class Sending(NamedTuple):
    """How blobs go from one store to another.

    Attributes:
        renews: say of what is there already that it is needed, as a put would: for stores that are collected.
        looks: hold what is large, and new there, as a whole against its hash.
        again: send what is there already, too, so that what is damaged there becomes whole.
    """

    renews: bool = True
    looks: bool = False
    again: bool = False


def open_blobs(url: str, *, folder: Path, clock: Clock, keyring: Keyring | None = None) -> "Blobs":
    """Open the blobs at `file://PATH` (relative to `folder`), encrypted if there is a keyring; made by the first put.

    Raises:
        UsageError: another kind of URL.
    """
    return Blobs(EncryptedObjects(Objects(file_url(url, folder), clock), keyring or Keyring(), spare=True))


class Blobs:
    """A `BlobStore`; safe to use from several threads, processes and, where its objects are, hosts."""

    def __init__(self, objects: StoredObjects) -> None:
        self._objects = objects
        self._place = objects.where()
        self.shared = "://" in self._place
        """Whether other machines reach it as this one does."""

    def put(self, data: bytes | Path) -> str:
        """Store bytes, or a file's content; durable when it returns."""
        with storage(f"store a blob in {self._place}"), self._objects.locked(alone=False):
            return self._put(data)[0]

    def get(self, blob_id: str) -> bytes:
        """Read and verify a blob (of a tree: its manifest)."""
        with storage(f"read a blob in {self._place}"):
            return b"".join(self._pieces(blob_id))

    def put_tree(self, folder: Path, *, cut: bool = True) -> str:
        """Store a folder's files; empty folders and permissions are not kept. Large ones are `cut`, or one object."""
        if not folder.is_dir():
            raise UsageError(f"expected a folder, received {str(folder)!r}")
        with storage(f"store the folder {folder} in {self._place}"), self._objects.locked(alone=False):
            return self._put_files(folder_files(folder).paths(), {}, cut=cut).id

    def put_files(
        self,
        files: Mapping[str, str | tuple[str, int]],
        links: Mapping[str, str] | None = None,
        executable: frozenset[str] = frozenset(),
    ) -> FileTree:
        """Store files as a tree, small ones together: name → path of the file, or id and size of one that is stored.

        Args:
            files: what the tree holds; an id that is not there any more is an error.
            links: name → target of links, which stay within the tree.
            executable: names of files that are executable when they are fetched.

        Raises:
            DataError: a file changed while it was read. NotFoundError: an id that is not stored.
        """
        inside = links_inside(links or {})
        with storage(f"store files in {self._place}"), self._objects.locked(alone=False):
            return self._put_files(files, inside, executable)

    def fetch(self, blob_id: str, target: Path) -> Path:
        """Write a blob to the file `target` (replaced), or a tree into the folder `target` (new or empty).

        A copy need not survive a loss of power: what does stays here.
        """
        with storage(f"write {target}"):
            tree = self._manifest(blob_id)
            target.parent.mkdir(parents=True, exist_ok=True)
            if tree is None:
                self._fetch_file(blob_id, target)
                return target
            try:
                self._fetch_tree(tree, target, joined=True)
            except CorruptError:
                self._fetch_tree(tree, target)
        return target

    def contains(self, blob_id: str) -> bool:
        """Whether it is there with all its parts (not verified)."""
        if not _is_id(blob_id):
            return False
        if self._objects.has("whole", blob_id):
            return True
        try:
            parts = self._list(blob_id) or list((self._tree(blob_id) or {}).values())
        except CorruptError:
            return False
        if not parts:  # nothing, or the tree of an empty folder
            return self._objects.has("trees", blob_id)
        return all(self.contains(part) for part, _ in parts)

    def intact(self, blob_id: str) -> bool:
        """Whether it is there with all its parts, every byte as it was stored."""
        with storage(f"read a blob in {self._place}"):
            try:
                for _ in self._pieces(blob_id):
                    pass
                return all(self.intact(file_id) for file_id, _ in (self._tree(blob_id) or {}).values())
            except (NotFoundError, CorruptError):
                return False

    def check(self, *, repair: bool = False) -> Iterator[Damage]:
        """Objects that are not what their names say, and those that lack a part; a repair puts the former aside."""
        with storage(f"check the blobs in {self._place}"), self._objects.locked(alone=repair, reads=not repair):
            for place, aside in self._objects.unreadable(repair=repair):
                remedy = f"put aside as {aside}" if aside else ""
                yield Damage(place=place, problem="does not match its name: its objects cannot be told", remedy=remedy)
            for kind in KINDS:
                for name in sorted({*self._objects.names(kind)}):
                    problem = self._problem(kind, name)
                    if problem is not None:
                        yield self._damage(kind, name, problem, repair=repair)

    def _problem(self, kind: Kind, name: str) -> str | None:
        try:
            if kind == "whole":
                for _, data in self._objects.copies(kind, name):
                    self._verified(kind, name, data)
            elif kind == "lists":
                for _ in self._pieces(name):
                    pass
            else:
                lacking = [path for path, (part, _) in (self._tree(name) or {}).items() if not self.contains(part)]
                return f"lacks {', '.join(lacking)}" if lacking else None
        except (CorruptError, NotFoundError) as error:
            return "lacks a part" if "lacks its chunk" in str(error) else "does not match its hash"
        return None

    def _damage(self, kind: Kind, name: str, problem: str, *, repair: bool) -> Damage:
        copies = self._objects.copies(kind, name) if kind == "whole" else ()
        place = next((at for at, data in copies if digest(data) != name), self._objects.where(kind, name))
        if not repair:
            return Damage(place=place, problem=problem, blob=name)
        aside = self._objects.put_aside(kind, name)
        return Damage(place=place, problem=problem, remedy=f"put aside as {aside}", blob=name)

    def size_bytes(self, blob_id: str) -> int:
        """Logical size of a blob or of a tree's files."""
        with storage(f"read a blob in {self._place}"):
            if (files := self._tree(blob_id)) is not None:
                return sum(size for _, size in files.values())
            if (chunks := self._list(blob_id)) is not None:
                return sum(size for _, size in chunks)
            return len(self._whole(blob_id))

    def collect(self, roots: Sequence[str], *, grace_s: float = 86_400.0, delete: bool = True) -> int:
        """Delete what no root reaches and is older than the grace period; bytes freed, or that would be.

        Raises:
            UsageError: no roots, which is more likely a mistake than a wish to delete everything.
            NotFoundError: a root is not stored here: what it reaches is unknown. Nothing is deleted.
        """
        if not roots:
            raise UsageError("expected at least one root to keep, received none: nothing was deleted")
        with storage(f"collect blobs in {self._place}"), self._objects.locked(alone=True):
            kept = self._reached(roots)
            doomed = (each for kind in reversed(KINDS) for each in self._named(kind) if each[1] not in kept)
            return self._objects.sweep(doomed, grace_s, delete=delete)

    # --- sending ----------------------------------------------------------------------------

    def send(self, other: "Blobs", roots: Sequence[str], how: "Sending | None" = None) -> int:
        """Copy what these roots reach and another store lacks, verified; bytes that were sent.

        Raises:
            NotFoundError, CorruptError: something of it is not here, or damaged. Nothing that names it is sent.
        """
        with storage(f"copy blobs from {self._place} to {other.place}"):
            wholes, lists, trees = dict[str, None](), dict[str, bytes](), dict[str, bytes]()
            for root in roots:
                if not _is_id(root):
                    raise NotFoundError(f"expected the id of a blob stored in {self._place}, received {root!r}")
                manifest = self._objects.get("trees", root)
                if manifest is not None:
                    trees[root] = self._verified("trees", root, manifest)
                files = (self._tree(root) or {}) if manifest is not None else {root: (root, _SMALL)}
                for blob_id, size in files.values():
                    chunks = self._list(blob_id) if size >= _SMALL else None
                    wholes.update(dict.fromkeys([blob_id] if chunks is None else [chunk for chunk, _ in chunks]))
                    if chunks is not None:
                        lists[blob_id] = canonical_json(chunks)
            return other.receive(list(wholes), self._wholes, lists, trees, how or Sending())

    def receive(
        self,
        wholes: Sequence[str],
        read: Callable[[Sequence[str]], Iterator[bytes]],
        lists: Mapping[str, bytes],
        trees: Mapping[str, bytes],
        how: "Sending",
    ) -> int:
        """Store what another store has: what is here already is not read there; bytes of what was.

        Raises:
            CorruptError: a list is not of what its name says (with `how.looks`).
        """
        received = 0
        with storage(f"store blobs in {self._place}"), self._objects.locked(alone=False):
            with self._objects.together() as put:
                for start in range(0, len(wholes), _AT_ONCE):
                    names = wholes[start : start + _AT_ONCE]
                    lacking = list(names) if how.again else self._lacking(names, renew=how.renews)
                    for name, data in zip(lacking, read(lacking), strict=True):
                        put("whole", name, data)
                        received += len(data)
            for name, data in lists.items():
                self._receive_list(name, data, how)
            for name, data in trees.items():
                self._objects.put("trees", name, data)
        return received

    def _lacking(self, names: Sequence[str], *, renew: bool) -> list[str]:
        """Those that are not here; the time of the others is renewed, as they may be about to be collected."""
        return self._objects.renew(names) if renew else self._objects.lacking(names)

    def _receive_list(self, name: str, data: bytes, how: "Sending") -> None:
        """Put a list of chunks, unless another is here that is whole: of lists the name is no hash."""
        here = self._objects.get("lists", name)
        if here is not None and here != data and not how.again and self.contains(name):
            return
        if here is None and how.looks:
            hasher = blake3()
            for chunk in self._wholes([chunk for chunk, _ in msgspec.json.decode(data, type=list[tuple[str, int]])]):
                hasher.update(chunk)
            if hasher.hexdigest() != name:
                raise CorruptError(
                    f"expected the chunks of blob {name}, received a list of others: have it pushed again with --repair"
                )
        self._objects.put("lists", name, data)

    @property
    def place(self) -> str:
        """Where it is: a folder, or a URL."""
        return self._place

    # --- forgetting ---------------------------------------------------------------------------

    def rewrite(self, change: Callable[[bytes], bytes | None]) -> Rewritten:
        """Store again what `change` makes of blobs, beside them; which trees hold a file that it would change."""
        with storage(f"write blobs in {self._place} again"), self._objects.locked(alone=True):
            trees = {name: self._tree(name) or {} for name in self._objects.names("trees")}
            in_trees = {blob_id for files in trees.values() for blob_id, _ in files.values()}
            renamed, marked, left = dict[str, str](), set[str](), set[str]()
            for name in self._blobs():
                new = change(b"".join(self._pieces(name)))
                if new is not None and name in in_trees:
                    marked.add(name)
                elif new == b"":
                    left.add(name)
                elif new is not None:
                    renamed[name] = self._put(new)[0]
        holding = (tree for tree, files in trees.items() if any(blob_id in marked for blob_id, _ in files.values()))
        return Rewritten(renamed=renamed, trees=frozenset(holding), left=frozenset(left))

    def discard(self, ids: Iterable[str]) -> None:
        """Delete blobs and trees now, with the chunks and files that no other has."""
        with storage(f"delete blobs in {self._place}"), self._objects.locked(alone=True):
            doomed = {*ids}
            files = {each for tree in doomed for each, _ in (self._tree(tree) or {}).values()}
            trees = [self._tree(name) or {} for name in self._objects.names("trees") if name not in doomed]
            doomed |= files - {blob_id for tree in trees for blob_id, _ in tree.values()}
            chunks = {chunk for name in doomed for chunk, _ in self._list(name) or ()}
            others = [name for name in self._objects.names("lists") if name not in doomed]
            doomed |= chunks - {chunk for name in others for chunk, _ in self._list(name) or ()}
            there = [each for kind in reversed(KINDS) for each in self._named(kind) if each[1] in doomed]
            self._objects.sweep(there, -math.inf)

    # --- encryption -----------------------------------------------------------------------------

    def encrypt(self, *, look: bool = False) -> tuple[int, int]:
        """Write again what is not under the newest key, or `look` at it: how many objects, and how many are damaged.

        Others may put and read meanwhile, and it may be stopped and begun again.

        Raises:
            MissingKeyError: the key of an object is not here.
        """
        if not isinstance(self._objects, EncryptedObjects):
            raise UsageError(f"expected blobs that can be encrypted, received those in {self._place}")
        with storage(f"encrypt the blobs in {self._place}"):
            return self._objects.encrypt(look=look)

    def _blobs(self) -> list[str]:
        """The ids of all blobs: what is a chunk of one alone is none."""
        lists = list(self._objects.names("lists"))
        chunks = {chunk for name in lists for chunk, _ in self._list(name) or ()}
        return [*lists, *sorted({*self._objects.names("whole")} - chunks)]

    def _named(self, kind: Kind) -> Iterator[tuple[Kind, str]]:
        return ((kind, name) for name in self._objects.names(kind))

    def problem(self) -> str | None:
        """Why it cannot be used at the moment; None when it can, as far as is known."""
        return self._objects.problem()

    # --- writing ------------------------------------------------------------------------------

    def _put(self, data: bytes | Path) -> tuple[str, int]:
        """Store bytes or a file; the id and the size."""
        with self._objects.together() as put:
            if isinstance(data, Path):
                stored = self._put_file(str(data), put, self._objects.put)
            elif len(data) >= _SMALL:
                stored = self._cut(io.BytesIO(data), put)
            else:
                stored = _Stored(digest(data), len(data))
                self._objects.put("whole", stored.id, bytes(data))
        self._put_lists([stored])
        return stored.id, stored.size

    def _put_file(self, path: str, put: Put, put_small: Put, *, cut: bool = True) -> "_Stored":
        """Store a file, a small one, or any that is not `cut`, by `put_small`; the list of chunks is not put yet.

        Raises:
            DataError: it changed while it was read.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # of a million files, objects would take as long again
        try:
            before = os.fstat(descriptor)
            if cut and before.st_size >= _SMALL:
                stored, data = self._cut(io.FileIO(descriptor, closefd=False), put), None
            else:
                data = _all_of(descriptor, before.st_size + 1)
                stored = _Stored(digest(data), len(data))
            require_unchanged(path, before, os.fstat(descriptor), stored.size)
        finally:
            os.close(descriptor)
        if data is not None:
            put_small("whole", stored.id, data)
        return stored

    def _put_loose(self, path: str) -> "_Stored":
        """Store a file as an object of its own."""
        return self._put_file(path, self._objects.put, self._objects.put, cut=False)

    def _cut(self, stream: io.FileIO | io.BytesIO, put: Put) -> "_Stored":
        """Put the chunks of a large blob by what puts them."""
        from bakeoff.stores.chunking import chunks

        hasher, listed, size = blake3(), list[tuple[str, int]](), 0
        for chunk in chunks(stream, hasher.update):
            listed.append((digest(chunk), len(chunk)))
            size += len(chunk)
            put("whole", listed[-1][0], chunk)
        return _Stored(hasher.hexdigest(), size, listed)

    def _put_lists(self, stored: Iterable["_Stored"]) -> None:
        """Put the lists of chunks of what is large; after the chunks."""
        for each in stored:
            if each.chunks:
                self._objects.put("lists", each.id, canonical_json(each.chunks))

    def _put_files(
        self,
        files: Mapping[str, str | tuple[str, int]],
        links: Mapping[str, str],
        executable: frozenset[str] = frozenset(),
        *,
        cut: bool = True,
    ) -> FileTree:
        """Lists and the manifest are written after the pack whose objects they name."""
        known = {name: file for name, file in files.items() if not isinstance(file, str)}
        new = {name: file for name, file in files.items() if isinstance(file, str)}
        self._renew(known.values())
        if not cut or (len(new) < _LOOSE and all(os.stat(file).st_size < _SMALL for file in new.values())):  # noqa: PTH116
            stored = dict(zip(new, at_once(self._put_loose, new.values()), strict=True))
        else:
            with self._objects.together() as put:
                put_small = put if len(new) >= _LOOSE else self._objects.put
                stored = {name: self._put_file(file, put, put_small) for name, file in new.items()}
        self._put_lists(stored.values())
        listed = known | {name: (each.id, each.size) for name, each in stored.items()}
        manifest = tree_manifest(listed, links, executable & listed.keys())
        self._objects.put("trees", digest(manifest), manifest)
        return FileTree(id=digest(manifest), files=listed)

    def _renew(self, files: Collection[tuple[str, int]]) -> None:
        """Renew the time of what is stored: what was put long ago may be about to be collected."""
        large = [blob_id for blob_id, size in files if size >= _SMALL]
        names = [blob_id for blob_id, _ in files] + [chunk for each in large for chunk, _ in self._list(each) or ()]
        odd = next((name for name in names if not _is_id(name)), None)
        lacking = [odd] if odd is not None else self._objects.renew(names) if names else []
        if lacking:
            raise NotFoundError(f"expected the id of a blob stored in {self._place}, received {lacking[0]!r}")

    def _fetch_file(self, blob_id: str, target: Path) -> None:
        """The whole is verified as it is written; only if it is not what it was, chunk by chunk."""
        for joined in (True, False):
            pieces = self._pieces(blob_id, joined=joined)
            try:
                whole_write(target, pieces, staging=target.parent, private=False, write=write_sparse)
            except CorruptError:
                if not joined:
                    raise
            else:
                return

    def _fetch_tree(self, tree: "_Manifest", target: Path, *, joined: bool = False) -> None:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"expected a folder that is new or empty, received {str(target)!r}")
        inside = target.is_dir() and _stays(target)
        staging = temporary(target if inside else target.parent)
        try:
            staging.mkdir()
            folders = {str(staging)}
            as_they_come(_write_files, self._unwritten(tree, staging, folders, joined=joined))
            for name, to in links_inside(tree.links).items():
                Path(_place(staging, name, folders)).symlink_to(to)
            if inside:
                for each in staging.iterdir():
                    each.replace(target / each.name)
                staging.rmdir()
            else:
                staging.replace(target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise

    def _unwritten(
        self, tree: "_Manifest", staging: Path, folders: set[str], *, joined: bool
    ) -> "Iterator[list[_Unwritten]]":
        """The files of a tree, verified, small ones together; the folders that they go to are made."""
        small = [name for name, file in tree.files.items() if file.size < _SMALL]
        wholes = self._wholes([tree.files[name].id for name in small])
        pieces = chain(
            zip(small, ([whole] for whole in wholes), strict=True),
            ((name, self._pieces(file.id, joined=joined)) for name, file in tree.files.items() if file.size >= _SMALL),
        )
        waiting, size, folder = list[_Unwritten](), 0, ""
        for name, content in pieces:
            before, folder = folder, name.rpartition("/")[0]
            # Threads that make files in the same folder wait for each other: each gets all of one, or of several.
            if size > _TOGETHER or (len(waiting) >= _WRITTEN and folder != before):
                yield waiting
                waiting, size = [], 0
            mode = 0o777 if name in tree.executable else 0o666  # less what the user's umask takes away
            waiting.append((_place(staging, name, folders), mode, content))
            size += tree.files[name].size
        yield waiting

    # --- reading ------------------------------------------------------------------------------

    def _pieces(self, blob_id: str, *, joined: bool = False) -> Iterator[bytes]:
        """The content in pieces; the last one comes only after the whole has been verified.

        Args:
            blob_id: of a blob, or a tree.
            joined: verify the whole alone, in large pieces. Else each chunk, too: what is wrong is named, and read from
                another place if it is there twice.
        """
        if _is_id(blob_id):  # looked for first: most blobs are small, and each look may be a call over the network
            with suppress(NotFoundError):
                whole = self._whole(blob_id)
                yield whole
                return
        chunks = self._list(blob_id)
        if chunks is None:
            manifest = self._objects.get("trees", blob_id) if _is_id(blob_id) else None
            yield self._whole(blob_id) if manifest is None else self._verified("trees", blob_id, manifest)
            return
        yield from ahead(self._joined(blob_id, chunks)) if joined else ahead(self._chunks(blob_id, chunks), _AHEAD)

    def _joined(self, blob_id: str, chunks: Sequence[tuple[str, int]]) -> Iterator[bytes]:
        hasher, at = blake3(), 0
        for data, lengths in self._objects.joined([chunk_id for chunk_id, _ in chunks]):
            hasher.update(data)
            listed = [size for _, size in chunks[at : at + len(lengths)]]
            at += len(lengths)
            if listed != [*lengths] or (at == len(chunks) and hasher.hexdigest() != blob_id):
                raise self._list_damaged(blob_id)  # or a chunk of it
            yield data

    def _chunks(self, blob_id: str, chunks: Sequence[tuple[str, int]]) -> Iterator[bytes]:
        hasher, wholes = blake3(), self._wholes([chunk_id for chunk_id, _ in chunks])
        for index, (chunk_id, size) in enumerate(chunks):
            try:
                chunk = next(wholes)
            except NotFoundError as error:
                raise CorruptError(
                    f"blob {blob_id} lacks its chunk {chunk_id} ({self._objects.where('whole', chunk_id)}): {_RESTORE}"
                ) from error
            hasher.update(chunk)
            # Of a list the name is no hash: a size in it is wrong if the chunk has another.
            if len(chunk) != size or (index == len(chunks) - 1 and hasher.hexdigest() != blob_id):
                raise self._list_damaged(blob_id)
            yield chunk

    def _wholes(self, ids: Sequence[str]) -> Iterator[bytes]:
        """Many small blobs or chunks, verified, read together; damaged ones and those lacking one by one."""
        for blob_id, data in zip(ids, self._objects.wholes(ids), strict=True):
            yield data if data is not None and digest(data) == blob_id else self._whole(blob_id)

    def _whole(self, blob_id: str) -> bytes:
        damaged: tuple[str, bytes] | None = None
        for path, data in self._objects.copies("whole", blob_id) if _is_id(blob_id) else ():
            if digest(data) == blob_id:
                return data
            damaged = path, data
        if damaged is None:
            raise NotFoundError(f"expected the id of a blob stored in {self._place}, received {blob_id!r}")
        raise CorruptError(
            f"blob {blob_id} does not match its hash ({damaged[0]}, {len(damaged[1])} bytes): {_RESTORE}"
        )

    def _verified(self, kind: Kind, blob_id: str, data: bytes) -> bytes:
        if digest(data) != blob_id:
            path = self._objects.where(kind, blob_id)
            raise CorruptError(f"blob {blob_id} does not match its hash ({path}, {len(data)} bytes): {_RESTORE}")
        return data

    def _list_damaged(self, blob_id: str) -> CorruptError:
        path = self._objects.where("lists", blob_id)
        return CorruptError(f"the list of chunks of blob {blob_id} is damaged ({path}): {_RESTORE}")

    def _list(self, blob_id: str) -> list[tuple[str, int]] | None:
        data = self._objects.get("lists", blob_id) if _is_id(blob_id) else None
        if data is None:
            return None
        try:
            chunks = [(str(chunk_id), int(size)) for chunk_id, size in json.loads(data)]
        except (ValueError, TypeError):
            chunks = []
        if not chunks or not all(_is_id(chunk_id) for chunk_id, _ in chunks):
            raise self._list_damaged(blob_id)
        return chunks

    def _manifest(self, blob_id: str) -> "_Manifest | None":
        data = self._objects.get("trees", blob_id) if _is_id(blob_id) else None
        if data is None:
            return None
        try:
            manifest = msgspec.json.decode(self._verified("trees", blob_id, data), type=_Manifest)
        except msgspec.MsgspecError as error:
            raise CorruptError(f"the tree {blob_id} is no list of files: {error}; do not use it") from error
        if odd := [file.id for file in manifest.files.values() if not _is_id(file.id)]:
            raise CorruptError(f"the tree {blob_id} names {odd[0]!r}, which is the id of no blob: do not use it")
        return manifest

    def _tree(self, blob_id: str) -> dict[str, tuple[str, int]] | None:
        manifest = self._manifest(blob_id)
        return None if manifest is None else {name: (each.id, each.size) for name, each in manifest.files.items()}

    def links(self, tree_id: str) -> Mapping[str, str]:
        """Links in a tree: name → target."""
        manifest = self._manifest(tree_id)
        return {} if manifest is None else manifest.links

    def executable(self, tree_id: str) -> frozenset[str]:
        """Names of the files in a tree that are executable."""
        manifest = self._manifest(tree_id)
        return frozenset() if manifest is None else manifest.executable

    def _reached(self, roots: Sequence[str]) -> set[str]:
        reached: set[str] = set()
        for root in roots:
            if not self.contains(root):
                raise NotFoundError(f"expected roots stored in {self._place}, received {root!r}: nothing was deleted")
            reached.add(root)
            reached.update(blob_id for blob_id, _ in (self._tree(root) or {}).values())
        for blob_id in tuple(reached):
            reached.update(chunk_id for chunk_id, _ in self._list(blob_id) or ())
        return reached


_RESTORE = (
    "run 'bakeoff verify --repair' and then 'bakeoff run', which makes again what it can; or restore it from a backup"
)


class _Stored(NamedTuple):
    """A blob as it was put; a large one with the ids and sizes of its chunks."""

    id: str
    size: int
    chunks: Sequence[tuple[str, int]] = ()


class _File(msgspec.Struct):
    id: str
    size: int


class _Manifest(msgspec.Struct):
    """What `tree_manifest` writes; of before there are some without the last two."""

    files: dict[str, _File]
    links: dict[str, str] = {}
    executable: frozenset[str] = frozenset()


def _is_id(blob_id: str) -> bool:
    return _ID.fullmatch(blob_id) is not None


def _all_of(descriptor: int, most: int) -> bytes:
    """What a file has, up to so many bytes; one call gives at most two gigabytes."""
    pieces: list[bytes] = []
    while most and (piece := os.read(descriptor, most)):
        pieces.append(piece)
        most -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _write_files(files: "list[_Unwritten]") -> None:
    for path, mode, content in files:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            write_sparse(descriptor, content)
        finally:
            os.close(descriptor)


def _stays(folder: Path) -> bool:
    """Whether no other folder can take its place: it is a link, mounted, or where somebody works."""
    return folder.is_symlink() or folder.is_mount() or folder.samefile(Path())


def _place(folder: Path, name: str, made: set[str]) -> str:
    """The path of a name below a folder, in a folder that is made; a manifest may come from elsewhere.

    Raises:
        SecurityError: it is not below the folder.
    """
    if not name or "\0" in name or name.startswith("/") or ".." in name.split("/"):
        raise SecurityError(f"expected a relative path in a tree, received {name!r}: do not use this tree")
    path = f"{folder}/{name}"
    parent = path.rpartition("/")[0]
    if parent not in made:
        os.makedirs(parent, exist_ok=True)  # noqa: PTH103 - paths are texts here: of a million files, objects take long
        made.add(parent)
    return path
