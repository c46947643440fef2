"""What a preparation step is, and the sequence of them that a project names.

To add a step: write an object with `name`, `version` (raise it when results change), `kind`, `params` (a
frozen dataclass whose fields all have defaults), `requires` and `bind`, and register it under the entry
point group `bakeoff.prepare`. Steps of kind "fitted" (`bakeoff.prepare.columns.fitted`) are named and checked here like
the others, but they run with the models that they belong to: those of all candidates, or of the ones that the
key `only` lists.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec
import numpy as np

from bakeoff.config.params import check
from bakeoff.core import narrow, plugins
from bakeoff.core.errors import ConfigError, MissingExtraError, Problem
from bakeoff.core.hashing import canonical_json
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import FittedStep
from bakeoff.core.types import Column, Json, Schema
from bakeoff.prepare.losses import emptied, set_aside
from bakeoff.results.data import Change

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = [
    "Apply",
    "Learning",
    "NoParams",
    "Preparation",
    "Prepared",
    "Step",
    "StepKind",
    "cells_changed",
    "preparation",
]

StepKind: TypeAlias = Literal["columns", "rows"]
Apply: TypeAlias = "Callable[[pl.DataFrame, Schema], pl.DataFrame]"
KEPT_PREPARATIONS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NoParams:
    """The parameters of a step that has none."""


class Step(Protocol):
    """A pure function over a table: it rewrites text columns, or drops rows; never both.

    A "columns" step keeps every row in place and runs on training data and served requests alike. A "rows"
    step keeps the values and the order of the rows that stay; it runs on training data only.
    """

    @property
    def name(self) -> str:
        """The name in `[prepare] steps`."""
        ...

    @property
    def version(self) -> int:
        """Counts up when results change."""
        ...

    @property
    def kind(self) -> StepKind:
        """What it may change."""
        ...

    @property
    def params(self) -> type:
        """A frozen dataclass whose fields all have defaults: the keys beside `name` in the project file."""
        ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Distributions whose versions can change results."""
        ...

    def bind(self, params: Any) -> Apply:
        """The step with these parameters; columns that it does not know stay as they are.

        One that learned from files has a `content`, which tells these apart, as its parameters only name them.

        `MissingExtraError` when a library that it needs is not installed, so that this is known before a run.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A prepared table, the numbers of the rows that stayed, what each step did, and what was lost by it."""

    table: "pl.DataFrame"
    kept: "NDArray[np.int64]"
    changes: tuple[Change, ...]
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class _Bound:
    """A step with its parameters; `key` names it, its version and every parameter that is no default."""

    step: Step
    apply: Apply
    key: str


@dataclass(frozen=True, slots=True)
class Learning:
    """A fitted step at its place among the steps: the parameters given for it, and before whom it stands (all)."""

    place: int
    step: FittedStep
    given: dict[str, Json]
    only: tuple[str, ...] | None


class Preparation:
    """The steps of a project, in order: names, or tables of `name` and parameters.

    >>> Preparation(["squeeze_whitespace", {"name": "repair_unicode", "form": "NFKC"}]).key
    'squeeze_whitespace@2,repair_unicode@3{"form":"NFKC"}'
    """

    def __init__(self, specs: Sequence[Json], *, file: str = "bakeoff.toml") -> None:
        """Look the steps up and check their parameters.

        Raises:
            ConfigError: unknown steps or parameters, wrong values, a wrong order; all together.
            MissingExtraError: a library that a step needs is not installed.
        """
        bound: list[_Bound] = []
        learning: list[Learning] = []
        problems: list[Problem] = []
        for place, spec in enumerate(specs):
            key = f"prepare.steps.{place}"
            try:
                found = _bind(spec, place, file=file)
            except ConfigError as error:
                problems += error.problems
                continue
            if isinstance(found, Learning):
                learning.append(found)
                continue
            bound.append(found)
            if learning:
                expected = "steps that learn from training rows after all others, since they run with the model"
                order = f"{found.step.name!r} after {learning[-1].step.name!r}"
                problems.append(Problem(file=file, key=key, expected=expected, found=order))
        if problems:
            raise ConfigError(tuple(problems))
        self._bound, self._learning = tuple(bound), tuple(learning)

    @cached_property
    def key(self) -> str:
        """Names, versions and parameters of the steps that run here: equal keys give equal results."""
        return ",".join(bound.key for bound in self._bound)

    @property
    def learning(self) -> tuple[Learning, ...]:
        """The steps that belong to models, in order."""
        return self._learning

    @property
    def fitted(self) -> tuple[dict[str, Json], ...]:
        """The steps that belong to models, in order: `name`, `version` and the `params` given."""
        return tuple(_described(learning) for learning in self._learning)

    def fitted_for(self, candidate: str) -> tuple[dict[str, Json], ...]:
        """Those of them that stand before a candidate."""
        return tuple(_described(each) for each in self._learning if each.only is None or candidate in each.only)

    @property
    def fitted_requires(self) -> tuple[str, ...]:
        """Distributions whose versions can change what the fitted steps learn."""
        return tuple(sorted({name for learning in self._learning for name in learning.step.requires}))

    @property
    def requires(self) -> tuple[str, ...]:
        """Distributions whose versions can change results."""
        return tuple(sorted({name for bound in self._bound for name in bound.step.requires}))

    @property
    def bound(self) -> tuple[tuple[Step, Apply], ...]:
        """The steps that run here, each with its function, in order."""
        return tuple((bound.step, bound.apply) for bound in self._bound)

    def apply_rows_and_columns(self, table: "pl.DataFrame", schema: Schema) -> Prepared:
        """Run every step that is not fitted, for training data."""
        row = _unused(table)
        table = table.with_row_index(row)
        changes: list[Change] = []
        losses: list[Loss] = []
        for bound in self._bound:
            step, after = bound.step, bound.apply(table, schema)
            cells = cells_changed(table, after, schema) if step.kind == "columns" else 0
            changes.append(Change(step=step.name, rows_in=table.height, rows_out=after.height, cells_changed=cells))
            if cells:
                losses += emptied(step.name, table, after, schema)
            if after.height < table.height:
                lost = table.filter(~np.isin(table[row].to_numpy(), after[row].to_numpy()))
                losses.append(set_aside(step.name, lost, schema, of=table.height))
            table = after
        remaining_n = table[row].to_numpy().astype(np.int64)
        return Prepared(table=table.drop(row), kept=remaining_n, changes=tuple(changes), losses=tuple(losses))

    def apply_columns(self, table: "pl.DataFrame", columns: Sequence[Column]) -> "pl.DataFrame":
        """Run the column steps, for requests and for rows whose number must not change."""
        schema = Schema(columns=tuple(columns), target="", inputs=tuple(column.name for column in columns))
        for bound in self._bound:
            if bound.step.kind == "columns":
                table = bound.apply(table, schema)
        return table


def _described(learning: Learning) -> dict[str, Json]:
    return {"name": learning.step.name, "version": learning.step.version, "params": learning.given}


def preparation(specs: Sequence[Json], *, file: str = "bakeoff.toml") -> Preparation:
    """The preparation of these steps, kept from call to call: for serving, where every request asks for it."""
    return _kept(canonical_json(list(specs)), file)


@lru_cache(maxsize=KEPT_PREPARATIONS)
def _kept(specs: bytes, file: str) -> Preparation:
    return Preparation(msgspec.json.decode(specs), file=file)


def _bind(spec: Json, place: int, *, file: str) -> _Bound | Learning:
    key = f"prepare.steps.{place}"
    table = spec if narrow.is_object(spec) else {"name": spec}
    name, given = str(table["name"]), {k: v for k, v in table.items() if k != "name"}
    known = plugins.names("bakeoff.prepare")
    if name not in known:
        expected, hint = f"steps among {', '.join(known)}", plugins.suggestion(name, known)
        raise ConfigError((Problem(file=file, key=key, expected=expected, found=repr(name), hint=hint),))
    step: Step | FittedStep = plugins.load("bakeoff.prepare", name)
    only = _only(given.pop("only", None), key=f"{key}.only", file=file) if step.kind == "fitted" else None
    params = check(step.params, given, owner=name, key=key, file=file)
    if step.kind == "fitted":
        return Learning(place, step, given, only)
    try:
        apply = step.bind(params)
    except MissingExtraError:
        raise
    except ValueError as error:
        raise ConfigError(
            (Problem(file=file, key=key, expected="parameters that fit", found=repr(given), hint=str(error)),)
        ) from None
    content = str(getattr(apply, "content", getattr(step, "content", "")))
    return _Bound(step, apply, f"{step.name}@{step.version}{_told(params)}{f'#{content}' if content else ''}")


def _only(given: Json, *, key: str, file: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not given or not all(isinstance(name, str) for name in given):
        raise ConfigError((Problem(file=file, key=key, expected="names of candidates", found=repr(given)),))
    return tuple(narrow.texts(given))


def _told(params: Any) -> str:
    """The parameters that are no defaults, as JSON; nothing when there are none."""
    defaults = msgspec.to_builtins(type(params)())
    given = {name: value for name, value in msgspec.to_builtins(params).items() if value != defaults[name]}
    assert dataclasses.is_dataclass(params)
    return canonical_json(given).decode() if given else ""


def _unused(table: "pl.DataFrame") -> str:
    """A name that no column has."""
    name = "row"
    while name in table.columns:
        name += "_"
    return name


def cells_changed(before: "pl.DataFrame", after: "pl.DataFrame", schema: Schema) -> int:
    """In how many cells two tables of the same rows differ."""
    names = [column.name for column in schema.columns if column.name in before.columns]
    return sum(int(before[name].ne_missing(after[name]).sum()) for name in names)
