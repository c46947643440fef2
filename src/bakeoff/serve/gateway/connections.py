"""HTTP/1.1 to one service: connections that are used again, read by httptools, with limits for silence.

A client of our own because a relayed call costs half of what it does with the quickest library
(docs/decisions/0050-gateway.md). It does what a gateway needs and no more: POST, bodies and streams; no redirects, no
cookies, no compression, no proxies.

Source: RFC 9112, sections 6.3 (how long a body is) and 9.3 (which connections can be used again).
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

from bakeoff.core.errors import UsageError

__all__ = [
    "BrokenAnswerError",
    "CallTimeouts",
    "NoConnectionError",
    "ServiceConnections",
    "ServiceResponse",
    "SilenceError",
]

IDLE_S = 25.0
"""A connection that lay idle for longer is not used again: the service may be closing it."""
MOST_BYTES = 256 * 2**20
ROOM_BYTES = 2**20
"""So much of a stream may wait for its reader; then nothing is read from the service."""
MOST_HEAD_BYTES = 2**18
"""So much may come before an answer's body."""
NOT_FINAL = 200


class NoConnectionError(OSError):
    """A service that cannot be connected to."""


class SilenceError(TimeoutError):
    """A service that sends nothing in time."""


class BrokenAnswerError(OSError):
    """An answer that ends before it is whole, or is no HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTimeouts:
    """How long is waited: for a connection, for the next byte, and for the whole answer; in seconds."""

    connect_s: float
    silence_s: float
    whole_s: float


class _Connection(asyncio.Protocol):
    """One connection, which has one call at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.is_open = False
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status, self.headers = 0, dict[str, str]()
        self.parts: deque[bytes] = deque()
        self.waiting_bytes, self.ended, self.error = 0, False, None
        self._head_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = self._stays = False

    error: OSError | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = transport  # pyright: ignore[reportAttributeAccessIssue] - a stream's
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`; where no length was named, this is how an answer ends."""
        self.is_open = False
        if self.status >= NOT_FINAL and not self.ended and exc is None and self._ends_with_connection:
            self.ended = True
        elif not self.ended and self.error is None:
            self.error = BrokenAnswerError(f"the connection was closed{f' ({exc})' if exc else ''}")
        self._wake()

    @property
    def _ends_with_connection(self) -> bool:
        return "content-length" not in self.headers and "chunked" not in self.headers.get("transfer-encoding", "")

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._heard = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(BrokenAnswerError(f"no HTTP: {error}"))
        self._head_bytes += 0 if self.status else len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            self.fail(BrokenAnswerError(f"expected at most {MOST_HEAD_BYTES} bytes of headers"))
        self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """See httptools."""
        status = self._parser.get_status_code()
        if status >= NOT_FINAL:
            self.status = status
        else:
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self.parts.append(body)
        self.waiting_bytes += len(body)
        if self.waiting_bytes > ROOM_BYTES and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        """See httptools."""
        self.ended = self.ended or self.status >= NOT_FINAL
        self._stays = self._parser.should_keep_alive()  # known here alone

    def send(self, request: bytes, timeouts: CallTimeouts) -> None:
        """Begin a call."""
        self._begin()
        assert self.transport is not None, "it is connected"
        self._heard = self._loop.time()
        self._until, self._silence_s = self._heard + timeouts.whole_s, timeouts.silence_s
        self._timer = self._loop.call_later(min(timeouts.silence_s, timeouts.whole_s), self._look)
        self.transport.write(request)

    def _look(self) -> None:
        """End a call that takes too long; look again when it might."""
        now = self._loop.time()
        due = min(self._heard + self._silence_s, self._until)
        if now < due and not self._paused:
            self._timer = self._loop.call_at(due, self._look)
        elif self._paused and now < self._until:  # its reader is slow, not the service
            self._timer = self._loop.call_at(min(now + self._silence_s, self._until), self._look)
        else:
            whole = now >= self._until
            self.fail(SilenceError("no whole answer in time" if whole else f"no byte within {self._silence_s:g} s"))

    def fail(self, error: OSError) -> None:
        """End the call and the connection."""
        self.error = self.error or error
        self.is_open = False
        if self.transport is not None:
            self.transport.abort()
        self._wake()

    async def changed(self) -> None:
        """Wait for the next thing that comes."""
        self._waiter = self._loop.create_future()
        await self._waiter

    def taken(self) -> None:
        """All that waited was read."""
        self.waiting_bytes = 0
        if self._paused and self.transport is not None:
            self._paused = False
            self._heard = self._loop.time()
            self.transport.resume_reading()

    def leave(self) -> bool:
        """End the call; whether the connection can be used again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        again = self.ended and self.error is None and self.is_open and self._stays
        if not again and self.transport is not None:
            self.is_open = False
            self.transport.abort()
        return again

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ServiceResponse:
    """An answer whose head is there; `close` once done, whether or not all of it was read."""

    def __init__(self, connection: _Connection, leave: Callable[[_Connection], None]) -> None:
        self._connection, self._leave = connection, leave
        self.status, self.headers = connection.status, connection.headers
        self._is_closed = False

    @property
    def media_type(self) -> str:
        """Its media type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def part(self) -> bytes:
        """What has come since the last time, waited for; nothing at the end.

        Raises:
            BrokenAnswerError, SilenceError: it ends too soon, or takes too long.
        """
        connection = self._connection
        while not connection.parts:
            if connection.error is not None:
                raise connection.error
            if connection.ended:
                return b""
            await connection.changed()
        part = b"".join(connection.parts) if len(connection.parts) > 1 else connection.parts[0]
        connection.parts.clear()
        connection.taken()
        return part

    async def read(self) -> bytes:
        """All of it; the errors of `part`."""
        read: list[bytes] = []
        size = 0
        while part := await self.part():
            read.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise BrokenAnswerError(f"expected at most {MOST_BYTES} bytes")
        return read[0] if len(read) == 1 else b"".join(read)

    def close(self) -> None:
        """Let go of the connection: the call ends, if it has not."""
        if not self._is_closed:
            self._is_closed = True
            self._leave(self._connection)


class ServiceConnections:
    """ServiceConnections to one service; to be used on the loop's thread.

    Args:
        url: of the service, up to where a path would be added; what stands behind a `?` comes after the path.
        headers: of each call.
        timeouts: how long is waited.

    Raises:
        UsageError: a header cannot be sent.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeouts: CallTimeouts) -> None:
        parts = urlsplit(url)
        self._host, self._tls = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._base, self._query, self._timeouts = parts.path.rstrip("/"), parts.query, timeouts
        lines = {"Host": parts.netloc.rpartition("@")[2], "Accept-Encoding": "identity", **headers}
        for name, value in lines.items():
            if "\n" in value or "\r" in value or not name.isascii() or not value.isascii():
                raise UsageError(f"expected a header of one line in ASCII, received {name!r} with something else")
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
        self._idle: list[_Connection] = []
        self._context: ssl.SSLContext | None = None

    async def post(self, path: str, body: bytes, more: Mapping[str, str]) -> ServiceResponse:
        """Send a body, and wait for the head of the answer.

        Raises:
            NoConnectionError, BrokenAnswerError, SilenceError: there is none.
        """
        connection = self._from_idle() or await self._connected()
        target = f"{self._base}{path}{'?' if self._query else ''}{self._query}"
        own = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        head = f"POST {target} HTTP/1.1\r\n{own}Content-Length: {len(body)}\r\n".encode() + self._head + b"\r\n"
        connection.send(head + body, self._timeouts)
        response: ServiceResponse | None = None
        try:
            while not connection.status:
                if connection.error is not None:
                    raise connection.error
                await connection.changed()
            response = ServiceResponse(connection, self._left)
            return response
        finally:
            if response is None:
                connection.leave()

    def close(self) -> None:
        """Close those that are idle."""
        for connection in self._idle:
            connection.fail(BrokenAnswerError("closed"))
        self._idle.clear()

    def _from_idle(self) -> _Connection | None:
        since = asyncio.get_running_loop().time() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.idle_since > since:
                return connection
            connection.fail(BrokenAnswerError("idle for long"))
        return None

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        if self._tls and self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context)
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                _, connection = await loop.create_connection(
                    _Connection, self._host, self._port, ssl=self._context if self._tls else None
                )
        except TimeoutError as error:
            raise NoConnectionError(f"no connection within {self._timeouts.connect_s:g} s") from error
        except OSError as error:
            raise NoConnectionError(str(error)) from error
        return connection

    def _left(self, connection: _Connection) -> None:
        if connection.leave():
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
