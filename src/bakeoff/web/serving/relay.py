"""Calls that go to a service as they are: from body to body past routes and threads.

For endpoints with upstreams that speak the caller's protocol. What is not for them goes on to the ordinary handlers.
An answer gets the id of its prediction in place of its own, so that feedback can name it; but for responses, whose id
means something to their service (`previous_response_id`): theirs stands in the header `x-bakeoff-prediction-id` alone.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bakeoff.chat.client import RefusedError
from bakeoff.core.events import Event
from bakeoff.core.principals import ANONYMOUS, Principal
from bakeoff.serve.gateway.gateway import PATHS, CachedReply, Gateway, GatewayCall
from bakeoff.serve.gateway.replies import MOST_EVENT_BYTES, EventReader, Protocol, WholeReply, events_in, renamed
from bakeoff.serve.gateway.upstream import EVENTS, Upstream, UpstreamError, UpstreamReply
from bakeoff.web.auth import Authenticator, caller
from bakeoff.web.connections import LOST
from bakeoff.web.problems import anthropic_error, openai_error
from bakeoff.web.serving.context import Serving
from bakeoff.web.serving.conversing import sse
from bakeoff.web.serving.direct import again, whole_body

__all__ = ["Relay"]

PROTOCOLS: dict[str, Protocol] = {f"/v1{path}": protocol for protocol, path in PATHS.items()}
STREAM, OPTIONS = "stream", "stream_options"
COUNTED = frozenset[Protocol]({"chat", "completions"})
"""Protocols whose streams count tokens only where that is wanted."""
ID = b"x-bakeoff-prediction-id"

_values = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(slots=True)
class _Answering:
    """A call on its way: who answers, and where to."""

    gateway: Gateway
    call: GatewayCall
    send: Send


class Relay:
    """ASGI middleware before the routes.

    Args:
        app: what answers all else.
        serving: the endpoints.
        routes: those of conversations, by whose pattern requests are counted.
        authenticator: says who calls; who may not, is told so by the routes.
    """

    def __init__(
        self, app: ASGIApp, *, serving: Serving, routes: list[Route], authenticator: Authenticator | None
    ) -> None:
        self._app, self._serving, self._authenticator = app, serving, authenticator
        self._routes = {route.path: route for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        gateways = self._serving.plane.gateways
        is_call = bool(gateways) and scope["type"] == "http" and scope["method"] == "POST"
        protocol = PROTOCOLS.get(scope["path"]) if is_call else None
        if protocol is None:
            await self._app(scope, receive, send)
            return
        principal = await self._principal(scope)
        if principal is None:  # before anything is read: who may not call makes no work
            await self._app(scope, receive, send)
            return
        body, last = await whole_body(receive)
        values = _decoded(body) if last is None else None
        gateway = None if values is None else gateways.get(_text(values.get("model")) or "")
        if (
            values is None
            or gateway is None
            or not gateway.speaks(protocol)
            or not principal.reaches("endpoint", gateway.endpoint)
        ):
            await self._app(scope, again(body, last, receive), send)
            return
        scope["route"] = self._routes[scope["path"]]
        call = GatewayCall(
            protocol=protocol,
            body=values,
            size=len(body),
            caller=None if principal is ANONYMOUS else principal.name,
            admission=gateway.admit(principal.name),
        )
        try:
            await self._while_connected(scope, self._answer(_Answering(gateway, call, send)))
        finally:
            call.admission.settle()  # whatever went wrong, it is under way no more

    async def _principal(self, scope: Scope) -> Principal | None:
        """The caller, if it may call endpoints."""
        if self._authenticator is None:
            return ANONYMOUS
        principal = await caller(self._authenticator, scope)
        return principal if principal is not None and principal.may("predict") else None

    @staticmethod
    async def _while_connected(scope: Scope, answering: Coroutine[Any, Any, None]) -> None:
        """Answer, unless the caller goes away: then the call to the service ends, too.

        Other servers than ours do not tell that (see `LOST`), and the call goes on to its end.
        """
        task = asyncio.current_task()
        assert task is not None, "a request has a task"
        lost: set[Callable[[], None]] = scope.get("extensions", {}).get(LOST, set())
        gone = False

        def leave() -> None:
            nonlocal gone
            gone = True
            task.cancel()

        lost.add(leave)
        try:
            await answering
        except asyncio.CancelledError:
            if not gone or task.uncancel():  # somebody else cancelled it, too
                raise
        finally:
            lost.discard(leave)

    async def _answer(self, answering: _Answering) -> None:
        gateway, call = answering.gateway, answering.call
        known = gateway.cached(call)
        if known is not None:
            await self._answer_again(answering, known)
            return
        wants_count = _counts(call)
        body = call.body if wants_count or not _streams(call) else _counting(call.body)
        asked: list[Upstream] = []

        def spoken(upstream: Upstream) -> tuple[str, bytes]:
            asked.append(upstream)
            return PATHS[call.protocol], upstream.encoded(body)

        whole: WholeReply | None = None

        def fits(_: Upstream, values: Mapping[str, Any]) -> bool:
            nonlocal whole
            whole = WholeReply.of(call.protocol, values, call.size)
            return whole is not None

        with self._serving.generation(gateway).relayed() as measured:
            try:
                upstream, reply = await gateway.ask(spoken, fits)
            except Exception as error:
                self._serving.submit(gateway.recorder, gateway.failed(call, error))  # which hides no other failure
                raise
            except asyncio.CancelledError:
                self._serving.submit(gateway.recorder, gateway.left(call, asked))
                raise
            measured.begin()
            if not reply.is_answer:
                await self._refuse(answering, upstream, reply)
            elif reply.parts is None:
                assert whole is not None, "its values fit"
                await self._answer_whole(answering, upstream, reply, whole)
                measured.finish(whole.tokens)
            else:
                await self._stream(answering, upstream, reply.parts, measured.finish, wants_count=wants_count)

    async def _answer_again(self, answering: _Answering, known: CachedReply) -> None:
        """Give an answer that was given before; it costs nothing, and is a prediction of its own."""
        gateway, call = answering.gateway, answering.call
        await self._log(gateway, gateway.answered(call, known.upstream, known.texts, None))
        content = known.content.replace(known.id.encode(), call.id.encode())
        extra = [(b"x-bakeoff-cache", b"hit")]
        await _start(answering, known.upstream, media_type=known.media_type, length=len(content), extra=extra)
        await answering.send({"type": "http.response.body", "body": content})

    async def _refuse(self, answering: _Answering, upstream: Upstream, reply: UpstreamReply) -> None:
        """What the caller did wrong, in the service's words."""
        gateway, error = answering.gateway, RefusedError(f"{upstream.name} refuses (HTTP {reply.status})")
        self._serving.submit(gateway.recorder, gateway.failed(answering.call, error, upstream))
        await _start(answering, upstream, status=reply.status, media_type=reply.media_type, length=len(reply.body))
        await answering.send({"type": "http.response.body", "body": reply.body})

    async def _answer_whole(
        self, answering: _Answering, upstream: Upstream, reply: UpstreamReply, whole: WholeReply
    ) -> None:
        gateway, call = answering.gateway, answering.call
        texts = [] if call.protocol == "embeddings" else whole.texts  # no label ever comes for vectors
        content = reply.body if call.protocol == "responses" else renamed(reply.body, whole.id, call.id)
        await self._log(gateway, gateway.answered(call, upstream, texts, whole.tokens))
        gateway.keep(call, CachedReply(upstream, reply.media_type, content, call.id, texts))
        await _start(answering, upstream, status=reply.status, media_type=reply.media_type, length=len(content))
        await answering.send({"type": "http.response.body", "body": content})

    async def _stream(
        self,
        answering: _Answering,
        upstream: Upstream,
        parts: AsyncGenerator[bytes],
        whole: Callable[[tuple[int, int, int]], None],
        *,
        wants_count: bool,
    ) -> None:
        """Pass events on as they come; `whole` takes the tokens of an answer that did not break off.

        Its end is not told before the log has it, and the tokens are counted: a caller who has the end may leave at
        once. What a caller breaks off is logged as far as it came.
        """
        gateway, call, send = answering.gateway, answering.call, answering.send
        reader, is_logged = EventReader(call.protocol, call.size), False
        sent: list[bytes] = []
        size = 0
        await _start(answering, upstream, media_type=EVENTS)
        try:
            async with aclosing(_pieces(reader, upstream, parts, call, wants_count=wants_count)) as pieces:
                async for content in pieces:
                    if reader.ended and not is_logged:
                        is_logged = True
                        await self._log_stream(answering, upstream, reader, whole)
                    size += len(content)
                    if size <= gateway.most_cached_bytes:
                        sent.append(content)
                    if content:
                        await send({"type": "http.response.body", "body": content, "more_body": True})
        except asyncio.CancelledError:
            if not is_logged:
                self._serving.submit(gateway.recorder, gateway.answered(call, upstream, [reader.text], reader.tokens))
            raise
        except UpstreamError as error:
            if not is_logged:
                self._serving.submit(gateway.recorder, gateway.failed(call, error, upstream, reader.tokens))
            await send({"type": "http.response.body", "body": _broken(call.protocol, error)})
            return
        if not is_logged:  # a service that does not say that it has ended
            await self._log_stream(answering, upstream, reader, whole)
        elif not reader.has_failed and size <= gateway.most_cached_bytes:
            gateway.keep(call, CachedReply(upstream, EVENTS, b"".join(sent), call.id, [reader.text]))
        await send({"type": "http.response.body", "body": b""})

    async def _log_stream(
        self,
        answering: _Answering,
        upstream: Upstream,
        reader: EventReader,
        whole: Callable[[tuple[int, int, int]], None],
    ) -> None:
        tokens = reader.tokens
        await self._log(answering.gateway, _heard(answering.gateway, answering.call, upstream, reader, tokens))
        whole(tokens)

    async def _log(self, gateway: Gateway, events: Sequence[Event]) -> None:
        await self._serving.logged(gateway.recorder, events)


async def _pieces(
    reader: EventReader, upstream: Upstream, parts: AsyncGenerator[bytes], call: GatewayCall, *, wants_count: bool
) -> AsyncGenerator[bytes]:
    """What the caller gets of a stream, as it comes; raises `UpstreamError` where the answer breaks off."""
    rest = b""
    async with aclosing(parts):
        async for part in parts:
            events, rest = events_in(rest + part)
            if len(rest) > MOST_EVENT_BYTES:
                raise _cut(upstream, f"an event of more than {MOST_EVENT_BYTES} bytes")
            yield b"".join(_passed(reader, events, call, wants_count=wants_count))
    last = _passed(reader, [rest + b"\n\n"], call, wants_count=wants_count) if rest else []
    if not reader.finished and not reader.has_failed:  # what is cut off would run into the error that comes after it
        raise _cut(upstream, "a stream that ends before the answer does")
    if last:
        yield b"".join(last)


def _cut(upstream: Upstream, received: str) -> UpstreamError:
    """What breaks a stream off that the connection does not; it counts as a failure of the service."""
    error = UpstreamError("broken", f"{upstream.name}: expected an answer to its end, received {received}")
    upstream.note_failure(error)
    return error


def _heard(
    gateway: Gateway, call: GatewayCall, upstream: Upstream, reader: EventReader, tokens: tuple[int, int, int]
) -> Sequence[Event]:
    """What is to be logged of a stream that has ended: an answer, or the error that it told of."""
    events = gateway.answered(call, upstream, [reader.text], tokens)
    if not reader.has_failed:
        return events
    error = UpstreamError("broken", f"{upstream.name}: an error within its answer")
    upstream.note_failure(error)
    return gateway.failed(call, error, upstream)


def _passed(reader: EventReader, events: Sequence[bytes], call: GatewayCall, *, wants_count: bool) -> list[bytes]:
    """The events that the caller gets, under the prediction's id."""
    passed: list[bytes] = []
    for event in events:
        if reader.read(event) and not wants_count:
            continue
        passed.append(event if call.protocol == "responses" else renamed(event, reader.id, call.id))
    return passed


def _broken(protocol: Protocol, error: UpstreamError) -> bytes:
    """The last event of a stream that broke off: its status is sent already."""
    if protocol == "messages":
        return sse(anthropic_error(error), "error")
    if protocol == "responses":
        shown = openai_error(error)["error"]
        return sse({"type": "error", "code": shown["code"], "message": shown["message"], "param": None}, "error")
    return sse(openai_error(error))


async def _start(
    answering: _Answering,
    upstream: Upstream,
    *,
    status: int = 200,
    media_type: str,
    length: int | None = None,
    extra: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    headers = [
        (b"content-type", media_type.encode("latin-1")),
        (ID, answering.call.id.encode()),
        (b"x-bakeoff-upstream", upstream.name.encode("latin-1", "replace")),
        *extra,
        (b"cache-control", b"no-cache") if length is None else (b"content-length", b"%d" % length),
    ]
    await answering.send({"type": "http.response.start", "status": status, "headers": headers})


def _decoded(body: bytes) -> dict[str, Any] | None:
    """The values of a request as they were written; None for what is none, at any depth: no service is asked that."""
    try:
        msgspec.json.decode(body)
        return _values(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _text(value: Any) -> str | None:
    decoded: Any = None if value is None else msgspec.json.decode(value)
    return decoded if isinstance(decoded, str) else None


def _streams(call: GatewayCall) -> bool:
    return call.protocol in COUNTED and call.body.get(STREAM) == msgspec.Raw(b"true")


def _counts(call: GatewayCall) -> bool:
    """Whether the caller wants the count of tokens at the end of a stream."""
    options: Any = msgspec.json.decode(call.body[OPTIONS]) if OPTIONS in call.body else None
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _counting(values: Any) -> dict[str, Any]:
    """A request that wants its tokens counted, as we do."""
    options: Any = msgspec.json.decode(values[OPTIONS]) if OPTIONS in values else None
    return {**values, OPTIONS: {**(options if isinstance(options, dict) else {}), "include_usage": True}}
