"""Rows of small models, answered on the loop's own thread: from body to answer past routes and threads.

What is not for the row path of a release goes on to the ordinary handlers, with its body.
"""

import re

import msgspec
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bakeoff.serve.engine import Engine
from bakeoff.web.auth import Authenticator, caller
from bakeoff.web.serving.context import Serving
from bakeoff.web.serving.rows import rendered

__all__ = ["Direct", "again", "whole_body"]

INLINE_S = 0.0003
"""A model that takes no longer than this answers sooner here than a thread could take the call over."""
LARGEST = 128 * 1024
"""Bytes that are read on the loop's thread."""
BATCH_INLINE_S = 0.002
"""The same for several rows, of which each would have to be read and handed over."""
PATH = re.compile(r"/predict(?:/([^/]+))?|/endpoints/([^/]+)/predict")
MOST_NAMES = 1000
_TYPE = (b"content-type", b"application/json")


class Direct:
    """ASGI middleware; the last before the routes.

    Args:
        app: what answers all else.
        serving: the endpoints.
        routes: those of rows, by their pattern, so that requests are counted under them.
        authenticator: says who calls; who may not, is told so by the routes.
    """

    def __init__(
        self, app: ASGIApp, *, serving: Serving, routes: list[Route], authenticator: Authenticator | None
    ) -> None:
        self._app, self._serving, self._authenticator = app, serving, authenticator
        self._routes = {route.path: route for route in routes}
        self._places: dict[str, tuple[Engine, Route]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        place = self._place(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if place is None or place[0].direct is None or not await self._is_allowed(place[0], scope):
            await self._app(scope, receive, send)
            return
        engine, scope["route"] = place
        body, last = await whole_body(receive)
        answer = await self._answer(engine, body) if last is None else None
        if answer is None:
            await self._app(scope, again(body, last, receive), send)
            return
        headers = [_TYPE, (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _is_allowed(self, engine: Engine, scope: Scope) -> bool:
        if self._authenticator is None:
            return True
        principal = await caller(self._authenticator, scope)
        return principal is not None and principal.may("predict") and principal.reaches("endpoint", engine.endpoint)

    async def _answer(self, engine: Engine, body: bytes) -> bytes | None:
        """The answer's bytes; None: not for the row path, or too slow for this thread."""
        runtime = engine.direct
        if runtime is None or (path := runtime.row_path) is None or len(body) > LARGEST:
            return None
        try:
            rows = _BODY.decode(body).read()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if not rows or path.seconds(len(rows)) > (INLINE_S if len(rows) == 1 else BATCH_INLINE_S):
            return None
        answered = engine.predict_read(runtime, rows)
        if answered is None:
            return None
        answers, events = answered
        await self._serving.logged(engine.recorder, events)
        return msgspec.json.encode(rendered(answers))

    def _place(self, path: str) -> tuple[Engine, Route] | None:
        """The endpoint and the route that a path means; None where it is none of rows."""
        place = self._places.get(path)
        if place is None and (match := PATH.fullmatch(path)) is not None:
            name = match[1] or match[2]
            plane = self._serving.plane
            if name is not None and (name not in plane.names or name in plane.gateways):
                return None  # the routes say so
            pattern = path if name is None else "/predict/{name}" if match[1] else "/endpoints/{name}/predict"
            place = plane.engine(name), self._routes[pattern]
            if len(self._places) < MOST_NAMES:
                self._places[path] = place
        return place


_NULL = msgspec.Raw(b"null")


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """A request's body, its values as they came."""

    row: msgspec.Raw = _NULL
    rows: list[msgspec.Raw] | None = None
    key: msgspec.Raw = _NULL
    keys: msgspec.Raw = _NULL

    def read(self) -> list[msgspec.Raw] | None:
        """Its rows, if it has either of them, and no keys, which the routes log."""
        if self.key != _NULL or self.keys != _NULL:
            return None
        if self.row == _NULL:
            return self.rows
        return [self.row] if self.rows is None else None


_BODY = msgspec.json.Decoder(_Body)


async def whole_body(receive: Receive) -> tuple[bytes, Message | None]:
    """The body of a request; and the message that ended it otherwise, if its sender went away."""
    message = await receive()
    parts: list[bytes] = []
    while message["type"] == "http.request":
        if not message.get("more_body", False):
            return (b"".join([*parts, message["body"]]) if parts else message["body"]), None
        parts.append(message["body"])
        message = await receive()
    return b"".join(parts), message


def again(body: bytes, last: Message | None, receive: Receive) -> Receive:
    """What gives the body once more, and then what comes."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": last is not None}]
    if last is not None:
        messages.append(last)
    messages.reverse()

    async def give() -> Message:
        return messages.pop() if messages else await receive()

    return give
