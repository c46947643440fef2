"""A candidate on parts of the training rows, asked about the test rows: the material of a learning curve.

Each fit chooses again what it chooses on validation rows, of which it gets the same part: so would a run with fewer
rows. Parts are drawn at random, or whole groups; of rows in the order of time the latest are taken.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.errors import CandidateError
from bakeoff.core.families import load_family
from bakeoff.core.jobs import ROWS, TABLE, JobContext
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Predictions
from bakeoff.data.row_numbers import FOLD, rows_of_fold
from bakeoff.train.params import check_params
from bakeoff.train.worker import FitArgument, table_of

__all__ = ["LEARN", "LEARNED", "LearnArgument", "LearnValue", "PartialFit", "learn", "read_fits"]

LEARN = "bakeoff.train.learning:learn"
LEARNED = "learned.npz"
"""The output of `learn`."""
SHARES = (0.125, 0.25, 0.5)
REPEATS = 3
FEWEST = 30
PATIENCE = 3.0


class LearnArgument(FitArgument, frozen=True, kw_only=True):
    """What `learn` takes: a `FitArgument`, the time that all fits together may take, and how long one of all rows took.

    With `folds`, each draw is of the rows of another fold's fit, and asked about that fold's rows.
    """

    limit_s: float  # pyright: ignore[reportGeneralTypeIssues]
    whole_s: float
    folds: int = 0


class LearnValue(msgspec.Struct, frozen=True, kw_only=True):
    """What `learn` gives: how many fits it made, in how many seconds, and why there are no more."""

    fits: int
    seconds: float
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
    import time

    from threadpoolctl import threadpool_limits

    arrays: dict[str, Any] = {}
    started, worked, stopped, fits = time.perf_counter(), time.process_time(), None, 0
    with threadpool_limits(context.threads), remote_calls(allowed=argument.remote):
        repeats = (
            1 if argument.schema.time is not None and not argument.folds else REPEATS
        )  # the latest are always the same
        for share, repeat in ((share, repeat) for repeat in range(repeats) for share in SHARES):
            # By the work done, so that a busy machine does not end it; what only waits goes by the clock.
            work_s = (time.process_time() - worked) / context.threads
            used_s = max(work_s, (time.perf_counter() - started) / PATIENCE)
            if used_s + share * argument.whole_s > argument.limit_s:
                stopped = f"the next fit would have taken longer than {argument.limit_s:.1f} s in all"
                break
            try:
                fit = _fit(argument, context, share, repeat)
            except CandidateError as error:
                stopped = str(error)
                continue
            if fit is None:
                continue
            arrays |= {f"{fits}.{name}": value for name, value in _arrays(fit).items()}
            fits += 1
    np.savez(context.outputs[LEARNED], allow_pickle=False, **arrays)
    return LearnValue(fits=fits, seconds=time.perf_counter() - started, stopped=stopped)


def _fit(argument: LearnArgument, context: JobContext, share: float, repeat: int) -> PartialFit | None:
    """One fit; None when so small a part has too few rows."""
    family, table = load_family(argument.family), table_of(argument, context)
    with np.load(context.inputs[ROWS], allow_pickle=False) as arrays:
        rows = dict(arrays)
    tested_n = np.arange(len(rows["test"]))
    if argument.folds:
        fold = repeat % argument.folds
        train_n, validation_n = rows_of_fold(rows, fold)
        tested_n = np.flatnonzero(rows[FOLD][rows["test"]] == fold)
    else:
        train_n, validation_n = rows["train"], rows["validation"]
    rng = np.random.default_rng([argument.seed, repeat])
    train_n, validation_n = (
        _part(part, share, rng, latest=argument.schema.time is not None, groups_n=_groups(argument, context))
        for part in (train_n, validation_n)
    )
    if len(train_n) < FEWEST or not len(validation_n):
        return None
    context.progress(f"learning curve: fitting {len(train_n) + len(validation_n):,} rows")
    job = FitJob(
        task=argument.task,
        schema=argument.schema,
        train=table[train_n],
        validation=table[validation_n],
        params=check_params(family, argument.params),
        metric=argument.metric,
        seed=argument.seed,
        threads=context.threads,
        cache=context.cache,
        progress=context.progress,
    )
    predictions = family.fit(job).predict(table[rows["test"][tested_n]].drop(argument.schema.target))
    return PartialFit(share=share, rows=len(train_n) + len(validation_n), tested_n=tested_n, predictions=predictions)


def _groups(argument: LearnArgument, context: JobContext) -> NDArray[Any] | None:
    """The group of each row of the table, if rows have one."""
    import polars as pl

    name = argument.schema.group
    if name is None:
        return None
    return pl.read_parquet(context.inputs[TABLE], columns=[name], glob=False)[name].cast(pl.String).to_numpy()


def _part(
    rows_n: NDArray[np.int64],
    share: float,
    rng: np.random.Generator,
    *,
    latest: bool,
    groups_n: NDArray[Any] | None,
) -> NDArray[np.int64]:
    """About this share of the rows."""
    count = max(1, round(share * len(rows_n)))
    if latest:
        return rows_n[len(rows_n) - count :]
    if groups_n is None:
        return rows_n[np.sort(rng.permutation(len(rows_n))[:count])]
    names = rng.permutation(np.unique(groups_n[rows_n]))
    sizes = np.cumsum([np.count_nonzero(groups_n[rows_n] == name) for name in names])
    some = names[: int(np.searchsorted(sizes, count)) + 1]
    return rows_n[np.isin(groups_n[rows_n], some)]


def _arrays(fit: PartialFit) -> dict[str, Any]:
    values_n, shares = fit.predictions.values_n, fit.predictions.probabilities_nk
    known = {"share": fit.share, "rows": fit.rows, "tested_n": fit.tested_n}
    if shares is None:
        return known | {"values_n": values_n}
    return known | {"probabilities_nk": shares, "classes": np.asarray(fit.predictions.classes, dtype=np.str_)}


def read_fits(stored: Any) -> Iterator[PartialFit]:
    """The fits that `learn` made, from what `numpy.load` gives of its output."""
    for fit in range(len([name for name in stored.files if name.endswith(".share")])):
        part = {name.partition(".")[2]: stored[name] for name in stored.files if name.startswith(f"{fit}.")}
        predictions = (
            Predictions.of_probabilities(part["probabilities_nk"], tuple(part["classes"].tolist()))
            if "classes" in part
            else Predictions(values_n=part["values_n"])
        )
        yield PartialFit(
            share=float(part["share"]), rows=int(part["rows"]), tested_n=part["tested_n"], predictions=predictions
        )
