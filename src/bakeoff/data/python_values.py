"""Single values as Python programs hold them, as plain ones that JSON, the log and the conversion of columns take."""

from datetime import date, datetime, time, timedelta
from enum import Enum

from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.data.values import plain

__all__ = ["plain_value"]

PLAIN = (str, bool, int, float, datetime, date, time, timedelta, list, dict)


def plain_value(value: object, name: str, row: int) -> object:
    """A value of the standard library, numpy, pandas or Arrow as a plain one; None when it means "no value".

    Raises:
        DataError: it is none that a table can hold; names the row (from 1) and the column.

    >>> import numpy as np
    >>> plain_value(np.float32(0.5), "x", 1), plain_value(np.datetime64("NaT"), "x", 1)
    (0.5, None)
    """
    if value is None or type(value) in {str, bool, int}:
        return value
    try:
        result = plain(value.value if isinstance(value, Enum) else value)
    except (ValueError, TypeError, OverflowError):
        result = value
    if narrow.is_array(result):
        return [plain_value(each, name, row) for each in result]
    if result is not None and not isinstance(result, PLAIN):
        raise DataError(
            f"row {row}, column {name!r}: expected a text, number, boolean, time or list of them, "
            f"received {value!r:.80} ({type(value).__name__})"
        )
    return _own(result)


def _own(value: object) -> object:
    """Values of classes that are made from Python's own (numpy's, pandas') as Python's own, which JSON takes."""
    if isinstance(value, datetime) and type(value) is not datetime:
        day = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
        return datetime(*day, tzinfo=value.tzinfo, fold=value.fold)
    if isinstance(value, timedelta) and type(value) is not timedelta:
        return timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)
    for kind in (str, int, float):
        if isinstance(value, kind) and type(value) not in {kind, bool}:
            return kind(value)
    return value
