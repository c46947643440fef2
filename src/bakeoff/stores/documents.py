"""JSON documents with compare-and-swap."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from bakeoff.core.errors import ConflictError, StoreError, UsageError
from bakeoff.core.hashing import canonical_json
from bakeoff.core.protocols import Clock
from bakeoff.core.queries import Expr, Page, Query
from bakeoff.core.records import Document, DocumentChange
from bakeoff.core.types import Json
from bakeoff.stores.database import Database
from bakeoff.stores.grouping import Grouping
from bakeoff.stores.schema import document_fields, documents
from bakeoff.stores.search import Beside, Entity, count, find

__all__ = ["Documents", "as_json"]


def as_json(value: Mapping[str, Json]) -> str:
    """Canonical JSON; `UsageError` for what JSON cannot hold."""
    try:
        return canonical_json(value).decode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"expected values that JSON can hold, received {value!r} ({error})") from error


LAST = "\U0010ffff"
"""Sorts behind every other character."""
_FIELDS = {"collection": "collection", "document": "key"}
ENTITY = Entity(
    table=documents,
    attributes={"id": "key", "created_ms": "created_ms", "updated_ms": "updated_ms"},
    stamp="created_ms",
    key="key",
    newest=(documents.c.created_ms.desc(), documents.c.key),
    beside={
        "attribute": Beside(table=document_fields, same=_FIELDS, only={"kind": "attribute"}, value=("text", "number")),
        "metric": Beside(table=document_fields, same=_FIELDS, only={"kind": "metric"}, value=("number",)),
        "param": Beside(table=document_fields, same=_FIELDS, only={"kind": "param"}, value=("text",)),
        "tag": Beside(table=document_fields, same=_FIELDS, only={"kind": "tag"}, value=("text",)),
    },
)


class Documents:
    """`DocumentRecords` on a database."""

    def __init__(self, database: Database, grouped: Grouping, clock: Clock) -> None:
        self._database, self._grouped, self._clock = database, grouped, clock

    def get(self, collection: str, key: str) -> Document | None:
        """The document, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(documents).where(*_at(collection, key))).one_or_none()
        return None if row is None else _document(row)

    def put(self, collection: str, key: str, body: Mapping[str, Json], *, expected: int | None = None) -> Document:
        """Write; with `expected`, compare-and-swap."""
        with self._database.write() as connection:
            return _document(self._put(connection, collection, key, body, expected))

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        """All of them or none, with one commit for all calls that come at once."""

        def applied(connection: Connection) -> None:
            for change in changes:
                self._change(connection, change)

        self._grouped(applied)

    def search(self, collection: str, query: Query) -> Page[Document]:
        """By fields, and by attributes."""
        with self._database.search() as connection:
            rows, following = find(connection, ENTITY, query, documents.c.collection == collection)
            return Page(items=tuple(map(_document, rows)), following=following)

    def count(self, collection: str, where: Expr | None = None) -> int:
        """Of how many documents a condition holds."""
        with self._database.search() as connection:
            return count(connection, ENTITY, where, documents.c.collection == collection)

    def find(self, collection: str, prefix: str = "") -> list[Document]:
        """Documents whose key starts with `prefix`, ordered by key."""
        where = [documents.c.collection == collection]
        if prefix:
            where.append(func.substr(documents.c.key, 1, len(prefix)) == prefix)  # LIKE of SQLite ignores case
        with self._database.read() as connection:
            if prefix and connection.dialect.name == "sqlite":  # its keys are in the order of their bytes: by the index
                where.append(documents.c.key.between(prefix, prefix + LAST))
            rows = connection.execute(select(documents).where(*where)).all()
        return sorted(map(_document, rows), key=lambda document: document.key)  # collations of databases differ

    def delete(self, collection: str, key: str) -> None:
        """Remove it if it exists."""
        self.apply([DocumentChange(collection=collection, key=key, body=None)])

    def _change(self, connection: Connection, change: DocumentChange) -> None:
        collection, key = change.collection, change.key
        of_document = (document_fields.c.collection == collection, document_fields.c.document == key)
        connection.execute(delete(document_fields).where(*of_document))
        if change.body is None:
            self._remove(connection, collection, key, change.expected)
            return
        self._put(connection, collection, key, change.body, change.expected)
        if change.fields:
            fields = [
                {
                    "collection": collection,
                    "document": key,
                    "kind": at.kind,
                    "key": at.key,
                    "text": value if isinstance(value, str) else None,
                    "number": None if isinstance(value, str) else value,
                }
                for at, value in change.fields.items()
            ]
            connection.execute(document_fields.insert(), fields)

    def _remove(self, connection: Connection, collection: str, key: str, expected: int | None) -> None:
        where = _at(collection, key)
        if expected is not None:
            revision = connection.scalar(delete(documents).where(*where).returning(documents.c.revision)) or 0
            if revision != expected:
                raise _conflict(collection, key, expected, revision)
            return
        connection.execute(delete(documents).where(*where))

    def _put(
        self, connection: Connection, collection: str, key: str, body: Mapping[str, Json], expected: int | None
    ) -> Any:
        row = {"collection": collection, "key": key, "body": as_json(body), "updated_ms": self._clock()}
        if expected is None:
            written = self._overwrite(connection, row)
        elif expected == 0:
            written = self._create(connection, row)
        else:
            written = _swap(connection, row, expected)
        if written is None:
            found = connection.scalar(select(documents.c.revision).where(*_at(collection, key))) or 0
            raise _conflict(collection, key, expected, found)
        return written

    def _overwrite(self, connection: Connection, row: dict[str, Any]) -> Any:
        insert = self._database.insert(documents).values(**row, created_ms=row["updated_ms"], revision=1)
        changes = {"body": row["body"], "updated_ms": row["updated_ms"], "revision": documents.c.revision + 1}
        statement = insert.on_conflict_do_update(index_elements=["collection", "key"], set_=changes)
        return connection.execute(statement.returning(documents)).one()

    def _create(self, connection: Connection, row: dict[str, Any]) -> Any:
        insert = self._database.insert(documents).values(**row, created_ms=row["updated_ms"], revision=1)
        return connection.execute(insert.on_conflict_do_nothing().returning(documents)).one_or_none()


def _conflict(collection: str, key: str, expected: int | None, revision: int) -> ConflictError:
    return ConflictError(
        f"expected revision {expected} of {collection}/{key}, found {revision}: read it again and retry"
    )


def _swap(connection: Connection, row: dict[str, Any], expected: int) -> Any:
    where = (*_at(row["collection"], row["key"]), documents.c.revision == expected)
    changes = {"body": row["body"], "updated_ms": row["updated_ms"], "revision": expected + 1}
    return connection.execute(update(documents).where(*where).values(**changes).returning(documents)).one_or_none()


def _at(collection: str, key: str) -> Any:
    return documents.c.collection == collection, documents.c.key == key


def _decoded(text: str) -> Any:
    """What a body holds; the decoder that is several times as fast does not take half characters, as json does."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError):
        return json.loads(text)


def _document(row: Any) -> Document:
    try:
        body = _decoded(row.body)
    except ValueError as error:
        raise StoreError(
            f"expected JSON in the record {row.collection}/{row.key}, received something else ({error}): it was "
            "edited, or the disk damaged it; restore the database"
        ) from error
    return Document(
        collection=row.collection,
        key=row.key,
        revision=row.revision,
        body=body,
        updated_ms=row.updated_ms,
        created_ms=row.created_ms,
    )
