"""Copy all records of one database into another, whatever kinds they are, and compare what is in both."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from blake3 import blake3
from sqlalchemy import Connection, Integer, Table, func, select, text

from bakeoff.core.errors import CorruptError, UsageError
from bakeoff.stores.database import Database
from bakeoff.stores.schema import metadata, row_sums

__all__ = ["TableSum", "copy_records", "sums_of"]

_ROWS = 2_000
_MODULUS = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSum:
    """How many rows a table has, and a sum over them that does not depend on their order."""

    rows: int
    checksum: str


def copy_records(source: Database, target: Database, *, again: bool) -> Mapping[str, TableSum]:
    """All of it or nothing, in one transaction; what both then have, by table. Nothing is done where both are alike.

    Args:
        source: is read as of one moment.
        target: has the same schema.
        again: what the target holds is removed first.

    Raises:
        UsageError: the target holds something else. CorruptError: what was written is not what was read.
    """
    with source.read() as read, target.write() as write:
        wanted = sums_of(read)
        there = sums_of(write)
        if there == wanted:
            return wanted
        if any(each.rows for each in there.values()):
            if not again:
                filled = ", ".join(f"{name} ({each.rows:,})" for name, each in there.items() if each.rows)
                raise UsageError(
                    f"expected empty records at {target.place}, found rows in {filled}; --again removes them and "
                    "copies anew"
                )
            for table in reversed(_tables()):
                write.execute(table.delete())
        for table in _tables():
            names = [column.name for column in table.columns]
            for page in _pages(read, table):
                write.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in page])
            _continue_numbers(write, table)
        made = sums_of(write)
        if made != wanted:
            differing = sorted(name for name in wanted if made[name] != wanted[name])
            raise CorruptError(f"expected the same rows in both records, found others in {', '.join(differing)}")
    return wanted


def sums_of(connection: Connection) -> dict[str, TableSum]:
    """Of each table."""
    return {table.name: _sum(connection, table) for table in _tables()}


def _tables() -> list[Table]:
    """Those that others refer to first; what SQLite keeps for itself is not copied."""
    return [table for table in metadata.sorted_tables if table is not row_sums]


def _sum(connection: Connection, table: Table) -> TableSum:
    rows = total = 0
    for page in _pages(connection, table):
        for row in page:
            # NaN and the sign of zero do not survive in every database as bits; their texts do.
            encoded = msgspec.msgpack.encode([_plain(value) for value in row])
            total = (total + int.from_bytes(blake3(encoded).digest(length=8), "big")) % _MODULUS
            rows += 1
    return TableSum(rows=rows, checksum=f"{total:016x}")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


def _pages(connection: Connection, table: Table) -> Iterator[Sequence[Sequence[Any]]]:
    keys = list(table.primary_key.columns)
    streamed = {"stream_results": True, "max_row_buffer": _ROWS}  # of this statement alone: others write by it
    return connection.execute(select(table).order_by(*keys), execution_options=streamed).partitions(_ROWS)


def _continue_numbers(connection: Connection, table: Table) -> None:
    """Let a server count on from the greatest number that was copied."""
    keys = list(table.primary_key.columns)
    if connection.dialect.name != "postgresql" or len(keys) != 1 or not isinstance(keys[0].type, Integer):
        return
    name, column = table.name, keys[0].name
    sequence = connection.execute(text("SELECT pg_get_serial_sequence(:t, :c)"), {"t": name, "c": column}).scalar()
    most = connection.execute(select(func.max(keys[0]))).scalar()
    if sequence is not None and most is not None:
        connection.execute(text("SELECT setval(:sequence, :most)"), {"sequence": sequence, "most": most})
