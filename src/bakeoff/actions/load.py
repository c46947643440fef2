"""Load on a server: callers who ask again at once, or requests that are due at times drawn beforehand.

The second way does not wait for answers before it asks again, and counts a latency from when the request was due: a
generator that waits lets a stalled server hide what it makes others wait (Tene's "coordinated omission").
Raw sockets and one thread: a request takes about 20 µs of processor time, so that the server is the limit.
"""

import gc
import selectors
import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import StoreError

__all__ = ["WARM_S", "Load", "ask_at_once", "ask_when_due", "joined"]

MOST_CONNECTIONS = 512
GRACE_S = 5.0
"""For answers after the last request was due; what has none then has failed."""
SHORT_S, NAP_S = 0.0015, 0.00005
"""The poll of sockets counts in milliseconds: what is due sooner is slept for."""
WARM_S = 0.5
"""What comes in the beginning is not counted."""
TIMEOUT_S = 60
RECEIVED_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Latencies in milliseconds of the answers in the order in which their requests were due, and when those came.

    `answered_at_n` is in seconds since the beginning; `failed` requests were refused or not answered; `seconds` is how
    long requests were made; `busy` is the share of that time for which the generator itself was at work.
    """

    latency_ms_n: NDArray[np.float64]
    answered_at_n: NDArray[np.float64]
    failed: int
    seconds: float
    busy: float

    def windows(self, count: int) -> list[float]:
        """Answers a second in each of so many equal parts of the time."""
        counts, _ = np.histogram(self.answered_at_n, bins=count, range=(0.0, self.seconds))
        return (counts * count / self.seconds).tolist()


def joined(loads: Sequence[Load]) -> Load:
    """Loads that were put one after the other, as one; answers that came between them are in none of its windows."""
    seconds_n = np.array([each.seconds for each in loads])
    answered: list[NDArray[np.float64]] = []
    for before_s, each in zip(np.cumsum(seconds_n) - seconds_n, loads, strict=True):
        at_n = each.answered_at_n
        answered.append(before_s + at_n[(at_n >= 0) & (at_n < each.seconds)])
    return Load(
        latency_ms_n=np.concatenate([each.latency_ms_n for each in loads]),
        answered_at_n=np.concatenate(answered),
        failed=sum(each.failed for each in loads),
        seconds=float(seconds_n.sum()),
        busy=float(np.average([each.busy for each in loads], weights=seconds_n)),
    )


class _Connection:
    """One connection; `due` is when the request that it waits for was due, of which `number` there is."""

    __slots__ = ("due", "left", "number", "socket", "status", "text")

    def __init__(self, host: str, port: int) -> None:
        try:
            self.socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        except OSError as error:
            raise StoreError(f"expected a server at {host}:{port}, received {error}: is it running?") from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.text, self.left, self.status, self.due, self.number = b"", -1, b"", 0.0, 0

    def ask(self, request: bytes, due: float, number: int) -> None:
        self.text, self.left, self.due, self.number = b"", -1, due, number
        self.socket.sendall(request)

    def read(self) -> bool:
        """Take what has come; whether the answer is whole."""
        part = self.socket.recv(RECEIVED_BYTES)
        if not part:
            raise StoreError("expected answers, but the server closed the connection: its log says why")
        if self.left >= 0:
            self.left -= len(part)
            return self.left <= 0
        self.text += part
        head, end, body = self.text.partition(b"\r\n\r\n")
        if not end:
            return False
        self.status = head[9:12]
        length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
        self.left = int(length) - len(body)
        return self.left <= 0


class _Asking:
    """The connections to a server, and what came of the requests."""

    def __init__(self, url: str, bodies: Sequence[bytes], selector: selectors.BaseSelector) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._selector = parts.hostname or "127.0.0.1", parts.port or 80, selector
        self._requests = [
            (
                f"POST {parts.path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            ).encode()
            + body
            for body in bodies
        ]
        self.idle: list[_Connection] = []
        self.waiting = self.failed = self._opened = 0
        self.answers: list[tuple[int, float, float]] = []

    @property
    def may_ask(self) -> bool:
        """Whether a connection is free, or one more may be opened."""
        return bool(self.idle) or self._opened < MOST_CONNECTIONS

    def ask(self, due: float, number: int) -> None:
        if not self.idle:
            connection = _Connection(self._host, self._port)
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
            self.idle.append(connection)
            self._opened += 1
        self.idle.pop().ask(self._requests[number % len(self._requests)], due, number)
        self.waiting += 1

    def take(self, timeout: float) -> int:
        """Take answers that have come; how many."""
        before = self.waiting
        for key, _ in self._selector.select(timeout):
            connection: _Connection = key.data
            if not connection.read():
                continue
            now = time.perf_counter()
            if connection.status == b"200":
                self.answers.append((connection.number, connection.due, now))
            else:
                self.failed += 1
            self.waiting -= 1
            self.idle.append(connection)
        return before - self.waiting

    def result(self, began: float, seconds: float, busy: float) -> Load:
        timed = [each for each in sorted(self.answers) if each[1] >= began]
        return Load(
            latency_ms_n=np.array([(now - due) * 1e3 for _, due, now in timed], dtype=np.float64),
            answered_at_n=np.array([now - began for *_, now in self.answers], dtype=np.float64),
            failed=self.failed,
            seconds=seconds,
            busy=busy,
        )


@contextmanager
def _asking(url: str, bodies: Sequence[bytes]) -> "Generator[_Asking]":
    with selectors.DefaultSelector() as selector:
        asking = _Asking(url, bodies, selector)
        collects = gc.isenabled()
        gc.disable()  # a collection would make all that is due meanwhile late
        try:
            yield asking
        finally:
            if collects:
                gc.enable()
            for key in list(selector.get_map().values()):
                key.data.socket.close()


def ask_at_once(url: str, bodies: Sequence[bytes], *, callers: int, seconds: float, warm_s: float = WARM_S) -> Load:
    """Put so many callers on a server, each of whom asks again when it has its answer.

    Raises:
        StoreError: there is no server, or it went away.
    """
    with _asking(url, bodies) as asking:
        number = 0
        for number in range(callers):
            asking.ask(time.perf_counter(), number)
        began = time.perf_counter() + warm_s
        busy = time.thread_time()
        while (now := time.perf_counter()) < began + seconds:
            asking.take(1.0)
            for _ in range(len(asking.idle)):
                number += 1
                asking.ask(time.perf_counter(), number)
        return asking.result(began, now - began, (time.thread_time() - busy) / (now - began + warm_s))


def ask_when_due(
    url: str, bodies: Sequence[bytes], *, per_second: float, seconds: float, seed: int, warm_s: float = WARM_S
) -> Load:
    """Ask at times of a Poisson process, whatever the answers do.

    Raises:
        StoreError: there is no server, or it went away.
    """
    gaps = np.random.default_rng(seed).exponential(1 / per_second, size=int((seconds + warm_s) * per_second) + 1)
    with _asking(url, bodies) as asking:
        start = time.perf_counter()
        due_n: list[float] = (start + np.cumsum(gaps)).tolist()
        busy = time.thread_time()
        _ask_all(asking, due_n, sleep=time.sleep)
        busy_s = time.thread_time() - busy
        took_s = due_n[-1] - start
        asking.failed += asking.waiting
        return asking.result(start + warm_s, took_s - warm_s, busy_s / took_s)


def _ask_all(asking: _Asking, due_n: Sequence[float], *, sleep: Callable[[float], None]) -> None:
    """Make each request when it is due, or as soon after as there is a connection, and wait for the answers."""
    at, until = 0, due_n[-1] + GRACE_S
    while at < len(due_n) or asking.waiting:
        now = time.perf_counter()
        while at < len(due_n) and due_n[at] <= now and asking.may_ask:
            asking.ask(due_n[at], at)
            at += 1
        if now > until:
            return
        gap_s = due_n[at] - time.perf_counter() if at < len(due_n) and asking.may_ask else 1.0
        if gap_s > SHORT_S:
            asking.take(gap_s - SHORT_S / 2)
        elif not asking.take(0) and gap_s > 0:
            sleep(min(gap_s, NAP_S))
