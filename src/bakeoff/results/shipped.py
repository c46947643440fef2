"""What was released: the winner fitted once more on all rows, or the very model that was evaluated."""

from dataclasses import dataclass

__all__ = ["Shipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """The served model was fitted on `rows` rows, its evaluated twin on `evaluated_rows` of them.

    `reason` says why the twin itself is served, if it is. With `folds` the served model was fitted on all rows, and was
    judged by its like of so many folds.
    """

    rows: int
    evaluated_rows: int
    reason: str | None = None
    folds: int = 0

    @property
    def sentence(self) -> str:
        """In words."""
        if self.folds:
            return f"fitted on all {self.rows:,} rows, and judged by its like of {self.folds} folds"
        if self.reason is not None:
            return f"the very model that was evaluated, fitted on {self.rows:,} rows ({self.reason})"
        more = f"the {self.evaluated_rows:,} of its evaluated twin and {self.rows - self.evaluated_rows:,} more"
        return f"fitted with the same choices on all {self.rows:,} rows: {more}"
