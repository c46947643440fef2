"""Hold single rows of requests against a contract: the rules as closures, made once and called often.

What a row alone can violate is checked: types, ranges, allowed values, lengths, and a value where every row
must have one. Uniqueness, shares and SQL take a whole table (`bakeoff.data.contract_check`).
"""

import reprlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bakeoff.core.errors import ContractError
from bakeoff.core.types import CANONICAL, Column
from bakeoff.data.cast import value_of
from bakeoff.data.contract import ColumnRules, Contract
from bakeoff.data.contract_check import expected_allowed, expected_length, expected_range
from bakeoff.data.values import Convert, absent_values, converter, expected
from bakeoff.data.violation import RuleName, Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Broken", "RowCheck", "compiled"]

TOLD = 10
"""Violations that an error's message names; all are in its `violations`, up to MOST_TOLD."""
MOST_TOLD = 100
EXACT = 2.0**53 - 1
"""Up to here no other whole number has the same float."""
MOST = sys.float_info.max
"""No number that is not finite lies within."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule of a column, as it is told."""

    column: str
    rule: RuleName
    severity: Severity
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A rule that a row (from 1) does not keep, and what it holds."""

    row: int
    rule: Rule
    received: str

    def told(self) -> str:
        """In one line."""
        where = f"row {self.row}, column {self.rule.column!r}, rule {self.rule.rule}"
        return f"{where}: expected {self.rule.expected}, received {self.received}"

    def to_json(self) -> dict[str, str | int | None]:
        """As plain values."""
        rule = self.rule
        return {
            "row": self.row,
            "column": rule.column,
            "rule": rule.rule,
            "expected": rule.expected,
            "received": self.received,
        }


Test: TypeAlias = tuple[Callable[[Any], bool], Rule]
"""Whether a present value keeps to the rule."""


@dataclass(frozen=True, slots=True)
class _Column:
    column: Column
    convert: Convert
    type: Rule
    required: Rule | None
    tests: tuple[Test, ...]
    plain: tuple[float, float] | None = None
    """Between which numbers a float keeps to all rules; None where more is to be looked at."""


class RowCheck:
    """The compiled rules of some columns."""

    def __init__(self, columns: Mapping[str, _Column]) -> None:
        self._columns = tuple(columns.items())

    def __call__(self, rows: Sequence[Mapping[str, object]]) -> list[Broken]:
        """What the rows violate, by row; what is no object is left to others to refuse."""
        found: list[Broken] = []
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - comes from outside
                continue
            for name, column in self._columns:
                if column.plain is not None and type(value := row.get(name)) is float:
                    low, high = column.plain
                    if low <= value <= high:
                        continue
                try:
                    value = value_of(row, column.column)
                except ValueError:  # a vector of another length
                    found.append(Broken(row=number, rule=column.type, received=reprlib.repr(row.get(name))))
                    continue
                if broken := _broken(column, value):
                    shown = reprlib.repr(value)
                    found += [Broken(row=number, rule=rule, received=shown) for rule in broken]
        return found

    def within(self, names: Sequence[str]) -> "Callable[[NDArray[np.float64]], bool] | None":
        """What says that numbers of rows (n, d), d in the order of these names, surely keep all rules.

        Whatever it does not say is to be looked at value by value; None where all is.
        """
        if any(column.plain is None or name not in names for name, column in self._columns):
            return None
        ends = {name: column.plain for name, column in self._columns if column.plain is not None}
        low_d, high_d = (
            np.array([min(max(ends[name][end], -EXACT), EXACT) if name in ends else sign * np.inf for name in names])
            for end, sign in ((0, -1.0), (1, 1.0))
        )
        return lambda x_nd: bool(((x_nd >= low_d) & (x_nd <= high_d)).all())

    @staticmethod
    def error(broken: Sequence[Broken]) -> ContractError:
        """The error that refuses a request."""
        first = "\n".join(each.told() for each in broken[:TOLD])
        more = f"\nand {len(broken) - TOLD:,} more" if len(broken) > TOLD else ""
        return ContractError(f"{first}{more}", tuple(each.to_json() for each in broken[:MOST_TOLD]))


def _broken(column: _Column, value: object) -> Sequence[Rule]:
    """The rules that a value does not keep; a type that does not fit is all that can be said."""
    if value is None or value == "":
        return (column.required,) if column.required else ()
    try:
        read = column.convert(value)
    except (ValueError, TypeError, OverflowError):
        return (column.type,)
    if read is None:  # a number that is not finite, or a word for "no value"
        return (column.required,) if column.required else ()
    for keeps, _ in column.tests:
        if not keeps(read):
            return [rule for test, rule in column.tests if not test(read)]
    return ()


def compiled(contract: Contract, columns: Iterable[Column]) -> RowCheck:
    """The rules of these columns, ready to be called for every request; values are read as the columns are written."""
    known = {column.name: column for column in columns}
    return RowCheck({name: _compiled(known[name], rules) for name, rules in contract.columns.items() if name in known})


def _compiled(served: Column, rules: ColumnRules) -> _Column:
    name, kind = served.name, rules.type.kind
    column = replace(served, kind=kind)
    rule = partial(Rule, column=name)
    required = None
    if rules.missing is not None and rules.missing.max_share == 0:
        required = rule(rule="missing", severity=rules.missing.severity, expected="a value")
    return _Column(
        column=column,
        convert=converter(column),
        type=rule(rule="type", severity=rules.type.severity, expected=expected(column)),
        required=required,
        tests=tuple(_tests(rules, column, rule)),
        plain=_plain(rules, column),
    )


def _plain(rules: ColumnRules, column: Column) -> tuple[float, float] | None:
    """The range of a column of numbers that has no other rule: most values of most requests need no closer look."""
    if column.kind != "numeric" or column.format.vector is not None or absent_values(column):
        return None
    if rules.allowed is not None or rules.length is not None:
        return None
    low, high = (None, None) if rules.range is None else (rules.range.min, rules.range.max)
    ends = (-MOST if low is None else low, MOST if high is None else high)
    return ends if all(isinstance(end, int | float) for end in ends) else None  # pyright: ignore[reportReturnType]


def _tests(rules: ColumnRules, column: Column, rule: Callable[..., Rule]) -> Iterator[Test]:
    if rules.range is not None:
        told = rule(rule="range", severity=rules.range.severity, expected=expected_range(rules.range))
        yield _between(rules.range.min, rules.range.max), told
    if rules.allowed is not None:
        canonical = converter(replace(column, format=CANONICAL))  # rules are written in the canonical format
        known = frozenset(canonical(value) for value in rules.allowed.values)
        severity = "warn" if rules.allowed.max_share else rules.allowed.severity  # a row alone is no share
        told = rule(rule="allowed", severity=severity, expected=expected_allowed(rules.allowed))
        yield known.__contains__, told
    if rules.length is not None:
        least, most = rules.length.min, rules.length.max
        told = rule(rule="length", severity=rules.length.severity, expected=expected_length(rules.length))
        yield (lambda text: len(text) >= least and (most is None or len(text) <= most)), told


def _between(low: Any, high: Any) -> Callable[[Any], bool]:
    if low is None:
        return lambda value: value <= high
    if high is None:
        return lambda value: value >= low
    return lambda value: low <= value <= high
