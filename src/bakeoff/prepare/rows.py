"""Steps that set rows aside: what such a step is, exact duplicates, and rows without any text."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bakeoff.core.types import Schema
from bakeoff.prepare.steps import Apply, NoParams, StepKind

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RowStep", "drop_duplicates", "drop_empty", "texts_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStep:
    """A choice of rows as a step; the rows that stay keep their order.

    `make` gives, for parameters, a function of a table and its schema; it imports and checks what it needs.
    """

    name: str
    version: int
    make: "Callable[[Any], Callable[[pl.DataFrame, Schema], pl.DataFrame]]"
    params: type = NoParams
    requires: tuple[str, ...] = ()
    kind: StepKind = field(default="rows", init=False)

    def bind(self, params: Any) -> Apply:
        """The step with these parameters."""
        return self.make(params)


def texts_of(table: "pl.DataFrame", schema: Schema) -> "pl.Series | None":
    """The text inputs of each row as one text (parts on lines of their own; missing when all are).

    None when there are no text inputs.
    """
    import polars as pl

    names = [name for name in schema.of_kind("text") if name in table.columns]
    if not names:
        return None
    together = pl.concat_str(names, separator="\n", ignore_nulls=True)
    return table.select(pl.when(pl.any_horizontal(pl.col(names).is_not_null())).then(together)).to_series()


def _drop_duplicates(_: NoParams) -> Apply:
    def first(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        """Of rows with the same inputs and target, the first."""
        return table.unique(subset=[*schema.inputs, schema.target], keep="first", maintain_order=True)

    return first


def _drop_empty(_: NoParams) -> Apply:
    def telling(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        """Rows in which at least one text input says something; all, when there are no text inputs."""
        import polars as pl

        texts = schema.of_kind("text")
        return table.filter(pl.any_horizontal(pl.col(texts).str.contains(r"\S"))) if texts else table

    return telling


drop_duplicates = RowStep(name="drop_duplicates", version=1, make=_drop_duplicates)
drop_empty = RowStep(name="drop_empty", version=1, make=_drop_empty)
