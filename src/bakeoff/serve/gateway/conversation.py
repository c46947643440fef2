"""Conversations with services that speak another protocol than the caller: as chunks of a chat completion."""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing, suppress
from typing import Any

from bakeoff.chat.client import DONE, Refusal
from bakeoff.chat.dialect import Events
from bakeoff.chat.streaming import chunk_of, events, request_of
from bakeoff.core import narrow
from bakeoff.core.errors import OptionError
from bakeoff.core.generation import Messages, Sampling
from bakeoff.core.types import Json
from bakeoff.serve.gateway.gateway import Gateway
from bakeoff.serve.gateway.replies import MOST_EVENT_BYTES, NOT_AS_DECLARED, WholeReply, events_in
from bakeoff.serve.gateway.upstream import Upstream, UpstreamError, UpstreamReply

__all__ = ["converse"]


async def converse(
    gateway: Gateway, messages: Messages, sampling: Sampling, asked: list[Upstream]
) -> tuple[Upstream, AsyncGenerator[Mapping[str, Any]]]:
    """Who answers, and the chunks of its answer; what a service refuses of the options teaches how to ask it.

    `asked` gets each that is asked, before it is.

    Raises:
        OptionError: an option is wanted that the service does not take.
        RefusedError: it refuses the request. ContextLengthError: for its length.
        UpstreamError: none of the services answers.
    """
    request = {**request_of(messages, sampling), "model": gateway.endpoint}
    fixed: frozenset[str] = sampling.wanted | ({"seed"} if sampling.seed is not None else set[str]())

    def spoken(upstream: Upstream) -> tuple[str, bytes]:
        asked.append(upstream)
        return upstream.dialect.path, upstream.encoded(_spoken(upstream, request, fixed))

    while True:
        upstream, reply = await gateway.ask(spoken, _fits)
        if reply.is_answer:
            return upstream, _chunks(upstream, reply)
        text = reply.body.decode(errors="replace")
        body = upstream.dialect.spoken(request)
        learned = upstream.dialect.learned(reply.status, chunk_of(text), body, fixed)
        if learned is None:
            raise Refusal(status=reply.status, message=text[:300]).error(upstream.name)
        upstream.dialect = learned


def _spoken(upstream: Upstream, request: Mapping[str, Json], fixed: Collection[str]) -> Mapping[str, Json]:
    for option in sorted(set(upstream.dialect.left_out) & set(fixed)):
        raise OptionError(option, f"expected it to be left out: {upstream.name} does not take it")
    return upstream.dialect.spoken(request)


def _fits(upstream: Upstream, values: Mapping[str, Any]) -> bool:
    """Whether these are the values of an answer, which can be read."""
    whole: Any = None
    with suppress(*NOT_AS_DECLARED):
        whole = upstream.dialect.reply(values)
    return narrow.is_object(whole) and bool(whole.get("choices")) and WholeReply.of("chat", whole, 0) is not None


def _broken(upstream: Upstream, received: str) -> UpstreamError:
    """What breaks an answer off that the connection does not; it counts as a failure of the service."""
    error = UpstreamError("broken", f"{upstream.name}: {received}")
    upstream.note_failure(error)
    return error


def _made(reading: Events, event: Mapping[str, Any], upstream: Upstream) -> tuple[list[Mapping[str, Any]], bool]:
    """The chunks that an event makes, and whether the answer ends with them."""
    try:
        chunks: list[Mapping[str, Any]] = list(reading.chunks(event))
        return chunks, any(each.get("finish_reason") for chunk in chunks for each in chunk.get("choices") or ())
    except NOT_AS_DECLARED as error:
        raise _broken(upstream, f"expected an event of its protocol: {error!r}") from error


async def _chunks(upstream: Upstream, reply: UpstreamReply) -> AsyncGenerator[Mapping[str, Any]]:
    """The chunks of an answer, that of a service that does not stream as one."""
    if reply.parts is None:
        yield upstream.dialect.reply(reply.values)
        return
    reading, rest, ended = upstream.dialect.events(), b"", False
    async with aclosing(reply.parts) as parts:
        async for part in parts:
            whole_events, rest = events_in(rest + part)
            if len(rest) > MOST_EVENT_BYTES:
                raise _broken(upstream, f"an event of more than {MOST_EVENT_BYTES} bytes")
            for data in events(whole_events):
                event = None if data == DONE else chunk_of(data)
                chunks, ends = ([], False) if event is None else _made(reading, event, upstream)
                ended = ended or ends
                for chunk in chunks:
                    if "error" in chunk:
                        raise _broken(upstream, f"an error within its answer: {data[:300]}")
                    yield chunk
    if not ended:
        raise _broken(upstream, "its stream ended before the answer did")
