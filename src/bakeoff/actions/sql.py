"""Questions in SQL: over runs, metrics, predictions, feedback, traces and the rest, shut off from all else.

What a query asks for is written as Parquet into a folder of its own, of one state of the records; DuckDB sees this
folder and nothing besides.
"""

import datetime as dt
import json
import math
import shutil
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bakeoff.actions.sql_views import EVENTS, VIEWS, sources_of, sql_of
from bakeoff.core.errors import DataError, MissingExtraError, UsageError
from bakeoff.core.plugins import suggestion
from bakeoff.core.protocols import EventLog, RecordStore, Tabular

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Form", "answered", "document", "read_answer", "write_answer"]

Form: TypeAlias = Literal["table", "csv", "parquet", "json"]
MEMORY, DISK = "1GB", "20GB"
TIMEOUT_S = 300.0
RESULT = "result.parquet"


@contextmanager
def answered(
    query: str, records: RecordStore, events: EventLog | None, *, timeout_s: float = TIMEOUT_S
) -> "Generator[Path]":
    """The answer to one SELECT as a Parquet file, which is there within the block.

    Args:
        query: over the views of `VIEWS`.
        records: what is asked of.
        events: the log of predictions and feedback, if there is one.
        timeout_s: the most seconds that the query may run.

    Raises:
        DataError: the query is no single SELECT, cannot be run, or takes too long or too much memory.
        UsageError: the records do not give tables. MissingExtraError: DuckDB is not installed.
    """
    duckdb, querying = _duckdb()
    if not isinstance(records, Tabular):
        raise UsageError(f"expected records that give tables, received {type(records).__name__}, which do not")
    with tempfile.TemporaryDirectory(prefix="bakeoff-sql-") as scratch:
        folder = Path(scratch)
        settings = {**querying.SETTINGS, "memory_limit": MEMORY, "temp_directory": str(folder / "spilled")}
        settings["max_temp_directory_size"] = DISK
        with duckdb.connect(config=settings) as connection:
            wanted = [name for name in VIEWS if name in _names(connection, query)]
            _load(connection, wanted, records, events, folder)
            timer = threading.Timer(timeout_s, connection.interrupt)
            timer.start()
            try:
                querying.write_selected(connection, query, folder / RESULT, name="sql")
            except duckdb.InterruptException as error:
                raise DataError(f"sql: the query ran longer than {timeout_s:g} s and was ended: --timeout") from error
            except duckdb.Error as error:
                raise DataError(_message(query, error, known=isinstance(error, duckdb.CatalogException))) from error
            finally:
                timer.cancel()
        yield folder / RESULT


def _duckdb() -> tuple[Any, Any]:
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError.of("bakeoff sql", "sql", "duckdb") from error
    from bakeoff.data import querying

    return duckdb, querying


def _names(connection: Any, query: str) -> set[str]:
    """The tables that a query names; what cannot be parsed names none, and is refused where it runs."""
    row = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    return set(_tables(json.loads(str(row[0]))))


def _tables(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if tree.get("type") == "BASE_TABLE":
            yield str(tree["table_name"]).lower()
        for each in tree.values():
            yield from _tables(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from _tables(each)


def _load(connection: Any, wanted: Sequence[str], records: Tabular, events: EventLog | None, folder: Path) -> None:
    """Make the views that are asked for, of what they read."""
    connection.execute("CREATE SCHEMA source")
    sources = dict.fromkeys(each for view in wanted for each in sources_of(view))
    with records.tables() as read:
        for name in sources:
            if name in EVENTS:
                _events(connection, name, events, folder)
            else:
                _source(connection, name, read(name), folder)
    for name in wanted:
        connection.execute(f'CREATE VIEW main."{name}" AS {sql_of(name)}')


def _source(connection: Any, name: str, batches: "Iterator[pl.DataFrame]", folder: Path) -> None:
    files: list[str] = []
    for batch in batches:
        files.append(str(folder / f"source-{len(list(folder.iterdir()))}.parquet"))
        batch.write_parquet(files[-1], compression="lz4")
    _view_of_files(connection, name, files)


def _events(connection: Any, name: str, events: EventLog | None, folder: Path) -> None:
    from bakeoff.data import event_table

    kind = EVENTS[name]
    scanned = event_table.of_class(event_table.table([]).lazy(), kind) if events is None else events.scan(kind)
    path = folder / f"events-{name}.parquet"
    scanned.drop("rest", strict=False).sink_parquet(path, compression="lz4")
    _view_of_files(connection, name, [str(path)])


def _view_of_files(connection: Any, name: str, files: list[str]) -> None:
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    connection.execute(f'CREATE VIEW source."{name}" AS SELECT * FROM read_parquet([{listed}])')  # noqa: S608


def _message(query: str, error: Exception, *, known: bool) -> str:
    """What DuckDB says of a query, and which tables there are where it lacks one."""
    message = f"sql: {str(error).strip()}"
    if not known:
        return message
    first = str(error).strip().partition("\n")[0]
    word = first.split(" name ")[-1].split(" ")[0] if " name " in first else query
    hint = suggestion(word.strip('"').lower(), VIEWS)
    return f"sql: {first}\nTables: {', '.join(VIEWS)}. {hint}".rstrip()


# --- the answer in a form -----------------------------------------------------------------------


def read_answer(path: Path) -> "pl.LazyFrame":
    """An answer as a table; JSON, which Parquet has as bytes, is text."""
    import polars as pl

    answer = pl.scan_parquet(path, glob=False)
    packed = [name for name, dtype in answer.collect_schema().items() if dtype == pl.Binary]
    return answer.with_columns(pl.col(packed).cast(pl.String, strict=False))


def write_answer(path: Path, form: Form, target: Path) -> int:
    """Write an answer to a file, piece by piece; the number of rows.

    Raises:
        UsageError: a table is for people.
    """
    import polars as pl

    answer = read_answer(path)
    if form == "parquet":
        shutil.copyfile(path, target)
    elif form == "csv":
        _flat(answer).sink_csv(target)
    elif form == "json":
        target.write_text(json.dumps(document(path), ensure_ascii=False, default=str) + "\n", "utf-8")
    else:
        raise UsageError("expected --format csv, parquet or json for a file")
    return int(answer.select(pl.len()).collect().item())


def _flat(answer: "pl.LazyFrame") -> "pl.LazyFrame":
    """Columns as CSV holds them: lists and maps as JSON texts."""
    import polars as pl

    nested = [name for name, dtype in answer.collect_schema().items() if dtype.is_nested()]

    def as_json(value: object) -> str:
        return json.dumps(_plain(value), ensure_ascii=False, default=str)

    return answer.with_columns(pl.col(name).map_elements(as_json, return_dtype=pl.String) for name in nested)


def document(path: Path) -> dict[str, Any]:
    """An answer as a JSON document: its columns with their types, and its rows."""
    table = read_answer(path).collect()
    return {
        "columns": [{"name": name, "type": str(dtype)} for name, dtype in table.schema.items()],
        "rows": [{name: _plain(value) for name, value in row.items()} for row in table.iter_rows(named=True)],
    }


def _plain(value: Any) -> Any:
    """A value as JSON holds it: times as ISO 8601, maps as objects, what is not finite as nothing."""
    if isinstance(value, float | Decimal):
        value = float(value)
        return value if math.isfinite(value) else None
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if hasattr(value, "to_list"):
        value = value.to_list()
    if isinstance(value, list):
        pairs = [each for each in value if isinstance(each, dict) and set(each) == {"key", "value"}]
        if value and len(pairs) == len(value):  # as Parquet has maps
            return {str(each["key"]): _plain(each["value"]) for each in pairs}
        return [_plain(each) for each in value]
    return value
