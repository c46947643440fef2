"""What a caller may know of the records: those experiments, and the models of those names, that its scopes reach.

The stores are wrapped, not the handlers: what a caller may not know of is not there, in searches, listings, lineage and
errors alike. A caller without scopes has the stores themselves.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from starlette.requests import Request

from bakeoff.core.errors import NotFoundError, SecurityError, UsageError
from bakeoff.core.filters import within
from bakeoff.core.principals import Permission, Principal
from bakeoff.core.protocols import DocumentRecords, ExperimentRecords, RecordStore, RunRecords, VersionRecords
from bakeoff.core.queries import AllOf, Expr, Page, Predicate, Query, QueryField, attribute, every
from bakeoff.core.records import (
    Document,
    DocumentChange,
    Experiment,
    ExperimentChange,
    Metric,
    MetricCurve,
    Registered,
    RegisteredChange,
    Run,
    RunChange,
    RunGroup,
    Version,
    VersionChange,
    VersionKind,
    unknown_experiment,
    unknown_run,
    unknown_version,
)
from bakeoff.core.types import Json
from bakeoff.security.audited import audited
from bakeoff.web.auth import missed, origin_of, principal_of, who_of
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.datasets import DATASETS, RECORDS
from bakeoff.web.tracking.spans import SPANS
from bakeoff.web.tracking.traces import TRACES, logged

__all__ = ["tracking_of", "within_reach"]

WHOLES: Mapping[str, str] = {SPANS: TRACES, RECORDS: DATASETS}
"""Collections whose documents are parts of another's, and which: their keys begin with its key."""
FILES_OF = frozenset({"source", "files"})
"""What of a version's lineage says where its files are."""
SOME_EXPERIMENT = "0"
"""One that every store has; a client makes its runs there that names no other."""
EXPERIMENT = QueryField(kind="attribute", key="experiment_id")
MOST_NAMES = 30_000
"""In one condition: databases take about as many bound values (SQLite 32,766, PostgreSQL 65,535)."""


def tracking_of(tracking: Tracking, request: Request, needs: Permission) -> Tracking:
    """What of the tracking the sender of a request may know of; what they change there is audited as theirs."""
    principal = principal_of(request)
    if needs != "read":
        who, origin = who_of(principal), origin_of(request)
        tracking = replace(tracking, records=audited(tracking.records, tracking.clock, who=who, origin=origin))
    return within_reach(tracking, principal, request)


def within_reach(tracking: Tracking, principal: Principal, request: Request | None = None) -> Tracking:
    """The tracking that a principal may know of; where it names what is not there for them, the request is marked."""
    if principal.everything("experiment") and principal.everything("model"):
        return tracking
    return replace(tracking, records=_Records(_Reach(tracking.records, principal, request)))


@dataclass(frozen=True)
class _Reach:
    """What of a store one caller may know of, looked up once for a request."""

    store: RecordStore
    principal: Principal
    request: Request | None
    _experiments: dict[str, bool] = field(default_factory=dict[str, bool])
    _wholes: dict[tuple[str, str], bool] = field(default_factory=dict[tuple[str, str], bool])

    def missed(self, *, but_made: bool = False) -> None:
        """Note that something is not there, or not for this caller."""
        if self.request is not None:
            missed(self.request, but_made=but_made)

    def experiment(self, experiment_id: str) -> bool:
        """Whether there is such an experiment within reach, deleted or not."""
        if experiment_id not in self._experiments:
            try:
                name = self.store.experiments.get(experiment_id).name
            except NotFoundError:
                self._experiments[experiment_id] = False
            else:
                self._experiments[experiment_id] = self.principal.reaches("experiment", name)
        return self._experiments[experiment_id]

    def run(self, run_id: str) -> bool:
        """Whether there is such a run in an experiment within reach.

        Of another one nothing else is read, however large it is, and for none as much: neither takes longer.
        """
        of = self.store.runs.groups(Query(where=attribute("run_id", "=", run_id), lifecycle=None), EXPERIMENT)
        return self.experiment(str(of[0].value) if of else SOME_EXPERIMENT) and bool(of)

    def require_run(self, run_id: str) -> None:
        """Refuse a run that is not there, or out of reach.

        Raises:
            NotFoundError: it is.
        """
        if not self.run(run_id):
            self.missed()
            raise unknown_run(run_id)

    def model(self, name: str) -> bool:
        """Whether a registered version of this name would be within reach."""
        return self.principal.reaches("model", name)

    @cached_property
    def experiments(self) -> tuple[str, ...]:
        """The ids of experiments, deleted ones too. All are read: `experiment` is for one."""
        known = every(self.store.experiments.search, Query(lifecycle=None))
        return tuple(each.experiment_id for each in known if self.principal.reaches("experiment", each.name))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The names of registered versions. All are read: `model` is for one."""
        known = every(self.store.versions.registered, Query(lifecycle=None))
        return tuple(each.name for each in known if self.model(each.name))

    def of_experiments(self, query: Query) -> Query:
        """A query about those of experiments within reach."""
        return _narrowed(query, "experiment_id", self._known, lambda: self.experiments)

    def _known(self, experiment_id: str) -> bool:
        known = self.experiment(experiment_id)
        if not known:
            self.missed()
        return known

    def of_models(self, query: Query) -> Query:
        """A query about those of registered versions within reach."""
        return _narrowed(query, "name", self.model, lambda: self.models)

    def require_experiment(self, name: str) -> None:
        """Refuse to make what the caller could not see."""
        if not self.principal.reaches("experiment", name):
            raise SecurityError(f"expected an experiment within the caller's scopes, received {name!r}")

    def require_model(self, name: str) -> None:
        """Refuse to make what the caller could not see."""
        if not self.model(name):
            raise SecurityError(f"expected a model within the caller's scopes, received {name!r}")

    def document(self, collection: str, key: str, body: Mapping[str, Json]) -> bool:
        """Whether a document is within reach: one of an experiment that is, or a part of such a one.

        Links of a trace that is still to come are of no experiment yet, and within everyone's reach who knows its id.
        """
        if collection in WHOLES:
            return self._part(WHOLES[collection], key.partition("/")[0])
        if collection == TRACES and not logged(body):
            return True
        of: Any = body.get("experiment_ids") or body.get("experiment_id") or key.partition("/")[0]
        return any(self.experiment(str(each)) for each in (of if isinstance(of, list) else [of]))

    def _part(self, collection: str, key: str) -> bool:
        """Whether parts of a document are within reach: one look at it for all of them."""
        if (collection, key) not in self._wholes:
            whole = self.store.documents.get(collection, key)
            if whole is None:
                return False
            self._wholes[collection, key] = self.document(collection, key, whole.body)
        return self._wholes[collection, key]


def _narrowed(query: Query, key: str, reaches: Callable[[str], bool], known: Callable[[], Iterable[str]]) -> Query:
    """With the condition that a key is one within reach: of those that the query names, or else of all that there are.

    Raises:
        UsageError: there are too many.
    """
    named = _named(query.where, key)
    values = tuple(known() if named is None else filter(reaches, named))
    if len(values) > MOST_NAMES:
        raise UsageError(
            f"expected a search in at most {MOST_NAMES} things of a caller with scopes, there are {len(values)}: "
            f"name those that are wanted by their {key}, or use a token without scopes"
        )
    condition: Expr = attribute(key, "in", values)
    return replace(query, where=condition if query.where is None else AllOf(parts=(condition, query.where)))


def _named(where: Expr | None, key: str) -> tuple[str, ...] | None:
    """The values that a condition allows a key; None where it says nothing of it."""
    if isinstance(where, AllOf):
        return next((named for part in where.parts if (named := _named(part, key)) is not None), None)
    if isinstance(where, Predicate) and where.operator in {"=", "in"} and where.field == attribute(key, "=").field:
        values = where.value if isinstance(where.value, tuple) else (where.value,)
        return tuple(map(str, values))
    return None


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
        if not self._reach.experiment(experiment_id):
            self._reach.missed()
            raise unknown_experiment(experiment_id)
        return self._inner.get(experiment_id)

    def search(self, query: Query) -> Page[Experiment]:
        named = _named(query.where, "name")
        if named is not None:  # names say themselves whether they are within reach
            principal = self._reach.principal
            allowed = attribute("name", "in", tuple(each for each in named if principal.reaches("experiment", each)))
            return self._inner.search(replace(query, where=within(allowed, query.where)))
        return self._inner.search(self._reach.of_experiments(query))

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
        self._require_experiment(experiment_id)
        return self._inner.start(experiment_id, name, **more)

    def apply(self, changes: Sequence[RunChange]) -> None:
        for change in changes:
            if change.new is None:
                self._reach.require_run(change.run_id)
            else:
                self._require_experiment(change.new.experiment_id)
        self._inner.apply(changes)

    def _require_experiment(self, experiment_id: str) -> None:
        if not self._reach.experiment(experiment_id):
            self._reach.missed()
            raise unknown_experiment(experiment_id)

    def get(self, run_id: str) -> Run:
        self._reach.require_run(run_id)
        return self._inner.get(run_id)

    def search(self, query: Query) -> Page[Run]:
        return self._inner.search(self._reach.of_experiments(query))

    def groups(self, query: Query, by: QueryField | None = None, **more: Any) -> Sequence[RunGroup]:
        return self._inner.groups(self._reach.of_experiments(query), by, **more)

    def history(self, run_id: str, key: str, **more: Any) -> Page[Metric]:
        self._reach.require_run(run_id)
        return self._inner.history(run_id, key, **more)

    def curves(self, run_ids: Sequence[str], key: str) -> Mapping[str, MetricCurve]:
        for run_id in run_ids:
            self._reach.require_run(run_id)
        return self._inner.curves(run_ids, key)


class _Versions:
    def __init__(self, reach: _Reach) -> None:
        self._reach, self._inner = reach, reach.store.versions

    def register(self, kind: VersionKind, name: str, content: str, **more: Any) -> Version:
        self._reach.require_model(name)
        return self._inner.register(kind, name, content, **more)

    def get(self, kind: VersionKind, name: str, number: int) -> Version:
        if not self._reach.model(name):
            raise unknown_version(kind, name, number)
        return self._shown(self._inner.get(kind, name, number))

    def by_alias(self, name: str, alias: str) -> Version | None:
        version = self._inner.by_alias(name, alias) if self._reach.model(name) else None
        return None if version is None else self._shown(version)

    def search(self, query: Query) -> Page[Version]:
        page = self._inner.search(self._reach.of_models(query))
        return replace(page, items=tuple(map(self._shown, page.items)))

    def _shown(self, version: Version) -> Version:
        """A version without its lineage, where that leads to a run out of reach; where its files are stays."""
        if version.run_id is None or self._reach.run(version.run_id):
            return version
        return replace(version, run_id=None, lineage={k: v for k, v in version.lineage.items() if k in FILES_OF})

    def registered(self, query: Query) -> Page[Registered]:
        return self._inner.registered(self._reach.of_models(query))

    def apply(self, changes: Sequence[RegisteredChange | VersionChange]) -> None:
        for change in changes:
            if isinstance(change, RegisteredChange) and change.new:
                self._reach.require_model(change.name)
            elif not self._reach.model(change.name):
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
        if document is None or not self._seen(document):
            self._reach.missed()
            return None
        return document

    def put(self, collection: str, key: str, body: Mapping[str, Json], *, expected: int | None = None) -> Document:
        self._allowed([DocumentChange(collection=collection, key=key, body=body)])
        document = self._inner.put(collection, key, body, expected=expected)
        self._reach.missed(but_made=True)
        return document

    def find(self, collection: str, prefix: str = "") -> list[Document]:
        return [each for each in self._inner.find(collection, prefix) if self._seen(each)]

    def delete(self, collection: str, key: str) -> None:
        self.apply([DocumentChange(collection=collection, key=key, body=None)])

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        if allowed := self._allowed(changes):
            self._inner.apply(allowed)
            if len(allowed) == len(changes):
                self._reach.missed(but_made=True)

    def search(self, collection: str, query: Query) -> Page[Document]:
        page = self._inner.search(collection, query)
        return replace(page, items=tuple(each for each in page.items if self._seen(each)))

    def count(self, collection: str, where: Expr | None = None) -> int:
        query = Query(where=where, lifecycle=None)
        return sum(1 for _ in every(lambda query: self.search(collection, query), query))

    def _allowed(self, changes: Sequence[DocumentChange]) -> list[DocumentChange]:
        """What is changed must be within reach before and after; a whole that is written with its parts counts.

        What is deleted and out of reach is left out, as what is not there: neither changes anything.
        """
        allowed: list[DocumentChange] = []
        new = {(each.collection, each.key): each.body for each in changes if each.body is not None}
        for change in changes:
            known = self._inner.get(change.collection, change.key)
            seen = known is None or self._seen(known)
            if change.body is None and change.expected is None and (known is None or not seen):
                self._reach.missed()
                continue
            if seen and change.body is not None:
                key, body, collection = change.key, change.body, change.collection
                whole = WHOLES.get(collection)
                if whole is not None and (whole, key.partition("/")[0]) in new:
                    collection, key = whole, key.partition("/")[0]
                    body = new[collection, key]
                seen = self._reach.document(collection, key, body)
            if not seen:
                raise SecurityError(f"expected a thing within the caller's scopes, received {change.key!r}")
            allowed.append(change)
        return allowed
