"""Steps that set rows aside: exact duplicates and rows without any text."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bakeoff.core.types import Schema
from bakeoff.prepare.steps import StepKind

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RowStep", "drop_duplicates", "drop_empty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStep:
    """A choice of rows as a step; the rows that stay keep their order."""

    name: str
    version: int
    function: "Callable[[pl.DataFrame, Schema], pl.DataFrame]"
    kind: StepKind = field(default="rows", init=False)

    def apply(self, table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        """The rows that stay."""
        return self.function(table, schema)


def _drop_duplicates(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
    """Of rows with the same inputs and target, the first."""
    return table.unique(subset=[*schema.inputs, schema.target], keep="first", maintain_order=True)


def _drop_empty(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
    """Rows in which at least one text input says something; all, when there are no text inputs."""
    import polars as pl

    texts = schema.of_kind("text")
    return table.filter(pl.any_horizontal(pl.col(texts).str.contains(r"\S"))) if texts else table


drop_duplicates = RowStep(name="drop_duplicates", version=1, function=_drop_duplicates)
drop_empty = RowStep(name="drop_empty", version=1, function=_drop_empty)
