"""In-memory fakes of the three stores; they pass the conformance suites that real ones pass."""

import itertools
import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.core.errors import ConflictError, NotFoundError, UsageError
from bakeoff.core.events import KINDS, Cursor, E, Event, Named, Reading, decode, encode
from bakeoff.core.hashing import canonical_json, digest, tree_manifest
from bakeoff.core.protocols import Clock
from bakeoff.core.records import Document, Experiment, Metric, Run, RunInput, RunStatus, Version, VersionKind
from bakeoff.core.types import Json

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MemoryBlobs", "MemoryEvents", "MemoryRecords"]


def _copy(value: Mapping[str, Json] | None) -> dict[str, Json]:
    """Through JSON and back, so that a caller's later changes do not reach the store."""
    try:
        return json.loads(canonical_json(value or {}))
    except (TypeError, ValueError) as error:
        raise UsageError(f"expected values that JSON can hold, received {value!r} ({error})") from error


class _Runs:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._experiments: dict[str, Experiment] = {}
        self._runs: dict[str, Run] = {}
        self._history: dict[tuple[str, str], list[Metric]] = {}
        self._ids = itertools.count(1)
        self._lock = threading.RLock()

    def experiment(self, name: str) -> Experiment:
        with self._lock:
            if name not in self._experiments:
                number = str(len(self._experiments) + 1)
                self._experiments[name] = Experiment(experiment_id=number, name=name, created_ms=self._clock())
            return self._experiments[name]

    def start(
        self,
        experiment_id: str,
        name: str,
        *,
        run_id: str | None = None,
        parent_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        with self._lock:
            if experiment_id not in {e.experiment_id for e in self._experiments.values()}:
                raise NotFoundError(f"expected the id of an experiment, received {experiment_id!r}")
            if parent_id is not None:
                self.get(parent_id)
            run_id = run_id or f"{next(self._ids):032x}"
            if run_id not in self._runs:
                self._runs[run_id] = Run(
                    run_id=run_id,
                    experiment_id=experiment_id,
                    name=name,
                    status="RUNNING",
                    start_ms=self._clock(),
                    parent_id=parent_id,
                )
            run = self._runs[run_id]
            if run.experiment_id != experiment_id:
                raise ConflictError(
                    f"run {run_id!r} belongs to experiment {run.experiment_id!r}, not {experiment_id!r}"
                )
            tagged = {**run.tags, **(tags or {})}
            self._runs[run_id] = replace(run, status="RUNNING", end_ms=None, tags=tagged)
            return self._runs[run_id]

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        inputs: Sequence[RunInput] = (),
        artifacts: Mapping[str, str] | None = None,
    ) -> None:
        with self._lock:
            run = self.get(run_id)
            for key, value in (params or {}).items():
                if run.params.get(key, value) != value:
                    raise ConflictError(
                        f"param {key!r} of run {run_id!r} is {run.params[key]!r} and cannot become {value!r}"
                    )
            latest = dict(run.metrics)
            for metric in metrics:
                history = self._history.setdefault((run_id, metric.key), [])
                if repr(metric) not in map(repr, history):
                    history.append(metric)
                if metric.key not in latest or _rank(metric) > _rank(latest[metric.key]):
                    latest[metric.key] = metric
            self._runs[run_id] = replace(
                run,
                params={**run.params, **(params or {})},
                tags={**run.tags, **(tags or {})},
                metrics=latest,
                inputs=tuple(dict.fromkeys((*run.inputs, *inputs))),
                artifacts={**run.artifacts, **(artifacts or {})},
            )

    def finish(self, run_id: str, status: RunStatus) -> None:
        with self._lock:
            self._runs[run_id] = replace(self.get(run_id), status=status, end_ms=self._clock())

    def get(self, run_id: str) -> Run:
        if run_id not in self._runs:
            raise NotFoundError(f"expected the id of a run, received {run_id!r}: `bakeoff runs` lists them")
        return self._runs[run_id]

    def search(
        self,
        experiment_id: str | None = None,
        *,
        parent_id: str | None = None,
        status: RunStatus | None = None,
        limit: int = 1000,
    ) -> list[Run]:
        found = [
            run
            for run in reversed(self._runs.values())
            if experiment_id in (None, run.experiment_id)
            and parent_id in (None, run.parent_id)
            and status in (None, run.status)
        ]
        return sorted(found, key=lambda run: -run.start_ms)[:limit]

    def history(self, run_id: str, key: str) -> list[Metric]:
        self.get(run_id)
        return sorted(self._history.get((run_id, key), []), key=lambda m: (m.step, m.time_ms))


def _rank(metric: Metric) -> tuple[int, int, float]:
    """MLflow's order of a key's values; NaN counts as zero."""
    return metric.step, metric.time_ms, 0.0 if metric.value != metric.value else metric.value


class _Versions:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._versions: dict[tuple[str, str, int], Version] = {}
        self._aliases: dict[tuple[str, str], int] = {}
        self._lock = threading.RLock()

    def register(
        self,
        kind: VersionKind,
        name: str,
        content: str,
        *,
        run_id: str | None = None,
        lineage: Mapping[str, Json] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Version:
        with self._lock:
            known = self.find(kind, name)
            for version in known:
                if (version.content, version.run_id) == (content, run_id):
                    return version
            version = Version(
                kind=kind,
                name=name,
                number=len(known) + 1,
                content=content,
                created_ms=self._clock(),
                run_id=run_id,
                lineage=_copy(lineage),
                tags=dict(tags or {}),
            )
            self._versions[kind, name, version.number] = version
            return version

    def get(self, kind: VersionKind, name: str, number: int) -> Version:
        if (kind, name, number) not in self._versions:
            raise NotFoundError(f"expected a registered {kind}, received {name!r} version {number!r}")
        aliases = (a for (n, a), to in self._aliases.items() if kind == "model" and (n, to) == (name, number))
        return replace(self._versions[kind, name, number], aliases=tuple(sorted(aliases)))

    def find(self, kind: VersionKind, name: str | None = None, *, content: str | None = None) -> list[Version]:
        keys = [
            key
            for key, version in self._versions.items()
            if key[0] == kind and name in (None, version.name) and content in (None, version.content)
        ]
        return [self.get(kind, name, number) for _, name, number in reversed(keys)]

    def set_alias(self, name: str, alias: str, number: int | None) -> None:
        with self._lock:
            if number is None:
                self._aliases.pop((name, alias), None)
            else:
                self.get("model", name, number)
                self._aliases[name, alias] = number

    def by_alias(self, name: str, alias: str) -> Version | None:
        number = self._aliases.get((name, alias))
        return None if number is None else self.get("model", name, number)

    def tag(self, kind: VersionKind, name: str, number: int, tags: Mapping[str, str]) -> None:
        with self._lock:
            version = self.get(kind, name, number)
            self._versions[kind, name, number] = replace(version, tags={**version.tags, **tags})


class _Documents:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._documents: dict[tuple[str, str], Document] = {}
        self._lock = threading.Lock()

    def get(self, collection: str, key: str) -> Document | None:
        return self._documents.get((collection, key))

    def put(self, collection: str, key: str, body: Mapping[str, Json], *, expected: int | None = None) -> Document:
        with self._lock:
            current = self._documents.get((collection, key))
            revision = current.revision if current else 0
            if expected not in (None, revision):
                raise ConflictError(
                    f"expected revision {expected} of {collection}/{key}, found {revision}: read it again and retry"
                )
            document = Document(
                collection=collection,
                key=key,
                revision=revision + 1,
                body=_copy(body),
                updated_ms=self._clock(),
            )
            self._documents[collection, key] = document
            return document

    def find(self, collection: str, prefix: str = "") -> list[Document]:
        keys = sorted(key for owner, key in self._documents if owner == collection and key.startswith(prefix))
        return [self._documents[collection, key] for key in keys]

    def delete(self, collection: str, key: str) -> None:
        with self._lock:
            self._documents.pop((collection, key), None)


class MemoryRecords:
    """Records in dictionaries."""

    def __init__(self, clock: Clock) -> None:
        self.runs = _Runs(clock)
        self.versions = _Versions(clock)
        self.documents = _Documents(clock)

    def close(self) -> None:
        """Nothing to release."""


class MemoryBlobs:
    """Blobs in a dictionary; `collect` knows no age, so any grace period above zero keeps everything."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._trees: dict[str, dict[str, str]] = {}

    def put(self, data: bytes | Path) -> str:
        """Keep bytes, or a file's content."""
        content = data.read_bytes() if isinstance(data, Path) else bytes(data)
        blob_id = digest(content)
        self._blobs[blob_id] = content
        return blob_id

    def get(self, blob_id: str) -> bytes:
        """The bytes."""
        if blob_id not in self._blobs:
            raise NotFoundError(f"expected the id of a stored blob, received {blob_id!r}")
        return self._blobs[blob_id]

    def put_tree(self, folder: Path) -> str:
        """Keep a folder's files."""
        if not folder.is_dir():
            raise UsageError(f"expected a folder, received {str(folder)!r}")
        paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
        for path in paths:
            if path.is_symlink() or not path.is_file():
                raise UsageError(f"expected regular files only, received {str(path)!r}")
        files = {path.relative_to(folder).as_posix(): self.put(path) for path in paths}
        tree_id = self.put(tree_manifest({name: (id_, len(self._blobs[id_])) for name, id_ in files.items()}))
        self._trees[tree_id] = files
        return tree_id

    def fetch(self, blob_id: str, target: Path) -> Path:
        """Write a blob or a tree."""
        if blob_id not in self._trees:
            content = self.get(blob_id)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            return target
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"expected a folder that is new or empty, received {str(target)!r}")
        target.mkdir(parents=True, exist_ok=True)
        for name, file_id in self._trees[blob_id].items():
            self.fetch(file_id, target / name)
        return target

    def contains(self, blob_id: str) -> bool:
        """Whether it is there."""
        return blob_id in self._blobs

    def intact(self, blob_id: str) -> bool:
        """Whether it is there: memory is believed."""
        return blob_id in self._blobs

    def size_bytes(self, blob_id: str) -> int:
        """Size of the blob, or of the tree's files."""
        if blob_id in self._trees:
            return sum(len(self._blobs[file_id]) for file_id in self._trees[blob_id].values())
        return len(self.get(blob_id))

    def collect(self, roots: Sequence[str], *, grace_s: float = 86_400.0, delete: bool = True) -> int:
        """Forget what no root reaches."""
        if not roots:
            raise UsageError("expected at least one root to keep, received none: nothing was deleted")
        for root in roots:
            self.get(root)
        keep = set(roots)
        keep.update(file_id for root in roots for file_id in self._trees.get(root, {}).values())
        if grace_s > 0:
            return 0
        doomed = self._blobs.keys() - keep
        if not delete:
            return sum(len(self._blobs[blob_id]) for blob_id in doomed)
        self._trees = {tree_id: files for tree_id, files in self._trees.items() if tree_id in keep}
        return sum(len(self._blobs.pop(blob_id)) for blob_id in doomed)


class MemoryEvents:
    """Events in a list; a cursor is how many of them were read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def append(self, events: Sequence[Event], *, durable: bool = True) -> None:
        """Add events; `durable` changes nothing here."""
        del durable
        now_ms = self._clock() if events else 0
        kinds = ((KINDS[type(event)], encode(event, now_ms)[1]) for event in events)
        stored = [event for kind, payload in kinds if (event := decode(kind, payload)) is not None]
        with self._lock:
            self._events += stored

    def read(
        self,
        *kinds: type[E],
        after: Cursor | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Reading[E]:
        """Events of these classes and the time, after the cursor, in the order of appending."""
        place = int(after or 0)

        def events() -> Iterator[E]:
            nonlocal place
            if place > len(self._events):
                raise NotFoundError(f"expected {place} events, found {len(self._events)}; read from the start")
            while place < len(self._events):
                event = self._events[place]
                place += 1
                early = since_ms is not None and event.time_ms < since_ms
                late = until_ms is not None and event.time_ms >= until_ms
                if isinstance(event, kinds) and not early and not late:
                    yield event

        return Reading(events(), lambda: Cursor(str(place)))

    def get(self, kind: type[Named], ids: Collection[str]) -> list[Named]:
        """The events of this class with one of these ids."""
        return [event for event in list(self._events) if isinstance(event, kind) and event.id in ids]

    def scan(self, kind: type[Event]) -> "pl.LazyFrame":
        """All events of this class as a table."""
        from bakeoff.data.event_table import of_class, table

        stored = ((seq, KINDS[type(event)], encode(event, 0)[1]) for seq, event in enumerate(self._events, 1))
        return of_class(table(stored).lazy(), kind).drop("rest")

    def compact(self) -> int:
        """There is nothing to move."""
        return 0

    def close(self) -> None:
        """Nothing to release."""
