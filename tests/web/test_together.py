"""Processes that belong together: one that dies is started again, all end on SIGTERM, none outlives the parent."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

SCRIPT = textwrap.dedent(
    """
    import sys
    from bakeoff.web import together
    together.SHORT_S = 0.05
    part = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"
    commands = {name: [sys.executable, "-c", part] for name in ("one", "two")}
    together.Together(commands, lambda name, line: print(name, line, flush=True)).run()
    print("ended", flush=True)
    """
)


class Running:
    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
        self.lines: list[list[str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.split())

    def pids(self, name: str) -> list[int]:
        return [int(words[1]) for words in self.lines if words[0] == name]


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.02)
    return pytest.fail("it did not happen")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def running():
    made = Running()
    with made.process:
        yield made
        made.process.kill()


def test_what_dies_is_started_again_and_all_end_together(running):
    first, other = until(lambda: running.pids("one"))[0], until(lambda: running.pids("two"))[0]
    os.kill(first, signal.SIGKILL)
    second = until(lambda: running.pids("one")[1:])[0]
    assert is_alive(second)
    assert running.pids("two") == [other]
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    until(lambda: ["ended"] in running.lines)
    assert not is_alive(second)
    assert not is_alive(other)
