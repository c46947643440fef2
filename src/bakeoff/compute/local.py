"""Run jobs in processes of their own on this machine.

A job is a function's name, JSON and blobs, so that nothing is pickled and a job that dies (a crash, no memory)
takes only itself along. A worker ends when its parent does, even when the parent was killed.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from bakeoff.compute.budget import Budget
from bakeoff.compute.fork_server import THREADED, WAIT_S, ForkedWorker, WorkerKind, possible
from bakeoff.compute.job_files import JobFiles
from bakeoff.core.errors import BakeoffError, OutOfBudget
from bakeoff.core.jobs import Job, JobResult, Resources, ignore_checkpoint, module_of
from bakeoff.core.machine import cores
from bakeoff.core.protocols import BlobStore
from bakeoff.core.threads import WAITING

__all__ = ["THREAD_VARIABLES", "LocalCompute", "begin_imports"]

STDERR_TAIL_BYTES = 20_000
OPENBLAS = "OPENBLAS_NUM_THREADS"
"""Of a server that many kinds of jobs share: 1, or each fork begins threads anew before it is told how many to use."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", OPENBLAS, "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


_KINDS: dict[tuple[object, ...], WorkerKind] = {}
"""Of this process: projects that are opened one after the other share what is imported, as they share its modules."""
HEAVY = "torch"
"""Families that stand on it have most of their memory and imports in common; they share workers."""
LIGHT = frozenset({"numpy", "polars", "scipy", "scikit-learn", "lightgbm", "tokenizers", "msgspec", "pydantic"})
"""Distributions of which most candidates need some; those that need no others share one server, and its imports."""
COMMON = ("numpy", "polars", "threadpoolctl")
IGNORED_VARIABLES = frozenset({"PYTEST_CURRENT_TEST", "_RJEM_MALLOC_CONF", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"})
"""Of no matter to workers; all but the first are set by what this process imports meanwhile: polars, threadpoolctl,
scikit-learn."""

_Messages = queue.SimpleQueue[tuple[str, bytes | None]]


@dataclass(slots=True)
class _Worker:
    job: Job
    holds: Resources
    kind: WorkerKind
    process: subprocess.Popen[bytes] | ForkedWorker
    stdin: IO[bytes]
    stderr: IO[bytes]
    started: float


class LocalCompute:
    """The `local` backend of `bakeoff.core.jobs.Compute`.

    Args:
        blobs: where inputs come from and outputs go.
        work: a folder for scratch; made when it is needed.
        cache: the folder that jobs share.
        workers: how many jobs run at once; 0: one for each core, but no more than `jobs`.
        threads: threads that a job may use; 0: its share of the cores.
        jobs: how many jobs are to be expected.
        keep: takes what jobs keep (`JobContext.keep`); on one machine that is where it is needed.
    """

    def __init__(
        self,
        *,
        blobs: BlobStore,
        work: Path,
        cache: Path,
        workers: int = 0,
        threads: int = 0,
        jobs: int = 2**16,
        keep: Callable[[Path], None] = ignore_checkpoint,
    ) -> None:
        self._blobs, self._work, self._cache, self._keep = blobs, work, cache, keep
        self.workers = workers or max(1, min(cores(), jobs))
        self._threads = threads or max(1, cores() // self.workers)
        self._budget = Budget.of_machine(
            threads=self.workers * self._threads if threads else max(cores(), self.workers), share=self._threads
        )

    @property
    def threads(self) -> int:
        """Threads that one job may use."""
        return self._threads

    @property
    def cores(self) -> int:
        """Threads that all jobs together may use."""
        return self._budget.threads

    def expect(self, function: str, requires: Sequence[str], resources: Resources, modules: Sequence[str] = ()) -> None:
        """Begin to import what such a job needs (see `Compute.expect`)."""
        if possible():
            kind = _kind(_environ(self._budget.granted(resources)), requires, modules or None)
            kind.require((), [module_of(function)])
            kind.warm()

    def run(
        self, jobs: Iterable[Job], *, progress: Callable[[str, str], None], exclusive: bool = False
    ) -> Iterator[JobResult]:
        """Run the jobs, yielding each result as it comes (see `Compute.run`)."""
        self._work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="jobs-", dir=self._work) as folder:
            files = JobFiles(self._blobs, Path(folder))
            yield from self._run(iter(jobs), files, progress, at_once=1 if exclusive else self.workers)

    def _run(
        self, waiting: Iterator[Job], files: JobFiles, progress: Callable[[str, str], None], *, at_once: int
    ) -> Iterator[JobResult]:
        running: dict[str, _Worker] = {}
        messages: _Messages = queue.SimpleQueue()
        values: dict[str, dict[str, Any]] = {}
        following: Job | None = None
        try:
            while True:
                while len(running) < at_once and (following := following or next(waiting, None)) is not None:
                    lacking = self._budget.lacks(following.resources)
                    if lacking is not None:
                        yield JobResult(name=following.name, error=lacking)
                    elif self._has_room(following, running.values()):
                        running[following.name] = self._start(following, files, messages)
                    else:
                        break
                    following = None
                if not running:
                    return
                name, line = _next(messages)
                if line is None:
                    yield _result(running.pop(name), values.get(name), files)
                    continue
                message = json.loads(line)
                if "progress" in message:
                    progress(name, message["progress"])
                elif "keep" in message:
                    self._keep(Path(message["keep"]))
                else:
                    values[name] = message
        finally:
            for worker in running.values():
                worker.process.kill()
                _close(worker)

    def _has_room(self, job: Job, running: Iterable[_Worker]) -> bool:
        return self._budget.has_room((worker.holds for worker in running), self._budget.granted(job.resources))

    def _start(self, job: Job, files: JobFiles, messages: _Messages) -> _Worker:
        holds = self._budget.granted(job.resources)
        context = files.context(job, cache=self._cache, threads=holds.threads, progress=lambda _: None)
        stderr = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115 - closed with its worker
        (requests, request_end), (answer_end, answers) = os.pipe(), os.pipe()
        environ = _environ(holds)
        kind = _kind(environ, job.requires, job.modules)
        process = _process(kind, environ, (requests, answers, stderr.fileno()))
        for end in (requests, answers):  # the worker's own
            os.close(end)
        request = {
            "function": job.function,
            "argument": msgspec.to_builtins(job.argument),
            "inputs": {name: str(path) for name, path in context.inputs.items()},
            "outputs": {name: str(path) for name, path in context.outputs.items()},
            "scratch": str(context.scratch),
            "cache": str(context.cache),
            "threads": context.threads,
            "environ": {name: environ[name] for name in THREAD_VARIABLES},
            "path": sys.path,
            "folder": str(Path.cwd()),
            "modules": not kind.knows(job.function),
        }
        stdin, stdout = os.fdopen(request_end, "wb"), os.fdopen(answer_end, "rb")
        with contextlib.suppress(BrokenPipeError):  # it died at once: its exit code tells why
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()  # and left open: its end tells the worker that the parent is gone
        threading.Thread(target=_forward, args=(job.name, stdout, messages), daemon=True).start()
        return _Worker(job, holds, kind, process, stdin, stderr, time.monotonic())


def begin_imports() -> None:
    """Begin to import what jobs of most candidates import, before the project that will have jobs is read."""
    if possible():
        _kind(dict(os.environ), (), COMMON).warm()


def _environ(holds: Resources) -> dict[str, str]:
    return WAITING | os.environ | dict.fromkeys(THREAD_VARIABLES, str(holds.threads))


def _kind(environ: Mapping[str, str], requires: Sequence[str], modules: Sequence[str] | None = None) -> WorkerKind:
    own = frozenset(requires) - THREADED - LIGHT
    alike = HEAVY if HEAVY in requires else own
    if not own:  # what they import heeds the number of threads that a worker sets after its fork
        environ = WAITING | dict(environ) | dict.fromkeys(THREAD_VARIABLES, str(cores())) | {OPENBLAS: "1"}
    variables = tuple(sorted((name, value) for name, value in environ.items() if name not in IGNORED_VARIABLES))
    kind = _KINDS.setdefault((alike, variables), WorkerKind(environ))
    kind.require(requires, modules)
    return kind


def _process(
    kind: WorkerKind, environ: Mapping[str, str], streams: tuple[int, int, int]
) -> subprocess.Popen[bytes] | ForkedWorker:
    """A worker: forked where that is possible, else begun anew; Ctrl-C reaches the parent alone, which ends it."""
    forked = kind.fork(streams) if possible() else None
    if forked is not None:
        return forked
    stdin, stdout, stderr = streams
    command = [sys.executable, "-m", "bakeoff.compute.worker"]
    return subprocess.Popen(
        command, stdin=stdin, stdout=stdout, stderr=stderr, env=dict(environ), start_new_session=True
    )


def _next(messages: _Messages) -> tuple[str, bytes | None]:
    """Wait for a message in short waits: polars' handler of SIGINT restarts a long one, and Ctrl-C is never seen."""
    while True:
        with contextlib.suppress(queue.Empty):
            return messages.get(timeout=WAIT_S)


def _forward(name: str, stdout: IO[bytes], messages: _Messages) -> None:
    with stdout as lines:
        for line in lines:
            messages.put((name, line))
    messages.put((name, None))


def _close(worker: _Worker) -> tuple[int, str]:
    """Wait for the process to end; its exit code and the end of what it wrote to stderr."""
    code = worker.process.wait()
    with contextlib.suppress(BrokenPipeError):
        worker.stdin.close()
    with worker.stderr as stderr:
        stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - STDERR_TAIL_BYTES))
        return code, stderr.read().decode(errors="replace")


def _result(worker: _Worker, message: dict[str, Any] | None, files: JobFiles) -> JobResult:
    name, seconds = worker.job.name, time.monotonic() - worker.started
    code, tail = _close(worker)
    if message is None:
        why = f"killed by signal {-code} (out of memory?)" if code < 0 else f"ended with code {code}"
        return JobResult(name=name, error=f"the worker was {why}", traceback=tail or None, seconds=seconds)
    if "modules" in message:
        worker.kind.learn(worker.job.function, message["modules"])
    result = JobResult(
        name=name,
        value=message.get("value"),
        error=message.get("error"),
        traceback=message.get("traceback"),
        out_of_budget=msgspec.convert(message.get("out_of_budget"), OutOfBudget | None),
        seconds=seconds,
        peak_memory_bytes=message["peak_memory_bytes"],
    )
    if result.value is None:
        return result
    try:
        return replace(result, outputs=files.stored(worker.job))
    except BakeoffError as error:
        return replace(result, value=None, error=str(error))
