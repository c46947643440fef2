"""The project's SQL over the loaded tables, and which of their columns it passes on."""

import json
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import duckdb
    import polars as pl

__all__ = ["QUERY", "SETTINGS", "first_line", "lineage", "quoted", "require_duckdb", "run_query", "write_selected"]

QUERY = "[data] query"

SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "threads": 1,
}


def require_duckdb(what: str) -> None:
    """See that DuckDB is here, by which SQL runs.

    Raises:
        MissingExtraError: the extra `sql` is not installed, and `what` needs it.
    """
    if find_spec("duckdb") is None:
        raise MissingExtraError.of(what, "sql", "duckdb")


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def first_line(error: Exception) -> str:
    """What DuckDB says, without the SQL that it repeats."""
    return str(error).strip().partition("\n")[0]


def write_selected(connection: "duckdb.DuckDBPyConnection", query: str, target: Path, *, name: str) -> None:
    """Write what one SELECT gives as Parquet, shut off from all but the connection's tables and the target's folder.

    Raises:
        DataError: the query is no single SELECT.
        duckdb.Error: it cannot be run.
    """
    import duckdb

    allowed = str(target.parent).replace("'", "''")
    connection.execute(f"SET TimeZone = 'UTC'; SET allowed_directories = ['{allowed}']; SELECT setseed(0.42)")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    statements = connection.extract_statements(query)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        raise DataError(f"{name}: expected one SELECT, received {query.strip()[:200]!r}")
    connection.sql(query).write_parquet(str(target), compression="lz4")


def run_query(tables: "Mapping[str, pl.DataFrame]", query: str) -> "pl.DataFrame":
    """Run the project's SQL shut off from all but the tables and an empty folder, through which its result comes.

    Handing tables over in memory (the Arrow capsule) makes DuckDB 2.0.0 print pages about leaked types when the
    process ends.

    Raises:
        DataError: the query is no single SELECT, or cannot be run. MissingExtraError: DuckDB is not installed.
    """
    require_duckdb(QUERY)
    import duckdb
    import polars as pl

    with tempfile.TemporaryDirectory(prefix="bakeoff-query-") as scratch, duckdb.connect(config=SETTINGS) as connection:
        folder = Path(scratch)
        for name, table in tables.items():
            path = folder / "table.parquet"
            table.write_parquet(path, compression="uncompressed")
            load = f"CREATE TABLE {quoted(name)} AS SELECT * FROM read_parquet(?)"  # noqa: S608
            connection.execute(load, [str(path)])
            path.unlink()
        result = folder / "result.parquet"
        try:
            write_selected(connection, query, result, name=QUERY)
        except duckdb.Error as error:
            raise DataError(f"{QUERY}: {error}") from error
        return pl.read_parquet(result, glob=False, memory_map=False)


def lineage(query: str) -> dict[str, str]:
    """Columns that the query renames: the name in its result, and the name in the tables.

    >>> lineage("SELECT text AS review, a + 1 AS b FROM source")
    {'review': 'text'}
    """
    require_duckdb(QUERY)
    import duckdb

    with duckdb.connect(config=SETTINGS) as connection:
        row = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    tree: Any = json.loads(str(row[0])) if row else {}
    names: dict[str, str] = {}
    for statement in tree.get("statements", []):
        for item in (statement.get("node") or {}).get("select_list") or []:
            if item.get("class") == "COLUMN_REF" and item.get("alias"):
                names[str(item["alias"])] = str(item["column_names"][-1])
    return names
