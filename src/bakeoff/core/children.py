"""Processes that end with the one that started them: both sides of it."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

__all__ = ["PARENT", "Child", "end_with_parent"]

PARENT = "BAKEOFF_PARENT"
"""Set for a process that is to end when the one that started it has ended: its standard input tells."""
STDIN = 0
SHORTEST_WAIT_S = 0.1


class Child:
    """A process that was started; the command line of bakeoff ends by itself when this process is gone.

    Args:
        command: starts it, in a session of its own: a Ctrl-C at the terminal comes to this process alone.
        on_line: called in a thread with each line that it writes to `lines_of`, and with None when there are no more.
        lines_of: which of its outputs is read, or both as one; with "stderr" the other one is thrown away.
        folder: where it runs.
        fds: file descriptors that it inherits.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_line: Callable[[str | None], None],
        *,
        lines_of: Literal["stdout", "stderr", "both"] = "stdout",
        folder: Path | None = None,
        fds: Sequence[int] = (),
    ) -> None:
        self.began = time.monotonic()
        outputs = {"stdout": None, "stderr": subprocess.PIPE, "both": subprocess.STDOUT}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # its end tells the child that this process has ended
            stdout=subprocess.DEVNULL if lines_of == "stderr" else subprocess.PIPE,
            stderr=outputs[lines_of],
            text=True,
            errors="replace",
            cwd=folder,
            env=os.environ | {PARENT: "stdin"},
            pass_fds=fds,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(on_line,), daemon=True)
        self._reader.start()

    def _read(self, on_line: Callable[[str | None], None]) -> None:
        with self._process.stdout or self._process.stderr or contextlib.nullcontext(()) as lines:
            for line in lines:
                on_line(line.rstrip("\n"))
        on_line(None)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._process.poll()

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.code is None

    def terminate(self, *, with_own: bool = False) -> None:
        """Ask it to end; with all that it started, where they stayed in its session."""
        if with_own:
            self._signal_all(signal.SIGTERM)
        else:
            self._process.terminate()

    def end(self, seconds: float) -> bool:
        """Wait for its end, and for its last line; False when it took longer, and was killed with all it started."""
        try:
            self._process.wait(max(seconds, SHORTEST_WAIT_S))
            in_time = True
        except subprocess.TimeoutExpired:
            self._signal_all(signal.SIGKILL)
            self._process.wait()
            in_time = False
        self._reader.join(SHORTEST_WAIT_S)  # what it started may have its outputs and live on
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        return in_time

    def _signal_all(self, number: signal.Signals) -> None:
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


def end_with_parent(at_end: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM)) -> None:
    """In a child: call this when the process that started it has ended, by itself as on SIGTERM."""

    def wait() -> None:
        while os.read(STDIN, 1 << 16):
            pass
        at_end()

    threading.Thread(target=wait, daemon=True).start()
