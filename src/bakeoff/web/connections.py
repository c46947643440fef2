"""Connections of a server: how many there may be, how long each may take to say something, and what is no request.

Each connection is in one phase. "idle": no request has begun; "head": one has; "body": its headers are there, its body
is not; "answer": it is being answered. Who stays in one of the first three for too long is closed, by one timer for all
connections. When there are as many as there may be, the one that has been idle longest makes room: whoever opens
connections and says nothing keeps nobody out. What an app does with a request is not limited here.

A request whose end two readers could see at different places (its length said twice, in two ways, or by a coding that
is not known here) is refused, and its connection closed. Who is answered before the end of a body that may be long (it
is too long, or the caller unknown) is closed, too: in phase "rest" some of what still comes is dropped, so that the
answer arrives.

Source: RFC 9112 (HTTP/1.1), sections 3.2, 6 and 9.6.
"""

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bakeoff.web.problems import HttpError, error_body

__all__ = ["LOST", "ConnectionLimits", "Connections"]

Phase: TypeAlias = Literal["idle", "head", "body", "answer", "rest"]

RESERVED_FILES = 100
"""Descriptors that are not for connections: the log, the records, blobs that are read."""
FEWEST = 16
HEAD_BYTES = 65_536
"""Of a request's line and headers, together; and of what stands around a body: lengths of chunks, trailers."""
AROUND = 16
"""Bytes around one byte of a body that comes in chunks, which may be short."""
SHORT_BYTES = 65_536
"""A body of no more is read to its end, however early the answer: its connection goes on."""
REST_BYTES, REST_S = 16 * 2**20, 1.0
"""Of a longer one this much is dropped, so that a caller who sends before it reads gets its answer."""
LOOK_S = 0.5
LOST = "bakeoff.lost"
"""The extension of a request's scope with a set of what is called once its connection is lost: a task that waits for
that, as ASGI has it, costs a tenth of a call that is passed on."""


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
        self._around = 0
        self._keeps = True
        self._is_upgrade = False
        self._faulty = False
        self._stalled: float | None = None
        self._lost = set[Callable[[], None]]()

    # --- phases ---------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._out = SimpleNamespace(write=transport.write, is_closing=transport.is_closing, close=self._close)
        if not self._of.enter(self, self.loop):
            transport.write(_refusal(HttpError(503, "Busy", "expected fewer connections; try again", retry_after_s=1)))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._of.leave(self)
        super().connection_lost(exc)
        for each in list(self._lost):
            each()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._phase == "rest" or self._faulty:
            self._drop(len(data))
            return
        if self._phase == "idle":
            self._enter("head")
        elif self._phase == "body":
            self._around += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._fault(error)
            return
        if self._phase == "head":  # its parser takes headers of any length
            self._received += len(data)
            if self._received > HEAD_BYTES:
                self._refuse(HttpError(431, "TooLarge", f"expected at most {HEAD_BYTES} bytes of headers"))
        elif self._phase == "body" and self._around > HEAD_BYTES + AROUND * self._received:
            self._refuse(HttpError(431, "TooLarge", f"expected at most {HEAD_BYTES} bytes around a body's chunks"))

    def _feed(self, data: bytes) -> None:
        """Read a part of requests; who would rather speak another protocol (HTTP/2, WebSocket) is answered in this one.

        The parser takes what follows for that protocol, so that a body would be lost. Java's client asks so, and sends
        one.
        """
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                lines = b"".join(b"%s: %s\r\n" % each for each in self.headers if each[0] != b"upgrade")
                version = self.parser.get_http_version().encode()
                head = b"%s %s HTTP/%s\r\n%s\r\n" % (self.parser.get_method(), self.url, version, lines)
                self.parser, self._is_upgrade = httptools.HttpRequestParser(self), False
                data = head + data[upgrade.args[0] :]
            else:
                return

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise HttpError(501, "NotImplemented", "expected no CONNECT: this is no proxy")
            self._is_upgrade = True
            return
        length = self._length()
        if self._phase != "head":  # a pipelined request, whose head came with the one before
            self._enter("head")
        self._phase = "body"
        self.scope["extensions"] = {LOST: self._lost}  # pyright: ignore[reportGeneralTypeIssues] - one of ours
        super().on_headers_complete()
        cycle = self.cycle
        cycle.transport = self._out  # pyright: ignore[reportAttributeAccessIssue] - what it uses of one
        self.headers = []  # trailers are no headers
        self._keeps = cycle.keep_alive and not self._of.draining
        cycle.keep_alive = self._keeps and length is not None and length <= SHORT_BYTES and not self.expect_100_continue

    def _length(self) -> int | None:
        """Of the body that comes; None: it comes in chunks.

        Raises:
            HttpError: it is not known for sure where the request ends, or whom it is for.
        """
        length, hosts, codings = 0, 0, list[bytes]()
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                codings.append(value)
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            raise HttpError(400, "BadRequest", f"expected one Host header, received {hosts}")
        if not codings:
            return length
        if self.parser.get_http_version() == "1.0":
            raise HttpError(400, "BadRequest", "expected no Transfer-Encoding in HTTP/1.0, which has none")
        if (coding := b", ".join(codings).strip().lower()) != b"chunked":
            received = repr(coding.decode("latin-1"))[:80]
            raise HttpError(501, "NotImplemented", f"expected Transfer-Encoding: chunked, received {received}")
        return None

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        self._around -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._is_upgrade:
            return
        super().on_message_complete()
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._keeps
        if self.cycle.response_complete:
            self._enter("idle")
        else:
            self._phase = "answer"

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._phase == "answer" and self.cycle.response_complete:  # else a pipelined request is next
            self._enter("idle")

    def _enter(self, phase: Phase) -> None:
        self._phase, self._since, self._received, self._around = phase, self.loop.time(), 0, 0
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
            case "rest":
                allowed = REST_S
            case "answer":
                return False
        return now - self._since > allowed

    def time_out(self) -> None:
        """Close it; a caller in the middle of a request is told why, if it listens."""
        if self._stalled is not None:
            self.transport.abort()
        elif self._phase == "head" or (self._phase == "body" and not self.cycle.response_started):
            self._refuse(HttpError(408, "Timeout", f"expected the rest of the {self._phase} sooner"))
        else:
            self.transport.close()

    def cut(self) -> None:
        """Close it at once, to make room; it counts no more from now on."""
        self._of.leave(self)
        self.transport.abort()

    def shutdown(self) -> None:
        """Called when the server ends: what is being answered is answered, and an idle caller may ask once more."""
        self._keeps = False
        if self._phase == "answer" or not self._of.draining:
            super().shutdown()
        else:
            self.loop.call_later(self._of.limits.drain_s, self._end)

    def _end(self) -> None:
        if self._phase != "answer":
            self.transport.close()

    def _fault(self, error: httptools.HttpParserError) -> None:
        """Refuse what is no request; those before it are answered first."""
        cause = error.__context__
        if not isinstance(cause, HttpError):
            why = "" if isinstance(error, httptools.HttpParserCallbackError) else f": {error}"
            cause = HttpError(400, "BadRequest", f"expected a request of HTTP/1.1{why}")
        if self._phase != "answer":
            self._refuse(cause)
            return
        self._faulty, self.cycle.keep_alive = True, False
        self.transport.pause_reading()

    def _refuse(self, error: HttpError) -> None:
        """End with an error, unless an answer is on its way, which it would be taken for a part of."""
        cycle = self.cycle
        is_answering = cycle is not None and not cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]
        if self.pipeline or (is_answering and cycle.response_started):
            self.transport.abort()
            return
        if is_answering:  # it waits for a body
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(_refusal(error))
        self._linger()

    def _close(self) -> None:
        """Close it after an answer."""
        if self._phase == "body" or self._faulty:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """End what is sent, and drop what comes: a socket that is closed with unread bytes takes the answer with it."""
        self._enter("rest")
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()

    def _drop(self, size: int) -> None:
        self._received += size
        if self._received > REST_BYTES:
            self.transport.abort()


def _refusal(error: HttpError) -> bytes:
    """An answer that no app gave."""
    body = msgspec.json.encode(error_body(error))
    after = "" if error.retry_after_s is None else f"retry-after: {error.retry_after_s}\r\n"
    head = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n{after}content-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
