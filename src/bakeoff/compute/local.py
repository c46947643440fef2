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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from bakeoff.core.protocols import Job, JobResult

__all__ = ["LocalCompute"]

STDERR_TAIL_BYTES = 20_000
WAIT_S = 0.2
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


@dataclass(slots=True)
class _Worker:
    job: Job
    process: subprocess.Popen[bytes]
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
        process = subprocess.Popen(
            [sys.executable, "-m", "bakeoff.compute.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(self._threads)),
            cwd=Path.cwd(),
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends its workers
        )
        assert process.stdin is not None
        request = {"function": job.function, "argument": dict(job.argument), "path": sys.path}
        with contextlib.suppress(BrokenPipeError):  # it died at once: its exit code tells why
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()  # and left open: its end tells the worker that the parent is gone
        threading.Thread(target=_forward, args=(job.name, process, messages), daemon=True).start()
        return _Worker(job, process, stderr, time.monotonic())


def _next(messages: "queue.SimpleQueue[tuple[str, bytes | None]]") -> tuple[str, bytes | None]:
    """Wait for a message in short waits: polars' handler of SIGINT restarts a long one, and Ctrl-C is never seen."""
    while True:
        with contextlib.suppress(queue.Empty):
            return messages.get(timeout=WAIT_S)


def _forward(
    name: str, process: subprocess.Popen[bytes], messages: "queue.SimpleQueue[tuple[str, bytes | None]]"
) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            messages.put((name, line))
    messages.put((name, None))


def _close(worker: _Worker) -> tuple[int, str]:
    """Wait for the process to end; its exit code and the end of what it wrote to stderr."""
    code = worker.process.wait()
    assert worker.process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        worker.process.stdin.close()
    with worker.stderr as stderr:
        stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - STDERR_TAIL_BYTES))
        return code, stderr.read().decode(errors="replace")


def _result(worker: _Worker, message: dict[str, Any] | None) -> JobResult:
    name, seconds = worker.job.name, time.monotonic() - worker.started
    code, tail = _close(worker)
    if message is None:
        why = f"killed by signal {-code} (out of memory?)" if code < 0 else f"ended with code {code}"
        return JobResult(name=name, error=f"the worker was {why}", traceback=tail or None, seconds=seconds)
    return JobResult(
        name=name,
        value=message.get("value"),
        error=message.get("error"),
        traceback=message.get("traceback"),
        seconds=seconds,
        peak_memory_bytes=message["peak_memory_bytes"],
    )
