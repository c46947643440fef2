"""What rows bring of a model's inputs: an input that is absent differs from one that is missing.

A row that lacks inputs while it has keys that nobody knows has misspelt them, most likely: answering it would be
answering another question. A row with no input at all asks nothing. Both are refused, with the nearest names. A row
that merely lacks some inputs is answered as if they were missing, and a value that was missing in no training row is
filled with the middle of those (see `bakeoff.families.features.columns`); both are counted and stand in the answer.
Further keys beside all inputs are ignored; those that no column of the training data has are counted.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.core.errors import DataError
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Column

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NO_GAPS", "Gaps", "Inputs", "OnUnknown"]

OnUnknown: TypeAlias = Literal["reject", "warn"]
SHOWN = 10
LONGEST = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """What a row lacks, and what it has too much, by name.

    `absent` are inputs without a key, `imputed` those without a value (absent ones too) that no training row lacked,
    `unseen` those with a category that no training row had, `unknown` the keys that are no column of the training data.
    """

    absent: tuple[str, ...] = ()
    imputed: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.absent or self.imputed or self.unseen or self.unknown)


NO_GAPS = Gaps()


class Inputs:
    """The inputs of a released model, to look at rows with.

    Args:
        columns: the model's inputs.
        aside: columns of the training data that are no inputs (the target, an id): known, and ignored.
        unknown: whether a row that lacks inputs and has unknown keys is refused, or answered and counted.
    """

    def __init__(
        self, columns: Sequence[Column], *, aside: Collection[str] = (), unknown: OnUnknown = "reject"
    ) -> None:
        parts = {column.name: column.format.vector or column.name for column in columns}
        self.names = tuple(dict.fromkeys(parts.values()))
        """What a row may call them; a vector is one."""
        self._parts: dict[str, set[str]] = {name: set[str]() for name in self.names}
        for name, whole in parts.items():
            self._parts[whole].add(name)
        self._inputs = frozenset(self.names)
        self._folded = {name.strip().casefold(): name for name in (*parts, *self.names)}
        self._known = self._inputs | frozenset(parts) | frozenset(aside)
        self._whole = {column.name: parts[column.name] for column in columns if column.fill is not None}
        self._categories = {c.name: frozenset(c.known) for c in columns if c.known is not None}
        self._unknown: OnUnknown = unknown

    def renamed(self, row: Mapping[str, object]) -> Mapping[str, object]:
        """The row with the inputs' own names: as in files, upper and lower case and blanks around them are the same."""
        if not isinstance(row, Mapping) or row.keys() <= self._known:  # pyright: ignore[reportUnnecessaryIsInstance] - comes from outside
            return row
        names = {name: self._folded.get(str(name).strip().casefold(), name) for name in row if name not in self._known}
        better = {name: to for name, to in names.items() if to not in row}
        if not better or len(set(better.values())) < len(better):
            return row
        return {better.get(name, name): value for name, value in row.items()}

    def of(self, names: Collection[object], where: str) -> Gaps:
        """What is absent and unknown when these are the keys of a row (or the columns of a file) called `where`.

        Raises:
            DataError: no input is there, or some are not while there are unknown keys, and such rows are refused.
        """
        given = frozenset(names)
        absent = {name for name in self._inputs - given if not self._parts[name] <= given}
        if not absent and given <= self._known:
            return NO_GAPS
        unknown = tuple(sorted(str(name)[:LONGEST] for name in given - self._known))
        lacking = tuple(name for name in self.names if name in absent)
        if absent and unknown and self._unknown == "reject":
            raise DataError(f"{where}: {self._misnamed(lacking, unknown)}")
        if len(absent) == len(self._inputs) and not unknown:
            raise DataError(
                f"{where}: expected values of the inputs {_listed(self.names)}, received none of them; "
                "a value that is not known is null"
            )
        return Gaps(absent=lacking, unknown=unknown)

    def of_rows(self, rows: Sequence[Mapping[str, object]]) -> list[Gaps]:
        """The same for rows, numbered from 1; what is no object is left to others to refuse."""
        return [
            self.of(row.keys(), f"row {number}") if isinstance(row, Mapping) else NO_GAPS  # pyright: ignore[reportUnnecessaryIsInstance] - comes from outside
            for number, row in enumerate(rows, start=1)
        ]

    def with_values(self, gaps: Sequence[Gaps], table: "pl.DataFrame") -> list[Gaps]:
        """With the values of the rows' table that no training row had: none where all had one, or another category."""
        series = dict(zip(table.columns, table.get_columns(), strict=True))
        missing = {name: series[name].is_null().to_list() for name in self._whole if series[name].null_count()}
        unseen: dict[str, list[bool]] = {}
        for name, known in self._categories.items():
            other_n = [value is not None and value not in known for value in series[name].to_list()]
            if any(other_n):
                unseen[name] = other_n
        if not missing and not unseen:
            return list(gaps)
        return [
            replace(
                each,
                imputed=tuple(dict.fromkeys(self._whole[name] for name, gap_n in missing.items() if gap_n[row])),
                unseen=tuple(name for name, other_n in unseen.items() if other_n[row]),
            )
            for row, each in enumerate(gaps)
        ]

    def of_stored(self, row: Mapping[str, object]) -> Gaps:
        """The same for the stored values of a row that has all inputs and no other keys."""
        gaps = None in row.values()
        imputed = [whole for name, whole in self._whole.items() if row[name] is None] if gaps else []
        unseen = self._categories and [
            name for name, known in self._categories.items() if (value := row[name]) is not None and value not in known
        ]
        if not imputed and not unseen:
            return NO_GAPS
        return Gaps(imputed=tuple(dict.fromkeys(imputed)), unseen=tuple(unseen))

    def _misnamed(self, lacking: Sequence[str], unknown: Sequence[str]) -> str:
        hints = {name: suggestion(name, lacking) for name in unknown[:SHOWN]}
        told = ", ".join(
            f"{name!r} ({hint[0].lower()}{hint[1:]})" if hint else repr(name) for name, hint in hints.items()
        )
        told += f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        return (
            f"expected the inputs {_listed(lacking)}, received none of them but unknown keys: {told}. "
            'Rename them (null where a value is not known), or set unknown = "warn" in [endpoint] to have such rows '
            "answered as if the inputs were missing"
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:SHOWN]))
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
