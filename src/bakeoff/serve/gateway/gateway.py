"""A gateway: an endpoint that services answer. It asks the first one that can, and accounts for what comes of it.

Waiting between attempts doubles, with jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015),
unless the service says how long to wait. Nothing is tried again once the first byte of an answer is there.
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from bakeoff.core import tracing
from bakeoff.core.events import FailureEvent, PredictionEvent
from bakeoff.core.protocols import Clock
from bakeoff.core.types import Json
from bakeoff.serve.answer_cache import AnswerCache
from bakeoff.serve.gateway.allowances import Admission, Allowances, LimitError
from bakeoff.serve.gateway.replies import Protocol
from bakeoff.serve.gateway.upstream import Upstream, UpstreamError, UpstreamReply
from bakeoff.serve.recorder import Recorder

__all__ = ["CachedReply", "Gateway", "GatewayCall", "Spoken"]

FIRST_WAIT_S, LONGEST_WAIT_S, PATIENT_S = 0.25, 30.0, 1.0
"""Waits between attempts; where another upstream is there to be asked, none longer than the last."""
PATHS: Mapping[Protocol, str] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "responses": "/responses",
    "messages": "/messages",
    "embeddings": "/embeddings",
}
INPUTS = ("messages", "prompt", "input", "system", "instructions", "tools")
"""What the log has of a request."""
MAX_CACHED_BYTES = 2**20

Spoken = Callable[[Upstream], tuple[str, bytes]]
"""The path and the body of a call to an upstream."""
Fits = Callable[[Upstream, Mapping[str, Any]], bool]
"""Whether the values of a body are those of an upstream's answer."""


@dataclass(slots=True, kw_only=True)
class GatewayCall:
    """A call that is being answered.

    `body` has the request's values as they were written, `size` is its length, `id` that of the prediction.
    """

    protocol: Protocol
    body: Mapping[str, Any]
    size: int
    caller: str | None
    admission: Admission
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self.began

    @property
    def row(self) -> dict[str, Json]:
        """What the log has of it."""
        return {name: msgspec.json.decode(self.body[name]) for name in INPUTS if name in self.body}


@dataclass(frozen=True, slots=True)
class CachedReply:
    """An answer that is given again: its bytes, the id in them, and what the log has of it."""

    upstream: Upstream
    media_type: str
    content: bytes
    id: str
    texts: Sequence[str]


class Gateway:
    """Answers for one endpoint; to be used on the loop's thread, within `opened`.

    Args:
        endpoint: its name.
        upstreams: the services, in the order in which they are asked.
        recorder: logs.
        allowances: what callers may use.
        clock: milliseconds since the epoch.
        redact: what is redacted of texts before they are logged; None for nothing.
        cache: how many answers are given again to requests that are the same.
        sleep: waits between attempts.
    """

    def __init__(
        self,
        endpoint: str,
        upstreams: Sequence[Upstream],
        *,
        recorder: Recorder,
        allowances: Allowances,
        clock: Clock,
        redact: Callable[[Json], Json] | None = None,
        cache: int = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.endpoint, self.upstreams, self.recorder = endpoint, tuple(upstreams), recorder
        self.allowances, self.redact = allowances, redact
        self._clock, self._sleep = clock, sleep
        self._cache = AnswerCache[CachedReply](cache) if cache else None
        self.cache_hits = 0

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Be there for calls within the block; then let go of all connections."""
        try:
            yield
        finally:
            for each in self.upstreams:
                each.close()

    def now_ms(self) -> int:
        """The gateway's clock."""
        return self._clock()

    def speaks(self, protocol: Protocol) -> bool:
        """Whether all its services speak a caller's protocol, so that bodies can go through as they are."""
        api = protocol if protocol in {"responses", "messages"} else "chat"
        return all(each.api == api for each in self.upstreams)

    def admit(self, caller: str) -> Admission:
        """Let a call in.

        Raises:
            LimitError: the caller has used up what it may.
        """
        return self.allowances.admit(caller, self.endpoint)

    def admitted(self, caller: str, calls: int) -> list[Admission]:
        """Let several calls in, or none of them; raises what `admit` does."""
        admissions: list[Admission] = []
        try:
            for _ in range(calls):
                admissions.append(self.admit(caller))  # noqa: PERF401 - those that were let in are needed below
        except LimitError:
            for each in admissions:
                each.settle()
            raise
        return admissions

    async def ask(self, spoken: Spoken, fits: Fits = lambda *_: True) -> tuple[Upstream, UpstreamReply]:
        """The answer of the first upstream that gives one, or refuses the request as the caller's fault.

        Args:
            spoken: how each is asked.
            fits: whether the values of a body are those of an upstream's answer.

        Raises:
            UpstreamError: none does; it is that of the last one.
        """
        ready = [each for each in self.upstreams if each.resting() is None]
        last = None if ready else min(filter(None, (each.resting() for each in self.upstreams)), key=_soonest)
        for place, upstream in enumerate(ready):
            path, body = spoken(upstream)
            for attempt in range(upstream.config.retries + 1):
                try:
                    return upstream, await upstream.ask(path, body, partial(fits, upstream))
                except UpstreamError as error:
                    last = error
                wait_s = _wait_s(last, attempt)
                patience_s = LONGEST_WAIT_S if place + 1 == len(ready) else PATIENT_S
                if attempt == upstream.config.retries or not last.may_pass or wait_s > patience_s:
                    break
                await self._sleep(wait_s)
                if upstream.resting() is not None and last.kind != "busy":
                    break
        assert last is not None, "there is an upstream"
        raise last

    # --- the cache ------------------------------------------------------------------------------

    def cached(self, call: GatewayCall) -> CachedReply | None:
        """An answer that was given to the same request, if that is wanted and there is one."""
        if self._cache is None:
            return None
        (reply,) = self._cache.get([_key(call)])
        self.cache_hits += reply is not None
        return reply

    @property
    def most_cached_bytes(self) -> int:
        """How long an answer may be that is given again."""
        return 0 if self._cache is None else MAX_CACHED_BYTES

    def keep(self, call: GatewayCall, reply: CachedReply) -> None:
        """Give this answer to requests that are the same, if that is wanted."""
        if self._cache is not None and len(reply.content) <= MAX_CACHED_BYTES:
            self._cache.put([_key(call)], [reply])

    # --- accounting -----------------------------------------------------------------------------

    def answered(
        self, call: GatewayCall, upstream: Upstream, texts: Sequence[str], tokens: tuple[int, int, int] | None
    ) -> list[PredictionEvent]:
        """Count what a call used; and what is to be logged of it: an event for each of its texts.

        Args:
            call: which.
            upstream: who answered.
            texts: what it said.
            tokens: read, written, and of those read the ones that it had from before; None where nothing was paid.
        """
        read, written, cached = tokens or (0, 0, 0)
        cost = upstream.cost_usd(read, written, cached) if tokens else 0.0
        call.admission.settle(read + written, cost)
        tracing.note(
            gen_ai__operation__name="embeddings" if call.protocol == "embeddings" else "chat",
            gen_ai__request__model=self.endpoint,
            gen_ai__response__model=upstream.name,
            gen_ai__usage__input_tokens=read,
            gen_ai__usage__output_tokens=written,
        )
        if not texts or not self.recorder.draws():
            return []
        latency_ms, trace_id, row = call.seconds * 1e3, tracing.current(), self._redacted(call.row)
        return [
            PredictionEvent(
                id=call.id if at == 0 else f"{call.id}-{at}",
                endpoint=self.endpoint,
                release_id=upstream.name,
                model_version=upstream.config.model or upstream.name,
                row=row,
                value=text if self.redact is None else str(self.redact(text)),
                latency_ms=latency_ms,
                trace_id=trace_id,
                caller=call.caller,
                tokens_in=read if at == 0 else None,
                tokens_out=written if at == 0 else None,
                cost_usd=cost if at == 0 else None,
                time_ms=self._clock(),
            )
            for at, text in enumerate(texts)
        ]

    def left(self, call: GatewayCall, asked: Sequence[Upstream]) -> list[FailureEvent]:
        """What is to be logged of a call whose caller went away before an answer began: it was read, and is paid."""
        error = ConnectionAbortedError("the caller went away before the answer began")
        if not asked:
            return self.failed(call, error)
        return self.failed(call, error, asked[-1], (call.size // 4, 0, 0))

    def failed(
        self,
        call: GatewayCall,
        error: Exception,
        upstream: Upstream | None = None,
        tokens: tuple[int, int, int] | None = None,
    ) -> list[FailureEvent]:
        """Count what a call without a whole answer used (`tokens` as in `answered`); and what is to be logged of it."""
        if upstream is None or tokens is None:
            call.admission.settle()
        else:
            call.admission.settle(tokens[0] + tokens[1], upstream.cost_usd(*tokens))
        if not self.recorder.draws():
            return []
        of = upstream or self.upstreams[-1]
        message = str(error) if self.redact is None else str(self.redact(str(error)))
        return [
            FailureEvent(
                endpoint=self.endpoint,
                release_id=of.name,
                model_version=of.config.model or of.name,
                error=type(error).__name__,
                message=message[:500],
                latency_ms=call.seconds * 1e3,
                time_ms=self._clock(),
            )
        ]

    def _redacted(self, row: dict[str, Json]) -> Mapping[str, Json]:
        if self.redact is None:
            return row
        redacted = self.redact(row)
        assert isinstance(redacted, dict), "values of JSON stay what they are"
        return redacted


def _soonest(error: UpstreamError) -> float:
    return error.retry_after_s or 0.0


def _wait_s(error: UpstreamError, attempt: int) -> float:
    if error.retry_after_s is not None:
        return error.retry_after_s
    if attempt == 0 and error.kind == "broken":  # as a rule a connection that the service had closed
        return 0.0
    longest = FIRST_WAIT_S * 2**attempt
    return random.uniform(longest / 2, longest)  # noqa: S311 - so that callers do not come back together


def _key(call: GatewayCall) -> bytes:
    """The same for requests that say the same, in whatever order."""
    values = {name: msgspec.json.decode(value) for name, value in call.body.items()}
    return call.protocol.encode() + msgspec.json.encode(values, order="sorted")
