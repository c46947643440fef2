"""Questions to the records as values: conditions, order, and pages of what answers them."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeAlias, TypeVar

__all__ = [
    "AllOf",
    "AnyOf",
    "Expr",
    "Kind",
    "Lifecycle",
    "Operator",
    "Order",
    "Page",
    "Predicate",
    "Query",
    "QueryField",
    "attribute",
    "every",
    "holds",
]

Lifecycle: TypeAlias = Literal["active", "deleted"]
Kind: TypeAlias = Literal["attribute", "metric", "param", "tag", "input"]
Operator: TypeAlias = Literal[
    "=", "!=", "<", "<=", ">", ">=", "like", "ilike", "in", "not in", "is null", "is not null"
]
Value: TypeAlias = str | float | int | tuple[str | int, ...] | None
T = TypeVar("T")

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
PAGE = 1000
"""Of what is found, as many come at a time unless another limit is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryField:
    """What is compared or sorted by: an attribute of the noun (`status`), or a metric, param or tag by its key.

    `input` is one of several: the name, version or context of some dataset that was used.
    """

    kind: Kind
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """A field compared with a value. `like` takes % and _; `in` a tuple of texts.

    A metric, param or tag that is not there fulfils `is null` alone; NaN fulfils no comparison of numbers but `!=`.
    """

    field: QueryField
    operator: Operator
    value: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    """Every part holds; without parts, always."""

    parts: "tuple[Expr, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """One part or more holds; without parts, never."""

    parts: "tuple[Expr, ...]"


Expr: TypeAlias = Predicate | AllOf | AnyOf


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Sorted by a field; what lacks it comes last, and NaN just before."""

    field: QueryField
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Things of which `where` holds, in the `order` given and then newest first; of any life when `lifecycle` is None.

    `page` is what an earlier page named as its `following`, of the same query. Things that are made between two pages
    are on neither.
    """

    where: Expr | None = None
    order: tuple[Order, ...] = ()
    lifecycle: Lifecycle | None = "active"
    limit: int = PAGE
    page: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some of what was asked for, and how to ask for the rest; `following` is None when this is all."""

    items: tuple[T, ...]
    following: str | None = None


def attribute(key: str, comparison: Operator, value: Value = None) -> Predicate:
    """A condition on an attribute.

    >>> attribute("status", "=", "FAILED").field.key
    'status'
    """
    return Predicate(field=QueryField(kind="attribute", key=key), operator=comparison, value=value)


def every(search: Callable[[Query], Page[T]], query: Query) -> Iterator[T]:
    """All that a query finds, page by page."""
    while True:
        page = search(query)
        yield from page.items
        if page.following is None:
            return
        query = replace(query, page=page.following)


def holds(where: Expr | None, value_of: Callable[[QueryField], Value]) -> bool:
    """Whether a condition holds of something whose fields `value_of` gives (None: it has none).

    >>> holds(attribute("name", "like", "a%"), lambda field: "abc")
    True
    """
    if where is None:
        return True
    if isinstance(where, AllOf):
        return all(holds(part, value_of) for part in where.parts)
    if isinstance(where, AnyOf):
        return any(holds(part, value_of) for part in where.parts)
    return _holds(where, value_of(where.field))


def _holds(condition: Predicate, value: Value) -> bool:
    name, expected = condition.operator, condition.value
    if name in {"is null", "is not null"}:
        return (value is None) == (name == "is null")
    if value is None:
        return False
    if isinstance(expected, tuple):
        return (value in expected) == (name == "in")
    if name in {"like", "ilike"}:
        return _like(str(value), str(expected), same_case=name == "like")
    return bool(_COMPARED[name](value, expected))


def _like(value: str, pattern: str, *, same_case: bool) -> bool:
    parts = (".*" if each == "%" else "." if each == "_" else re.escape(each) for each in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL | (0 if same_case else re.IGNORECASE)) is not None
