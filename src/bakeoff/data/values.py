"""The one conversion of single values: from whatever a door brings to what a column stores.

| kind | stored as | from |
|---|---|---|
| text | text | numbers (5.0 is "5"), booleans ("true"), times (ISO 8601), a list of chat messages |
| categorical | text | the same, trimmed and in Unicode's composed form |
| numeric | float | numbers, booleans, durations and times of day (seconds); what is not finite is missing |
| datetime | time without a zone | times (those with a zone in UTC), dates, eight digits such as 20240131 |
| boolean | boolean | true, false, 0, 1, yes, no and other pairs |

A text is first read as its column is written (`ColumnFormat`), then stored as the column's kind wants it. An empty
text is missing, whatever the kind; words such as "NA" are where the column holds numbers, times or booleans.
"""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
import numpy as np

from bakeoff.core import narrow
from bakeoff.core.conversation import question_text
from bakeoff.core.types import Column, ColumnFormat, ColumnKind, TextForm
from bakeoff.data.numerals import number, plain_signs
from bakeoff.data.times import moment, seconds, wall
from bakeoff.data.trimming import trim

__all__ = [
    "EXPECTED",
    "MISSING_WORDS",
    "WEAK_WORDS",
    "Convert",
    "absent_values",
    "as_text",
    "boolean",
    "converter",
    "expected",
    "plain",
    "reader",
    "short_float",
]

Convert: TypeAlias = Callable[[object], object]

EXPECTED: Mapping[ColumnKind, str] = {
    "text": "text",
    "categorical": "text, a number or a boolean",
    "numeric": "a number",
    "datetime": "an ISO 8601 time such as '2024-05-01T12:30:00'",
    "boolean": "true or false",
}
MISSING_WORDS = frozenset(
    (
        *("", "NA", "N/A", "n/a", "na", "#N/A", "#NA", "<NA>", "NaN", "nan", "NAN", "-nan", "NaT", "N.A.", "n.a."),
        *("null", "NULL", "Null", "None", "none", "NONE", "nil", "\\N", "#N/A N/A", "1.#QNAN", "1.#IND", "-1.#IND"),
        *("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?"),
        *("inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity"),
    )
)
"""Words that mean "no value" (or no finite one) in every column of numbers, times or booleans."""
WEAK_WORDS = frozenset(
    (
        *(
            "?",
            "??",
            "-",
            "--",
            "---",
            "–",
            "—",
            ".",
            "..",
            "...",
            "…",
            "*",
            "x",
            "/",
            "unknown",
            "missing",
            "undefined",
        ),
        *("not available", "not applicable", "no data", "nodata", "void", "tbd", "tba", "k.a.", "k. a.", "n.d.", "nd"),
        *("unbekannt", "fehlt", "inconnu", "desconocido", "s/d", "s.d."),
        *("0000-00-00", "0000-00-00 00:00:00", "0000/00/00", "00.00.0000", "00/00/0000"),
    )
)
"""Words (compared without case) that do so in a column in which they were seen beside numbers, times or booleans."""
PAIRS = (
    ("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("on", "off"), ("ja", "nein"), ("j", "n"), ("oui", "non"),
    ("sí", "no"), ("si", "no"), ("sì", "no"), ("sim", "não"), ("ja", "nee"), ("ja", "nej"), ("ja", "nei"),
    ("tak", "nie"), ("wahr", "falsch"), ("vrai", "faux"), ("да", "нет"), ("是", "否"), ("はい", "いいえ"), ("1", "0"),
)  # fmt: skip
TRUE = frozenset(yes for yes, _ in PAIRS)
FALSE = frozenset(no for _, no in PAIRS)
WHOLE_LIMIT = 1e15
LONG_FLOAT = 15
"""Characters of a number of 32 bits that is written as one of 64: 0.1 is 0.10000000149011612 then."""
MOST_FLOAT_32 = 3e38
COMPACT_TIMES = tuple(range(1000_01_01 * 10**zeros, 10000_00_00 * 10**zeros) for zeros in (0, 4, 6))


class MisreadError(ValueError):
    """A text or value that does not fit its column."""


def plain(value: object) -> object:  # noqa: PLR0911 - a line a type
    """A scalar of numpy, pandas, Arrow or the standard library as a plain value; None when it means "no value".

    >>> plain(Decimal("1.50"))
    1.5
    """
    if value is None or isinstance(value, (str, bool, int, list, dict)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, datetime):
        return None if value != value else value  # noqa: PLR0124 - pandas.NaT is a datetime
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode()
    if isinstance(value, UUID):
        return str(value)
    return _foreign(value)


def _foreign(value: object) -> object:
    """Scalars of other libraries, by what they offer."""
    kind = type(value)
    if kind.__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, (np.datetime64, np.timedelta64)):  # in nanoseconds they would give whole numbers
        return value.astype("M8[us]" if isinstance(value, np.datetime64) else "m8[us]").item()
    if kind.__name__ == "Interval" and hasattr(value, "closed_left"):  # a category of pandas.cut
        return _interval(value)
    names = ("tolist", "to_list") if getattr(value, "shape", ()) else ("as_py", "item", "to_timestamp")
    for name in names:  # arrays and series; scalars of Arrow and numpy; a period of pandas is when it begins
        unpack = getattr(value, name, None)
        if callable(unpack):
            return _unpacked(unpack(), kind)
    if isinstance(value, tuple) and narrow.is_sequence(value):
        return list(value)
    return value


def _interval(value: Any) -> str:
    """An interval of pandas as text: the same whether its ends are whole numbers or floats, as beside missing ones."""
    ends = f"{as_text(value.left)}, {as_text(value.right)}"
    return f"{'[' if value.closed_left else '('}{ends}{']' if value.closed_right else ')'}"


def _unpacked(value: object, kind: type) -> object:
    if isinstance(value, kind):
        raise MisreadError(value)
    return plain(value)


def _text(value: object) -> str | None:  # noqa: PLR0911 - a line a type
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < WHOLE_LIMIT else _float_text(value)
    if isinstance(value, (datetime, date)):
        return _time(value).isoformat()
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _text(value / timedelta(seconds=1))
    if narrow.is_array(value):
        return question_text(value)
    raise MisreadError(value)


def as_text(value: object) -> str | None:
    """A scalar as a column of texts stores it; None when it means "no value"."""
    value = plain(value)
    return None if value is None or value != value else _text(value)  # noqa: PLR0124 - NaN


def _float_text(value: float) -> str:
    import polars as pl

    return pl.Series([short_float(value)]).cast(pl.String)[0]


def short_float(value: float) -> float:
    """What a number of 32 bits stood for before it was one of 64, to be named by.

    >>> short_float(0.10000000149011612), short_float(0.1), short_float(0.3333333333333333)
    (0.1, 0.1, 0.3333333333333333)
    """
    if len(repr(value)) < LONG_FLOAT or abs(value) > MOST_FLOAT_32:
        return value
    narrow = np.float32(value)
    return float(str(narrow)) if float(narrow) == value else value


def _number(value: object) -> float | None:
    if isinstance(value, time):
        value = value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6
    elif isinstance(value, timedelta):
        value = value / timedelta(seconds=1)
    if not isinstance(value, (int, float)):
        raise MisreadError(value)
    result = float(value)
    return result if math.isfinite(result) else None


def _time(value: object) -> datetime:
    if isinstance(value, datetime):
        return wall(value)
    if isinstance(value, date):
        return datetime.combine(value, time())
    if isinstance(value, (int, float)) and int(value) == value and any(int(value) in days for days in COMPACT_TIMES):
        return moment(str(int(value)), "ymd")
    raise MisreadError(value)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and value in {0, 1}:
        return bool(value)
    raise MisreadError(value)


def boolean(text: str) -> bool:
    """The boolean that a word means.

    Raises:
        ValueError: it means none.
    """
    word = text.strip().casefold()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise MisreadError(text)


def _nested(text: str) -> object:
    """A nested value that was written as JSON; other texts as they are."""
    if text[:1] not in {"[", "{"}:
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _nested_text(value: object) -> str | None:
    if narrow.is_array(value) or isinstance(value, dict):
        try:
            return question_text(narrow.json_array(value))
        except (TypeError, KeyError, AttributeError):
            return _json(value)
    return _text(value)


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value, enc_hook=str).decode()
    except RecursionError:
        raise MisreadError("nested too deeply") from None


def _category(value: object) -> str | None:
    text = _text(value)
    return (trim(text) or None) if text is not None and isinstance(value, str) else text


STORE: Mapping[ColumnKind, Convert] = {
    "text": _text,
    "categorical": _category,
    "numeric": _number,
    "datetime": _time,
    "boolean": _boolean,
}
KIND_FORMS: Mapping[ColumnKind, TextForm] = {
    "text": "text",
    "categorical": "text",
    "numeric": "number",
    "datetime": "time",
    "boolean": "boolean",
}


def reader(style: ColumnFormat, kind: ColumnKind) -> Callable[[str], object]:
    """How a text of a column is read: into a number, time, duration, boolean or nested value; None when it is missing.

    Raises (when called):
        ValueError: the text is none of them.
    """
    form = KIND_FORMS[kind] if style.form == "plain" else style.form
    more = frozenset(style.missing)
    if form in {"text", "json", "conversation"}:
        read: Callable[[str], object] = str if form == "text" else _nested
        return lambda text: None if not text or text.strip() in more else read(text)
    parse: Callable[[str], object]
    if form == "time":
        parse = partial(moment, order=style.order)
    elif form == "duration":
        parse = seconds
    elif form == "boolean":
        parse = boolean
    else:
        parse = partial(number, style=style)

    def typed(text: str) -> object:
        word = text.strip()
        if word in MISSING_WORDS or word in more:
            return None
        return parse(plain_signs(word))

    return typed


@lru_cache(maxsize=8192)
def converter(column: Column) -> Convert:
    """The conversion of one value to what the column stores; None when it means "no value".

    >>> converter(Column(name="x", kind="numeric", dtype="", format=ColumnFormat(decimal=",")))("2,5")
    2.5

    Raises (when called):
        ValueError, TypeError, OverflowError: the value does not fit.
    """
    absent = absent_values(column)
    if not absent:
        return _conversion(column)
    stored = _conversion(replace(column, format=replace(column.format, missing=())))
    words = _conversion(column)

    def present(value: object) -> object:
        value = words(value) if isinstance(value, str) else stored(value)  # a word may be one that no number is
        return None if value in absent else value

    return present


@lru_cache(maxsize=8192)
def absent_values(column: Column) -> frozenset[object]:
    """The stored values that mean "no value" in a column: those of its words for it that can be read."""
    convert = _conversion(replace(column, format=replace(column.format, missing=())))
    absent: set[object] = set()
    for word in column.format.missing:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            absent.add(convert(word))
    return frozenset(absent - {None})


def _conversion(column: Column) -> Convert:
    read = reader(column.format, column.kind)
    nested = column.format.form in {"json", "conversation"} and column.kind in {"text", "categorical"}
    store = _nested_text if nested else STORE[column.kind]
    as_float = column.format.form == "number"

    def convert(value: object) -> object:
        if not isinstance(value, (str, float, int)):
            value = plain(value)
        if isinstance(value, str):
            value = read(value)
        if value is None or value != value:  # noqa: PLR0124 - NaN
            return None
        if as_float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)  # as the column of floats that it was in training
        return store(value)

    if column.kind != "numeric":
        return convert

    def convert_number(value: object) -> object:
        if type(value) is float:  # most are, and the rest of the way takes three times longer
            return value if math.isfinite(value) else None
        return convert(value)

    return convert_number


def expected(column: Column) -> str:
    """What a value of the column must be, in words."""
    style = column.format
    if style.form == "duration":
        return "a duration or time of day such as '1:30:00', or its seconds"
    if column.kind == "numeric" and style.decimal == ",":
        return "a number (as text with a decimal comma)"
    if column.kind == "datetime" and style.order != "ymd":
        return f"a time such as '2024-05-31T12:30:00' or '{'31/05/2024' if style.order == 'dmy' else '05/31/2024'}'"
    return EXPECTED[column.kind]
