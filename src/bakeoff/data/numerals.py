"""Numbers as people write them: decimal commas, thousands separators, percent signs, currencies, signs anywhere."""

import re
from functools import lru_cache

from bakeoff.core.types import ColumnFormat

__all__ = ["GROUP_MARKS", "NUMBER", "UNITS", "bare", "number"]

GROUP_MARKS = ",.'’ \u00a0\u202f\u2009"
"""What stands between groups of digits somewhere: comma, point, apostrophes, blanks of four widths."""
MINUS = "-\u2212\u2013"
CURRENCIES = {
    "€": ("€", "EUR"),
    "$": ("$", "USD", "US$"),
    "£": ("£", "GBP"),
    "¥": ("¥", "JPY", "円", "￥"),
    "元": ("元", "CNY", "RMB"),
    "₹": ("₹", "INR", "Rs", "Rs."),
    "CHF": ("CHF", "Fr."),
    "kr": ("kr", "SEK", "NOK", "DKK", "kr."),
    "zł": ("zł", "PLN"),
    "₩": ("₩", "KRW"),
    "R$": ("R$", "BRL"),
    "₽": ("₽", "RUB"),
    "A$": ("A$", "AUD"),
    "C$": ("C$", "CAD"),
    "₺": ("₺", "TRY"),
    "Kč": ("Kč", "CZK"),
}
MEASURES = (
    *("%", "‰", "°", "°C", "°F", "kg", "g", "mg", "lb", "lbs", "oz", "km", "cm", "mm", "ft", "mi", "L", "ml", "cl"),
    *("km/h", "mph", "kW", "kWh", "MW", "W", "V", "A", "Hz", "kHz", "MHz", "GHz", "B", "KB", "kB", "MB", "GB", "TB"),
    *("px", "pt", "hPa", "bar", "kcal", "kJ", "m²", "m2", "sqm", "sqft", "m³", "ha", "bps"),
)
UNITS: dict[str, tuple[str, ...]] = {**CURRENCIES, **{name: (name,) for name in MEASURES}}
"""The spellings of each unit that is taken off a number."""
NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[0-9]+")
DIGITS_LIMIT = 4000
"""Longer texts are no numbers: Python refuses to read them for safety."""


@lru_cache(maxsize=256)
def _grouped(marks: str) -> re.Pattern[str]:
    """Whole parts whose groups are set apart by one mark: by three digits, or by two but for the last (India)."""
    return re.compile(rf"[0-9]{{1,3}}([{re.escape(marks)}])(?:[0-9]{{2,3}}\1)*[0-9]{{3}}")


def bare(text: str, units: tuple[str, ...]) -> tuple[str, bool, str]:
    """A number without its signs and unit, whether it is negative, and the unit.

    >>> bare("(1,234.50 €)", ("€",))
    ('1,234.50', True, '€')

    Raises:
        ValueError: it has two signs.
    """
    rest = text.strip()
    signs = 0
    negative = False
    if rest[:1] == "(" and rest[-1:] == ")":
        rest, negative, signs = rest[1:-1].strip(), True, 1
    taken = ""
    for _ in range(3):
        if rest[:1] and rest[0] in MINUS + "+":
            negative, signs, rest = rest[0] != "+", signs + 1, rest[1:].strip()
        elif rest[-1:] and rest[-1] in MINUS:
            negative, signs, rest = True, signs + 1, rest[:-1].strip()
        elif not taken and (unit := _unit(rest, units)):
            taken = unit
            rest = (rest[len(unit) :] if rest.startswith(unit) else rest[: -len(unit)]).strip()
        else:
            break
    if signs > 1:
        raise ValueError(text)
    return rest, negative, taken


def _unit(text: str, units: tuple[str, ...]) -> str:
    """The longest unit at the end, or at the start: there only currencies stand."""
    ends = [unit for unit in units if text.endswith(unit) or (unit not in MEASURES and text.startswith(unit))]
    return max(ends, key=len, default="")


def number(text: str, style: ColumnFormat) -> int | float:
    """The number that a text is in a column's format: an int when it has neither decimals nor an exponent.

    >>> number("1.234,5", ColumnFormat(decimal=",", thousands="."))
    1234.5

    Raises:
        ValueError: it is none.
    """
    if len(text) > DIGITS_LIMIT:
        raise ValueError(text[:20])
    body, negative, _ = bare(text, style.units)
    whole, mark, decimals = body.partition(style.decimal)
    if any(character in style.thousands for character in whole):
        if not _grouped(style.thousands).fullmatch(whole):
            raise ValueError(text)
        whole = "".join(character for character in whole if character not in style.thousands)
    plain = f"{whole}.{decimals}" if mark else whole
    if style.decimal != "." and ("." in whole or "." in decimals):
        raise ValueError(text)
    if not NUMBER.fullmatch(plain):
        raise ValueError(text)
    value = int(plain) if WHOLE.fullmatch(plain) else float(plain)
    return -value if negative else value
