"""Fit one candidate in a process of its own: from a table and row numbers to a model folder."""

import math
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.deadline import WorkLimit, ignore_cut
from bakeoff.core.errors import CandidateError, UsageError
from bakeoff.core.families import load_family, weighs
from bakeoff.core.jobs import MODEL, OUTSIDE_KEY, ROWS, TABLE, Argument, JobContext
from bakeoff.core.ledger import Loss
from bakeoff.core.memory import peak_memory_bytes
from bakeoff.core.protocols import (
    CLASS_BALANCE,
    FEEDBACK_WEIGHT,
    HALF_LIFE,
    Family,
    FitJob,
    Model,
    ignore_held,
    ignore_loss,
)
from bakeoff.core.threads import limited
from bakeoff.core.types import Predictions, Schema, Task
from bakeoff.data.prediction_arrays import arrays_of
from bakeoff.data.row_numbers import rows_of_fold
from bakeoff.results.search import Cut
from bakeoff.train.params import check_params

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FIT", "FIT_FOLDS", "HELD", "HOLD_OUT", "FitArgument", "FitValue", "FoldsArgument", "FoldsValue", "HeldOut"]
__all__ += ["ended_after", "far_over", "fit", "fit_folds", "hold_out", "job_of", "model_without", "size_of", "table_of"]
__all__ += ["SEEN"]

FIT = "bakeoff.train.worker:fit"
HOLD_OUT = "bakeoff.train.worker:hold_out"
FIT_FOLDS = "bakeoff.train.worker:fit_folds"
"""What `core.jobs.Job.function` names."""
KILL_FACTOR, KILL_MORE_S = 1.5, 10.0
"""A fit is killed when it takes so many times its limit, and so many seconds more."""
HELD = "held.npz"
"""The output of `hold_out`: what is said of validation rows. That of `fit` is the model's folder."""
SEEN = "seen.npz"
"""A further output of `fit`, where it is asked for: what the model says of some test rows, by their places."""
SEEN_ROWS = 1_000
WEIGHTS = frozenset({CLASS_BALANCE, HALF_LIFE, FEEDBACK_WEIGHT})
BY_WEIGHTS = frozenset({"trees"})
"""What is chosen anew when rows weigh otherwise."""
MOST_FIT_S, MORE_FITS = 60.0, 5
"""Weights by age take up to five fits more: they are tried where one takes no longer, and where there is time."""


class FitArgument(Argument, frozen=True, kw_only=True):
    """What `fit` takes.

    `family` is the name of its entry point. `rows` = "all" fits every row of the table and needs `chosen`, what an
    earlier fit chose. `fold` fits without the rows of that fold. `by_time`: rows are split in the order of time, so
    that weights by age are tried. Rows of the table as read from number `own_rows` on came as feedback. `remote` says
    whether rows may be sent to services on other machines. After `limit_s` the fit ends with the best so far; a result
    that this changed says so (`cut`), which is why the limit is not in the key.
    """

    family: str
    params: dict[str, Any]
    task: Task
    schema: Schema
    metric: str
    seed: int
    chosen: dict[str, Any] | None = None
    rows: Literal["train", "all"] = "train"
    fold: int | None = None
    by_time: bool = False
    own_rows: int | None = None
    remote: Annotated[bool, OUTSIDE_KEY] = False
    limit_s: Annotated[float | None, OUTSIDE_KEY] = None


class FitValue(msgspec.Struct, frozen=True, kw_only=True):
    """What `fit` gives; the model's signature stands in the folder's `signature.json`, too.

    `held`: the output `HELD` has what `hold_out` would make; it is empty otherwise. `resumed`: where the fit went on
    from a checkpoint, each time. `work_s`: what `train_s` was without the time for which other work of the machine had
    the processor, and a third of it at the least (see `WorkLimit`).
    """

    train_s: float
    peak_memory_bytes: int
    size_bytes: int
    chosen: dict[str, Any]
    signature: dict[str, Any]
    classes: list[str]
    losses: list[Loss] = msgspec.field(default_factory=list[Loss])
    cut: Cut | None = None
    held: bool = False
    resumed: list[str] = msgspec.field(default_factory=list[str])
    work_s: float | None = None


def fit(argument: FitArgument, context: JobContext) -> FitValue:
    """Fit a candidate and save it as the output `MODEL`; and as `HELD` what `hold_out` makes, if it came on the way.

    Raises:
        ConfigError: the family does not take the parameters.
        CandidateError: the candidate cannot be fitted.
    """
    family = load_family(argument.family)
    if argument.task not in family.tasks:
        tasks = ", ".join(sorted(family.tasks))
        raise CandidateError(f"expected a task of family {family.name!r} ({tasks}), received {argument.task!r}")
    losses: list[Loss] = []
    cuts: list[str] = []
    held: list[Predictions] = []
    resumed: list[str] = []
    job = job_of(argument, family, context)
    job = replace(job, on_loss=losses.append, on_cut=cuts.append, on_held=held.append, on_resumed=resumed.append)
    work, started = WorkLimit(math.inf), time.perf_counter()
    alarm = ended_after(far_over(argument.limit_s))
    with alarm, limited(context.threads), remote_calls(allowed=argument.remote):
        balance = _Balance.of(family, job)
        model = family.fit(replace(job, balance=balance))
        chosen = dict(model.chosen) | ({} if balance is None else balance.chosen)
        fit_s = time.perf_counter() - started
        if balance and not balance.used and _class_balance(family, balance, chosen, held, fit_s) is not None:
            held.clear()
            others = {name: value for name, value in chosen.items() if name not in BY_WEIGHTS}
            model = family.fit(replace(_silent(job), chosen=others | balance.chosen, on_held=held.append))
            chosen = dict(model.chosen) | balance.chosen
        weighed = False
        for name, choose in ((HALF_LIFE, _half_life), (FEEDBACK_WEIGHT, _feedback_weight)):
            if (value := choose(family, job, chosen, fit_s)) is not None:
                chosen[name], weighed = value, True
        if weighed:
            held.clear()  # they were without weights
            model = family.fit(replace(_silent(job), chosen=chosen))
    train_s = time.perf_counter() - started
    work_s = min(work.used_s, train_s)
    out = context.outputs[MODEL]
    out.mkdir(parents=True)
    model.save(out)
    if HELD in context.outputs:
        _save_held(context.outputs[HELD], job, held[0] if held else None)
    if SEEN in context.outputs:
        _say_of_seen(argument, context, model)
    return FitValue(
        train_s=train_s,
        peak_memory_bytes=peak_memory_bytes(),
        size_bytes=size_of(out),
        chosen=chosen | {key: value for key, value in (argument.chosen or {}).items() if key in WEIGHTS},
        signature=msgspec.to_builtins(model.signature),
        classes=list(model.signature.classes),
        losses=losses,
        cut=Cut(limit_s=argument.limit_s, what="; ".join(cuts)) if cuts and argument.limit_s is not None else None,
        held=bool(held) and HELD in context.outputs,
        resumed=resumed,
        work_s=work_s,
    )


class FoldsArgument(FitArgument, frozen=True, kw_only=True):
    """What `fit_folds` takes: `folds` in place of a single `fold`."""

    folds: tuple[int, ...]


class FoldsValue(msgspec.Struct, frozen=True, kw_only=True):
    """What `fit_folds` gives: of each fold what `fit` gives, in the order of the argument's."""

    fits: list[FitValue]


def fit_folds(argument: FoldsArgument, context: JobContext) -> FoldsValue:
    """Fit a candidate without each of these folds, one after the other, and save each model as `model_without(fold)`.

    Of few rows a fit takes less time than a process for it.

    Raises:
        ConfigError, CandidateError: as for `fit`.
    """
    given = {name: value for name, value in msgspec.structs.asdict(argument).items() if name not in {"folds", "fold"}}
    fits: list[FitValue] = []
    for fold in argument.folds:

        def progress(line: str, fold: int = fold) -> None:
            context.progress(f"without fold {fold + 1}: {line}")

        own = replace(context, outputs={MODEL: context.outputs[model_without(fold)]}, progress=progress)
        fits.append(fit(FitArgument(**given, fold=fold), own))
    return FoldsValue(fits=fits)


def model_without(fold: int) -> str:
    """The output of `fit_folds` that is the model of all rows but a fold's."""
    return f"{MODEL}-without-{fold}"


def far_over(limit_s: float | None) -> float | None:
    """When a fit that does not keep to its limit is killed; never without one."""
    return None if limit_s is None else KILL_FACTOR * limit_s + KILL_MORE_S


@contextmanager
def ended_after(limit_s: float | None) -> Generator[None]:
    """End the process by the system's alarm, which does not wait for native code to come back to Python."""
    if limit_s is None:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, max(limit_s, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@dataclass(slots=True)
class _Balance:
    """How much rare classes weigh, for a fit that asks on its way (`FitJob.balance`); `now`: what they weigh so far."""

    job: FitJob
    now: float
    used: bool = False
    chosen: dict[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def of(cls, family: Family, job: FitJob) -> "_Balance | None":
        """None where nothing is to be chosen."""
        from bakeoff.train.class_balance import may_balance

        return cls(job, getattr(family, "class_balance", 1.0)) if may_balance(job) else None

    def __call__(self, answers: Predictions) -> float | None:
        from bakeoff.train.class_balance import class_balance

        self.used, power = True, class_balance(self.job, answers, self.now)
        self.chosen = {} if power is None else {CLASS_BALANCE: power}
        return power


def _class_balance(
    family: Family, balance: _Balance, chosen: dict[str, Any], answers: list[Predictions], fit_s: float
) -> float | None:
    """How much rare classes weigh, by what a fit that did not ask says of validation rows.

    Where it did not say it on its way (`answers`), families that `balances` are asked by a fit of training rows alone.
    """
    job = balance.job
    if not (answers or getattr(family, "balances", False)):
        return None
    if job.limit_s is not None and 3 * fit_s > job.limit_s:
        job.on_cut("weights of classes were not chosen")
        return None
    if answers:
        return balance(answers[0])
    alone = family.fit(replace(_silent(job), validation=job.validation[:0], chosen=chosen))
    return balance(alone.predict(job.validation.drop(job.schema.target)))


def _half_life(family: Family, job: FitJob, chosen: dict[str, Any], fit_s: float) -> float | None:
    """The half-life of weights by age that pays, where rows have one and something is to be chosen."""
    if job.chosen is not None or job.age_days_n is None or not weighs(family, job.params):
        return None
    from bakeoff.train.recency import half_life, span_days

    if span_days(job) is None:
        return None
    if fit_s > MOST_FIT_S:
        job.progress(f"weights by age are not tried: a fit takes {fit_s:.0f} s")
        return None
    if job.limit_s is not None and (1 + MORE_FITS) * fit_s > job.limit_s:
        job.on_cut("weights by age were not tried")
        return None
    return half_life(family, _silent(job), chosen)


def _feedback_weight(family: Family, job: FitJob, chosen: dict[str, Any], fit_s: float) -> float | None:
    """The weight of feedback rows that pays, where there are such rows and something is to be chosen."""
    if job.chosen is not None or job.is_feedback_n is None or not weighs(family, job.params):
        return None
    from bakeoff.train.feedback_weight import FITS, feedback_weight, may_weigh

    if not may_weigh(job):
        return None
    if fit_s > MOST_FIT_S / 3:
        job.progress(f"weights of feedback are not tried: a fit takes {fit_s:.0f} s")
        return None
    if job.limit_s is not None and (1 + MORE_FITS + FITS) * fit_s > job.limit_s:
        job.on_cut("weights of feedback were not tried")
        return None
    return feedback_weight(family, _silent(job), chosen)


def _silent(job: FitJob) -> FitJob:
    """The job for fits on the way, of the same rows: what they lose and cut short, the first fit has told already."""
    return replace(job, on_loss=ignore_loss, on_cut=ignore_cut, on_held=ignore_held, balance=None)


class HeldOut(msgspec.Struct, frozen=True, kw_only=True):
    """What `hold_out` gives: of how many rows it was asked."""

    rows: int


def hold_out(argument: FitArgument, context: JobContext) -> HeldOut:
    """Fit on training rows alone, with what an earlier fit chose, and keep what that says of validation rows.

    What `fit` makes has seen the validation rows and says of them what it says of no others. The argument has
    `chosen`; the output `HELD` holds `truth_n`, `values_n`, and for classification `probabilities_nk` and `classes`.

    Raises:
        UsageError: nothing was `chosen`.
        ConfigError, CandidateError: as for `fit`.
    """
    if argument.chosen is None:
        raise UsageError("expected 'chosen' of an earlier fit, received None")
    family = load_family(argument.family)
    job = job_of(argument, family, context)
    with limited(context.threads), remote_calls(allowed=argument.remote):
        model = family.fit(replace(job, validation=job.validation[:0]))
    predictions = model.predict(job.validation.drop(argument.schema.target))
    _save_held(context.outputs[HELD], job, predictions)
    return HeldOut(rows=len(predictions))


def _save_held(file: Path, job: FitJob, predictions: Predictions | None) -> None:
    """Keep what was true of the validation rows, and what was predicted."""
    import numpy as np

    truth_n = job.validation[job.schema.target].to_numpy()
    arrays = {} if predictions is None else _answers(job.task, truth_n, predictions)
    with file.open("wb") as out:
        np.savez(out, allow_pickle=False, **arrays)


def _answers(task: Task, truth_n: Any, predictions: Predictions) -> dict[str, Any]:
    """Truth and predictions of rows as arrays."""
    import numpy as np

    return {"truth_n": truth_n if task == "regression" else truth_n.astype(np.str_), **arrays_of(predictions)}


def _say_of_seen(argument: FitArgument, context: JobContext, model: Model) -> None:
    """Keep what a model says of test rows that it was fitted on: it must be no worse than its evaluated twin there."""
    import numpy as np

    with np.load(context.inputs[ROWS], allow_pickle=False) as rows:
        test_n = rows["test"]
    at_n = np.sort(np.random.default_rng(argument.seed).permutation(len(test_n))[:SEEN_ROWS])
    table = table_of(argument, context)[test_n[at_n]]
    target = argument.schema.target
    answers = _answers(argument.task, table[target].to_numpy(), model.predict(table.drop(target)))
    np.savez(context.outputs[SEEN], allow_pickle=False, at_n=at_n, **answers)


def job_of(argument: FitArgument, family: Family, context: JobContext) -> FitJob:
    """What the argument asks a family to fit, with its tables read."""
    train, validation, ages, is_feedback = _tables(argument, context)
    context.cache.mkdir(parents=True, exist_ok=True)
    return FitJob(
        task=argument.task,
        schema=argument.schema,
        train=train,
        validation=validation,
        params=check_params(family, argument.params),
        metric=argument.metric,
        seed=argument.seed,
        threads=context.threads,
        cache=context.cache,
        progress=context.progress,
        keep=context.keep,
        spread=context.spread,
        chosen=argument.chosen,
        limit_s=argument.limit_s,
        age_days_n=ages,
        is_feedback_n=is_feedback,
    )


def table_of(argument: FitArgument, context: JobContext) -> "pl.DataFrame":
    """All rows: inputs and target alone, the target in its stored type; rejected answers where there are any."""
    import polars as pl

    schema, task = argument.schema, argument.task
    target = pl.col(schema.target).cast(pl.String if task == "classification" else pl.Float64)
    if task == "generation":
        target = pl.col(schema.target)
    rejected = [schema.rejected] if schema.rejected else []
    return pl.read_parquet(context.inputs[TABLE], glob=False).select(*schema.inputs, target, *rejected)


def _tables(argument: FitArgument, context: JobContext) -> tuple["pl.DataFrame", "pl.DataFrame", Any, Any]:
    """The rows to fit on, those to choose on, ages of both in days (None without times), which of both are feedback."""
    import numpy as np

    table = table_of(argument, context)
    if argument.rows == "all":
        if argument.chosen is None:
            raise UsageError("expected 'chosen' of an earlier fit with rows = 'all', received None")
        every = np.arange(len(table))
        return table, table[:0], _ages(argument, context, every), _are_feedback(argument, context, every)
    with np.load(context.inputs[ROWS], allow_pickle=False) as rows:
        if argument.fold is None:
            train_n, validation_n = rows["train"], rows["validation"]
        else:
            train_n, validation_n = rows_of_fold(rows, argument.fold)
    both = np.concatenate([train_n, validation_n])
    are_feedback = _are_feedback(argument, context, both)
    return table[train_n], table[validation_n], _ages(argument, context, both), are_feedback


def _are_feedback(argument: FitArgument, context: JobContext, rows_n: Any) -> Any:
    """Which of these rows came as feedback; None where none of the table did."""
    import numpy as np

    if argument.own_rows is None:
        return None
    with np.load(context.inputs[ROWS], allow_pickle=False) as rows:
        return rows["kept"][rows_n] >= argument.own_rows


def _ages(argument: FitArgument, context: JobContext, rows_n: Any) -> Any:
    """How many days before the last of these rows each happened; one without a time is as old as the oldest."""
    import polars as pl

    name = argument.schema.time
    if not argument.by_time or name is None:
        return None
    time = pl.read_parquet(context.inputs[TABLE], glob=False, columns=[name])[name][rows_n].cast(pl.Datetime("us"))
    day_us = 86_400_000_000
    stamp_n = time.fill_null(time.min()).to_physical().to_numpy() / day_us
    return stamp_n.max() - stamp_n if len(stamp_n) else None


def size_of(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
