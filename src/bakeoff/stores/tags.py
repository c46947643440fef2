"""Pairs of key and value beside a row: tags."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, select

from bakeoff.stores.database import Database

__all__ = ["Tags"]


class Tags:
    """The tags of the rows of one table.

    Args:
        database: where they are.
        table: the tags'; its key is that of their row, and `key`.
    """

    def __init__(self, database: Database, table: Table) -> None:
        names = [column.name for column in table.primary_key]
        insert = database.insert(table)
        upsert = insert.on_conflict_do_update(index_elements=names, set_={"value": insert.excluded.value})
        self._upsert = database.statement(upsert, (*names, "value"))
        *owner, key = [table.c[name] == bindparam(name) for name in names]
        self._delete = database.statement(delete(table).where(*owner, key), names)
        pairs = select(table.c.key, table.c.value).where(*owner).order_by(table.c.key)
        self._select = database.statement(pairs, names[:-1])

    def of(self, connection: Connection, owner: tuple[Any, ...]) -> dict[str, str]:
        """The tags of the row with this key, by their keys in ascending order."""
        return dict(self._select.rows(connection, *owner))

    def change(
        self, connection: Connection, owner: tuple[Any, ...], tags: Mapping[str, str], *, remove: Iterable[str] = ()
    ) -> None:
        """Remove some tags of a row, then set others; in one order of keys, so that no two writers wait for each other.

        `owner` is the key of the row.
        """
        self._delete.change_each(connection, [(*owner, key) for key in sorted(set(remove))])
        self._upsert.change_each(connection, [(*owner, key, value) for key, value in sorted(tags.items())])
