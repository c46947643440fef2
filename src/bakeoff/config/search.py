"""What may be searched for: ranges and choices that a family declares for its parameters, or a project names.

A family says it beside the parameter: `leaves: int = field(default=31, metadata=between(7, 255, log=True))`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from bakeoff.config.params import check
from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import ColumnKind, Json

__all__ = ["Choices", "Range", "Search", "between", "one_of", "space"]

METADATA = "search"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones when both ends are. `log`: spread by ratio.

    It matters only where an input is of one of these `kinds`, if some are named.
    """

    low: float
    high: float
    log: bool = False
    kinds: tuple[ColumnKind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """One of these values; `kinds` as for a range."""

    values: tuple[Any, ...]
    kinds: tuple[ColumnKind, ...] = ()


Search: TypeAlias = Range | Choices


def between(low: float, high: float, *, log: bool = False, kinds: tuple[ColumnKind, ...] = ()) -> dict[str, Search]:
    """The metadata of a field whose parameter is searched for in a range.

    >>> between(7, 255, log=True)
    {'search': Range(low=7, high=255, log=True, kinds=())}
    """
    return {METADATA: Range(low=low, high=high, log=log, kinds=kinds)}


def one_of(values: tuple[Any, ...]) -> dict[str, Search]:
    """The metadata of a field whose parameter is searched for among values."""
    return {METADATA: Choices(values=values)}


def space(
    declared: type,
    given: Mapping[str, Json],
    wanted: Mapping[str, Search],
    *,
    owner: str,
    key: str,
    file: str = "bakeoff.toml",
) -> dict[str, Search]:
    """What is searched of the parameters of `declared`: what is `wanted`, else what their fields say.

    Parameters that are `given` are fixed.

    Raises:
        ConfigError: a wanted parameter is unknown, is given as well, or does not take what its search holds.
    """
    fields = {field.name: field for field in dataclasses.fields(declared)}
    problems: list[Problem] = []
    for name, search in wanted.items():
        place = f"{key}.search.{name}"
        if name not in fields:
            hint = suggestion(name, fields) or f"Known here: {', '.join(fields) or 'none'}."
            expected = f"a parameter of {owner!r}"
            problems.append(Problem(file=file, key=place, expected=expected, found=repr(name), hint=hint))
        elif name in given:
            expected = "a parameter without a value of its own"
            problems.append(Problem(file=file, key=place, expected=expected, found=f"{name} = {given[name]!r}"))
        else:
            problems += _unfit(declared, name, search, owner=owner, key=place, file=file)
    if problems:
        raise ConfigError(tuple(problems))
    said = {name: field.metadata[METADATA] for name, field in fields.items() if METADATA in field.metadata}
    return {name: search for name, search in {**said, **wanted}.items() if name not in given}


def _unfit(declared: type, name: str, search: Search, *, owner: str, key: str, file: str) -> list[Problem]:
    ends = search.values if isinstance(search, Choices) else (search.low, search.high)
    for end in ends:
        try:
            check(declared, {name: end}, owner=owner, key=key, file=file)
        except ConfigError as error:
            return [dataclasses.replace(problem, key=key) for problem in error.problems]
    return []
