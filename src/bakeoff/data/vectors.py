"""Which values are vectors: lists of numbers, all of one length."""

from collections.abc import Sequence
from typing import cast

__all__ = ["MOST_ELEMENTS", "is_vector"]

MOST_ELEMENTS = 4096


def is_vector(values: Sequence[object]) -> bool:
    """Whether all values (None aside) are lists of numbers of one length."""
    lengths: set[int] = set()
    for value in values:
        if value is None:
            continue
        if not isinstance(value, list):
            return False
        items = cast("list[object]", value)
        lengths.add(len(items))
        if len(lengths) > 1 or not all(type(item) in {int, float, type(None)} for item in items):
            return False
    return len(lengths) == 1 and 0 < next(iter(lengths)) <= MOST_ELEMENTS
