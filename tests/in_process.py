"""What makes runs cheap in tests: jobs in this process, fewer timings, no waiting for the disk.

Everything else is real. Tests of processes, of timings and of the disk have the mark `processes`.
"""

import asyncio
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from uvicorn import server as uvicorn_server

from bakeoff.actions import doctor
from bakeoff.chat import cache
from bakeoff.compute.job_files import JobFiles
from bakeoff.compute.worker import result_of
from bakeoff.config.sections import Config
from bakeoff.core.errors import BakeoffError, OutOfBudget
from bakeoff.core.jobs import Compute, Job, JobResult
from bakeoff.core.protocols import BlobStore
from bakeoff.data import splits
from bakeoff.evaluate.score import worker
from bakeoff.loop import lifecycle
from bakeoff.metrics.timing import Speed, measure
from bakeoff.project import wiring
from bakeoff.security import accounts
from bakeoff.stores.sqlite_driver import SQLite
from bakeoff.train import trial
from bakeoff.train import worker as train

__all__ = ["InProcess", "as_it_is", "hurried"]


class InProcess:
    """Runs jobs where they are asked for, one after the other."""

    threads = cores = 1

    def __init__(self, *, blobs: BlobStore, work: Path, cache: Path, **_: int) -> None:
        self._blobs, self._work, self._cache = blobs, work, cache

    def expect(self, *_: object, **__: object) -> None:
        """Everything is here already."""

    def run(
        self, jobs: Iterable[Job], *, progress: Callable[[str, str], None], exclusive: bool = False
    ) -> Iterator[JobResult]:
        """Run the jobs as a worker does."""
        del exclusive
        self._work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._work) as folder:
            files = JobFiles(self._blobs, Path(folder))
            for job in jobs:
                yield self._run(job, files, partial(progress, job.name))

    def _run(self, job: Job, files: JobFiles, progress: Callable[[str], None]) -> JobResult:
        if job.resources.gpus:
            return JobResult(name=job.name, error=f"expected {job.resources.gpus} GPUs on this machine, received 0")
        started = time.monotonic()
        raised: list[BaseException] = []

        def told(line: str) -> None:
            try:
                progress(line)
            except BaseException as error:  # it is the caller's, not the job's
                raised.append(error)
                raise

        context = files.context(job, cache=self._cache, threads=1, progress=told)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a worker writes them to a file that nobody reads
            message = result_of(job.function, msgspec.to_builtins(job.argument), context)
        if raised:
            raise raised[0]
        result = JobResult(
            name=job.name,
            **message | {"out_of_budget": msgspec.convert(message.get("out_of_budget"), OutOfBudget | None)},
            seconds=time.monotonic() - started,
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
        if result.value is None:
            return result
        try:
            return JobResult(**{**_fields(result), "outputs": files.stored(job)})
        except BakeoffError as error:
            return JobResult(**{**_fields(result), "value": None, "error": str(error)})


def _fields(result: JobResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in JobResult.__dataclass_fields__}


AS_IT_IS = {
    (wiring, "compute"): wiring.compute,
    (worker, "measure"): worker.measure,
    (lifecycle, "capture"): lifecycle.capture,
    (uvicorn_server, "asyncio"): asyncio,
    (os, "fsync"): os.fsync,
    (os, "fdatasync"): os.fdatasync,
    (SQLite, "pragmas"): SQLite.pragmas,
    (cache, "SYNCHRONOUS"): cache.SYNCHRONOUS,
    (doctor, "_imported"): doctor._imported,
    (train, "ended_after"): train.ended_after,
    (trial, "ended_after"): trial.ended_after,
    (splits, "FEW_ROWS"): splits.FEW_ROWS,
    (accounts, "COSTS"): accounts.COSTS,
}
ENVIRONMENT = lifecycle.capture()
FEW_VARY = 20.0
"""So many times apart may few timings of the same work be: of two alike, which one is cheaper must not be chance."""


def as_it_is(replace: Callable[[Any, str, Any], None]) -> None:
    """All as it is outside of tests; `replace` is called like `setattr`."""
    for (place, name), real in AS_IT_IS.items():
        replace(place, name, real)


def hurried(replace: Callable[[Any, str, Any], None]) -> None:
    """Leave out what takes time and changes no prediction; `replace` is called like `setattr`."""
    replace(wiring, "compute", _compute)
    replace(worker, "measure", _few_timings)
    replace(lifecycle, "capture", lambda: ENVIRONMENT)
    replace(uvicorn_server, "asyncio", _Hasty())
    replace(os, "fsync", lambda _: None)
    replace(os, "fdatasync", lambda _: None)
    replace(SQLite, "pragmas", property(lambda self: (AS_IT_IS[SQLite, "pragmas"].fget(self)[0], "OFF")))
    replace(cache, "SYNCHRONOUS", "OFF")
    fine = partial(doctor.HealthCheck, ok=True, message="not imported here")
    replace(doctor, "_imported", lambda name, _: fine(name=name))
    for module in (train, trial):  # the alarm of a job would end the tests
        replace(module, "ended_after", lambda _: nullcontext())
    replace(accounts, "COSTS", {"time_cost": 1, "memory_cost": 8, "parallelism": 1})
    replace(splits, "FEW_ROWS", 0)  # one test part, as large projects have it: folds are as many fits


class _Hasty:
    """`asyncio` for uvicorn, whose servers look every tenth of a second whether to end, and then wait for as long."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        """Sleep for a tenth of it."""
        await asyncio.sleep(seconds / 10)


def _compute(config: Config, blobs: BlobStore, *, work: Path, cache: Path, jobs: int) -> Compute:
    if config.compute.backend == "local":
        return InProcess(blobs=blobs, work=work, cache=cache)
    return AS_IT_IS[wiring, "compute"](config, blobs, work=work, cache=cache, jobs=jobs)


def _few_timings(model: Any, table: Any, *, seed: int, calls: int = 20) -> Speed:
    speed = measure(model, table, seed=seed, calls=min(calls, 20), budget_s=0.02)
    return replace(speed, spread=FEW_VARY)
