"""Rolling restarts under callers that keep their connections: no request may fail.

`python benchmarks/restarts.py FOLDER [--restarts 50] [--callers 30]`, of a project with a release that takes rows of
the data that it was trained on.
"""

import argparse
import contextlib
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAUSE_S = 0.02
START_S = 120


@dataclass
class Counts:
    """What the callers met."""

    answered: int = 0
    closed: int = 0
    failures: list[str] = field(default_factory=list[str])
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextlib.contextmanager
def served(folder: Path, workers: int) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The server's process and its URL."""
    command = [sys.executable, "-m", "bakeoff", "serve", "-C", str(folder), "--port", "0", "--json"]
    with subprocess.Popen([*command, "--workers", str(workers)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())["url"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def call(url: str, body: bytes, counts: Counts, stop: threading.Event) -> None:
    """Post a row again and again over one connection, anew only where an answer said that it ends."""
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    with contextlib.closing(connection):
        while not stop.is_set():
            try:
                connection.request(
                    "POST", "/predict", body, {"content-type": "application/json", "x-deadline-ms": "30000"}
                )
                answer = connection.getresponse()
                content = answer.read()
                problem = None if answer.status == 200 else f"{answer.status} {content[:200]!r}"
                closes = answer.headers.get("connection") == "close"
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                problem, closes = repr(error), False
            with counts.lock:
                counts.answered += problem is None
                counts.closed += closes
                counts.failures += [problem] if problem else []
            stop.wait(PAUSE_S)


def replaced(process: "subprocess.Popen[str]", before: set[int], count: int) -> set[int]:
    """Have all workers replaced, and wait until those of before are gone."""
    process.send_signal(signal.SIGHUP)
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        now = children(process.pid)
        if not now & before and len(now) == count:
            return now
        time.sleep(0.1)
    raise SystemExit(f"the workers {before} were not replaced within {START_S} s")


def children(pid: int) -> set[int]:
    """The process ids of a process's children."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(each) for each in text.split()}


def measure(folder: Path, row: dict[str, Any], *, restarts: int, callers: int, workers: int = 2) -> Counts:
    """Restart under callers, and count what they met."""
    counts, stop = Counts(), threading.Event()
    body = json.dumps({"row": row}).encode()
    with served(folder, workers) as (process, url):
        threads = [threading.Thread(target=call, args=(url, body, counts, stop)) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            pids = children(process.pid)
            for _ in range(restarts):
                pids = replaced(process, pids, workers)
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
    return counts


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--restarts", type=int, default=50)
    parser.add_argument("--callers", type=int, default=30)
    given = parser.parse_args()
    from bakeoff import Project

    with Project(given.folder) as project:
        inputs = project.engine().signature.inputs
    row = {column.name: 1.0 if column.kind == "numeric" else None for column in inputs}
    began = time.monotonic()
    counts = measure(given.folder, row, restarts=given.restarts, callers=given.callers)
    seconds = time.monotonic() - began
    print(
        f"{given.restarts} rolling restarts of 2 workers under {given.callers} callers in {seconds:.0f} s: "
        f"{counts.answered} answered, {counts.closed} connections closed with an answer, {len(counts.failures)} failed"
    )
    for failure in counts.failures[:10]:
        print(failure)
    sys.exit(bool(counts.failures))


if __name__ == "__main__":
    main()
