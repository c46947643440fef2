"""Replies of services by what was asked, in one SQLite file: what was paid for once is not paid for again.

The file holds no prompts, only their digests, and the replies. A checksum stands before each reply: one that is not as
it was written is asked again.
"""

import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from bakeoff.chat.dialect import ServiceDialect
from bakeoff.core.errors import CorruptError
from bakeoff.core.explain import database_advice

__all__ = ["ReplyCache"]

REPLIES = "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, seconds REAL NOT NULL, body BLOB NOT NULL)"
DIALECTS = "CREATE TABLE IF NOT EXISTS dialects (service TEXT PRIMARY KEY, dialect BLOB NOT NULL)"
SPENT = "CREATE TABLE IF NOT EXISTS spent (payer TEXT PRIMARY KEY, usd REAL NOT NULL)"
LIMIT = "CREATE TABLE IF NOT EXISTS run (id TEXT PRIMARY KEY, budget_usd REAL, before_usd REAL NOT NULL)"
TABLES = (REPLIES, DIALECTS, SPENT, LIMIT)
MADE = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('replies', 'dialects', 'spent', 'run')"
SYNCHRONOUS = "FULL"
CHUNK = 500
WAIT_S = 60.0
CHECKED, CHECK_BYTES = b"\x01", 8
"""What a reply with a checksum begins with, where those of before have the brace of their JSON."""


class ReplyCache:
    """Replies in `folder`, each with the seconds that it took; several processes and threads may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "replies.sqlite"

    def find(self, keys: Iterable[str]) -> dict[str, tuple[float, dict[str, Any]]]:
        """What is kept of these keys: seconds and body."""
        wanted = list(keys)
        found: dict[str, tuple[float, dict[str, Any]]] = {}
        with self._open() as connection:
            for start in range(0, len(wanted), CHUNK):
                part = wanted[start : start + CHUNK]
                marks = ",".join("?" * len(part))
                rows = connection.execute(f"SELECT key, seconds, body FROM replies WHERE key IN ({marks})", part)  # noqa: S608
                for key, seconds, stored in rows:
                    with suppress(msgspec.DecodeError):
                        found[key] = (seconds, msgspec.json.decode(_body(key, stored)))
        return found

    def keep(self, key: str, seconds: float, body: Mapping[str, Any], *, payer: str = "", usd: float = 0.0) -> None:
        """Keep a reply and what it cost; durable before the next one is asked for, as it may have cost money."""
        with self._open() as connection, connection:
            data = msgspec.json.encode(body)
            stored = CHECKED + _check(key, data) + data
            connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", (key, seconds, stored))
            if usd:
                add = "INSERT INTO spent VALUES (?, ?) ON CONFLICT (payer) DO UPDATE SET usd = usd + excluded.usd"
                connection.execute(add, (payer, usd))

    def spent_usd(self, payer: str | None = None) -> float:
        """What was paid for replies since the file was made, in all processes: of a service, or of all."""
        with self._open() as connection:
            spent = "SELECT total(usd) FROM spent WHERE payer = coalesce(?, payer)"
            return float(connection.execute(spent, (payer,)).fetchone()[0])

    def begin_run(self, run_id: str, budget_usd: float | None) -> None:
        """Count what services are paid from now on, which may be so much; a run that is taken up goes on counting."""
        with self._open() as connection, connection:
            known = connection.execute("SELECT before_usd FROM run WHERE id = ?", (run_id,)).fetchone()
            before = known[0] if known else connection.execute("SELECT total(usd) FROM spent").fetchone()[0]
            connection.execute("DELETE FROM run")
            connection.execute("INSERT INTO run VALUES (?, ?, ?)", (run_id, budget_usd, before))

    def run_paid(self) -> tuple[float, float | None]:
        """What all services were paid in the present run, and what they may be."""
        with self._open() as connection:
            paid = "(SELECT total(usd) FROM spent) - before_usd"
            row = connection.execute(f"SELECT {paid}, budget_usd FROM run").fetchone()  # noqa: S608 - a constant
        return (0.0, None) if row is None else (float(row[0]), row[1])

    def dialect(self, service: str) -> ServiceDialect | None:
        """How a service wants to be asked, when it has said so: replies that are kept are no occasion to learn it."""
        with self._open() as connection:
            row = connection.execute("SELECT dialect FROM dialects WHERE service = ?", (service,)).fetchone()
        with suppress(msgspec.DecodeError):  # a damaged one is learned again
            return msgspec.json.decode(row[0], type=ServiceDialect) if row else None
        return None

    def keep_dialect(self, service: str, dialect: ServiceDialect) -> None:
        """Keep what a service has taught."""
        with self._open() as connection, connection:
            connection.execute("INSERT OR REPLACE INTO dialects VALUES (?, ?)", (service, msgspec.json.encode(dialect)))

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        """The database, for the block. A damaged one is no reason to pay for all replies again without a word."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self._path, timeout=WAIT_S)) as connection:
                connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
                connection.execute("PRAGMA fullfsync = ON")  # on macOS, as `core.disk.sync` does
                if connection.execute(MADE).fetchone()[0] < len(TABLES):
                    connection.execute("BEGIN IMMEDIATE")  # the disk is waited for once, and not for each table
                    for table in TABLES:
                        connection.execute(table)
                    connection.commit()
                yield connection
        except sqlite3.DatabaseError as error:
            damaged = (
                CorruptError,
                "run 'bakeoff verify --repair', after which all replies are asked and paid for again",
            )
            known = database_advice(str(error))
            kind, advice = damaged if known is None or known[0] is CorruptError else known
            raise kind(f"cannot use the replies kept in {self._path}: {error}; {advice}") from error


def _body(key: str, stored: bytes) -> bytes:
    """The JSON of a reply; nothing when it is not what was written."""
    if not stored.startswith(CHECKED):
        return stored
    check, body = stored[1 : 1 + CHECK_BYTES], stored[1 + CHECK_BYTES :]
    return body if check == _check(key, body) else b""


def _check(key: str, body: bytes) -> bytes:
    return blake3(key.encode() + b"\0" + body).digest(CHECK_BYTES)
