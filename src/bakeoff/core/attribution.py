"""What each input column adds to a model's scores: an ability of models whose scores are sums.

A model that has it gives exact figures: coefficients times features, or Shapley values of trees. Of others the same
questions are answered by changing rows and asking again (`bakeoff.evaluate.explain`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Attributing", "Attribution", "Words"]

Words: TypeAlias = "Mapping[tuple[str, str], NDArray[Any]]"
"""What words of one row add to the scores (k,), by column and word; a part of what their column adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What each input column adds to the scores of n rows: `base_k` and all that columns add come to the scores.

    The scores are, of numbers, the number that is predicted; of two classes, the log odds of the second; of more, the
    logarithm of each class's probability less the mean of all of them. What the columns add is `adds_nck`. `words`
    has one entry for each row where they were wanted and the model knows them, else none. `how` names the method.
    """

    columns: tuple[str, ...]
    adds_nck: "NDArray[Any]"
    base_k: "NDArray[Any]"
    how: str
    words: tuple[Words, ...] = field(default=())

    @property
    def score_nk(self) -> "NDArray[Any]":
        """The scores that they add up to."""
        return self.base_k + self.adds_nck.sum(axis=1)


@runtime_checkable
class Attributing(Protocol):
    """A model that can tell exactly what each of its input columns adds to its scores."""

    def attribute(self, table: "pl.DataFrame", *, words: bool = False) -> Attribution:
        """What the columns of these rows add; with `words`, what the words of texts add too."""
        ...
