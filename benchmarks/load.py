"""A load generator of few instructions for each request: raw sockets, one thread, one prepared request.

A closed loop: each connection asks again when it has its answer. One request takes it about 15 µs of processor time, so
that it is no bottleneck for what answers fewer than some 20,000 requests a second and has another core.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

__all__ = ["Load", "measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of a load: answers (200) a second, their latencies in milliseconds, and how many others there were."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    answered: int
    failed_p99_ms: float = 0.0
    in_all: int = 0


class _Connection:
    __slots__ = ("began", "left", "socket", "status", "text")

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.text, self.left, self.status, self.began = b"", -1, b"", 0.0

    def read(self) -> bool:
        """Take what has come; whether the answer is whole."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server closed")
        if self.left >= 0:
            self.left -= len(part)
            return self.left <= 0
        self.text += part
        head, found, body = self.text.partition(b"\r\n\r\n")
        if not found:
            return False
        self.status = head[9:12]
        self.text = b""
        lower = head.lower()
        at = lower.find(b"content-length:")
        if at < 0:  # chunked: short answers end with the last chunk
            if body.endswith(b"0\r\n\r\n"):
                return True
            self.text = head + b"\r\n\r\n" + body
            return False
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0])
        self.left = length - len(body)
        return self.left <= 0


def measure(
    url: str,
    body: bytes,
    *,
    connections: int,
    seconds: float,
    warm_s: float = 0.5,
    pause_s: float = 0.0,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Load:
    """Post a body over and over on so many connections; after an answer that is not 200, `pause_s` later."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    more = "".join(f"{name}: {of}\r\n" for name, of in headers.items())
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{more}\r\n"
    ).encode() + body
    selector = selectors.EpollSelector()
    made = [_Connection(host, port) for _ in range(connections)]
    clock = time.perf_counter
    for each in made:
        selector.register(each.socket, selectors.EVENT_READ, each)
        each.began = clock()
        each.socket.sendall(request)
    began = clock() + warm_s
    until = began + seconds
    took: list[float] = []
    others: list[float] = []
    later: deque[tuple[float, _Connection]] = deque()
    in_all, now = 0, clock()
    while now < until:
        while later and later[0][0] <= now:
            _, resting = later.popleft()
            resting.began = now
            resting.socket.sendall(request)
        for key, _ in selector.select(0.005 if later else 1.0):
            connection: _Connection = key.data
            if connection.read():
                now = clock()
                in_all += 1
                fine = connection.status == b"200"
                if now >= began:
                    (took if fine else others).append(now - connection.began)
                connection.left = -1
                if not fine and pause_s:
                    later.append((now + pause_s, connection))
                    continue
                connection.began = now
                connection.socket.sendall(request)
        now = clock()
    elapsed = now - began
    for each in made:
        selector.unregister(each.socket)
        each.socket.close()
    selector.close()
    return Load(
        per_second=len(took) / elapsed,
        p50_ms=_quantile_ms(took, 0.5),
        p99_ms=_quantile_ms(took, 0.99),
        failed=len(others),
        answered=len(took),
        failed_p99_ms=_quantile_ms(others, 0.99),
        in_all=in_all,
    )


def _quantile_ms(took: list[float], share: float) -> float:
    return sorted(took)[min(int(len(took) * share), len(took) - 1)] * 1e3 if took else 0.0
