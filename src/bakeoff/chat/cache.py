"""Replies of services by what was asked, in one SQLite file: what was paid for once is not paid for again.

The file holds no prompts, only their digests, and the replies.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from bakeoff.chat.dialect import Dialect

__all__ = ["ReplyCache"]

REPLIES = "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, seconds REAL NOT NULL, body BLOB NOT NULL)"
DIALECTS = "CREATE TABLE IF NOT EXISTS dialects (service TEXT PRIMARY KEY, dialect BLOB NOT NULL)"
SPENT = "CREATE TABLE IF NOT EXISTS spent (payer TEXT PRIMARY KEY, usd REAL NOT NULL)"
LIMIT = "CREATE TABLE IF NOT EXISTS run (id TEXT PRIMARY KEY, budget_usd REAL, before_usd REAL NOT NULL)"
TABLES = (REPLIES, DIALECTS, SPENT, LIMIT)
CHUNK = 500
WAIT_S = 60.0


class ReplyCache:
    """Replies in `folder`, each with the seconds that it took; several processes and threads may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "replies.sqlite"

    def find(self, keys: Iterable[str]) -> dict[str, tuple[float, dict[str, Any]]]:
        """What is kept of these keys: seconds and body."""
        wanted = list(keys)
        found: dict[str, tuple[float, dict[str, Any]]] = {}
        with closing(self._open()) as connection:
            for start in range(0, len(wanted), CHUNK):
                part = wanted[start : start + CHUNK]
                marks = ",".join("?" * len(part))
                rows = connection.execute(f"SELECT key, seconds, body FROM replies WHERE key IN ({marks})", part)  # noqa: S608
                found |= {key: (seconds, msgspec.json.decode(body)) for key, seconds, body in rows}
        return found

    def keep(self, key: str, seconds: float, body: Mapping[str, Any], *, payer: str = "", usd: float = 0.0) -> None:
        """Keep a reply and what it cost; durable before the next one is asked for, as it may have cost money."""
        with closing(self._open()) as connection, connection:
            connection.execute(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", (key, seconds, msgspec.json.encode(body))
            )
            if usd:
                add = "INSERT INTO spent VALUES (?, ?) ON CONFLICT (payer) DO UPDATE SET usd = usd + excluded.usd"
                connection.execute(add, (payer, usd))

    def spent_usd(self, payer: str) -> float:
        """What was paid for a service's replies since the file was made, in all processes."""
        with closing(self._open()) as connection:
            row = connection.execute("SELECT usd FROM spent WHERE payer = ?", (payer,)).fetchone()
        return float(row[0]) if row else 0.0

    def begin_run(self, run_id: str, budget_usd: float | None) -> None:
        """Count what services are paid from now on, which may be so much; a run that is taken up goes on counting."""
        with closing(self._open()) as connection, connection:
            known = connection.execute("SELECT before_usd FROM run WHERE id = ?", (run_id,)).fetchone()
            before = known[0] if known else connection.execute("SELECT total(usd) FROM spent").fetchone()[0]
            connection.execute("DELETE FROM run")
            connection.execute("INSERT INTO run VALUES (?, ?, ?)", (run_id, budget_usd, before))

    def run_paid(self) -> tuple[float, float | None]:
        """What all services were paid in the present run, and what they may be."""
        with closing(self._open()) as connection:
            paid = "(SELECT total(usd) FROM spent) - before_usd"
            row = connection.execute(f"SELECT {paid}, budget_usd FROM run").fetchone()  # noqa: S608 - a constant
        return (0.0, None) if row is None else (float(row[0]), row[1])

    def dialect(self, service: str) -> Dialect | None:
        """How a service wants to be asked, when it has said so: replies that are kept are no occasion to learn it."""
        with closing(self._open()) as connection:
            row = connection.execute("SELECT dialect FROM dialects WHERE service = ?", (service,)).fetchone()
        return msgspec.json.decode(row[0], type=Dialect) if row else None

    def keep_dialect(self, service: str, dialect: Dialect) -> None:
        """Keep what a service has taught."""
        with closing(self._open()) as connection, connection:
            connection.execute("INSERT OR REPLACE INTO dialects VALUES (?, ?)", (service, msgspec.json.encode(dialect)))

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=WAIT_S)
        try:
            for table in TABLES:
                connection.execute(table)
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError:
            connection.close()
            self._path.unlink(missing_ok=True)  # no database: it is only a cache, start anew
            connection = sqlite3.connect(self._path, timeout=WAIT_S)
            for table in TABLES:
                connection.execute(table)
        return connection
