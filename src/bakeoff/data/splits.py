"""Train, validation and test rows: by content hash, by group or by time, the same for the same rows and seed.

A row's side follows from its content, not from its place: in a random split, adding or reordering rows
moves few others across. What belongs together stands on one side: equal rows, rows of one group, and rows that
the caller calls near-duplicates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bakeoff.core.errors import DataError
from bakeoff.core.types import Schema, Task
from bakeoff.data.periods import last_period
from bakeoff.data.snapshot import mix
from bakeoff.data.split_checks import check, lacking, lacking_in_folds
from bakeoff.data.split_units import By, strata, units

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.config.sections import SplitConfig

__all__ = ["AUTO_FOLDS", "AUTO_REPEATS", "FEW_ROWS", "By", "Cut", "Rows", "Split", "cutting", "folds_of", "k_fold"]
__all__ += ["repeats_of", "split"]

Rows: TypeAlias = "NDArray[np.int64]"
Share: TypeAlias = float | str
FEW_ROWS, AUTO_FOLDS, LEAST_UNITS = 2000, 5, 25
"""Below so many rows, so many folds are the default, where there are so many rows (or groups) to deal out."""
AUTO_REPEATS, FEW_CELLS = 3, 5_000
"""So often few rows are dealt by default, if they have no more cells: 442 rows x 10 take .7 s more then, of 6.5,
and 569 x 30 would take 4.8 s more, of 7.7."""


def _no_rows() -> Rows:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Row numbers (ascending) of each part, how they were chosen, and what a person should know of it.

    `warnings` name the classes that lack in a part: nothing stops for them, but what is said of them is less sure.
    `left_out` are rows of no part: near-duplicates of earlier rows, when the split is by time. `parted` counts the
    groups of near-duplicates that would stand on several sides if they were not looked at.
    """

    train: Rows
    validation: Rows
    test: Rows
    by: By
    left_out: Rows = field(default_factory=_no_rows)
    parted: int = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def split(
    table: "pl.DataFrame",
    schema: Schema,
    config: "SplitConfig",
    task: Task,
    seed: int,
    *,
    near_n: "NDArray[np.int64] | None" = None,
) -> Split:
    """Split the rows of a prepared table (no target missing).

    First the test rows are cut off, then validation rows in the same way from what is left.

    Args:
        table: the rows.
        schema: its columns.
        config: how to split; `folds` is `k_fold`'s.
        task: classification asks for two classes in train, and tells of those that lack in a part.
        seed: moves rows across.
        near_n: a number for each row (`bakeoff.prepare.checks.near_duplicates`): rows with the same one stay together.
            By time, where later rows cannot move, those that have one in an earlier part are left out.

    Raises:
        DataError: a part would be empty, or train would have one class only.
    """
    by = _resolve(config, schema, task)
    near_n = _of_several(near_n)
    parts = _parts(cutting(table, schema, by, seed, near_n=near_n), table.height, config, by)
    if near_n is not None:
        plain = parts if by == "time" else _parts(cutting(table, schema, by, seed), table.height, config, by)
        parts = replace(parts, parted=_parted(near_n, [plain.train, plain.validation, plain.test]))
        if by == "time":
            parts = _without_copies(parts, near_n)
    settings = f"[split] by = {by!r}, test = {config.test!r}, validation = {config.validation!r}"
    check(parts, table, schema, task, settings=settings, near_n=near_n)
    warnings = tuple(lacking(parts, table[schema.target])) if task == "classification" else ()
    return replace(parts, notes=tuple(_notes(table, schema, parts)), warnings=warnings)


def k_fold(
    table: "pl.DataFrame",
    schema: Schema,
    config: "SplitConfig",
    task: Task,
    seed: int,
    *,
    folds: int,
    near_n: "NDArray[np.int64] | None" = None,
) -> tuple[Split, ...]:
    """So many splits; every row is a test row of exactly one.

    Validation rows are cut from each split's other rows. Arguments are those of `split`. What stays together is
    dealt out by size to the fold with the fewest rows (of its class, when stratified), so that one large group
    fills a fold and does not empty others. The first split's warnings are of all folds.

    Raises:
        DataError: by time, which has no folds; a part would be empty, or train rows would have one class only.
    """
    by = _resolve(config, schema, task)
    if by == "time":
        raise DataError(
            "expected a split by random, stratified or group for folds, received by = 'time': early rows cannot be "
            'tested with later ones. Leave out folds and say test = "1mo" or another duration.'
        )
    near_n = _of_several(near_n)
    keys, class_n = units(table, schema, by, seed, near_n=near_n)
    fold_n = _dealt(keys, class_n, folds)
    parted = 0
    if near_n is not None:
        plain_n = _dealt(*units(table, schema, by, seed), folds)
        parted = _parted(near_n, [np.flatnonzero(plain_n == fold) for fold in range(folds)])
    splits: list[Split] = []
    for fold in range(folds):
        test = np.flatnonzero(fold_n == fold)
        rest = np.flatnonzero(fold_n != fold)
        # With keys of each fold's own, validation rows are not the same ones in all folds.
        cut = _cutting_units(mix(keys ^ np.uint64(fold + 1)), class_n, least=int(by == "stratified"))
        validation = cut(rest, config.validation)
        train = np.setdiff1d(rest, validation, assume_unique=True)
        splits.append(Split(train=train, validation=validation, test=test, by=by, parted=parted))
    for fold, found in enumerate(splits):
        settings = f"[split] by = {by!r}, validation = {config.validation!r}, fold {fold + 1} of {folds}"
        check(found, table, schema, task, settings=settings, near_n=near_n)
    if task == "classification":
        splits[0] = replace(splits[0], warnings=tuple(lacking_in_folds(splits, table[schema.target])))
    return tuple(splits)


def folds_of(config: "SplitConfig", table: "pl.DataFrame", schema: Schema, task: Task) -> int:
    """In how many folds the rows of a prepared table are tested; 0: in one test part.

    Where the project leaves it open, few rows are tested by folds: of n rows in k folds the interval of a mean is
    sqrt((1 + k / (k - 1)) · share) times as wide as that of one test part with this share of the rows, which is two
    thirds for five folds and a fifth of the rows. More folds narrow it by a few per cent more (0.65 for ten), and take
    as many fits.
    """
    if config.folds != "auto":
        return config.folds
    by = _resolve(config, schema, task)
    if by == "time" or task == "generation" or "test" in config.model_fields_set or table.height >= FEW_ROWS:
        return 0
    units_there = table[schema.group].n_unique() if by == "group" and schema.group else table.height
    return AUTO_FOLDS if units_there >= LEAST_UNITS else 0


def repeats_of(config: "SplitConfig", table: "pl.DataFrame", schema: Schema, *, quick: bool) -> int:
    """How many times the rows of a prepared table are dealt into folds.

    Where the project leaves it open, few rows whose fits are `quick` are dealt several times: an interval is then
    sqrt((1 / r + k / (k - 1)) / (1 + k / (k - 1))) times as wide, .84 for three times five folds.
    """
    if config.repeats != "auto":
        return config.repeats
    texts = any(column.kind == "text" for column in schema.input_columns)
    few = table.height < FEW_ROWS and table.height * len(schema.inputs) <= FEW_CELLS
    return AUTO_REPEATS if quick and few and not texts else 1


def _resolve(config: "SplitConfig", schema: Schema, task: Task) -> By:
    if config.by != "auto":
        return config.by
    if schema.time:
        return "time"
    if schema.group:
        return "group"
    return "stratified" if task == "classification" else "random"


Cut: TypeAlias = Callable[[Rows, Share], Rows]
"""Takes the rows left and how much to cut off; gives the rows cut off, ascending."""


def cutting(table: "pl.DataFrame", schema: Schema, by: By, seed: int, near_n: "NDArray[np.int64] | None" = None) -> Cut:
    """How rows of a table are cut off in this way; near-duplicates stay together, unless it is by time."""
    if by == "time":
        return _by_time(table, schema)
    keys, class_n = units(table, schema, by, seed, near_n=near_n)
    return _cutting_units(keys, class_n, least=int(by == "stratified"))


def _parts(cut: Cut, rows: int, config: "SplitConfig", by: By) -> Split:
    rest = np.arange(rows, dtype=np.int64)
    test = cut(rest, config.test)
    rest = np.setdiff1d(rest, test, assume_unique=True)
    validation = cut(rest, config.validation)
    train = np.setdiff1d(rest, validation, assume_unique=True)
    return Split(train=train, validation=validation, test=test, by=by)


def _of_several(near_n: "NDArray[np.int64] | None") -> "NDArray[np.int64] | None":
    """The groups, or None when each is of one row."""
    return None if near_n is None or len(np.unique(near_n)) == len(near_n) else near_n


def _parted(near_n: "NDArray[np.int64]", parts: Sequence[Rows]) -> int:
    """How many groups have rows in several parts."""
    _, times = np.unique(np.concatenate([np.unique(near_n[rows]) for rows in parts]), return_counts=True)
    return int((times > 1).sum())


def _without_copies(parts: Split, near_n: "NDArray[np.int64]") -> Split:
    """Leave later near-duplicates out: training rows from after a cut, or fewer of the past, would both mislead."""
    before_test = near_n[np.concatenate([parts.train, parts.validation])]
    copied = np.isin(near_n[parts.validation], near_n[parts.train])
    copied_test = np.isin(near_n[parts.test], before_test)
    return replace(
        parts,
        validation=parts.validation[~copied],
        test=parts.test[~copied_test],
        left_out=np.concatenate([parts.validation[copied], parts.test[copied_test]]),
    )


def _cutting_units(keys: "NDArray[np.uint64]", class_n: "NDArray[np.int64]", *, least: int) -> Cut:
    stratum_n = strata(keys, class_n)
    parted = [np.flatnonzero(stratum_n == stratum) for stratum in np.unique(stratum_n)]

    def cut(rest: Rows, share: Share) -> Rows:
        parts = [_lowest(np.intersect1d(rest, rows, assume_unique=True), keys, float(share), least) for rows in parted]
        return np.sort(np.concatenate([_no_rows(), *parts]))

    return cut


def _lowest(rows: Rows, keys: "NDArray[np.uint64]", share: float, least: int) -> Rows:
    """The share of rows with the lowest keys, cut at the nearest place where the key changes.

    Rows of one key that are more than what is wanted come last: one large group is not cut off for a small part.
    """
    wanted = round(share * len(rows))
    if len(rows) > least:
        wanted = min(max(wanted, least), len(rows) - 1)
    _, unit_n, rows_u = np.unique(keys[rows], return_inverse=True, return_counts=True)
    order = rows[np.lexsort((keys[rows], rows_u[unit_n] > max(wanted, 1)))]
    ordered = keys[order]
    places = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(order)]))
    return order[: places[np.abs(places - wanted).argmin()]] if len(order) else order


def _dealt(keys: "NDArray[np.uint64]", class_n: "NDArray[np.int64]", folds: int) -> "NDArray[np.int64]":
    """A fold for each row; rows of one key get the same one."""
    _, first_u, unit_n, rows_u = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    stratum_u = strata(keys, class_n)[first_u]
    classes = int(class_n.max(initial=0)) + 1
    rows_in = _classes_of(unit_n, class_n, classes)
    fold_u = np.zeros(len(rows_u), dtype=np.int64)
    total, dealt = [0] * folds, [[0] * classes for _ in range(folds)]
    for unit in np.lexsort((np.arange(len(rows_u)), -rows_u, stratum_u)).tolist():  # units are in the order of keys
        its = stratum_u[unit]
        fold = min(range(folds), key=lambda k: (dealt[k][its], total[k]))
        fold_u[unit] = fold
        for each, rows in rows_in[unit]:
            dealt[fold][each] += rows
            total[fold] += rows
    return fold_u[unit_n]


def _classes_of(unit_n: "NDArray[np.int64]", class_n: "NDArray[np.int64]", classes: int) -> list[list[tuple[int, int]]]:
    """For each unit, its classes and how many rows each has."""
    pairs, rows_p = np.unique(unit_n * classes + class_n, return_counts=True)
    counts_u: list[list[tuple[int, int]]] = [[] for _ in range(int(unit_n.max(initial=-1)) + 1)]
    for pair, rows in zip(pairs.tolist(), rows_p.tolist(), strict=True):
        counts_u[pair // classes].append((pair % classes, rows))
    return counts_u


def _by_time(table: "pl.DataFrame", schema: Schema) -> Cut:
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


def _notes(table: "pl.DataFrame", schema: Schema, parts: Split) -> "list[str]":
    if parts.by != "time" or schema.time is None or not len(parts.test):
        return []
    time = table[schema.time]
    notes = [f"test rows are those from {time.gather(parts.test).min()} on"]
    if time.null_count():
        notes.append(f"{time.null_count():,} rows without a time went to train")
    if len(parts.left_out):
        rows = f"{len(parts.left_out):,} rows" if len(parts.left_out) > 1 else "1 row"
        notes.append(f"{rows} left out: near-duplicates of rows in an earlier part")
    return notes
