"""Fit every contender, each in a process of its own; one that fails does not stop the others."""

import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import msgspec

import bakeoff.train
from bakeoff.core.hashing import digest_sources
from bakeoff.core.protocols import Job, JobResult
from bakeoff.core.types import Json
from bakeoff.environment.capture import versions_of
from bakeoff.loop.gathering import Gathered, data_code
from bakeoff.loop.stage import Contender, Stage
from bakeoff.loop.steps import Result, Steps
from bakeoff.train.worker import FIT, HELD, HOLD_OUT

__all__ = ["Fitted", "fit", "hold_out", "refit", "workspace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What became of a contender: its model (`tree_blob`) with figures, or the `error`.

    `members` name the contenders that it is made of, if it is a combination.
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
    keys = {c.name: steps.key("fit", _inputs(stage, gathered, c)) for c in stage.contenders}
    done = {name: steps.done(key) for name, key in keys.items()}
    waiting = [contender for contender in stage.contenders if done[contender.name] is None]
    failed: dict[str, JobResult] = {}
    if waiting:
        with workspace(stage, gathered, "fit") as folder:
            jobs = [_job(stage, gathered, contender, folder) for contender in waiting]
            for result in stage.compute.run(jobs, progress=lambda name, line: stage.progress(f"{name}: {line}")):
                if result.value is None:
                    stage.progress(f"{result.name}: failed: {result.error}")
                    failed[result.name] = result
                else:
                    done[result.name] = steps.publish(keys[result.name], _kept(stage, result, folder))
                    stage.progress(f"{result.name}: fitted in {result.seconds:.1f} s")
    return [_fitted(contender, keys[contender.name], done, failed) for contender in stage.contenders]


def refit(stage: Stage, steps: Steps, gathered: Gathered, fitted: Fitted) -> Fitted:
    """Fit a contender once more on all rows, with what its first fit chose on validation rows."""
    contender = fitted.contender
    inputs = _inputs(stage, gathered, contender) | {"rows": "all", "chosen": dict(fitted.chosen or {})}
    key = steps.key("refit", inputs)
    kept = steps.done(key)
    if kept is None:
        with workspace(stage, gathered, "refit") as folder:
            job = _job(stage, gathered, contender, folder, rows="all", chosen=fitted.chosen)
            (result,) = stage.compute.run([job], progress=lambda name, line: stage.progress(f"{name}: {line}"))
            if result.value is None:
                return replace(fitted, error=result.error, traceback=result.traceback, tree_blob=None)
            kept = steps.publish(key, _kept(stage, result, folder))
    return replace(_fitted(contender, key, {contender.name: kept}, {}), members=fitted.members)


def hold_out(stage: Stage, steps: Steps, gathered: Gathered, fitted: Sequence[Fitted]) -> dict[str, str]:
    """What each contender says of validation rows when it is fitted on training rows alone: blobs, by name.

    One fit each, with what the first one chose. One that fails is told of and left out.
    """
    keys = {
        each.contender.name: steps.key(
            "hold_out", _inputs(stage, gathered, each.contender) | {"chosen": dict(each.chosen or {})}
        )
        for each in fitted
    }
    done = {name: steps.done(key) for name, key in keys.items()}
    waiting = [each for each in fitted if done[each.contender.name] is None]
    if waiting:
        stage.progress("holding validation rows out: fitting on training rows alone")
        with workspace(stage, gathered, "hold-out") as folder:
            jobs = [
                replace(_job(stage, gathered, each.contender, folder, chosen=each.chosen or {}), function=HOLD_OUT)
                for each in waiting
            ]
            for result in stage.compute.run(jobs, progress=lambda name, line: stage.progress(f"{name}: {line}")):
                if result.value is None:
                    stage.progress(f"{result.name}: not combined with others: {result.error}")
                    continue
                blob = stage.blobs.put(folder / result.name / HELD)
                done[result.name] = steps.publish(keys[result.name], {"held_blob": blob})
    return {name: cast("str", kept["held_blob"]) for name, kept in done.items() if kept is not None}


def _inputs(stage: Stage, gathered: Gathered, contender: Contender) -> dict[str, Json]:
    return {
        "table": gathered.table_blob,
        "rows": gathered.rows_blob,
        "schema": msgspec.to_builtins(gathered.schema),
        "task": stage.config.project.task,
        "family": contender.family_name,
        "params": msgspec.to_builtins(contender.params),
        "metric": stage.metric,
        "seed": stage.seed,
        "code": [contender.code, data_code(), digest_sources(Path(bakeoff.train.__file__).parent)],
        "environment": cast("Json", versions_of(contender.requires)),
    }


def _job(
    stage: Stage,
    gathered: Gathered,
    contender: Contender,
    folder: Path,
    *,
    rows: Literal["train", "all"] = "train",
    chosen: Mapping[str, Json] | None = None,
) -> Job:
    argument: dict[str, Json] = {
        "family": contender.reference,
        "params": msgspec.to_builtins(contender.params),
        "task": stage.config.project.task,
        "schema": msgspec.to_builtins(gathered.schema),
        "metric": stage.metric,
        "table_path": str(folder / "table.parquet"),
        "rows_path": str(folder / "rows.npz"),
        "rows": rows,
        "chosen": None if chosen is None else dict(chosen),
        "seed": stage.seed,
        "threads": stage.compute.threads,
        "cache_dir": str(stage.cache),
        "out_dir": str(folder / contender.name),
    }
    return Job(name=contender.name, function=FIT, argument=argument)


def _kept(stage: Stage, result: JobResult, folder: Path) -> Result:
    assert result.value is not None
    return dict(result.value) | {"tree_blob": stage.blobs.put_tree(folder / result.name)}


def _fitted(
    contender: Contender, key: str, done: Mapping[str, Result | None], failed: Mapping[str, JobResult]
) -> Fitted:
    kept = done[contender.name]
    if kept is None:
        result = failed[contender.name]
        return Fitted(contender=contender, key=key, error=result.error, traceback=result.traceback)
    figures = {name: kept[name] for name in ("tree_blob", "train_s", "peak_memory_bytes", "size_bytes", "chosen")}
    return Fitted(contender=contender, key=key, signature=cast("Mapping[str, Json]", kept["signature"]), **figures)  # pyright: ignore[reportArgumentType]
