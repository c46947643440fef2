"""Snapshots of files and folders as versions: taken, compared, checked out, shared with others."""

import json
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import msgspec

from bakeoff.core import narrow
from bakeoff.core.errors import ConflictError, NotFoundError, UsageError
from bakeoff.core.hashing import digest, digest_file
from bakeoff.core.lineage import SnapshotOrigin
from bakeoff.core.protocols import Clock, FileTrees
from bakeoff.core.records import RegisteredChange, Version
from bakeoff.core.types import Json
from bakeoff.project.known_snapshots import KnownSnapshots
from bakeoff.project.shared_snapshots import SharedSnapshots, checked_name, checked_tags
from bakeoff.registry.lineage import NUMBER, label
from bakeoff.registry.register import all_versions
from bakeoff.stores.blobs import Blobs, Sending
from bakeoff.stores.folder_files import FolderFiles, folder_files
from bakeoff.stores.folder_index import FolderIndex

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.project.project import Project
    from bakeoff.registry.table_difference import TableDifference

__all__ = ["FileChange", "FilesDifference", "ProjectSnapshots", "SnapshotTransfer"]

STATE = frozenset({".bakeoff"})
"""Folders that are never part of a snapshot."""
TABLES = frozenset({".csv", ".tsv", ".tab", ".parquet", ".jsonl", ".ndjson", ".json", ".gz", ".zst", ".bz2"})
SHORTEST = 6
"""Characters of a hash that name a snapshot."""
How: TypeAlias = Literal["added", "removed", "changed", "renamed"]


class _Entry(NamedTuple):
    """A file of one side: its hash (of a link, that of its target's name) and size, and whether it is executable."""

    blob: str
    size_bytes: int
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A file of the second side; `before` is its name on the first, where that is another.

    `executable` says whether its owner may execute it, where that differs.
    """

    name: str
    how: How
    size_bytes: int = 0
    before: str | None = None
    executable: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesDifference:
    """What differs of two sides: files, and of a table, its rows."""

    first: str
    second: str
    unchanged: int
    files: tuple[FileChange, ...] = ()
    table: "TableDifference | None" = None

    def __bool__(self) -> bool:
        return bool(self.files) or (self.table is not None and (self.table.other_rows or self.table.other_columns))

    def to_json(self) -> dict[str, Json]:
        """As one JSON document."""
        return msgspec.to_builtins(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTransfer:
    """Snapshots that were sent or fetched, and the bytes that the other side lacked.

    `moved_tags` are tags that it took from another version, a pull here and a push there: `NAME/TAG` → the version that
    had it.
    """

    snapshots: tuple[str, ...]
    bytes_sent: int
    moved_tags: Mapping[str, str] = field(default_factory=dict[str, str])


class ProjectSnapshots:
    """The snapshots of a project, as `project.snapshots`.

    One is named `NAME/NUMBER` or `NAME/TAG`, by NAME alone (the newest), or by the beginning of its content's hash.
    """

    def __init__(self, project: "Project", clock: Clock) -> None:
        self._project, self._clock = project, clock
        self._known = KnownSnapshots(self._cache / "known", project.config.store.records, project.folder)

    def __repr__(self) -> str:
        return f"ProjectSnapshots({len(self.list())})"

    def take(self, path: str | Path, *, name: str | None = None, tags: Sequence[str] = ()) -> Version:
        """Keep a file or a folder as it is now; what did not change since the last snapshot is not read.

        Links that stay inside are kept as links. The same content gives the same version.

        Args:
            path: the file or folder.
            name: of the snapshot; by default that of the file or folder.
            tags: aliases of the version.

        Raises:
            NotFoundError: there is nothing. UsageError: something is no file, or a link leads outside.
            DataError: a file changed while it was read.

        Example:
            >>> project.snapshots.take(project.folder / "films.csv")
            Version(snapshot films.csv/1, ...)
        """
        source = Path(path).resolve()
        if not source.exists():
            raise NotFoundError(f"expected a file or folder, received {str(path)!r}, where there is nothing")
        is_file, executable = source.is_file(), False
        if not is_file and not source.is_dir():
            raise UsageError(
                f"expected a file or folder, received {str(path)!r}, a device, pipe or socket: copy it first"
            )
        name = checked_name(name or source.name)
        if is_file:
            content, files, size = self._project.blobs.put(source), 1, source.stat().st_size
            executable = _is_executable(source)
        else:
            content, files, size = self._put_folder(name, source)
        origin = SnapshotOrigin(path=str(path), is_file=is_file, files=files, size_bytes=size, executable=executable)
        versions = self._project.records.versions
        version = versions.register("snapshot", name, content, lineage=origin.to_json())
        return self.tag(label(version), *tags) if tags else version

    def list(self, name: str | None = None) -> list[Version]:
        """All snapshots, newest first; or those of a name.

        Example:
            >>> [version.name for version in project.snapshots.list()]
            ['films.csv']
        """
        versions = self._known.versions(lambda: all_versions(self._project.records.versions, "snapshot"))
        return [each for each in versions if name in {None, each.name}]

    def get(self, which: str) -> Version:
        """The snapshot of a name.

        Raises:
            NotFoundError: there is none.

        Example:
            >>> project.snapshots.get("films.csv").snapshot_origin.files
            1
        """
        owner, _, tail = which.rpartition("/")
        if owner and NUMBER.match(tail):
            numbered = (each for each in self.list(owner) if each.number == int(tail))
            return next(numbered, None) or self._project.records.versions.get("snapshot", owner, int(tail))
        for version in self.list():
            if version.name == which or (owner == version.name and tail in version.aliases):
                return version
            if len(which) >= SHORTEST and version.content.startswith(which):
                return version
        known = ", ".join(label(each) for each in self.list()[:5]) or "none yet; 'bakeoff data snapshot' takes one"
        raise NotFoundError(f"expected a snapshot, received {which!r}; there are: {known}")

    def files(self, which: str) -> Mapping[str, tuple[str, int]]:
        """What a snapshot holds: name → hash and size of each file.

        Example:
            >>> [(name, size > 1000) for name, (_, size) in project.snapshots.files("films.csv").items()]
            [('films.csv', True)]
        """
        version = self.get(which)
        origin = version.snapshot_origin
        if origin.is_file:
            return {version.name: (version.content, origin.size_bytes)}
        files = narrow.json_object(json.loads(self._project.blobs.get(version.content))["files"])
        return {name: (str(each["id"]), int(each["size"])) for name, each in files.items()}

    def status(self, path: str | Path, *, name: str | None = None) -> FilesDifference:
        """What of a folder (or file) changed since its newest snapshot; files with the same stamp are not read.

        Raises:
            NotFoundError: there is no snapshot of that name.

        Example:
            >>> bool(project.snapshots.status(project.folder / "films.csv"))
            False
        """
        source = Path(path).resolve()
        newest = self.get(name or source.name)
        if source.is_file():
            same = digest_file(source) == newest.content
            changes = () if same else (FileChange(name=source.name, how="changed", size_bytes=source.stat().st_size),)
            return FilesDifference(first=label(newest), second=str(path), unchanged=int(same), files=changes)
        looked_ns = time.time_ns()
        files = folder_files(source, links=True, without=STATE)
        place = self._index(newest.name, source)
        index, known = FolderIndex.read(place), dict[str, tuple[str, int]]()
        if index is not None and index.content == newest.content:
            if index.is_as(files):
                return FilesDifference(first=label(newest), second=str(path), unchanged=len(files.names))
            held, names = index.moved(files)
            before = {name: _Entry(*each, name in index.executable) for name, each in held.items()}
        else:
            before, names, known = self._listed(newest), files.names, index.known(files) if index is not None else {}
        now = {name: _look(files, name, known.get(name)) for name in names}
        changes = tuple(_changes(before, now))
        if not changes:
            ids = self._listed(newest) if len(now) < len(files.names) else now
            FolderIndex.of(newest.content, files, _ids(ids), looked_ns=looked_ns).write(place)
        unchanged = len(files.names) - sum(before.get(name) != each for name, each in now.items())
        return FilesDifference(first=label(newest), second=str(path), unchanged=unchanged, files=changes)

    def checkout(self, which: str, target: str | Path) -> Path:
        """Write a snapshot into a new or empty folder, or to a file; every byte is verified.

        Raises:
            UsageError: the folder has files. NotFoundError: there is no such snapshot. CorruptError: it is damaged.

        Example:
            >>> project.snapshots.checkout("films.csv", project.folder / "again.csv").name
            'again.csv'
        """
        version, place = self.get(which), Path(target)
        origin = version.snapshot_origin
        if origin.is_file and place.is_dir():
            place = place / version.name
        made = self._project.blobs.fetch(version.content, place)
        if origin.is_file and origin.executable:
            mode = made.stat().st_mode
            made.chmod(mode | (mode & 0o444) >> 2)  # for whom it is readable
        return made

    def tag(self, which: str, *tags: str) -> Version:
        """Give a snapshot aliases; one that another has moves.

        Example:
            >>> project.snapshots.tag("films.csv", "first").aliases
            ('first',)
        """
        version = self.get(which)
        checked_tags(tags)
        aliases: dict[str, int | None] = dict.fromkeys(tags, version.number)
        versions = self._project.records.versions
        versions.apply([RegisteredChange(kind="snapshot", name=version.name, aliases=aliases)])
        return versions.get("snapshot", version.name, version.number)

    def verify(self, which: str | None = None) -> "list[str]":
        """Files of a snapshot (or of all) that are not what was stored, or gone.

        Example:
            >>> project.snapshots.verify()
            []
        """
        blobs, damaged = self._project.blobs, list[str]()
        for version in [self.get(which)] if which else self.list():
            if blobs.intact(version.content):
                continue
            try:
                files = self.files(label(version))
            except Exception:  # noqa: BLE001 - whatever is wrong with the list of files, all of them are lost
                damaged.append(label(version))
                continue
            damaged += [f"{label(version)}: {name}" for name, (blob, _) in files.items() if not blobs.intact(blob)]
        return damaged

    def difference(
        self, first: str, second: str, *, key: Sequence[str] = (), table: str | None = None
    ) -> FilesDifference:
        """What differs of two snapshots, dataset versions (`dataset:2`), or files and folders here.

        Args:
            first: the one before.
            second: the one after.
            key: columns that tell rows of a table apart.
            table: the name of the file to compare row by row, where there are several.

        Raises:
            NotFoundError: one of them is nowhere. DataError: the tables cannot be compared by this key.

        Example:
            >>> other = project.folder / "other.csv"
            >>> _ = other.write_text((project.folder / "films.csv").read_text().replace("1999", "2000"))
            >>> differs = project.snapshots.difference("films.csv", str(other))
            >>> differs.table.rows, differs.table.added == differs.table.removed
            ((300, 300), True)
        """
        from bakeoff.registry.table_difference import table_difference

        before_side, after_side = self._side(first), self._side(second)
        if before_side is None or after_side is None:
            changes, unchanged = (), 0
            pair = self._table(first, table), self._table(second, table)
        else:
            changes = tuple(_changes(before_side, after_side))
            unchanged = sum(before_side.get(name) == each for name, each in after_side.items())
            pair = self._pair(first, second, (before_side, after_side), changes, table)
        if pair is None:
            return FilesDifference(first=first, second=second, unchanged=unchanged, files=changes)
        (before, lost_before), (after, lost_after) = pair
        differs = replace(table_difference(before, after, key), unread=(lost_before, lost_after))
        return FilesDifference(first=first, second=second, unchanged=unchanged, files=changes, table=differs)

    def push(self, remote: str, *which: str, repair: bool = False) -> SnapshotTransfer:
        """Send snapshots (all without a name) to where others have theirs; what is there already is not sent.

        The tags of what is sent go with it. One that another version has there moves; `moved_tags` tells which had it.

        Args:
            remote: a folder that others reach, its `file://` URL, or `s3://BUCKET/PREFIX`.
            which: snapshots.
            repair: send all of it, so that what is damaged there becomes whole.

        Raises:
            UsageError: the remote is none of these. StoreError: it cannot be reached or written.

        Example:
            >>> project.snapshots.push(remote).snapshots
            ('films.csv/1',)
        """
        there = self._remote(remote)
        versions = [self.get(each) for each in which] or self.list()
        how = Sending(renews=False, again=repair)
        sent = self._files.send(there.blobs, [version.content for version in versions], how) if versions else 0
        for version in versions:
            there.add(version)
        moved = dict[str, str]()
        for name in dict.fromkeys(version.name for version in versions):
            own = [version for version in versions if version.name == name]
            tags = {tag: version.content for version in reversed(own) for tag in version.aliases}
            for tag, content in there.tag(name, tags).items():
                known = next((label(each) for each in self.list(name) if each.content == content), None)
                moved[f"{name}/{tag}"] = known or f"{name} {content[:12]}"
        return SnapshotTransfer(snapshots=tuple(label(each) for each in versions), bytes_sent=sent, moved_tags=moved)

    def pull(self, remote: str, *names: str) -> SnapshotTransfer:
        """Fetch all snapshots of a remote (or those of these names) that are not here, with their tags.

        A tag that another version has here moves, as the remote says; `moved_tags` tells which version had it.

        Raises:
            NotFoundError: there is nothing, or none of one of these names. CorruptError: what is there is no snapshot.

        Example:
            >>> project.snapshots.pull(remote).bytes_sent
            0
        """
        there = self._remote(remote)
        sent = there.snapshots(names)
        received = there.blobs.send(self._files, [each.content for each in sent], Sending(looks=True))
        fetched: list[str] = []
        versions = self._project.records.versions
        before = self._tags()
        for each in sent:
            version = versions.register("snapshot", each.name, each.content, lineage=each.lineage.to_json())
            if each.tags:
                self.tag(label(version), *each.tags)
            fetched.append(label(version))
        after = self._tags()
        moved = {tag: was for tag, was in before.items() if after[tag] != was}
        return SnapshotTransfer(snapshots=tuple(fetched), bytes_sent=received, moved_tags=moved)

    def _tags(self) -> dict[str, str]:
        return {f"{each.name}/{tag}": label(each) for each in self.list() for tag in each.aliases}

    # --- within ---------------------------------------------------------------------------------

    def _put_folder(self, name: str, source: Path) -> tuple[str, int, int]:
        """Content, number of files, bytes."""
        looked_ns = time.time_ns()
        entries = folder_files(source, links=True, without=STATE)
        place = self._index(name, source)
        index, sizes = FolderIndex.read(place), entries.sizes()
        size, count = sum(sizes.values()), len(sizes) - len(entries.links)
        if index is not None and index.is_as(entries) and self._is_held(name, index.content):
            return index.content, count, size
        paths, executable = entries.paths(), frozenset(entries.executable)
        known = index.known(entries) if index is not None else {}
        files = {each: known.get(each, path) for each, path in paths.items()}
        try:
            tree = self._trees.put_files(files, entries.links, executable)
        except NotFoundError:  # what was known is not stored any more
            tree = self._trees.put_files(paths, entries.links, executable)
        ids = dict(tree.files) | {each: (digest(to.encode()), 0) for each, to in entries.links.items()}
        again = folder_files(source, links=True, without=STATE)
        if not again.is_as(entries):
            moved = entries.other_names(again)
            raise ConflictError(
                f"{source} changed while its snapshot was taken ({', '.join(moved[:3]) or 'files came or went'}): "
                "try again when nothing writes to it"
            )
        FolderIndex.of(tree.id, entries, ids, looked_ns=looked_ns).write(place)
        return tree.id, count, size

    def _is_held(self, name: str, content: str) -> bool:
        """Whether it is stored, and a snapshot keeps it: what no record needs may be collected at any moment."""
        return self._project.blobs.contains(content) and any(each.content == content for each in self.list(name))

    @cached_property
    def _trees(self) -> FileTrees:
        blobs = self._project.blobs
        if not isinstance(blobs, FileTrees):
            raise UsageError(f"expected blobs that take files one by one, as those in a folder; {blobs!r} do not")
        return blobs

    @property
    def _files(self) -> Blobs:
        blobs = self._project.blobs
        if not isinstance(blobs, Blobs):
            raise UsageError("expected blobs in a folder or a bucket ([store] blobs) to send from and to")
        return blobs

    def _index(self, name: str, source: Path) -> Path:
        return self._cache / digest(f"{name}\0{source}".encode())[:32]

    @property
    def _cache(self) -> Path:
        return self._project.folder / ".bakeoff" / "cache" / "snapshots"

    def _remote(self, remote: str) -> SharedSnapshots:
        from bakeoff.stores.remotes import open_remote

        return SharedSnapshots(open_remote(remote, clock=self._clock, keyring=self._project.keyring))

    def _here(self, which: str) -> Path | None:
        """The file or folder of that name, unless a snapshot's version is called so."""
        known = any(which == label(each) for each in self.list())
        return None if known or not Path(which).exists() else Path(which)

    def _side(self, which: str) -> dict[str, _Entry] | None:
        """The files of a side; None of a dataset version."""
        if which.startswith("dataset:"):
            return None
        path = self._here(which)
        if path is None:
            return self._listed(self.get(which))
        if path.is_dir():
            files = folder_files(path, links=True, without=STATE)
            return {name: _look(files, name) for name in files.names}
        return {path.name: _Entry(digest_file(path), path.stat().st_size)}

    def _listed(self, version: Version) -> dict[str, _Entry]:
        """Files and links of a snapshot."""
        files = self.files(label(version))
        if version.snapshot_origin.is_file:
            return {name: _Entry(*each) for name, each in files.items()}
        executable = self._trees.executable(version.content)
        listed = {name: _Entry(*each, name in executable) for name, each in files.items()}
        links = self._trees.links(version.content)
        return listed | {name: _Entry(digest(to.encode()), 0) for name, to in links.items()}

    def _pair(
        self,
        first: str,
        second: str,
        sides: Sequence[Mapping[str, _Entry]],
        changes: Sequence[FileChange],
        table: str | None,
    ) -> "tuple[tuple[pl.DataFrame, int], tuple[pl.DataFrame, int]] | None":
        """The two tables that are compared row by row, if there are two."""
        single = all(len(side) == 1 for side in sides)
        if single and table is None and any(Path(name).suffix in TABLES for name in sides[0]):
            same = next(iter(sides[0].values())) == next(iter(sides[1].values()))
            return None if same else (self._table(first, None), self._table(second, None))
        changed = [each.name for each in changes if each.how == "changed" and Path(each.name).suffix in TABLES]
        name = table or (changed[0] if len(changed) == 1 else None)
        return None if name is None else (self._table(first, name), self._table(second, name))

    def _table(self, which: str, name: str | None) -> "tuple[pl.DataFrame, int]":
        """A table by its side and name, and how many of its lines are no rows; a file is read as sources are."""
        import tempfile

        from bakeoff.data.reading import read
        from bakeoff.data.sources import resolve
        from bakeoff.loop.dataset import load_table

        if which.startswith("dataset:"):
            gathered = self._project.datasets(which.removeprefix("dataset:"))[0].dataset_origin.gathered
            return load_table(self._project.blobs, str((gathered or {})["snapshot_blob"])), 0
        with tempfile.TemporaryDirectory() as scratch:
            path = self._here(which)
            if path is not None:
                path = path / name if name and path.is_dir() else path
            else:
                files = self.files(which)
                wanted = name or (next(iter(files)) if len(files) == 1 else None)
                if wanted is None:
                    raise UsageError(
                        f"expected the name of the table to compare (--table): {which} has {len(files)} files"
                    )
                if wanted not in files:
                    raise NotFoundError(f"expected a file of {which}, received {wanted!r}")
                path = self._project.blobs.fetch(files[wanted][0], Path(scratch) / Path(wanted).name)
            located = resolve(
                str(path.resolve()), folder=Path(scratch), cache=Path(scratch) / "cache", progress=_ignore
            )
            config = self._project.config.data.model_copy(update={"query": None, "sources": {}})
            reading = read(config, {"source": located})
            return reading.table, reading.rejected.height


def _ignore(line: str) -> None:
    del line


def _is_executable(file: Path) -> bool:
    return bool(file.stat().st_mode & stat.S_IXUSR)


def _ids(entries: Mapping[str, _Entry]) -> dict[str, tuple[str, int]]:
    return {name: (each.blob, each.size_bytes) for name, each in entries.items()}


def _look(files: FolderFiles, name: str, known: tuple[str, int] | None = None) -> _Entry:
    """A file as it is now; what is known of it is not read."""
    if (to := files.links.get(name)) is not None:
        return _Entry(digest(to.encode()), 0)
    path = Path(files.path(name))
    blob, size = known or (digest_file(path), path.stat().st_size)
    return _Entry(blob, size, name in files.executable)


def _changes(before: Mapping[str, _Entry], now: Mapping[str, _Entry]) -> "list[FileChange]":
    """Files that differ, by name; one that is gone and came back under another name was renamed."""
    gone: dict[_Entry, list[str]] = {}
    for name, what in before.items():
        if name not in now:
            gone.setdefault(what, []).append(name)
    changes: list[FileChange] = []
    for name, what in now.items():
        if (was := before.get(name)) is not None:
            if was != what:
                mode = what.executable if was.executable != what.executable else None
                changes.append(FileChange(name=name, how="changed", size_bytes=what.size_bytes, executable=mode))
        elif gone.get(what):
            past = gone[what].pop()
            changes.append(FileChange(name=name, how="renamed", size_bytes=what.size_bytes, before=past))
        else:
            changes.append(FileChange(name=name, how="added", size_bytes=what.size_bytes))
    changes += [
        FileChange(name=name, how="removed", size_bytes=what.size_bytes)
        for what, names in gone.items()
        for name in names
    ]
    return sorted(changes, key=lambda each: each.name)
