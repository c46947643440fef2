"""What the texts of a column are, and how they are written: decided over all its values.

Canonical whole numbers, numbers, booleans and ISO times are seen and converted at once. Of other columns a sample shows
what most values look like; then every different value is read by the conversion of single values, and what cannot be
read decides: words for "missing" are missing; other texts are lost (and told) when they are few, else the column stays
one of texts.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import msgspec

from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.types import ColumnFormat
from bakeoff.data.attempts import (
    EXACT_WHOLE,
    MANY_VALUES,
    MAX_THIRD,
    Attempt,
    Hints,
    Typed,
    Wanted,
    cell_losses,
    read_column,
)
from bakeoff.data.canonical import Shape, compact_days, iso_times, shapes_of, true_false
from bakeoff.data.forms import SAMPLE, form_of, likely_form
from bakeoff.data.number_styles import learn_numbers
from bakeoff.data.time_styles import learn_times
from bakeoff.data.values import MISSING_WORDS, PAIRS
from bakeoff.data.vectors import is_vector

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Hints", "Typed", "Wanted", "typed"]

LEARNED = 20_000
"""Of more different values, an even sample shows how they are written."""
CODE = re.compile(r"[+-]?0[0-9]")
LONG = re.compile(r"[+-]?[0-9]{16,}")


def typed(
    series: "pl.Series",
    wanted: Wanted,
    hints: Hints = Hints(),
    shape: Shape | None = None,
) -> Typed:
    """The column of texts in the type that its values have.

    Args:
        series: Texts; missing where a cell is empty.
        wanted: What the project says of the column.
        hints: What other columns show, for what this one leaves open.
        shape: Of the texts, when it is known.
    """
    losses: list[Loss] = []
    if wanted.missing:
        series, losses = _without_words(series, wanted.missing)
    if shape is None or losses:
        shape = shapes_of(series.to_frame()).get(series.name, Shape())
    if series.null_count() == len(series):
        result = Typed(series=series)
    elif wanted.kind == "text":
        result = _learned(series, wanted, hints)
    else:
        result = _canonical(series, wanted, hints, shape) or _learned(series, wanted, hints)
    style = result.style
    if wanted.missing:
        style = replace(style, missing=(*wanted.missing, *style.missing))
    return replace(result, style=style, losses=(*losses, *result.losses))


def _without_words(series: "pl.Series", words: tuple[str, ...]) -> "tuple[pl.Series, list[Loss]]":
    stripped = series.str.strip_chars()
    is_word = stripped.is_in(list(words)).fill_null(value=False)
    count = int(is_word.sum())
    if not count:
        return series, []
    examples = tuple(example(word) for word in series.filter(is_word).unique(maintain_order=True).head(EXAMPLES))
    present = len(series) - series.null_count()
    reason = "a word for missing by [data] missing"
    loss = Loss(kind="cell", reason=reason, subject=series.name, count=count, of=present, examples=examples)
    return series.set(is_word, None), [loss]


def _canonical(  # noqa: PLR0911 - a line a type
    series: "pl.Series", wanted: Wanted, hints: Hints, shape: Shape
) -> Typed | None:
    """The column, when all its texts are canonical whole numbers, numbers, booleans or ISO times."""
    import polars as pl

    name, kind = series.name, wanted.kind
    if kind != "datetime":
        if shape.whole:
            values = series.cast(pl.Int64)
            days = compact_days(series, values) if kind is None and not wanted.target else None
            if days is None:
                return Typed(series=values, style=ColumnFormat(form="whole"))
            note = f'column {name!r} is taken as dates (20240131); numeric = ["{name}"] in [data] takes it as numbers'
            return Typed(series=days, style=ColumnFormat(form="time"), notes=(note,))
        if shape.number and (wanted.decimal or hints.decimal or ".") == ".":
            values = series.cast(pl.Float64)
            if _may_be_classes(wanted) and values.n_unique() < series.n_unique():
                return None  # "1.0" and "1.00" are two classes
            proven = Hints(decimal=".") if shape.point else Hints()
            return Typed(series=values, style=ColumnFormat(form="number"), proven=proven, open=not shape.point)
    if kind in {None, "boolean", "categorical"} and (values := true_false(series)) is not None:
        return Typed(series=values, style=ColumnFormat(form="boolean"))
    if kind in {None, "datetime"} and not wanted.target and (times := iso_times(series)) is not None:
        return Typed(series=times.values, style=ColumnFormat(form="time"), notes=_zones(name, times.zoned, times.naive))
    return None


def _may_be_classes(wanted: Wanted) -> bool:
    return wanted.target and wanted.kind is None


def _zones(name: str, zoned: int, naive: int) -> tuple[str, ...]:
    if not zoned or not naive:
        return ()
    return (f"column {name!r} has times with a zone beside times without; those without are taken as UTC",)


def _learned(series: "pl.Series", wanted: Wanted, hints: Hints) -> Typed:  # noqa: PLR0911 - a line a form
    """The column by what most of its values look like."""
    form = likely_form(series.drop_nulls(), wanted.kind, target=wanted.target)
    if form == "other":
        return Typed(series=series)
    counts = dict(cast("list[tuple[str, int]]", series.drop_nulls().value_counts(name="rows").rows()))
    if form == "json":
        return _nested(series, counts, wanted)
    values = sorted(counts)
    learned = values[:: max(1, len(values) // LEARNED)]
    sound = [text for text in learned if form_of(text.strip()) == form]
    if form == "number" and _may_be_classes(wanted) and len(counts) <= MANY_VALUES:
        return Typed(series=series)  # 3.1 and 3.10, or 10 and 10 %, may be different classes
    if form == "number":
        return _read_numbers(series, counts, sound, wanted, hints)
    if form == "time":
        return _read_times(series, counts, sound, wanted, hints)
    if form == "boolean":
        return _read_booleans(series, counts, wanted)
    note = (
        f"column {series.name!r} is taken as seconds of a duration or time of day; "
        f'categorical = ["{series.name}"] in [data] keeps the texts'
    )
    return read_column(
        Attempt(series=series, counts=counts, style=ColumnFormat(form="duration"), wanted=wanted, notes=(note,))
    )


def _read_numbers(
    series: "pl.Series", counts: dict[str, int], sound: Sequence[str], wanted: Wanted, hints: Hints
) -> Typed:
    name = series.name
    if any(CODE.match(text.strip()) for text in counts):
        return Typed(series=series)  # leading zeros: codes
    if any(LONG.fullmatch(text.strip()) and abs(int(text)) > EXACT_WHOLE for text in counts):
        return Typed(
            series=series, notes=(f"column {name!r} is not taken as numbers: it has whole numbers beyond 2^53",)
        )
    learned = learn_numbers(sound, decimal=wanted.decimal, hint=hints.decimal)
    if learned is None:
        return Typed(series=series, notes=(f"column {name!r} is not taken as numbers: it has several units",))
    style = learned.style
    if wanted.kind == "categorical" and (style.units or style.thousands or style.decimal != "."):
        return Typed(series=series)  # categories as they are written
    notes: list[str] = []
    if learned.open:
        other = "," if learned.style.decimal == "." else "."
        meaning = "thousands" if other in learned.style.thousands else "decimals"
        notes.append(
            f"column {name!r}: its marks could set apart thousands or decimals, and are taken for {meaning}; "
            f'[data] decimal = "{other}" says otherwise'
        )
    if learned.units:
        rest = f" ({learned.without_unit:,} different values have none)" if learned.without_unit else ""
        notes.append(f"column {name!r} is taken as numbers without their unit {learned.units[0]!r}{rest}")
    proven = Hints(decimal=learned.style.decimal) if learned.proven else Hints()
    return read_column(
        Attempt(
            series=series,
            counts=counts,
            style=learned.style,
            wanted=wanted,
            notes=tuple(notes),
            open=learned.open,
            proven=proven,
        )
    )


def _read_times(
    series: "pl.Series", counts: dict[str, int], sound: Sequence[str], wanted: Wanted, hints: Hints
) -> Typed:
    name = series.name
    learned = learn_times(sound, series.drop_nulls().head(SAMPLE).to_list(), order=wanted.order, hint=hints.order)
    notes = list(_zones(name, learned.zoned, learned.naive))
    if not learned.proven:
        first = "days" if learned.order == "dmy" else "months"
        other = "mdy" if learned.order == "dmy" else "dmy"
        notes.append(
            f"column {name!r}: days or months could come first, and {first} are taken to; "
            f'[data] date_order = "{other}" says otherwise'
        )
    proven = Hints(order=learned.order) if learned.proven and learned.order != "ymd" else Hints()
    style = ColumnFormat(form="time", order=learned.order)
    return read_column(
        Attempt(
            series=series,
            counts=counts,
            style=style,
            wanted=wanted,
            notes=tuple(notes),
            open=not learned.proven,
            proven=proven,
        )
    )


def _read_booleans(series: "pl.Series", counts: dict[str, int], wanted: Wanted) -> Typed:
    """Booleans, when both words of one pair stand in the column and no word beside them could be a third answer."""
    words = {text.strip().casefold() for text in counts}
    strong = sum(rows for text, rows in counts.items() if text.strip() in MISSING_WORDS)
    pair = next((pair for pair in PAIRS if words >= set(pair)), None) or (PAIRS[0] if words & set(PAIRS[0]) else None)
    others = {
        text for text in counts if pair and text.strip().casefold() not in pair and text.strip() not in MISSING_WORDS
    }
    mere = wanted.kind is None and (others or strong > MAX_THIRD * sum(counts.values()))
    if pair is None or mere:
        return Typed(series=series)
    note = (
        f"column {series.name!r} is taken as booleans ({pair[0]}, {pair[1]}); "
        f'categorical = ["{series.name}"] in [data] keeps the words'
    )
    notes = (note,) if pair != PAIRS[0] and wanted.kind is None else ()
    return read_column(
        Attempt(series=series, counts=counts, style=ColumnFormat(form="boolean"), wanted=wanted, notes=notes)
    )


def _nested(series: "pl.Series", counts: dict[str, int], wanted: Wanted) -> Typed:
    """Texts that are JSON: lists of equally many numbers become a column of lists, others stay texts."""
    import polars as pl

    values: dict[str | None, object] = {None: None}
    words: dict[str, int] = {}
    for text, rows in counts.items():
        if form_of(text.strip()) == "missing":
            words[text], values[text] = rows, None
            continue
        try:
            values[text] = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return Typed(series=series)
    if wanted.kind not in {None, "numeric"} or not is_vector(list(values.values())):
        return Typed(series=series, style=ColumnFormat(form="json"))
    attempt = Attempt(series=series, counts=counts, style=ColumnFormat(form="json"), wanted=wanted)
    lists = pl.Series(series.name, [values[text] for text in series.to_list()], dtype=pl.List(pl.Float64), strict=False)
    return Typed(series=lists, losses=cell_losses(attempt, words, {}))
