"""Which row of the prepared table is on which side: near-duplicates together, one test part or folds."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.config.sections import Config, SplitConfig
from bakeoff.core.errors import DataError
from bakeoff.core.types import Schema
from bakeoff.data.row_numbers import CHOSEN_ON, FOLD, FOLD_AGAIN, NEAR
from bakeoff.results.data import Contamination, NearDuplicates, Warned

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.data.splits import By, Split

__all__ = ["SplitFacts", "sides"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFacts:
    """What a run's `Dataset` says of the split, under the same names."""

    train: int
    validation: int
    test: int
    split: "By"
    folds: int
    repeats: int = 1
    near_duplicates: NearDuplicates | None
    notes: tuple[str, ...]
    warnings: tuple[Warned, ...]
    contamination: Contamination | None = None


def sides(
    config: Config, table: "pl.DataFrame", schema: Schema, *, dear: bool = False, quick: bool = False
) -> "tuple[dict[str, NDArray[Any]], SplitFacts]":
    """The arrays of `bakeoff.data.row_numbers`, and what is to be said of the split.

    Unasked, candidates that are `dear` are not tested by folds, and only those that are all `quick` by folds again.
    """
    from bakeoff.data.splits import folds_of, k_fold, repeats_of, split
    from bakeoff.prepare.checks.contamination import overlaps
    from bakeoff.prepare.checks.near_duplicates import alike

    settings, task, seed = config.split, config.project.task, config.project.seed
    near_n = alike(table, schema, settings.near_duplicates) if settings.near_duplicates else None
    once = settings.folds == "auto" and (dear or config.decide.calibrate != "none")
    folds = 0 if once else folds_of(settings, table, schema, task)
    splits: tuple[Split, ...] = ()
    not_folds: tuple[str, ...] = ()
    if folds:
        try:
            splits = k_fold(table, schema, settings, task, seed, folds=folds, near_n=near_n)
        except DataError as error:  # a class of very few rows: then one test part
            if settings.folds != "auto":
                raise
            not_folds = (f"tested by one part, as {folds} folds cannot be: {error}",)
    if splits:
        again = _again(
            lambda turn: k_fold(table, schema, settings, task, seed + turn, folds=folds, near_n=near_n),
            repeats_of(settings, table, schema, quick=quick),
            asked=settings.repeats != "auto",
        )
        arrays = _of_folds(splits, again, table.height)
        facts = _facts(splits[0], (table.height, 0, table.height), near_n, settings)
        facts = replace(facts, folds=folds, repeats=1 + len(again))
        if settings.folds == "auto":
            few = f"{table.height:,} rows are few: tested by {folds} folds ([split] folds = 0: a fifth of them, once)"
            facts = replace(facts, notes=(*facts.notes, few))
    else:
        parts = split(table, schema, settings, task, seed, near_n=near_n)
        overlap = overlaps(table, schema, task, train=parts.train, test=parts.test)
        facts = _facts(parts, (len(parts.train), len(parts.validation), len(parts.test)), near_n, settings)
        facts = replace(facts, notes=(*facts.notes, *not_folds, *overlap.notes()), contamination=overlap)
        arrays = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    return arrays if near_n is None else arrays | {NEAR: near_n}, facts


def _again(deal: "Callable[[int], tuple[Split, ...]]", repeats: int, *, asked: bool) -> "tuple[tuple[Split, ...], ...]":
    """The folds of each further time; none where one of them cannot be and nobody asked for them."""
    try:
        return tuple(deal(turn) for turn in range(1, repeats))
    except DataError:
        if asked:
            raise
        return ()


def _of_folds(
    splits: "tuple[Split, ...]", again: "tuple[tuple[Split, ...], ...]", rows: int
) -> "dict[str, NDArray[Any]]":
    everything = np.arange(rows, dtype=np.int64)
    turns = (splits, *again)
    fold_tn = np.zeros((len(turns), rows), dtype=np.int16)
    chosen_on = np.zeros((len(turns) * len(splits), rows), dtype=np.bool_)
    for turn, parts in enumerate(turns):
        for at, each in enumerate(parts):
            fold_tn[turn, each.test] = at
            chosen_on[turn * len(splits) + at, each.validation] = True
    arrays = {"train": everything, "validation": everything[:0], "test": everything}
    arrays |= {FOLD: fold_tn[0], CHOSEN_ON: chosen_on}
    return arrays | ({FOLD_AGAIN: fold_tn[1:]} if again else {})


def _facts(
    parts: "Split", rows: tuple[int, int, int], near_n: "NDArray[np.int64] | None", settings: SplitConfig
) -> SplitFacts:
    near: NearDuplicates | None = None
    if near_n is not None:
        _, rows_g = np.unique(near_n, return_counts=True)
        several = rows_g[rows_g > 1]
        near = NearDuplicates(
            similarity=settings.near_duplicates,
            rows=int(several.sum()),
            groups=len(several),
            largest=int(several.max(initial=0)),
            parted=parts.parted,
            left_out=len(parts.left_out),
        )
    train, validation, test = rows
    return SplitFacts(
        train=train,
        validation=validation,
        test=test,
        split=parts.by,
        folds=0,
        near_duplicates=near,
        notes=(*parts.notes, *_near_note(near)),
        warnings=tuple(Warned(kind="split", told=warning) for warning in parts.warnings),
    )


def _near_note(near: NearDuplicates | None) -> list[str]:
    if near is None or not near.groups:
        return []
    beyond = near.rows - near.groups  # beyond the first of each group, as the data card counts
    repeats = f"{beyond:,} rows nearly repeat others, in {near.groups:,} groups"
    return [f"{repeats}; left to chance, the split would part {near.parted:,} of these"]
