"""Run jobs in processes of their own on this machine.

A job is a function's name and JSON, so that nothing is pickled and a job that dies (a crash, no memory)
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from bakeoff.compute.fork_server import WAIT_S, ForkedWorker, WorkerKind, possible
from bakeoff.core.protocols import Job, JobResult

__all__ = ["LocalCompute"]

STDERR_TAIL_BYTES = 20_000
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


_KINDS: dict[tuple[object, ...], WorkerKind] = {}
"""Of this process: projects that are opened one after the other share what is imported, as they share its modules."""
HEAVY = "torch"
"""Families that stand on it have most of their memory and imports in common; they share workers."""
IGNORED_VARIABLES = frozenset({"PYTEST_CURRENT_TEST"})


@dataclass(slots=True)
class _Worker:
    job: Job
    kind: WorkerKind
    process: subprocess.Popen[bytes] | ForkedWorker
    stdin: IO[bytes]
    stderr: IO[bytes]
    started: float


class LocalCompute:
    """The `local` backend of `bakeoff.core.protocols.Compute`.

    Args:
        workers: how many jobs run at once; 0: one for each core, but no more than `jobs`.
        threads: threads that a job may use; 0: its share of the cores.
        jobs: how many jobs are to be expected.
    """

    def __init__(self, *, workers: int = 0, threads: int = 0, jobs: int = 2**16) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = workers or max(1, min(cores, jobs))
        self._threads = threads or max(1, cores // self.workers)

    @property
    def threads(self) -> int:
        """Threads that one job may use."""
        return self._threads

    def run(
        self, jobs: Iterable[Job], *, progress: Callable[[str, str], None], exclusive: bool = False
    ) -> Iterator[JobResult]:
        """Run the jobs, yielding each result as it comes (see `Compute.run`)."""
        waiting, done = iter(jobs), False
        running: dict[str, _Worker] = {}
        messages: queue.SimpleQueue[tuple[str, bytes | None]] = queue.SimpleQueue()
        values: dict[str, dict[str, Any]] = {}
        at_once = 1 if exclusive else self.workers
        try:
            while True:
                while not done and len(running) < at_once:
                    job = next(waiting, None)
                    if job is None:
                        done = True
                    else:
                        running[job.name] = self._start(job, messages)
                if not running:
                    return
                name, line = _next(messages)
                if line is None:
                    yield _result(running.pop(name), values.get(name))
                    continue
                message = json.loads(line)
                if "progress" in message:
                    progress(name, message["progress"])
                else:
                    values[name] = message
        finally:
            for worker in running.values():
                worker.process.kill()
                _close(worker)

    def _start(self, job: Job, messages: "queue.SimpleQueue[tuple[str, bytes | None]]") -> _Worker:
        stderr = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115 - closed with its worker
        (requests, request_end), (answer_end, answers) = os.pipe(), os.pipe()
        environ = os.environ | dict.fromkeys(THREAD_VARIABLES, str(self._threads))
        kind = _kind(environ, job)
        process = _process(kind, environ, (requests, answers, stderr.fileno()))
        for end in (requests, answers):  # the worker's own
            os.close(end)
        request = {
            "function": job.function,
            "argument": dict(job.argument),
            "path": sys.path,
            "folder": str(Path.cwd()),
            "modules": not kind.knows(job.function),
        }
        stdin, stdout = os.fdopen(request_end, "wb"), os.fdopen(answer_end, "rb")
        with contextlib.suppress(BrokenPipeError):  # it died at once: its exit code tells why
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()  # and left open: its end tells the worker that the parent is gone
        threading.Thread(target=_forward, args=(job.name, stdout, messages), daemon=True).start()
        return _Worker(job, kind, process, stdin, stderr, time.monotonic())


def _kind(environ: Mapping[str, str], job: Job) -> WorkerKind:
    variables = tuple(sorted((name, value) for name, value in environ.items() if name not in IGNORED_VARIABLES))
    requires = tuple(sorted(job.requires))
    key = (HEAVY if HEAVY in requires else requires, variables)
    if key not in _KINDS:
        _KINDS[key] = WorkerKind(requires, environ)
    return _KINDS[key]


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


def _next(messages: "queue.SimpleQueue[tuple[str, bytes | None]]") -> tuple[str, bytes | None]:
    """Wait for a message in short waits: polars' handler of SIGINT restarts a long one, and Ctrl-C is never seen."""
    while True:
        with contextlib.suppress(queue.Empty):
            return messages.get(timeout=WAIT_S)


def _forward(name: str, stdout: IO[bytes], messages: "queue.SimpleQueue[tuple[str, bytes | None]]") -> None:
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


def _result(worker: _Worker, message: dict[str, Any] | None) -> JobResult:
    name, seconds = worker.job.name, time.monotonic() - worker.started
    code, tail = _close(worker)
    if message is None:
        why = f"killed by signal {-code} (out of memory?)" if code < 0 else f"ended with code {code}"
        return JobResult(name=name, error=f"the worker was {why}", traceback=tail or None, seconds=seconds)
    if "modules" in message:
        worker.kind.learn(worker.job.function, message["modules"])
    return JobResult(
        name=name,
        value=message.get("value"),
        error=message.get("error"),
        traceback=message.get("traceback"),
        seconds=seconds,
        peak_memory_bytes=message["peak_memory_bytes"],
    )
