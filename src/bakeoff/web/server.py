"""Run an app with uvicorn: in the foreground until a signal, or in a thread as a context manager."""

import logging
import socket
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from bakeoff.core.addresses import is_loopback
from bakeoff.core.errors import StoreError, UsageError
from bakeoff.security.certificates import Tls
from bakeoff.security.network import require_guarded
from bakeoff.web.connections import ConnectionLimits, Connections

__all__ = ["DRAIN_S", "Server", "bound", "local_hosts"]

DEFAULT_LIMITS = ConnectionLimits()
DRAIN_S = 15
START_S = 30

logger = logging.getLogger(__name__)


def local_hosts(host: str) -> frozenset[str] | None:
    """The names under which a server bound to a loopback address may be called; None, for any, elsewhere.

    On loopback they keep out pages of other sites whose name resolves to this machine; elsewhere tokens do.
    """
    return frozenset({"localhost", "127.0.0.1", "::1", host}) if is_loopback(host) else None


class _Config(uvicorn.Config):
    """Settings with a TLS context of ours."""

    tls: Tls | None = None

    def load(self) -> None:
        """Load the app, and the certificate."""
        super().load()
        if self.tls is not None:
            self.ssl = self.tls.context()


class _Uvicorn(uvicorn.Server):
    _stamp: tuple[int, ...] = ()

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def on_tick(self, counter: int) -> bool:
        """Look once a second whether the certificate was renewed; one that cannot be read leaves the old one."""
        config = self.config
        if counter % 10 == 0 and isinstance(config, _Config) and config.tls is not None and config.ssl is not None:
            stamp = config.tls.stamp()
            if self._stamp and stamp != self._stamp:
                try:
                    config.tls.load(config.ssl)
                except UsageError as error:
                    logger.warning("the certificate was not renewed: %s", error)
            self._stamp = stamp
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain and return: uvicorn itself would raise the signal again after its graceful end."""
        self._connections.draining = True
        super().handle_exit(sig, frame)
        self._captured_signals.clear()


class Server:
    """One app on one socket, which is bound (and its errors told) when the server is made.

    Args:
        app: the app; its lifespan runs with the server.
        host: a loopback address, or with authentication and TLS any.
        port: 0 for a free one.
        authenticated: whether the app asks who calls.
        trusted_network: whether something else says who reaches the address.
        tls: the certificate, for encrypted connections.
        limits: how many connections there may be, and how slow.
        listening: a socket that listens already, in place of one of its own.

    Raises:
        SecurityError: the host is not a loopback address, and callers are not asked or connections not encrypted.
        UsageError: the certificate cannot be read.
        StoreError: the port is taken or not allowed.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        limits: ConnectionLimits = DEFAULT_LIMITS,
        authenticated: bool = False,
        trusted_network: bool = False,
        tls: Tls | None = None,
        listening: socket.socket | None = None,
    ) -> None:
        if not trusted_network:
            require_guarded(host, authenticated=authenticated, encrypted=tls is not None)
        if tls is not None:
            tls.context()
        self._socket = bound(host, port) if listening is None else listening
        self.host, self.port = host, int(self._socket.getsockname()[1])
        connections = Connections(limits)
        config = _Config(
            app,
            http=connections.make,  # pyright: ignore[reportArgumentType] - called as the class is
            timeout_keep_alive=int(limits.idle_s) + 1,
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_S,
            ws="none",
            ssl_certfile=tls and tls.certificate,
            ssl_keyfile=tls and str(tls.key),
        )
        config.tls = tls
        self._scheme = "http" if tls is None else "https"
        self._server = _Uvicorn(config, connections)
        self._thread: threading.Thread | None = None
        self._failed = False

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._scheme}://{host}:{self.port}"

    def serve_forever(self, on_ready: Callable[[], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT, then answer the calls that are under way and return."""
        if on_ready is not None:
            threading.Thread(target=self._tell, args=(on_ready,), daemon=True).start()
        self._run()
        if self._failed:
            raise self._start_error()

    def stop(self) -> None:
        """Answer the calls that are under way, then end; waits for it when the server runs in a thread."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(DRAIN_S + 5)
            self._thread = None
        self._socket.close()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)
        self._thread.start()
        if not self._started():
            self.stop()
            raise self._start_error()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except SystemExit:  # uvicorn's word for an app that failed to start; the reason is in its log
            self._failed = True

    def _start_error(self) -> StoreError:
        return StoreError(f"the server at {self.url} did not start within {START_S} s; its log says why")

    def _started(self) -> bool:
        waiting = threading.Event()
        for _ in range(START_S * 100):
            if self._server.started:
                return True
            if self._thread is not None and not self._thread.is_alive():
                return False
            waiting.wait(0.01)
        return False

    def _tell(self, on_ready: Callable[[], None]) -> None:
        if self._started():
            on_ready()


def bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket at this address; a `shared` one with others there.

    Raises:
        StoreError: the port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol's number asyncio does not switch off Nagle's algorithm: 40 ms on every answer.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise StoreError(
            f"expected port {port} of {host} to be free: {error.strerror or error}; stop what uses it or choose "
            "another ([endpoint] port, or --port 0 for any)"
        ) from error
    return made
