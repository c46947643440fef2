"""Processes that work on blocks, each on one thread; answers come back in the order of the questions."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO, Any, Self, cast

import msgspec

from bakeoff.core import errors
from bakeoff.core.errors import BakeoffError, DataError
from bakeoff.prepare.corpus.work import Done, Plan, Task

__all__ = ["Pool", "error_of"]

WAIT_S = 0.2
AHEAD = 2  # tasks in hand for each worker: more would only pile up results
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"),
)


class Pool:
    """Workers for one plan; leaves none behind, and they end with their parent however it ends."""

    def __init__(self, plan: Plan, workers: int) -> None:
        self._replies: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        self._stderr = [cast("IO[bytes]", tempfile.TemporaryFile()) for _ in range(workers)]  # noqa: SIM115
        self._processes = [self._start(number) for number in range(workers)]
        request = json.dumps({"path": sys.path}).encode() + b"\n" + msgspec.json.encode(plan) + b"\n"
        for number in range(workers):
            self._send(number, request)
        self._idle = deque(range(workers))
        self.peak_memory_bytes = [0] * workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process, stderr in zip(self._processes, self._stderr, strict=True):
            process.kill()
            process.wait()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            stderr.close()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bakeoff.prepare.corpus.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr[number],
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, "1"),
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends its workers
        )
        threading.Thread(target=self._forward, args=(number, process), daemon=True).start()
        return process

    def _forward(self, number: int, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._replies.put((number, line))
        self._replies.put((number, b""))

    def _send(self, number: int, request: bytes) -> None:
        stdin = self._processes[number].stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: its end is told by its stdout
            stdin.write(request)
            stdin.flush()

    def run(self, tasks: Iterable[Task]) -> Iterator[Done]:
        """What became of each task, in the order of the tasks; few are in hand at once.

        Raises:
            BakeoffError: what a worker raised; DataError: a worker died.
        """
        done: dict[int, Done] = {}
        at: dict[int, int] = {}
        given = told = 0
        waiting = iter(tasks)
        task = next(waiting, None)
        while task is not None or told < given:
            while task is not None and self._idle and given - told < AHEAD * len(self._processes):
                worker = self._idle.popleft()
                self._send(worker, msgspec.json.encode(task) + b"\n")
                at[worker], given, task = given, given + 1, next(waiting, None)
            worker, line = self._next()
            done[at.pop(worker, -1)] = self._answer(worker, line)
            self._idle.append(worker)
            while told in done:
                yield done.pop(told)
                told += 1

    def _next(self) -> tuple[int, bytes]:
        """Wait in short waits: polars' handler of SIGINT restarts a long one, and Ctrl-C is never seen."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._replies.get(timeout=WAIT_S)

    def _answer(self, worker: int, line: bytes) -> Done:
        if not line:
            code = self._processes[worker].wait()
            self._stderr[worker].seek(0)
            told = self._stderr[worker].read().decode(errors="replace").strip().rpartition("\n")[2]
            killed = f"killed by signal {-code} (out of memory? fewer workers need less)"
            why = killed if code < 0 else f"gone with code {code}: {told}"
            raise DataError(f"a worker was {why}. Nothing was written.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise error_of(answer["kind"], answer["error"])
        done = msgspec.convert(answer, Done)
        self.peak_memory_bytes[worker] = max(self.peak_memory_bytes[worker], done.peak_memory_bytes)
        return done


def error_of(kind: str, message: str) -> BakeoffError:
    """What a worker raised: an error of ours by the name of its class."""
    known = getattr(errors, kind, DataError)
    return known(message) if issubclass(known, BakeoffError) else DataError(message)
