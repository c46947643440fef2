"""What the texts of a column are, and how they are written: decided over all its values.

Canonical whole numbers, numbers, booleans and ISO times are seen and converted at once. Of other columns a sample shows
what most values look like; then every different value is read by the conversion of single values, and what cannot be
read decides: words for "missing" are missing; other texts are lost (and told) when they are few, else the column stays
one of texts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import msgspec

from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.types import CANONICAL, ColumnFormat, ColumnKind, DateOrder
from bakeoff.data.canonical import Shape, compact_days, iso_times, shapes_of, true_false
from bakeoff.data.numerals_learned import Decimal, is_number_like, learn_numbers
from bakeoff.data.times import moment, seconds
from bakeoff.data.times_learned import learn_times
from bakeoff.data.values import MISSING_WORDS, PAIRS, WEAK_WORDS, reader

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Hints", "Typed", "Wanted", "typed"]

Form: TypeAlias = Literal["time", "duration", "number", "boolean", "json", "missing", "other"]

SAMPLE = 1000
LEARNED = 20_000
"""Of more different values, an even sample shows how they are written."""
MOST_LIKE = 0.5
MAX_LOST = 0.05
MAX_WORDS = 200
FEW_NUMBERS = 20
"""Up to so many different numbers are codes, of which a word is one more."""
MANY_VALUES = 30
"""A target of more different numbers is a quantity; of fewer, they are classes."""
CODE = re.compile(r"[+-]?0[0-9]")
LONG = re.compile(r"[+-]?[0-9]{16,}")
EXACT_WHOLE = 2**53
NAMES = {
    "json": "lists",
    "number": "numbers",
    "time": "times",
    "duration": "durations or times of day",
    "boolean": "booleans",
}
KINDS = {"number": "numeric", "time": "datetime", "duration": "numeric", "boolean": "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
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
    proven: Hints = Hints()


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


def _canonical(series: "pl.Series", wanted: Wanted, hints: Hints, shape: Shape) -> Typed | None:
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


def _learned(series: "pl.Series", wanted: Wanted, hints: Hints) -> Typed:
    """The column by what most of its values look like."""
    form = _likely_form(series.drop_nulls(), wanted)
    if form == "other":
        return Typed(series=series)
    counts = dict(cast("list[tuple[str, int]]", series.drop_nulls().value_counts(name="rows").rows()))
    if form == "json":
        return _nested(series, counts, wanted)
    values = sorted(counts)
    learned = values[:: max(1, len(values) // LEARNED)]
    sound = [text for text in learned if _form(text.strip()) == form]
    if form == "number" and _may_be_classes(wanted) and len(counts) <= MANY_VALUES:
        return Typed(series=series)  # 3.1 and 3.10, or 10 and 10 %, may be different classes
    if form == "number":
        return _read_numbers(series, counts, sound, wanted, hints)
    if form == "time":
        return _read_times(series, counts, sound, wanted, hints)
    if form == "boolean":
        return _read_booleans(series, counts, wanted)
    note = f'column {series.name!r} is taken as seconds of a duration or time of day; categorical = ["{series.name}"] in [data] keeps the texts'
    return _read(
        _Attempt(series=series, counts=counts, style=ColumnFormat(form="duration"), wanted=wanted, notes=(note,))
    )


def _likely_form(present: "pl.Series", wanted: Wanted) -> Form:
    """What most of a sample of the values look like, words for "missing" left out."""
    sample = present.gather_every(max(1, len(present) // SAMPLE))
    counts: dict[Form, int] = {}
    for text, rows in sample.value_counts().iter_rows():
        form = _form(text.strip())
        counts[form] = counts.get(form, 0) + rows
    counts.pop("missing", None)
    allowed = _allowed(wanted)
    best = max(counts, key=lambda form: counts[form], default="other")
    if best not in allowed or counts[best] < MOST_LIKE * sum(counts.values()):
        forced = {"numeric": "number", "datetime": "time", "boolean": "boolean"}.get(wanted.kind or "", "other")
        return cast("Form", forced)
    return best


def _allowed(wanted: Wanted) -> frozenset[Form]:
    if wanted.kind is None:
        return frozenset(("number",) if wanted.target else ("number", "time", "duration", "boolean", "json"))
    kinds: dict[ColumnKind, tuple[Form, ...]] = {
        "numeric": ("number", "duration"),
        "datetime": ("time",),
        "boolean": ("boolean",),
        "categorical": ("number", "json"),
        "text": ("json",),
    }
    return frozenset(kinds[wanted.kind])


BOOLEAN_WORDS = frozenset(word for pair in PAIRS[:-1] for word in pair)


def _form(text: str) -> Form:
    """What a single text looks like."""
    folded = text.casefold()
    if text in MISSING_WORDS or folded in WEAK_WORDS:
        return "missing"
    if folded in BOOLEAN_WORDS:
        return "boolean"
    if text[0] in "[{":
        return "json"
    if not any(character.isdigit() for character in text) or len(text) > 80:  # noqa: PLR2004
        return "other"
    if is_number_like(text):
        return "number"
    for order in ("dmy", "mdy"):
        try:
            moment(text, order)
        except (ValueError, OverflowError):
            continue
        return "time"
    try:
        seconds(text)
    except (ValueError, OverflowError):
        return "other"
    return "duration"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """A column, how often each of its texts stands in it, and the format to read them in."""

    series: "pl.Series"
    counts: dict[str, int]
    style: ColumnFormat
    wanted: Wanted
    notes: tuple[str, ...] = ()
    open: bool = False
    proven: Hints = Hints()


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
    notes: list[str] = []
    if learned.open:
        other = "," if learned.style.decimal == "." else "."
        meaning = "thousands" if other in learned.style.thousands else "decimals"
        notes.append(
            f'column {name!r}: its marks could set apart thousands or decimals, and are taken for {meaning}; [data] decimal = "{other}" says otherwise'
        )
    if learned.units:
        rest = f" ({learned.without_unit:,} different values have none)" if learned.without_unit else ""
        notes.append(f"column {name!r} is taken as numbers without their unit {learned.units[0]!r}{rest}")
    proven = Hints(decimal=learned.style.decimal) if learned.proven else Hints()
    return _read(
        _Attempt(
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
            f'column {name!r}: days or months could come first, and {first} are taken to; [data] date_order = "{other}" says otherwise'
        )
    proven = Hints(order=learned.order) if learned.proven and learned.order != "ymd" else Hints()
    style = ColumnFormat(form="time", order=learned.order)
    return _read(
        _Attempt(
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
    note = f'column {series.name!r} is taken as booleans ({pair[0]}, {pair[1]}); categorical = ["{series.name}"] in [data] keeps the words'
    notes = (note,) if pair != PAIRS[0] and wanted.kind is None else ()
    return _read(_Attempt(series=series, counts=counts, style=ColumnFormat(form="boolean"), wanted=wanted, notes=notes))


MAX_THIRD = 0.2
"""A word such as "None" in more of the cells than this is a third answer beside true and false."""


def _read(attempt: _Attempt) -> Typed:
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
    if whole and any(abs(cast("int", value)) > EXACT_WHOLE for value in values.values()):
        return Typed(series=series)
    dtype: type[pl.DataType] | pl.DataType = pl.Int64 if whole else _dtype(style)
    floats = dtype == pl.Float64
    pairs = pl.DataFrame(
        {
            "old": pl.Series(list(values), dtype=pl.String),
            "new": pl.Series([float(cast("float", v)) if floats else v for v in values.values()], dtype=dtype),
        }
    )
    joined = pl.DataFrame({"old": series}).join(pairs, on="old", how="left", maintain_order="left")
    learned_words = tuple(sorted({text.strip() for text in [*words, *odd]} - MISSING_WORDS))
    style = replace(style, form="whole" if whole else style.form, missing=learned_words)
    return Typed(
        series=joined["new"].alias(series.name),
        style=style,
        losses=_cell_losses(attempt, words, odd),
        notes=attempt.notes,
        open=attempt.open,
        proven=attempt.proven,
    )


def _dtype(style: ColumnFormat) -> "type[pl.DataType] | pl.DataType":
    import polars as pl

    return {"time": pl.Datetime("us"), "boolean": pl.Boolean()}.get(style.form, pl.Float64())


def _is_accepted(
    values: dict[str, object], words: dict[str, int], odd: dict[str, int], readable: int, attempt: _Attempt
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


def _near_miss(attempt: _Attempt, odd: dict[str, int], readable: int) -> tuple[str, ...]:
    """What would have made the column one of numbers, times or durations."""
    lost = sum(odd.values())
    if not lost or attempt.wanted.kind is not None or attempt.wanted.target:
        return ()
    name = attempt.series.name
    shown = ", ".join(_most_frequent(odd))
    form = attempt.style.form
    return (
        f"column {name!r} is not taken as {NAMES[form]}: {lost:,} of {readable + lost:,} values are none, such as "
        f'{shown}; {KINDS[form]} = ["{name}"] in [data] takes it so, and those as missing',
    )


def _most_frequent(texts: dict[str, int]) -> tuple[str, ...]:
    return tuple(example(text) for text in sorted(texts, key=lambda text: (-texts[text], text))[:EXAMPLES])


def _cell_losses(attempt: _Attempt, words: dict[str, int], odd: dict[str, int]) -> tuple[Loss, ...]:
    name, form = attempt.series.name, attempt.style.form
    present = sum(attempt.counts.values())
    losses: list[Loss] = []
    if words:
        losses.append(
            Loss(
                kind="cell",
                reason=f"a word for missing, in a column of {NAMES[form]}",
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
                reason=f"cannot be read, in a column of {NAMES[form]}",
                subject=name,
                count=sum(odd.values()),
                of=present,
                examples=_most_frequent(odd),
                remedy=f'mend them, or keep the column as it is: categorical = ["{name}"] in [data]',
            )
        )
    return tuple(losses)


def _nested(series: "pl.Series", counts: dict[str, int], wanted: Wanted) -> Typed:
    """Texts that are JSON: lists of equally many numbers become a column of lists, others stay texts."""
    import polars as pl

    values: dict[str | None, object] = {None: None}
    words: dict[str, int] = {}
    for text, rows in counts.items():
        if _form(text.strip()) == "missing":
            words[text], values[text] = rows, None
            continue
        try:
            values[text] = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return Typed(series=series)
    if wanted.kind not in {None, "numeric"} or not is_vector(list(values.values())):
        return Typed(series=series, style=ColumnFormat(form="json"))
    attempt = _Attempt(series=series, counts=counts, style=ColumnFormat(form="json"), wanted=wanted)
    lists = pl.Series(series.name, [values[text] for text in series.to_list()], dtype=pl.List(pl.Float64), strict=False)
    return Typed(series=lists, losses=_cell_losses(attempt, words, {}))


MOST_ELEMENTS = 4096


def is_vector(values: Sequence[object]) -> bool:
    """Whether all values (None aside) are lists of numbers of one length."""
    lengths: set[int] = set()
    for value in values:
        if value is None:
            continue
        if not isinstance(value, list):
            return False
        items = cast("list[object]", value)
        lengths.add(len(items))
        if len(lengths) > 1 or not all(type(item) in {int, float, type(None)} for item in items):
            return False
    return len(lengths) == 1 and 0 < next(iter(lengths)) <= MOST_ELEMENTS
