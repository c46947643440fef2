"""Fit every contender, each in a process of its own; one that fails does not stop the others."""

import math
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from bakeoff.core.errors import OutOfBudget
from bakeoff.core.jobs import MODEL, ROWS, TABLE, Job, JobResult
from bakeoff.core.ledger import Loss
from bakeoff.core.refs import BlobRef
from bakeoff.core.types import Json
from bakeoff.loop.cache import Result, Steps, step_key
from bakeoff.loop.context import Contender, Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.expect import LATER, expect, resources_of
from bakeoff.results.search import Cut, OutOfTime
from bakeoff.train.worker import FIT, FIT_FOLDS, HELD, HOLD_OUT, SEEN, FitArgument, FitValue, FoldsArgument, far_over

__all__ = [
    "FitRequest",
    "Fitted",
    "LateFit",
    "fit",
    "fit_each",
    "fitted_of",
    "hold_out",
    "job_of",
    "killed",
    "left_out",
    "made_before",
    "on_all_rows",
    "refit",
    "run_jobs",
    "with_budget",
    "without_model",
]


FEW_LEFT = 2
"""Fits that are left for it to be said how long they will take."""
PROGRESS = re.compile(r"(?:encoded|scored|step|part) ([\d,]+) of ([\d,]+)")
"""How a fit says how far it is: "encoded 512 of 8000 new texts", "step 40 of 400"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What became of a contender: its model (`tree_blob`) with figures, or the `error`.

    `work_s` is what `train_s` would be on an idle machine, where that is known.
    `members` name the contenders that it is made of, if it is a combination. With folds the model is fitted on all
    rows, and `folds` are its like, each fitted without one fold (trees, in the order of the folds); `again` are those
    of folds that were dealt anew, in turn. `losses` are what this model alone goes without; `cut` is what the limit of
    its fit cut short, and `left_out` why it ended before there was a model. `held_blob` is what `hold_out` would
    find, where the fit has found it on its way. `seen_blob` is what one that was fitted on all rows says of test rows.
    `resumed` is where its fit went on from a checkpoint.
    """

    contender: Contender
    key: str
    tree_blob: str | None = None
    train_s: float = 0.0
    work_s: float | None = None
    peak_memory_bytes: int = 0
    size_bytes: int = 0
    chosen: Mapping[str, Json] | None = None
    signature: Mapping[str, Json] | None = None
    error: str | None = None
    traceback: str | None = None
    members: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    cut: Cut | None = None
    left_out: OutOfTime | OutOfBudget | None = None
    held_blob: str | None = None
    seen_blob: str | None = None
    resumed: tuple[str, ...] = ()


def fit(stage: Stage, steps: Steps, gathered: Gathered) -> list[Fitted]:
    """Fit the contenders that are not fitted yet on exactly this; results in the contenders' order."""
    asks = [FitRequest.of("fit", c, job_of(stage, gathered, c)) for c in stage.contenders]
    results = fit_each(stage, steps, asks)
    return [fitted_of(ask, results[ask.name]) for ask in asks]


@dataclass(frozen=True, slots=True, kw_only=True)
class LateFit(JobResult):
    """A fit that was ended, as its limit was long over, before it had a model: no failure, but a want of time."""

    out_of_time: OutOfTime


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
    results: dict[str, Result | JobResult] = {
        ask.name: result for ask in asks if (result := made_before(stage, steps, ask)) is not None
    }
    waiting = {ask.name: ask for ask in asks if ask.name not in results}
    done_s: list[float] = []
    for at, result in enumerate(run_jobs(stage, [ask.job for ask in waiting.values()])):
        if result.value is None:
            results[result.name] = result
            stage.progress(without_model(result))
        else:
            stored = with_budget(stage, result.name, result.value) | {"tree_blob": result.outputs[MODEL]}
            if result.value.get("held"):
                stored["held_blob"] = result.outputs[HELD]
            stored |= {"seen_blob": result.outputs[SEEN]} if SEEN in result.outputs else {}
            results[result.name] = steps.publish(waiting[result.name].key, stored)
            done_s.append(result.seconds)
            stage.progress(f"{result.name}: fitted in {result.seconds:.1f} s{_to_go(stage, done_s, len(waiting))}")
        if not at:  # while the others run, and not before the first
            expect(stage.compute, stage.contenders, LATER)
    return results


def run_jobs(stage: Stage, jobs: Sequence[Job], *, exclusive: bool = False) -> Iterator[JobResult]:
    """The results of jobs as they come; what they tell goes on with their names before it.

    Those that ask for more threads begin first, and those that ask for few then fill the machine together; of these,
    a job of the candidate whose last one took longest comes next, so that no core waits long for the last. A fit that
    chooses gets its limit when it begins: a share of what is then left of the run's time. One that is killed as that is
    long over comes as a `LateFit`.
    """
    limited = _Limited(stage, jobs)
    done: dict[str, float] = {}

    def progress(name: str, line: str) -> None:
        for part, whole in PROGRESS.findall(line):
            done[name] = int(part.replace(",", "") or 0) / max(1, int(whole.replace(",", "") or 0))
        stage.progress(f"{name}: {line}")

    for result in stage.compute.run(limited, progress=progress, exclusive=exclusive):
        limited.took_s[_candidate(result.name)] = result.seconds
        yield _in_time(stage, result, limited.limits_s.get(result.name), done.get(result.name, 1.0))


def _to_go(stage: Stage, done_s: Sequence[float], fits: int) -> str:
    """How many fits are left, and about how long those take if they are like the ones before."""
    left = fits - len(done_s)
    if left < FEW_LEFT:
        return ""
    return f"; {left} fits to go, about {sum(done_s) / len(done_s) * left / stage.at_once:.0f} s"


class _Limited:
    """Jobs, of which each fit that chooses gets its limit when it is taken."""

    def __init__(self, stage: Stage, jobs: Sequence[Job]) -> None:
        self._stage, self._jobs = stage, jobs
        self.limits_s: dict[str, float] = {}
        self.took_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        waiting = list(self._jobs)
        for at in range(len(self._jobs)):
            job = waiting.pop(max(range(len(waiting)), key=lambda place: self._rank(waiting[place])))
            given = job.argument
            if isinstance(given, FitArgument) and job.function in {FIT, FIT_FOLDS} and given.chosen is None:
                limit_s = self._stage.time.fit_s(len(self) - at, self._stage.at_once)
                if limit_s is not None and isinstance(given, FoldsArgument):
                    limit_s /= len(given.folds)
                if limit_s is not None:
                    self.limits_s[job.name] = limit_s
                yield replace(job, argument=msgspec.structs.replace(given, limit_s=limit_s))
            else:
                yield job

    def _rank(self, job: Job) -> tuple[int, float]:
        """Of those with the highest the first comes next; a candidate that nothing is known of may take long."""
        return job.resources.threads, self.took_s.get(_candidate(job.name), math.inf)


def _candidate(name: str) -> str:
    """Of a job's name: "linear" of "linear, fold 1 of 5"."""
    return name.partition(",")[0]


def made_before(stage: Stage, steps: Steps, ask: FitRequest) -> Result | None:
    """The result of a fit that is made, unless its limit cut it short and this run may take clearly longer."""
    result = steps.done(ask.key)
    cut = None if result is None else msgspec.convert(result.get("cut"), Cut | None)
    return None if cut is not None and stage.time.allows_more_than(cut.budget_s) else result


def with_budget(stage: Stage, name: str, value: Mapping[str, Json]) -> dict[str, Json]:
    """What a fit gave, as it is stored: if its limit cut it short, with the budget of the run; and that is told."""
    cut = msgspec.convert(value.get("cut"), Cut | None)
    if cut is None:
        return dict(value)
    stage.progress(f"{name}: {cut.sentence}")
    return {**value, "cut": msgspec.to_builtins(replace(cut, budget_s=stage.time.budget_s))}


def killed(result: JobResult) -> JobResult:
    """A fit that the alarm of its limit ended, told as what it is."""
    if f"signal {int(signal.SIGALRM)} " not in (result.error or ""):
        return result
    why = f"it did not end within its share of the run's time, and was killed after {result.seconds:.0f} s"
    return replace(result, error=f"{why}; give it more: bakeoff run --budget 2h, or none", traceback=None)


def _in_time(stage: Stage, result: JobResult, limit_s: float | None, done: float) -> JobResult:
    """The result of a job, or the `LateFit` that it is; `done` is the share that its last fit had done, as it said."""
    ended, ended_s = killed(result), far_over(limit_s)
    if ended is result or limit_s is None or ended_s is None:
        return ended
    late = OutOfTime(
        limit_s=limit_s,
        ended_s=ended_s,
        needs_s=ended_s / done if 0 < done <= 1 else ended_s,
        budget_s=stage.time.budget_s,
    )
    return LateFit(name=ended.name, error=ended.error, seconds=ended.seconds, out_of_time=late)


def without_model(result: JobResult) -> str:
    """A fit that came to no model, in a line."""
    why = left_out(result)
    return f"{result.name}: failed: {result.error}" if why is None else f"{result.name}: {why.sentence}"


def left_out(result: JobResult) -> OutOfTime | OutOfBudget | None:
    """Which budget ended a job, if one has; then nothing failed."""
    return result.out_of_time if isinstance(result, LateFit) else result.out_of_budget


def refit(stage: Stage, steps: Steps, gathered: Gathered, fitted: Fitted) -> Fitted:
    """Fit a contender once more on all rows, with what its first fit chose on validation rows; on all cores."""
    ask = on_all_rows(stage, gathered, fitted.contender, fitted.chosen or {}, outputs=(MODEL, SEEN))
    alone = replace(ask.job.resources, threads=stage.compute.cores)
    ask = replace(ask, job=replace(ask.job, resources=alone))
    made = fitted_of(ask, fit_each(stage, steps, [ask])[ask.name])
    if made.tree_blob is None:
        return replace(fitted, error=made.error, traceback=made.traceback, left_out=made.left_out, tree_blob=None)
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

    Where the first fit has not found it on its way, by one more, with what the first one chose. One that fails is told
    of and left out.
    """
    at_hand = {each.contender.name: BlobRef(each.held_blob) for each in fitted if each.held_blob is not None}
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
        if each.held_blob is None
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
    more = {name: BlobRef(str(kept["held_blob"])) for name, kept in done.items() if kept is not None}
    return {each.contender.name: blob for each in fitted if (blob := (at_hand | more).get(each.contender.name))}


def job_of(stage: Stage, gathered: Gathered, contender: Contender, **more: Any) -> Job:
    """The job that fits a contender; `more` are fields of its `FitArgument`."""
    data = gathered.summary
    argument = FitArgument(
        family=contender.family_name,
        params=msgspec.to_builtins(contender.params),
        task=stage.config.project.task,
        schema=gathered.schema,
        metric=stage.live_metric,
        seed=stage.seed,
        by_time=gathered.summary.split == "time",
        own_rows=data.rows - data.from_feedback if data.from_feedback else None,
        remote=stage.config.privacy.remote,
        **more,
    )
    return Job(
        name=contender.name,
        function=FIT,
        argument=argument,
        inputs={TABLE: BlobRef(gathered.table_blob), ROWS: BlobRef(gathered.rows_blob)},
        outputs=(MODEL,) if argument.chosen is not None or argument.fold is not None else (MODEL, HELD),
        resources=resources_of(stage.compute, contender),
        requires=contender.requires,
        modules=contender.modules or None,
    )


def fitted_of(ask: FitRequest, result: Result | JobResult) -> Fitted:
    """What became of the contender that was asked for."""
    if isinstance(result, JobResult):
        return Fitted(
            contender=ask.contender,
            key=ask.key,
            error=result.error,
            traceback=result.traceback,
            left_out=left_out(result),
        )
    value = msgspec.convert(result, FitValue)
    return Fitted(
        contender=ask.contender,
        key=ask.key,
        tree_blob=str(result["tree_blob"]),
        train_s=value.train_s,
        work_s=value.work_s,
        peak_memory_bytes=value.peak_memory_bytes,
        size_bytes=value.size_bytes,
        chosen=value.chosen,
        signature=value.signature,
        seen_blob=None if result.get("seen_blob") is None else str(result["seen_blob"]),
        losses=tuple(replace(loss, candidate=ask.contender.name) for loss in value.losses),
        cut=value.cut,
        resumed=tuple(value.resumed),
        held_blob=str(result["held_blob"]) if "held_blob" in result else None,
    )
