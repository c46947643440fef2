"""Pairs of key and value beside a row: tags, params."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete

from bakeoff.stores.database import Database

__all__ = ["change_tags"]


def change_tags(
    database: Database,
    connection: Connection,
    table: Table,
    owner: Mapping[str, Any],
    tags: Mapping[str, str],
    *,
    remove: Iterable[str] = (),
) -> None:
    """Remove some tags of a row, then set others; in one order of keys, so that no two writers wait for each other."""
    for key in sorted(set(remove)):
        at = [table.c[name] == value for name, value in owner.items()]
        connection.execute(delete(table).where(*at, table.c.key == key))
    if tags:
        insert = database.insert(table)
        rows = [{**owner, "key": key, "value": value} for key, value in sorted(tags.items())]
        upsert = insert.on_conflict_do_update(index_elements=[*owner, "key"], set_={"value": insert.excluded.value})
        connection.execute(upsert, rows)
