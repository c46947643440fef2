"""One database behind a URL: connections, transactions, and its errors in our words."""

import os
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, ClauseElement, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.schema import Table

from bakeoff.core.errors import BakeoffError, MissingExtraError, StoreError, UsageError
from bakeoff.core.explain import database_advice
from bakeoff.stores import record_check, sums
from bakeoff.stores.files import durable_folder, storage
from bakeoff.stores.patience import LostError, Patience
from bakeoff.stores.sqlite_driver import SQLite
from bakeoff.stores.sqlite_driver import sqlite as sqlite_driver
from bakeoff.stores.statements import Statement
from bakeoff.stores.write_ahead_log import is_immutable, uri_of

__all__ = ["Database", "connect", "sqlite_path"]

_BUSY_MS = 30_000
QUERY_S = 30
"""A search that takes longer is ended."""
_STEPS = 100_000
"""Of SQLite's virtual machine, between two looks at the clock: about a millisecond."""
_CUT = re.compile("^interrupted|statement timeout")
_CONNECT = {"connect_timeout": 3, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""A server that is gone is noticed within seconds, and nobody hangs (see `bakeoff.stores.postgresql`)."""
_WAIT_S = 5
_LOST = ("08", "57P")
"""SQLSTATEs of connections that broke and of servers that are shutting down."""
_IS_EMPTY = "SELECT NOT EXISTS (SELECT FROM {0})"
_STATISTICS = """
SELECT DISTINCT attname, format_type(atttypid, atttypmod) FROM pg_stats JOIN pg_attribute USING (attname)
WHERE tablename = '{0}' AND attrelid = '{0}'::regclass
"""


class Database:
    """Transactions on one database; safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        sqlite_ = engine.dialect.name == "sqlite"
        # A path may have characters that no URL can be made of.
        self._where = str(engine.url.database) if sqlite_ else engine.url.render_as_string(hide_password=True)
        # Reading a run takes several selects, which must see one state.
        self._reading = engine if sqlite_ else engine.execution_options(isolation_level="REPEATABLE READ")
        self._writing = engine.execution_options(bakeoff_writes=True)
        self._patience = Patience(f"the database at {self._where}")
        self._idle: list[Connection] = []
        self._watch: Any = None
        self._watching = threading.Lock()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A transaction that sees one state."""
        with self.errors(), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def search(self) -> Generator[Connection]:
        """A read that may not take longer than `QUERY_S`.

        Raises:
            UsageError: it took longer, and was ended.
        """
        with self.read() as connection:
            try:
                with self._limited(connection):
                    yield connection
            except DBAPIError as error:
                if _CUT.search(str(error.orig)) is None:
                    raise
                raise UsageError(
                    f"expected a search that takes at most {QUERY_S} s, this one was ended: narrow its filter, "
                    "or order by an attribute"
                ) from error

    @contextmanager
    def _limited(self, connection: Connection) -> Generator[None]:
        if self.dialect == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {1000 * QUERY_S}")
            yield
            return
        raw: Any = connection.connection.driver_connection
        until = time.monotonic() + QUERY_S
        raw.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
        try:
            yield
        finally:
            raw.set_progress_handler(None, 0)

    @contextmanager
    def write(self) -> Generator[Connection]:
        """A transaction that is committed, or undone by an exception."""
        with self.errors(), self._writer() as connection, connection.begin():
            yield connection

    @contextmanager
    def _writer(self) -> Generator[Connection]:
        """A connection to write with; of SQLite the last one stays at hand, which saves a fifth of a small write."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._writing.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if self.dialect != "sqlite" or self._idle:  # a server may go away meanwhile: the pool asks whether it is there
            connection.close()
        else:
            self._idle.append(connection)

    @contextmanager
    def alone(self) -> Generator[Callable[[str], Any]]:
        """What runs a statement outside of any transaction, for those that must be.

        Raises:
            StoreError: another process uses the database.
        """
        with self.errors():
            if self.dialect == "postgresql":
                with self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                    yield connection.exec_driver_sql
                return
            raw = self._engine.raw_connection()
            try:
                yield raw.cursor().execute
            except sqlite_driver().module.OperationalError as error:
                raise StoreError(
                    f"expected the records at {self._where} for ourselves: {error}; stop servers and loops of the "
                    "project, then try again"
                ) from error
            finally:
                raw.close()

    def write_anew(self, tables: Iterable[str]) -> None:
        """Have a server write tables again, so that its files hold nothing of rows that are gone.

        Nor what it has noted of their values, to plan queries: of an empty table that goes with its columns' types
        alone. Its own log (WAL), backups and replicas are its administrator's.
        """
        with self.alone() as execute:
            for table in tables:
                if execute(_IS_EMPTY.format(table)).scalar_one():
                    for name, kind in execute(_STATISTICS.format(table)).all():
                        execute(f'ALTER TABLE {table} ALTER COLUMN "{name}" TYPE {kind}')
                execute(f"VACUUM (FULL, ANALYZE) {table}")
            execute("VACUUM FULL pg_statistic")  # who does not own the database is refused that with a notice

    def stamp(self) -> tuple[object, int] | None:
        """What stays equal as long as nobody commits a change, here or in another process; None: it is not known.

        SQLite tells it in microseconds: a number of a connection that never writes, which says nothing beside one of
        another connection (https://www.sqlite.org/pragma.html#pragma_data_version). A server does not.
        """
        if self.dialect != "sqlite":
            return None
        with self._watching:
            try:
                self._watch = self._watch or self._engine.raw_connection()
                return self._watch, self._watch.cursor().execute("PRAGMA data_version").fetchone()[0]
            except (sqlite_driver().module.Error, DBAPIError):
                return None  # who reads next is told why

    @property
    def place(self) -> str:
        """The file, or the URL without its password."""
        return self._where

    def problem(self) -> str | None:
        """Why it cannot be used at the moment; None when it can, as far as is known."""
        return self._patience.problem(self._ask)

    def _ask(self) -> None:
        with self.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    def insert(self, table: Table) -> Any:
        """`INSERT` of the dialect, which has `on_conflict_do_nothing` and `on_conflict_do_update`."""
        if self.dialect == "sqlite":
            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql  # takes a quarter of a second

        return postgresql.insert(table)

    def statement(self, clause: ClauseElement, names: Sequence[str] = ()) -> Statement:
        """A statement that is run often; `names` are its parameters in their order."""
        return Statement(self._engine.dialect, clause, names)

    @property
    def path(self) -> Path | None:
        """The file of an SQLite database."""
        return Path(self._where) if self.dialect == "sqlite" else None

    def back_up(self) -> None:
        """Keep a copy of an SQLite database beside it; of a server's, its administrator keeps some."""
        if self.path is not None and self.path.exists() and self.path.stat().st_size:
            record_check.back_up(self.path)

    def close(self) -> None:
        """Release the connections."""
        while self._idle:
            self._idle.pop().close()
        with self._watching:
            if self._watch is not None:
                self._watch = self._watch.close()
        self._engine.dispose()

    @contextmanager
    def errors(self) -> Generator[None]:
        """The driver's errors in our words; who does not answer is left alone for a moment."""
        with self._patience.asking():
            try:
                yield
            except BakeoffError:
                raise
            except DBAPIError as error:
                raise _told(error, self._where) from error
            except PoolTimeoutError as error:
                raise StoreError(f"the records at {self._where} are overloaded: try again later") from error
            except (UnicodeEncodeError, OverflowError) as error:
                raise UsageError(f"expected text in UTF-8 and integers of 64 bits, received others: {error}") from error


def connect(url: str, folder: Path) -> Database:
    """Open the database at `url`, whose relative SQLite path starts at `folder`; makes missing folders.

    Raises:
        UsageError: not a URL of SQLite with a file or of PostgreSQL.
        MissingExtraError: the driver is not installed.
        StoreError: the SQLite library is too old, or the folder cannot be made.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(f"expected a URL such as sqlite:///records.db, received {url!r}") from error
    if parsed.drivername == "sqlite":
        return Database(_sqlite(parsed, folder))
    if parsed.drivername == "postgresql":
        return Database(_postgresql(parsed))
    raise UsageError(f"expected records at sqlite:///PATH or postgresql://…, received {url!r}")


def sqlite_path(url: str, folder: Path) -> Path | None:
    """The file of an SQLite database at `url`; None for another kind."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None
    return folder / parsed.database if parsed.drivername == "sqlite" and parsed.database else None


def _sqlite(url: URL, folder: Path) -> Engine:
    driver = sqlite_driver()
    if url.database in (None, "", ":memory:"):
        raise UsageError(f"expected a file such as sqlite:///records.db, received {url!r}")
    path = folder / str(url.database)
    with storage(f"make the folder of the records, {path.parent}"):
        durable_folder(path.parent)
    with storage(f"make the file of the records, {path}"), suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # its log and index files are made alike
    record_check.require_log(path)
    return _sqlite_engine(url.set(database=str(path)), driver)


def _sqlite_engine(url: URL, driver: SQLite) -> Engine:
    # isolation_level None: the driver begins nothing by itself, so that our BEGIN decides what is locked.
    arguments: dict[str, Any] = {"timeout": _BUSY_MS / 1000, "isolation_level": None}
    path, how = Path(str(url.database)), dict[str, Any]()
    if is_immutable(path):
        how["creator"] = partial(driver.module.connect, uri_of(path), uri=True, check_same_thread=False, **arguments)
    engine = create_engine(url, module=driver.module, connect_args=arguments, **how)

    def prepare(raw: Any, _record: object) -> None:
        sums.register(raw)
        cursor = raw.cursor()
        journal, synchronous = driver.pragmas
        _use_journal(cursor, journal, busy=driver.module.OperationalError)
        # On macOS a sync leaves what was written in the drive; a full one does not. Elsewhere this is nothing.
        for pragma in (f"synchronous = {synchronous}", "fullfsync = ON", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    # A writer takes the lock at once: one that upgraded a read would fail instead of waiting.
    begin_read, begin_write = (Statement(engine.dialect, text(each)) for each in ("BEGIN", "BEGIN IMMEDIATE"))

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("bakeoff_writes", False)
        (begin_write if writes else begin_read).change(connection)

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


def _use_journal(cursor: Any, journal: str, *, busy: type[Exception]) -> None:
    """Switch to a journal; of several that open a new file at once, SQLite lets the others not wait."""
    until = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            cursor.execute(f"PRAGMA journal_mode = {journal}")
        except busy as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _postgresql(url: URL) -> Engine:
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_timeout=_WAIT_S,
            connect_args={key: value for key, value in _CONNECT.items() if key not in url.query},
        )
        from bakeoff.stores.postgresql import connect
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("records on PostgreSQL", "postgres", "psycopg") from error

    def do_connect(_dialect: object, _record: object, arguments: Any, parameters: Any) -> Any:
        return connect(*arguments, **parameters)

    event.listen(engine, "do_connect", do_connect)
    return engine


def _told(error: DBAPIError, where: str) -> BakeoffError:
    """The driver's error as ours, with what to do."""
    message = str(error.orig).strip()
    known = database_advice(message)
    if known is not None:
        kind, advice = known
        return kind(f"cannot use the records at {where}: {message}; {advice}")
    state = getattr(error.orig, "sqlstate", "")  # None where the server has said nothing; SQLite has no such thing
    if isinstance(error, OperationalError) and (state is None or state.startswith(_LOST)):
        return LostError(f"the database at {where} cannot be reached: {message}; check that it runs, then try again")
    if isinstance(error, IntegrityError | DataError):
        return UsageError(f"the records at {where} refused a value: {message}")
    return StoreError(f"the records at {where} failed: {message}")
