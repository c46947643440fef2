"""What a split must have, and what it lacks: empty parts stop it, classes that lack in a part are told."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.errors import DataError
from bakeoff.core.types import Schema, Task
from bakeoff.data.split_units import By

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.data.splits import Split

__all__ = ["check", "lacking", "lacking_in_folds"]

SHOWN = 5


def _together(by: By, table: "pl.DataFrame", schema: Schema, near_n: "NDArray[np.int64] | None") -> str:
    """What cannot be cut apart, and how many pieces there are."""
    column = {"time": schema.time, "group": schema.group}.get(by)
    if column is not None:
        told = f"Rows of one {by} stay together, and {column!r} has {table[column].drop_nulls().n_unique():,} values."
    else:
        distinct = table.select(*schema.inputs, schema.target).n_unique()
        told = f"Equal rows stay together, and {distinct:,} of {table.height:,} are distinct."
    if near_n is None:
        return told
    _, rows_g = np.unique(near_n, return_counts=True)
    return (
        f"{told} Near-duplicates {'are left out of later parts' if by == 'time' else 'stay together'}, too: "
        f"the largest group has {rows_g.max():,} rows ([split] near_duplicates = 0 parts them)."
    )


def check(
    found: "Split",
    table: "pl.DataFrame",
    schema: Schema,
    task: Task,
    *,
    settings: str,
    near_n: "NDArray[np.int64] | None",
) -> None:
    """Refuse an empty part, and train rows of one class, of which nothing can be learned."""
    parts = {"train": found.train, "validation": found.validation, "test": found.test}
    sizes = ", ".join(f"{name} {len(rows):,}" for name, rows in parts.items())
    if not all(len(rows) for rows in parts.values()):
        together = _together(found.by, table, schema, near_n)
        raise DataError(
            f"{settings}: expected rows in each part, found {sizes}. {together} Change the split, or add rows."
        )
    if task != "classification":
        return
    classes = table[schema.target].gather(found.train).unique().to_list()
    if len(classes) < 2:  # noqa: PLR2004
        together = _together(found.by, table, schema, near_n)
        raise DataError(
            f"{settings}: expected at least two classes in train rows, found only {classes[0]!r} ({sizes}). "
            f"{together} Change the split, or add rows of other classes."
        )


def lacking(found: "Split", target: "pl.Series") -> "list[str]":
    """Classes that candidates cannot learn, and those that cannot be tested, in words."""
    learned = set(target.gather(np.concatenate([found.train, found.validation])).to_list())
    tested = target.gather(found.test)
    unknown = tested.filter(~tested.is_in(list(learned)))
    warnings: list[str] = []
    if len(unknown):
        warnings.append(
            f"no candidate can answer {_named(unknown.unique().to_list())}: all its rows are test rows, and its "
            f"{len(unknown):,} rows count as wrong. Move the split, add rows, or drop such classes in [data] query"
        )
    nowhere = set(target.to_list()) - learned - set(tested.to_list())
    if nowhere:
        rows = target.is_in(list(nowhere)).sum()
        warnings.append(
            f"{_named(nowhere)} is left out: its {rows:,} rows are near-duplicates of earlier ones "
            "([split] near_duplicates = 0 keeps them)"
        )
    untested = learned - set(tested.to_list())
    if untested:
        rows = target.is_in(list(untested)).sum()
        warnings.append(
            f"nothing is known of how well {_named(untested)} is answered: none of its {rows:,} rows is a test row; "
            "means over classes leave it out. Move the split or add rows to test it"
        )
    return warnings


def lacking_in_folds(splits: "Sequence[Split]", target: "pl.Series") -> "list[str]":
    """Classes whose rows all stand in one fold, so that no candidate that they test has learned them."""
    classes = set(target.unique().to_list())
    unknown: set[str] = set()
    for found in splits:
        unknown |= classes - set(target.gather(np.concatenate([found.train, found.validation])).to_list())
    if not unknown:
        return []
    warning = (
        f"{_named(unknown)} is tested on candidates that do not know it: all its rows stand in one fold, and count as "
        "wrong. Change [split], add rows, or drop such classes in [data] query"
    )
    return [warning]


def _named(classes: Iterable[str]) -> str:
    names = sorted(map(str, classes))
    shown = ", ".join(map(repr, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")
    return f"class {shown}" if len(names) == 1 else f"each of the {len(names)} classes {shown}"
