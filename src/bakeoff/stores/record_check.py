"""Look for damage in the records of SQLite, and make them whole again from the copy that each run leaves.

The copy stands beside the database (`records.db.backup`). A damaged row is taken from it; a damaged structure makes the
whole copy take the database's place. What is replaced is kept in `damaged/`.
"""

import json
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from bakeoff.core.damage import Damage
from bakeoff.core.disk import sync_path
from bakeoff.core.errors import CorruptError, StoreError
from bakeoff.core.explain import database_advice
from bakeoff.stores import history, sums
from bakeoff.stores.files import durable_folder, durable_write, storage, sync_folder, temporary
from bakeoff.stores.sqlite_driver import sqlite
from bakeoff.stores.write_ahead_log import log_of, unread, uri_of

__all__ = ["back_up", "backup_of", "check", "require_log", "require_whole"]

REMEDY = "run 'bakeoff verify --repair', or restore the file from a backup"
SMALL_BYTES = 64 << 20
"""Up to this size, a database is looked at as a whole before each run."""
SIDES = ("", "-wal", "-shm")
BY_KEY = {"latest_metrics": ("run_id", "key")}
"""Tables whose rows have no number, and by what they are known."""
Place: TypeAlias = tuple[int | str, ...]
"""Of a row in its table: its number, or its key."""
LOG = "what was last written to its log (-wal) cannot be read"


def backup_of(path: Path) -> Path:
    """Where the copy of a database stands."""
    return path.with_name(f"{path.name}.backup")


def back_up(path: Path) -> None:
    """Keep a copy of the database, if it is whole: a damaged one must not take the place of a good copy."""
    if _problems(path):
        return
    with storage(f"keep a copy of {path}"):
        unfinished = temporary(path.parent)
        try:
            with _opened(path) as connection, closing(_driver().connect(unfinished)) as copy:
                copy.execute("PRAGMA synchronous = OFF")  # it is synced as a whole
                connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            sync_path(unfinished)
            unfinished.chmod(0o600)
            unfinished.replace(backup_of(path))
            sync_folder(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)


def require_whole(path: Path) -> None:
    """See that records can be believed before work is built on them.

    Raises:
        CorruptError: they are damaged; it names what and says what to do.
        StoreError: the disk is full, or they may not be read: nothing is known of damage.
    """
    if path.exists() and path.stat().st_size <= SMALL_BYTES and (problems := _problems(path)):
        _refuse_unreadable(path, problems[0])
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise CorruptError(f"the records in {path} are damaged: {problems[0]}{more}: {REMEDY}")


def require_log(path: Path) -> None:
    """See that all of the log beside a database can be read, before it is opened and the rest of it is lost.

    Raises:
        CorruptError: some of it cannot.
    """
    if not path.exists() or not log_of(path).exists():
        return
    damaged = False
    with (
        suppress(_driver().DatabaseError, OSError),
        _opened(path) as connection,
    ):  # whoever opens it tells what is worse
        damaged = unread(path, connection)
    if damaged:
        raise CorruptError(f"the records in {path} are damaged: {LOG}: {REMEDY}")


def check(path: Path, *, repair: bool = False) -> Iterator[Damage]:
    """All that is damaged in the database and in its copy."""
    copy = backup_of(path)
    if path.exists() or copy.exists():
        problems = _problems(path) if path.exists() else ["is gone"]
        if problems and repair:
            yield from _repaired(path, problems)
        else:
            yield from (Damage(place=str(path), problem=problem) for problem in problems)
    if copy.exists() and (problems := _problems(copy)):
        if repair and not _problems(path):
            back_up(path)
        yield Damage(place=str(copy), problem=problems[0], repaired=repair and not _problems(copy))


def _problems(path: Path) -> list[str]:
    """What is wrong with a database, in words; nothing of one of before, whose rows have no sums."""
    try:
        with _opened(path) as connection:
            lines = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(10)").fetchall()]
            log = [LOG] if unread(path, connection) else []
            problems = log + [" ".join(line.split()) for line in lines if line != "ok"]
            if sums.TABLE in _names(connection):
                problems += [f"{_named(*at)} is not what was written" for at in _wrong(connection)]
    except (_driver().DatabaseError, UnicodeDecodeError) as error:
        if "disk i/o error" not in str(error).lower():  # which damage can cause, too
            _refuse_unreadable(path, str(error))
        return [f"cannot be read: {error}"]
    return problems


def _refuse_unreadable(path: Path, message: str) -> None:
    """A full disk, a lock or a missing right is no damage, and nothing to repair."""
    known = database_advice(message)
    if known is not None and known[0] is StoreError:
        raise StoreError(f"cannot use the records at {path}: {message}; {known[1]}")


def _wrong(connection: Any) -> list[tuple[str, Place]]:
    tables = sums.tables(connection.execute)
    wrong: list[tuple[str, Place]] = [
        (table, (row,)) for table in tables for row in dict.fromkeys(sums.wrong_rows(connection.execute, table))
    ]
    if "metric_blocks" not in _names(connection):
        return wrong
    blocks = connection.execute("SELECT number, series, points FROM metric_blocks")
    wrong += [("metric_blocks", (number,)) for number, keys, points in blocks if history.damaged(keys, points)]
    return wrong + [("latest_metrics", at) for at in history.wrong_latest(connection.execute)]


def _named(table: str, at: Place) -> str:
    return f"row {' '.join(map(str, at))} of {table}"


def _names(connection: Any) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()}


def _repaired(path: Path, problems: list[str]) -> Iterator[Damage]:
    """Mend the rows one by one where the structure is sound, else put the copy in the database's place."""
    kept = _kept_aside(path)
    try:
        yield from _mended(path)
    except Exception as error:  # noqa: BLE001 - a damaged database fails in any way; the copy is tried then
        problems = [*problems, str(error)]
    if path.exists() and not _problems(path):
        if LOG not in problems:
            return
        if _rows(path) >= _rows(backup_of(path)):
            remedy = f"the damaged file is kept as {log_of(kept)}"
            yield Damage(place=str(path), problem=LOG, remedy=remedy, repaired=True, lost="what was recorded last")
            return
    yield _restored(path, problems[0], kept)


def _rows(path: Path) -> int:
    """How many rows a whole database has in all: a copy with more of them knows more."""
    if not path.exists() or _problems(path):
        return -1
    with _opened(path) as connection:
        return sum(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _names(connection))  # noqa: S608


def _mended(path: Path) -> list[Damage]:
    """Rows from the copy in the place of damaged ones; rows that the copy lacks are taken out and kept as JSON."""
    damages: list[Damage] = []
    copy = backup_of(path)
    with _opened(path, writes=True) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("REINDEX")
        wrong = _wrong(connection)
        whole = copy.exists() and not _problems(copy)
        if whole:
            connection.execute("ATTACH ? AS copy", (str(copy),))
        damages += [_mend(connection, path, *each, whole=whole) for each in wrong]
        connection.commit()
        if connection.execute("PRAGMA foreign_key_check").fetchall():
            raise CorruptError("rows that others refer to are lost")
    return damages


def _mend(connection: Any, path: Path, table: str, at: Place, *, whole: bool) -> Damage:
    place, numbered = f"{path}: {_named(table, at)}", table not in BY_KEY
    here = " AND ".join(f"{column} = ?" for column in BY_KEY.get(table, ("rowid",)))
    present = connection.execute(f"SELECT * FROM {table} WHERE {here}", at).fetchone()  # noqa: S608
    known = whole and connection.execute(f"SELECT 1 FROM copy.{table} WHERE {here}", at).fetchone()  # noqa: S608
    connection.execute(f"DELETE FROM main.{table} WHERE {here}", at)  # noqa: S608
    if numbered:
        connection.execute(f"DELETE FROM main.{sums.TABLE} WHERE of_table = ? AND of_row = ?", (table, *at))  # noqa: S608
    if known:
        columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall()]
        listed = ", ".join(["rowid", *columns] if numbered else columns)
        source = f"SELECT {listed} FROM copy.{table} WHERE {here}"  # noqa: S608
        connection.execute(f"INSERT INTO main.{table} ({listed}) {source}", at)
        return Damage(place=place, problem="is not what was written", remedy="taken from the copy", repaired=True)
    lost = json.dumps(present, default=str) if present is not None else "the row"
    return Damage(place=place, problem="is not what was written", repaired=True, lost=lost[:200])


def _restored(path: Path, problem: str, kept: Path) -> Damage:
    copy = backup_of(path)
    if not copy.exists() or _problems(copy):
        remedy = "there is no whole copy of it: restore it from a backup"
        return Damage(place=str(path), problem=problem, remedy=remedy)
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(copy.stat().st_mtime))
    for side in SIDES:
        path.with_name(path.name + side).unlink(missing_ok=True)
    durable_write(path, [copy.read_bytes()], staging=path.parent)
    return Damage(
        place=str(path),
        problem=problem,
        remedy=f"the copy of {made} took its place; the damaged file is kept as {kept}",
        repaired=True,
        lost=f"what was recorded after {made}",
    )


def _kept_aside(path: Path) -> Path:
    """Copies of a damaged database's files, before anything is done to them."""
    folder = path.parent / "damaged"
    durable_folder(folder)
    for side in SIDES:
        source = path.with_name(path.name + side)
        if source.exists():
            durable_write(folder / source.name, [source.read_bytes()], staging=folder)
    return folder / path.name


@contextmanager
def _opened(path: Path, *, writes: bool = False) -> Generator[Any]:
    with closing(_driver().connect(uri_of(path, writes=writes), uri=True)) as connection:
        sums.register(connection)
        yield connection


def _driver() -> Any:
    return sqlite().module
