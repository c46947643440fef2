"""Read source files into one table: parse, set bad rows aside, join and select by the project's SQL.

Equal input gives equal rows in equal order: files are loaded in the order named, and DuckDB runs on one
thread with a fixed seed, so joins and groups come out the same each time. (On several threads DuckDB 2.0.0
mixes row groups even in `CREATE TABLE ... AS SELECT CAST(...)` with `preserve_insertion_order`.)
After loading, the query can reach the loaded tables only: no files, no network, no extensions.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.core.config import DataConfig
from bakeoff.core.errors import DataError
from bakeoff.core.ledger import Loss
from bakeoff.core.types import ColumnFormat
from bakeoff.data.conversations import unpacked
from bakeoff.data.delimited import Bad, first_line, load_texts, quoted, typed_columns
from bakeoff.data.encoding import as_utf8
from bakeoff.data.sources import SourceFile

if TYPE_CHECKING:
    import duckdb
    import polars as pl

__all__ = ["DELIMITERS", "SETTINGS", "Reading", "check_share", "read", "sound_lines"]

DELIMITERS = {"csv": None, "tsv": "\t"}
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "threads": 1,
}
SHOWN = 5
READ_JSON = (
    "read_json(?, format = 'newline_delimited', sample_size = -1, maximum_depth = 2, maximum_object_size = 268435456)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The rows read, and what became of the rest.

    Attributes:
        table: The rows, after the query.
        rejected: The rows set aside: columns file, line (1-based), reason, text.
        rows: How many rows the files hold, those set aside among them, before the query.
        formats: How the values of columns are written as text, where that is not the canonical way.
        losses: Rows set aside and cells that became missing, by reason.
        notes: What was guessed and what was renamed, one line each.
    """

    table: "pl.DataFrame"
    rejected: "pl.DataFrame"
    rows: int
    formats: Mapping[str, ColumnFormat] = field(default_factory=dict[str, ColumnFormat])
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()


def read(config: DataConfig, files: Mapping[str, Sequence[SourceFile]]) -> Reading:
    """Read all files and apply the query.

    Args:
        config: The `[data]` section: encoding, query, and how many bad rows are too many.
        files: For each table name the files to append; a lone `source` is the table "source".

    Raises:
        DataError: a file or the query cannot be used, too many rows are bad, or none is left.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="bakeoff-read-") as scratch, duckdb.connect(config=SETTINGS) as connection:
        # As joins, the lists of words that mean "missing" take minutes to plan in a table of 500 columns.
        connection.execute("SET disabled_optimizers = 'in_clause'")
        loader = _Loader(connection, config, Path(scratch))
        bad = [item for name, group in files.items() for item in loader.load(name, group)]
        connection.execute("RESET disabled_optimizers")
        table = _query(connection, config.query or f"SELECT * FROM {quoted(next(iter(files)))}", Path(scratch))  # noqa: S608
    if table.height == 0:
        why = "the query gives no rows" if config.query else "the files hold a header and no rows"
        raise DataError(f"expected rows, found none: {why}.")
    return Reading(table=unpacked(table, config.target), rejected=_rejected(bad), rows=table.height + len(bad))


class _Loader:
    """Fills tables of one connection from files."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection", config: DataConfig, scratch: Path) -> None:
        self._connection = connection
        self._config = config
        self._scratch = scratch

    def load(self, name: str, files: Sequence[SourceFile]) -> list[Bad]:
        """Create the table `name` from all files, appended; gives the rows set aside."""
        bad: list[Bad] = []
        texts: list[str] = []
        typed: list[str] = []
        for number, file in enumerate(files):
            part = f"{name} part {number}"
            found = self._load_one(part, file)
            self._check_share(part, file, found)
            bad += found
            (texts if file.format in DELIMITERS else typed).append(part)
        if texts:
            whole = f"{name} texts"
            self._append(whole, texts)
            columns = ", ".join(typed_columns(self._connection, whole))
            select = f"SELECT {columns} FROM {quoted(whole)}"  # noqa: S608
            typed.insert(0, f"{name} typed")
            self._connection.execute(f"CREATE TABLE {quoted(typed[0])} AS {select}")
            self._connection.execute(f"DROP TABLE {quoted(whole)}")
        self._append(name, typed)
        return bad

    def _append(self, name: str, parts: Sequence[str]) -> None:
        """Move the rows of all parts into a new table; columns meet by name."""
        if len(parts) == 1:
            self._connection.execute(f"ALTER TABLE {quoted(parts[0])} RENAME TO {quoted(name)}")
            return
        union = " UNION ALL BY NAME ".join(f"SELECT * FROM {quoted(part)}" for part in parts)  # noqa: S608
        self._connection.execute(f"CREATE TABLE {quoted(name)} AS {union}")
        for part in parts:
            self._connection.execute(f"DROP TABLE {quoted(part)}")

    def _load_one(self, part: str, file: SourceFile) -> list[Bad]:
        name = file.path.name
        if file.format == "parquet":
            self._create(part, "read_parquet(?)", file.path, name)
            return []
        with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
            clean = as_utf8(file.path, self._config.encoding, Path(scratch), name)
            if file.format in DELIMITERS:
                return load_texts(self._connection, part, clean, delimiter=DELIMITERS[file.format], name=name)
            lines = Path(scratch) / "lines"
            bad = list(sound_lines(clean, lines, name))
            self._create(part, READ_JSON, lines, name)
            self._flatten(part)
            return bad

    def _create(self, part: str, source: str, path: Path, name: str) -> None:
        import duckdb

        try:
            self._connection.execute(f"CREATE TABLE {quoted(part)} AS SELECT * FROM {source}", [str(path)])  # noqa: S608
        except duckdb.Error as error:
            raise DataError(f"{name}: could not be read: {first_line(error)}") from error

    def _flatten(self, part: str) -> None:
        """Turn nested and mixed JSON columns into JSON text."""
        for name, kind, *_ in self._connection.execute(f"DESCRIBE {quoted(part)}").fetchall():
            if kind == "JSON" or kind.endswith("]") or kind.startswith(("STRUCT", "MAP")):
                text = f"to_json({quoted(name)}) ->> '$'"
                self._connection.execute(
                    f"ALTER TABLE {quoted(part)} ALTER COLUMN {quoted(name)} TYPE VARCHAR USING {text}"
                )

    def _check_share(self, part: str, file: SourceFile, bad: Sequence[Bad]) -> None:
        counted = self._connection.execute(f"SELECT count(*) FROM {quoted(part)}").fetchone()  # noqa: S608
        assert counted is not None
        check_share(file.path.name, counted[0], bad, self._config)


def check_share(name: str, rows: int, bad: Sequence[Bad], config: DataConfig) -> None:
    """Refuse a file of which too much could not be read.

    Raises:
        DataError: more lines are bad than `max_bad_share` allows.
    """
    lost = sum(item.lines for item in bad)
    total = rows + lost
    if lost > config.max_bad_share * total:
        first = "\n".join(f"  line {item.line}: {item.reason}: {item.text[:80]!r}" for item in bad[:SHOWN])
        raise DataError(
            f"{name}: expected at most {config.max_bad_share:.0%} bad lines, found {lost:,} "
            f"of {total:,}. The first:\n{first}\nMend the file, or set max_bad_share in [data]."
        )


def sound_lines(path: Path, target: Path, name: str) -> Iterator[Bad]:
    """Copy the lines that hold a JSON object to `target`; yields the others."""
    import msgspec

    any_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
    with path.open("rb") as source, target.open("wb") as out:
        for number, line in enumerate(source, start=1):
            if not line.strip():
                continue
            try:
                any_object.decode(line)
                line.decode()
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                text = line[:500].decode("utf-8", "replace").rstrip("\n")
                yield Bad(file=name, line=number, reason=f"not a JSON object: {error}", text=text)
                continue
            out.write(line)


def _query(connection: "duckdb.DuckDBPyConnection", query: str, folder: Path) -> "pl.DataFrame":
    """Run the project's SQL shut off from all but the empty `folder`, through which its result comes.

    Handing the result to polars in memory (the Arrow capsule) makes DuckDB 2.0.0 print pages about leaked
    types when the process ends.
    """
    import duckdb
    import polars as pl

    allowed = str(folder).replace("'", "''")
    connection.execute(f"SET TimeZone = 'UTC'; SET allowed_directories = ['{allowed}']; SELECT setseed(0.42)")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    result = folder / "result.parquet"
    try:
        statements = connection.extract_statements(query)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise DataError(f"[data] query: expected one SELECT, received {query.strip()[:200]!r}")
        connection.sql(query).write_parquet(str(result), compression="lz4")
    except duckdb.Error as error:
        raise DataError(f"[data] query: {error}") from error
    return pl.read_parquet(result, memory_map=False)


def _rejected(bad: Sequence[Bad]) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(
        [(item.file, item.line, item.reason, item.text) for item in bad],
        schema={"file": pl.String, "line": pl.Int64, "reason": pl.String, "text": pl.String},
        orient="row",
    )
