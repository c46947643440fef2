"""The snapshots in a remote, as several projects push and pull them.

snapshots/NAME/CONTENT.json  what a snapshot is; written once, after its blobs
tags/NAME.json               tag → content; each push merges its own into what is there
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core.errors import ConflictError, CorruptError, NotFoundError, UsageError
from bakeoff.core.hashing import canonical_json
from bakeoff.core.lineage import SnapshotOrigin
from bakeoff.core.records import Version
from bakeoff.registry.lineage import NUMBER

if TYPE_CHECKING:
    from bakeoff.stores.blobs import Blobs
    from bakeoff.stores.remotes import NamedObject, Remote

__all__ = ["SharedSnapshot", "SharedSnapshots", "checked_name", "checked_tags"]

RECORDS, TAGS = "snapshots", "tags"
LONGEST_BYTES = 255 - len(".json")
"""Of a name: file systems take 255 bytes for a file."""
TRIES = 100
"""Writers at once that one push outlasts."""


class SharedSnapshot(msgspec.Struct, kw_only=True):
    """A snapshot as a remote knows it."""

    name: str
    content: str
    created_ms: int
    lineage: SnapshotOrigin
    tags: list[str] = []


class SharedSnapshots:
    """Those of a remote."""

    def __init__(self, remote: "Remote") -> None:
        self._remote = remote

    @property
    def blobs(self) -> "Blobs":
        """Their files."""
        return self._remote.blobs

    def add(self, version: Version) -> None:
        """Write what a snapshot is, unless it is there; what it names is stored already."""
        path = f"{RECORDS}/{checked_name(version.name)}/{version.content}.json"
        there = self._remote.get(path)
        try:
            if there is not None and self._read(there):
                return
        except CorruptError:
            pass
        known = {"name": version.name, "content": version.content, "created_ms": version.created_ms}
        body = json.dumps(known | {"lineage": dict(version.lineage)}, ensure_ascii=False).encode()
        self._remote.put(path, body, None if there is None else there.revision)  # else another has just done it

    def tag(self, name: str, tags: Mapping[str, str]) -> dict[str, str]:
        """Give contents of a name their tags, beside those that others gave; the contents that had them before.

        Raises:
            CorruptError: the tags there cannot be read. ConflictError: others write all the time.
        """
        path, moved = f"{TAGS}/{name}.json", dict[str, str]()
        for _ in range(TRIES):
            there = self._remote.get(path)
            known = self._tags(name, there)
            moved |= {tag: known[tag] for tag, content in tags.items() if known.get(tag, content) != content}
            merged = {**known, **tags}
            if merged == known:
                return moved
            if self._remote.put(path, canonical_json(merged), None if there is None else there.revision):
                return moved
        raise ConflictError(
            f"expected to write the tags in {self._remote.where(path)}, others did each time: try again"
        )

    def snapshots(self, names: Sequence[str] = ()) -> list[SharedSnapshot]:
        """All of them, or those of some names, with their tags, oldest first.

        Raises:
            NotFoundError: there is none, or none of one of the names. CorruptError: what is there is no snapshot.
        """
        paths = [path for path in self._remote.paths(RECORDS) if path.endswith(".json")]
        known = sorted({path.split("/")[1] for path in paths})
        missing = [name for name in names if name not in known]
        if missing or not known:
            wanted = f" named {', '.join(map(repr, missing))}" if missing else ""
            raise NotFoundError(
                f"expected snapshots{wanted} in {self._remote.where()}, found {', '.join(known[:5]) or 'none'}"
            )
        wanted_paths = [path for path in paths if not names or path.split("/")[1] in names]
        sent = [self._read(each) for each in self._remote.get_all(wanted_paths)]
        for name in dict.fromkeys(each.name for each in sent):
            there = self._remote.get(f"{TAGS}/{name}.json")
            tags = {} if there is None else self._tags(name, there)
            for each in sent:
                if each.name == name and there is not None:
                    each.tags = [tag for tag, content in tags.items() if content == each.content]
        return sorted(sent, key=lambda each: each.created_ms)

    def _tags(self, name: str, there: "NamedObject | None") -> dict[str, str]:
        """The tags of a name; where none were written yet, those of before, which stood with each snapshot."""
        if there is None:
            paths = self._remote.paths(f"{RECORDS}/{name}")
            sent = sorted(map(self._read, self._remote.get_all(paths)), key=lambda each: each.created_ms)
            return {tag: each.content for each in sent for tag in each.tags}
        where = self._remote.where(there.path)
        try:
            tags = msgspec.json.decode(there.data, type=dict[str, str])
            checked_tags(list(tags))
        except (msgspec.MsgspecError, UnicodeDecodeError, UsageError) as error:
            raise CorruptError(
                f"{where}: expected tags as 'bakeoff data push' writes them, found: {error}; remove it, and push those "
                "that you want again"
            ) from error
        return tags

    def _read(self, there: "NamedObject") -> SharedSnapshot:
        """What a remote says of a snapshot, which others may have written."""
        where = self._remote.where(there.path)
        try:
            sent = msgspec.json.decode(there.data, type=SharedSnapshot)
            checked_name(sent.name)
            checked_tags(sent.tags)
        except (msgspec.MsgspecError, UnicodeDecodeError, UsageError) as error:
            raise CorruptError(
                f"{where}: expected a snapshot as 'bakeoff data push' writes it, found: {error}"
            ) from error
        if [sent.name, f"{sent.content}.json"] != there.path.split("/")[1:]:
            raise CorruptError(
                f"{where}: expected the snapshot that its place says, found {sent.name!r} with the content "
                f"{sent.content!r}: push it again, or remove the file"
            )
        return sent


def checked_name(name: str) -> str:
    """A name that is one folder's in every remote.

    Raises:
        UsageError: it is none.
    """
    if not name or "/" in name or "\0" in name or name.startswith("."):
        raise UsageError(f"expected a name without '/' that begins with no '.', received {name!r}: use --name")
    size_bytes = len(name.encode(errors="surrogateescape"))
    if size_bytes > LONGEST_BYTES:
        raise UsageError(
            f"expected a name of at most {LONGEST_BYTES} bytes, as a remote's files are called so, received {name!r}, "
            f"which has {size_bytes}: use --name"
        )
    return name


def checked_tags(tags: Sequence[str]) -> None:
    """See that they are names of versions, and no numbers.

    Raises:
        UsageError: one of them is not.
    """
    odd = [tag for tag in tags if not tag or "/" in tag or NUMBER.match(tag)]
    if odd:
        raise UsageError(f"expected tags that are no numbers and have no '/', received {', '.join(map(repr, odd))}")
