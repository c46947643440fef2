"""What a calendar and a clock say of times: how long ago, which day of the year, weekends, holidays, hours of a week.

All of it is worked out from the times alone by numpy, the same for one row as for a million; what a missing time gives
is missing.
"""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import CandidateError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["day_of_year", "days_of", "days_since", "holiday_days", "hour_of_week", "is_holiday", "is_weekend"]

Instants: TypeAlias = "NDArray[np.datetime64]"
_Floats: TypeAlias = NDArray[np.float64]
DAY_US = 86_400_000_000
MONDAY = np.datetime64("1970-01-05", "D")
SATURDAY = 5
YEARS_AHEAD = 10
"""Years after the last training row for which holidays are worked out."""
NAMES = np.array(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])


def days_of(span: "NDArray[np.timedelta64]") -> _Floats:
    """Spans of time in days; NaN where missing."""
    return span / np.timedelta64(DAY_US, "us")


def days_since(time_n: Instants, origin_us: float) -> _Floats:
    """Days since an origin, which is in microseconds since the epoch."""
    return (time_n - np.datetime64(int(origin_us), "us")) / np.timedelta64(DAY_US, "us")


def day_of_year(time_n: Instants) -> _Floats:
    """0.0 on the first of January, with the share of the day."""
    year_n: Instants = time_n.astype("datetime64[Y]")
    return days_of(np.subtract(time_n, year_n))


def is_weekend(time_n: Instants) -> _Floats:
    """1 on Saturday and Sunday."""
    return _flags(_weekday(time_n) >= SATURDAY, time_n)


def hour_of_week(time_n: Instants) -> list[str | None]:
    """The weekday and the hour, such as "Mon 08"; times without a time of day have their weekday's midnight."""
    missing_n = np.isnat(time_n)
    safe_n = np.where(missing_n, np.datetime64(0, "us"), time_n)
    hour_n = (safe_n.astype("datetime64[h]") - safe_n.astype("datetime64[D]")).astype(np.int64)
    names = NAMES[_weekday(safe_n).astype(np.int64)].tolist()
    return [
        None if gap else f"{name} {hour:02d}"
        for gap, name, hour in zip(missing_n.tolist(), names, hour_n.tolist(), strict=True)
    ]


def is_holiday(time_n: Instants, days: "Sequence[int]") -> _Floats:
    """1 on one of these days, which are counted from the epoch."""
    safe_n = np.where(np.isnat(time_n), np.datetime64(0, "us"), time_n)
    return _flags(np.isin(safe_n.astype("datetime64[D]").astype(np.int64), np.asarray(days, dtype=np.int64)), time_n)


def holiday_days(country: str, first_us: float, last_us: float) -> tuple[int, ...]:
    """The public holidays of a country (ISO 3166 code) from the year of the first time on, as days since the epoch.

    Raises:
        CandidateError: the package `holidays` is not installed, or does not know the country.
    """
    try:
        import holidays  # pyright: ignore[reportMissingImports] - an extra
    except ImportError as error:
        raise CandidateError(
            f"expected the package 'holidays' for [data] holidays = {country!r}, found none installed: "
            "pip install 'bakeoff[holidays]', or leave the setting out"
        ) from error
    first, last = (int(str(np.datetime64(int(us), "us").astype("datetime64[Y]"))) for us in (first_us, last_us))
    name, _, part = country.upper().partition("-")
    try:
        known = holidays.country_holidays(name, subdiv=part or None, years=range(first, last + YEARS_AHEAD + 1))
    except NotImplementedError as error:
        raise CandidateError(
            f"expected a country that the package 'holidays' knows for [data] holidays, such as 'US' or 'DE-BY', "
            f"received {country!r}"
        ) from error
    return tuple(sorted(int(np.datetime64(day, "D").astype(np.int64)) for day in known))


def _weekday(time_n: Instants) -> _Floats:
    return (time_n.astype("datetime64[D]") - MONDAY) / np.timedelta64(1, "D") % 7


def _flags(flag_n: "NDArray[np.bool_]", time_n: Instants) -> _Floats:
    return np.where(np.isnat(time_n), np.nan, flag_n.astype(np.float64))
