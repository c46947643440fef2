"""Class labels: one rule that makes a class name of any value, wherever the value comes from.

Training targets, answers, feedback and contracts all pass through here, so that 1, 1.0, "1" and "1 " are one class
wherever 1 is one, and "high " is "high".

| `[data] labels` | what is one class |
|---|---|
| `exact` | values that are the same, sign for sign |
| `trim` (default) | also with white space or invisible signs around, or composed otherwise (é in one sign or two) |
| `fold` | also in another case, spacing or form (full-width, curly quotes, other dashes) |

Whole numbers and booleans have one name each ("1", "true") where all classes are such.
"""

import contextlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TypeAlias

import numpy as np

from bakeoff.config.sections import LabelRule
from bakeoff.core.plugins import suggestion
from bakeoff.data.numerals import plain_signs
from bakeoff.data.trimming import AROUND, trim
from bakeoff.data.values import boolean, short_float

__all__ = ["NUMBER", "Labels", "alike", "class_names", "fold", "is_list", "joined_by", "label_text", "trim"]

FORMS = str.maketrans(dict.fromkeys("‘’‚‛′`´", "'") | dict.fromkeys("“”„‟″«»", '"') | dict.fromkeys("‐‑‒–—―−﹣", "-"))
NOT_SEEN = str.maketrans(dict.fromkeys(AROUND))
NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
"""Text that is a number; codes with leading zeros are none."""
CODE_OR_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]{1,3})?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
WORDS = ("true", "false")
TRUTH: Mapping[str, bool] = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
EXACT_LIMIT = 2**53
DELIMITERS = "|;,"

Key: TypeAlias = tuple[str, "str | bool | Decimal | datetime"]


def fold(text: str) -> str:
    r"""What all spellings have in common that differ only by case, spacing or the form of signs.

    >>> fold("Very\u3000HIGH") == fold("very high") == fold("Ｖｅｒｙ high")
    True
    """
    plain = unicodedata.normalize("NFKC", text.translate(FORMS)).translate(NOT_SEEN)
    return unicodedata.normalize("NFC", plain.casefold())


def label_text(value: object, rule: LabelRule = "trim") -> str | None:
    """A value as the text that names its class; None when there is no label in it.

    >>> label_text(True), label_text(2.0), label_text(" x "), label_text("  ")
    ('true', '2', 'x', None)
    """
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case None:
            return None
        case str():
            text = value.encode("utf-8", "replace").decode()
            return (text if rule == "exact" else trim(text)) or None
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal():
            return _number_name(value)
        case date():
            return _time_name(value)
        case _:
            return label_text(str(value), rule)


def _number_name(value: float | Decimal) -> str | None:
    if value != value:  # noqa: PLR0124 - NaN, by which tables say that there is nothing
        return None
    if isinstance(value, int):
        return str(value)
    number = short_float(float(value))
    return str(int(number)) if number.is_integer() and abs(number) < EXACT_LIMIT else repr(number)


def _time_name(value: date) -> str:
    moment = _moment(value)
    return moment.date().isoformat() if moment.time() == time() else moment.isoformat()


def _moment(value: date) -> datetime:
    if not isinstance(value, datetime):
        return datetime.combine(value, time())
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def class_names(spellings: Mapping[str, int], rule: LabelRule) -> dict[str, str | None]:
    """The class that each spelling of a text column names, from how often each comes; None: no label.

    >>> class_names({"1": 5, "1.0": 2, " 2": 3}, "trim")
    {'1': '1', '1.0': '1', ' 2': '2'}
    >>> class_names({"High": 5, "high": 9, " ": 1}, "fold")
    {'High': 'high', 'high': 'high', ' ': None}
    """
    if rule == "exact":
        return {spelling: spelling or None for spelling in spellings}
    texts = {spelling: label_text(spelling) for spelling in spellings}
    present = {text for text in texts.values() if text is not None}
    if present and all(text.lower() in WORDS for text in present):
        return {spelling: text and text.lower() for spelling, text in texts.items()}
    if present and all(NUMBER.fullmatch(text) for text in present):
        return {spelling: text and _whole_name(text) for spelling, text in texts.items()}
    if rule == "trim":
        return texts
    rows: Counter[str] = Counter()
    for spelling, text in texts.items():
        if text is not None:
            rows[text] += spellings[spelling]
    usual: dict[str, str] = {}
    for text, _ in sorted(rows.items(), key=lambda item: (-item[1], item[0])):
        usual.setdefault(fold(text), text)
    return {spelling: text and usual[fold(text)] for spelling, text in texts.items()}


def _whole_name(text: str) -> str:
    """Of a whole number its plain digits; other numbers stay as they are written (3.1 and 3.10 may be versions)."""
    number = float(text)
    if "." not in text and "e" not in text.lower():
        return str(int(text))
    return str(int(number)) if number.is_integer() and abs(number) < EXACT_LIMIT else text


def alike(classes: Iterable[str]) -> list[tuple[str, ...]]:
    """Classes that may mean the same, in groups of two and more, in order.

    They differ only by case, spacing or form; are the same number; or are words of one answer (yes and Y; true and 1
    where all classes are such words).

    >>> alike(["1", "true", "0", "false"]), alike(["Yes", "Y", "No", "Maybe"]), alike(["7", "07", "x"])
    ([('0', 'false'), ('1', 'true')], [('Y', 'Yes')], [('07', '7')])
    """
    folded = {name: fold(name) for name in sorted(set(classes))}
    answers = {name: _answer(text) for name, text in folded.items()}
    every = None not in answers.values()
    letters = {text for name, text in folded.items() if len(text) == 1 and answers[name] is not None}
    groups: dict[str, set[str]] = {name: {name} for name in folded}
    firsts: dict[tuple[str, object], str] = {}
    for name, text in folded.items():
        keys: list[tuple[str, object]] = [("text", text), ("number", _decimal(text) or text)]
        if every:
            keys.append(("answer", answers[name]))
        elif answers[name] is not None and text[0] in letters:  # y is yes; "ja" and "si" may be languages
            keys.append(("letter", (answers[name], text[0])))
        for key in keys:
            joined = groups[firsts.setdefault(key, name)] | groups[name]
            groups |= dict.fromkeys(joined, joined)
    return sorted({tuple(sorted(group)) for group in groups.values() if len(group) > 1})


def _answer(folded: str) -> bool | None:
    """The answer that a word gives."""
    try:
        return boolean(folded)
    except ValueError:
        return TRUTH.get(folded)


def _decimal(text: str) -> Decimal | None:
    """The number that a name is, leading zeros aside."""
    plain = plain_signs(text)
    return Decimal(plain) if CODE_OR_NUMBER.fullmatch(plain) else None


def is_list(text: str) -> bool:
    """Whether a label is a list written as JSON.

    >>> is_list('["red", "blue"]'), is_list("[unknown]")
    (True, False)
    """
    import msgspec

    stripped = text.strip(AROUND)
    if not (stripped.startswith("[") and stripped.endswith("]")):
        return False
    try:
        return isinstance(msgspec.json.decode(stripped), list)
    except (msgspec.DecodeError, RecursionError):
        return False


def joined_by(classes: Iterable[str]) -> str | None:
    """The sign by which several labels seem to be joined in one, as in "red|blue", "blue|green", "red"; or None.

    It is, when at least two classes hold it and all their parts come in other classes, too.
    """
    names = list(classes)
    for sign in DELIMITERS:
        joined = [name for name in names if sign in name]
        parts = [{part.strip(AROUND) for part in name.split(sign)} for name in names]
        uses = Counter(part for each in parts for part in each)
        if len(joined) > 1 and all(uses[part] > 1 for name in joined for part in map(str.strip, name.split(sign))):
            return sign
    return None


class Labels:
    """The classes of a target, found by any value that means one.

    Args:
        classes: the names.
        rule: `[data] labels`.

    >>> Labels(("0", "1")).match(True), Labels(("true", "false")).match(" TRUE"), Labels(("a",)).match("b")
    ('1', 'true', None)
    """

    def __init__(self, classes: Iterable[str], rule: LabelRule = "trim") -> None:
        self.classes = tuple(classes)
        self._rule: LabelRule = rule
        self._names = frozenset(self.classes)
        # 1 means true, and true 1, only where nothing else can be meant.
        self._two_valued = all(name.lower() in TRUTH for name in self.classes)
        self._by_key: dict[Key, str | None] = {}
        for name in self.classes:
            for key in self._keys(name):
                # A key that several classes have tells none of them.
                self._by_key[key] = name if self._by_key.get(key, name) == name else None

    def match(self, value: object) -> str | None:
        """The class that the value means, or None."""
        if isinstance(value, str) and value in self._names:
            return value
        text = label_text(value, self._rule)
        if text is None or text in self._names:
            return text
        if isinstance(value, str) and self._rule == "exact":
            return None
        candidates = (self._by_key.get(key) for key in self._keys(text))
        return next((name for name in candidates if name is not None), None)

    def hint(self, value: object) -> str:
        """What to write instead, for a message."""
        text = label_text(value) or ""
        near = next((name for name in self.classes if fold(name) == fold(text)), None)
        if near is not None:
            return f"Did you mean {near!r}?"
        shown = ", ".join(map(repr, self.classes[:5])) + (", …" if len(self.classes) > 5 else "")  # noqa: PLR2004
        return suggestion(text, self.classes) or f"The classes are {shown}."

    def _keys(self, text: str) -> list[Key]:
        """What a class and a value that means it have in common, the strictest first."""
        keys: list[Key] = [("text", trim(text))]
        if NUMBER.fullmatch(text):
            keys.append(("number", Decimal(text)))
        if DATE.match(text):
            with contextlib.suppress(ValueError):
                keys.append(("time", _moment(datetime.fromisoformat(text))))
        truth = TRUTH.get(text.lower())
        if truth is not None and (self._two_valued or text.lower() in WORDS):
            keys.append(("truth", truth if self._two_valued else text.lower()))
        if self._rule == "fold":
            keys.append(("fold", fold(text)))
        return keys
