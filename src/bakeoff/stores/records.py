"""Records on SQLite or PostgreSQL: one code, transactions, migrated when opened."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.core.erasure import PersonKey
from bakeoff.core.protocols import Clock
from bakeoff.stores.database import Database, connect
from bakeoff.stores.documents import Documents
from bakeoff.stores.experiments import Experiments
from bakeoff.stores.grouping import Grouping
from bakeoff.stores.migrate import migrate
from bakeoff.stores.runs import Runs
from bakeoff.stores.versions import Versions

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.stores.copying import TableSum

__all__ = ["Records", "open_records"]


class Records:
    """A `RecordStore` on one database; safe to use from several threads."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        grouped = Grouping(database)
        self.experiments = Experiments(database, grouped, clock)
        self.runs = Runs(database, grouped, clock)
        self.versions = Versions(database, grouped, clock)
        self.documents = Documents(database, grouped, clock)

    def tables(self) -> "AbstractContextManager[Callable[[str], Iterator[pl.DataFrame]]]":
        """All that the database holds, as tables; see `bakeoff.stores.tables`."""
        from bakeoff.stores.tables import tables

        return tables(self.database)

    def problem(self) -> str | None:
        """Why the database cannot be used at the moment; None when it can, as far as is known."""
        return self.database.problem()

    def copy_to(self, target: "Records", *, again: bool) -> "Mapping[str, TableSum]":
        """Copy all that the database holds into another one; see `bakeoff.stores.copying`."""
        from bakeoff.stores.copying import copy_records

        return copy_records(self.database, target.database, again=again)

    def erase(self, key: PersonKey, renamed: Mapping[str, str]) -> Mapping[str, int]:
        """Erase a person's rows and values, and name blobs anew; how many by table."""
        from bakeoff.stores.record_erasure import erase

        return erase(self._database, key, renamed)

    def close(self) -> None:
        """Release the connections."""
        self.database.close()


def open_records(url: str, *, folder: Path, clock: Clock) -> Records:
    """Open the records at `sqlite:///PATH` (relative to `folder`) or `postgresql://…`, made when missing.

    Raises:
        UsageError: another kind of URL.
        MissingExtraError: the driver of PostgreSQL is not installed.
        StoreError: the database cannot be used, or a newer bakeoff has written it.
    """
    database = connect(url, folder)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return Records(database, clock)
