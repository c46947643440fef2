"""Numbers as people write them: decimal commas, thousands separators, percent signs, currencies, signs anywhere.

Decimal digits of every script are digits (٥١٢ and ５１２ are 512). "55%" is 0.55, and so
are "550‰" and "5500 bps".
"""

import re
import unicodedata
from functools import lru_cache

from bakeoff.core.types import ColumnFormat

__all__ = ["GROUP_MARKS", "NUMBER", "SHARES", "UNITS", "bare", "number", "plain_signs", "unbound", "unscaled"]

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
    "₩": ("₩", "KRW", "원"),
    "R$": ("R$", "BRL"),
    "₽": ("₽", "RUB", "руб", "руб."),
    "₴": ("₴", "UAH", "грн"),
    "₪": ("₪", "ILS"),
    "฿": ("฿", "THB"),
    "₫": ("₫", "VND"),
    "₱": ("₱", "PHP"),
    "₦": ("₦", "NGN"),
    "Ft": ("Ft", "HUF"),
    "lei": ("lei", "RON"),
    "Rp": ("Rp", "IDR"),
    "HK$": ("HK$", "HKD"),
    "NT$": ("NT$", "TWD"),
    "S$": ("S$", "SGD"),
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
SHARES = {"%": -2, "‰": -3, "bps": -4}
"""The power of ten that a share's sign stands for."""
SCALES = {
    **dict.fromkeys(("k", "K", "tsd", "tsd.", "thousand", "mil"), 3),
    **dict.fromkeys(("M", "mn", "mln", "mio", "mio.", "mill.", "million", "millions", "millionen"), 6),
    **dict.fromkeys(("bn", "B", "bln", "mrd", "mrd.", "billion", "billions", "milliarden"), 9),
    **dict.fromkeys(("T", "tn", "trn", "trillion"), 12),
    **dict.fromkeys(("千",), 3),
    **dict.fromkeys(("万", "萬"), 4),
    **dict.fromkeys(("lakh", "lakhs", "lac"), 5),
    **dict.fromkeys(("crore", "crores", "cr"), 7),
    **dict.fromkeys(("億", "亿"), 8),
}
"""The power of ten that a number's ending stands for; those of three letters and more in any case."""
ENDING = re.compile(r"(?P<number>.*[0-9.,])\s?(?P<scale>[^\W\d_]+\.?)")
BOUND = re.compile(r"(?:<=?|>=?|=|[≤≥~≈∼＜＞～]|ca?\.|approx\.?|about|over|under|up to)\s*(?=\S)", re.IGNORECASE)
SIGNS = {
    "．": ".",
    "，": ",",
    "－": "-",
    "\u2212": "-",
    "＋": "+",
    "（": "(",
    "）": ")",
    "％": "%",
    "٫": ".",
    "٬": "'",
    "٪": "%",
    "﹣": "-",
}
"""Signs of numbers in full width, and those of Arabic."""
NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[0-9]+")
DIGITS_LIMIT = 4000
"""Longer texts are no numbers: Python refuses to read them for safety."""


@lru_cache(maxsize=256)
def _grouped(marks: str) -> re.Pattern[str]:
    """Whole parts whose groups are set apart by one mark: by three digits, or by two but for the last (India)."""
    return re.compile(rf"[0-9]{{1,3}}([{re.escape(marks)}])(?:[0-9]{{2,3}}\1)*[0-9]{{3}}")


def plain_signs(text: str) -> str:
    """The text with the digits of all scripts, and the signs of numbers among full-width ones, in ASCII.

    >>> plain_signs("５１２．５"), plain_signs("٣٫٥"), plain_signs("१२")
    ('512.5', '3.5', '12')
    """
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else SIGNS.get(c, c) for c in text)


def unbound(text: str) -> str | None:
    """The number of a bound or an estimate; None when the text is none.

    >>> unbound("<0.01"), unbound("5+"), unbound("~ 5"), unbound("5")
    ('0.01', '5', '5', None)
    """
    rest = text.strip()
    if match := BOUND.match(rest):
        return rest[match.end() :]
    return rest[:-1].strip() if rest[-1:] == "+" else None


def unscaled(body: str) -> tuple[str, int]:
    """A number without the scale at its end, and the power of ten which that stands for.

    >>> unscaled("1.2k"), unscaled("3 Mio."), unscaled("5")
    (('1.2', 3), ('3', 6), ('5', 0))
    """
    match = ENDING.fullmatch(body)
    if match is None:
        return body, 0
    scale = match["scale"]
    power = SCALES.get(scale) or (SCALES.get(scale.lower()) if len(scale) > 2 else None)  # noqa: PLR2004
    return (match["number"], power) if power else (body, 0)


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
    at_end, at_start, lengths = _by_length(units)
    for length in lengths:
        if length <= len(text):
            places = at_end.get(text[-length:]), at_start.get(text[:length])
            if first := [place for place in places if place is not None]:
                return units[min(first)]
    return ""


@lru_cache(maxsize=64)
def _by_length(units: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int], list[int]]:
    """Where each unit stands, for those at an end and those at a start; their lengths, the longest first."""
    at_end = {unit: place for place, unit in reversed([*enumerate(units)])}
    at_start = {unit: place for unit, place in at_end.items() if unit not in MEASURES}
    return at_end, at_start, sorted({len(unit) for unit in units}, reverse=True)


def number(text: str, style: ColumnFormat) -> int | float:
    """The number that a text is in a column's format: an int when it has neither decimals nor an exponent.

    >>> number("1.234,5", ColumnFormat(decimal=",", thousands="."))
    1234.5

    Raises:
        ValueError: it is none.
    """
    if len(text) > DIGITS_LIMIT:
        raise ValueError(text[:20])
    if style.bounds:
        text = unbound(text) or text
    body, negative, unit = bare(text, style.units)
    power = SHARES.get(unit, 0)
    if style.scales:
        body, more = unscaled(body)
        power += more
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
    if power:
        value = int(plain) * 10**power if power > 0 and WHOLE.fullmatch(plain) else _shifted(plain, power)
    else:
        value = int(plain) if WHOLE.fullmatch(plain) else float(plain)
    return -value if negative else value


def _shifted(plain: str, power: int) -> float:
    """The float nearest to a number times a power of ten: 55% is the same as 0.55."""
    digits, _, exponent = plain.lower().partition("e")
    return float(f"{digits}e{int(exponent or 0) + power}")
