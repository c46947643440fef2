"""Which SQLite keeps the records, and by which journal.

Python's own `sqlite3` is taken where it is new enough, else `pysqlite3`, which brings a newer one for the platforms
that it has wheels for. "New enough" is 3.51.3: from 3.7.0 on, all before it can lose what was committed when two
connections write and checkpoint a write-ahead log at the same moment (3.44.6 and 3.50.7 have the fix too, but not the
pragma by which we see a damaged log). Where only an older one is there, the records have a rollback journal, which the
defect does not concern: as safe, but readers and writers wait for each other.

Source: sqlite.org/wal.html, "The WAL-reset bug"; sqlite.org/pragma.html, "synchronous".
"""

import sqlite3
from dataclasses import dataclass
from functools import cache
from typing import Any

from bakeoff.core.errors import StoreError

__all__ = ["SQLite", "sqlite"]

LOG_IS_SAFE = (3, 51, 3)
OLDEST = (3, 35, 0)
"""The first with `RETURNING`, which SQLAlchemy uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLite:
    """A driver (a module of DB-API 2.0) and what its SQLite can."""

    module: Any

    @property
    def version(self) -> tuple[int, ...]:
        """Of the library behind the driver."""
        return self.module.sqlite_version_info

    @property
    def write_ahead(self) -> bool:
        """Whether a write-ahead log is safe with it."""
        return self.version >= LOG_IS_SAFE

    @property
    def pragmas(self) -> tuple[str, str]:
        """The journal, and when what is committed is on disk: always, however the journal ends."""
        # A rollback journal ends by being deleted, which only EXTRA syncs: else a power cut could undo the last commit.
        return ("WAL", "FULL") if self.write_ahead else ("DELETE", "EXTRA")

    def __str__(self) -> str:
        shown = f"SQLite {_dotted(self.version)} of {self.module.__name__}"
        if self.write_ahead:
            return f"{shown}, with a write-ahead log"
        return (
            f"{shown}, with a rollback journal: as safe, but slower when several processes use a project. "
            f"From {_dotted(LOG_IS_SAFE)} on there is a write-ahead log: another Python, or pip install pysqlite3"
        )


@cache
def sqlite() -> SQLite:
    """The newest that is needed of those that are installed.

    Raises:
        StoreError: all are too old.
    """
    drivers = [SQLite(module=sqlite3)]
    if not drivers[0].write_ahead:
        try:
            import pysqlite3  # pyright: ignore[reportMissingImports] - it is not on every platform
        except ImportError:
            pass
        else:
            drivers.append(SQLite(module=pysqlite3))
    best = max(drivers, key=lambda each: each.version)
    if best.version < OLDEST:
        raise StoreError(
            f"expected SQLite {_dotted(OLDEST)} or newer for the records, found {_dotted(best.version)}: "
            "use another Python (that of uv brings a new SQLite), pip install pysqlite3, "
            "or name a PostgreSQL as [store] records"
        )
    return best


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
