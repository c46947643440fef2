"""What texts look like: numbers, times, durations, booleans, nested values, words for "missing", or anything else."""

from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.core import narrow
from bakeoff.core.types import ColumnKind
from bakeoff.data.number_styles import is_number_like
from bakeoff.data.numerals import plain_signs
from bakeoff.data.times import moment, seconds
from bakeoff.data.values import MISSING_WORDS, PAIRS, WEAK_WORDS

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Form", "form_of", "likely_form"]

Form: TypeAlias = Literal["time", "duration", "number", "boolean", "json", "missing", "other"]

SAMPLE = 1000
MOST_LIKE = 0.5
LONGEST = 80
BOOLEAN_WORDS = frozenset(word for pair in PAIRS[:-1] for word in pair)
FORMS: dict[ColumnKind, tuple[Form, ...]] = {
    "numeric": ("number", "duration", "json"),
    "datetime": ("time",),
    "boolean": ("boolean",),
    "categorical": ("number", "json"),
    "text": ("json",),
}
"""What the texts of a column may be read as when the project lists its kind."""
FORCED: dict[ColumnKind, Form] = {"numeric": "number", "datetime": "time", "boolean": "boolean"}


def likely_form(present: "pl.Series", kind: ColumnKind | None, *, target: bool) -> Form:
    """What most of a sample of the values look like, words for "missing" left out; "other" when nothing does.

    Args:
        present: The texts of a column, none of them missing.
        kind: Its kind, when the project lists it.
        target: Whether it is what is to be learned.
    """
    sample = present.gather_every(max(1, len(present) // SAMPLE))
    counts: dict[Form, int] = {}
    for text, rows in sample.value_counts().iter_rows():
        form = form_of(narrow.text(text).strip())
        counts[form] = counts.get(form, 0) + narrow.whole(rows)
    counts.pop("missing", None)
    allowed: tuple[Form, ...] = ("number",) if target else ("number", "time", "duration", "boolean", "json")
    best: Form = max(counts, key=counts.__getitem__) if counts else "other"
    if best in (allowed if kind is None else FORMS[kind]) and counts[best] >= MOST_LIKE * sum(counts.values()):
        return best
    return "other" if kind is None else FORCED.get(kind, "other")


def form_of(text: str) -> Form:  # noqa: PLR0911 - a line a form
    """What a single text without blanks around it looks like."""
    folded = text.casefold()
    if text in MISSING_WORDS or folded in WEAK_WORDS:
        return "missing"
    if folded in BOOLEAN_WORDS:
        return "boolean"
    text = plain_signs(text)
    if text[0] in "[{":
        return "json"
    if len(text) > LONGEST or not any(character.isdigit() for character in text):
        return "other"
    if is_number_like(text):
        return "number"
    if _is_time(text):
        return "time"
    try:
        seconds(text)
    except (ValueError, OverflowError):
        return "other"
    return "duration"


def _is_time(text: str) -> bool:
    for order in ("dmy", "mdy"):
        try:
            moment(text, order)
        except (ValueError, OverflowError):
            continue
        return True
    return False
