"""Which values are vectors: lists of numbers, all of one length."""

from collections.abc import Sequence

from bakeoff.core import narrow

__all__ = ["MOST_ELEMENTS", "is_vector"]

MOST_ELEMENTS = 4096


def is_vector(values: Sequence[object]) -> bool:
    """Whether all values (None aside) are lists of numbers of one length."""
    lengths: set[int] = set()
    for value in values:
        if value is None:
            continue
        if not narrow.is_array(value):
            return False
        lengths.add(len(value))
        if len(lengths) > 1 or not all(type(item) in {int, float, type(None)} for item in value):
            return False
    return len(lengths) == 1 and 0 < next(iter(lengths)) <= MOST_ELEMENTS
