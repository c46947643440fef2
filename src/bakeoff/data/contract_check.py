"""Hold a whole table against its contract: what is violated, by how many rows, and which come first."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.types import Column, ColumnKind
from bakeoff.data.cast import misfits
from bakeoff.data.contract import AllowedRule, ColumnRules, Contract, LengthRule, RangeRule, SqlRule
from bakeoff.data.querying import first_line, require_duckdb
from bakeoff.data.values import EXPECTED, converter
from bakeoff.data.violation import RuleName, Severity, Violation

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["ROW", "ContractCheck", "check", "expected_allowed", "expected_length", "expected_range", "typed_as"]

SHOWN_ROWS = 5
SHOWN_CHARACTERS = 60
SHOWN_VALUES = 8
ROW = "_row"
"""The column of `data` that numbers the rows, from 1, in a contract's SQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractCheck:
    """What a check found; `bad_n` marks the rows that violate an error rule by themselves."""

    violations: tuple[Violation, ...]
    bad_n: "NDArray[np.bool_]"

    @property
    def errors(self) -> tuple[Violation, ...]:
        """Those that stop a run."""
        return tuple(each for each in self.violations if each.severity == "error")

    @property
    def warnings(self) -> tuple[Violation, ...]:
        """Those that a person should know of."""
        return tuple(each for each in self.violations if each.severity == "warn")


def check(table: "pl.DataFrame", contract: Contract) -> ContractCheck:
    """All violations, in the contract's order; values are read as the contract's types, whatever theirs.

    Raises:
        ConfigError: a query of the contract cannot be run; all of them together.
    """
    violations: list[Violation] = []
    bad_n = np.zeros(table.height, dtype=np.bool_)
    typed: dict[str, pl.Series] = {}
    for name, rules in contract.columns.items():
        if name not in table.columns:
            violations.append(Violation(column=name, rule="present", severity="error", expected="a column", count=0))
            continue
        for violation, mask in _column(table[name], rules, typed):
            violations.append(violation)
            if violation.severity == "error" and mask is not None:
                bad_n |= mask.to_numpy()
    if contract.sql:
        for violation in _by_sql(table.with_columns(typed.values()), contract.sql):
            violations.append(violation[0])
            if violation[0].severity == "error":
                bad_n[violation[1]] = True
    return ContractCheck(violations=tuple(violations), bad_n=bad_n)


def expected_range(rule: RangeRule) -> str:
    """The range in words."""
    ends = [f"{sign} {_end(end)}" for sign, end in (("≥", rule.min), ("≤", rule.max)) if end is not None]
    return " and ".join(ends)


def expected_allowed(rule: AllowedRule) -> str:
    """The values in words, some of them when they are many."""
    shown = ", ".join(repr(value) for value in rule.values[:SHOWN_VALUES])
    more = len(rule.values) - SHOWN_VALUES
    others = f", others in at most {rule.max_share:.4g} of the rows" if rule.max_share else ""
    return f"one of {shown}" + (f" or {more} more" if more > 0 else "") + others


def expected_length(rule: LengthRule) -> str:
    """The length in words."""
    least = [f"at least {rule.min:,}"] if rule.min else []
    most = [f"at most {rule.max:,}"] if rule.max is not None else []
    return f"{' and '.join([*least, *most]) or 'any number of'} characters"


def _end(end: float | datetime) -> str:
    return end.isoformat() if isinstance(end, datetime) else f"{end:g}" if abs(end) < 1e6 else f"{end:,}"  # noqa: PLR2004


def _column(
    series: "pl.Series", rules: ColumnRules, typed: "dict[str, pl.Series]"
) -> "Iterator[tuple[Violation, pl.Series | None]]":
    """Violations of one column, with the rows (None: no row is to blame alone); fills `typed`."""
    kind = rules.type.kind
    values, misfit = typed_as(series, kind)
    typed[series.name] = values
    told = _Told(series)
    if misfit is not None:
        yield told(misfit, "type", rules.type.severity, EXPECTED[kind])
    if rules.missing is not None and len(series):
        yield from _missing(values, misfit, rules, told)
    if rules.range is not None:
        yield from told.some(_outside(values, rules.range), "range", rules.range.severity, expected_range(rules.range))
    if rules.allowed is not None:
        known = {converter(Column(name=series.name, kind=kind, dtype=""))(value) for value in rules.allowed.values}
        strange = ~values.is_in(list(known)) & values.is_not_null()
        is_rare = float(strange.mean() or 0.0) <= rules.allowed.max_share  # pyright: ignore[reportArgumentType]
        severity = "warn" if is_rare else rules.allowed.severity
        yield from told.some(strange, "allowed", severity, expected_allowed(rules.allowed))
    if rules.unique is not None:
        again = values.is_not_null() & values.is_duplicated() & ~values.is_first_distinct()
        yield from told.some(again, "unique", rules.unique.severity, "no value twice")
    if rules.length is not None:
        characters, rule = values.str.len_chars(), rules.length
        wrong = characters < rule.min
        if rule.max is not None:
            wrong |= characters > rule.max
        yield from told.some(wrong, "length", rule.severity, expected_length(rule))


@dataclass(frozen=True, slots=True)
class _Told:
    """Makes violations of a column as it was read."""

    series: "pl.Series"

    def __call__(
        self, mask: "pl.Series", rule: RuleName, severity: Severity, expected: str
    ) -> "tuple[Violation, pl.Series]":
        rows: list[int] = mask.arg_true().head(SHOWN_ROWS).to_list()
        return Violation(
            column=self.series.name,
            rule=rule,
            severity=severity,
            expected=expected,
            count=int(mask.sum()),
            rows=tuple(row + 1 for row in rows),
            values=tuple(_shown(self.series[row]) for row in rows),
        ), mask

    def some(
        self, mask: "pl.Series", rule: RuleName, severity: Severity, expected: str
    ) -> "Iterator[tuple[Violation, pl.Series]]":
        mask = mask.fill_null(value=False)
        if mask.any():
            yield self(mask, rule, severity, expected)


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    cut = value[: SHOWN_CHARACTERS + 1] if isinstance(value, str) else value
    shown = "nothing" if value is None else repr(cut)
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 1] + "…"


def _missing(
    values: "pl.Series", misfit: "pl.Series | None", rules: ColumnRules, told: _Told
) -> "Iterator[tuple[Violation, pl.Series | None]]":
    assert rules.missing is not None
    absent = values.is_null() if misfit is None else values.is_null() & ~misfit
    share, limit = float(absent.mean() or 0.0), rules.missing.max_share  # pyright: ignore[reportArgumentType]
    if share <= limit:
        return
    expected = f"at most {limit:.4g} of the rows missing, found {share:.4g}" if limit else "a value in every row"
    violation, mask = told(absent, "missing", rules.missing.severity, expected)
    yield violation, None if limit else mask


def typed_as(series: "pl.Series", kind: ColumnKind) -> "tuple[pl.Series, pl.Series | None]":
    """The column as this kind (missing where it cannot be), and which values cannot be read so, if any."""
    return misfits(series, Column(name=series.name, kind=kind, dtype=""))


def _outside(values: "pl.Series", rule: RangeRule) -> "pl.Series":
    import polars as pl

    outside = pl.repeat(value=False, n=len(values), eager=True, dtype=pl.Boolean)
    if rule.min is not None:
        outside |= values < rule.min
    if rule.max is not None:
        outside |= values > rule.max
    return outside


def _by_sql(table: "pl.DataFrame", rules: Sequence[SqlRule]) -> "Iterator[tuple[Violation, NDArray[np.int64]]]":
    """Violations that queries find, with the places of their rows where the queries tell them.

    The queries see the table `data` and nothing else: no files, no network, no extensions.
    """
    require_duckdb("a rule of the data contract in SQL")
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "threads": 1,  # for results in one order
    }
    with (
        tempfile.TemporaryDirectory(prefix="bakeoff-contract-") as scratch,
        duckdb.connect(config=settings) as connection,
    ):
        file = Path(scratch) / "data.parquet"
        numbered = table if ROW in table.columns else table.with_row_index(ROW, offset=1)
        numbered.write_parquet(file, compression="lz4")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE data AS SELECT * FROM read_parquet(?)", [str(file)])
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        problems: list[Problem] = []
        for place, rule in enumerate(rules):
            try:
                yield from _one_sql(connection, rule, place, rows=table.height)
            except (duckdb.Error, ValueError) as error:
                key, expected = f"sql.{place}.query", "one SELECT over the table data that runs"
                problems.append(Problem(file="the data contract", key=key, expected=expected, found=first_line(error)))
    if problems:
        raise ConfigError(tuple(problems))


def _one_sql(
    connection: "duckdb.DuckDBPyConnection", rule: SqlRule, place: int, *, rows: int
) -> "Iterator[tuple[Violation, NDArray[np.int64]]]":
    import duckdb

    statements = connection.extract_statements(rule.query)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        raise ValueError(f"{rule.query.strip()[:SHOWN_CHARACTERS]!r}")
    name = f"violating_{place}"
    connection.execute(f"CREATE TEMP TABLE {name} AS {rule.query}")
    (count,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)  # noqa: S608
    if not count:
        return
    columns = [str(column[0]) for column in connection.execute(f"DESCRIBE {name}").fetchall()]
    order = f"ORDER BY {ROW}" if ROW in columns else ""
    first = connection.execute(f"SELECT * FROM {name} {order} LIMIT {SHOWN_ROWS}").fetchall()  # noqa: S608
    records = [dict(zip(columns, row, strict=True)) for row in first]
    places: list[int] = []
    if ROW in columns:
        numbers = [row for (row,) in connection.execute(f"SELECT {ROW} FROM {name}").fetchall()]  # noqa: S608
        places = [row for row in numbers if isinstance(row, int) and 0 < row <= rows]
    violation = Violation(
        column=None,
        rule="sql",
        severity=rule.severity,
        expected=f"no row for {rule.name!r}",
        count=count,
        rows=tuple(row[ROW] for row in records) if places else (),
        values=tuple(_row(row) for row in records),
    )
    yield violation, np.asarray(places, dtype=np.int64) - 1


def _row(row: Mapping[str, object]) -> str:
    shown = ", ".join(f"{name}={_shown(value)}" for name, value in row.items() if name != ROW)
    return shown if len(shown) <= 2 * SHOWN_CHARACTERS else shown[: 2 * SHOWN_CHARACTERS - 1] + "…"
