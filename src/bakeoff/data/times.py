"""Times, dates, times of day and durations as people write them.

One rule for zones: a time with an offset or a zone is turned to UTC; one without stays as it is written. Two digits
of a year mean 1969 to 2068 (as POSIX has it). A time that a change of the clocks makes twice is the first of the two.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from bakeoff.core.types import DateOrder
from bakeoff.data.months import MONTH, WEEKDAYS, bare_word

__all__ = ["day_and_month", "has_zone", "is_open_date", "moment", "seconds", "unknown_month", "wall"]

ABBREVIATIONS = {
    "Z": 0, "UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "BST": 1, "JST": 9,
}  # fmt: skip
"""Hours from UTC: the names of RFC 2822 and those of Europe and Japan."""
WEEKDAY = r"(?:(?P<weekday>[^\W\d_]{2,12}(?:-feira)?)(?:[.,]{1,2}\s*|\s+))?"
NAME = r"(?P<name>[^\W\d_]{3,12})\.?"
YEAR = r"(?P<year>[0-9]{4}|[0-9]{2})"
DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|\.)?"
CLOCK = r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?)?"
HALF = r"\s*(?P<half>[ap]\.?m\.?)?"
ZONE = r"\s*(?P<zone>z|(?:utc|gmt)?[+-][0-9]{2}(?::?[0-9]{2})?|[a-z]{1,4}|[a-z_]+(?:/[a-z_+-]+){1,2})?(?:\s*\([^)]*\))?"
TIME = (
    rf"(?:\s?(?:г|r|р|roku)\.?)?(?:[t\s,:]+(?:(?:um|à|a|at|kl|o|alle|om|às|в)\.?\s+)?{CLOCK}{HALF}(?:\s?uhr)?{ZONE})?"
)
"""Behind a date: what calls it a year, and a clock."""
DATES = (
    rf"(?P<year>[0-9]{{4}})(?P<mark>[-/.])(?P<month>[0-9]{{1,2}})(?P=mark)(?P<day>[0-9]{{1,2}}){TIME}",
    rf"(?P<first>[0-9]{{1,2}})(?P<mark>[-/. ])(?P<second_>[0-9]{{1,2}})(?P=mark){YEAR}{TIME}",
    rf"{DAY}[-/\s]?\s?(?:(?:de|del|di|of)\s)?{NAME}[-/,\s]?\s?(?:(?:de|del|di|of)\s)?{YEAR}{TIME}",
    rf"{NAME}[-/\s]{DAY}[-/,\s]\s?{YEAR}{TIME}",
    rf"(?P<year>[0-9]{{4}})[-/\s]{NAME}[-/\s]{DAY}{TIME}",
    rf"{NAME}\s+{DAY}\s+{CLOCK}{HALF}\s+(?:(?P<zone>[a-z]{{1,4}})\s+)?(?P<year>[0-9]{{4}})",
)
EASTERN = re.compile(r"([0-9]{4})\s?[年년]\s?([0-9]{1,2})\s?[月월]\s?([0-9]{1,2})\s?[日일]")
COMPACT = re.compile(r"([0-9]{8})([0-9]{4}|[0-9]{6})?(?:\.0)?")
DIGITS = re.compile(
    rf"{WEEKDAY}(?P<first>[0-9]{{1,2}})(?P<mark>[-/. ])(?P<second>[0-9]{{1,2}})(?P=mark)"
    r"(?:[0-9]{4}|[0-9]{2})(?![0-9])",
    re.IGNORECASE,
)
LONGEST = 80
PIVOT = 69
MONTHS = 12


def moment(text: str, order: DateOrder) -> datetime:
    """The time that a text tells, without a zone: in UTC when the text has one.

    >>> moment("2024-05-01T12:00:00+02:00", "ymd")
    datetime.datetime(2024, 5, 1, 10, 0)
    >>> moment("31.12.24 9:30 pm", "dmy")
    datetime.datetime(2024, 12, 31, 21, 30)

    Raises:
        ValueError: it tells none in this order.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise ValueError(text[:20])
    if compact := COMPACT.fullmatch(text):
        text = compact[1] + (f"T{compact[2]}" if compact[2] else "")
    if compact or "-" in text[4:5]:
        try:
            return wall(datetime.fromisoformat(text))
        except ValueError:
            pass
    parts = _parts(EASTERN.sub(r"\1-\2-\3", text))
    year, month, day = _date(parts, order)
    hour, minute = int(parts.get("hour") or 0), int(parts.get("minute") or 0)
    half = (parts.get("half") or "").lower()
    if half:
        if not 1 <= hour <= 12:  # noqa: PLR2004
            raise ValueError(text)
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    elif parts.get("hour") and parts.get("minute") is None:
        raise ValueError(text)
    microsecond = int((parts.get("fraction") or "0").ljust(6, "0")[:6])
    next_day = hour == 24 and not minute  # noqa: PLR2004 - midnight at the end of a day
    clock = time(0 if next_day else hour, minute, int(parts.get("second") or 0), microsecond)
    plain = datetime.combine(date(year, month, day), clock) + timedelta(days=next_day)
    zone = parts.get("zone")
    return wall(plain.replace(tzinfo=_zone(zone))) if zone else plain


def wall(value: datetime) -> datetime:
    """A time as it is stored: UTC without a zone; one without a zone as it is."""
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Made when a text is read that may be a date: it takes longer than all else that is imported with this."""
    return tuple(re.compile(f"{WEEKDAY}{pattern}", re.IGNORECASE) for pattern in DATES)


def _parts(text: str) -> dict[str, str | None]:
    for pattern in _patterns():
        match = pattern.fullmatch(text)
        if match and (match["weekday"] is None or bare_word(match["weekday"]) in WEEKDAYS):
            return match.groupdict()
    raise ValueError(text)


def _date(parts: dict[str, str | None], order: DateOrder) -> tuple[int, int, int]:
    year = int(parts["year"] or 0)
    if len(parts["year"] or "") == 2:  # noqa: PLR2004
        year += 1900 if year >= PIVOT else 2000
    if parts.get("first") is not None:
        first, second = int(parts["first"] or 0), int(parts["second_"] or 0)
        if order == "ymd":
            raise ValueError("day or month first?")
        return (year, second, first) if order == "dmy" else (year, first, second)
    if parts.get("name") is not None:
        number = MONTH.get(bare_word(str(parts["name"])))
        if number is None:
            raise ValueError(parts["name"])
        return year, number, int(parts["day"] or 0)
    return year, int(parts["month"] or 0), int(parts["day"] or 0)


@lru_cache(maxsize=1024)
def _zone(name: str) -> timezone | ZoneInfo:
    if name.upper() in ABBREVIATIONS:
        return timezone(timedelta(hours=ABBREVIATIONS[name.upper()]))
    digits = re.fullmatch(r"(?:utc|gmt)?([+-])([0-9]{2}):?([0-9]{2})?", name, re.IGNORECASE)
    if digits:
        offset = timedelta(hours=int(digits[2]), minutes=int(digits[3] or 0))
        return timezone(-offset if digits[1] == "-" else offset)
    if "/" not in name:
        raise ValueError(name)
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(name) from None


def day_and_month(text: str) -> tuple[int, int, str] | None:
    """The first two numbers of a date whose order its digits leave open, and the mark between them."""
    match = DIGITS.match(text.strip())
    return (int(match["first"]), int(match["second"]), match["mark"]) if match else None


def is_open_date(text: str) -> bool:
    """Whether a date could have the days or the months first, and mean two days.

    >>> is_open_date("01/02/2024"), is_open_date("13/02/2024"), is_open_date("02/02/2024")
    (True, False, False)
    """
    pair = day_and_month(text)
    return pair is not None and max(pair[:2]) <= MONTHS and pair[0] != pair[1]


OFFSET = re.compile(
    r"(?:z|[0-9]\s*(?:utc|gmt)?[+-][0-9]{2}(?::?[0-9]{2})?|\s[a-z]{3,4}(?:\s+[0-9]{4})?|[a-z]+/[a-z_/+-]+)(?:\s*\(.*)?",
    re.IGNORECASE,
)


NAMED = re.compile(
    r"(?:[^\W\d_]+[.,]?\s+)?[0-9]{1,2}[-/.\s]+(?P<name>[^\s\d/,_-]{3,14}?)\.?[-/.,\s]+[0-9]{2,4}(?:\s.*)?"
)


def unknown_month(text: str) -> str | None:
    """The word that stands in a text where a date has its month, when it names none that is known.

    >>> unknown_month("12 Machi 2024"), unknown_month("12 March 2024"), unknown_month("12 of them")
    ('Machi', None, None)
    """
    match = NAMED.fullmatch(text.strip())
    return match["name"] if match and bare_word(match["name"]) not in MONTH else None


def has_zone(text: str) -> bool:
    """Whether a text that is a time names an offset or a zone."""
    rest = text.strip()
    rest = rest[:-3].rstrip() if rest[-3:].lower() == "uhr" else rest
    colon = rest.find(":")
    return colon > 0 and re.search(rf"(?:{OFFSET.pattern})$", rest[colon:], re.IGNORECASE) is not None


CLOCK_OF_DAY = re.compile(rf"(?P<sign>-)?{CLOCK}{HALF}", re.IGNORECASE)
LONG_CLOCK = re.compile(
    r"(?P<sign>[-+])?(?P<hour>[0-9]{1,6}):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9])(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
)
WORDS = re.compile(
    r"(?P<sign>-)?(?:(?P<weeks>[0-9]+(?:\.[0-9]+)?)\s*(?:w|wks?|weeks?))?[,\s]*"
    r"(?:(?P<days>[0-9]+(?:\.[0-9]+)?)\s*(?:d|days?|Tage?n?|jours?))?[,\s]*"
    r"(?:(?P<hours>[0-9]+(?:\.[0-9]+)?)\s*(?:h|hrs?|hours?|Std\.?|Stunden?))?[,\s]*"
    r"(?:(?P<minutes>[0-9]+(?:\.[0-9]+)?)\s*(?:m|mins?\.?|minutes?|Minuten?))?[,\s]*"
    r"(?:(?P<seconds>[0-9]+(?:\.[0-9]+)?)\s*(?:s|secs?|seconds?|Sek\.?|Sekunden?))?",
    re.IGNORECASE,
)
ISO = re.compile(
    r"(?P<sign>-)?P(?:(?P<weeks>[0-9]+(?:[.,][0-9]+)?)W)?(?:(?P<days>[0-9]+(?:[.,][0-9]+)?)D)?"
    r"(?:T(?:(?P<hours>[0-9]+(?:[.,][0-9]+)?)H)?(?:(?P<minutes>[0-9]+(?:[.,][0-9]+)?)M)?(?:(?P<seconds>[0-9]+(?:[.,][0-9]+)?)S)?)?",
    re.IGNORECASE,
)
WITH_DAYS = re.compile(
    r"(?P<sign>-)?(?P<days>[0-9]+)\s*(?:d|days?),?\s+(?P<clock>[-+]?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)",
    re.IGNORECASE,
)
UNIT_SECONDS = {"weeks": 604_800, "days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}


def seconds(text: str) -> float:
    """The seconds of a duration, or of a time of day since midnight.

    >>> seconds("1:30:00"), seconds("PT5M"), seconds("2 days"), seconds("9:30 pm")
    (5400.0, 300.0, 172800.0, 77400.0)

    Raises:
        ValueError: it is neither.
    """
    text = text.strip()
    if len(text) > LONGEST or not text:
        raise ValueError(text[:20])
    if match := LONG_CLOCK.fullmatch(text):
        return _signed(match, _clock_seconds(match))
    if (match := CLOCK_OF_DAY.fullmatch(text)) and match["half"]:
        hour = int(match["hour"])
        if not 1 <= hour <= 12:  # noqa: PLR2004
            raise ValueError(text)
        shift = (12 if match["half"].lower().startswith("p") else 0) + hour % 12 - hour
        return _clock_seconds(match) + 3600.0 * shift
    if match := WITH_DAYS.fullmatch(text):
        return _signed(match, int(match["days"]) * 86_400.0) + seconds(match["clock"])
    for pattern in (ISO, WORDS):
        match = pattern.fullmatch(text)
        amounts = {unit: match[unit] for unit in UNIT_SECONDS if match[unit]} if match else {}
        if match and amounts and (set(amounts) != {"minutes"} or pattern is ISO or "mi" in text.lower()):
            return _signed(match, sum(float(a.replace(",", ".")) * UNIT_SECONDS[unit] for unit, a in amounts.items()))
    raise ValueError(text)


def _clock_seconds(match: re.Match[str]) -> float:
    minute, second = int(match["minute"] or 0), int(match["second"] or 0)
    if minute > 59 or second > 59:  # noqa: PLR2004
        raise ValueError(match[0])
    whole = int(match["hour"]) * 3600 + minute * 60 + second
    return float(f"{whole}.{match['fraction']}") if match["fraction"] else float(whole)


def _signed(match: re.Match[str], value: float) -> float:
    return -value if match["sign"] == "-" else value
