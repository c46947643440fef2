"""A candidate on parts of the training rows, asked about the test rows: the material of a learning curve.

Each fit chooses again what it chooses on validation rows, of which it gets the same part: so would a run with fewer
rows. Parts are drawn as splits are, whole groups and near-duplicates together; where the split is by time, the latest
rows are taken, and the latest of these to choose on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.deadline import WorkLimit
from bakeoff.core.errors import CandidateError
from bakeoff.core.families import load_family
from bakeoff.core.jobs import ROWS, TABLE, JobContext
from bakeoff.core.protocols import FitJob
from bakeoff.core.threads import limited
from bakeoff.core.types import Predictions
from bakeoff.data.prediction_arrays import arrays_of, predictions_in
from bakeoff.data.row_numbers import FOLD, NEAR, rows_of_fold
from bakeoff.data.splits import By, Cut, Rows, cutting
from bakeoff.train.params import check_params
from bakeoff.train.worker import FitArgument, table_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LEARN", "LEARNED", "LearnArgument", "LearnValue", "PartialFit", "learn", "read_fits"]

LEARN = "bakeoff.train.learning:learn"
LEARNED = "learned.npz"
"""The output of `learn`."""
SHARES = (0.125, 0.25, 0.5)
REPEATS = 3
FEWEST = 30
SHARE, ROWS_FITTED, TESTED = "share", "rows", "tested_n"


class LearnArgument(FitArgument, frozen=True, kw_only=True):
    """What `learn` takes: a `FitArgument`, the time for all fits together, and how long one of all rows takes.

    With `folds`, each draw is of the rows of another fold's fit, and asked about that fold's rows.
    """

    all_fits_s: float
    whole_s: float
    folds: int = 0


class LearnValue(msgspec.Struct, frozen=True, kw_only=True):
    """What `learn` gives: how many fits it made, and why there are no more."""

    fits: int
    stopped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialFit:
    """A fit on `rows` rows: what it says of test rows (`tested_n`: their places among all of them)."""

    share: float
    rows: int
    tested_n: NDArray[np.int64]
    predictions: Predictions


def learn(argument: LearnArgument, context: JobContext) -> LearnValue:
    """Fit parts of the rows, the smallest first, as long as the next is expected to end in time."""
    arrays: dict[str, Any] = {}
    limit, stopped, fits = WorkLimit(argument.all_fits_s, threads=context.threads), None, 0
    rows = _LearningRows(argument, context)
    repeats = 1 if argument.by_time else REPEATS  # the latest are always the same
    with limited(context.threads), remote_calls(allowed=argument.remote):
        for share, repeat in ((share, repeat) for repeat in range(repeats) for share in SHARES):
            if share * argument.whole_s > limit.left_s:
                stopped = f"the next fit would have taken longer than {argument.all_fits_s:.1f} s in all"
                break
            try:
                fit = _fit(argument, context, rows, share, repeat)
            except CandidateError as error:
                stopped = str(error)
                continue
            if fit is None:
                continue
            arrays |= {f"{fits}.{name}": value for name, value in _arrays(fit).items()}
            fits += 1
    np.savez(context.outputs[LEARNED], allow_pickle=False, **arrays)
    return LearnValue(fits=fits, stopped=stopped)


class _LearningRows:
    """The rows of the job, and which of them a fit gets."""

    def __init__(self, argument: LearnArgument, context: JobContext) -> None:
        self._argument, self._context = argument, context
        with np.load(context.inputs[ROWS], allow_pickle=False) as arrays:
            self._split: dict[str, NDArray[Any]] = dict(arrays)
        self.table = table_of(argument, context)
        self._cuts: dict[int, Cut] = {}

    def part(self, share: float, repeat: int) -> tuple[Rows, Rows]:
        """About this share of the rows: those to fit on and those to choose on."""
        if self._argument.folds:
            train_n, validation_n = rows_of_fold(self._split, repeat % self._argument.folds)
        else:
            train_n, validation_n = self._split["train"], self._split["validation"]
        cut = self._cut(repeat)
        if self._argument.by_time:
            latest_n = cut(np.union1d(train_n, validation_n), share)
            chosen_on_n = cut(latest_n, len(validation_n) / max(1, len(train_n) + len(validation_n)))
            return np.setdiff1d(latest_n, chosen_on_n), chosen_on_n
        return cut(train_n, share), cut(validation_n, share)

    def _cut(self, repeat: int) -> Cut:
        """How rows are cut off, the same way for all shares: it takes hashes of all rows."""
        if repeat not in self._cuts:
            argument, near_n = self._argument, self._split.get(NEAR)
            alone: By = "stratified" if argument.task == "classification" else "random"
            by: By = alone if argument.schema.group is None else "group"
            self._cuts[repeat] = (
                cutting(self._with_marks, argument.schema, "time", argument.seed)
                if argument.by_time
                else cutting(self._with_marks, argument.schema, by, argument.seed + 1 + repeat, near_n=near_n)
            )
        return self._cuts[repeat]

    def asked(self, repeat: int) -> tuple[NDArray[np.int64], "pl.DataFrame"]:
        """The test rows that a fit is asked about: their places among all of them, and what is known of them."""
        test_n = self._split["test"]
        tested_n = np.arange(len(test_n))
        if self._argument.folds:
            tested_n = np.flatnonzero(self._split[FOLD][test_n] == repeat % self._argument.folds)
        return tested_n, self.table[test_n[tested_n]].drop(self._argument.schema.target)

    @cached_property
    def _with_marks(self) -> "pl.DataFrame":
        """The table with the columns of groups and times, too, which the fits do not read."""
        import polars as pl

        schema = self._argument.schema
        more = {name: None for name in (schema.group, schema.time) if name and name not in self.table.columns}
        if not more:
            return self.table
        return self.table.hstack(pl.read_parquet(self._context.inputs[TABLE], columns=list(more), glob=False))


def _fit(
    argument: LearnArgument, context: JobContext, rows: _LearningRows, share: float, repeat: int
) -> PartialFit | None:
    """One fit; None when so small a part has too few rows."""
    family = load_family(argument.family)
    train_n, validation_n = rows.part(share, repeat)
    if len(train_n) < FEWEST or not len(validation_n):
        return None
    context.progress(f"learning curve: fitting {len(train_n) + len(validation_n):,} rows")
    job = FitJob(
        task=argument.task,
        schema=argument.schema,
        train=rows.table[train_n],
        validation=rows.table[validation_n],
        params=check_params(family, argument.params),
        metric=argument.metric,
        seed=argument.seed,
        threads=context.threads,
        cache=context.cache,
        progress=context.progress,
    )
    tested_n, asked = rows.asked(repeat)
    predictions = family.fit(job).predict(asked)
    return PartialFit(share=share, rows=len(train_n) + len(validation_n), tested_n=tested_n, predictions=predictions)


def _arrays(fit: PartialFit) -> dict[str, Any]:
    return {SHARE: fit.share, ROWS_FITTED: fit.rows, TESTED: fit.tested_n, **arrays_of(fit.predictions)}


def read_fits(stored: Mapping[str, NDArray[Any]]) -> Iterator[PartialFit]:
    """The fits that `learn` made, from what `numpy.load` gives of its output."""
    names = list(stored)
    for fit in range(sum(name.endswith(f".{SHARE}") for name in names)):
        part = {name.partition(".")[2]: stored[name] for name in names if name.startswith(f"{fit}.")}
        yield PartialFit(
            share=float(part[SHARE]),
            rows=int(part[ROWS_FITTED]),
            tested_n=part[TESTED],
            predictions=predictions_in(part),
        )
