"""Queries as SQL: conditions, order and pages over one table and what stands beside it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    collate,
    exists,
    false,
    func,
    not_,
    null,
    or_,
    select,
    true,
)

from bakeoff.core.errors import UsageError
from bakeoff.core.queries import AllOf, Expr, Kind, Order, Predicate, Query, QueryField, Value

__all__ = ["Beside", "Entity", "batches", "columns", "count", "find", "find_keys", "grouped", "offset_of", "rows_of"]

Column: TypeAlias = ColumnElement[Any]
BATCH = 500
LOOK = 5000
"""So many values of a metric are looked at in their order, before all rows are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A table with a row for each key of a thing.

    `same` are its columns, and those of the thing, by which rows belong together; `only` what else its rows have.
    `value` is the column of the value, or those of texts and of numbers. Without `keyed`, a row has a column for each
    key.
    """

    table: Table
    same: Mapping[str, str]
    only: Mapping[str, str] = field(default_factory=dict[str, str])
    value: tuple[str, ...] = ("value",)
    keyed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A table that can be searched. `stamp` grows with each new row; `newest` is the order behind all others.

    `attributes` are the columns by the names of attributes; others may stand beside. `values` turn what a
    query gives for an attribute into what the column holds. By `key` rows are fetched once they are known: what is
    sorted to find them is not whole rows.
    """

    table: Table
    attributes: Mapping[str, str]
    stamp: str
    key: str | None = None
    newest: tuple[Column, ...]
    beside: Mapping[Kind, Beside] = field(default_factory=dict[Kind, Beside])
    values: Mapping[str, Callable[[Value], Value]] = field(default_factory=dict[str, Callable[[Value], Value]])


def find(connection: Connection, entity: Entity, query: Query, *only: Column) -> tuple[Sequence[Any], str | None]:
    """The rows of one page, and how the next one is asked for; `only` those of which this is true.

    Raises:
        UsageError: a field, a comparison or a page that there is none of.
    """
    if entity.key is None:
        return _page(connection, entity, query, select(entity.table).where(*only))
    keys, following = find_keys(connection, entity, query, *only)
    return rows_of(connection, entity, keys, *only), following


def find_keys(connection: Connection, entity: Entity, query: Query, *only: Column) -> tuple[list[Any], str | None]:
    """The keys of the rows of one page, and how the next one is asked for."""
    assert entity.key is not None
    rows, following = _page(connection, entity, query, select(entity.table.c[entity.key]).where(*only))
    return [key for (key,) in rows], following


def count(connection: Connection, entity: Entity, where: Expr | None, *only: Column) -> int:
    """Of how many rows a condition holds; `only` those of which this is true."""
    statement = select(func.count()).select_from(entity.table).where(*only)
    if where is not None:
        statement = statement.where(_Sql(entity, connection.dialect.name).clause(where))
    return connection.scalar(statement) or 0


def grouped(connection: Connection, entity: Entity, query: Query, by: QueryField | None) -> tuple[Column, Select[Any]]:
    """The column that a query's rows are grouped by, and a select of no columns yet from these rows.

    Raises:
        UsageError: there is no such field, or it has several values of each row.
    """
    sql = _Sql(entity, connection.dialect.name)
    column, source = sql.value_of(by)
    statement = select().select_from(source)
    if query.lifecycle is not None and "lifecycle" in entity.table.c:
        statement = statement.where(entity.table.c.lifecycle == query.lifecycle)
    return column, statement if query.where is None else statement.where(sql.clause(query.where))


def rows_of(connection: Connection, entity: Entity, keys: Sequence[Any], *only: Column) -> list[Any]:
    """The rows of these keys, in their order."""
    assert entity.key is not None
    key, known = entity.table.c[entity.key], dict[Any, Any]()
    for some in batches(keys):
        rows = connection.execute(select(entity.table).where(key.in_(some), *only)).all()
        known.update((getattr(row, entity.key), row) for row in rows)
    return [known[each] for each in keys]


def batches(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Keys by as many as one select may name: below every database's limit of bound values."""
    return (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))


def _page(
    connection: Connection, entity: Entity, query: Query, statement: Select[Any]
) -> tuple[Sequence[Any], str | None]:
    if query.limit < 1:
        raise UsageError(f"expected a limit of 1 or more; received {query.limit}")
    sql = _Sql(entity, connection.dialect.name)
    stamp = entity.table.c[entity.stamp]
    newest, offset = _place(query.page)
    if newest is None:
        newest = connection.scalar(select(func.max(stamp))) or 0
    statement = statement.where(stamp <= newest)
    if query.lifecycle is not None and "lifecycle" in entity.table.c:
        statement = statement.where(entity.table.c.lifecycle == query.lifecycle)
    if query.where is not None:
        statement = statement.where(sql.clause(query.where))
    first = sql.first(connection, statement, query.order, offset + query.limit + 1)
    rows: Sequence[Any] = [] if first is None else connection.execute(first).all()[offset:]
    if len(rows) <= query.limit:
        statement = sql.ordered(statement, query.order)
        rows = connection.execute(statement.limit(query.limit + 1).offset(offset)).all()
    following = f"{newest}.{offset + query.limit}" if len(rows) > query.limit else None
    return rows[: query.limit], following


def _place(page: str | None) -> tuple[int | None, int]:
    """The newest thing that the first page knew of, and how many came on pages before."""
    if page is None:
        return None, 0
    newest, _, offset = page.partition(".")
    if not (newest.isdigit() and offset.isdigit() and len(page) < 40):  # noqa: PLR2004
        raise UsageError(f"expected a page that an earlier answer named; received {page!r}")
    return int(newest), int(offset)


def offset_of(page: str | None) -> int:
    """How many things came on the pages before."""
    return _place(page)[1]


class _Sql:
    """Clauses for one entity in one dialect."""

    def __init__(self, entity: Entity, dialect: str) -> None:
        self._entity, self._dialect = entity, dialect

    def clause(self, where: Expr) -> Column:
        """The condition as SQL."""
        if isinstance(where, Predicate):
            return self._condition(where)
        parts = [self.clause(part) for part in where.parts]
        return and_(true(), *parts) if isinstance(where, AllOf) else or_(false(), *parts)

    def value_of(self, wanted: QueryField | None) -> tuple[Column, Any]:
        """The column that holds a field of each row, and the rows with it; without a field, nothing beside all rows."""
        if wanted is None:
            return null(), self._entity.table
        column = self._attribute(wanted)
        if column is not None:
            return column, self._entity.table
        beside = self._beside(wanted)
        if not beside.keyed or "is_nan" in beside.table.c:
            raise UsageError(f"expected an attribute, param or tag to group by; received a {wanted.kind}")
        rows = beside.table.alias()
        joined = self._entity.table.outerjoin(rows, and_(self._belongs(beside, rows), rows.c.key == wanted.key))
        return rows.c[beside.value[0]], joined

    def first(
        self, connection: Connection, statement: Select[Any], order: Sequence[Order], most: int
    ) -> Select[Any] | None:
        """At most so many rows of the beginning of an order by a metric, in the order in which its index has them.

        Only the first `LOOK` values (or four times what is wanted) are looked at: a filter that few rows pass is
        answered sooner by reading all rows once. So there may be fewer rows than the whole order has; those that are
        there are its first. None where nothing can be said in this way.
        """
        wanted = order[0].field if order else None
        beside = None if wanted is None or self._attribute(wanted) is not None else self._entity.beside.get(wanted.kind)
        if wanted is None or beside is None or "is_nan" not in beside.table.c:
            return None
        rows, down = beside.table.alias(), order[0].descending
        value, known = rows.c[beside.value[0]], and_(rows.c.key == wanted.key, rows.c.is_nan.is_(False))
        by_value = value.desc() if down else value
        looked = max(LOOK, 4 * most)
        end = connection.scalar(select(value).where(known).order_by(by_value).limit(1).offset(looked))
        if end is not None:  # of values that are as large as this one not all were looked at
            statement = statement.where(value > end if down else value < end)
        joined = statement.join(rows, and_(self._belongs(beside, rows), known)).order_by(by_value)
        return self.ordered(joined, order[1:]).limit(most)

    def ordered(self, statement: Select[Any], order: Sequence[Order]) -> Select[Any]:
        """In this order, what lacks a value last; then newest first."""
        for each in order:
            column, nan = self._attribute(each.field), None
            if column is None:
                beside = self._beside(each.field)
                if not beside.keyed:
                    raise UsageError(f"expected an order by one value of each thing; received {each.field.key!r}")
                rows = beside.table.alias()
                statement = statement.outerjoin(rows, and_(self._belongs(beside, rows), rows.c.key == each.field.key))
                columns, nan = [rows.c[name] for name in beside.value], rows.c.get("is_nan")
            else:
                columns = [column]
            # What is never lacking is sorted by its column alone: an index may have that order.
            optional = column is None or getattr(column, "nullable", True)
            lacking = [and_(*(each.is_(None) for each in columns))] if optional else []
            lacking += [] if nan is None else [nan]
            plain = map(self._plain, columns)
            statement = statement.order_by(*lacking, *(c.desc() if each.descending else c for c in plain))
        return statement.order_by(*self._entity.newest)

    def _condition(self, condition: Predicate) -> Column:
        column = self._attribute(condition.field)
        if column is not None:
            convert = self._entity.values.get(condition.field.key)
            return self._compared(column, condition, condition.value if convert is None else convert(condition.value))
        beside = self._beside(condition.field)
        table = beside.table
        if not beside.keyed:
            if condition.field.key not in beside.value:
                raise UsageError(f"expected one of {', '.join(beside.value)}; received {condition.field.key!r}")
            column = table.c[condition.field.key]
            return exists().where(self._belongs(beside, table), self._compared(column, condition, condition.value))
        there = and_(self._belongs(beside, table), table.c.key == condition.field.key)
        if condition.operator in {"is null", "is not null"}:
            present = exists().where(there)
            return not_(present) if condition.operator == "is null" else present
        holds = self._compared(_value_column(beside, condition.value), condition, condition.value)
        if "is_nan" in table.c:
            nan = table.c.is_nan
            holds = or_(nan, holds) if condition.operator == "!=" else and_(not_(nan), holds)
        return exists().where(there, holds)

    def _compared(self, column: Column, condition: Predicate, value: Value) -> Column:
        self._check(column, condition, value)
        name = condition.operator
        if name in {"is null", "is not null"}:
            return column.is_(None) if name == "is null" else column.is_not(None)
        if isinstance(value, tuple):
            return column.in_(value) if name == "in" else column.not_in(value)
        if name in {"like", "ilike"}:
            return self._like(column, str(value)) if name == "like" else column.ilike(value)
        return self._plain(column).op(name, is_comparison=True)(value)

    def _check(self, column: Column, condition: Predicate, value: Value) -> None:
        """See that the comparison is one of what the column holds."""
        name = condition.operator
        if name in {"is null", "is not null"}:
            return
        text = isinstance(column.type, Text)
        given = value if isinstance(value, tuple) else (value,)
        right = all(isinstance(each, str if text else int | float) for each in given)
        if (
            not right
            or isinstance(value, tuple) != (name in {"in", "not in"})
            or (name in {"like", "ilike"} and not text)
        ):
            kind, expected = condition.field.kind, "texts" if text else "numbers"
            raise UsageError(
                f"expected {kind} {condition.field.key!r} to be compared with {expected}; received {name} {value!r}"
            )

    def _like(self, column: Column, pattern: str) -> Column:
        if self._dialect != "sqlite":
            return column.like(pattern)
        # LIKE of SQLite does not mind case.
        signs = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
        return column.op("GLOB", is_comparison=True)("".join(signs.get(each, each) for each in pattern))

    def _plain(self, column: Column) -> Column:
        """Texts in the order of their code points, as SQLite has them."""
        return collate(column, "C") if self._dialect == "postgresql" and isinstance(column.type, Text) else column

    def _attribute(self, wanted: QueryField) -> Column | None:
        """The column of an attribute; None for what stands beside.

        Raises:
            UsageError: there is no such attribute.
        """
        if wanted.kind != "attribute":
            return None
        if wanted.key not in self._entity.attributes:
            if "attribute" in self._entity.beside:
                return None
            known = ", ".join(self._entity.attributes)
            raise UsageError(f"expected an attribute of {self._entity.table.name} ({known}); received {wanted.key!r}")
        return self._entity.table.c[self._entity.attributes[wanted.key]]

    def _beside(self, wanted: QueryField) -> Beside:
        beside = self._entity.beside.get(wanted.kind)
        if beside is None:
            raise UsageError(f"expected an attribute or tag of {self._entity.table.name}; received a {wanted.kind}")
        return beside

    def _belongs(self, beside: Beside, rows: Any) -> Column:
        only = (rows.c[name] == value for name, value in beside.only.items())
        return and_(*(rows.c[name] == self._entity.table.c[own] for name, own in beside.same.items()), *only)


def columns(*names: str) -> dict[str, str]:
    """Columns that are called alike on both sides."""
    return {name: name for name in names}


def _value_column(beside: Beside, value: Value) -> Column:
    """The column that holds values such as this one."""
    first = value[0] if isinstance(value, tuple) and value else value
    return beside.table.c[beside.value[0 if isinstance(first, str) else -1]]
