"""What a caller may know of the records: those experiments, and the models of those names, that its scopes reach.

The stores are wrapped, not the handlers: what a caller may not know of is not there, in searches, listings, lineage and
errors alike. A caller without scopes has the stores themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bakeoff.core.errors import NotFoundError, SecurityError
from bakeoff.core.principals import Principal
from bakeoff.core.protocols import DocumentRecords, ExperimentRecords, RecordStore, RunRecords, VersionRecords
from bakeoff.core.queries import AllOf, Expr, Page, Query, attribute, every
from bakeoff.core.records import (
    Document,
    DocumentChange,
    Experiment,
    ExperimentChange,
    Metric,
    Registered,
    RegisteredChange,
    Run,
    RunChange,
    Version,
    VersionChange,
    VersionKind,
)
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.datasets import DATASETS, RECORDS
from bakeoff.web.tracking.spans import SPANS
from bakeoff.web.tracking.traces import TRACES

__all__ = ["within_reach"]

WHOLES: Mapping[str, str] = {SPANS: TRACES, RECORDS: DATASETS}
"""Collections whose documents are parts of another's, and which: their keys begin with its key."""


def within_reach(tracking: Tracking, principal: Principal) -> Tracking:
    """The tracking that a principal may know of."""
    if principal.everything("experiment") and principal.everything("model"):
        return tracking
    return replace(tracking, records=_Records(_Reach(tracking.records, principal)))


@dataclass(frozen=True)
class _Reach:
    """What of a store one caller may know of, looked up once for a request."""

    store: RecordStore
    principal: Principal

    @cached_property
    def experiments(self) -> tuple[str, ...]:
        """The ids of experiments, deleted ones too."""
        known = every(self.store.experiments.search, Query(lifecycle=None))
        return tuple(each.experiment_id for each in known if self.principal.reaches("experiment", each.name))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The names of registered versions."""
        known = every(self.store.versions.registered, Query(lifecycle=None))
        return tuple(each.name for each in known if self.principal.reaches("model", each.name))

    def require_experiment(self, name: str) -> None:
        """Refuse to make what the caller could not see."""
        if not self.principal.reaches("experiment", name):
            raise SecurityError(f"expected an experiment within the caller's scopes, received {name!r}")

    def require_model(self, name: str) -> None:
        """Refuse to make what the caller could not see."""
        if not self.principal.reaches("model", name):
            raise SecurityError(f"expected a model within the caller's scopes, received {name!r}")

    def document(self, collection: str, key: str, body: Mapping[str, Json]) -> bool:
        """Whether a document is within reach: one of an experiment that is, or a part of such a one."""
        if collection in WHOLES:
            whole = self.store.documents.get(WHOLES[collection], key.partition("/")[0])
            return whole is not None and self.document(whole.collection, whole.key, whole.body)
        of: Any = body.get("experiment_ids") or body.get("experiment_id") or key.partition("/")[0]
        return any(str(each) in self.experiments for each in (of if isinstance(of, list) else [of]))


def _narrowed(query: Query, key: str, values: Sequence[str]) -> Query:
    condition: Expr = attribute(key, "in", tuple(values))
    return replace(query, where=condition if query.where is None else AllOf(parts=(condition, query.where)))


class _Records:
    """A `RecordStore` within reach."""

    def __init__(self, reach: _Reach) -> None:
        self.experiments: ExperimentRecords = _Experiments(reach)
        self.runs: RunRecords = _Runs(reach)
        self.versions: VersionRecords = _Versions(reach)
        self.documents: DocumentRecords = _Documents(reach)

    def close(self) -> None:
        """Nothing: the store is another's."""


class _Experiments:
    def __init__(self, reach: _Reach) -> None:
        self._reach, self._inner = reach, reach.store.experiments

    def open(self, name: str) -> Experiment:
        self._reach.require_experiment(name)
        return self._inner.open(name)

    def create(self, name: str, **more: Any) -> Experiment:
        self._reach.require_experiment(name)
        return self._inner.create(name, **more)

    def get(self, experiment_id: str) -> Experiment:
        experiment = self._inner.get(experiment_id)
        if not self._reach.principal.reaches("experiment", experiment.name):
            raise NotFoundError(f"expected an experiment, found none of id {experiment_id!r}")
        return experiment

    def search(self, query: Query) -> Page[Experiment]:
        return self._inner.search(_narrowed(query, "experiment_id", self._reach.experiments))

    def apply(self, changes: Sequence[ExperimentChange]) -> None:
        for change in changes:
            self.get(change.experiment_id)
            if change.name is not None:
                self._reach.require_experiment(change.name)
        self._inner.apply(changes)


class _Runs:
    def __init__(self, reach: _Reach) -> None:
        self._reach, self._inner = reach, reach.store.runs

    def start(self, experiment_id: str, name: str, **more: Any) -> Run:
        if experiment_id not in self._reach.experiments:
            raise NotFoundError(f"expected an experiment, found none of id {experiment_id!r}")
        return self._inner.start(experiment_id, name, **more)

    def apply(self, changes: Sequence[RunChange]) -> None:
        for change in changes:
            self.get(change.run_id)
        self._inner.apply(changes)

    def get(self, run_id: str) -> Run:
        run = self._inner.get(run_id)
        if run.experiment_id not in self._reach.experiments:
            raise NotFoundError(f"expected a run, found none of id {run_id!r}")
        return run

    def search(self, query: Query) -> Page[Run]:
        return self._inner.search(_narrowed(query, "experiment_id", self._reach.experiments))

    def history(self, run_id: str, key: str, **more: Any) -> Page[Metric]:
        self.get(run_id)
        return self._inner.history(run_id, key, **more)


class _Versions:
    def __init__(self, reach: _Reach) -> None:
        self._reach, self._inner = reach, reach.store.versions

    def register(self, kind: VersionKind, name: str, content: str, **more: Any) -> Version:
        self._reach.require_model(name)
        return self._inner.register(kind, name, content, **more)

    def get(self, kind: VersionKind, name: str, number: int) -> Version:
        if not self._reach.principal.reaches("model", name):
            raise NotFoundError(f"expected a version, found none of {name!r}")
        return self._inner.get(kind, name, number)

    def by_alias(self, name: str, alias: str) -> Version | None:
        return self._inner.by_alias(name, alias) if self._reach.principal.reaches("model", name) else None

    def search(self, query: Query) -> Page[Version]:
        return self._inner.search(_narrowed(query, "name", self._reach.models))

    def registered(self, query: Query) -> Page[Registered]:
        return self._inner.registered(_narrowed(query, "name", self._reach.models))

    def apply(self, changes: Sequence[RegisteredChange | VersionChange]) -> None:
        for change in changes:
            if isinstance(change, RegisteredChange) and change.new:
                self._reach.require_model(change.name)
            elif not self._reach.principal.reaches("model", change.name):
                raise NotFoundError(f"expected a version, found none of {change.name!r}")
            if isinstance(change, RegisteredChange) and change.rename is not None:
                self._reach.require_model(change.rename)
        self._inner.apply(changes)


class _Documents:
    def __init__(self, reach: _Reach) -> None:
        self._reach, self._inner = reach, reach.store.documents

    def _seen(self, document: Document) -> bool:
        return self._reach.document(document.collection, document.key, document.body)

    def get(self, collection: str, key: str) -> Document | None:
        document = self._inner.get(collection, key)
        return document if document is not None and self._seen(document) else None

    def put(self, collection: str, key: str, body: Mapping[str, Json], *, expected: int | None = None) -> Document:
        self._require([DocumentChange(collection=collection, key=key, body=body)])
        return self._inner.put(collection, key, body, expected=expected)

    def find(self, collection: str, prefix: str = "") -> list[Document]:
        return [each for each in self._inner.find(collection, prefix) if self._seen(each)]

    def delete(self, collection: str, key: str) -> None:
        self._require([DocumentChange(collection=collection, key=key, body=None)])
        self._inner.delete(collection, key)

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        self._require(changes)
        self._inner.apply(changes)

    def search(self, collection: str, query: Query) -> Page[Document]:
        page = self._inner.search(collection, query)
        return replace(page, items=tuple(each for each in page.items if self._seen(each)))

    def _require(self, changes: Sequence[DocumentChange]) -> None:
        """What is changed must be within reach before and after; a whole that is written with its parts counts."""
        new = {(each.collection, each.key): each.body for each in changes if each.body is not None}
        for change in changes:
            known = self._inner.get(change.collection, change.key)
            seen = known is None or self._seen(known)
            if seen and change.body is not None:
                key, body, collection = change.key, change.body, change.collection
                whole = WHOLES.get(collection)
                if whole is not None and (whole, key.partition("/")[0]) in new:
                    collection, key = whole, key.partition("/")[0]
                    body = new[collection, key]
                seen = self._reach.document(collection, key, body)
            if not seen:
                raise SecurityError(f"expected a thing within the caller's scopes, received {change.key!r}")
