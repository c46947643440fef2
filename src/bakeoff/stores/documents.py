"""JSON documents with compare-and-swap."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, literal_column, select, update

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


MOST_ROWS, MOST_READS = 100, 100
"""So many are remembered of a read, and so many reads."""
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
        self._known: tuple[tuple[object, int] | None, dict[tuple[str, str, bool], list[Any]]] = None, {}
        names, columns = ["of_collection", "of_key"], [each.name for each in documents.c]
        at = [documents.c[name] == bindparam(f"of_{name}") for name in ("collection", "key")]
        revision, insert = documents.c.revision, database.insert(documents)
        new: dict[str, Any] = {name: insert.excluded[name] for name in ("body", "updated_ms")}
        new["revision"] = revision + literal_column("1")
        upsert = insert.on_conflict_do_update(index_elements=["collection", "key"], set_=new)
        swap = update(documents).where(*at, revision == bindparam("expected")).returning(revision)
        self._select = database.statement(select(documents).where(*at), names)
        self._revision = database.statement(select(revision).where(*at), names)
        self._create = database.statement(insert.on_conflict_do_nothing().returning(revision), columns)
        self._overwrite = database.statement(upsert.returning(revision), columns)
        self._swap = database.statement(swap, ["revision", "body", "updated_ms", *names, "expected"])
        self._remove = database.statement(delete(documents).where(*at).returning(revision), names)
        of = [document_fields.c[name] == bindparam(f"of_{key}") for name, key in _FIELDS.items()]
        self._remove_fields = database.statement(delete(document_fields).where(*of), names)
        self._insert_field = database.statement(
            database.insert(document_fields), [each.name for each in document_fields.c]
        )

    def get(self, collection: str, key: str) -> Document | None:
        """The document, or None."""

        def read() -> list[Any]:
            with self._database.read() as connection:
                return self._select.rows(connection, collection, key)

        rows = self._remembered((collection, key, False), read)
        return _document(rows[0]) if rows else None

    def put(self, collection: str, key: str, body: Mapping[str, Json], *, expected: int | None = None) -> Document:
        """Write; with `expected`, compare-and-swap."""
        with self._database.write() as connection:
            self._put(connection, collection, key, body, expected)
            return _document(self._select.rows(connection, collection, key)[0])

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

        def read() -> list[Any]:
            where = [documents.c.collection == collection]
            if prefix:
                where.append(func.substr(documents.c.key, 1, len(prefix)) == prefix)  # LIKE of SQLite ignores case
            with self._database.read() as connection:
                if prefix and connection.dialect.name == "sqlite":  # its keys are in the order of their bytes
                    where.append(documents.c.key.between(prefix, prefix + LAST))
                return list(connection.execute(select(documents).where(*where)).all())

        rows = self._remembered((collection, prefix, True), read)
        return sorted(map(_document, rows), key=lambda document: document.key)  # collations of databases differ

    def _remembered(self, what: tuple[str, str, bool], read: Callable[[], list[Any]]) -> list[Any]:
        """Rows as they were read last, while nothing has been committed since: who looks often, looks cheaply."""
        stamp = self._database.stamp()  # before the rows are read: what is committed meanwhile gives another one
        if stamp is None:
            return read()
        of, known = self._known
        if of != stamp:
            self._known = of, known = stamp, {}
        if what not in known:
            rows = read()
            if len(rows) > MOST_ROWS or len(known) >= MOST_READS:
                return rows
            known[what] = rows
        return known[what]

    def delete(self, collection: str, key: str) -> None:
        """Remove it if it exists."""
        self.apply([DocumentChange(collection=collection, key=key, body=None)])

    def _change(self, connection: Connection, change: DocumentChange) -> None:
        collection, key = change.collection, change.key
        if change.body is None:
            removed = self._remove.rows(connection, collection, key)
            revision = removed[0][0] if removed else 0
            if change.expected not in {None, revision}:
                raise _conflict(collection, key, change.expected, revision)
            self._remove_fields.change(connection, collection, key)
            return
        if self._put(connection, collection, key, change.body, change.expected) != 1:  # what is new has no fields yet
            self._remove_fields.change(connection, collection, key)
        fields = [
            (collection, key, at.kind, at.key, *((value, None) if isinstance(value, str) else (None, value)))
            for at, value in change.fields.items()
        ]
        self._insert_field.change_each(connection, fields)

    def _put(
        self, connection: Connection, collection: str, key: str, body: Mapping[str, Json], expected: int | None
    ) -> int:
        """Write; the revision that it is then."""
        text, now_ms = as_json(body), self._clock()
        if expected:
            rows = self._swap.rows(connection, expected + 1, text, now_ms, collection, key, expected)
        else:
            write = self._overwrite if expected is None else self._create
            rows = write.rows(connection, collection, key, 1, text, now_ms, now_ms)
        if not rows:
            known = self._revision.rows(connection, collection, key)
            raise _conflict(collection, key, expected, known[0][0] if known else 0)
        return rows[0][0]


def _conflict(collection: str, key: str, expected: int | None, revision: int) -> ConflictError:
    return ConflictError(
        f"expected revision {expected} of {collection}/{key}, found {revision}: read it again and retry"
    )


def _decoded(text: str) -> Any:
    """What a body holds; the decoder that is several times as fast does not take half characters, as json does."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError):
        return json.loads(text)


def _document(row: Sequence[Any]) -> Document:
    """Of a row, in the order of its columns."""
    collection, key, revision, text, updated_ms, created_ms = row
    try:
        body = _decoded(text)
    except ValueError as error:
        raise StoreError(
            f"expected JSON in the record {collection}/{key}, received something else ({error}): it was "
            "edited, or the disk damaged it; restore the database"
        ) from error
    return Document(
        collection=collection, key=key, revision=revision, body=body, updated_ms=updated_ms, created_ms=created_ms
    )
