"""An upstream: one service, with its connections, its rests after failures, and what was counted of it.

The client is aiohttp: docs/decisions/0050-gateway.md has what others cost.

Source: Nygard, "Release It!", chapter "Stability Patterns", for the circuit breaker; RFC 9110, 10.2.3, for Retry-After.
"""

import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from bakeoff.chat.client import ServiceError
from bakeoff.chat.dialect import Api, dialect_of
from bakeoff.chat.meter import Prices
from bakeoff.config.file import secret
from bakeoff.config.sections import UpstreamConfig
from bakeoff.core import tracing
from bakeoff.core.addresses import is_local_url, without_password
from bakeoff.core.errors import MissingExtraError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["FailureKind", "Upstream", "UpstreamError", "UpstreamReply"]

FailureKind: TypeAlias = Literal["unreachable", "silent", "broken", "busy", "failed", "misconfigured", "resting"]
"""No connection; no byte in time; an answer that ends too soon; asked too often; an error of its own; a key or a model
that it does not take; left alone after failures."""

CALLERS_FAULT = frozenset({400, 413, 415, 422})
NOT_FOUND, TOO_MANY, SERVER_ERROR = 404, 429, 500
AGAIN = frozenset({408, 409, 425})
SHOWN = 300
EVENTS = "text/event-stream"
AUTHORIZATION, ANTHROPIC_KEY = "Authorization", "x-api-key"

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

    Closing `parts` ends the call.
    """

    status: int
    media_type: str
    body: bytes = b""
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
    """One service; to be used on the loop's thread, between `open` and `close`.

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
        self._headers = self._made_headers()
        self._session: aiohttp.ClientSession | None = None
        self._in_a_row, self._rests_until, self._is_probed = 0, 0.0, False

    @property
    def api(self) -> Api:
        """The protocol that it speaks."""
        return self.dialect.api

    async def open(self) -> None:
        """Be ready for calls.

        Raises:
            MissingExtraError: aiohttp is not installed.
        """
        try:
            import aiohttp
        except ModuleNotFoundError as error:
            raise MissingExtraError.of("An endpoint with upstreams", "gateway", "aiohttp") from error
        timeout = aiohttp.ClientTimeout(
            total=self.config.timeout_s,
            connect=self.config.connect_timeout_s,
            sock_connect=self.config.connect_timeout_s,
            sock_read=self.config.first_byte_timeout_s,
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            timeout=timeout,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=not is_local_url(self._url),  # a proxy is another machine
        )

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    def resting(self) -> UpstreamError | None:
        """Why it is left alone now, and until when; None when it may be asked."""
        rests_s = self._rests_until - self._timer()
        if rests_s <= 0 and not self._is_probed:
            return None
        kind = "busy" if self._in_a_row < self.config.failures else "resting"
        return UpstreamError(kind, f"{self.name} is left alone for a while: {self.problem}", max(rests_s, 1.0))

    async def ask(self, path: str, body: bytes) -> UpstreamReply:
        """What it answers to a body; what it refuses as the caller's fault is an answer, too.

        Raises:
            UpstreamError: it gave none.
        """
        probes = self._is_probed = self._in_a_row >= self.config.failures  # of who has failed so often, one call tries
        began = self._timer()
        self.counts.calls += 1
        try:
            reply = await self._answer(path, body)
        except UpstreamError as error:
            self._note_failure(error)
            raise
        finally:
            self.counts.seconds += self._timer() - began
            if probes:
                self._is_probed = False
        self._in_a_row, self.problem = 0, None
        self.counts.refused += not reply.is_answer
        return reply

    async def _answer(self, path: str, body: bytes) -> UpstreamReply:
        import aiohttp

        assert self._session is not None, "the upstream is not open"
        trace = tracing.traceparent()
        headers = None if trace is None else {"traceparent": trace}
        try:
            response = await self._session.post(self._url + path, data=body, headers=headers, allow_redirects=False)
            if response.status < 400 and response.content_type == EVENTS:  # noqa: PLR2004 - HTTP's
                return await self._streamed(response)
            content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._lost(error) from error
        failure = self._failure(response, content)
        if failure is not None:
            raise failure
        if response.status >= 400:  # noqa: PLR2004 - HTTP's
            content = self._without_key(content)
        return UpstreamReply(status=response.status, media_type=response.content_type, body=content)

    async def _streamed(self, response: "aiohttp.ClientResponse") -> UpstreamReply:
        """The stream, once its first part is there: until then another one can be asked."""
        try:
            first = await response.content.readany()
        except BaseException:
            response.close()
            raise
        if not first:
            response.close()
            raise UpstreamError("broken", f"{self._shown_url}: expected a stream, received an empty one")
        return UpstreamReply(status=response.status, media_type=EVENTS, parts=self._parts(response, first))

    async def _parts(self, response: "aiohttp.ClientResponse", first: bytes) -> AsyncGenerator[bytes]:
        import aiohttp

        try:
            yield first
            while part := await response.content.readany():
                yield part
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = self._lost(error)
            self._note_failure(failure)
            raise failure from error
        finally:
            response.close() if not response.content.is_eof() else response.release()

    def _lost(self, error: Exception) -> UpstreamError:
        import aiohttp

        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ServerConnectionError):
            return UpstreamError("silent", f"{self._shown_url}: expected a whole answer in time, received none")
        if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
            return UpstreamError("unreachable", f"{self._shown_url}: no connection ({error})")
        if isinstance(error, aiohttp.ServerTimeoutError):
            message = f"{self._shown_url}: expected a byte within {self.config.first_byte_timeout_s:g} s, received none"
            return UpstreamError("silent", message)
        return UpstreamError("broken", f"{self._shown_url}: the answer broke off ({type(error).__name__}: {error})")

    def _failure(self, response: "aiohttp.ClientResponse", content: bytes) -> UpstreamError | None:
        """What is wrong with an answer by its status; None for an answer, and for what is the caller's fault."""
        status = response.status
        callers = status in CALLERS_FAULT or (status == NOT_FOUND and self.config.model is None)
        if status < 300 or callers:  # noqa: PLR2004 - HTTP's
            if status < 300 and not content.lstrip().startswith((b"{", b"[")):  # noqa: PLR2004 - HTTP's
                return UpstreamError("broken", f"{self._shown_url}: expected JSON, received {self._shown(content)}")
            return None
        message = f"{self._shown_url} answers HTTP {status}: {self._shown(content)}"
        if status == TOO_MANY:
            return UpstreamError("busy", message, _advised_s(response.headers.get("retry-after", "")))
        if status >= SERVER_ERROR or status in AGAIN:
            return UpstreamError("failed", message, _advised_s(response.headers.get("retry-after", "")))
        return UpstreamError("misconfigured", message)

    def _note_failure(self, error: UpstreamError) -> None:
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
    if advice.isdecimal():
        return float(advice)
    try:
        return max(0.0, parsedate_to_datetime(advice).timestamp() - time.time())
    except ValueError:
        return None
