"""What a value is, where a library or JSON types it more widely: checked as the program runs, not claimed.

Tables give `object` for a minimum or a mean, and decoded JSON gives `dict[Unknown, Unknown]` for an object.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeGuard

__all__ = [
    "is_array",
    "is_mapping",
    "is_object",
    "is_sequence",
    "json_array",
    "json_object",
    "moment",
    "number",
    "text",
    "texts",
    "whole",
]


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value of decoded JSON is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a value of decoded JSON is an array."""
    return isinstance(value, list)


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether a value is a list or a tuple."""
    return isinstance(value, list | tuple)


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value is a mapping, by names."""
    return isinstance(value, Mapping)


def json_object(value: object) -> Mapping[str, Any]:
    """An object of JSON.

    Raises:
        TypeError: it is none.
    """
    if is_mapping(value):
        return value
    raise TypeError(f"expected an object of JSON, received {value!r}")


def json_array(value: object) -> Sequence[Any]:
    """An array of JSON.

    Raises:
        TypeError: it is none.
    """
    if is_sequence(value):
        return value
    raise TypeError(f"expected an array of JSON, received {value!r}")


def number(value: object) -> float:
    """A number; whole ones stay whole.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, int | float):
        return value
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"expected a number, received {value!r}")


def whole(value: object) -> int:
    """A whole number.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, int):
        return value
    raise TypeError(f"expected a whole number, received {value!r}")


def moment(value: object) -> datetime:
    """A date with a time.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, datetime):
        return value
    raise TypeError(f"expected a date with a time, received {value!r}")


def text(value: object) -> str:
    """A text.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, str):
        return value
    raise TypeError(f"expected a text, received {value!r}")


def texts(value: object) -> list[str]:
    """A list of texts.

    Raises:
        TypeError: it is none, or holds something else.
    """
    return [text(item) for item in json_array(value)]
