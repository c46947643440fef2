"""Fit every contender, each in a process of its own; one that fails does not stop the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from bakeoff.core.jobs import MODEL, ROWS, TABLE, Job, JobResult, Resources
from bakeoff.core.ledger import Loss
from bakeoff.core.refs import BlobRef
from bakeoff.core.types import Json
from bakeoff.loop.cache import Result, Steps, step_key
from bakeoff.loop.context import Contender, Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.train.worker import FIT, HELD, HOLD_OUT, SEEN, FitArgument, FitValue

__all__ = [
    "FitRequest",
    "Fitted",
    "expect",
    "fit",
    "fit_each",
    "fitted_of",
    "hold_out",
    "job_of",
    "on_all_rows",
    "refit",
    "run_jobs",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What became of a contender: its model (`tree_blob`) with figures, or the `error`.

    `members` name the contenders that it is made of, if it is a combination. With folds the model is fitted on all
    rows, and `folds` are its like, each fitted without one fold (trees, in the order of the folds). `losses` are what
    this model alone goes without. `seen_blob` is what one that was fitted on all rows says of test rows.
    """

    contender: Contender
    key: str
    tree_blob: str | None = None
    train_s: float = 0.0
    peak_memory_bytes: int = 0
    size_bytes: int = 0
    chosen: Mapping[str, Json] | None = None
    signature: Mapping[str, Json] | None = None
    error: str | None = None
    traceback: str | None = None
    members: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    seen_blob: str | None = None


def fit(stage: Stage, steps: Steps, gathered: Gathered) -> list[Fitted]:
    """Fit the contenders that are not fitted yet on exactly this; results in the contenders' order."""
    asks = [FitRequest.of("fit", c, job_of(stage, gathered, c)) for c in stage.contenders]
    results = fit_each(stage, steps, asks)
    return [fitted_of(ask, results[ask.name]) for ask in asks]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """A fit that is wanted: its job, and the key of its step."""

    contender: Contender
    job: Job
    key: str

    @classmethod
    def of(cls, step: str, contender: Contender, job: Job) -> "FitRequest":
        """The ask with its key."""
        return cls(contender=contender, job=job, key=step_key(step, job, contender.code))

    @property
    def name(self) -> str:
        """The name of the job."""
        return self.job.name


def fit_each(stage: Stage, steps: Steps, asks: Sequence[FitRequest]) -> dict[str, Result | JobResult]:
    """Make the fits that are not made yet: by name what is kept of each, or how its job failed."""
    found: dict[str, Result | JobResult] = {ask.name: kept for ask in asks if (kept := steps.done(ask.key)) is not None}
    waiting = {ask.name: ask for ask in asks if ask.name not in found}
    for result in run_jobs(stage, [ask.job for ask in waiting.values()]):
        if result.value is None:
            stage.progress(f"{result.name}: failed: {result.error}")
            found[result.name] = result
        else:
            kept = dict(result.value) | {"tree_blob": result.outputs[MODEL]}
            kept |= {"seen_blob": result.outputs[SEEN]} if SEEN in result.outputs else {}
            found[result.name] = steps.publish(waiting[result.name].key, kept)
            stage.progress(f"{result.name}: fitted in {result.seconds:.1f} s")
    return found


def run_jobs(stage: Stage, jobs: Sequence[Job], *, exclusive: bool = False) -> Iterator[JobResult]:
    """The results of jobs as they come; what they tell goes on with their names before it.

    Those that ask for more threads begin first, and those that ask for few then fill the machine together.
    """
    return stage.compute.run(
        sorted(jobs, key=lambda job: -job.resources.threads),
        progress=lambda name, line: stage.progress(f"{name}: {line}"),
        exclusive=exclusive,
    )


def refit(stage: Stage, steps: Steps, gathered: Gathered, fitted: Fitted) -> Fitted:
    """Fit a contender once more on all rows, with what its first fit chose on validation rows."""
    ask = on_all_rows(stage, gathered, fitted.contender, fitted.chosen or {}, outputs=(MODEL, SEEN))
    made = fitted_of(ask, fit_each(stage, steps, [ask])[ask.name])
    if made.tree_blob is None:
        return replace(fitted, error=made.error, traceback=made.traceback, tree_blob=None)
    return replace(made, members=fitted.members, chosen=fitted.chosen)


def on_all_rows(
    stage: Stage,
    gathered: Gathered,
    contender: Contender,
    chosen: Mapping[str, Json],
    outputs: tuple[str, ...] = (MODEL,),
) -> FitRequest:
    """The fit of a contender on all rows."""
    job = job_of(stage, gathered, contender, rows="all", chosen=dict(chosen))
    return FitRequest.of("refit", contender, replace(job, outputs=outputs))


def hold_out(stage: Stage, steps: Steps, gathered: Gathered, fitted: Sequence[Fitted]) -> dict[str, BlobRef]:
    """What each contender says of validation rows when it is fitted on training rows alone: blobs, by name.

    One fit each, with what the first one chose. One that fails is told of and left out.
    """
    asks = {
        each.contender.name: FitRequest.of(
            "hold_out",
            each.contender,
            replace(
                job_of(stage, gathered, each.contender, chosen=dict(each.chosen or {})),
                function=HOLD_OUT,
                outputs=(HELD,),
            ),
        )
        for each in fitted
    }
    done = {name: steps.done(ask.key) for name, ask in asks.items()}
    waiting = [ask.job for name, ask in asks.items() if done[name] is None]
    if waiting:
        stage.progress("holding validation rows out: fitting on training rows alone")
    for result in run_jobs(stage, waiting):
        if result.value is None:
            stage.progress(f"{result.name}: not combined with others: {result.error}")
        else:
            done[result.name] = steps.publish(asks[result.name].key, {"held_blob": result.outputs[HELD]})
    return {name: BlobRef(str(kept["held_blob"])) for name, kept in done.items() if kept is not None}


def expect(stage: Stage) -> None:
    """Tell the backend that every contender will be fitted, so that what fits import is there when their rows are."""
    for contender in stage.contenders:
        stage.compute.expect(FIT, contender.requires, _resources(stage, contender))


def _resources(stage: Stage, contender: Contender) -> Resources:
    return Resources(threads=stage.compute.cores if contender.scales else 0)


def job_of(stage: Stage, gathered: Gathered, contender: Contender, **more: Any) -> Job:
    """The job that fits a contender; `more` are fields of its `FitArgument`."""
    argument = FitArgument(
        family=contender.family_name,
        params=msgspec.to_builtins(contender.params),
        task=stage.config.project.task,
        schema=gathered.schema,
        metric=stage.live_metric,
        seed=stage.seed,
        by_time=gathered.summary.split == "time",
        remote=stage.config.privacy.remote,
        **more,
    )
    return Job(
        name=contender.name,
        function=FIT,
        argument=argument,
        inputs={TABLE: BlobRef(gathered.table_blob), ROWS: BlobRef(gathered.rows_blob)},
        outputs=(MODEL,),
        resources=_resources(stage, contender),
        requires=contender.requires,
    )


def fitted_of(ask: FitRequest, result: Result | JobResult) -> Fitted:
    """What became of the contender that was asked for."""
    if isinstance(result, JobResult):
        return Fitted(contender=ask.contender, key=ask.key, error=result.error, traceback=result.traceback)
    value = msgspec.convert(result, FitValue)
    return Fitted(
        contender=ask.contender,
        key=ask.key,
        tree_blob=str(result["tree_blob"]),
        train_s=value.train_s,
        peak_memory_bytes=value.peak_memory_bytes,
        size_bytes=value.size_bytes,
        chosen=value.chosen,
        signature=value.signature,
        seen_blob=None if result.get("seen_blob") is None else str(result["seen_blob"]),
        losses=tuple(replace(loss, candidate=ask.contender.name) for loss in value.losses),
    )
