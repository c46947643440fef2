"""The data contract: what columns must keep to, as a file that people read and edit.

A contract is a TOML file that `[data] contract` names:

    [columns.year]
    type = "numeric"                                    # what it is read as; every column has a type
    missing = { max_share = 0.01, severity = "warn" }   # short: missing = 0.01
    range = { min = 1900, max = 2100 }                  # numbers or times, inclusive
    [columns.genre]
    type = "categorical"
    allowed = { values = ["drama", "comedy"], max_share = 0.1 }       # others in more rows than a tenth are an error
                                                        # short: allowed = ["drama", "comedy"]
    [columns.film_id]
    type = "categorical"
    unique = true                                       # or { severity = "warn" }
    length = { min = 8, max = 8 }                       # characters
    [[sql]]
    name = "ended before it began"
    query = "SELECT * FROM data WHERE finished < started"   # the rows that violate; _row is their number

Every rule is an error unless it says `severity = "warn"`.
"""

import json
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, time
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from bakeoff.core import narrow
from bakeoff.core.errors import ConfigError, CorruptError, Problem
from bakeoff.core.hashing import canonical_json, digest
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Column, ColumnKind
from bakeoff.data.values import converter
from bakeoff.data.violation import Severity

__all__ = ["AllowedRule", "ColumnRules", "Contract", "LengthRule", "MissingRule", "RangeRule"]
__all__ += ["SqlRule", "TypeRule", "UniqueRule", "from_bytes", "load", "parse", "to_bytes"]

Value: TypeAlias = str | bool | float

SHORT = {"type": "kind", "missing": "max_share", "allowed": "values"}
"""Rules that may be written as the value of their main key."""
ORDERED = ("numeric", "datetime")
WORDED = ("text", "categorical")
SHOWN = 80
CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRule:
    """Present values can be read as this kind, by the rules of `bakeoff.data.cast`."""

    __pydantic_config__ = CLOSED
    kind: ColumnKind
    severity: Severity = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingRule:
    """At most this share of the rows has no value; 0 means that every row, served ones too, has one."""

    __pydantic_config__ = CLOSED
    max_share: Annotated[float, Field(ge=0, le=1)]
    severity: Severity = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRule:
    """Numbers or times (UTC) from `min` to `max`, both included."""

    __pydantic_config__ = CLOSED
    min: float | datetime | None = None
    max: float | datetime | None = None
    severity: Severity = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedRule:
    """One of these values; up to `max_share` of the rows may have others, which are told (of a served row always)."""

    __pydantic_config__ = CLOSED
    values: Annotated[tuple[Value, ...], Field(min_length=1)]
    max_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    severity: Severity = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class UniqueRule:
    """No value twice."""

    __pydantic_config__ = CLOSED
    severity: Severity = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthRule:
    """Characters of a text."""

    __pydantic_config__ = CLOSED
    min: Annotated[int, Field(ge=0)] = 0
    max: Annotated[int, Field(ge=0)] | None = None
    severity: Severity = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRules:
    """What one column must keep to."""

    __pydantic_config__ = CLOSED
    type: TypeRule
    missing: MissingRule | None = None
    range: RangeRule | None = None
    allowed: AllowedRule | None = None
    unique: UniqueRule | None = None
    length: LengthRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlRule:
    """A query (DuckDB) over the table `data` that gives the rows that violate."""

    __pydantic_config__ = CLOSED
    name: Annotated[str, Field(min_length=1, max_length=200)]
    query: Annotated[str, Field(min_length=1)]
    severity: Severity = "error"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The rules of a dataset, by column, and those that take SQL."""

    __pydantic_config__ = CLOSED
    columns: dict[str, ColumnRules] = field(default_factory=dict[str, ColumnRules])
    sql: tuple[SqlRule, ...] = ()

    @cached_property
    def version(self) -> str:
        """The hash of its rules; comments and layout do not count."""
        return digest(to_bytes(self))

    @property
    def rules(self) -> int:
        """How many rules it has."""
        return len(self.sql) + sum(
            getattr(rules, each.name) is not None for rules in self.columns.values() for each in fields(ColumnRules)
        )

    def only(self, names: Collection[str]) -> "Contract":
        """The contract of these columns alone."""
        return replace(self, columns={name: rules for name, rules in self.columns.items() if name in names})


def load(path: Path) -> Contract:
    """Read and check a contract file.

    Raises:
        ConfigError: it is missing, is not TOML, or anything in it is wrong; all problems at once.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        hint = "Run 'bakeoff data contract' to write one, or take [data] contract out of bakeoff.toml."
        raise _failed(path.name, "", "a contract file", "nothing", hint) from None
    except (UnicodeDecodeError, OSError) as error:
        raise _failed(path.name, "", "a readable UTF-8 file", str(error)) from None
    return parse(text, file=path.name)


def parse(text: str, *, file: str = "contract.toml") -> Contract:
    """Check a contract given as text; the same errors as `load`."""
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _failed(file, "", "valid TOML", str(error)) from None
    try:
        contract = _adapter().validate_json(json.dumps(_expanded(tree), default=_plain), strict=True)
    except ValidationError as error:
        raise ConfigError(tuple(_problems(error, file))) from None
    except (ValueError, RecursionError) as error:  # numbers of any size, nesting of any depth
        raise _failed(file, "", "values that JSON can hold", str(error)) from None
    problems = tuple(_semantic_problems(contract, file))
    if problems:
        raise ConfigError(problems)
    return contract


def to_bytes(contract: Contract) -> bytes:
    """The contract as canonical JSON, to be kept as a blob."""
    return canonical_json(_adapter().dump_python(contract, mode="json", exclude_none=True))


def from_bytes(content: bytes) -> Contract:
    """The contract that `to_bytes` gave; `CorruptError` when it is damaged."""
    try:
        return _adapter().validate_json(content, strict=True)
    except ValidationError as error:
        raise CorruptError(f"expected a stored data contract, found: {error}") from error


@cache
def _adapter() -> TypeAdapter[Contract]:
    return TypeAdapter(Contract)


def _expanded(tree: dict[str, Any]) -> dict[str, Any]:
    """Every rule as a table, whatever way it was written."""
    columns = tree.get("columns")
    if not narrow.is_object(columns):
        return tree
    expanded = {name: _told_rules(rules) for name, rules in columns.items()}
    return {**tree, "columns": expanded}


def _told_rules(rules: Any) -> Any:
    if not narrow.is_object(rules):
        return rules
    expanded = dict(rules)
    for name, key in SHORT.items():
        if name in expanded and not isinstance(expanded[name], dict):
            expanded[name] = {key: expanded[name]}
    if expanded.get("unique") is True:
        expanded["unique"] = {}
    elif expanded.get("unique") is False:
        del expanded["unique"]
    return expanded


def _plain(value: object) -> str:
    """TOML's times in UTC without a zone, as times are stored."""
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)).isoformat()
    if isinstance(value, date):
        return datetime.combine(value, time()).isoformat()
    raise ValueError(f"{value!r} is neither text, number, boolean, date, list nor table")


def _failed(file: str, key: str, expected: str, found: str, hint: str = "") -> ConfigError:
    return ConfigError((Problem(file=file, key=key, expected=expected, found=found, hint=hint),))


def _known(location: tuple[str, ...]) -> list[str]:
    """Keys that are known where the last part of a location stands."""
    place: Any = Contract
    if location[:1] == ("sql",) and len(location) > 1:
        place = SqlRule
    elif location[:1] == ("columns",) and len(location) > 2:  # noqa: PLR2004 - columns, a name, a rule
        rules = {"type": TypeRule, "missing": MissingRule, "range": RangeRule, "allowed": AllowedRule}
        rules |= {"unique": UniqueRule, "length": LengthRule}
        place = ColumnRules if len(location) == 3 else rules.get(location[2], ColumnRules)  # noqa: PLR2004
    return [each.name for each in fields(place)]


def _problems(error: ValidationError, file: str) -> Iterator[Problem]:
    places: set[str] = set()
    for item in error.errors(include_url=False):
        location = tuple(str(part) for part in item["loc"] if part not in {"float", "datetime", "str", "bool"})
        key = ".".join(location)
        if key in places:  # the other members of a union
            continue
        places.add(key)
        if item["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
            known = _known(location)
            hint = suggestion(location[-1], known) or f"Known here: {', '.join(known)}."
            yield Problem(file=file, key=key, expected="a known key", found=repr(location[-1]), hint=hint)
        elif item["type"] in {"missing", "missing_argument"}:
            yield Problem(file=file, key=key, expected="a value", found="nothing")
        elif location[-1:] in {("min",), ("max",)} and "range" in location:
            yield Problem(file=file, key=key, expected="a number or a time", found=_short(item["input"]))
        else:
            message = item["msg"].removeprefix("Input should be ")
            yield Problem(file=file, key=key, expected=message[0].lower() + message[1:], found=_short(item["input"]))


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + "..."


def _semantic_problems(contract: Contract, file: str) -> Iterator[Problem]:
    """What single keys cannot tell."""
    for name, rules in contract.columns.items():
        for rule, expected, actual in _mismatches(rules):
            yield Problem(file=file, key=f"columns.{name}.{rule}", expected=expected, found=actual)
    names = [rule.name for rule in contract.sql]
    for place, name in enumerate(names):
        if name in names[:place]:
            yield Problem(file=file, key=f"sql.{place}.name", expected="a name of its own", found=repr(name))


def _mismatches(rules: ColumnRules) -> Iterator[tuple[str, str, str]]:
    kind = rules.type.kind
    if rules.range is not None:
        yield from _range_mismatches(rules.range, kind)
    if rules.length is not None:
        if kind not in WORDED:
            yield "length", "type text or categorical beside it, as only texts have a length", repr(kind)
        elif rules.length.max is not None and rules.length.min > rules.length.max:
            yield "length", "min ≤ max", f"{rules.length.min} and {rules.length.max}"
    for value in rules.allowed.values if rules.allowed else ():
        try:
            converter(Column(name="", kind=kind, dtype=""))(value)
        except (ValueError, TypeError, OverflowError):
            yield "allowed", f"values of type {kind}", repr(value)


def _range_mismatches(rule: RangeRule, kind: ColumnKind) -> Iterator[tuple[str, str, str]]:
    ends = [end for end in (rule.min, rule.max) if end is not None]
    of_times = [isinstance(end, datetime) for end in ends]
    if kind not in ORDERED:
        yield "range", "type numeric or datetime beside it", repr(kind)
    elif not ends:
        yield "range", "min or max", "neither"
    elif any(of_times) != (kind == "datetime") or len(set(of_times)) > 1:
        yield "range", "times (2024-05-01T12:30:00)" if kind == "datetime" else "numbers", repr(ends)
    elif len(ends) > 1 and ends[0] > ends[1]:  # pyright: ignore[reportOperatorIssue] - both are of one type
        yield "range", "min ≤ max", f"{ends[0]} and {ends[1]}"
