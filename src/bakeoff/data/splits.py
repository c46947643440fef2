"""Train, validation and test rows: by content hash, by group or by time, the same for the same rows and seed.

A row's side follows from its content, not from its place: in a random split, adding or reordering rows
moves few others across, and identical rows never straddle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from bakeoff.core.config import SplitConfig
from bakeoff.core.errors import DataError
from bakeoff.core.types import Schema, Task
from bakeoff.data.periods import last_period
from bakeoff.data.snapshot import mix, row_hashes

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Split", "split"]

By: TypeAlias = Literal["random", "stratified", "group", "time"]
Rows: TypeAlias = "NDArray[np.int64]"
Share: TypeAlias = float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Row numbers (ascending) of each part, how they were chosen, and what a person should know of it."""

    train: Rows
    validation: Rows
    test: Rows
    by: By
    notes: tuple[str, ...] = ()


def split(table: "pl.DataFrame", schema: Schema, config: SplitConfig, task: Task, seed: int) -> Split:
    """Split the rows of a prepared table (no target missing).

    First the test rows are cut off, then validation rows in the same way from what is left.

    Raises:
        DataError: a part would be empty, or train or test would lack a class.
    """
    by = _resolve(config, schema, task)
    make = {"random": _by_content, "stratified": _by_content, "group": _by_group, "time": _by_time}[by]
    cut = make(table, schema, by, seed)
    rest = np.arange(table.height, dtype=np.int64)
    test = cut(rest, config.test)
    rest = np.setdiff1d(rest, test, assume_unique=True)
    validation = cut(rest, config.validation)
    train = np.setdiff1d(rest, validation, assume_unique=True)
    found = Split(train=train, validation=validation, test=test, by=by, notes=tuple(_notes(table, schema, by, test)))
    _check(found, table, schema, config, task)
    return found


def _resolve(config: SplitConfig, schema: Schema, task: Task) -> By:
    if config.by != "auto":
        return config.by
    if schema.time:
        return "time"
    if schema.group:
        return "group"
    return "stratified" if task == "classification" else "random"


Cut: TypeAlias = Callable[[Rows, Share], Rows]
"""Takes the rows left and how much to cut off; gives the rows cut off, ascending."""


def _keyed(hashes: "NDArray[np.uint64]", seed: int) -> "NDArray[np.uint64]":
    return mix(hashes ^ mix(np.full(1, seed, dtype=np.uint64)))


def _by_content(table: "pl.DataFrame", schema: Schema, by: By, seed: int) -> Cut:
    keys = _keyed(row_hashes(table.select(*schema.inputs, schema.target)), seed)
    strata = [np.arange(table.height, dtype=np.int64)]
    if by == "stratified":
        _, codes = np.unique(table[schema.target].cast(str).to_numpy(), return_inverse=True)
        strata = [np.flatnonzero(codes == code) for code in range(codes.max(initial=-1) + 1)]
    least = 1 if by == "stratified" else 0

    def cut(rest: Rows, share: Share) -> Rows:
        parts = [_lowest(np.intersect1d(rest, rows, assume_unique=True), keys, float(share), least) for rows in strata]
        return np.sort(np.concatenate(parts))

    return cut


def _by_group(table: "pl.DataFrame", schema: Schema, by: By, seed: int) -> Cut:
    import polars as pl

    assert by == "group"
    assert schema.group is not None
    group = table[schema.group]
    # A row without a group is a group of its own.
    alone = row_hashes(table.select(*schema.inputs, schema.target))
    together = row_hashes(pl.DataFrame({"group": group}))
    keys = _keyed(np.where(group.is_null().to_numpy(), alone, together), seed)
    return lambda rest, share: np.sort(_lowest(rest, keys, float(share), 0))


def _lowest(rows: Rows, keys: "NDArray[np.uint64]", share: float, least: int) -> Rows:
    """The share of rows with the lowest keys, cut at the nearest place where the key changes."""
    wanted = round(share * len(rows))
    if len(rows) > least:
        wanted = min(max(wanted, least), len(rows) - 1)
    order = rows[np.argsort(keys[rows], kind="stable")]
    ordered = keys[order]
    places = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(order)]))
    return order[: places[np.abs(places - wanted).argmin()]] if len(order) else order


def _by_time(table: "pl.DataFrame", schema: Schema, by: By, seed: int) -> Cut:
    del by, seed  # nothing is left to chance
    assert schema.time is not None
    time = table[schema.time]
    stamps = time.to_physical().fill_null(0).to_numpy()
    known = time.is_not_null().to_numpy()

    def cut(rest: Rows, share: Share) -> Rows:
        rows = rest[known[rest]]
        if not len(rows):
            return rows
        if isinstance(share, str):
            return rows[stamps[rows] >= last_period(int(stamps[rows].max()), share)]
        ordered = np.sort(stamps[rows])
        wanted = len(rows) - round(share * len(rest))
        places = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(ordered)]))
        place = places[np.abs(places - wanted).argmin()]
        return rows[stamps[rows] >= ordered[place]] if place < len(ordered) else rows[:0]

    return cut


def _notes(table: "pl.DataFrame", schema: Schema, by: By, test: Rows) -> "list[str]":
    if by == "time" and schema.time is not None and len(test):
        time = table[schema.time]
        notes = [f"test rows are those from {time.gather(test).min()} on"]
        if time.null_count():
            notes.append(f"{time.null_count():,} rows without a time went to train")
        return notes
    return []


def _together(by: By, table: "pl.DataFrame", schema: Schema) -> str:
    """What cannot be cut apart, and how many pieces there are."""
    column = {"time": schema.time, "group": schema.group}.get(by)
    if column is not None:
        return f"Rows of one {by} stay together, and {column!r} has {table[column].drop_nulls().n_unique():,} values."
    distinct = table.select(*schema.inputs, schema.target).n_unique()
    return f"Equal rows stay together, and {distinct:,} of {table.height:,} are distinct."


def _check(found: Split, table: "pl.DataFrame", schema: Schema, config: SplitConfig, task: Task) -> None:
    parts = {"train": found.train, "validation": found.validation, "test": found.test}
    sizes = ", ".join(f"{name} {len(rows):,}" for name, rows in parts.items())
    settings = f"[split] by = {found.by!r}, test = {config.test!r}, validation = {config.validation!r}"
    empty = [name for name, rows in parts.items() if not len(rows)]
    if empty:
        together = f" {_together(found.by, table, schema)}"
        hint = "Change the shares, or add rows."
        raise DataError(f"{settings}: expected rows in each part, found {sizes}.{together} {hint}")
    if task != "classification":
        return
    target = table[schema.target]
    classes = set(target.unique().to_list())
    for name in ("train", "test"):
        lacking = sorted(classes - set(target.gather(parts[name]).unique().to_list()))
        if lacking:
            raise DataError(
                f"{settings}: expected every class in {name} rows, found none of {', '.join(map(repr, lacking[:5]))} "
                f"({sizes}). Change the split, or drop such classes in [data] query."
            )
