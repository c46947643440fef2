"""Fit every contender, each in a process of its own; one that fails does not stop the others."""

import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import msgspec

from bakeoff.core.closure import code_of, module_of
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import Job, JobResult
from bakeoff.core.types import Json
from bakeoff.environment.capture import versions_of
from bakeoff.loop.cache import Result, Steps
from bakeoff.loop.context import Contender, Stage
from bakeoff.loop.dataset import Gathered, load_arrays
from bakeoff.loop.sides import write_fold
from bakeoff.train.worker import FIT, HELD, HOLD_OUT

__all__ = [
    "Ask",
    "Fitted",
    "fit",
    "fit_each",
    "fitted_of",
    "hold_out",
    "inputs_of",
    "job_of",
    "on_all_rows",
    "refit",
    "workspace",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What became of a contender: its model (`tree_blob`) with figures, or the `error`.

    `members` name the contenders that it is made of, if it is a combination. With folds the model is fitted on all
    rows, and `folds` are its like, each fitted without one fold (trees, in the order of the folds). `losses` are what
    this model alone goes without.
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


@contextmanager
def workspace(stage: Stage, gathered: Gathered, name: str) -> Generator[Path]:
    """A scratch folder that holds the prepared table and the split as files, for workers."""
    folder = stage.work / f"{name}-{stage.new_id()}"
    folder.mkdir(parents=True)
    try:
        stage.blobs.fetch(gathered.table_blob, folder / "table.parquet")
        stage.blobs.fetch(gathered.rows_blob, folder / "rows.npz")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fit(stage: Stage, steps: Steps, gathered: Gathered) -> list[Fitted]:
    """Fit the contenders that are not fitted yet on exactly this; results in the contenders' order."""
    asks = [
        Ask(name=c.name, contender=c, key=steps.key("fit", inputs_of(stage, gathered, c))) for c in stage.contenders
    ]
    results = fit_each(stage, steps, gathered, asks)
    return [fitted_of(ask, results[ask.name]) for ask in asks]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A fit that is wanted: the name of its job, the key of its step, and what it is fitted on.

    Without a fold these are the split's training and validation rows, or all rows with what was `chosen` before.
    """

    name: str
    contender: Contender
    key: str
    fold: int | None = None
    chosen: Mapping[str, Json] | None = None


def fit_each(stage: Stage, steps: Steps, gathered: Gathered, asks: Sequence[Ask]) -> dict[str, Result | JobResult]:
    """Make the fits that are not made yet: by name what is kept of each, or how its job failed."""
    found: dict[str, Result | JobResult] = {ask.name: kept for ask in asks if (kept := steps.done(ask.key)) is not None}
    waiting = {ask.name: ask for ask in asks if ask.name not in found}
    if waiting:
        with workspace(stage, gathered, "fit") as folder:
            for fold in {ask.fold for ask in waiting.values() if ask.fold is not None}:
                write_fold(load_arrays(stage.blobs, gathered.rows_blob), fold, folder / f"rows-{fold}.npz")
            jobs = [_asked(stage, gathered, ask, folder) for ask in waiting.values()]
            for result in stage.compute.run(jobs, progress=lambda name, line: stage.progress(f"{name}: {line}")):
                if result.value is None:
                    stage.progress(f"{result.name}: failed: {result.error}")
                    found[result.name] = result
                else:
                    found[result.name] = steps.publish(waiting[result.name].key, _kept(stage, result, folder))
                    stage.progress(f"{result.name}: fitted in {result.seconds:.1f} s")
    return found


def _asked(stage: Stage, gathered: Gathered, ask: Ask, folder: Path) -> Job:
    job = job_of(
        stage, gathered, ask.contender, folder, rows="train" if ask.chosen is None else "all", chosen=ask.chosen
    )
    argument = {**job.argument, "out_dir": str(folder / ask.name)}
    if ask.fold is not None:
        argument["rows_path"] = str(folder / f"rows-{ask.fold}.npz")
    return replace(job, name=ask.name, argument=argument)


def refit(stage: Stage, steps: Steps, gathered: Gathered, fitted: Fitted) -> Fitted:
    """Fit a contender once more on all rows, with what its first fit chose on validation rows."""
    ask = on_all_rows(stage, steps, gathered, fitted.contender, fitted.chosen or {})
    made = fitted_of(ask, fit_each(stage, steps, gathered, [ask])[ask.name])
    if made.tree_blob is None:
        return replace(fitted, error=made.error, traceback=made.traceback, tree_blob=None)
    return replace(made, members=fitted.members)


def on_all_rows(
    stage: Stage, steps: Steps, gathered: Gathered, contender: Contender, chosen: Mapping[str, Json]
) -> Ask:
    """The fit of a contender on all rows."""
    inputs = inputs_of(stage, gathered, contender) | {"rows": "all", "chosen": dict(chosen)}
    return Ask(name=contender.name, contender=contender, key=steps.key("refit", inputs), chosen=chosen)


def hold_out(stage: Stage, steps: Steps, gathered: Gathered, fitted: Sequence[Fitted]) -> dict[str, str]:
    """What each contender says of validation rows when it is fitted on training rows alone: blobs, by name.

    One fit each, with what the first one chose. One that fails is told of and left out.
    """
    keys = {
        each.contender.name: steps.key(
            "hold_out", inputs_of(stage, gathered, each.contender) | {"chosen": dict(each.chosen or {})}
        )
        for each in fitted
    }
    done = {name: steps.done(key) for name, key in keys.items()}
    waiting = [each for each in fitted if done[each.contender.name] is None]
    if waiting:
        stage.progress("holding validation rows out: fitting on training rows alone")
        with workspace(stage, gathered, "hold-out") as folder:
            jobs = [
                replace(job_of(stage, gathered, each.contender, folder, chosen=each.chosen or {}), function=HOLD_OUT)
                for each in waiting
            ]
            for result in stage.compute.run(jobs, progress=lambda name, line: stage.progress(f"{name}: {line}")):
                if result.value is None:
                    stage.progress(f"{result.name}: not combined with others: {result.error}")
                    continue
                blob = stage.blobs.put(folder / result.name / HELD)
                done[result.name] = steps.publish(keys[result.name], {"held_blob": blob})
    return {name: cast("str", kept["held_blob"]) for name, kept in done.items() if kept is not None}


def inputs_of(stage: Stage, gathered: Gathered, contender: Contender) -> dict[str, Json]:
    """All that a fit of the contender depends on, for the key of a step."""
    return {
        "table": gathered.table_blob,
        "rows": gathered.rows_blob,
        "schema": msgspec.to_builtins(gathered.schema),
        "task": stage.config.project.task,
        "family": contender.family_name,
        "params": msgspec.to_builtins(contender.params),
        "metric": stage.live_metric,
        "seed": stage.seed,
        "code": [contender.code, code_of(module_of(FIT))],
        "environment": cast("Json", versions_of(contender.requires)),
    }


def job_of(
    stage: Stage,
    gathered: Gathered,
    contender: Contender,
    folder: Path,
    *,
    rows: Literal["train", "all"] = "train",
    chosen: Mapping[str, Json] | None = None,
) -> Job:
    """The job that fits a contender in a workspace."""
    argument: dict[str, Json] = {
        "family": contender.family_name,
        "params": msgspec.to_builtins(contender.params),
        "task": stage.config.project.task,
        "schema": msgspec.to_builtins(gathered.schema),
        "metric": stage.live_metric,
        "table_path": str(folder / "table.parquet"),
        "rows_path": str(folder / "rows.npz"),
        "rows": rows,
        "chosen": None if chosen is None else dict(chosen),
        "seed": stage.seed,
        "threads": stage.compute.threads,
        "cache_dir": str(stage.cache),
        "remote": stage.config.privacy.remote,
        "out_dir": str(folder / contender.name),
    }
    return Job(name=contender.name, function=FIT, argument=argument, requires=contender.requires)


def _kept(stage: Stage, result: JobResult, folder: Path) -> Result:
    assert result.value is not None
    return dict(result.value) | {"tree_blob": stage.blobs.put_tree(folder / result.name)}


def fitted_of(ask: Ask, result: Result | JobResult) -> Fitted:
    """What became of the contender that was asked for."""
    if isinstance(result, JobResult):
        return Fitted(contender=ask.contender, key=ask.key, error=result.error, traceback=result.traceback)
    figures = {name: result[name] for name in ("tree_blob", "train_s", "peak_memory_bytes", "size_bytes", "chosen")}
    signature = cast("Mapping[str, Json]", result["signature"])
    losses = msgspec.convert(result.get("losses", []), tuple[Loss, ...])
    losses = tuple(replace(loss, candidate=ask.contender.name) for loss in losses)
    return Fitted(contender=ask.contender, key=ask.key, signature=signature, losses=losses, **figures)  # pyright: ignore[reportArgumentType]
