"""CSV and TSV files into DuckDB: every cell as text first, then types from all values of a column.

Types are decided on the whole column, not on a sample, so the same rows give the same types wherever a
file is cut. A cell that is empty is missing. "NA", "NaN", "null" and the like are missing only in columns
whose other values are all numbers or times: in text they may be words.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.core.errors import DataError

if TYPE_CHECKING:
    import duckdb

__all__ = ["Bad", "first_line", "load_texts", "quoted", "typed_columns"]

DELIMITERS = (",", ";", "\t", "|")
MAX_LINE_BYTES = 256 << 20
HEADER_BYTES = 16 << 20
TEXT_LIMIT = 500
MISSING_WORDS = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "Null", "None", "none")
HEAD_ROWS = 1000
MANY_CLASSES = 50
# How many values {v} are of a type. What DuckDB would read as a number but a person would not is none:
# codes with leading zeros, 1_000, 0x10, whole numbers of 19 digits and more (a float would merge different
# ones). A time starts with an ISO date.
TYPES = {
    "BIGINT": "count_if(TRY_CAST({v} AS BIGINT)::VARCHAR = {v})",
    "DOUBLE": r"count_if(TRY_CAST({v} AS DOUBLE) IS NOT NULL AND "
    r"NOT regexp_matches({v}, '^\s*[+-]?0[0-9]|[_xX]|^\s*[+-]?[0-9]{{19,}}\s*$'))",
    "BOOLEAN": "count_if(lower({v}) IN ('true', 'false'))",
    "TIMESTAMP": r"count_if(TRY_CAST({v} AS TIMESTAMP) IS NOT NULL AND "
    r"regexp_matches({v}, '^\s*[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}'))",
}
REASONS = {
    "MISSING COLUMNS": "too few cells",
    "TOO MANY COLUMNS": "too many cells",
    "UNQUOTED VALUE": "a quote that does not close, or text around quotes",
    "INVALID ENCODING": "bytes that are not utf-8",
    "LINE SIZE OVER MAXIMUM": f"a line of more than {MAX_LINE_BYTES:,} bytes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A row set aside: the 1-based line where it starts, why, its text (cut), and the lines it spans."""

    file: str
    line: int
    reason: str
    text: str
    lines: int = 1


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _header(path: Path, delimiter: str | None, name: str) -> tuple[list[str], str]:
    """Column names and the delimiter: of the usual ones, that which cuts the header into most names."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES).decode("utf-8", "replace")
    if not head.strip():
        raise DataError(f"{name}: expected a header line and rows, found an empty file.")
    rows = {d: next(csv.reader(io.StringIO(head), delimiter=d), []) for d in ([delimiter] if delimiter else DELIMITERS)}
    best = max(rows, key=lambda d: len(rows[d]))
    names = [cell.strip() or f"column_{i}" for i, cell in enumerate(rows[best], start=1)]
    twice = sorted({n for n in names if [m.lower() for m in names].count(n.lower()) > 1})
    if twice:
        raise DataError(
            f"{name}: expected distinct column names in line 1 (upper and lower case are the same), found "
            f"{', '.join(map(repr, twice))} more than once. Rename them in the file."
        )
    return names, best


def load_texts(
    connection: "duckdb.DuckDBPyConnection", table: str, path: Path, *, delimiter: str | None, name: str
) -> list[Bad]:
    """Create `table` with one VARCHAR column for each cell of a clean UTF-8 file; gives the rows set aside."""
    import duckdb

    names, found = _header(path, delimiter, name)
    columns = ", ".join(f"{_literal(n)}: 'VARCHAR'" for n in names)
    connection.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    try:
        connection.execute(
            f"CREATE TABLE {quoted(table)} AS SELECT * FROM read_csv(?, auto_detect = false, header = true, "  # noqa: S608
            f"columns = {{{columns}}}, delim = {_literal(found)}, quote = '\"', escape = '\"', nullstr = '', "
            f"strict_mode = true, store_rejects = true, max_line_size = {MAX_LINE_BYTES})",
            [str(path)],
        )
    except duckdb.Error as error:
        raise DataError(f"{name}: could not be read as CSV: {first_line(error)}") from error
    return _rejected(connection, path, name)


def first_line(error: Exception) -> str:
    """What DuckDB says, without the SQL that it repeats."""
    return str(error).strip().partition("\n")[0]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _rejected(connection: "duckdb.DuckDBPyConnection", path: Path, name: str) -> list[Bad]:
    """Rows that DuckDB set aside, one each; it numbers records, so lines are counted from byte positions."""
    rows = connection.execute(
        "SELECT byte_position, any_value(error_type::VARCHAR ORDER BY column_idx), any_value(csv_line) "
        "FROM reject_errors GROUP BY byte_position ORDER BY byte_position"
    ).fetchall()
    bad: list[Bad] = []
    line, at = 1, 0
    with path.open("rb") as file:
        for position, kind, text in rows:
            line += _newlines(file, position - 1 - at)
            at = position - 1
            whole = str(text or "").strip("\n")
            reason = REASONS.get(kind, str(kind).lower())
            bad.append(Bad(file=name, line=line, reason=reason, text=whole[:TEXT_LIMIT], lines=whole.count("\n") + 1))
    return bad


def _newlines(file: io.BufferedReader, size: int) -> int:
    count = 0
    while size > 0 and (piece := file.read(min(size, 1 << 20))):
        count += piece.count(b"\n")
        size -= len(piece)
    return count


def typed_columns(connection: "duckdb.DuckDBPyConnection", table: str, *, literal: str | None = None) -> list[str]:
    """SQL expressions that give each text column of `table` the narrowest type that fits all its values.

    In the column `literal` words such as None and NA are values, too, when it has few others, as classes are.
    """
    names = [row[0] for row in connection.execute(f"DESCRIBE {quoted(table)}").fetchall()]
    source = quoted(table)
    # What some values refute need not be tried on all.
    every = {name: tuple(TYPES) for name in names}
    head = every | _fitting(connection, f"(FROM {source} LIMIT {HEAD_ROWS})", every)
    fitting = _fitting(connection, source, head)
    if fitting.get(literal or "") and _holds_words(connection, source, quoted(literal or "")):
        del fitting[literal or ""]
    return [
        f"CAST({_present(quoted(name))} AS {fitting[name][0]}) AS {quoted(name)}" if fitting.get(name) else quoted(name)
        for name in names
    ]


def _holds_words(connection: "duckdb.DuckDBPyConnection", source: str, column: str) -> bool:
    counted = connection.execute(
        f"SELECT count({column}) - count({_present(column)}), count(DISTINCT {column}) FROM {source}"  # noqa: S608
    ).fetchone()
    return counted is not None and counted[0] > 0 and counted[1] <= MANY_CLASSES


def _present(value: str) -> str:
    words = ", ".join(_literal(word) for word in MISSING_WORDS)
    return f"(CASE WHEN {value} NOT IN ({words}) THEN {value} END)"


def _fitting(
    connection: "duckdb.DuckDBPyConnection", source: str, kinds: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Of the types to try for each column, those that fit all its values, narrowest first; empty columns are left out.

    Columns with the same types to try are tested together, one value a row: the time that DuckDB takes to plan a
    query grows with the square of its expressions, which tables of thousands of columns would feel.
    """
    found: dict[str, tuple[str, ...]] = {}
    for tried in {kind for kind in kinds.values() if kind}:
        names = [name for name, kind in kinds.items() if kind == tried]
        columns = ", ".join(quoted(name) for name in names)
        fits = ", ".join(TYPES[kind].format(v="value") for kind in tried)
        rows = connection.execute(
            f"SELECT name, count(value), {fits} FROM "  # noqa: S608
            f"(SELECT name, {_present('value')} AS value FROM "
            f"(UNPIVOT (SELECT {columns} FROM {source}) ON COLUMNS(*) INTO NAME name VALUE value)) GROUP BY name"
        ).fetchall()
        for name, present, *counts in rows:
            if present:
                found[name] = tuple(kind for kind, count in zip(tried, counts, strict=True) if count == present)
    return found
