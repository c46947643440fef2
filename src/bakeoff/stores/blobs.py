"""Content-addressed blobs and trees, in a folder or in an object store.

whole/   blobs below 1 MiB, and chunks of larger ones
lists/   of a larger blob: the ids and sizes of its chunks, so that near-identical blobs share bytes
trees/   manifests of folders: path → id and size; a tree's id is the hash of its manifest
tmp/     files being written, in a folder
damaged/ what a repair put aside
lock     of a folder: held shared while putting, exclusively while collecting
"""

import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from blake3 import blake3

from bakeoff.core.damage import Damage
from bakeoff.core.erasure import Rewritten
from bakeoff.core.errors import CorruptError, NotFoundError, SecurityError, UsageError
from bakeoff.core.hashing import canonical_json, digest, tree_manifest
from bakeoff.core.protocols import Clock
from bakeoff.stores.files import file_url, storage, temporary, whole_write
from bakeoff.stores.objects import KINDS, Kind, Objects, StoredObjects

__all__ = ["Blobs", "open_blobs"]

_SMALL = 1 << 20  # blobs below this size are stored whole
_PIECE = 1 << 20  # read at a time
_ID_LENGTH = 64


def open_blobs(url: str, *, folder: Path, clock: Clock) -> "Blobs":
    """Open the blobs at `file://PATH` (relative to `folder`); made by the first put.

    Raises:
        UsageError: another kind of URL.
    """
    return Blobs(Objects(file_url(url, folder), clock))


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
            return self._put(data)

    def get(self, blob_id: str) -> bytes:
        """Read and verify a blob (of a tree: its manifest)."""
        with storage(f"read a blob in {self._place}"):
            return b"".join(self._pieces(blob_id))

    def put_tree(self, folder: Path) -> str:
        """Store a folder's files; empty folders and permissions are not kept."""
        if not folder.is_dir():
            raise UsageError(f"expected a folder, received {str(folder)!r}")
        with storage(f"store the folder {folder} in {self._place}"), self._objects.locked(alone=False):
            manifest = tree_manifest({name: (self._put(path), path.stat().st_size) for name, path in _files(folder)})
            tree_id = digest(manifest)
            self._objects.put("trees", tree_id, manifest)
            return tree_id

    def fetch(self, blob_id: str, target: Path) -> Path:
        """Write a blob to the file `target` (replaced), or a tree into the folder `target` (new or empty).

        A copy need not survive a loss of power: what does stays here.
        """
        with storage(f"write {target}"):
            files = self._tree(blob_id)
            target.parent.mkdir(parents=True, exist_ok=True)
            if files is None:
                whole_write(target, self._pieces(blob_id), staging=target.parent, private=False)
            else:
                self._fetch_tree(files, target)
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
        with storage(f"check the blobs in {self._place}"), self._objects.locked(alone=repair):
            for kind in KINDS:
                for name in sorted(self._objects.names(kind)):
                    problem = self._problem(kind, name)
                    if problem is not None:
                        yield self._damage(kind, name, problem, repair=repair)

    def _problem(self, kind: Kind, name: str) -> str | None:
        try:
            if kind == "whole":
                self._whole(name)
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
        place = self._objects.where(kind, name)
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

    # --- forgetting ---------------------------------------------------------------------------

    def rewrite(self, change: Callable[[bytes], bytes | None]) -> Rewritten:
        """Store again what `change` makes of blobs, beside them; which trees hold a file that it would change."""
        with storage(f"write blobs in {self._place} again"), self._objects.locked(alone=True):
            trees = {name: self._tree(name) or {} for name in self._objects.names("trees")}
            in_trees = {blob_id for files in trees.values() for blob_id, _ in files.values()}
            renamed, marked = dict[str, str](), set[str]()
            for name in self._blobs():
                new = change(b"".join(self._pieces(name)))
                if new is not None and name in in_trees:
                    marked.add(name)
                elif new is not None:
                    renamed[name] = self._put(new)
        holding = (tree for tree, files in trees.items() if any(blob_id in marked for blob_id, _ in files.values()))
        return Rewritten(renamed=renamed, trees=frozenset(holding))

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

    def _blobs(self) -> list[str]:
        """The ids of all blobs: what is a chunk of one alone is none."""
        lists = list(self._objects.names("lists"))
        chunks = {chunk for name in lists for chunk, _ in self._list(name) or ()}
        return [*lists, *(name for name in self._objects.names("whole") if name not in chunks)]

    def _named(self, kind: Kind) -> Iterator[tuple[Kind, str]]:
        return ((kind, name) for name in self._objects.names(kind))

    def problem(self) -> str | None:
        """Why it cannot be used at the moment; None when it can, as far as is known."""
        return self._objects.problem()

    # --- writing ------------------------------------------------------------------------------

    def _put(self, data: bytes | Path) -> str:
        if isinstance(data, Path) and data.stat().st_size < _SMALL:
            data = data.read_bytes()
        if isinstance(data, Path) or len(data) >= _SMALL:
            return self._put_large(data)
        return self._put_whole(bytes(data))

    def _put_whole(self, data: bytes) -> str:
        blob_id = digest(data)
        self._objects.put("whole", blob_id, data)
        return blob_id

    def _put_large(self, data: bytes | Path) -> str:
        from bakeoff.stores.chunking import chunks  # numpy takes a while to import

        hasher = blake3()
        listed: list[tuple[str, int]] = []
        for chunk in chunks(_read(data)):
            hasher.update(chunk)
            listed.append((self._put_whole(chunk), len(chunk)))
        blob_id = hasher.hexdigest()
        self._objects.put("lists", blob_id, canonical_json(listed))
        return blob_id

    def _fetch_tree(self, files: dict[str, tuple[str, int]], target: Path) -> None:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"expected a folder that is new or empty, received {str(target)!r}")
        staging = temporary(target.parent)
        try:
            staging.mkdir()
            for name, (blob_id, _) in files.items():
                path = staging / _safe(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                whole_write(path, self._pieces(blob_id), staging=path.parent, private=False)
            staging.replace(target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise

    # --- reading ------------------------------------------------------------------------------

    def _pieces(self, blob_id: str) -> Iterator[bytes]:
        """The content in pieces; the last one comes only after the whole has been verified."""
        whole = self._objects.get("whole", blob_id) if _is_id(blob_id) else None
        if whole is not None:  # looked for first: most blobs are small, and each look may be a call over the network
            yield self._verified("whole", blob_id, whole)
            return
        chunks = self._list(blob_id)
        if chunks is None:
            manifest = self._objects.get("trees", blob_id) if _is_id(blob_id) else None
            yield self._whole(blob_id) if manifest is None else self._verified("trees", blob_id, manifest)
            return
        hasher = blake3()
        for index, (chunk_id, _) in enumerate(chunks):
            try:
                chunk = self._whole(chunk_id)
            except NotFoundError as error:
                raise CorruptError(
                    f"blob {blob_id} lacks its chunk {chunk_id} ({self._objects.where('whole', chunk_id)}): {_RESTORE}"
                ) from error
            hasher.update(chunk)
            if index == len(chunks) - 1 and hasher.hexdigest() != blob_id:
                raise self._list_damaged(blob_id)
            yield chunk

    def _whole(self, blob_id: str) -> bytes:
        data = self._objects.get("whole", blob_id) if _is_id(blob_id) else None
        if data is None:
            raise NotFoundError(f"expected the id of a blob stored in {self._place}, received {blob_id!r}")
        return self._verified("whole", blob_id, data)

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
        if not chunks:
            raise self._list_damaged(blob_id)
        return chunks

    def _tree(self, blob_id: str) -> dict[str, tuple[str, int]] | None:
        manifest = self._objects.get("trees", blob_id) if _is_id(blob_id) else None
        if manifest is None:
            return None
        files = json.loads(self._verified("trees", blob_id, manifest))["files"]
        return {name: (file["id"], file["size"]) for name, file in files.items()}

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


def _is_id(blob_id: str) -> bool:
    return len(blob_id) == _ID_LENGTH and set(blob_id) <= set("0123456789abcdef")


def _read(data: bytes | Path) -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield from (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
        return
    with data.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Relative names and paths of the files, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UsageError(f"expected regular files only, received {str(path)!r}: copy its content instead")
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            try:
                name.encode()
            except UnicodeEncodeError as error:
                raise UsageError(f"expected file names in UTF-8, received {str(path)!r}: rename it") from error
            yield name, path


def _safe(name: str) -> Path:
    """The name as a path below a folder; a manifest may come from elsewhere."""
    path = PurePosixPath(name)
    if not name or "\0" in name or path.is_absolute() or ".." in path.parts:
        raise SecurityError(f"expected a relative path in a tree, received {name!r}: do not use this tree")
    return Path(path)
