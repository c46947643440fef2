"""Statements that nearly every request runs: compiled once, then given to the driver by itself.

What SQLAlchemy does around each execution takes ten times as long as SQLite takes for the statement. The statements are
SQLAlchemy's all the same, and run in its transactions.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import ClauseElement, Connection, Dialect
from sqlalchemy.exc import DBAPIError

__all__ = ["Statement"]


class Statement:
    """One statement for one kind of database, compiled when it is run first; safe to use from several threads.

    Args:
        dialect: the database's.
        clause: the statement; its parameters are numbers, texts and bytes, which no driver wants converted.
        names: its parameters, in the order in which they stand in it and their values are given.
    """

    def __init__(self, dialect: Dialect, clause: ClauseElement, names: Sequence[str] = ()) -> None:
        self._dialect, self._clause, self._names = dialect, clause, names

    @cached_property
    def _compiled(self) -> tuple[str, Sequence[str] | None]:
        """The text for the driver, and the names that it wants with values, if it does."""
        compiler: Any = self._clause.compile
        compiled = compiler(dialect=self._dialect, column_keys=list(self._names) or None)
        if not compiled.positional:
            return str(compiled), self._names
        assert list(compiled.positiontup) == list(self._names), str(compiled)
        return str(compiled), None

    def rows(self, connection: Connection, *values: Any) -> list[tuple[Any, ...]]:
        """What the statement finds."""
        return self._run(connection, self._given(values)).fetchall()

    def change(self, connection: Connection, *values: Any) -> int:
        """How many rows the statement changed."""
        return self._run(connection, self._given(values)).rowcount

    def change_each(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Run it with each of these rows of values."""
        if len(rows) == 1:
            self._run(connection, self._given(rows[0]))
        elif rows:
            self._run(connection, [self._given(row) for row in rows], "executemany")

    def _given(self, values: Sequence[Any]) -> Any:
        names = self._compiled[1]
        return values if names is None else dict(zip(names, values, strict=True))

    def _run(self, connection: Connection, given: Any, method: str = "execute") -> Any:
        sql, raw = self._compiled[0], connection.connection
        cursor: Any = raw.cursor()
        try:
            getattr(cursor, method)(sql, given)
        except self._dialect.loaded_dbapi.Error as error:
            if self._dialect.is_disconnect(error, raw, cursor):  # pyright: ignore[reportArgumentType] - as SQLAlchemy does
                connection.invalidate(error)
            kind: Any = self._dialect.loaded_dbapi.Error
            raise DBAPIError.instance(sql, None, error, kind, dialect=self._dialect) from error
        return cursor
