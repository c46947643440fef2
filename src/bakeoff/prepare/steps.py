"""What a preparation step is, and the sequence of them that a project names.

To add a step: write an object with `name`, `version` (raise it when results change), `kind` and `apply`,
and register it under the entry point group `bakeoff.prepare`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np

from bakeoff.core import plugins
from bakeoff.core.types import Column, Schema

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Change", "Preparation", "Prepared", "Step", "StepKind"]

StepKind: TypeAlias = Literal["columns", "rows"]
ROW = "__row__"


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

    def apply(self, table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        """The changed table; columns that it does not know stay as they are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one step did."""

    step: str
    rows_in: int
    rows_out: int
    cells_changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A prepared table, the numbers of the rows that stayed, and what each step did."""

    table: "pl.DataFrame"
    kept: "NDArray[np.int64]"
    changes: tuple[Change, ...]


class Preparation:
    """The steps of a project, in order.

    >>> Preparation(["squeeze_whitespace"]).key
    'squeeze_whitespace@1'
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.steps: tuple[Step, ...] = tuple(plugins.load("bakeoff.prepare", name) for name in names)

    @cached_property
    def key(self) -> str:
        """Names and versions: equal keys give equal results."""
        return ",".join(f"{step.name}@{step.version}" for step in self.steps)

    def apply_rows_and_columns(self, table: "pl.DataFrame", schema: Schema) -> Prepared:
        """Run every step, for training data."""
        table = table.with_row_index(ROW)
        changes: list[Change] = []
        for step in self.steps:
            after = step.apply(table, schema)
            cells = _cells_changed(table, after, schema) if step.kind == "columns" else 0
            changes.append(Change(step=step.name, rows_in=table.height, rows_out=after.height, cells_changed=cells))
            table = after
        kept = table[ROW].to_numpy().astype(np.int64)
        return Prepared(table=table.drop(ROW), kept=kept, changes=tuple(changes))

    def apply_columns(self, table: "pl.DataFrame", columns: Sequence[Column]) -> "pl.DataFrame":
        """Run the column steps, for requests and for rows whose number must not change."""
        schema = Schema(columns=tuple(columns), target="", inputs=tuple(column.name for column in columns))
        for step in self.steps:
            if step.kind == "columns":
                table = step.apply(table, schema)
        return table


def _cells_changed(before: "pl.DataFrame", after: "pl.DataFrame", schema: Schema) -> int:
    names = [column.name for column in schema.columns if column.name in before.columns]
    return sum(int(before[name].ne_missing(after[name]).sum()) for name in names)
