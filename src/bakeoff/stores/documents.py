"""JSON documents with compare-and-swap."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from bakeoff.core.errors import ConflictError, UsageError
from bakeoff.core.hashing import canonical_json
from bakeoff.core.protocols import Clock
from bakeoff.core.records import Document
from bakeoff.core.types import Json
from bakeoff.stores.database import Database
from bakeoff.stores.schema import documents

__all__ = ["Documents", "as_json"]


def as_json(value: Mapping[str, Json]) -> str:
    """Canonical JSON; `UsageError` for what JSON cannot hold."""
    try:
        return canonical_json(value).decode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"expected values that JSON can hold, received {value!r} ({error})") from error


class Documents:
    """`DocumentRecords` on a database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, collection: str, key: str) -> Document | None:
        """The document, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(documents).where(*_at(collection, key))).one_or_none()
        return None if row is None else _document(row)

    def put(self, collection: str, key: str, body: Mapping[str, Json], *, expected: int | None = None) -> Document:
        """Write; with `expected`, compare-and-swap."""
        row = {"collection": collection, "key": key, "body": as_json(body), "updated_ms": self._clock()}
        with self._database.write() as connection:
            if expected is None:
                written = self._overwrite(connection, row)
            elif expected == 0:
                written = self._create(connection, row)
            else:
                written = _swap(connection, row, expected)
            if written is None:
                found = connection.scalar(select(documents.c.revision).where(*_at(collection, key))) or 0
                raise ConflictError(
                    f"expected revision {expected} of {collection}/{key}, found {found}: read it again and retry"
                )
        return _document(written)

    def find(self, collection: str, prefix: str = "") -> list[Document]:
        """Documents whose key starts with `prefix`, ordered by key."""
        matches = func.substr(documents.c.key, 1, len(prefix)) == prefix  # LIKE of SQLite ignores case
        with self._database.read() as connection:
            rows = connection.execute(select(documents).where(documents.c.collection == collection, matches)).all()
        return sorted(map(_document, rows), key=lambda document: document.key)  # collations of databases differ

    def delete(self, collection: str, key: str) -> None:
        """Remove it if it exists."""
        with self._database.write() as connection:
            connection.execute(delete(documents).where(*_at(collection, key)))

    def _overwrite(self, connection: Connection, row: dict[str, Any]) -> Any:
        insert = self._database.insert(documents).values(**row, revision=1)
        changes = {"body": row["body"], "updated_ms": row["updated_ms"], "revision": documents.c.revision + 1}
        statement = insert.on_conflict_do_update(index_elements=["collection", "key"], set_=changes)
        return connection.execute(statement.returning(documents)).one()

    def _create(self, connection: Connection, row: dict[str, Any]) -> Any:
        insert = self._database.insert(documents).values(**row, revision=1)
        return connection.execute(insert.on_conflict_do_nothing().returning(documents)).one_or_none()


def _swap(connection: Connection, row: dict[str, Any], expected: int) -> Any:
    where = (*_at(row["collection"], row["key"]), documents.c.revision == expected)
    changes = {"body": row["body"], "updated_ms": row["updated_ms"], "revision": expected + 1}
    return connection.execute(update(documents).where(*where).values(**changes).returning(documents)).one_or_none()


def _at(collection: str, key: str) -> Any:
    return documents.c.collection == collection, documents.c.key == key


def _document(row: Any) -> Document:
    return Document(
        collection=row.collection,
        key=row.key,
        revision=row.revision,
        body=json.loads(row.body),
        updated_ms=row.updated_ms,
    )
