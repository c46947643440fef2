"""Read a column in one format: what cannot be read decides whether the column is one of numbers, times or booleans."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bakeoff.core import narrow
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.types import CANONICAL, ColumnFormat, ColumnKind, DateOrder
from bakeoff.data.number_styles import Decimal
from bakeoff.data.values import MISSING_WORDS, WEAK_WORDS, reader

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FORM_NAMES", "KIND_OF_FORM", "Attempt", "ColumnSettings", "Hints", "Typed", "cell_losses", "read_column"]

MAX_LOST = 0.05
"""So large a share of a column's values may be lost; with more, it stays one of texts."""
MAX_WORDS = 200
"""So many different texts that cannot be read are kept with the format, so that they are missing when served, too."""
FEW_NUMBERS = 20
"""Up to so many different numbers are codes, of which a word is one more."""
MANY_VALUES = 30
"""A target of more different numbers is a quantity; of fewer, they are classes."""
MAX_THIRD = 0.2
"""A word such as "None" in more of the cells than this is a third answer beside true and false."""


EXACT_WHOLE = 2**53
FORM_NAMES = {
    "json": "lists",
    "number": "numbers",
    "time": "times",
    "duration": "durations or times of day",
    "boolean": "booleans",
}
KIND_OF_FORM: Mapping[str, ColumnKind] = {
    "number": "numeric",
    "time": "datetime",
    "duration": "numeric",
    "boolean": "boolean",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSettings:
    """What the project says of a column.

    Attributes:
        kind: Its kind, when the project lists it.
        target: Whether it is what is to be learned: words are classes there.
        missing: Words that mean "no value" in it.
        decimal: The decimal mark, when it is set.
        order: The order of dates, when it is set.
    """

    kind: ColumnKind | None = None
    target: bool = False
    missing: tuple[str, ...] = ()
    decimal: Decimal | None = None
    order: DateOrder | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What other columns of the same file show."""

    decimal: Decimal | None = None
    order: DateOrder | None = None


NO_HINTS = Hints()


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A column that has its type: the values, how they were written, what became missing, what was guessed.

    `open` tells what its own texts leave open; `proven` what they show, for other columns.
    """

    series: "pl.Series"
    style: ColumnFormat = CANONICAL
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()
    open: bool = False
    proven: Hints = NO_HINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A column, how often each of its texts stands in it, and the format to read them in."""

    series: "pl.Series"
    counts: dict[str, int]
    style: ColumnFormat
    wanted: ColumnSettings
    notes: tuple[str, ...] = ()
    open: bool = False
    proven: Hints = NO_HINTS


def read_column(attempt: Attempt) -> Typed:
    """Read every different text; the column stays one of texts when too much of it cannot be read."""
    import polars as pl

    series, counts, style = attempt.series, attempt.counts, attempt.style
    read = reader(style, "numeric")
    values: dict[str, object] = {}
    words: dict[str, int] = {}
    odd: dict[str, int] = {}
    for text, rows in counts.items():
        word = text.strip()
        if word in MISSING_WORDS or word.casefold() in WEAK_WORDS:
            words[text] = rows
            continue
        try:
            values[text] = read(text)
        except (ValueError, TypeError, OverflowError):
            odd[text] = rows
    readable = sum(counts[text] for text in values)
    if not _is_accepted(values, words, odd, readable, attempt):
        return Typed(series=series, notes=_near_miss(attempt, odd, readable))
    whole = style.form == "number" and all(isinstance(value, int) for value in values.values())
    if whole and any(abs(narrow.whole(value)) > EXACT_WHOLE for value in values.values()):
        return Typed(series=series)
    dtype: type[pl.DataType] | pl.DataType = pl.Int64 if whole else _dtype(style)
    floats = dtype == pl.Float64
    pairs = pl.DataFrame(
        {
            "old": pl.Series(list(values), dtype=pl.String),
            "new": pl.Series([float(narrow.number(v)) if floats else v for v in values.values()], dtype=dtype),
        }
    )
    joined = pl.DataFrame({"old": series}).join(pairs, on="old", how="left", maintain_order="left")
    learned_words = tuple(sorted({text.strip() for text in [*words, *odd]} - MISSING_WORDS))
    style = replace(style, form="whole" if whole else style.form, missing=learned_words)
    return Typed(
        series=joined["new"].alias(series.name),
        style=style,
        losses=cell_losses(attempt, words, odd),
        notes=attempt.notes,
        open=attempt.open,
        proven=attempt.proven,
    )


def _dtype(style: ColumnFormat) -> "type[pl.DataType] | pl.DataType":
    import polars as pl

    return {"time": pl.Datetime("us"), "boolean": pl.Boolean()}.get(style.form, pl.Float64())


def _is_accepted(
    values: dict[str, object], words: dict[str, int], odd: dict[str, int], readable: int, attempt: Attempt
) -> bool:
    wanted = attempt.wanted
    if not values or len(odd) > MAX_WORDS:
        return False
    if wanted.target and wanted.kind is None:  # words are classes, unless the target is a quantity
        return not odd and (len(values) > MANY_VALUES or not words)
    if wanted.kind in {"numeric", "datetime", "boolean"}:
        return True
    lost = sum(odd.values())
    if lost and (
        lost > MAX_LOST * (readable + lost) or (attempt.style.form == "number" and len(values) <= FEW_NUMBERS)
    ):
        return False
    weak = sum(rows for text, rows in words.items() if text.strip() not in MISSING_WORDS)
    return len(values) > 2 or weak <= MAX_THIRD * (readable + weak) or attempt.style.form == "boolean"  # noqa: PLR2004


def _near_miss(attempt: Attempt, odd: dict[str, int], readable: int) -> tuple[str, ...]:
    """What would have made the column one of numbers, times or durations."""
    lost = sum(odd.values())
    if not lost or attempt.wanted.kind is not None or attempt.wanted.target:
        return ()
    name = attempt.series.name
    shown = ", ".join(_most_frequent(odd))
    form = attempt.style.form
    note = (
        f"column {name!r} is not taken as {FORM_NAMES[form]}: {lost:,} of {readable + lost:,} values are none, such as "
        f'{shown}; {KIND_OF_FORM[form]} = ["{name}"] in [data] takes it so, and those as missing'
    )
    return (note,)


def _most_frequent(texts: dict[str, int]) -> tuple[str, ...]:
    return tuple(example(text) for text in sorted(texts, key=lambda text: (-texts[text], text))[:EXAMPLES])


def cell_losses(attempt: Attempt, words: dict[str, int], odd: dict[str, int]) -> tuple[Loss, ...]:
    """What became missing in a column: words for "missing" and texts that cannot be read, by how often each stands."""
    name, form = attempt.series.name, attempt.style.form
    present = sum(attempt.counts.values())
    losses: list[Loss] = []
    if words:
        losses.append(
            Loss(
                kind="cell",
                reason=f"a word for missing, in a column of {FORM_NAMES[form]}",
                subject=name,
                count=sum(words.values()),
                of=present,
                examples=_most_frequent(words),
            )
        )
    if odd:
        losses.append(
            Loss(
                kind="cell",
                reason=f"cannot be read, in a column of {FORM_NAMES[form]}",
                subject=name,
                count=sum(odd.values()),
                of=present,
                examples=_most_frequent(odd),
                remedy=f'mend them, or keep the column as it is: categorical = ["{name}"] in [data]',
            )
        )
    return tuple(losses)
