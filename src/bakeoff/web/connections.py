"""Connections of a server: how many there may be, and how long each may take to say something.

Each connection is in one phase. "idle": no request has begun; "head": one has; "body": its headers are there, its body
is not; "answer": it is being answered. Who stays in one of the first three for too long is closed, by one timer for all
connections. When there are as many as there may be, the one that has been idle longest makes room: whoever opens
connections and says nothing keeps nobody out. What an app does with a request is not limited here.
"""

import asyncio
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

__all__ = ["ConnectionLimits", "Connections"]

Phase: TypeAlias = Literal["idle", "head", "body", "answer"]

RESERVED_FILES = 100
"""Descriptors that are not for connections: the log, the records, blobs that are read."""
FEWEST = 16
HEAD_BYTES = 65_536
"""Of a request's line and headers, together."""
LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How much a server takes from those who call it.

    Attributes:
        connections: the most at once; fewer where the process may not open as many files.
        idle_s: a connection without a request is closed after it.
        head_s: a request's line and headers must be there within it.
        body_s: a body must be there within it, and a second more for each `body_rate` bytes.
        body_rate: bytes a second, see there.
        write_s: a caller that takes nothing of its answer is cut off after it.
        drain_s: when the server ends, idle connections are answered once more within it (with `Connection: close`).
    """

    connections: int = 1000
    idle_s: float = 75.0
    head_s: float = 10.0
    body_s: float = 20.0
    body_rate: int = 16_384
    write_s: float = 60.0
    drain_s: float = 1.0

    @property
    def most_connections(self) -> int:
        """How many there may be in this process."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return self.connections
        return max(min(self.connections, files - RESERVED_FILES), FEWEST)


class Connections:
    """All connections of one server."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits, self.most = limits, limits.most_connections
        self.draining = False
        self.idle: dict[_Connection, None] = {}
        """Those that wait for a request, the one that waits longest first."""
        self.all: set[_Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def make(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> Any:
        """A connection, as uvicorn wants it made."""
        return _Connection(self, config, server_state, app_state, _loop)

    def enter(self, connection: "_Connection", loop: asyncio.AbstractEventLoop) -> bool:
        """Take a connection in; False when there is no room for it."""
        if len(self.all) >= self.most:
            if not self.idle:
                return False
            next(iter(self.idle)).cut()
        self.all.add(connection)
        self.idle[connection] = None
        if self._timer is None:
            self._timer = loop.call_later(LOOK_S, self._look, loop)
        return True

    def leave(self, connection: "_Connection") -> None:
        """Forget a connection."""
        self.all.discard(connection)
        self.idle.pop(connection, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close who has been silent for too long; goes on as long as there are connections."""
        now = loop.time()
        for connection in list(self.all):
            if connection.late(now):
                connection.time_out()
        self._timer = loop.call_later(LOOK_S, self._look, loop) if self.all else None


class _Connection(HttpToolsProtocol):
    def __init__(self, connections: Connections, *made_of: Any) -> None:
        super().__init__(*made_of)
        self._of = connections
        self._phase: Phase = "idle"
        self._since = self.loop.time()
        self._received = 0
        self._stalled: float | None = None

    # --- phases ---------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if not self._of.enter(self, self.loop):
            self._refuse(503, "Service Unavailable", {"retry-after": "1"})

    def connection_lost(self, exc: Exception | None) -> None:
        self._of.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase == "idle":
            self._enter("head")
        super().data_received(data)
        if self._phase == "head":  # its parser takes headers of any length
            self._received += len(data)
            if self._received > HEAD_BYTES:
                self._refuse(431, "Request Header Fields Too Large", {})

    def on_headers_complete(self) -> None:
        if self._phase != "head":  # a pipelined request, whose head came with the one before
            self._enter("head")
        self._phase = "body"
        super().on_headers_complete()
        if self._of.draining:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self.cycle.response_complete:
            self._enter("idle")
        else:
            self._phase = "answer"

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._phase == "answer" and self.cycle.response_complete:  # else a pipelined request is next
            self._enter("idle")

    def _enter(self, phase: Phase) -> None:
        self._phase, self._since, self._received = phase, self.loop.time(), 0
        if phase == "idle":
            self._of.idle[self] = None
        else:
            self._of.idle.pop(self, None)

    def pause_writing(self) -> None:
        self._stalled = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled = None
        super().resume_writing()

    # --- ends -----------------------------------------------------------------------------------

    def late(self, now: float) -> bool:
        """Whether it has been silent for too long."""
        limits = self._of.limits
        if self._stalled is not None and now - self._stalled > limits.write_s:
            return True
        match self._phase:
            case "idle":
                allowed = limits.idle_s
            case "head":
                allowed = limits.head_s
            case "body":
                allowed = limits.body_s + self._received / limits.body_rate
            case "answer":
                return False
        return now - self._since > allowed

    def time_out(self) -> None:
        """Close it; a caller in the middle of a request is told why, if it listens."""
        if self._stalled is not None:
            self.transport.abort()
        elif self._phase == "head" or (self._phase == "body" and not self.cycle.response_started):
            self._refuse(408, "Request Timeout", {})
        else:
            self.transport.close()

    def cut(self) -> None:
        """Close it at once, to make room; it counts no more from now on."""
        self._of.leave(self)
        self.transport.abort()

    def shutdown(self) -> None:
        """Called when the server ends: what is being answered is answered, and an idle caller may ask once more."""
        if self._phase == "answer" or not self._of.draining:
            super().shutdown()
        else:
            self.loop.call_later(self._of.limits.drain_s, self._end)

    def _end(self) -> None:
        if self._phase != "answer":
            self.transport.close()

    def _refuse(self, status: int, phrase: str, headers: Mapping[str, str]) -> None:
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} {phrase}\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode())
        self.transport.close()
