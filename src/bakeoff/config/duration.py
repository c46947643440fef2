"""Times as people write them: "90s", "30m", "1.5h", "50ms", and "none" for a budget without an end."""

import re

from bakeoff.core.errors import UsageError

__all__ = ["FOREVER", "NONE", "budget_seconds", "milliseconds", "pause_seconds", "retention_seconds", "seconds"]

NONE, FOREVER = "none", "forever"
SHORTEST_RETENTION_S = 3600
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """Seconds of a duration such as "90s", "30m", "1.5h" or "90d".

    Raises:
        UsageError: it is none, or not longer than nothing.

    >>> seconds("30m"), seconds("1.5h")
    (1800.0, 5400.0)
    """
    matched = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])", text.strip().lower())
    length_s = float(matched[1]) * UNITS[matched[2]] if matched else 0.0
    if not length_s:
        raise UsageError(f"expected a time with its unit, such as 90s, 30m, 2h or 90d; received {text!r}")
    return length_s


def budget_seconds(text: str) -> float:
    """The same, and infinity for "none".

    >>> budget_seconds("none")
    inf
    """
    return float("inf") if text.strip().lower() == NONE else seconds(text)


def retention_seconds(text: str) -> float:
    """Seconds of a time that is an hour or longer, and infinity for "forever".

    Raises:
        UsageError: it is none, or shorter.

    >>> retention_seconds("90d"), retention_seconds("forever")
    (7776000.0, inf)
    """
    if text.strip().lower() == FOREVER:
        return float("inf")
    length_s = seconds(text)
    if length_s < SHORTEST_RETENTION_S:
        raise UsageError(f'expected a time of an hour or longer, such as 90d, or "{FOREVER}"; received {text!r}')
    return length_s


def milliseconds(text: str) -> float:
    """Milliseconds of a short duration: "50ms", or one of `seconds`.

    Raises:
        UsageError: it is none, or not longer than nothing.

    >>> milliseconds("50ms"), milliseconds("1.5s")
    (50.0, 1500.0)
    """
    matched = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)ms", text.strip().lower())
    if matched and float(matched[1]):
        return float(matched[1])
    if matched or not re.fullmatch(r"[\d.]+s", text.strip().lower()):
        raise UsageError(f"expected a time such as 50ms or 0.2s, received {text!r}")
    return seconds(text) * 1000


def pause_seconds(text: str) -> float:
    """The same, and no time at all for "none".

    >>> pause_seconds("none"), pause_seconds("12h")
    (0.0, 43200.0)
    """
    return 0.0 if text.strip().lower() == NONE else seconds(text)
