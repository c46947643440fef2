"""Tables and queries of databases as files: SQLite and DuckDB files, and PostgreSQL.

A location names what is read behind "!": `shop.db!orders`, `shop.db!SELECT * FROM orders WHERE paid`,
`postgresql://user@host/shop!public.orders`. Without it, the only table is meant. Databases are opened for reading
alone. What they give is written to a file in the cache, as JSON lines (DuckDB: Parquet), and is read like any other: a
text is read as its column is written, whole numbers stay whole.
"""

import re
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import LiteralString, cast
from urllib.parse import urlsplit

import msgspec

from bakeoff.core.errors import DataError, MissingExtraError
from bakeoff.core.hashing import digest, digest_json
from bakeoff.core.plugins import suggestion
from bakeoff.data.cache import place, scratch
from bakeoff.data.headers import clean_names
from bakeoff.data.querying import SETTINGS, first_line, quoted, require_duckdb, write_selected

__all__ = ["SERVER_SCHEMES", "database_rows", "is_database", "known_rows", "known_server_rows", "server_rows"]

SERVER_SCHEMES = frozenset({"postgresql", "postgres"})
FRESH_S = 300.0
"""So long a run takes what a server gave last for what is there; whoever reads the rows asks again."""
SQLITE, DUCKDB = b"SQLite format 3\0", b"DUCK"
DUCKDB_AT = 8
QUERY = re.compile(r"\s*(?:SELECT|WITH|VALUES|FROM|\()\b", re.IGNORECASE)
LINES = ".jsonl"
SHOWN = 10
TABLES = """
SELECT CASE WHEN table_schema IN ('public', 'main') THEN table_name ELSE table_schema || '.' || table_name END
FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
"""
SQLITE_TABLES = (
    "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
)


def is_database(path: Path) -> bool:
    """Whether a file is a database of SQLite or DuckDB, by its first bytes."""
    if not path.is_file():
        return False
    head = _head(path)
    return head == SQLITE or head[DUCKDB_AT:].startswith(DUCKDB)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(SQLITE))


def known_rows(path: Path, wanted: str, cache: Path) -> Path | None:
    """The file of rows that was made of a database as it is now, if it was."""
    file = _place_of(path, wanted, cache)
    return file if file.is_file() else None


def database_rows(path: Path, wanted: str, *, cache: Path) -> Path:
    """The rows of a table (or query) of a database's file, made once for each state of the file.

    Args:
        path: The database.
        wanted: The table, or a SELECT; "" for the only table.
        cache: Where the rows are kept.

    Raises:
        DataError: there is no such table, or it cannot be read.
        MissingExtraError: it is of DuckDB, which is not installed.
    """

    def make(target: Path) -> None:
        (_write_sqlite if target.suffix == LINES else _write_duckdb)(path, wanted, target)

    return place(_place_of(path, wanted, cache), make, cache=cache)


def _place_of(path: Path, wanted: str, cache: Path) -> Path:
    # What was written last stands in the log beside the file, whose own time does not tell.
    files = [file for end in ("", "-wal", ".wal") if (file := path.with_name(path.name + end)).exists()]
    stats = [(str(file), file.stat()) for file in files]
    stamps = [[name, stat.st_size, stat.st_mtime_ns, stat.st_ino] for name, stat in stats]
    suffix = LINES if _head(path) == SQLITE else ".parquet"
    return cache / "databases" / digest_json([stamps, wanted])[:32] / f"{_label(wanted) or path.stem}{suffix}"


def _label(wanted: str) -> str:
    """What messages call the rows."""
    return "query" if QUERY.match(wanted) else re.sub(r"[^\w.-]+", "_", wanted)


def _write_sqlite(path: Path, wanted: str, target: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            tables = [str(name) for (name,) in connection.execute(SQLITE_TABLES)]
            cursor = connection.execute(_query(tables, wanted, path.name, schemas=False))
            _write([column[0] for column in cursor.description], cursor, target, path.name)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _unreadable(path.name, wanted, error) from error


def _write_duckdb(path: Path, wanted: str, target: Path) -> None:
    require_duckdb(f"{path.name}, a file of DuckDB,")
    import duckdb

    try:
        with duckdb.connect(str(path), read_only=True, config=SETTINGS) as connection:
            tables = [str(name) for (name,) in connection.execute(TABLES).fetchall()]
            query = _query(tables, wanted, path.name)
            write_selected(connection, query, target, name=path.name)
    except duckdb.Error as error:
        raise _unreadable(path.name, wanted, error) from error


def server_rows(url: str, wanted: str, *, cache: Path) -> Path:
    """The rows of a table (or query) of a PostgreSQL server, asked for anew.

    Args:
        url: Of the database, without a password (libpq's PGPASSWORD or ~/.pgpass have it).
        wanted: The table, or a SELECT; "" for the only table.
        cache: Where the rows are kept.

    Raises:
        DataError: there is no such table, or it cannot be read.
        MissingExtraError: psycopg is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtraError.of("a source on PostgreSQL", "postgres", "psycopg") from error
    if urlsplit(url).password is not None:
        raise DataError("expected a postgresql:// source without a password: set PGPASSWORD, or write a ~/.pgpass")
    name = urlsplit(url).path.lstrip("/") or "the database"
    file = _server_place(url, wanted, cache)
    try:
        with psycopg.connect(url) as connection, scratch(cache) as making:
            connection.read_only = True
            connection.execute("SET TIME ZONE 'UTC'")
            tables = [str(table) for (table,) in connection.execute(TABLES)]
            query = cast("LiteralString", _query(tables, wanted, name))  # the project's own, in a read-only transaction
            with connection.cursor(name="bakeoff") as cursor:
                cursor.execute(query)
                draft = making / file.name
                _write([column.name for column in cursor.description or ()], cursor, draft, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(file)
    except psycopg.Error as error:
        raise _unreadable(name, wanted, error) from error
    return file


def known_server_rows(url: str, wanted: str, cache: Path) -> Path | None:
    """The rows that were asked for in the last minutes, if they were."""
    file = _server_place(url, wanted, cache)
    return file if file.is_file() and 0 <= time.time() - file.stat().st_mtime < FRESH_S else None


def _server_place(url: str, wanted: str, cache: Path) -> Path:
    return cache / "databases" / digest(f"{url}!{wanted}".encode())[:32] / f"{_label(wanted) or 'rows'}{LINES}"


def _unreadable(name: str, wanted: str, error: Exception) -> DataError:
    what = f"{wanted.strip()[:200]!r} of {name}" if wanted else name
    return DataError(f"{what}: could not be read: {first_line(error)}")


def _write(names: Sequence[str], rows: Iterable[Sequence[object]], target: Path, name: str) -> None:
    """Rows as JSON lines; what JSON lacks as text."""
    encode = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode
    names, _ = clean_names(names, file=name)
    with target.open("wb") as file:
        for row in rows:
            file.write(encode(dict(zip(names, map(_plain, row), strict=True))) + b"\n")


def _plain(value: object) -> object:
    """A value as JSON can have it: endless numbers as words, bytes as the text that they are, else in hexadecimal."""
    if isinstance(value, (float, Decimal)) and not isfinite(value):
        return str(value)
    if isinstance(value, (bytes, memoryview)):
        content = bytes(value)
        try:
            return content.decode()
        except UnicodeDecodeError:
            return "\\x" + content.hex()
    return value


def _query(tables: Sequence[str], wanted: str, name: str, *, schemas: bool = True) -> str:
    """The SELECT that gives the rows.

    Raises:
        DataError: there is no such table, or none is named and there are several.
    """
    if QUERY.match(wanted):
        return wanted
    if not wanted and len(tables) == 1:
        wanted = tables[0]
    if wanted not in tables:
        shown = ", ".join(map(repr, tables[:SHOWN])) + (", …" if len(tables) > SHOWN else "")
        if not wanted:
            hint = f"; name one of them: {name}!{tables[0]}, or {name}!SELECT …" if tables else ""
            raise DataError(f"{name}: expected one table, found {len(tables)} ({shown or 'none'}){hint}.")
        raise DataError(f"{name}: expected a table {wanted!r}, found {shown or 'none'}. {suggestion(wanted, tables)}")
    parts = wanted.split(".", 1) if schemas else [wanted]
    return "SELECT * FROM " + ".".join(map(quoted, parts))  # noqa: S608 - the name of a table that is there
