"""The positive class: the one that metrics of one class ask about where no other is named."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["BINARY", "Positive", "positive_class"]

BINARY = 2
"""With so many classes, one of them is the positive one, even if nobody names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Positive:
    """The positive class, whether the project file names it, and how many of the training rows are of it."""

    name: str
    chosen: bool
    rows: int
    of: int

    @property
    def sentence(self) -> str:
        """Which class it is, and why, in a sentence.

        >>> Positive(name="fraud", chosen=False, rows=60, of=1000).sentence
        "Positive class: 'fraud', the rarer of two (60 of 1,000 training rows, 6.0%); [decide] positive names another."
        """
        why = "as [decide] positive says" if self.chosen else "the rarer of two"
        if not self.chosen and 2 * self.rows == self.of:
            why = "the later by name of two that are as frequent"
        share = f"{self.rows / self.of:.1%}" if self.of else "none"
        rows = f"({self.rows:,} of {self.of:,} training rows, {share})"
        other = "" if self.chosen else "; [decide] positive names another"
        return f"Positive class: {self.name!r}, {why} {rows}{other}."


def positive_class(counts: Mapping[str, int]) -> str | None:
    """The class of two that is asked about unless one is named: the rarer; of equals, the later by name.

    None for other numbers of classes: which of three matters, counts cannot tell.

    >>> positive_class({"fraud": 6, "legit": 94}), positive_class({"no": 5, "yes": 5}), positive_class({"a": 1})
    ('fraud', 'yes', None)
    """
    if len(counts) != BINARY:
        return None
    return max(counts, key=lambda name: (-counts[name], name))
