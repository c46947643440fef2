"""What the texts of a column are, and how they are written: decided over all its values.

Canonical whole numbers, numbers, booleans and ISO times are seen and converted at once. Of other columns a sample shows
what most values look like; then every different value is read by the conversion of single values, and what cannot be
read decides: words for "missing" are missing; other texts are lost (and told) when they are few, else the column stays
one of texts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core.ledger import EXAMPLE_CHARACTERS, EXAMPLES, Loss, example, summed
from bakeoff.core.types import Column, ColumnFormat, ColumnKind
from bakeoff.data.attempts import (
    EXACT_WHOLE,
    FEW_NUMBERS,
    MANY_VALUES,
    MAX_LOST,
    MAX_THIRD,
    NO_HINTS,
    Attempt,
    ColumnSettings,
    Hints,
    Typed,
    cell_losses,
    read_column,
)
from bakeoff.data.canonical import FIRST_DAY, LAST_DAY, NumberShape, compact_times, iso_times, shapes_of, true_false
from bakeoff.data.cast import absent_n, to_kind
from bakeoff.data.forms import SAMPLE, form_of, likely_form
from bakeoff.data.months import MONTH, bare_word
from bakeoff.data.number_styles import NumberStyle, is_number_like, learn_numbers
from bakeoff.data.numerals import plain_signs, unbound
from bakeoff.data.time_styles import TimeStyle, learn_times
from bakeoff.data.times import is_open_date, unknown_month
from bakeoff.data.values import MISSING_WORDS, PAIRS, absent_values, as_text
from bakeoff.data.vectors import is_vector

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ColumnSettings", "Hints", "Typed", "typed", "typed_values", "without_missing"]

SHOWN = 5
BY_SETTING = "a word for missing by [data] missing"
MOST_DAYS = 0.5
DIGITS = r"^[0-9]+(?:\.0)?$"
LEARNED = 20_000
"""Of more different values, an even sample shows how they are written."""
PERIOD = re.compile(
    r"(?:1[89]|20)[0-9]{2}[-/.](?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])[-/.](?:19|20)[0-9]{2}"
    r"|[0-9]{4}[- /]?Q[1-4]|Q[1-4][- /]?[0-9]{4}|(?P<name>[^\W\d_]{3,9})\.?[- /']+(?:[0-9]{4}|[0-9]{2})",
    re.IGNORECASE,
)
CODE = re.compile(r"[+-]?0[0-9]")
LONG = re.compile(r"[+-]?[0-9]{16,}")


def typed(
    series: "pl.Series",
    wanted: ColumnSettings,
    hints: Hints = NO_HINTS,
    shape: NumberShape | None = None,
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
        shape = shapes_of(series.to_frame()).get(series.name, NumberShape())
    if series.null_count() == len(series):
        result = Typed(series=series)
    elif wanted.kind == "text":
        result = _learned(series, wanted, hints)
    else:
        result = _canonical(series, wanted, hints, shape) or _learned(series, wanted, hints)
    result = replace(result, losses=(*losses, *result.losses))
    return _finished(result, wanted, texts=series)


def typed_values(series: "pl.Series", wanted: ColumnSettings) -> Typed:
    """The column of a file that knows types, or of which JSON has the types."""
    return _finished(Typed(series=series), wanted)


def _finished(result: Typed, wanted: ColumnSettings, *, texts: "pl.Series | None" = None) -> Typed:
    """What the numbers themselves show: which of them are missing, and whether they are days (in plain digits)."""
    if wanted.missing:
        result = without_missing(result, wanted.missing)
    if wanted.kind is not None or wanted.target or not result.series.dtype.is_numeric():
        return result
    if result.style.units or result.style.thousands or result.style.scales:
        return result
    times = compact_times(result.series)
    if times is None or (texts is not None and not texts.filter(times.is_not_null()).str.contains(DIGITS).all()):
        return result
    name = result.series.name
    shown = example(as_text(result.series.drop_nulls()[0]))
    note = f'column {name!r} is taken as times ({shown}); numeric = ["{name}"] in [data] takes it as numbers'
    style = ColumnFormat(form="time", missing=result.style.missing)
    return Typed(series=times, style=style, losses=result.losses, notes=(note,))


def without_missing(result: Typed, words: tuple[str, ...]) -> Typed:
    """A column without the values that the project's words for "missing" stand for: "-999" is -999.0, too."""
    series = result.series
    style = replace(result.style, missing=tuple(dict.fromkeys((*words, *result.style.missing))))
    result = replace(result, style=style)
    kind = _stored_kind(series)
    if kind is None:
        return result
    column = Column(name=series.name, kind=kind, dtype="", format=style)
    present = replace(column, format=replace(style, missing=()))
    absent = absent_n(to_kind(series, present), column) if absent_values(column) else None
    if absent is None:
        return result
    loss = Loss(
        kind="cell",
        reason=BY_SETTING,
        subject=series.name,
        count=int(absent.sum()),
        of=len(series) - series.null_count(),
        examples=tuple(example(as_text(value)) for value in series.filter(absent).unique().head(EXAMPLES)),
    )
    return replace(result, series=series.set(absent, None), losses=summed((*result.losses, loss)))


def _stored_kind(series: "pl.Series") -> ColumnKind | None:
    """The kind of a column whose words for "missing" may be values of it."""
    import polars as pl

    if series.dtype.is_numeric() or isinstance(series.dtype, (pl.Time, pl.Duration)):
        return "numeric"
    return "datetime" if isinstance(series.dtype, (pl.Date, pl.Datetime)) else None


def _without_words(series: "pl.Series", words: tuple[str, ...]) -> "tuple[pl.Series, list[Loss]]":
    stripped = series.str.strip_chars()
    is_word = stripped.is_in(list(words)).fill_null(value=False)
    count = int(is_word.sum())
    if not count:
        return series, []
    examples = tuple(example(word) for word in series.filter(is_word).unique(maintain_order=True).head(EXAMPLES))
    present = len(series) - series.null_count()
    loss = Loss(kind="cell", reason=BY_SETTING, subject=series.name, count=count, of=present, examples=examples)
    return series.set(is_word, None), [loss]


def _canonical(series: "pl.Series", wanted: ColumnSettings, hints: Hints, shape: NumberShape) -> Typed | None:
    """The column, when all its texts are canonical whole numbers, numbers, booleans or ISO times."""
    import polars as pl

    name, kind = series.name, wanted.kind
    if kind != "datetime":
        if shape.whole:
            values = series.cast(pl.Int64)
            notes = () if kind or wanted.target else _nearly_days(series, values)
            return Typed(series=values, style=ColumnFormat(form="whole"), notes=notes)
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


def _nearly_days(series: "pl.Series", values: "pl.Series") -> tuple[str, ...]:
    """What is told of whole numbers of which most are days such as 20240131, and some are none."""
    days = values.is_between(FIRST_DAY, LAST_DAY)
    count = int(days.sum())
    if not MOST_DAYS * (len(values) - values.null_count()) <= count < len(values) - values.null_count():
        return ()
    if series.filter(days.fill_null(value=False)).str.to_date("%Y%m%d", strict=False).null_count():
        return ()
    others = ", ".join(map(example, series.filter(~days).unique(maintain_order=True).head(EXAMPLES)))
    note = (
        f"column {series.name!r} is taken as numbers, though most are days (20240131), for {others} are none; "
        f"[data] missing = [{others.replace(chr(39), chr(34))}] takes those as missing and the others as dates"
    )
    return (note,)


def _may_be_classes(wanted: ColumnSettings) -> bool:
    return wanted.target and wanted.kind is None


def _zones(name: str, zoned: int, naive: int) -> tuple[str, ...]:
    if not zoned or not naive:
        return ()
    return (f"column {name!r} has times with a zone beside times without; those without are taken as UTC",)


def _learned(series: "pl.Series", wanted: ColumnSettings, hints: Hints) -> Typed:  # noqa: PLR0911 - a line a form
    """The column by what most of its values look like."""
    form = likely_form(series.drop_nulls(), wanted.kind, target=wanted.target)
    if form == "other":
        notes = () if wanted.target or wanted.kind else (_unknown_months(series) or _periods(series))
        return Typed(series=series, notes=notes)
    counts = dict(series.drop_nulls().value_counts(name="rows").iter_rows())
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


def _read_numbers(  # noqa: PLR0911 - a line a reason
    series: "pl.Series", counts: dict[str, int], sound: Sequence[str], wanted: ColumnSettings, hints: Hints
) -> Typed:
    name = series.name
    plain = [plain_signs(text.strip()) for text in counts]
    if any(CODE.match(text) for text in plain):
        return Typed(series=series)  # leading zeros: codes
    if any(LONG.fullmatch(text) and abs(int(text)) > EXACT_WHOLE for text in plain):
        return Typed(
            series=series, notes=(f"column {name!r} is not taken as numbers: it has whole numbers beyond 2^53",)
        )
    forced = wanted.kind == "numeric"
    learned = learn_numbers(sound, decimal=wanted.decimal, hint=hints.decimal, usual_unit=forced)
    if learned.several_units:
        return Typed(series=series, notes=(_several_units(name, learned),))
    style = learned.style
    few = not forced and len(sound) <= FEW_NUMBERS
    if style.scales and few:
        return Typed(series=series)  # codes such as 4K and 8K
    bounded = [] if few else [text for text in counts if _is_bound(text)]
    style = replace(style, bounds=bool(bounded))
    if wanted.kind == "categorical" and (style.units or style.thousands or style.decimal != "."):
        return Typed(series=series)  # categories as they are written
    notes: list[str] = []
    if learned.open:
        other = "," if style.decimal == "." else "."
        meaning = "thousands" if other in style.thousands else "decimals"
        notes.append(
            f"column {name!r}: its marks could set apart thousands or decimals, and are taken for {meaning}; "
            f'[data] decimal = "{other}" says otherwise'
        )
    notes += _number_notes(name, learned, bounded)
    proven = Hints(decimal=learned.style.decimal) if learned.proven else Hints()
    result = read_column(
        Attempt(
            series=series,
            counts=counts,
            style=style,
            wanted=wanted,
            notes=tuple(notes),
            open=learned.open,
            proven=proven,
        )
    )
    if learned.both_marks:
        both = (
            f'column {name!r} has numbers with decimal commas and others with decimal points; "{style.decimal}" is '
            'taken for the decimal mark, and what does not fit it is no number; [data] decimal = "…" names another'
        )
        result = replace(result, notes=(*result.notes, both))
    if result.series.dtype == series.dtype or not learned.share or not learned.without_unit:
        return result
    return replace(result, losses=(*result.losses, _mixed_shares(name, learned, counts)))


def _is_bound(text: str) -> bool:
    if form_of(text.strip()) != "other":
        return False
    number = unbound(plain_signs(text))
    return number is not None and is_number_like(number)


def _several_units(name: str, learned: NumberStyle) -> str:
    shown = ", ".join(learned.units[:SHOWN]) + (", …" if len(learned.units) > SHOWN else "")
    return (
        f"column {name!r} is not taken as numbers: it has several units ({shown}), which mean different things. Bring "
        f'them to one in [data] query; numeric = ["{name}"] takes those in {learned.units[0]}, and others as missing'
    )


def _number_notes(name: str, learned: NumberStyle, bounded: Sequence[str]) -> list[str]:
    """What of the numbers' way of writing is not the number itself."""
    notes: list[str] = []
    if learned.share:
        powers = {"%": "0.55", "‰": "0.055", "bps": "0.0055"}
        notes.append(f"column {name!r} is taken as numbers in which 55{learned.share} is {powers[learned.share]}")
    elif learned.units:
        rest = f" ({len(learned.without_unit):,} different values have none)" if learned.without_unit else ""
        notes.append(f"column {name!r} is taken as numbers without their unit {learned.units[0]!r}{rest}")
    if learned.style.scales:
        notes.append(f"column {name!r} is taken as numbers in which k, M, bn and the like multiply (1.2k is 1200)")
    if bounded:
        shown = ", ".join(map(example, bounded[:EXAMPLES]))
        notes.append(
            f"column {name!r}: bounds and estimates ({len(bounded):,} different ones, such as {shown}) are taken as "
            "the numbers in them"
        )
    return notes


def _mixed_shares(name: str, learned: NumberStyle, counts: Mapping[str, int]) -> Loss:
    """Shares beside bare numbers may mean two things, which nobody can tell from outside."""
    texts = learned.without_unit
    return Loss(
        kind="cell",
        reason=f"a number without the sign {learned.share} that others have: taken as it stands (55% is 0.55)",
        subject=name,
        count=sum(counts[text] for text in texts if text in counts),
        of=sum(counts.values()),
        examples=tuple(map(example, texts[:EXAMPLES])),
        remedy="write all of them in one way, or turn them into one in [data] query",
        grave=True,
        doubtful=True,
    )


def _read_times(
    series: "pl.Series", counts: dict[str, int], sound: Sequence[str], wanted: ColumnSettings, hints: Hints
) -> Typed:
    name = series.name
    first_rows = [plain_signs(text) for text in series.drop_nulls().head(SAMPLE)]
    learned = learn_times([plain_signs(text) for text in sound], first_rows, order=wanted.order, hint=hints.order)
    notes = list(_zones(name, learned.zoned, learned.naive))
    if learned.contrary and wanted.order not in {"dmy", "mdy"}:
        return _of_two_orders(series, counts, learned, wanted, notes)
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


def _of_two_orders(
    series: "pl.Series", counts: dict[str, int], learned: TimeStyle, wanted: ColumnSettings, notes: list[str]
) -> Typed:
    """Dates of which some have the days first and others the months: of the rest, nobody can tell."""
    name = series.name
    first, others = ("days", "months") if learned.order == "dmy" else ("months", "days")
    contrary = sum(counts.get(text, 0) for text in learned.contrary)
    shown = ", ".join(map(example, learned.contrary[:2]))
    style = ColumnFormat(form="time", order=learned.order)
    result = read_column(Attempt(series=series, counts=counts, style=style, wanted=wanted, notes=tuple(notes)))
    if result.series.dtype == series.dtype:
        note = (
            f"column {name!r} has dates with the days first beside dates with the months first (such as {shown}), so "
            "that nobody can tell what 01/02 means; it stays one of texts. Write all of them in one order, or bring "
            "them to one in [data] query (strptime)"
        )
        return replace(result, notes=(note,))
    doubt = Loss(
        kind="cell",
        reason=f"dates are taken with the {first} first, though some can only have the {others} first ({shown})",
        subject=name,
        count=sum(rows for text, rows in counts.items() if is_open_date(text)) or contrary,
        of=sum(counts.values()),
        remedy="write all of them in one order",
        grave=True,
        doubtful=True,
    )
    return replace(result, losses=(*result.losses, doubt))


def _unknown_months(series: "pl.Series") -> tuple[str, ...]:
    """What is told of dates whose months have names in a language that is not known."""
    sample = series.drop_nulls().head(SAMPLE // 10).to_list()
    names = [name for text in sample if (name := unknown_month(text))]
    if not names or len(names) < MAX_LOST * len(sample):
        return ()
    shown = ", ".join(map(example, dict.fromkeys(names)))
    note = (
        f"column {series.name!r} seems to hold dates, with names of months that are not known "
        f"({shown[:EXAMPLE_CHARACTERS]}); they stay texts. Turn them into ISO 8601 in [data] query"
    )
    return (note,)


def _periods(series: "pl.Series") -> tuple[str, ...]:
    """What is told of months and quarters: as categories, the next one is none that the model knows."""
    sample = series.drop_nulls().head(SAMPLE // 10).to_list()
    if not sample or not all(_is_period(text.strip()) for text in sample):
        return ()
    note = (
        f"column {series.name!r} holds months or quarters (such as {example(sample[0])}), which stay categories: a "
        "model knows nothing of those to come. Turn them into days in [data] query"
    )
    return (note,)


def _is_period(text: str) -> bool:
    match = PERIOD.fullmatch(text)
    return match is not None and (match["name"] is None or bare_word(match["name"]) in MONTH)


def _read_booleans(series: "pl.Series", counts: dict[str, int], wanted: ColumnSettings) -> Typed:
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


def _nested(series: "pl.Series", counts: dict[str, int], wanted: ColumnSettings) -> Typed:
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
