"""Registered versions, their tags and aliases."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, select, tuple_, update

from bakeoff.core.errors import ConflictError
from bakeoff.core.protocols import Clock
from bakeoff.core.queries import Page, Query
from bakeoff.core.records import Registered, RegisteredChange, Version, VersionChange, VersionKind, unknown_version
from bakeoff.core.types import Json
from bakeoff.stores.database import Database
from bakeoff.stores.documents import as_json
from bakeoff.stores.grouping import Grouping
from bakeoff.stores.schema import aliases, name_tags, names, version_tags, versions
from bakeoff.stores.search import Beside, Entity, columns, find
from bakeoff.stores.tags import Tags

__all__ = ["Versions"]

OF_VERSION, OF_NAME = attrgetter("kind", "name", "number"), attrgetter("kind", "name")
"""What rows that belong together have in common."""
BATCH = 300
"""Owners in one select, below every database's limit of bound values."""
NEWEST = (versions.c.created_ms.desc(), versions.c.number.desc(), versions.c.name)
VERSIONS = Entity(
    table=versions,
    attributes=columns(
        "kind", "name", "number", "content", "run_id", "created_ms", "updated_ms", "stage", "description"
    ),
    stamp="created_ms",
    newest=NEWEST,
    beside={"tag": Beside(table=version_tags, same=columns("kind", "name", "number"))},
)
NAMES = Entity(
    table=names,
    attributes=columns("kind", "name", "created_ms", "updated_ms"),
    stamp="created_ms",
    newest=(names.c.created_ms.desc(), names.c.name),
    beside={"tag": Beside(table=name_tags, same=columns("kind", "name"))},
)


class Versions:
    """`VersionRecords` on a database."""

    def __init__(self, database: Database, grouped: Grouping, clock: Clock) -> None:
        self._database, self._grouped, self._clock = database, grouped, clock
        self._tags, self._name_tags = Tags(database, version_tags), Tags(database, name_tags)

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
        """Add the next number, or return the version of the same content and run."""
        lineage_json = as_json(lineage or {})

        def registered(connection: Connection) -> Version:
            number, now = self._lock(connection, kind, name) + 1, self._clock()
            same = versions.c.run_id.is_not_distinct_from(run_id)
            where = (versions.c.kind == kind, versions.c.name == name, versions.c.content == content, same)
            if not always and (known := _where(connection, *where)):
                return known[0]
            connection.execute(
                versions.insert().values(
                    kind=kind,
                    name=name,
                    number=number,
                    content=content,
                    created_ms=now,
                    updated_ms=now,
                    run_id=run_id,
                    lineage=lineage_json,
                    description=description,
                )
            )
            at = (names.c.kind == kind, names.c.name == name)
            connection.execute(update(names).where(*at).values(last_number=number, updated_ms=now))
            self._tags.change(connection, (kind, name, number), tags or {})
            return _get(connection, kind, name, number)

        return self._grouped(registered)

    def get(self, kind: VersionKind, name: str, number: int) -> Version:
        """One version."""
        with self._database.read() as connection:
            return _get(connection, kind, name, number)

    def by_alias(self, name: str, alias: str) -> Version | None:
        """The model version that the alias names, or None."""
        with self._database.read() as connection:
            number = connection.scalar(select(aliases.c.number).where(*_alias("model", name, alias)))
            return None if number is None else _get(connection, "model", name, number)

    def search(self, query: Query) -> Page[Version]:
        """By attributes and tags."""
        with self._database.search() as connection:
            rows, following = find(connection, VERSIONS, query)
            return Page(items=tuple(_load(connection, rows)), following=following)

    def registered(self, query: Query) -> Page[Registered]:
        """Names, by attributes and tags."""
        with self._database.search() as connection:
            rows, following = find(connection, NAMES, query)
            return Page(items=tuple(_names(connection, rows)), following=following)

    def apply(self, changes: Sequence[RegisteredChange | VersionChange]) -> None:
        """All of them or none."""

        def applied(connection: Connection) -> None:
            for change in changes:
                if isinstance(change, VersionChange):
                    self._change_version(connection, change)
                else:
                    self._change_name(connection, change)

        self._grouped(applied)

    def _change_version(self, connection: Connection, change: VersionChange) -> None:
        owner = {"kind": change.kind, "name": change.name, "number": change.number}
        _get(connection, change.kind, change.name, change.number)
        if change.remove:
            for table in (version_tags, aliases, versions):
                connection.execute(delete(table).where(*(table.c[key] == value for key, value in owner.items())))
            return
        wanted = {"description": change.description, "stage": change.stage}
        values: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
        if values:
            at = [versions.c[key] == value for key, value in owner.items()]
            connection.execute(update(versions).where(*at).values(**values, updated_ms=self._clock()))
        self._tags.change(connection, tuple(owner.values()), change.tags, remove=change.remove_tags)

    def _change_name(self, connection: Connection, change: RegisteredChange) -> None:
        owner = {"kind": change.kind, "name": change.name}
        at = (names.c.kind == change.kind, names.c.name == change.name)
        if change.new and connection.scalar(select(names.c.name).where(*at)) is not None:
            raise ConflictError(f"expected the name of a new {change.kind}; there is one called {change.name!r}")
        self._lock(connection, change.kind, change.name)
        if change.remove:
            for table in (version_tags, aliases, versions, name_tags, names):
                connection.execute(delete(table).where(*(table.c[key] == value for key, value in owner.items())))
            return
        if change.rename is not None:
            self._rename(connection, change.kind, change.name, change.rename)
            self._change_name(connection, replace(change, name=change.rename, rename=None))
            return
        described = {} if change.description is None else {"description": change.description}
        connection.execute(update(names).where(*at).values(updated_ms=self._clock(), **described))
        self._name_tags.change(connection, tuple(owner.values()), change.tags, remove=change.remove_tags)
        for alias, number in sorted(change.aliases.items()):
            self._set_alias(connection, change.kind, change.name, alias, number)

    def _rename(self, connection: Connection, kind: VersionKind, name: str, new: str) -> None:
        """Move all rows of a name to another, which none has."""
        at = (names.c.kind == kind, names.c.name == name)
        if connection.scalar(select(names.c.name).where(names.c.kind == kind, names.c.name == new)) is not None:
            raise ConflictError(f"expected a name that no {kind} has; {new!r} is taken")
        row = connection.execute(select(names).where(*at)).mappings().one()
        connection.execute(names.insert().values({**row, "name": new}))
        for table in (versions, name_tags, version_tags, aliases):  # what others refer to comes first
            same = (table.c.kind == kind, table.c.name == name)
            if table is not versions:
                connection.execute(update(table).where(*same).values(name=new))
                continue
            for version in connection.execute(select(versions).where(*same)).mappings().all():
                connection.execute(versions.insert().values({**version, "name": new}))
        connection.execute(delete(versions).where(versions.c.kind == kind, versions.c.name == name))
        connection.execute(delete(names).where(*at))

    def _set_alias(self, connection: Connection, kind: VersionKind, name: str, alias: str, number: int | None) -> None:
        if number is None:
            connection.execute(delete(aliases).where(*_alias(kind, name, alias)))
            return
        _get(connection, kind, name, number)
        insert = self._database.insert(aliases).values(kind=kind, name=name, alias=alias, number=number)
        connection.execute(
            insert.on_conflict_do_update(index_elements=["kind", "name", "alias"], set_={"number": number})
        )

    def _lock(self, connection: Connection, kind: str, name: str) -> int:
        """Hold the name's row until the transaction ends, so that numbers are given one at a time."""
        now = self._clock()
        insert = self._database.insert(names).values(
            kind=kind, name=name, last_number=0, created_ms=now, updated_ms=now
        )
        unchanged = {"last_number": names.c.last_number}
        held = insert.on_conflict_do_update(index_elements=["kind", "name"], set_=unchanged)
        return connection.execute(held.returning(names.c.last_number)).scalar_one()


def _alias(kind: str, name: str, alias: str) -> tuple[ColumnElement[bool], ...]:
    return aliases.c.kind == kind, aliases.c.name == name, aliases.c.alias == alias


def _get(connection: Connection, kind: VersionKind, name: str, number: int) -> Version:
    known = _where(connection, versions.c.kind == kind, versions.c.name == name, versions.c.number == number)
    if not known:
        raise unknown_version(kind, name, number)
    return known[0]


def _where(connection: Connection, *where: ColumnElement[bool]) -> list[Version]:
    return _load(connection, connection.execute(select(versions).where(*where).order_by(*NEWEST)).all())


def _load(connection: Connection, rows: Sequence[Any]) -> list[Version]:
    tags_of = _beside(connection, version_tags, rows, OF_VERSION)
    aliases_of = _beside(connection, aliases, rows, OF_VERSION)
    return [
        Version(
            kind=row.kind,
            name=row.name,
            number=row.number,
            content=row.content,
            created_ms=row.created_ms,
            run_id=row.run_id,
            lineage=json.loads(row.lineage),
            tags={tag.key: tag.value for tag in tags_of[OF_VERSION(row)]},
            description=row.description,
            aliases=tuple(sorted(each.alias for each in aliases_of[OF_VERSION(row)])),
            stage=row.stage,
            updated_ms=row.updated_ms,
        )
        for row in rows
    ]


def _names(connection: Connection, rows: Sequence[Any]) -> Iterator[Registered]:
    tags_of = _beside(connection, name_tags, rows, OF_NAME)
    aliases_of = _beside(connection, aliases, rows, OF_NAME)
    for row in rows:
        yield Registered(
            kind=row.kind,
            name=row.name,
            created_ms=row.created_ms,
            updated_ms=row.updated_ms,
            last_number=row.last_number,
            description=row.description,
            tags={tag.key: tag.value for tag in tags_of[OF_NAME(row)]},
            aliases={each.alias: each.number for each in aliases_of[OF_NAME(row)]},
        )


def _beside(
    connection: Connection, table: Table, rows: Sequence[Any], owner: Callable[[Any], tuple[Any, ...]]
) -> dict[tuple[Any, ...], list[Any]]:
    """Rows of `table` by their owners among these rows."""
    beside: dict[tuple[Any, ...], list[Any]] = {owner(row): [] for row in rows}
    owners = list(beside)
    for start in range(0, len(owners), BATCH):
        chosen = select(table).where(tuple_(*owner(table.c)).in_(owners[start : start + BATCH]))
        for row in connection.execute(chosen):
            beside[owner(row)].append(row)
    return beside
