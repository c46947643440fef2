"""Registered versions, their tags and aliases."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, select, update

from bakeoff.core.errors import NotFoundError
from bakeoff.core.protocols import Clock
from bakeoff.core.records import Version, VersionKind
from bakeoff.core.types import Json
from bakeoff.stores.database import Database
from bakeoff.stores.documents import as_json
from bakeoff.stores.schema import aliases, names, version_tags, versions

__all__ = ["Versions"]


class Versions:
    """`VersionRecords` on a database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

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
        """Add the next number, or return the version of the same content and run."""
        lineage_json = as_json(lineage or {})
        with self._database.write() as connection:
            number = self._lock(connection, kind, name) + 1
            same = versions.c.run_id.is_not_distinct_from(run_id)
            where = (versions.c.kind == kind, versions.c.name == name, versions.c.content == content, same)
            if known := _find(connection, *where):
                return known[0]
            connection.execute(
                versions.insert().values(
                    kind=kind,
                    name=name,
                    number=number,
                    content=content,
                    created_ms=self._clock(),
                    run_id=run_id,
                    lineage=lineage_json,
                )
            )
            at = (names.c.kind == kind, names.c.name == name)
            connection.execute(update(names).where(*at).values(last_number=number))
            self._set_tags(connection, kind, name, number, tags or {})
            return _get(connection, kind, name, number)

    def get(self, kind: VersionKind, name: str, number: int) -> Version:
        """One version."""
        with self._database.read() as connection:
            return _get(connection, kind, name, number)

    def find(self, kind: VersionKind, name: str | None = None, *, content: str | None = None) -> list[Version]:
        """Versions, newest first."""
        where = [versions.c.kind == kind]
        if name is not None:
            where.append(versions.c.name == name)
        if content is not None:
            where.append(versions.c.content == content)
        with self._database.read() as connection:
            return _find(connection, *where)

    def set_alias(self, name: str, alias: str, number: int | None) -> None:
        """Move a model's alias, or remove it."""
        with self._database.write() as connection:
            if number is None:
                connection.execute(delete(aliases).where(*_alias(name, alias)))
                return
            _get(connection, "model", name, number)
            insert = self._database.insert(aliases).values(kind="model", name=name, alias=alias, number=number)
            connection.execute(
                insert.on_conflict_do_update(index_elements=["kind", "name", "alias"], set_={"number": number})
            )

    def by_alias(self, name: str, alias: str) -> Version | None:
        """The model version that the alias names, or None."""
        with self._database.read() as connection:
            number = connection.scalar(select(aliases.c.number).where(*_alias(name, alias)))
            return None if number is None else _get(connection, "model", name, number)

    def tag(self, kind: VersionKind, name: str, number: int, tags: Mapping[str, str]) -> None:
        """Set tags."""
        with self._database.write() as connection:
            _get(connection, kind, name, number)
            self._set_tags(connection, kind, name, number, tags)

    def _lock(self, connection: Connection, kind: str, name: str) -> int:
        """Hold the name's row until the transaction ends, so that numbers are given one at a time."""
        insert = self._database.insert(names).values(kind=kind, name=name, last_number=0)
        unchanged = {"last_number": names.c.last_number}
        held = insert.on_conflict_do_update(index_elements=["kind", "name"], set_=unchanged)
        return connection.execute(held.returning(names.c.last_number)).scalar_one()

    def _set_tags(self, connection: Connection, kind: str, name: str, number: int, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            insert = self._database.insert(version_tags)
            insert = insert.values(kind=kind, name=name, number=number, key=key, value=value)
            keys = ["kind", "name", "number", "key"]
            connection.execute(insert.on_conflict_do_update(index_elements=keys, set_={"value": value}))


def _alias(name: str, alias: str) -> tuple[ColumnElement[bool], ...]:
    return aliases.c.kind == "model", aliases.c.name == name, aliases.c.alias == alias


def _get(connection: Connection, kind: VersionKind, name: str, number: int) -> Version:
    found = _find(connection, versions.c.kind == kind, versions.c.name == name, versions.c.number == number)
    if not found:
        raise NotFoundError(f"expected a registered {kind}, received {name!r} version {number!r}")
    return found[0]


def _find(connection: Connection, *where: ColumnElement[bool]) -> list[Version]:
    newest = versions.c.created_ms.desc(), versions.c.number.desc(), versions.c.name
    rows = connection.execute(select(versions).where(*where).order_by(*newest)).all()
    tags = _beside(connection, version_tags, where) if rows else []
    named = _beside(connection, aliases, where) if rows else []
    tags_of: dict[tuple[str, str, int], dict[str, str]] = {}
    for tag in tags:
        tags_of.setdefault((tag.kind, tag.name, tag.number), {})[tag.key] = tag.value
    aliases_of: dict[tuple[str, str, int], list[str]] = {}
    for row in named:
        aliases_of.setdefault((row.kind, row.name, row.number), []).append(row.alias)
    return [
        Version(
            kind=row.kind,
            name=row.name,
            number=row.number,
            content=row.content,
            created_ms=row.created_ms,
            run_id=row.run_id,
            lineage=json.loads(row.lineage),
            tags=tags_of.get((row.kind, row.name, row.number), {}),
            aliases=tuple(sorted(aliases_of.get((row.kind, row.name, row.number), []))),
        )
        for row in rows
    ]


def _beside(connection: Connection, table: Table, where: tuple[ColumnElement[bool], ...]) -> Sequence[Any]:
    """Rows of `table` that belong to the versions matching `where`."""
    same = and_(*(table.c[key] == versions.c[key] for key in ("kind", "name", "number")))
    return connection.execute(select(table).join(versions, same).where(*where)).all()
