"""One rule for the names of columns, whatever the format of the file.

Names are trimmed, also of byte order marks and blanks without width; a blank one becomes `column_3`; one that comes
again, or differs in case only, gets a number (`size`, `Size_2`), as SQL knows no case.
"""

from collections.abc import Sequence

from bakeoff.core.errors import DataError

__all__ = ["MAX_COLUMNS", "clean_names"]

MAX_COLUMNS = 10_000
INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"
SHOWN = 5


def clean_names(raw: Sequence[str], *, file: str) -> tuple[list[str], tuple[str, ...]]:
    """The names of columns by the rule, and a note when that changed more than blanks around them.

    >>> clean_names(["a", " b ", "", "A"], file="rows.csv")[0]
    ['a', 'b', 'column_3', 'A_2']

    Raises:
        DataError: there are too many columns.
    """
    if len(raw) > MAX_COLUMNS:
        raise DataError(
            f"{file}: expected at most {MAX_COLUMNS:,} columns, found {len(raw):,}. Keep those that matter, or store "
            "long vectors as lists in a Parquet file."
        )
    wanted = [name.strip().strip(INVISIBLE).strip() for name in raw]
    taken = {name.casefold() for name in wanted}
    names: list[str] = []
    seen: set[str] = set()
    changed: list[str] = []
    for place, name in enumerate(wanted, start=1):
        final = name or _free("column", place, taken)
        if final.casefold() in seen:
            final = _free(final, 2, taken | seen)
        if final != name:
            changed.append(f"{name!r} (column {place}) as {final!r}")
        seen.add(final.casefold())
        names.append(final)
    more = f" and {len(changed) - SHOWN:,} more" if len(changed) > SHOWN else ""
    note = f"{file}: blank and repeated column names are read otherwise: {', '.join(changed[:SHOWN])}{more}"
    return names, (note,) if changed else ()


def _free(stem: str, number: int, taken: set[str]) -> str:
    while f"{stem}_{number}".casefold() in taken:
        number += 1
    return f"{stem}_{number}"
