"""Erase a person from all that a project keeps, list the models that learned from them, and look what is left."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from bakeoff.actions.erased_content import erased, holds
from bakeoff.core.erasure import ErasingEvents, ErasingRecords, PersonKey, RewritableBlobs, Rewritten
from bakeoff.core.errors import UsageError
from bakeoff.core.events import KINDS
from bakeoff.core.queries import Query, every
from bakeoff.core.records import RunChange, VersionChange
from bakeoff.core.refs import BlobRef, blobs_of
from bakeoff.core.releases import Release
from bakeoff.loop.cache import COLLECTION as STEPS
from bakeoff.loop.references import references
from bakeoff.registry.lineage import label
from bakeoff.registry.register import all_versions
from bakeoff.security.audit import AuditLog, current_user
from bakeoff.serve.releases import RELEASES, all_releases, endpoints, routed

if TYPE_CHECKING:
    from bakeoff.core.protocols import BlobStore, Clock, EventLog, RecordStore
    from bakeoff.core.records import Version

__all__ = ["Forgotten", "LearnedModel", "forget", "holding", "places"]

P = TypeVar("P")
MADE_AGAIN = frozenset({"cache", "work"})
"""Folders of the state folder whose files can be made again."""
SAFE_TO_LOSE = frozenset({"damaged"})
"""Folders of stores with what a repair put aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedModel:
    """A model version that was fitted on a person's rows.

    Attributes:
        version: NAME/NUMBER.
        holds: whether its files hold the key itself: a vocabulary, or rows that it looks answers up in.
        live: whether an endpoint serves it.
        removed: whether it was removed for that.
    """

    version: str
    holds: bool
    live: bool
    removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was erased, and what is left.

    Attributes:
        events: predictions and feedback.
        records: rows and values in the records, by table.
        blobs: tables and documents that were written again.
        files: files of caches that were deleted.
        datasets: dataset versions that had the person's rows, which are null now.
        models: those that learned from these datasets.
        remaining: what holds the key still, which is left: files of the project, snapshots and other trees of files (by
            the record that needs them), and blobs whose form is not known.
    """

    events: int
    records: Mapping[str, int]
    blobs: int
    files: int
    datasets: tuple[str, ...]
    models: tuple[LearnedModel, ...]
    remaining: tuple[str, ...]


def forget(
    records: "RecordStore",
    blobs: "BlobStore",
    events: "EventLog",
    key: PersonKey,
    *,
    folder: Path,
    state: Path,
    clock: "Clock",
    models: bool,
    encrypted: bool = False,
) -> Forgotten:
    """Erase a person; with `models`, also versions whose files hold the key, unless they are live.

    Of stores that are `encrypted`, what a repair put aside goes as a whole: nobody can look what it holds.

    It may be repeated: what was left by one that was stopped is erased by the next.

    Raises:
        UsageError: a store cannot forget. ConflictError: another process writes to the log.
    """
    erasing_records, erasing_blobs = _able(records, ErasingRecords), _able(blobs, RewritableBlobs)
    erased_events = _able(events, ErasingEvents).erase(key)
    rewritten = erasing_blobs.rewrite(lambda data: erased(key, data))
    datasets, learned = _learned(records, rewritten)
    _forget_steps(records, {*rewritten.renamed, *rewritten.trees})
    gone = _remove_models(records, rewritten.trees, learned) if models else frozenset[str]()
    AuditLog(records.documents, clock).erase(key.in_value, who=current_user())
    counts = erasing_records.erase(key, rewritten.renamed)
    needed = {each.blob for each in references(records)}
    erasing_blobs.discard({*rewritten.renamed, *(tree for tree in rewritten.trees if tree not in needed)})
    files = _clear_caches(key, state, encrypted=encrypted)
    return Forgotten(
        events=erased_events,
        records=counts,
        blobs=len(rewritten.renamed),
        files=files,
        datasets=tuple(label(each) for each in datasets),
        models=tuple(_with_removed(each, gone) for each in learned),
        remaining=tuple(holding(records, blobs, events, key, folder)),
    )


def holding(
    records: "RecordStore", blobs: "BlobStore", events: "EventLog", key: PersonKey, folder: Path
) -> Iterator[str]:
    """What holds the key: files of a folder, then content and events of the stores, whose files need not show it.

    Small files lie together in packs, large ones in pieces, and either may be encrypted.
    """
    yield from places(key, folder)
    # For nothing, nothing is written: what would be erased is named alone.
    looked = _able(blobs, RewritableBlobs).rewrite(lambda data: None if erased(key, data) is None else b"")
    needing = {each.blob: each.owner for each in references(records) if each.blob in looked.trees}
    for tree in sorted(looked.trees):
        yield f"{needing.get(BlobRef(tree), 'files that nothing needs')}: in tree {tree}"
    yield from (f"blob {blob}" for blob in sorted(looked.left))
    count = sum(key.in_value(msgspec.to_builtins(event)) for event in events.read(*KINDS))
    if count:
        yield f"{count} events of the log"


def places(key: PersonKey, folder: Path) -> Iterator[str]:
    """The files of a folder that hold the key, by their paths from there."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and holds(key, path):
            yield path.relative_to(folder).as_posix()


def _able(store: object, port: type[P]) -> P:
    if not isinstance(store, port):
        raise UsageError(
            f"expected stores that can forget, received {type(store).__name__}, which cannot: erase the person there "
            "by its own means"
        )
    return store


def _learned(records: "RecordStore", rewritten: Rewritten) -> "tuple[list[Version], list[LearnedModel]]":
    """Dataset versions whose rows held the key, and the models that were fitted on these."""
    touched = {*rewritten.renamed, *rewritten.trees}
    datasets = [each for each in all_versions(records.versions, "dataset") if touched & {*each.refs()}]
    contents = {each.content for each in datasets}
    live = {release.blob_id for release in _routed(records)}
    learned = [
        LearnedModel(version=label(each), holds=bool(rewritten.trees & {*each.refs()}), live=each.content in live)
        for each in all_versions(records.versions, "model")
        if each.model_origin.dataset_version in contents or touched & {*each.refs()}
    ]
    return datasets, learned


def _routed(records: "RecordStore") -> Iterator[Release]:
    for name in endpoints(records.documents):
        yield from routed(records.documents, name)


def _forget_steps(records: "RecordStore", touched: set[str]) -> None:
    """Steps that made or read what was written again are not done: the next run begins with the rows that are left."""
    for document in records.documents.find(STEPS):
        if touched & {*blobs_of(document.body)}:
            records.documents.delete(STEPS, document.key)


def _remove_models(records: "RecordStore", trees: frozenset[str], learned: Iterable[LearnedModel]) -> frozenset[str]:
    """Remove versions whose files hold the key, with their releases; those that are live stay."""
    gone: set[str] = set()
    for each in (model for model in learned if model.holds and not model.live):
        name, _, number = each.version.rpartition("/")
        records.versions.apply([VersionChange(kind="model", name=name, number=int(number), remove=True)])
        gone.add(each.version)
    live = {release.release_id for release in _routed(records)}
    for release in all_releases(records.documents):
        if release.blob_id in trees and release.release_id not in live:
            records.documents.delete(RELEASES, f"{release.endpoint}/{release.release_id}")
    served = {each.blob_id for each in _routed(records)}
    for run in every(records.runs.search, Query(lifecycle=None)):
        spare = {path: None for path, blob in run.artifacts.items() if blob in trees and blob not in served}
        if spare and run.lifecycle == "active":
            records.runs.apply([RunChange(run_id=run.run_id, artifacts=dict[str, str | None](spare))])
    return frozenset(gone)


def _with_removed(model: LearnedModel, gone: frozenset[str]) -> LearnedModel:
    return LearnedModel(version=model.version, holds=model.holds, live=model.live, removed=model.version in gone)


def _clear_caches(key: PersonKey, state: Path, *, encrypted: bool) -> int:
    """Delete files that can be made again, or that nothing reads, where they hold the key; how many."""
    count = 0
    for path in sorted(state.rglob("*")):
        inside = path.relative_to(state).parts
        aside = bool(SAFE_TO_LOSE & {*inside})
        spare = inside[0] in MADE_AGAIN or aside or path.name.endswith(".backup")
        if not spare or not path.is_file() or path.is_symlink() or not ((encrypted and aside) or holds(key, path)):
            continue
        if path.name == "replies.sqlite":
            _forget_replies(key, path)  # they were paid for: those of others stay
        if (encrypted and aside) or holds(key, path):
            path.unlink()
        count += 1
    return count


def _forget_replies(key: PersonKey, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        rows: list[tuple[Any, bytes]] = connection.execute("SELECT key, body FROM replies").fetchall()
        connection.executemany("DELETE FROM replies WHERE key = ?", [(k,) for k, body in rows if key.in_bytes(body)])
        connection.execute("VACUUM")
