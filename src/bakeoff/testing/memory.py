"""In-memory fakes of the three stores; they pass the conformance suites that real ones pass."""

import itertools
import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bakeoff.core.errors import ConflictError, NotFoundError, StoreError, UsageError
from bakeoff.core.events import (
    KINDS,
    Cursor,
    E,
    Event,
    Named,
    PredictionEvent,
    RawPrediction,
    Reading,
    as_raw,
    decode,
    encode,
)
from bakeoff.core.hashing import canonical_json, digest, tree_manifest
from bakeoff.core.protocols import Clock
from bakeoff.core.queries import Expr, Order, Page, Query, QueryField, Value, every, holds
from bakeoff.core.records import (
    Document,
    DocumentChange,
    Experiment,
    ExperimentChange,
    Metric,
    MetricCurve,
    MetricRange,
    Registered,
    RegisteredChange,
    Run,
    RunChange,
    RunGroup,
    RunInput,
    Version,
    VersionChange,
    VersionKind,
    unknown_experiment,
    unknown_run,
    unknown_version,
)
from bakeoff.core.types import Json

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

__all__ = ["MemoryBlobs", "MemoryEvents", "MemoryRecords"]


def _copy(value: Mapping[str, Json] | None) -> dict[str, Json]:
    """Through JSON and back, so that a caller's later changes do not reach the store."""
    try:
        return json.loads(canonical_json(value or {}))
    except (TypeError, ValueError) as error:
        raise UsageError(f"expected values that JSON can hold, received {value!r} ({error})") from error


class _Experiments:
    def __init__(self, clock: Clock, lock: "threading.RLock") -> None:
        self._clock, self._lock = clock, lock
        self.known: dict[str, Experiment] = {}
        self.runs: dict[str, Run] = {}

    def open(self, name: str) -> Experiment:
        with self._lock:
            return next((each for each in self.known.values() if each.name == name), None) or self.create(name)

    def create(
        self, name: str, *, tags: Mapping[str, str] | None = None, location: str = "", experiment_id: str | None = None
    ) -> Experiment:
        with self._lock:
            if any(each.name == name for each in self.known.values()):
                raise ConflictError(f"expected the name of a new experiment; there is one called {name!r}")
            number, now = experiment_id or str(len(self.known) + 1), self._clock()
            made = Experiment(experiment_id=number, name=name, created_ms=now, updated_ms=now, tags=dict(tags or {}))
            self.known[number] = replace(made, location=location)
            return self.known[number]

    def get(self, experiment_id: str) -> Experiment:
        if experiment_id not in self.known:
            raise unknown_experiment(experiment_id)
        return self.known[experiment_id]

    def search(self, query: Query) -> Page[Experiment]:
        return _page(reversed(self.known.values()), query, lambda each: -each.created_ms)

    def apply(self, changes: Sequence[ExperimentChange]) -> None:
        with self._lock:
            before, runs = dict(self.known), dict(self.runs)
            try:
                for change in changes:
                    self._change(change)
            except BaseException:
                self.known, self.runs = before, runs
                raise

    def _change(self, change: ExperimentChange) -> None:
        known = self.get(change.experiment_id)
        if change.name is not None:
            if any(each.name == change.name and each is not known for each in self.known.values()):
                raise ConflictError(f"expected a name that no experiment has; {change.name!r} is taken")
            known = replace(known, name=change.name)
        if change.lifecycle is not None:
            known = replace(known, lifecycle=change.lifecycle)
            for run in self.runs.values():
                if run.experiment_id == change.experiment_id:
                    self.runs[run.run_id] = replace(run, lifecycle=change.lifecycle)
        tags = _tagged(known.tags, change.tags, change.remove_tags)
        self.known[change.experiment_id] = replace(known, tags=tags, updated_ms=self._clock())


class _Runs:
    def __init__(self, clock: Clock, experiments: _Experiments, lock: "threading.RLock") -> None:
        self._clock, self._lock = clock, lock
        self._experiments = experiments
        self._history: dict[tuple[str, str], list[Metric]] = {}
        self._ids = itertools.count(1)

    @property
    def _runs(self) -> dict[str, Run]:
        return self._experiments.runs

    def start(
        self,
        experiment_id: str,
        name: str,
        *,
        run_id: str | None = None,
        parent_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        start_ms: int | None = None,
        location: str = "",
    ) -> Run:
        with self._lock:
            if self._experiments.get(experiment_id).lifecycle == "deleted":
                raise ConflictError(f"expected an active experiment, {experiment_id!r} is deleted: restore it first")
            if parent_id is not None:
                self.get(parent_id)
            run_id = run_id or f"{next(self._ids):032x}"
            if run_id not in self._runs:
                self._runs[run_id] = Run(
                    run_id=run_id,
                    experiment_id=experiment_id,
                    name=name,
                    status="RUNNING",
                    start_ms=self._clock() if start_ms is None else start_ms,
                    parent_id=parent_id,
                    location=location,
                )
            run = self._runs[run_id]
            if run.experiment_id != experiment_id:
                raise ConflictError(f"expected experiment {run.experiment_id!r}, received {experiment_id!r}")
            if run.lifecycle == "deleted":
                raise ConflictError(f"expected an active run, {run_id!r} is deleted: restore it first")
            tagged = {**run.tags, **(tags or {})}
            self._runs[run_id] = replace(run, status="RUNNING", end_ms=None, tags=tagged)
            return self._runs[run_id]

    def apply(self, changes: Sequence[RunChange]) -> None:
        with self._lock:
            runs, history = dict(self._runs), {key: list(values) for key, values in self._history.items()}
            try:
                for change in changes:
                    self._change(change)
            except BaseException:
                self._experiments.runs, self._history = runs, history
                raise

    def _change(self, change: RunChange) -> None:
        if (new := change.new) is not None:
            begin: Any = {"parent_id": new.parent_id, "start_ms": new.start_ms, "location": new.location}
            self.start(new.experiment_id, new.name, run_id=change.run_id, **begin)
        run = self.get(change.run_id)
        if run.lifecycle == "deleted" and change.lifecycle is None:
            raise ConflictError(f"expected an active run, {run.run_id!r} is deleted: restore it first")
        for key, value in change.params.items():
            if run.params.get(key, value) != value:
                raise ConflictError(
                    f"param {key!r} of run {run.run_id!r} is {run.params[key]!r} and cannot become {value!r}"
                )
        latest = dict(run.metrics)
        for metric in change.metrics:
            history = self._history.setdefault((run.run_id, metric.key), [])
            if repr(metric) not in map(repr, history):
                history.append(metric)
            if metric.key not in latest or _rank(metric) > _rank(latest[metric.key]):
                latest[metric.key] = metric
        ended = change.status in {"FINISHED", "FAILED", "KILLED"} and change.end_ms is None
        self._runs[run.run_id] = replace(
            run,
            name=run.name if change.name is None else change.name,
            status=change.status or run.status,
            end_ms=self._clock() if ended else run.end_ms if change.end_ms is None else change.end_ms,
            lifecycle=change.lifecycle or run.lifecycle,
            params={**run.params, **change.params},
            tags=_tagged(run.tags, change.tags, change.remove_tags),
            metrics=latest,
            inputs=_once((*run.inputs, *change.inputs)),
            artifacts={**run.artifacts, **change.artifacts},
        )

    def get(self, run_id: str) -> Run:
        if run_id not in self._runs:
            raise unknown_run(run_id)
        return self._runs[run_id]

    def search(self, query: Query) -> Page[Run]:
        return _page(reversed(self._runs.values()), query, lambda run: -run.start_ms)

    def groups(self, query: Query, by: QueryField | None = None, *, metrics: Sequence[str] = ()) -> Sequence[RunGroup]:
        if by is not None and by.kind in {"metric", "input"}:
            raise UsageError(f"expected an attribute, param or tag to group by; received a {by.kind}")
        everything = replace(query, limit=len(self._runs) or 1, page=None)
        together: dict[str | None, list[Run]] = {}
        for run in self.search(everything).items:
            value = None if by is None else _value(run, by)
            together.setdefault(None if value is None else str(value), []).append(run)
        made = [_group(value, of, metrics) for value, of in together.items()]
        return sorted(made, key=lambda each: (-each.runs, each.value or ""))[: query.limit]

    def history(self, run_id: str, key: str, *, limit: int | None = None, page: str | None = None) -> Page[Metric]:
        self.get(run_id)
        values = sorted(self._history.get((run_id, key), []), key=lambda m: (m.step, m.time_ms))
        start = int(page or 0)
        end = len(values) if limit is None else start + limit
        return Page(items=tuple(values[start:end]), following=str(end) if end < len(values) else None)

    def curves(self, run_ids: Sequence[str], key: str) -> Mapping[str, MetricCurve]:
        histories = {run_id: self.history(run_id, key).items for run_id in run_ids}
        return {run_id: _curve(values) for run_id, values in histories.items() if values}


def _curve(values: Sequence[Metric]) -> MetricCurve:
    import numpy as np

    return MetricCurve(
        step_n=np.array([each.step for each in values], np.int64),
        time_ms_n=np.array([each.time_ms for each in values], np.int64),
        value_n=np.array([each.value for each in values], np.float64),
    )


def _group(value: str | None, runs: Sequence[Run], metrics: Sequence[str]) -> RunGroup:
    ranges: dict[str, MetricRange] = {}
    for key in metrics:
        values = [run.metrics[key].value for run in runs if key in run.metrics]
        if numbers := [each for each in values if each == each]:  # noqa: PLR0124 - NaN is none
            mean = sum(numbers) / len(numbers)
            ranges[key] = MetricRange(runs=len(numbers), least=min(numbers), mean=mean, most=max(numbers))
    return RunGroup(value=value, runs=len(runs), newest_ms=max(run.start_ms for run in runs), metrics=ranges)


def _once(inputs: Sequence[RunInput]) -> tuple[RunInput, ...]:
    """Each input as it was logged first."""
    known: dict[tuple[str, str, str], RunInput] = {}
    for each in inputs:
        known.setdefault((each.name, each.version, each.context), each)
    return tuple(known.values())


def _rank(metric: Metric) -> tuple[int, int, float]:
    """MLflow's order of a key's values; NaN counts as zero.

    Written anew: a fake that took the order from the database's room would share its faults, which no test of the two
    against each other could find.
    """
    return metric.step, metric.time_ms, 0.0 if metric.value != metric.value else metric.value


def _tagged(tags: Mapping[str, str], new: Mapping[str, str], remove: Collection[str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key not in remove} | dict(new)


def _page(
    things: Iterable[T],
    query: Query,
    newest: Callable[[T], int | tuple[int, str]],
    of: Callable[[T, QueryField], Value] | None = None,
) -> Page[T]:
    """What a query finds among things that stand newest first; `of` tells what one of them has of a field."""
    value = of or _value
    if query.limit < 1:
        raise UsageError(f"expected a limit of 1 or more; received {query.limit}")
    alive = [each for each in things if query.lifecycle in {None, getattr(each, "lifecycle", query.lifecycle)}]
    matching = [each for each in alive if holds(query.where, lambda wanted, each=each: value(each, wanted))]
    matching.sort(key=newest)
    for order in reversed(query.order):
        matching = _sorted(matching, order, value)
    place = query.page or "0"
    if not place.isdigit():
        raise UsageError(f"expected a page that an earlier answer named; received {query.page!r}")
    start, end = int(place), int(place) + query.limit
    return Page(items=tuple(matching[start:end]), following=str(end) if end < len(matching) else None)


def _sorted(things: list[T], order: Order, value: Callable[[T, QueryField], Value]) -> list[T]:
    """In this order, NaN and then what lacks a value last; of equals the order stays."""
    present = [each for each in things if value(each, order.field) is not None]
    nan = [each for each in present if value(each, order.field) != value(each, order.field)]
    numbers = [each for each in present if each not in nan]

    def rank(each: T) -> Any:
        return value(each, order.field)

    numbers.sort(key=rank, reverse=order.descending)
    return numbers + nan + [each for each in things if each not in present]


def _value(thing: object, wanted: QueryField) -> Value:
    """What a noun has of a field."""
    if wanted.kind == "attribute":
        if not hasattr(thing, wanted.key):
            raise UsageError(f"expected an attribute of {type(thing).__name__}; received {wanted.key!r}")
        return getattr(thing, wanted.key)
    if wanted.kind == "tag":
        tags: Mapping[str, str] = getattr(thing, "tags")  # noqa: B009 - all that is searched has some
        return tags.get(wanted.key)
    if not isinstance(thing, Run):
        raise UsageError(f"expected an attribute or tag of {type(thing).__name__}; received a {wanted.kind}")
    if wanted.kind == "param":
        return thing.params.get(wanted.key)
    metric = thing.metrics.get(wanted.key)
    return None if metric is None else metric.value


class _Versions:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._versions: dict[tuple[str, str, int], Version] = {}
        self._names: dict[tuple[str, str], Registered] = {}
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
        description: str = "",
        always: bool = False,
    ) -> Version:
        with self._lock:
            for version in () if always else self._versions.values():
                if (version.kind, version.name, version.content, version.run_id) == (kind, name, content, run_id):
                    return self.get(kind, name, version.number)
            entry, now = self._name(kind, name), self._clock()
            version = Version(
                kind=kind,
                name=name,
                number=entry.last_number + 1,
                content=content,
                created_ms=now,
                updated_ms=now,
                run_id=run_id,
                lineage=_copy(lineage),
                tags=dict(tags or {}),
                description=description,
            )
            self._versions[kind, name, version.number] = version
            self._names[kind, name] = replace(entry, last_number=version.number, updated_ms=version.created_ms)
            return version

    def _name(self, kind: VersionKind, name: str) -> Registered:
        if (kind, name) not in self._names:
            now = self._clock()
            self._names[kind, name] = Registered(kind=kind, name=name, created_ms=now, updated_ms=now, last_number=0)
        return self._names[kind, name]

    def get(self, kind: VersionKind, name: str, number: int) -> Version:
        if (kind, name, number) not in self._versions:
            raise unknown_version(kind, name, number)
        aliases = (alias for alias, to in self._names[kind, name].aliases.items() if to == number)
        return replace(self._versions[kind, name, number], aliases=tuple(sorted(aliases)))

    def by_alias(self, name: str, alias: str) -> Version | None:
        entry = self._names.get(("model", name))
        number = entry.aliases.get(alias) if entry else None
        return None if number is None else self.get("model", name, number)

    def search(self, query: Query) -> Page[Version]:
        versions = [self.get(each.kind, each.name, each.number) for each in reversed(self._versions.values())]
        return _page(versions, query, lambda each: -each.created_ms)

    def registered(self, query: Query) -> Page[Registered]:
        return _page(reversed(self._names.values()), query, lambda each: -each.created_ms)

    def apply(self, changes: Sequence[RegisteredChange | VersionChange]) -> None:
        with self._lock:
            versions, names = dict(self._versions), dict(self._names)
            try:
                for change in changes:
                    self._change(change)
            except BaseException:
                self._versions, self._names = versions, names
                raise

    def _change(self, change: RegisteredChange | VersionChange) -> None:
        if isinstance(change, VersionChange):
            self._change_version(change)
            return
        if change.new and (change.kind, change.name) in self._names:
            raise ConflictError(f"expected the name of a new {change.kind}; there is one called {change.name!r}")
        if change.remove:
            self._names.pop((change.kind, change.name), None)
            self._versions = {at: v for at, v in self._versions.items() if at[:2] != (change.kind, change.name)}
            return
        if change.rename is not None:
            self._rename(change.kind, change.name, change.rename)
            change = replace(change, name=change.rename, rename=None)
        entry = self._name(change.kind, change.name)
        for number in change.aliases.values():
            if number is not None:
                self.get(change.kind, change.name, number)
        aliases = {alias: to for alias, to in {**entry.aliases, **change.aliases}.items() if to is not None}
        self._names[change.kind, change.name] = replace(
            entry,
            tags=_tagged(entry.tags, change.tags, change.remove_tags),
            description=entry.description if change.description is None else change.description,
            aliases=aliases,
            updated_ms=self._clock(),
        )

    def _change_version(self, change: VersionChange) -> None:
        version, at = self.get(change.kind, change.name, change.number), (change.kind, change.name, change.number)
        entry = self._names[change.kind, change.name]
        if change.remove:
            del self._versions[at]
            rest = {alias: number for alias, number in entry.aliases.items() if number != change.number}
            self._names[change.kind, change.name] = replace(entry, aliases=rest)
            return
        changed = change.description is not None or change.stage is not None
        self._versions[at] = replace(
            version,
            tags=_tagged(version.tags, change.tags, change.remove_tags),
            description=version.description if change.description is None else change.description,
            stage=version.stage if change.stage is None else change.stage,
            updated_ms=self._clock() if changed else version.updated_ms,
        )

    def _rename(self, kind: VersionKind, name: str, new: str) -> None:
        if (kind, new) in self._names:
            raise ConflictError(f"expected a name that no {kind} has; {new!r} is taken")
        self._names[kind, new] = replace(self._names.pop((kind, name)), name=new)
        for (of_kind, of_name, number), version in list(self._versions.items()):
            if (of_kind, of_name) == (kind, name):
                del self._versions[of_kind, of_name, number]
                self._versions[kind, new, number] = replace(version, name=new)


class _Documents:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fields: dict[tuple[str, str], Mapping[QueryField, str | float]] = {}
        self._documents: dict[tuple[str, str], Document] = {}
        self._lock = threading.Lock()

    def get(self, collection: str, key: str) -> Document | None:
        return self._documents.get((collection, key))

    def put(self, collection: str, key: str, body: Mapping[str, Json], *, expected: int | None = None) -> Document:
        with self._lock:
            return self._put(collection, key, body, expected)

    def _expect(self, collection: str, key: str, expected: int | None) -> int:
        current = self._documents.get((collection, key))
        revision = current.revision if current else 0
        if expected not in (None, revision):
            raise ConflictError(
                f"expected revision {expected} of {collection}/{key}, found {revision}: read it again and retry"
            )
        return revision

    def _put(self, collection: str, key: str, body: Mapping[str, Json], expected: int | None) -> Document:
        revision = self._expect(collection, key, expected)
        current = self._documents.get((collection, key))
        document = Document(
            collection=collection,
            key=key,
            revision=revision + 1,
            body=_copy(body),
            updated_ms=(now := self._clock()),
            created_ms=current.created_ms if current else now,
        )
        self._documents[collection, key] = document
        return document

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        with self._lock:
            before, fields = dict(self._documents), dict(self._fields)
            try:
                for change in changes:
                    at = (change.collection, change.key)
                    if change.body is None:
                        self._expect(*at, change.expected)
                        self._documents.pop(at, None)
                        self._fields.pop(at, None)
                    else:
                        self._put(*at, change.body, change.expected)
                        self._fields[at] = dict(change.fields)
            except BaseException:
                self._documents, self._fields = before, fields
                raise

    def search(self, collection: str, query: Query) -> Page[Document]:
        mine = [each for (owner, _), each in self._documents.items() if owner == collection]

        def value(document: Document, wanted: QueryField) -> Value:
            own = {"id": document.key, "created_ms": document.created_ms, "updated_ms": document.updated_ms}
            known: Value = own.get(wanted.key) if wanted.kind == "attribute" else None
            return known if known is not None else self._fields.get((collection, document.key), {}).get(wanted)

        return _page(mine, query, lambda each: (-each.created_ms, each.key), value)

    def count(self, collection: str, where: Expr | None = None) -> int:
        return sum(1 for _ in every(lambda query: self.search(collection, query), Query(where=where, lifecycle=None)))

    def find(self, collection: str, prefix: str = "") -> list[Document]:
        keys = sorted(key for owner, key in self._documents if owner == collection and key.startswith(prefix))
        return [self._documents[collection, key] for key in keys]

    def delete(self, collection: str, key: str) -> None:
        self.apply([DocumentChange(collection=collection, key=key, body=None)])


class MemoryRecords:
    """Records in dictionaries."""

    def __init__(self, clock: Clock) -> None:
        lock = threading.RLock()
        self.experiments = _Experiments(clock, lock)
        self.runs = _Runs(clock, self.experiments, lock)
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

    def put_tree(self, folder: Path, *, cut: bool = True) -> str:
        """Keep a folder's files."""
        del cut
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
        decoded = (decode(kind, payload) for kind, payload in kinds)
        stored = [event for event in decoded if event is not None and not isinstance(event, RawPrediction)]
        with self._lock:
            self._events += stored

    def submit(self, events: Sequence[Event], *, urgent: bool = True) -> Future[None]:
        """The same; it is done when this returns."""
        del urgent
        done = Future[None]()
        try:
            self.append(events)
        except StoreError as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        return done

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
                is_raw = RawPrediction in kinds
                read = as_raw(event) if is_raw and isinstance(event, PredictionEvent) else event
                if isinstance(read, kinds) and not early and not late:
                    yield read

        return Reading(events(), lambda: Cursor(str(place)))

    def get(self, kind: type[Named], ids: Collection[str]) -> list[Named]:
        """The events of this class with one of these ids."""
        return [event for event in list(self._events) if isinstance(event, kind) and event.id in ids]

    def scan(self, kind: type[Event]) -> "pl.LazyFrame":
        """All events of this class as a table."""
        from bakeoff.data.event_table import of_class, table

        stored = ((seq, KINDS[type(event)], encode(event, 0)[1]) for seq, event in enumerate(self._events, 1))
        return of_class(table(stored).lazy(), kind).drop("rest")

    def problem(self) -> str | None:
        """Nothing is in the way."""
        return None

    def compact(self) -> int:
        """There is nothing to move."""
        return 0

    def close(self) -> None:
        """Nothing to release."""
