"""Records of delimited text, their cells of any length."""

import csv
from collections.abc import Iterable, Iterator
from typing import Protocol

__all__ = ["CellRecords", "records_of"]

ANY_LENGTH = 2**31 - 1


class CellRecords(Iterator[list[str]], Protocol):
    """Records one by one."""

    @property
    def line_num(self) -> int:
        """How many lines were read so far."""
        ...


def records_of(lines: Iterable[str], *, delimiter: str, escaped: bool = False, strict: bool = False) -> CellRecords:
    r"""Each record's cells.

    Args:
        lines: Lines with their ends.
        delimiter: One character.
        escaped: Whether quotes inside quotes are written \" instead of "".
        strict: Whether quotes out of place are an error.

    Raises:
        csv.Error: While records are taken: quotes out of place, if strict.
    """
    # The reader's limit belongs to the whole process: it is only ever raised, and to one value, so that no thread
    # and no later reader of another library meets the limit of a file that is long done.
    csv.field_size_limit(max(csv.field_size_limit(), ANY_LENGTH))
    return csv.reader(
        lines, delimiter=delimiter, doublequote=not escaped, escapechar="\\" if escaped else None, strict=strict
    )
