"""Slices: how a metric fares on parts of the rows, as evaluation finds it and reports show it."""

from dataclasses import dataclass

__all__ = ["Slice", "WeakSlice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The metric with its 95% interval on the rows for which a condition holds; none when they are too few."""

    column: str
    slice: str
    rows: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSlice:
    """A part of the rows that fares worse than chance allows.

    `p_value` is corrected for the search. `value` is that of a slice chosen for being bad, so new rows will
    look a little better; `rest` is the metric on all other rows.
    """

    slice: str
    rows: int
    value: float
    low: float | None
    high: float | None
    rest: float
    p_value: float
