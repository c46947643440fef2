"""A process that has imported what jobs need, and from which their workers are forked.

Importing torch and transformers takes seconds, and every job of such a candidate would pay them. Here a server imports
what jobs of a kind require, and each module that an earlier worker of the kind ended with, once; each worker is a fork.
A worker is still a process of its own: what it changes, holds or breaks is gone with it.

Only on Linux, and only where no GPU is: elsewhere a fork is not safe for the system's libraries, or for CUDA.
"""

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bakeoff.core.plugins import forget, names
from bakeoff.core.spared_imports import spare, waits
from bakeoff.core.threads import known_libraries

__all__ = ["THREADED", "WAIT_S", "ForkedWorker", "WorkerKind", "main", "modules_of", "possible", "shareable"]

IDLE_S = 30.0
MESSAGE_BYTES = 1 << 17
MODULES: Mapping[str, str] = {"scikit-learn": "sklearn"}
"""Of distributions that are named otherwise."""
WAIT_S = 0.2
"""At a time: some libraries' handlers of SIGINT restart a long wait, and Ctrl-C is never seen."""
THREADED = frozenset({"onnxruntime", "pyarrow", "xllamacpp", "grpc", "ray", "vllm"})
"""Packages that begin threads when they are imported; a fork would lose those. Each worker imports them itself.

Polars is none of them: what its import begins are threads of its allocator, which begins them anew in a fork, and one
that looks for spilled files. Its pool of threads begins at first use; a server in which that has happened (see `POOL`)
forks no more.
"""
POOL = "polars-0"
"""The name of the first thread of polars' pool."""


def possible() -> bool:
    """Whether workers may be forked here."""
    return sys.platform == "linux" and not Path("/dev/nvidiactl").exists()


def shareable() -> list[str]:
    """The modules of this process that another worker may begin with, in the order of their import.

    Installed ones and bakeoff's own: a module of the user's may have changed when the next worker comes.
    """
    names: list[str] = []
    for name, module in list(sys.modules.items()):
        package = name.partition(".")[0]
        if waits(name):
            continue
        file = getattr(module, "__file__", None) or ""
        known = package == "bakeoff" or package in sys.stdlib_module_names or "site-packages" in file
        if known and package not in THREADED and package != "__main__":
            names.append(name)
    return names


def modules_of(distributions: Iterable[str]) -> list[str]:
    """The modules that are named as these distributions are."""
    return [MODULES.get(each, each.replace("-", "_")) for each in distributions]


class ForkedWorker:
    """A worker that a fork server has made; ended and waited for like a `subprocess.Popen`."""

    def __init__(self, server: "ForkServer", pid: int) -> None:
        self._server, self._pid = server, pid

    def kill(self) -> None:
        """End it at once."""
        self._server.kill(self._pid)

    def wait(self) -> int:
        """Its exit code; below 0: the signal that ended it."""
        return self._server.wait(self._pid)


class ForkServer:
    """The parent's side of a fork server.

    Args:
        environ: The environment in which the modules are imported.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bakeoff.compute.fork_server", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=dict(environ),
                start_new_session=True,
            )
        self._changed = threading.Condition()
        self._one = threading.Lock()
        self._pids: list[int] = []
        self._codes: dict[int, int] = {}
        self._modules: set[str] = set()
        self.alive = True
        threading.Thread(target=self._listen, daemon=True).start()

    def load(self, modules: Sequence[str]) -> None:
        """Have these modules imported, beside what this process does."""
        with self._one, contextlib.suppress(OSError):  # it has ended: the next fork finds out
            self._load(modules)

    def fork(self, modules: Sequence[str], streams: Sequence[int]) -> ForkedWorker | None:
        """A new worker that has these modules, and stdin, stdout and stderr; None where the server has ended."""
        with self._one:
            try:
                self._load(modules)
                socket.send_fds(self._socket, [b"{}"], list(streams))
            except OSError:
                return None
            with self._changed:
                while not self._pids and self.alive:
                    self._changed.wait(WAIT_S)
                return ForkedWorker(self, self._pids.pop()) if self._pids else None

    def _load(self, modules: Sequence[str]) -> None:
        new = [name for name in modules if name not in self._modules]
        for at in range(0, len(new), 500):
            self._socket.send(json.dumps({"path": sys.path, "import": new[at : at + 500]}).encode())
        self._modules.update(new)

    def kill(self, pid: int) -> None:
        """Through the server, which alone knows whether the number is still that worker's."""
        with contextlib.suppress(OSError):
            self._socket.send(json.dumps({"kill": pid}).encode())

    def wait(self, pid: int) -> int:
        """The exit code of a worker; that of a kill where the server has ended with it."""
        with self._changed:
            while pid not in self._codes and self.alive:
                self._changed.wait(WAIT_S)
            return self._codes.pop(pid, -signal.SIGKILL)

    def _listen(self) -> None:
        while message := _received(self._socket):
            with self._changed:
                if "forked" in message:
                    self._pids.append(message["forked"])
                else:
                    self._codes[message["ended"]] = message["code"]
                self._changed.notify_all()
        with self._changed:
            self.alive = False
            self._changed.notify_all()
        self._process.wait()
        self._socket.close()


class WorkerKind:
    """Jobs that share what they import, in the same environment.

    Args:
        environ: The environment of their workers.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._server: ForkServer | None = None
        self._modules: dict[str, None] = {}
        self._functions: set[str] = set()

    def require(self, distributions: Iterable[str], modules: Iterable[str] | None = None) -> None:
        """Begin later workers with these modules; where they are not known, with the distributions' own."""
        modules = modules_of(distributions) if modules is None else modules
        self._modules.update(dict.fromkeys(name for name in modules if name.partition(".")[0] not in THREADED))

    def warm(self) -> None:
        """Begin to import what the next worker will have, without waiting for it."""
        self._living().load(list(self._modules))

    def knows(self, function: str) -> bool:
        """Whether a job of this function has named its modules."""
        return function in self._functions

    def learn(self, function: str, modules: Sequence[str]) -> None:
        """Begin later workers with these modules, too."""
        self._functions.add(function)
        self._modules.update(dict.fromkeys(modules))

    def fork(self, streams: Sequence[int]) -> ForkedWorker | None:
        """A worker with these streams; None where none can be forked."""
        for _ in range(2):
            if (worker := self._living().fork(list(self._modules), streams)) is not None:
                return worker
            self._server = None
        return None

    def _living(self) -> ForkServer:
        if self._server is None or not self._server.alive:
            self._server = ForkServer(self._environ)
        return self._server


def _received(from_: socket.socket) -> dict[str, int]:
    try:
        return json.loads(from_.recv(MESSAGE_BYTES) or b"{}")
    except OSError:
        return {}


class _Server:
    """The fork server itself: one thread, which imports, forks and waits."""

    def __init__(self, parent: socket.socket) -> None:
        from bakeoff.compute.worker import main  # which imports this module

        self._parent, self._run_job = parent, main
        self._wakes, self._wake = socket.socketpair()
        for each in (self._wakes, self._wake):
            os.set_blocking(each.fileno(), False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._alive: set[int] = set()

    def run(self) -> None:
        """Do what the parent asks for, until it is gone or has asked for nothing in a while."""
        gc.disable()  # what is imported stays, and looking through it takes a seventh of the time
        with contextlib.suppress(ImportError):
            spare()
        with selectors.DefaultSelector() as ready:
            ready.register(self._parent, selectors.EVENT_READ)
            ready.register(self._wakes, selectors.EVENT_READ)
            while True:
                events = ready.select(IDLE_S)
                if not events and not self._alive:
                    return
                for key, _ in events:
                    if key.fileobj is self._wakes:
                        self._wakes.recv(1 << 12)
                        self._reap()
                    elif not self._obey():
                        return

    def _obey(self) -> bool:
        data, streams, _, _ = socket.recv_fds(self._parent, MESSAGE_BYTES, 3)
        if not data:
            return False
        message = json.loads(data)
        if "path" in message and message["path"] != sys.path:
            sys.path[:] = message["path"]
            forget()
        for name in message.get("import", ()):
            # Whatever a module needs, the worker that wants it will say.
            with contextlib.suppress(BaseException):
                importlib.import_module(name)
        if "import" in message:
            names("bakeoff.families")  # what is installed is read once, and not by every worker
        # One that was waited for has lost its number, perhaps to a stranger.
        if message.get("kill") in self._alive:
            os.kill(message["kill"], signal.SIGKILL)
        if streams and _pool_has_begun():
            return False
        if streams:
            known_libraries()  # once here, and not again in every worker
            self._fork(streams)
        return True

    def _fork(self, streams: list[int]) -> None:
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            self._become_worker(streams)
        self._alive.add(pid)
        for each in streams:
            os.close(each)
        self._parent.send(json.dumps({"forked": pid}).encode())

    def _become_worker(self, streams: list[int]) -> None:
        try:
            gc.enable()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (self._parent, self._wakes, self._wake):
                each.close()
            os.setsid()
            for number, each in enumerate(streams):
                os.dup2(each, number)
                os.close(each)
            self._run_job()
        except BaseException as error:  # noqa: BLE001 - the exit code is all that can be told
            sys.excepthook(type(error), error, error.__traceback__)
        os._exit(1)

    def _reap(self) -> None:
        while self._alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._alive.discard(pid)
            self._parent.send(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}).encode())


def _pool_has_begun() -> bool:
    """Whether some module used polars while it was imported: a fork would wait forever for threads that it has not."""
    names = (each / "comm" for each in Path("/proc/self/task").iterdir())
    return any(_line(name) == POOL for name in names)


def _line(file: Path) -> str:
    with contextlib.suppress(OSError):  # a thread that has just ended
        return file.read_text().strip()
    return ""


def main() -> None:
    """Be the fork server of the process that holds the other end of the socket."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        _Server(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
