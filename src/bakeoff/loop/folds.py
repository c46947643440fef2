"""Fit candidates by folds: once without each fold, for scores on rows that were not seen, then on all rows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from bakeoff.core.jobs import Job, JobResult
from bakeoff.core.types import Json
from bakeoff.data.splits import FEW_ROWS
from bakeoff.loop.cache import Result, Steps
from bakeoff.loop.context import Contender, Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.expect import LATER, dear, expect
from bakeoff.loop.fit import (
    FitRequest,
    Fitted,
    fit,
    fit_each,
    fitted_of,
    job_of,
    made_before,
    on_all_rows,
    run_jobs,
    with_budget,
    without_model,
)
from bakeoff.train.worker import FIT_FOLDS, FitArgument, FoldsArgument, FoldsValue, model_without

__all__ = ["fit_all", "middle"]

BATCHES = 3
"""Jobs for each core: a candidate whose fits take longer than those of others leaves no core idle for long."""


def fit_all(stage: Stage, steps: Steps, gathered: Gathered) -> list[Fitted]:
    """Fit the contenders as the split asks: once, or by folds; results in the contenders' order.

    The fits of all folds are jobs beside each other. Without a search, what the last fit, on all rows, does not choose
    again is what the fold chose whose choice is nearest to the others'. A search is of one deal of the folds: what it
    found without a fold has seen rows of each fold of another.
    """
    if not gathered.folds:
        return fit(stage, steps, gathered)
    folds = range(gathered.folds * (gathered.repeats if stage.nested is None else 1))
    asks = {
        c.name: [_without(stage, gathered, _of_fold(stage, fold, at), fold) for fold in folds]
        for at, c in enumerate(stage.contenders)
    }
    results = _fit_folds(stage, steps, gathered, asks)
    parts = {name: [fitted_of(ask, results[ask.name]) for ask in each] for name, each in asks.items()}
    broken = {name: next((part for part in each if part.tree_blob is None), None) for name, each in parts.items()}
    last = {
        c.name: _on_all(stage, gathered, c, [part.chosen or {} for part in parts[c.name]])
        for c in stage.contenders
        if broken[c.name] is None
    }
    few = gathered.test_rows < FEW_ROWS and len(last) >= stage.at_once
    whole = fit_each(stage, steps, [_beside_others(ask) if few else ask for ask in last.values()])
    return [
        broken[c.name] or _whole(fitted_of(last[c.name], whole[c.name]), parts[c.name], gathered.folds)
        for c in stage.contenders
    ]


def _fit_folds(
    stage: Stage, steps: Steps, gathered: Gathered, asks: Mapping[str, Sequence[FitRequest]]
) -> dict[str, Result | JobResult]:
    """The fits of all folds: a job for each; where rows are few, for as many of a candidate as leaves no core idle.

    One that scales then gets its share of the threads, as all others do: of few rows it makes little of more.
    """
    every = [ask for each in asks.values() for ask in each]
    if gathered.test_rows >= FEW_ROWS or dear(stage):
        return fit_each(stage, steps, every)
    results: dict[str, Result | JobResult] = {
        ask.name: result for ask in every if (result := made_before(stage, steps, ask)) is not None
    }
    cores = stage.compute.cores
    share = math.ceil(BATCHES * cores / max(1, len(asks))) if cores > 1 else 1
    batches = {  # candidates in turns: the last jobs are of several, and no core waits for one of them
        _batch_name(batch): batch
        for start in range(share)
        for each in asks.values()
        if (batch := [ask for ask in each if ask.name not in results][start::share])
    }
    alone = len(batches) < stage.at_once
    batched = [_batch(batch if alone else [_beside_others(ask) for ask in batch]) for batch in batches.values()]
    for at, made in enumerate(run_jobs(stage, batched)):
        if not at:  # while the others run
            expect(stage.compute, stage.contenders, LATER)
        results |= _results(stage, steps, batches[made.name], made)
    return results


def _beside_others(ask: FitRequest) -> FitRequest:
    return replace(ask, job=replace(ask.job, resources=replace(ask.job.resources, threads=0)))


def _batch_name(batch: Sequence[FitRequest]) -> str:
    return f"{batch[0].contender.name}, folds {' '.join(str(_fold(ask) + 1) for ask in batch)}"


def _batch(batch: Sequence[FitRequest]) -> Job:
    """One job of the fits of several folds."""
    first = batch[0].job
    assert isinstance(first.argument, FitArgument)
    folds = tuple(_fold(ask) for ask in batch)
    given: dict[str, Json] = msgspec.to_builtins(first.argument)
    argument = msgspec.convert(given | {"fold": None, "folds": list(folds)}, FoldsArgument)
    outputs = tuple(model_without(fold) for fold in folds)
    return replace(first, name=_batch_name(batch), function=FIT_FOLDS, argument=argument, outputs=outputs)


def _fold(ask: FitRequest) -> int:
    assert isinstance(ask.job.argument, FitArgument)
    assert ask.job.argument.fold is not None
    return ask.job.argument.fold


def _results(stage: Stage, steps: Steps, batch: Sequence[FitRequest], made: JobResult) -> dict[str, Result | JobResult]:
    """Of each fit of a batch what is stored of it, or how the batch failed."""
    if made.value is None:
        stage.progress(without_model(made))
        return dict.fromkeys((ask.name for ask in batch), made)
    fits = msgspec.convert(made.value, FoldsValue).fits
    stage.progress(f"{made.name}: fitted without each in {made.seconds:.1f} s")
    stored = {
        ask.key: with_budget(stage, ask.name, msgspec.to_builtins(fit))
        | {"tree_blob": made.outputs[model_without(_fold(ask))]}
        for ask, fit in zip(batch, fits, strict=True)
    }
    steps.publish_all(stored)
    return {ask.name: stored[ask.key] for ask in batch}


def _of_fold(stage: Stage, fold: int, at: int) -> Contender:
    """A contender as a fold's fit has it: with what a search without the fold found, if there was one."""
    return stage.contenders[at] if stage.nested is None else stage.nested.of_folds[fold][at]


def _on_all(
    stage: Stage, gathered: Gathered, contender: Contender, choices: Sequence[Mapping[str, Json]]
) -> FitRequest:
    """The fit on all rows; where a search gave it settings of its own, what the folds chose was for others."""
    if stage.nested is None:
        return on_all_rows(stage, gathered, contender, middle(choices))
    return FitRequest.of(
        "fit", contender, job_of(stage, replace(gathered, rows_blob=stage.nested.rows_blob), contender)
    )


def _without(stage: Stage, gathered: Gathered, contender: Contender, fold: int) -> FitRequest:
    job = job_of(stage, gathered, contender, fold=fold)
    of = gathered.folds * gathered.repeats
    return FitRequest.of("fit", contender, replace(job, name=f"{contender.name}, fold {fold + 1} of {of}"))


def _whole(fitted: Fitted, parts: Sequence[Fitted], folds: int) -> Fitted:
    """The model of all rows, with what it took to make it; the first so many parts are of the first deal."""
    if fitted.tree_blob is None:
        return fitted
    trees = tuple(part.tree_blob or "" for part in parts)
    return replace(
        fitted,
        train_s=fitted.train_s + sum(part.train_s for part in parts),
        work_s=sum(part.train_s if part.work_s is None else part.work_s for part in (fitted, *parts)),
        peak_memory_bytes=max(each.peak_memory_bytes for each in (fitted, *parts)),
        folds=trees[:folds],
        again=trees[folds:],
        cut=next((each.cut for each in (fitted, *parts) if each.cut), None),
    )


def middle(choices: Sequence[Mapping[str, Json]]) -> Mapping[str, Json]:
    """The choice that is nearest to all others, the first of those that are.

    Numbers are as far apart as their places among the choices, other values as far as the choices are many unless
    they are equal: the median of a single number, the most frequent of a single name.

    >>> middle([{"trees": 90}, {"trees": 400}, {"trees": 110}])
    {'trees': 110}
    """
    flat = [dict(_flat(choice)) for choice in choices]
    names = sorted({name for each in flat for name in each})
    columns = [[each.get(name) for each in flat] for name in names]

    def distance(at: int) -> float:
        return sum(_apart(column, at, other) for column in columns for other in range(len(choices)))

    return choices[min(range(len(choices)), key=distance)]


def _flat(choice: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    for name, value in choice.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _apart(column: Sequence[Json], one: int, other: int) -> int:
    numbers = [value for value in column if isinstance(value, int | float)]
    if len(numbers) < len(column):
        return len(column) * (column[one] != column[other])
    places = sorted(set(numbers))
    return abs(places.index(numbers[one]) - places.index(numbers[other]))
