"""An upstream: one service, with its connections, its rests after failures, and what was counted of it.

Source: Nygard, "Release It!", chapter "Stability Patterns", for the circuit breaker; RFC 9110, 10.2.3, for Retry-After.
"""

import json
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias

import msgspec

from bakeoff.chat.client import ServiceError
from bakeoff.chat.dialect import Api, dialect_of
from bakeoff.chat.meter import Prices
from bakeoff.config.file import secret
from bakeoff.config.sections import UpstreamConfig
from bakeoff.core import narrow, tracing
from bakeoff.core.addresses import without_password
from bakeoff.serve.gateway.connections import (
    CallTimeouts,
    NoConnectionError,
    ServiceConnections,
    ServiceResponse,
    SilenceError,
)

__all__ = ["FailureKind", "Fits", "Upstream", "UpstreamError", "UpstreamReply"]

FailureKind: TypeAlias = Literal["unreachable", "silent", "broken", "busy", "failed", "misconfigured", "resting"]
"""No connection; no byte in time; an answer that ends too soon; asked too often; an error of its own; a key or a model
that it does not take; left alone after failures."""

CALLERS_FAULT = frozenset({400, 413, 415, 422})
NOT_FOUND, TOO_MANY, SERVER_ERROR = 404, 429, 500
AGAIN = frozenset({408, 409, 425})
SHOWN = 300
LONGEST_ADVICE_S = 86_400.0
"""No service is left alone for longer than a day, whatever it says."""
EVENTS = "text/event-stream"
AUTHORIZATION, ANTHROPIC_KEY = "Authorization", "x-api-key"

Fits: TypeAlias = Callable[[Mapping[str, Any]], bool]
"""Whether values are those of an answer."""

logger = logging.getLogger(__name__)


class UpstreamError(ServiceError):
    """A service that gave no answer.

    Args:
        kind: what went wrong.
        message: expected, received, what to do.
        retry_after_s: when it may be asked again, if it says so.
    """

    def __init__(self, kind: FailureKind, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(kind, message, retry_after_s)
        self.kind: FailureKind = kind
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[1])

    @property
    def may_pass(self) -> bool:
        """Whether the same call may go well a little later."""
        return self.kind not in {"misconfigured", "resting"}


@dataclass(slots=True, kw_only=True)
class UpstreamReply:
    """What a service answered: a `body`, or `parts` of a stream as they come, of which the first is there.

    Closing `parts` ends the call. `values` are those of the body of an answer.
    """

    status: int
    media_type: str
    body: bytes = b""
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    parts: AsyncGenerator[bytes] | None = None

    @property
    def is_answer(self) -> bool:
        """Whether it is one, and no refusal."""
        return self.status < 400  # noqa: PLR2004 - HTTP's


@dataclass(slots=True)
class UpstreamCounts:
    """What was counted of an upstream since the start."""

    calls: int = 0
    refused: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    rests: int = 0
    failures: dict[FailureKind, int] = field(default_factory=dict[FailureKind, int])


class Upstream:
    """One service; to be used on the loop's thread, until `close`.

    Args:
        config: which, and how.
        name: what the log and the metrics call it.
        environ: where its key is looked up; the process's environment by default.
        timer: seconds.

    Raises:
        ConfigError: the environment variable of the key is not set.
    """

    def __init__(
        self,
        config: UpstreamConfig,
        *,
        name: str,
        environ: Mapping[str, str] | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.name, self._timer = config, name, timer
        self.dialect = dialect_of(config.dialect, config.url)
        self.prices = Prices(usd_in=config.price_in, usd_out=config.price_out, usd_cached=config.price_cached)
        self.counts = UpstreamCounts()
        self.problem: str | None = None
        """Why it did not answer the last time; None when it did."""
        self._url = re.sub(r"(/chat/completions|/responses|/messages)?/*$", "", config.url)
        self._key = None if config.key_env is None else secret(config.key_env, environ)
        timeouts = CallTimeouts(
            connect_s=config.connect_timeout_s, silence_s=config.first_byte_timeout_s, whole_s=config.timeout_s
        )
        self._connections = ServiceConnections(self._url, self._made_headers(), timeouts)
        self._in_a_row, self._rests_until, self._is_probed = 0, 0.0, False

    @property
    def api(self) -> Api:
        """The protocol that it speaks."""
        return self.dialect.api

    def close(self) -> None:
        """Let go of the connections."""
        self._connections.close()

    def resting(self) -> UpstreamError | None:
        """Why it is left alone now, and until when; None when it may be asked."""
        rests_s = self._rests_until - self._timer()
        if rests_s <= 0 and not self._is_probed:
            return None
        kind = "busy" if self._in_a_row < self.config.failures else "resting"
        return UpstreamError(kind, f"{self.name} is left alone for a while: {self.problem}", max(rests_s, 1.0))

    async def ask(self, path: str, body: bytes, fits: Fits = lambda _: True) -> UpstreamReply:
        """What it answers to a body; what it refuses as the caller's fault is an answer, too.

        Args:
            path: of the call.
            body: of the call.
            fits: whether the values of a body are those of an answer.

        Raises:
            UpstreamError: it gave none.
        """
        probes = self._is_probed = self._in_a_row >= self.config.failures  # of who has failed so often, one call tries
        began = self._timer()
        self.counts.calls += 1
        try:
            reply = await self._answer(path, body, fits)
        except UpstreamError as error:
            self.note_failure(error)
            raise
        finally:
            self.counts.seconds += self._timer() - began
            if probes:
                self._is_probed = False
        self._in_a_row, self.problem = 0, None
        self.counts.refused += not reply.is_answer
        return reply

    async def _answer(self, path: str, body: bytes, fits: Fits) -> UpstreamReply:
        trace = tracing.traceparent()
        response: ServiceResponse | None = None
        streams = False
        try:
            response = await self._connections.post(path, body, {} if trace is None else {"traceparent": trace})
            if response.status < 300 and response.media_type == EVENTS:  # noqa: PLR2004 - HTTP's
                first = await response.part()
                if not first:
                    raise UpstreamError("broken", f"{self._shown_url}: expected a stream, received an empty one")
                streams = True
                parts = self._parts(response, first)
                return UpstreamReply(status=response.status, media_type=EVENTS, parts=parts)
            content = await response.read()
        except OSError as error:
            raise self._lost(error) from error
        finally:
            if response is not None and not streams:
                response.close()
        assert response is not None, "what has no response was raised"
        failure = self._failure(response, content)
        if failure is not None:
            raise failure
        values: Any = {}
        if response.status >= 400:  # noqa: PLR2004 - HTTP's
            content = self._without_key(content)
        elif not narrow.is_object(values := _decoded(content)) or not fits(values):
            raise UpstreamError("broken", f"{self._shown_url}: expected an answer, received {self._shown(content)}")
        return UpstreamReply(status=response.status, media_type=response.media_type, body=content, values=values)

    async def _parts(self, response: ServiceResponse, first: bytes) -> AsyncGenerator[bytes]:
        """The stream, whose first part is there: until then another one could be asked."""
        try:
            yield first
            while part := await response.part():
                yield part
        except OSError as error:
            failure = self._lost(error)
            self.note_failure(failure)
            raise failure from error
        finally:
            response.close()

    def _lost(self, error: OSError) -> UpstreamError:
        kind: FailureKind = "broken"
        if isinstance(error, NoConnectionError):
            kind = "unreachable"
        elif isinstance(error, SilenceError):
            kind = "silent"
        return UpstreamError(kind, f"{self._shown_url}: expected an answer, received none: {error}")

    def _failure(self, response: ServiceResponse, content: bytes) -> UpstreamError | None:
        """What is wrong with an answer by its status; None for an answer, and for what is the caller's fault."""
        status = response.status
        callers = status in CALLERS_FAULT or (status == NOT_FOUND and self.config.model is None)
        if status < 300 or callers:  # noqa: PLR2004 - HTTP's
            return None
        message = f"{self._shown_url} answers HTTP {status}: {self._shown(content)}"
        if status == TOO_MANY:
            return UpstreamError("busy", message, _advised_s(response.headers.get("retry-after", "")))
        if status >= SERVER_ERROR or status in AGAIN:
            return UpstreamError("failed", message, _advised_s(response.headers.get("retry-after", "")))
        return UpstreamError("misconfigured", message)

    def note_failure(self, error: UpstreamError) -> None:
        """Count that it gave no answer, or none to its end; after some of these it is left alone."""
        self.problem = str(error)
        self.counts.failures[error.kind] = self.counts.failures.get(error.kind, 0) + 1
        if error.kind == "busy":  # it works, and says when to come again
            self._rests_until = max(self._rests_until, self._timer() + (error.retry_after_s or 0.0))
            return
        self._in_a_row += 1
        if self._in_a_row >= self.config.failures:
            self._rests_until = self._timer() + self.config.rest_s
            self.counts.rests += 1
            logger.warning("upstream %s is left alone for %g s: %s", self.name, self.config.rest_s, error)

    def encoded(self, body: Mapping[str, Any]) -> bytes:
        """The body of a call, with its own model's name."""
        return msgspec.json.encode(body if self.config.model is None else {**body, "model": self.config.model})

    def cost_usd(self, tokens_in: int, tokens_out: int, tokens_cached: int) -> float | None:
        """Count what an answer used: its price, None without prices."""
        cost = self.prices.cost_usd(tokens_in, tokens_out, tokens_cached)
        counts = self.counts
        counts.tokens_in += tokens_in
        counts.tokens_out += tokens_out
        counts.tokens_cached += tokens_cached
        counts.cost_usd += cost or 0.0
        return cost

    def _made_headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", **self.dialect.headers, **self.config.headers}
        if self._key is not None:
            name = self.config.key_header
            name = ANTHROPIC_KEY if self.api == "messages" and name == AUTHORIZATION else name
            headers[name] = f"Bearer {self._key}" if name.lower() == AUTHORIZATION.lower() else self._key
        return headers

    @property
    def _shown_url(self) -> str:
        return without_password(self._url)

    def _shown(self, content: bytes) -> str:
        text = " ".join(self._without_key(content[: 4 * SHOWN]).decode(errors="replace").split())
        return repr(text[:SHOWN])

    def _without_key(self, content: bytes) -> bytes:
        """Without the key that a service may repeat."""
        return content if self._key is None else content.replace(self._key.encode(), b"***")


def _advised_s(advice: str) -> float | None:
    """Seconds that Retry-After asks to wait: a number or a date."""
    advice = advice.strip()
    try:
        wait_s = float(advice) if advice.isdecimal() else parsedate_to_datetime(advice).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), LONGEST_ADVICE_S)


def _decoded(content: bytes) -> Any:
    """The values of JSON, also with numbers that JSON has not (NaN) but some services write; None of what is none."""
    try:
        return msgspec.json.decode(content)
    except (ValueError, RecursionError):
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return None
