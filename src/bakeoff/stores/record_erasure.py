"""Erasing a person from the records for good: values are scrubbed, rows of theirs deleted, free space overwritten."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, Text, delete, select, update

from bakeoff.core.erasure import PersonKey
from bakeoff.core.errors import StoreError
from bakeoff.core.hashing import canonical_json
from bakeoff.core.tracked import EVALUATION_RECORDS, SPANS, TRACES
from bakeoff.stores import sums
from bakeoff.stores.database import Database
from bakeoff.stores.schema import document_fields, documents, inputs, metadata, row_sums, versions

__all__ = ["erase"]

AUDIT = "audit"
"""Its records are chained: to edit one would be to break it."""
JSON = {documents.c.body, versions.c.lineage, inputs.c.about}
_ID = re.compile("[0-9a-f]{64}")
ROWS = frozenset({TRACES, SPANS, EVALUATION_RECORDS})
"""Collections whose documents are rows: one that holds the key is of that person as a whole."""
OWNED = frozenset({"tags", "params", "experiment_tags", "name_tags", "version_tags", "document_fields"})
"""Tables whose rows have the key of a pair in their primary key: one that holds a person's key is deleted."""


def erase(database: Database, key: PersonKey, renamed: Mapping[str, str]) -> dict[str, int]:
    """Erase a person, and name blobs anew; how many rows were changed or deleted, by table."""
    counts: Counter[str] = Counter()

    def changed(text: str, *, is_json: bool) -> str:
        if is_json:
            value = json.loads(text)
            text = canonical_json(key.scrubbed(value)).decode() if key.in_value(value) else text
        else:
            text = key.scrub(text)
        return _ID.sub(lambda match: renamed.get(match[0], match[0]), text)

    with database.write() as connection:
        if database.dialect == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        counts["documents"] += _delete_rows(connection, key)
        for table in metadata.sorted_tables:
            if table is not row_sums:
                counts[table.name] += _scrub(connection, table, key, changed)
    _overwrite_free_space(database)
    return {name: count for name, count in counts.items() if count}


def _delete_rows(connection: Connection, key: PersonKey) -> int:
    """Delete documents that are rows of the person; of a trace, all."""
    doomed: set[tuple[str, str]] = set()
    traces: set[str] = set()
    rows = select(documents.c.collection, documents.c.key, documents.c.body).where(documents.c.collection.in_(ROWS))
    for row in connection.execute(rows):
        if not (key.in_text(row.key) or key.in_value(json.loads(row.body))):
            continue
        if row.collection == EVALUATION_RECORDS:
            doomed.add((row.collection, row.key))
        else:
            traces.add(row.key.partition("/")[0])
    if traces:
        of_traces = select(documents.c.collection, documents.c.key).where(documents.c.collection.in_((TRACES, SPANS)))
        rows_of = connection.execute(of_traces).all()
        doomed |= {(row.collection, row.key) for row in rows_of if row.key.partition("/")[0] in traces}
    for collection, name in doomed:
        fields = document_fields.c
        connection.execute(delete(document_fields).where(fields.collection == collection, fields.document == name))
        connection.execute(delete(documents).where(documents.c.collection == collection, documents.c.key == name))
    return len(doomed)


def _scrub(connection: Connection, table: Table, key: PersonKey, changed: Callable[..., str]) -> int:
    """Write the texts of a table again without the key; the number of rows that this changed."""
    texts = [column for column in table.columns if isinstance(column.type, Text)]
    if not texts:
        return 0
    keys, rows = list(table.primary_key.columns), list[tuple[Any, dict[str, str]]]()
    for row in connection.execute(select(*keys, *(each for each in texts if each not in keys))).mappings():
        if table is documents and row["collection"] == AUDIT:
            continue
        new = {
            column.name: text
            for column in texts
            if row[column.name] is not None
            and (text := changed(row[column.name], is_json=column in JSON)) != row[column.name]
        }
        if new:
            rows.append((row, new))
    for row, new in rows:
        at = [column == row[column.name] for column in keys]
        if table.name in OWNED and any(key.in_text(str(row[column.name])) for column in keys):
            connection.execute(delete(table).where(*at))
        else:
            connection.execute(update(table).where(*at).values(**new))
    return len(rows)


def _overwrite_free_space(database: Database) -> None:
    """Let nothing of what was deleted stay in the files of the database."""
    if database.dialect == "postgresql":
        database.write_anew(table.name for table in metadata.sorted_tables)
        return
    with database.alone() as execute:
        execute("VACUUM")
    with database.write() as connection:  # it may have numbered rows anew, by which their sums go
        connection.execute(delete(row_sums))
        sums.install(connection.exec_driver_sql)
    with database.alone() as execute:
        busy, *_ = execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreError(
            "what was erased is still in the log of the records, which another process reads: stop it and "
            "its like, then try again"
        )
