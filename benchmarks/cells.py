"""A row of a table of docs/statistics.md."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Cell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row of a table: `run` gives its numbers from so many simulations."""

    part: str
    name: str
    run: Callable[[int], dict[str, float]]

    @property
    def key(self) -> str:
        """What names it in the file of results."""
        return f"{self.part}: {self.name}"
