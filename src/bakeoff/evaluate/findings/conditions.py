"""Conditions on rows, from the columns of a table: levels, quartiles, months, lengths and looks of texts.

Nothing here looks at what a model said, so conditions may be searched for where it is weak.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Condition", "conditions"]

Mask = NDArray[np.bool_]

MOST_LEVELS = 12
MOST_PERIODS = 24
YEAR = 4
"""Characters of an ISO time that tell its year."""
LOOKS: Mapping[str, str] = MappingProxyType(
    {
        "a digit": r"\d",
        "a question mark": r"[?？؟]",
        "an exclamation mark": r"[!！]",
        "a link or an address": r"https?://|www\.|\S@\S+\.\S",
        "a line break": r"\n",
        "a character beyond ASCII": r"[^\x00-\x7F]",
        "a word in capitals": r"\b\p{Lu}{3,}\b",
    }
)
"""Regular expressions that need no knowledge of a language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that holds for some rows: about which column, what, and for which rows."""

    column: str
    told: str
    rows_n: Mask

    @property
    def size(self) -> int:
        """For how many rows it holds."""
        return int(self.rows_n.sum())


def conditions(table: "pl.DataFrame", columns: Sequence[Column]) -> list[Condition]:
    """All conditions on the columns, in their order; those that hold nowhere are left out.

    Categories: each of the 12 most frequent levels, and all others together. Numbers: quarters of the rows,
    or each value when there are at most 12. Times: months, or years when there are over 24 months. Texts:
    quarters by length in characters, and `LOOKS`. Any: missing.
    """
    found: list[Condition] = []
    for column in columns:
        values = table[column.name]
        told: Iterator[tuple[str, Mask]]
        match column.kind:
            case "numeric":
                told = _of_numbers(_floats(values), "")
            case "datetime":
                told = _of_times(values)
            case "text":
                told = _of_texts(values)
            case "categorical" | "boolean":
                told = _of_levels(values)
        missing = values.is_null().to_numpy()
        found += [Condition(column=column.name, told=what, rows_n=rows) for what, rows in told if rows.any()]
        if missing.any():
            found.append(Condition(column=column.name, told="missing", rows_n=missing))
    return found


def _floats(values: "pl.Series") -> NDArray[np.float64]:
    import polars as pl

    return values.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def _of_levels(values: "pl.Series", most: int = MOST_LEVELS) -> Iterator[tuple[str, Mask]]:
    """Each frequent level (by name among equals), then the others."""
    import polars as pl

    texts = values.cast(pl.String)
    names, counts = np.unique(texts.drop_nulls().to_numpy().astype(np.str_), return_counts=True)
    ordered = sorted(zip(counts.tolist(), names.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))
    frequent = [name for _, name in ordered[:most]]
    for name in frequent:
        yield name, (texts == name).fill_null(value=False).to_numpy()
    if len(ordered) > most:
        other = texts.is_not_null() & ~texts.is_in(frequent).fill_null(value=True)
        yield "another level", other.to_numpy()


def _of_numbers(numbers_n: NDArray[np.float64], unit: str) -> Iterator[tuple[str, Mask]]:
    given = numbers_n[~np.isnan(numbers_n)]
    distinct = np.unique(given)
    if len(distinct) <= MOST_LEVELS:
        yield from ((f"{value:g}{unit}", numbers_n == value) for value in distinct.tolist())
        return
    edges: list[float] = np.unique(np.quantile(given, [0.25, 0.5, 0.75], method="inverted_cdf")).tolist()
    with np.errstate(invalid="ignore"):
        for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True):
            told = f"≤ {high:g}{unit}" if low == -np.inf else f"> {low:g}{unit}"
            if np.isfinite(low) and np.isfinite(high):
                told = f"{low:g} to {high:g}{unit}"
            yield told, (numbers_n > low) & (numbers_n <= high)


def _of_times(values: "pl.Series") -> Iterator[tuple[str, Mask]]:
    import polars as pl

    iso = values.cast(pl.Datetime).dt.to_string("%Y-%m")
    months = iso if iso.n_unique() <= MOST_PERIODS else iso.str.head(YEAR)
    yield from sorted(_of_levels(months, MOST_PERIODS), key=lambda pair: pair[0])


def _of_texts(values: "pl.Series") -> Iterator[tuple[str, Mask]]:
    yield from _of_numbers(_floats(values.str.len_chars()), " characters")
    given = values.is_not_null().to_numpy()
    for told, pattern in LOOKS.items():
        has = values.str.contains(pattern).fill_null(value=False).to_numpy()
        yield f"with {told}", has
        yield f"without {told}", given & ~has
