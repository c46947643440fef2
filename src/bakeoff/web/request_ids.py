"""Every request has an id: the caller's own, or a new one. It stands in the answer and in the log."""

import logging
import os
import re
import time
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestIds", "request_id"]

logger = logging.getLogger(__name__)

HEADER = b"x-request-id"
TAKEN = re.compile(rb"[\w.:\-]{1,64}")
FIRST_FAILURE = 500
_current: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """The id of the request that is being answered; empty where there is none.

    >>> request_id()
    ''
    """
    return _current.get()


class RequestIds:
    """ASGI middleware, outside of all others.

    An `X-Request-Id` of up to 64 letters, digits and `_ . : -` is taken over. A line is logged for each request: at
    level INFO, or WARNING where the server failed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        began, status = time.perf_counter(), 499
        own = given.decode() if TAKEN.fullmatch(given) else os.urandom(16).hex()
        token = _current.set(own)

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, own.encode())]
            await send(message)

        try:
            await self._app(scope, receive, named)
        finally:
            _current.reset(token)
            level = logging.WARNING if status >= FIRST_FAILURE else logging.INFO
            if logger.isEnabledFor(level):
                took_ms = 1000 * (time.perf_counter() - began)
                facts = (scope["method"], scope["path"][:200], status, took_ms, own)
                logger.log(level, "%s %r: %d in %.1f ms, request %s", *facts, extra={"request_id": own})
