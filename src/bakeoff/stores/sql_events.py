"""The event log in PostgreSQL, for several hosts at once: `postgresql://…`.

A table of its own, beside the records or in another database. Events are numbered under a lock that is held until their
transaction is committed: so numbers ascend in the order in which events are seen, over all hosts, whatever their clocks
say, and a cursor is a number. Nothing is moved: `compact` has nothing to do. The last event is never deleted, as the
next number is made of it: past its retention it becomes a mark without content. Where events are encrypted, payloads
are sealed for their number, kind and time, and `key` is a number that only who has the keys can make of an id. What is
erased is deleted, and the table written anew.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from bakeoff.core.erasure import PersonKey
from bakeoff.core.errors import NotFoundError
from bakeoff.core.events import KINDS, LARGEST_MS, Cursor, E, Event, Named, Reading
from bakeoff.core.protocols import Clock
from bakeoff.core.retention import Expired, Expiry, Retention
from bakeoff.stores.appending import Appender
from bakeoff.stores.database import Database, connect
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.segments import GONE, EventQuery, Numbered, StoredEvent

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.stores.expiry import Dated, ExpiryTally, Selection

__all__ = ["SqlEvents", "open_events"]

_LOCK = 0x62616B66  # any number that only this log uses: PostgreSQL's advisory lock
_PAGE = 2_000
_ROWS = 20_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS bakeoff_events (
    seq bigint PRIMARY KEY, kind text NOT NULL, key bigint, time_ms bigint NOT NULL, payload bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS bakeoff_events_key ON bakeoff_events (key) WHERE key IS NOT NULL;
CREATE TABLE IF NOT EXISTS bakeoff_events_expired (
    endpoint text NOT NULL, hour bigint NOT NULL, count bigint NOT NULL, PRIMARY KEY (endpoint, hour)
);
"""
_APPEND = """
INSERT INTO bakeoff_events (seq, kind, key, time_ms, payload)
SELECT (SELECT coalesce(max(seq), 0) FROM bakeoff_events) + n, kind, key, time_ms, payload
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bytea[]) WITH ORDINALITY AS new (kind, key, time_ms, payload, n)
"""
_PAGE_OF_ALL = "SELECT seq, kind, time_ms, payload FROM bakeoff_events WHERE seq > %s ORDER BY seq LIMIT %s"
_REPLACE = "UPDATE bakeoff_events SET payload = %s, key = %s WHERE seq = %s"
_LAST = "SELECT coalesce(max(seq), 0) FROM bakeoff_events"
_READ = """
SELECT seq, kind, time_ms, payload FROM bakeoff_events
WHERE seq > %s AND seq <= %s AND kind = ANY(%s) AND time_ms >= %s AND time_ms < %s ORDER BY seq LIMIT %s
"""
_BEFORE = """
SELECT seq, kind, time_ms, payload FROM bakeoff_events WHERE seq > %s AND time_ms < %s AND kind <> %s
ORDER BY seq LIMIT %s
"""
_DELETE = "DELETE FROM bakeoff_events WHERE seq = ANY(%s) RETURNING seq"
_EMPTY = """
UPDATE bakeoff_events SET kind = %s, key = NULL, time_ms = %s, payload = %s WHERE seq = %s AND kind <> %s RETURNING seq
"""
_EXPIRED = """
INSERT INTO bakeoff_events_expired (endpoint, hour, count) VALUES (%s, %s, %s)
ON CONFLICT (endpoint, hour) DO UPDATE SET count = bakeoff_events_expired.count + excluded.count
"""
_GET = "SELECT seq, kind, time_ms, payload FROM bakeoff_events WHERE key = ANY(%s) AND kind = %s ORDER BY seq"


def open_events(url: str, *, folder: Path, clock: Clock, keyring: Keyring | None = None) -> "SqlEvents":
    """Open the event log at `postgresql://…`, encrypted if there is a keyring; its table is made when it is missing.

    Raises:
        MissingExtraError: the driver is not installed. StoreError: the database cannot be used.
    """
    database = connect(url, folder)
    try:
        with database.write() as connection:
            _take_turn(connection)
            connection.execute(text(_SCHEMA))
    except BaseException:
        database.close()
        raise
    return SqlEvents(database, clock, keyring or Keyring())


class SqlEvents:
    """An `EventLog` in a database; safe to use from several threads, processes and hosts."""

    def __init__(self, database: Database, clock: Clock, keyring: Keyring) -> None:
        self._database, self._keyring = database, keyring
        self._appender = Appender(self._write, clock, place=database.place)

    def append(self, events: Sequence[Event], *, durable: bool = True) -> None:
        """Add events; with `durable` it returns only after they are committed (see `Appender.append`)."""
        self._appender.append(events, durable=durable)

    def submit(self, events: Sequence[Event], *, urgent: bool = True) -> "Future[None]":
        """Add events; the future ends when they are committed, or says why they are not (see `Appender.submit`)."""
        return self._appender.submit(events, urgent=urgent)

    def _write(self, items: Sequence[StoredEvent]) -> None:
        keys = list(self._keys_of(items))
        with self._database.write() as connection:
            _take_turn(connection)
            last = int(connection.execute(text(_LAST)).scalar_one()) if self._keyring else 0
            payloads = [
                self._keyring.seal(_place(seq, item.kind, item.time_ms), item.payload)
                for seq, item in enumerate(items, last + 1)
            ]
            columns = [item.kind for item in items], keys, [item.time_ms for item in items], payloads
            connection.exec_driver_sql(_APPEND, columns)

    def _keys_of(self, items: Sequence[StoredEvent]) -> Iterator[int | None]:
        """What ids are looked up by: of the newest key, where events are encrypted."""
        from bakeoff.stores.ids import id_of, key  # numpy takes a while to import

        for item in items:
            name = id_of(item.payload)
            if name is None:
                yield None
            else:
                yield next(self._keyring.keyed_numbers(f"{item.kind} {name}"), key(item.kind, name))

    def _opened(self, row: Any) -> tuple[int, StoredEvent]:
        """Number and event of a row."""
        seq, kind, time_ms, payload = row
        return int(seq), StoredEvent(kind, time_ms, self._keyring.open(_place(seq, kind, time_ms), bytes(payload)))

    def read(
        self,
        *kinds: type[E],
        after: Cursor | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Reading[E]:
        """Events of these classes with since_ms ≤ time_ms < until_ms, after the cursor, in the order of appending.

        Raises:
            NotFoundError: the cursor is none of this kind of log; while reading, the log has no such place.
        """
        if after is not None and not after.isdecimal():
            raise NotFoundError(f"expected a cursor that this log gave, received {after!r}; read it from the start")
        wanted = EventQuery(
            kinds=kinds,
            since_ms=-LARGEST_MS if since_ms is None else since_ms,
            until_ms=LARGEST_MS if until_ms is None else until_ms,
        )
        at = [int(after or 0)]

        def events() -> Iterator[E]:
            for row in self._rows(wanted, at):
                if isinstance(row.event, kinds):
                    yield row.event

        return Reading(events(), lambda: Cursor(str(at[0])))

    def _rows(self, wanted: EventQuery, at: list[int]) -> Iterator[Numbered]:
        """The wanted events after `at[0]`, which is moved along, up to what the log has now."""
        names = sorted(wanted.names)
        with self._database.read() as connection:
            last = int(connection.execute(text(_LAST)).scalar_one())
        if at[0] > last:
            raise NotFoundError(
                f"expected what was read before, up to event {at[0]} at {self._database.place}, found {last}: events "
                "were lost, or an older log was restored; read it from the start"
            )
        place = at[0]
        while True:
            bounds = (place, last, names, wanted.since_ms, wanted.until_ms, _PAGE)
            with self._database.read() as connection:  # not while the caller works on what it got
                page = connection.exec_driver_sql(_READ, bounds).all()
            for stored in page:
                place, item = self._opened(stored)
                if (row := wanted.read(place, item)) is not None:
                    at[0] = place
                    yield row
            if len(page) < _PAGE:
                at[0] = last
                return

    def get(self, kind: type[Named], ids: Collection[str]) -> list[Named]:
        """The events of this class with one of these ids, in the order of appending."""
        from bakeoff.stores.ids import key  # numpy takes a while to import

        wanted = EventQuery(kinds=(kind,), ids=frozenset(ids))
        stated = {f"{KINDS[kind]} {name}" for name in ids}
        keys = sorted(
            {key(KINDS[kind], name) for name in ids}
            | {number for each in stated for number in self._keyring.keyed_numbers(each)}
        )
        with self._database.read() as connection:
            rows = connection.exec_driver_sql(_GET, (keys, KINDS[kind])).all() if keys else []
        events = (wanted.read(*self._opened(row)) for row in rows)
        return [row.event for row in events if row is not None and isinstance(row.event, kind)]

    def scan(self, kind: type[Event]) -> "pl.LazyFrame":
        """All events of this class as a table in no order: its fields, and `seq`."""
        import polars as pl

        from bakeoff.data import event_table

        parts = [event_table.table([])]
        with self._database.read() as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=_ROWS)
            rows = streamed.exec_driver_sql(
                "SELECT seq, kind, time_ms, payload FROM bakeoff_events WHERE kind = %s", (KINDS[kind],)
            )
            parts += [
                event_table.table((seq, item.kind, item.payload) for seq, item in map(self._opened, page))
                for page in rows.partitions(_ROWS)
            ]
        return event_table.of_class(pl.concat(parts).lazy(), kind).drop("rest")

    def encrypt(self, *, look: bool = False) -> tuple[int, int]:
        """Write again what is not under the newest key, or `look` at it: how many events, and 0 that are left.

        Raises:
            MissingKeyError: the key of an event is not here.
        """
        count, place = 0, 0
        while True:
            with self._database.read() if look else self._database.write() as connection:
                page = connection.exec_driver_sql(_PAGE_OF_ALL, (place, _PAGE)).all()
                old = [row for row in page if not self._keyring.is_current(bytes(row[3]))]
                for row in () if look else old:
                    seq, item = self._opened(row)
                    payload = self._keyring.seal(_place(seq, item.kind, item.time_ms), item.payload)
                    connection.exec_driver_sql(_REPLACE, (payload, next(self._keys_of([item])), seq))
            count += len(old)
            if len(page) < _PAGE:
                return count, 0
            place = int(page[-1][0])

    def problem(self) -> str | None:
        """Why events cannot be written at the moment: a database that does not answer or keep up."""
        return self._database.problem() or self._appender.problem()

    def compact(self) -> int:
        """Nothing: events stay where they are."""
        return 0

    def expire(self, retention: Retention, *, look: bool = False) -> Expiry:
        """Remove what is past its retention, or `look` what would go (see `ExpiringEvents.expire`).

        Page by page, each in a transaction with the counts of what is gone.
        """
        from bakeoff.stores.expiry import ExpiryTally, Selection  # polars takes a while to import

        tally, place = ExpiryTally(retention), 0
        if not retention.limits:
            return tally.expiry
        selection = Selection(self, retention)
        while True:
            bounds = (place, retention.latest_ms, GONE.kind, _PAGE)
            with self._database.read() as connection:
                page = connection.exec_driver_sql(_BEFORE, bounds).all()
            going = {int(row[0]): row for row in self._going(page, selection, tally)}
            for seq, event in self._deleted(going, look=look):
                tally.add(event)
                tally.expiry.bytes += len(going[seq][3])
            if len(page) < _PAGE:
                return tally.expiry
            place = int(page[-1][0])

    def _going(self, page: Sequence[Any], selection: "Selection", tally: "ExpiryTally") -> Iterator[Any]:
        """The rows that go."""
        for row in page:
            event = self._dated(row)
            if selection.goes(event):
                yield row
            else:
                tally.expiry.spared += selection.spares(event)

    def _dated(self, row: Any) -> "Dated":
        from bakeoff.stores.expiry import dated

        _, item = self._opened(row)
        return dated(item.kind, item.time_ms, item.payload)

    def _deleted(self, going: Mapping[int, Any], *, look: bool) -> Iterator[tuple[int, "Dated"]]:
        """Delete these rows, in one transaction with the counts; those that nobody else deleted meanwhile."""
        if look or not going:
            yield from ((seq, self._dated(row)) for seq, row in going.items())
            return
        from bakeoff.stores.expiry import counted

        with self._database.write() as connection:
            gone = {seq: self._dated(going[seq]) for seq in self._remove(connection, going)}
            for endpoint, hours in counted(gone.values()).items():
                for hour, count in hours.items():
                    connection.exec_driver_sql(_EXPIRED, (endpoint, hour, count))
        yield from gone.items()

    def _remove(self, connection: Connection, numbers: Collection[int]) -> list[int]:
        """Delete rows, the last of the log but for its number; those that were there."""
        last = int(connection.execute(text(_LAST)).scalar_one())
        rows = [*connection.exec_driver_sql(_DELETE, ([seq for seq in numbers if seq != last],))]
        if last in numbers:
            mark = self._keyring.seal(_place(last, GONE.kind, GONE.time_ms), GONE.payload)
            rows += connection.exec_driver_sql(_EMPTY, (GONE.kind, GONE.time_ms, mark, last, GONE.kind))
        return [int(seq) for (seq,) in rows]

    def erase(self, key: PersonKey) -> int:
        """Erase events that hold the key, and what else is of the same predictions (see `ErasingEvents.erase`).

        In one transaction, for which writers on all hosts wait. Then the database writes the table anew: nothing of
        what was erased is left in its files, nor in what it knows of its values to plan queries.
        """
        from bakeoff.stores.event_erasure import doomed, fields  # polars takes a while to import

        with self._database.write() as connection:
            _take_turn(connection)
            gone = doomed(key, lambda: ((seq, fields(item.payload)) for seq, item in self._all(connection)))
            count = len(self._remove(connection, gone))
        self._database.write_anew(["bakeoff_events"])
        return count

    def _all(self, connection: Connection) -> Iterator[tuple[int, StoredEvent]]:
        """Number and content of all rows."""
        place = 0
        while page := connection.exec_driver_sql(_PAGE_OF_ALL, (place, _PAGE)).all():
            for row in page:
                place, item = self._opened(row)
                yield place, item

    def expired(self) -> Expired:
        """What is gone by now, past its retention."""
        hours: dict[str, dict[int, int]] = {}
        with self._database.read() as connection:
            for endpoint, hour, count in connection.exec_driver_sql("SELECT * FROM bakeoff_events_expired"):
                hours.setdefault(endpoint, {})[hour] = count
        return Expired(hours=hours)

    def close(self) -> None:
        """Write what waits and close.

        Raises:
            StoreError: events added without `durable` could not be written.
        """
        try:
            self._appender.close()
        finally:
            self._database.close()


def _place(seq: int, kind: str, time_ms: int) -> str:
    return f"event {seq} ({kind}, {time_ms})"


def _take_turn(connection: Connection) -> Any:
    """Wait for other writers; the turn ends with the transaction."""
    return connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
