"""Checksums of the rows of an SQLite database, written by triggers in the transaction that writes the row.

SQLite notices a damaged structure, but not a damaged value: a flipped bit in a text is another text. The function
`bakeoff_sum` is ours and must be known to each connection that writes.
"""

from collections.abc import Iterator
from typing import Any

from blake3 import blake3

__all__ = ["TABLE", "install", "register", "wrong_rows"]

TABLE = "row_sums"
WITHOUT = frozenset({"metric_blocks", "latest_metrics", "document_fields"})
"""Tables without sums of rows: a block has its own, and the others repeat what stands elsewhere."""
FUNCTION = "bakeoff_sum"
WRITES = {"insert": "new", "update": "new", "delete": "old"}


def register(connection: Any) -> None:
    """Let a connection of the driver know the function."""
    connection.create_function(FUNCTION, -1, _sum, deterministic=True)


def _sum(*values: object) -> int:
    return int.from_bytes(blake3(repr(values).encode("utf-8", "surrogateescape")).digest(8), "little", signed=True)


def install(execute: Any) -> None:
    """Make the triggers of all tables, and the sums of rows that have none; `execute` runs one statement of SQL."""
    for table in WITHOUT:
        for what in WRITES:
            execute(f"DROP TRIGGER IF EXISTS {table}_sum_{what}")
    for table in tables(execute):
        columns = _columns(execute, table)
        for what, row in WRITES.items():
            execute(f"DROP TRIGGER IF EXISTS {table}_sum_{what}")
            forget = f"DELETE FROM {TABLE} WHERE of_table = '{table}' AND of_row = {row}.rowid"  # noqa: S608
            sums = ", ".join(f"new.{column}" for column in columns)
            insert = f"INSERT INTO {TABLE} VALUES ('{table}', new.rowid, {FUNCTION}({sums}))"  # noqa: S608
            body = forget if what == "delete" else f"{forget}; {insert}"
            execute(f"CREATE TRIGGER {table}_sum_{what} AFTER {what} ON {table} BEGIN {body}; END")
        execute(
            f"INSERT OR IGNORE INTO {TABLE} SELECT '{table}', rowid, {FUNCTION}({', '.join(columns)}) FROM {table}"  # noqa: S608
        )


def tables(execute: Any) -> list[str]:
    """The tables whose rows have sums."""
    rows = execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return [name for (name,) in rows if name not in {TABLE, *WITHOUT} and not name.startswith("sqlite_")]


def _columns(execute: Any, table: str) -> list[str]:
    return [row[1] for row in execute(f"PRAGMA table_info({table})").fetchall()]


def wrong_rows(execute: Any, table: str) -> Iterator[int]:
    """The numbers of rows that are not what was written, and of those that are lost."""
    computed = f"{FUNCTION}({', '.join(f't.{column}' for column in _columns(execute, table))})"
    sums = f"(SELECT of_row, sum FROM {TABLE} WHERE of_table = '{table}')"  # noqa: S608
    present = f"SELECT t.rowid FROM {table} t LEFT JOIN {sums} s ON s.of_row = t.rowid WHERE s.sum IS NOT {computed}"  # noqa: S608
    lost = f"SELECT s.of_row FROM {sums} s LEFT JOIN {table} t ON t.rowid = s.of_row WHERE t.rowid IS NULL"  # noqa: S608
    for statement in (present, lost):
        yield from (row for (row,) in execute(statement).fetchall())
