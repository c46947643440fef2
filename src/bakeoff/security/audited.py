"""Records whose changes of state stand in the audit log: a wrapper of the store, so that no caller can go round it.

A change is written down before it is made, with what there was before; one that then fails gets a second record that
says so. So there may be a record of a change that a crash prevented, but no change without a record. What is only
added to (metrics, params, tags and states of runs, traces, steps of a run) is a log of its own, and is not audited;
taking it away is.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import BakeoffError
from bakeoff.core.hashing import digest_json
from bakeoff.core.protocols import (
    Clock,
    DocumentRecords,
    ExperimentRecords,
    RecordStore,
    Reporting,
    RunRecords,
    Tabular,
    VersionRecords,
)
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
from bakeoff.security.audit import AuditLog

if TYPE_CHECKING:
    import polars as pl

__all__ = ["AuditedRecords", "acting", "audited", "plain"]

OF_ITSELF = frozenset(
    {"audit", "audit_head", "tokens", "accounts", "sessions", "endpoints", "endpoint_changes", "cycles"}
)
"""Collections whose writers write the record themselves, in the same commit where it matters."""
WORK = frozenset(
    {"steps", "passes", "studies", "searches", "looks", "sums", "signals", "leases", "rollouts", "advice"}
    | {"monitor", "monitor_hours", "monitor_daily", "monitor_judged"}
)
"""What the loop notes for itself; it may be thrown away and made again."""
DECLARED = frozenset(
    {"anchors", "ingested", "releases", "proposals", "scorers", "issues", "evaluation_datasets", "model_signatures"}
    | {"review_batches", "views", "alert_silences"}
)
"""What people or the loop decide: every write is a change of state. Of other collections, removals are."""
LONGEST, MOST = 200, 20
_ACTING: ContextVar[tuple[str, str] | None] = ContextVar("acting", default=None)
"""Who a server changes things for at the moment, and where they come from."""


def audited(store: RecordStore, clock: Clock, *, who: str, origin: str = "") -> "AuditedRecords":
    """The store, whose changes are written into its audit log as those of somebody.

    Args:
        store: the records; one that is audited already is taken from there.
        clock: milliseconds since 1970.
        who: who changes things through it.
        origin: where they come from, such as an address.
    """
    inner = plain(store)
    kind = _TabularRecords if isinstance(inner, Tabular) else AuditedRecords
    return kind(inner, AuditLog(inner.documents, clock), who=who, origin=origin)


@contextmanager
def acting(who: str, origin: str = "") -> Generator[None]:
    """Within it, changes through any audited store are written down as this caller's, not as those of its own user."""
    token = _ACTING.set((who, origin))
    try:
        yield
    finally:
        _ACTING.reset(token)


def plain(store: RecordStore) -> RecordStore:
    """The store behind an audited one: for copying and erasing, which no record could tell of in their order."""
    return store.inner if isinstance(store, AuditedRecords) else store


class AuditedRecords:
    """A `RecordStore` with an audit log; made by `audited`."""

    def __init__(self, inner: RecordStore, log: AuditLog, *, who: str, origin: str) -> None:
        self.inner = inner
        note = _Notes(log, who, origin)
        self.experiments: ExperimentRecords = _Experiments(inner.experiments, note)
        self.runs: RunRecords = _Runs(inner.runs, note)
        self.versions: VersionRecords = _Versions(inner.versions, note)
        self.documents: DocumentRecords = _Documents(inner.documents, note)

    def problem(self) -> str | None:
        """Why the store cannot be used at the moment; None when it can, as far as is known."""
        return self.inner.problem() if isinstance(self.inner, Reporting) else None

    def close(self) -> None:
        """Close the store."""
        self.inner.close()


class _TabularRecords(AuditedRecords):
    def tables(self) -> "AbstractContextManager[Callable[[str], Iterator[pl.DataFrame]]]":
        assert isinstance(self.inner, Tabular)
        return self.inner.tables()


class _Notes:
    def __init__(self, log: AuditLog, who: str, origin: str) -> None:
        self._log, self._who, self._origin = log, who, origin

    def add(self, action: str, subject: str, *, before: Json = None, after: Json = None) -> None:
        who, origin = _ACTING.get() or (self._who, self._origin)
        self._log.add(action, subject, who=who, origin=origin, before=before, after=after)

    @contextmanager
    def of(self, changes: Sequence[tuple[str, str, Json, Json]]) -> Generator[None]:
        """Note (action, subject, before, after) of each change, then let them be made."""
        for action, subject, before, after in changes:
            self.add(action, subject, before=before, after=after)
        try:
            yield
        except BaseException as error:
            reason = type(error).__name__ if isinstance(error, BakeoffError) else "an error"
            for action, subject, _, _ in changes:
                self.add(f"{action}: not done", subject, after={"reason": reason})
            raise


def _differences(
    wanted: Mapping[str, object], now: Callable[[str], object], tags: Mapping[str, str], change: Any
) -> tuple[dict[str, Json], dict[str, Json]]:
    """Before and after of the fields that a change sets, and of tags that it sets or removes."""
    after: dict[str, Json] = {key: _short(value) for key, value in wanted.items() if value is not None}
    before: dict[str, Json] = {key: _short(now(key)) for key in after}
    new: dict[str, str | None] = {**dict.fromkeys(change.remove_tags, None), **change.tags}
    if new:
        before["tags"] = {key: _short(tags.get(key)) for key in new}
        after["tags"] = {key: _short(value) for key, value in new.items()}
    return before, after


def _short(value: Any) -> Json:
    """A value as the log has it: what is long stands as its digest, so that it can be known again."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and len(value) <= LONGEST:
        return value
    return f"blake3:{digest_json([value])}"


class _Experiments:
    def __init__(self, inner: ExperimentRecords, note: _Notes) -> None:
        self._inner, self._note = inner, note
        self.get, self.search = inner.get, inner.search

    def open(self, name: str) -> Experiment:
        known = self._inner.search(Query(where=attribute("name", "=", name), lifecycle=None, limit=1)).items
        return known[0] if known else self._made(name, lambda: self._inner.open(name))

    def create(self, name: str, **more: Any) -> Experiment:
        return self._made(name, lambda: self._inner.create(name, **more))

    def _made(self, name: str, make: Callable[[], Experiment]) -> Experiment:
        with self._note.of([("experiment created", f"experiment {name}", None, {"name": _short(name)})]):
            return make()

    def apply(self, changes: Sequence[ExperimentChange]) -> None:
        with self._note.of([self._change(each) for each in changes]):
            self._inner.apply(changes)

    def _change(self, change: ExperimentChange) -> tuple[str, str, Json, Json]:
        known = self._inner.get(change.experiment_id)
        wanted = {"name": change.name, "lifecycle": change.lifecycle}
        before, after = _differences(wanted, lambda key: getattr(known, key), known.tags, change)
        return _life("experiment", change.lifecycle), f"experiment {change.experiment_id}", before, after


class _Runs:
    def __init__(self, inner: RunRecords, note: _Notes) -> None:
        self._inner, self._note = inner, note
        self.get, self.search, self.start, self.groups = inner.get, inner.search, inner.start, inner.groups
        self.curves = inner.curves

    def history(self, run_id: str, key: str, **more: Any) -> Page[Metric]:
        return self._inner.history(run_id, key, **more)

    def apply(self, changes: Sequence[RunChange]) -> None:
        with self._note.of([self._change(each) for each in changes if _takes_away(each)]):
            self._inner.apply(changes)

    def _change(self, change: RunChange) -> tuple[str, str, Json, Json]:
        run: Run = self._inner.get(change.run_id)
        wanted = {"name": change.name, "lifecycle": change.lifecycle}
        before, after = _differences(wanted, lambda key: getattr(run, key), run.tags, change)
        gone = sorted(path for path, blob in change.artifacts.items() if blob is None)
        if gone:
            before["artifacts"] = {path: run.artifacts.get(path) for path in gone[:MOST]}
            after["artifacts"] = dict.fromkeys(gone[:MOST])
        return _life("run", change.lifecycle), f"run {change.run_id}", before, after


def _takes_away(change: RunChange) -> bool:
    """Whether a change of a run is more than an entry in its log."""
    gone = any(blob is None for blob in change.artifacts.values())
    return bool(change.lifecycle or change.name or change.remove_tags or gone)


def _life(what: str, lifecycle: str | None) -> str:
    return f"{what} {'changed' if lifecycle is None else 'restored' if lifecycle == 'active' else lifecycle}"


class _Versions:
    def __init__(self, inner: VersionRecords, note: _Notes) -> None:
        self._inner, self._note = inner, note
        self.get, self.by_alias, self.search, self.registered = (
            inner.get,
            inner.by_alias,
            inner.search,
            inner.registered,
        )

    def register(self, kind: VersionKind, name: str, content: str, **more: Any) -> Version:
        run_id, known = more.get("run_id"), self._name(kind, name)
        if not more.get("always") and self._is_there(kind, name, content, run_id):
            return self._inner.register(kind, name, content, **more)
        number = 1 if known is None else known.last_number + 1
        after: Json = {"content": content, "run_id": run_id}
        with self._note.of([(f"{kind} registered", f"{kind} {name}/{number}", None, after)]):
            version = self._inner.register(kind, name, content, **more)
        if version.number != number:  # another took that number meanwhile
            self._note.add(f"{kind} registered", f"{kind} {name}/{version.number}", after=after)
        return version

    def _is_there(self, kind: VersionKind, name: str, content: str, run_id: str | None) -> bool:
        where: Expr = AllOf(
            parts=(
                attribute("kind", "=", kind),
                attribute("name", "=", name),
                attribute("content", "=", content),
            )
        )
        return any(each.run_id == run_id for each in every(self._inner.search, Query(where=where, lifecycle=None)))

    def apply(self, changes: Sequence[RegisteredChange | VersionChange]) -> None:
        noted = [self._of_version(each) if isinstance(each, VersionChange) else self._of_name(each) for each in changes]
        with self._note.of(noted):
            self._inner.apply(changes)

    def _name(self, kind: VersionKind, name: str) -> Registered | None:
        where: Expr = AllOf(parts=(attribute("kind", "=", kind), attribute("name", "=", name)))
        return next(iter(self._inner.registered(Query(where=where, lifecycle=None, limit=1)).items), None)

    def _of_version(self, change: VersionChange) -> tuple[str, str, Json, Json]:
        version = self._inner.get(change.kind, change.name, change.number)
        subject = f"{change.kind} {change.name}/{change.number}"
        if change.remove:
            before: Json = {"content": version.content, "run_id": version.run_id, "aliases": list(version.aliases)}
            return f"{change.kind} removed", subject, before, None
        wanted = {"stage": change.stage, "description": change.description}
        then, after = _differences(wanted, lambda key: getattr(version, key), version.tags, change)
        return f"{change.kind} changed", subject, then, after

    def _of_name(self, change: RegisteredChange) -> tuple[str, str, Json, Json]:
        known, subject = self._name(change.kind, change.name), f"{change.kind} {change.name}"
        aliases = dict(known.aliases) if known else {}
        if change.remove:
            before: Json = {"versions": known.last_number if known else 0, "aliases": {**aliases}}
            return f"{change.kind} removed", subject, before, None
        wanted = {"name": change.rename, "description": change.description}
        tags = known.tags if known else {}
        then, after = _differences(wanted, lambda key: getattr(known, key, None), tags, change)
        if change.aliases:
            then["aliases"] = {alias: aliases.get(alias) for alias in change.aliases}
            after["aliases"] = {**change.aliases}
        what = "created" if known is None else "alias moved" if change.aliases else "changed"
        return f"{change.kind} {what}", subject, then, after


class _Documents:
    def __init__(self, inner: DocumentRecords, note: _Notes) -> None:
        self._inner, self._note = inner, note
        self.get, self.find, self.search, self.count = inner.get, inner.find, inner.search, inner.count

    def put(self, collection: str, key: str, body: Mapping[str, Json], *, expected: int | None = None) -> Document:
        change = DocumentChange(collection=collection, key=key, body=body, expected=expected)
        with self._note.of(self._noted([change])):
            return self._inner.put(collection, key, body, expected=expected)

    def delete(self, collection: str, key: str) -> None:
        with self._note.of(self._noted([DocumentChange(collection=collection, key=key, body=None)])):
            self._inner.delete(collection, key)

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        with self._note.of(self._noted(changes)):
            self._inner.apply(changes)

    def _noted(self, changes: Sequence[DocumentChange]) -> list[tuple[str, str, Json, Json]]:
        """A record for each write of what is declared, and one for all removals from a collection."""
        noted: list[tuple[str, str, Json, Json]] = []
        gone: dict[str, list[str]] = {}
        for change in changes:
            if change.collection in OF_ITSELF or change.collection in WORK:
                continue
            if change.body is None:
                gone.setdefault(change.collection, []).append(change.key)
            elif change.collection in DECLARED:
                known = self._inner.get(change.collection, change.key)
                before, after = _changed(known.body if known else {}, change.body)
                if after or before:
                    noted.append((f"{change.collection} written", f"{change.collection} {change.key}", before, after))
        for collection, keys in gone.items():
            subject = keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more"
            before = {"count": len(keys), "keys": list[Json](keys[:MOST])}
            noted.append((f"{collection} removed", f"{collection} {subject}", before, None))
        return noted


def _changed(before: Mapping[str, Json], after: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, Json]]:
    """The fields in which two bodies differ."""
    fields = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return {key: _short(before.get(key)) for key in fields}, {key: _short(after.get(key)) for key in fields}
