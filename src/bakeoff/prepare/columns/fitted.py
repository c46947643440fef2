"""Steps over tables that learn from training rows and belong to the model: what such a step is.

To add one: write the transform (a frozen dataclass of JSON values, see `bakeoff.core.protocols.Transform`), the
parameters with a field `columns`, and a function that learns; put them into a `TableStep` and register it
under the entry point group `bakeoff.prepare`. `bakeoff.testing.steps` holds the tests that it must pass.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bakeoff.core.errors import CandidateError
from bakeoff.core.plugins import suggestion
from bakeoff.core.protocols import TrainingRows, Transform
from bakeoff.core.types import Column, ColumnKind

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LARGEST", "TableStep", "finite", "new_column", "unused"]

LARGEST = 1.7976931348623157e308
"""No number that a transform holds or gives is infinite: JSON has no word for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStep:
    """A fitted step over columns: all inputs of `kinds`, or those that the parameters list (also of `takes`).

    `learn` makes the transform for the chosen columns; `train` gives the training rows where they must not be
    made by the transform itself.
    """

    name: str
    version: int
    params: type
    transform: type
    kinds: tuple[ColumnKind, ...]
    learn: "Callable[[TrainingRows, tuple[Column, ...], Any], Transform]"
    takes: tuple[ColumnKind, ...] = ()
    train: "Callable[[TrainingRows, Any, Any], pl.DataFrame] | None" = None
    requires: tuple[str, ...] = ("numpy", "polars")
    kind: Literal["fitted"] = field(default="fitted", init=False)

    def fit(self, rows: TrainingRows, params: Any) -> "tuple[Transform, pl.DataFrame]":
        """See `bakeoff.core.protocols.FittedStep`."""
        transform = self.learn(rows, self._chosen(rows.columns, params.columns), params)
        return transform, self.train(rows, params, transform) if self.train else transform(rows.table)

    def _chosen(self, columns: tuple[Column, ...], listed: tuple[str, ...]) -> tuple[Column, ...]:
        if not listed:
            return tuple(column for column in columns if column.kind in self.kinds)
        known = {column.name: column for column in columns}
        for name in listed:
            if name not in known:
                hint = suggestion(name, known) or f"Inputs at this step: {', '.join(known)}."
                raise CandidateError(f"step {self.name!r}: expected columns of the inputs, received {name!r}. {hint}")
            if known[name].kind not in (*self.kinds, *self.takes):
                kinds = ", ".join((*self.kinds, *self.takes))
                raise CandidateError(
                    f"step {self.name!r}: expected columns of kind {kinds}, received {name!r} ({known[name].kind}); "
                    f"leave it out of 'columns', or list it in [data] as what it is"
                )
        return tuple(known[name] for name in dict.fromkeys(listed))


def finite(number: float | None, *, otherwise: float) -> float:
    """The number within what a float can hold; `otherwise` when there is none."""
    if number is None or number != number:  # noqa: PLR0124 # only NaN differs from itself
        return otherwise
    return min(max(float(number), -LARGEST), LARGEST)


def unused(name: str, taken: Iterable[str]) -> str:
    """The name, with underscores until no column has it."""
    known = set(taken)
    while name in known:
        name += "_"
    return name


def new_column(name: str, kind: Literal["numeric", "boolean"]) -> Column:
    """A column that a step adds."""
    return Column(name=name, kind=kind, dtype="Float64" if kind == "numeric" else "Boolean")
