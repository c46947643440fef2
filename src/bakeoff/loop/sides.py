"""Which row of the prepared table is on which side: near-duplicates together, one test part or folds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from bakeoff.config.sections import Config, SplitConfig
from bakeoff.core.types import Json, Schema
from bakeoff.data.row_numbers import CHOSEN_ON, FOLD, NEAR

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.data.splits import Split

__all__ = ["sides"]


def sides(config: Config, table: "pl.DataFrame", schema: Schema) -> "tuple[dict[str, NDArray[Any]], dict[str, Json]]":
    """The arrays of `bakeoff.data.row_numbers`, and what a dataset's summary tells of them."""
    from bakeoff.data.splits import k_fold, split
    from bakeoff.prepare.checks.contamination import overlaps
    from bakeoff.prepare.checks.near_duplicates import alike

    wanted, task, seed = config.split, config.project.task, config.project.seed
    near_n = alike(table, schema, wanted.near_duplicates) if wanted.near_duplicates else None
    if wanted.folds:
        splits = k_fold(table, schema, wanted, task, seed, near_n=near_n)
        arrays = _of_folds(splits, table.height)
        told = _told(splits[0], (table.height, 0, table.height), near_n, wanted)
        return arrays if near_n is None else arrays | {NEAR: near_n}, told
    found = split(table, schema, wanted, task, seed, near_n=near_n)
    told = _told(found, (len(found.train), len(found.validation), len(found.test)), near_n, wanted)
    overlap = overlaps(table, schema, task, train=found.train, test=found.test)
    told["notes"] = [*cast("list[Json]", told["notes"]), *overlap.notes()]
    told["contamination"] = msgspec.to_builtins(overlap)
    arrays = {"train": found.train, "validation": found.validation, "test": found.test}
    return arrays if near_n is None else arrays | {NEAR: near_n}, told


def _of_folds(splits: "tuple[Split, ...]", rows: int) -> "dict[str, NDArray[Any]]":
    everything = np.arange(rows, dtype=np.int64)
    fold_n, chosen_on = np.zeros(rows, dtype=np.int16), np.zeros((len(splits), rows), dtype=np.bool_)
    for at, each in enumerate(splits):
        fold_n[each.test] = at
        chosen_on[at, each.validation] = True
    arrays = {"train": everything, "validation": everything[:0], "test": everything}
    return arrays | {FOLD: fold_n, CHOSEN_ON: chosen_on}


def _told(
    found: "Split", rows: tuple[int, int, int], near_n: "NDArray[np.int64] | None", wanted: SplitConfig
) -> dict[str, Json]:
    near: dict[str, Json] | None = None
    if near_n is not None:
        _, rows_g = np.unique(near_n, return_counts=True)
        several = rows_g[rows_g > 1]
        near = {
            "similarity": wanted.near_duplicates,
            "rows": int(several.sum()),
            "groups": len(several),
            "largest": int(several.max(initial=0)),
            "parted": found.parted,
            "left_out": len(found.left_out),
        }
    train, validation, test = rows
    return {
        "train": train,
        "validation": validation,
        "test": test,
        "split": found.by,
        "folds": wanted.folds,
        "near_duplicates": near,
        "notes": [*found.notes, *_near_note(near)],
        "warnings": [{"kind": "split", "column": None, "told": warning} for warning in found.warnings],
    }


def _near_note(near: Mapping[str, Any] | None) -> list[str]:
    if near is None or not near["groups"]:
        return []
    beyond = int(near["rows"]) - int(near["groups"])  # beyond the first of each group, as the data card counts
    told = f"{beyond:,} rows nearly repeat others, in {near['groups']:,} groups"
    return [f"{told}; left to chance, the split would part {near['parted']:,} of these"]
