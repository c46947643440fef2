"""A client of services with an OpenAI-compatible API: many calls at once, retried, kept on disk.

Waiting between attempts doubles, with jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture
Blog 2015), unless the service says how long to wait. No key and no prompt is ever logged.
"""

import logging
import random
import re
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from bakeoff.chat.cache import ReplyCache
from bakeoff.chat.dialect import PLAIN, ServiceDialect
from bakeoff.chat.privacy import may_call
from bakeoff.chat.streaming import chunk_of, events, text_of, tokens_of
from bakeoff.config.file import secret
from bakeoff.core import narrow
from bakeoff.core.errors import (
    BudgetError,
    CandidateError,
    ContextLengthError,
    MissingExtraError,
    OutOfBudget,
    UsageError,
)
from bakeoff.core.generation import Token
from bakeoff.core.hashing import digest_json
from bakeoff.core.types import Json

if TYPE_CHECKING:
    import httpx2
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CostBudget",
    "Refusal",
    "RefusedError",
    "Reply",
    "Service",
    "ServiceClient",
    "ServiceError",
]

Request: TypeAlias = Mapping[str, Json]
"""The body of a call but for the model: `messages`, `temperature`, …"""

_T = TypeVar("_T")

AUTHORIZATION, ANTHROPIC_KEY = "Authorization", "x-api-key"
CHAT, EMBEDDINGS = "/chat/completions", "/embeddings"
REFUSED = frozenset({400, 413, 422})
"""The service will not take this request; others it may."""
AGAIN = frozenset({408, 409, 425, 429})
SERVER_ERROR = 500
KEY_WRONG = frozenset({401, 403})
NOT_FOUND = 404
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
LONGEST_ADVICE_S = 300.0
"""A service that asks for a longer wait than this has run dry (of quota) rather than hot."""
SHOWN = 300
TEXTS_PER_CALL = 64
CHARACTERS_PER_TOKEN = 4
MOST_TOKENS = 2**53
"""More than this is no count."""
DONE = "[DONE]"
TOO_LONG = re.compile("context_length_exceeded|maximum context length|exceed_context_size")

logger = logging.getLogger(__name__)


class ServiceError(CandidateError):
    """A service that does not answer, or with something that is no answer."""


class RefusedError(ServiceError):
    """A service that took a call but will not answer this request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Which model of which service, and how to call it.

    Attributes:
        url: Up to where `/chat/completions` (or `/responses`, `/messages`) would be added, or with it.
        model: Its name there.
        key_env: The environment variable with the key.
        key_header: Where the key goes: as a bearer in `Authorization`, bare in any other header (Azure: `api-key`).
        timeout_s: The longest wait for an answer.
        attempts: A call that fails is made so many times.
        concurrency: So many calls run at once.
        headers: More headers of each call; no keys, as they stand in the project file.
        query: What is added to the address of each call (Azure: `api-version`).
        body: What is added to the body of each chat call; it wins over what stands there.
    """

    url: str
    model: str
    key_env: str | None = None
    key_header: str = AUTHORIZATION
    timeout_s: float = 60.0
    attempts: int = 6
    concurrency: int = 8
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Mapping[str, Json] = field(default_factory=dict[str, Json])

    @classmethod
    def of(cls, settings: object) -> Self:
        """The service that settings name, which have a field for each of its own."""
        return cls(**{each.name: getattr(settings, each.name) for each in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of the service: its `body`, the `seconds` it took when it was made, whether the disk had it."""

    body: Mapping[str, Any]
    seconds: float
    cached: bool
    asked_characters: int = 0

    @classmethod
    def streamed(cls, request: Request, body: Mapping[str, Any], seconds: float) -> "Reply":
        """What came of a stream, as one reply."""
        return cls(body=body, seconds=seconds, cached=False, asked_characters=_characters(request))

    @property
    def text(self) -> str:
        """What was said; empty when it was nothing."""
        return text_of(self.body["choices"][0]["message"].get("content"))

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens of the answer with their likeliest alternatives; empty when the service does not tell."""
        return tokens_of(self.body["choices"][0])

    @property
    def tokens_in(self) -> int:
        """Tokens read; where the service does not count, a quarter of the characters."""
        return self._counted("prompt_tokens", self.asked_characters)

    @property
    def tokens_cached(self) -> int:
        """Of the tokens read, those that the service had from an earlier call with the same beginning."""
        details = self._details("prompt_tokens_details")
        return min(
            _count(details.get("cached_tokens", self._usage.get("prompt_cache_hit_tokens"))) or 0, self.tokens_in
        )

    @property
    def tokens_out(self) -> int:
        """Tokens written, those of reasoning among them; where the service does not count, a quarter of the characters.

        Some services leave reasoning out of what they call completion; it is in the total that they name.
        """
        written = self._counted("completion_tokens", len(self.text) if "choices" in self.body else 0)
        total = _count(self._usage.get("total_tokens")) or 0
        return max(written, total - self.tokens_in) if self.tokens_reasoning else written

    @property
    def tokens_reasoning(self) -> int:
        """Of the tokens written, those of reasoning that nobody sees."""
        return _count(self._details("completion_tokens_details").get("reasoning_tokens")) or 0

    @property
    def _usage(self) -> Mapping[str, Any]:
        usage: Any = self.body.get("usage")
        return usage if narrow.is_mapping(usage) else {}

    def _details(self, name: str) -> Mapping[str, Any]:
        details: Any = self._usage.get(name)
        return details if narrow.is_mapping(details) else {}

    def _counted(self, name: str, characters: int) -> int:
        counted = _count(self._usage.get(name))
        return -(-characters // CHARACTERS_PER_TOKEN) if counted is None else counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The service took the call but will not answer this request (content filter, too long)."""

    status: int
    message: str

    def error(self, who: str) -> ContextLengthError | RefusedError:
        """The same as an error, for who wants an answer to this one request."""
        kind = ContextLengthError if TOO_LONG.search(self.message) else RefusedError
        return kind(f"{who} refuses (HTTP {self.status}): {self.message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostBudget:
    """What a reply costs, and dollars that all may cost: no call is made that might go beyond them.

    What a call will cost is not known before; it is taken to be as dear as the dearest one so far.
    """

    price: Callable[[Reply], float]
    usd: float | None = None


class ServiceClient:
    """Calls one service; safe to use from several threads.

    Whether it may call other machines is decided where it is made (`bakeoff.chat.privacy.remote_calls`).

    Args:
        service: what to call.
        cache: a folder for replies; without it nothing is kept.
        environ: where the key is looked up; the process's environment by default.
        sleep: waits between attempts.
        dialect: how the service wants to be asked.
        learns: whether the service may teach another one by what it refuses.
        budget: what replies cost, and what may be spent, with what was spent before where there is a cache. There a run
            may have a budget, too, which all its services share (`ReplyCache.begin_run`).

    Raises:
        UsageError: the URL is none.
    """

    def __init__(
        self,
        service: Service,
        *,
        cache: Path | None = None,
        environ: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        dialect: ServiceDialect = PLAIN,
        learns: bool = True,
        budget: CostBudget | None = None,
    ) -> None:
        if not service.url.startswith(("http://", "https://")):
            raise UsageError(f"expected a URL of a service (https://host/v1), received {service.url!r}")
        self.service = service
        self._url = re.sub(r"(/chat/completions|/responses|/messages)?/*$", "", service.url)
        self._cache = None if cache is None else ReplyCache(cache)
        self._environ, self._sleep = environ, sleep
        known = self._cache.dialect(self._name) if self._cache and learns else None
        self.dialect, self._learns = known or dialect, learns
        self._budget, self._spent_usd = budget, 0.0
        self._run_usd = self._cache.run_paid()[1] if self._cache else None
        self._forbidden = may_call(self._url)
        self._making, self._paying = threading.Lock(), threading.Lock()
        self._under_way, self._dearest_usd = 0, 0.0

    def chat(
        self,
        requests: Sequence[Request],
        *,
        progress: Callable[[str], None] = lambda _: None,
        fixed: frozenset[str] = frozenset(),
    ) -> list[Reply | Refusal]:
        """The reply to each request, in order; equal requests are asked once.

        Options of the requests that the service does not know are left out, but for those that are `fixed`.

        Raises:
            BudgetError: what may be spent is spent.
            SecurityError: the service is on another machine and the project does not allow that.
            ServiceError: it cannot be reached, refuses the key, does not know the model, or makes no sense.
            ConfigError: the environment variable of the key is not set.
        """
        bodies = [{**request, **self.service.body} for request in requests]
        return self._all(CHAT, bodies, _is_chat, progress, fixed)

    def embeddings(self, texts: Sequence[str]) -> "NDArray[np.float64]":
        """Vectors (n, d) of texts; the errors of `chat`, and `ServiceError` for a refusal."""
        import numpy as np

        parts = [list(texts[start : start + TEXTS_PER_CALL]) for start in range(0, len(texts), TEXTS_PER_CALL)]
        requests: list[Request] = [{"input": part, "encoding_format": "float"} for part in parts]
        vectors: list[list[float]] = []
        for part, reply in zip(
            parts, self._all(EMBEDDINGS, requests, _is_embedding, lambda _: None, frozenset()), strict=True
        ):
            found: list[list[float]] = [] if isinstance(reply, Refusal) else _vectors(reply)
            if len(found) != len(part):
                raise ServiceError(f"expected {len(part)} vectors from {self._url}, received {reply!r:.200}")
            vectors += found
        return np.asarray(vectors, dtype=np.float64).reshape(len(texts), -1)

    def _all(
        self,
        path: str,
        requests: Sequence[Request],
        fits: Callable[[Any], bool],
        progress: Callable[[str], None],
        fixed: frozenset[str],
    ) -> list[Reply | Refusal]:
        bodies = [{**request, "model": self.service.model} for request in requests]
        extra = {"query": dict(self.service.query), "headers": dict(self.service.headers)}
        api = [] if path != CHAT or self.dialect.api == "chat" else [self.dialect.api]
        where: list[Any] = [self._url, path, *([extra] if any(extra.values()) else []), *api]
        keys = [digest_json([*where, body]) for body in bodies]
        distinct = dict(zip(keys, bodies, strict=True))
        stored = self._cache.find(distinct) if self._cache else {}
        outcomes: dict[str, Reply | Refusal] = {
            key: Reply(body=body, seconds=seconds, cached=True, asked_characters=_characters(distinct[key]))
            for key, (seconds, body) in stored.items()
        }
        waiting = [key for key in distinct if key not in outcomes]
        if waiting and self._forbidden is not None:
            raise self._forbidden
        stop = threading.Event()

        def work(key: str) -> Reply | Refusal | None:
            if stop.is_set():
                return None
            try:
                return self._one(path, key, distinct[key], fits, fixed)
            except BaseException:
                stop.set()
                raise

        if waiting and self._limited:  # one alone: what it costs tells how many may be under way within a budget
            outcomes[waiting[0]] = self._one(path, waiting[0], distinct[waiting[0]], fits, fixed)
            waiting = waiting[1:]
        with ThreadPoolExecutor(max(1, min(self.service.concurrency, len(waiting)))) as pool:
            for done, (key, reply) in enumerate(zip(waiting, pool.map(work, waiting), strict=True), start=1):
                if reply is not None:
                    outcomes[key] = reply
                if done % 100 == 0:
                    progress(f"{done:,} of {len(waiting):,} calls answered")
        return [outcomes[key] for key in keys]

    def _one(
        self, path: str, key: str, body: Mapping[str, Json], fits: Callable[[Any], bool], fixed: frozenset[str]
    ) -> Reply | Refusal:
        def attempt() -> Reply | Refusal | _Again:
            with self._paying:
                self._check_budget((self._under_way + 1) * self._dearest_usd)
                self._under_way += 1
            reply: Reply | None = None
            try:
                started = time.perf_counter()
                outcome = self._attempt(path, body, fits, fixed)
                if isinstance(outcome, Refusal | _Again):
                    return outcome
                seconds = time.perf_counter() - started
                reply = Reply(body=outcome, seconds=seconds, cached=False, asked_characters=_characters(body))
                return reply
            finally:
                self._settle(key, reply)

        return self._insisting(attempt)

    def _settle(self, key: str, reply: Reply | None) -> None:
        """Keep what a call gave, and what it cost, in one step with its being under way no more."""
        with self._paying:
            self._under_way -= 1
            if reply is None:
                return
            usd = self._budget.price(reply) if self._budget else 0.0
            if self._cache:
                self._cache.keep(key, reply.seconds, reply.body, payer=self._name, usd=usd)
            self._spent_usd += usd
            self._dearest_usd = max(self._dearest_usd, usd)

    @property
    def _limited(self) -> bool:
        own = self._budget is not None and self._budget.usd is not None
        return own or self._run_usd is not None

    @property
    def _name(self) -> str:
        return f"{self._url} {self.service.model}"

    def _check_budget(self, more_usd: float) -> None:
        if self._cache is not None and self._run_usd is not None:
            paid_usd, _ = self._cache.run_paid()
            if paid_usd >= self._run_usd or paid_usd + more_usd > self._run_usd:
                raise BudgetError(
                    f"expected to pay services at most ${self._run_usd:g} in this run ([cost] budget_usd), paid "
                    f"${paid_usd:.4f} (and about ${more_usd:.4f} for calls under way and the next one) before "
                    f"{self._url} (model {self.service.model!r}) was done; the answers are kept: run again to go on",
                    OutOfBudget(setting="[cost] budget_usd", limit_usd=self._run_usd, paid_usd=paid_usd),
                )
        if self._budget is None or self._budget.usd is None:
            return
        spent_usd = self._spent_usd if self._cache is None else self._cache.spent_usd(self._name)
        if spent_usd >= self._budget.usd or spent_usd + more_usd > self._budget.usd:
            raise BudgetError(
                f"expected to spend at most ${self._budget.usd:g} on {self._url} (model {self.service.model!r}), spent "
                f"${spent_usd:.4f}; the answers are kept: raise budget_usd and run again to go on",
                OutOfBudget(setting="its budget_usd", limit_usd=self._budget.usd, paid_usd=spent_usd),
            )

    def _insisting(self, attempt: "Callable[[], _T | _Again]") -> _T:
        """What an attempt gives that does not fail, after as many as the service may have."""
        problem, number = "", 0
        for number in range(self.service.attempts):
            outcome = attempt()
            if not isinstance(outcome, _Again):
                return outcome
            problem = outcome.problem
            if outcome.wait_s is not None and outcome.wait_s > LONGEST_ADVICE_S:
                break
            if number + 1 < self.service.attempts:
                wait_s = outcome.wait_s if outcome.wait_s is not None else _wait_s(number)
                logger.info("%s: %s; again in %.1f s", self._url, problem, wait_s)
                self._sleep(wait_s)
        raise ServiceError(
            f"expected an answer from {self._url} (model {self.service.model!r}) in {number + 1} attempts, "
            f"received at last: {problem}"
        )

    def _attempt(
        self, path: str, body: Mapping[str, Json], fits: Callable[[Any], bool], fixed: frozenset[str]
    ) -> "dict[str, Any] | Refusal | _Again":
        import httpx2

        try:
            response = self._sent(path, body, fixed)
        except httpx2.RequestError as error:
            return self._lost(error)
        outcome = self._failure(response, path) or self._read(response, path)
        if isinstance(outcome, Refusal | _Again) or fits(outcome):
            return outcome
        return _Again(problem=f"something that is no answer: {self._shown(response)}")

    def _sent(
        self, path: str, body: Mapping[str, Json], fixed: frozenset[str], *, stream: bool = False
    ) -> "httpx2.Response":
        """The response to a call in the service's dialect, which it may teach: each time an option less is sent."""
        http = self._http
        while True:
            spoken = self.dialect.spoken(body) if path == CHAT else dict(body)
            address = self._url + (self.dialect.path if path == CHAT else path)
            call = http.build_request(
                "POST", address, json=spoken, headers=self._headers(), params=dict(self.service.query) or None
            )
            response = http.send(call, stream=stream)
            if response.is_success or path != CHAT or not self._learns:
                return response
            response.read()
            learned = self.dialect.learned(response.status_code, _json(response), spoken, fixed)
            if learned is None:
                return response
            logger.info("%s: %s; asking again without", self._url, self._shown(response))
            self.dialect = learned
            if self._cache:
                self._cache.keep_dialect(self._name, learned)

    def _read(self, response: "httpx2.Response", path: str) -> Any:
        """The body of an answer, that of a conversation as one of a chat completion."""
        body = _json(response)
        return self.dialect.reply(body) if path == CHAT else body

    def _lost(self, error: Exception) -> "_Again":
        import httpx2

        if isinstance(error, httpx2.TimeoutException):
            return _Again(problem=f"no answer within {self.service.timeout_s:g} s")
        return _Again(problem=f"{type(error).__name__}: {error}")

    def _failure(self, response: "httpx2.Response", path: str) -> "Refusal | _Again | None":
        """What is wrong with a response by its status; None when it holds an answer."""
        status = response.status_code
        if status in AGAIN or status >= SERVER_ERROR:
            return _Again(problem=f"HTTP {status}: {self._shown(response)}", wait_s=_advised_s(response))
        if status in REFUSED:
            return Refusal(status=status, message=self._shown(response))
        if status in KEY_WRONG:
            hint = f"the key in ${self.service.key_env}" if self.service.key_env else "no key: name one in key_env"
            raise ServiceError(f"{self._url} answers HTTP {status} to {hint}: {self._shown(response)}")
        if not response.is_success:
            hint = f" (is there a model {self.service.model!r}?)" if status == NOT_FOUND else ""
            raise ServiceError(f"{self._url}{path} answers HTTP {status}{hint}: {self._shown(response)}")
        return None

    # --- streams --------------------------------------------------------------------------------

    def stream(self, request: Request, *, fixed: frozenset[str] = frozenset()) -> "Refusal | Generator[dict[str, Any]]":
        """The chunks of one reply as they come; the first one is there when this returns.

        What fails before the first chunk is tried again, what fails later ends the stream with `ServiceError`. A
        service that does not stream gives its whole reply as the only chunk. Closing the generator ends the call.
        The errors are those of `chat`; nothing is kept on disk.
        """
        if self._forbidden is not None:
            raise self._forbidden
        body = {**request, **self.service.body, "model": self.service.model}
        return self._insisting(lambda: self._opened(body, fixed))

    def _opened(
        self, body: Mapping[str, Json], fixed: frozenset[str]
    ) -> "Refusal | _Again | Generator[dict[str, Any]]":
        import httpx2

        try:
            response = self._sent(CHAT, body, fixed, stream=True)
        except httpx2.RequestError as error:
            return self._lost(error)
        chunks = self._chunks(response)
        try:
            if not response.is_success or "text/event-stream" not in response.headers.get("content-type", ""):
                response.read()  # an error, or a whole reply
            failure = self._failure(response, CHAT)
            first = None if failure else next(chunks, None)
        except httpx2.RequestError as error:
            response.close()
            return self._lost(error)
        except _BrokenError as error:
            response.close()
            return _Again(problem=str(error))
        except BaseException:
            response.close()
            raise
        if failure or first is None:
            response.close()
            return failure or _Again(problem="a stream without a chunk")
        return self._following(response, first, chunks)

    def _following(
        self, response: "httpx2.Response", first: dict[str, Any], chunks: Iterator[dict[str, Any]]
    ) -> "Generator[dict[str, Any]]":
        import httpx2

        try:
            yield first
            yield from chunks
        except (httpx2.RequestError, _BrokenError) as error:
            message = str(error) or type(error).__name__
            raise ServiceError(
                f"expected the rest of an answer from {self._url}, but the stream broke: {message}"
            ) from error
        finally:
            response.close()

    def _chunks(self, response: "httpx2.Response") -> Iterator[dict[str, Any]]:
        if response.is_stream_consumed:
            whole = self._read(response, CHAT)
            if not _is_chat(whole):
                raise _BrokenError(f"something that is no answer: {self._shown(response)}")
            yield whole
            return
        ended, reading = False, self.dialect.events()
        for data in events(response.iter_bytes()):
            if data == DONE:
                return
            event = chunk_of(data)
            for chunk in [{"error": None}] if event is None else reading.chunks(event):
                if "error" in chunk:
                    raise _BrokenError(f"{self._without_key(data)[:SHOWN]!r} in the stream")
                ended = ended or any(choice.get("finish_reason") for choice in chunk.get("choices") or ())
                yield chunk
        if not ended:
            raise _BrokenError("it ended before the answer did")

    def _headers(self) -> dict[str, str]:
        headers, key_env = {**self.dialect.headers, **self.service.headers}, self.service.key_env
        if key_env is not None:
            key, name = secret(key_env, self._environ), self.service.key_header
            name = ANTHROPIC_KEY if self.dialect.api == "messages" and name == AUTHORIZATION else name
            headers[name] = f"Bearer {key}" if name.lower() == AUTHORIZATION.lower() else key
        return headers

    def _shown(self, response: "httpx2.Response") -> str:
        """The start of a response, without the key that a service may repeat."""
        return repr(self._without_key(" ".join(response.text.split()))[:SHOWN])

    def _without_key(self, text: str) -> str:
        return text if self.service.key_env is None else text.replace(secret(self.service.key_env, self._environ), "…")

    @property
    def _http(self) -> "httpx2.Client":
        with self._making:  # one pool of connections, however many threads ask first
            return self._connections

    @cached_property
    def _connections(self) -> "httpx2.Client":
        try:
            import httpx2
        except ModuleNotFoundError as error:
            raise MissingExtraError.of("Calling a language model's API", "chat", "httpx2") from error
        from bakeoff.core.addresses import is_local_url

        connections = httpx2.Client(
            timeout=self.service.timeout_s,
            limits=httpx2.Limits(max_connections=self.service.concurrency),
            follow_redirects=False,  # the privacy switch was asked about this URL, not about others
            trust_env=not is_local_url(self._url),  # a proxy is another machine
        )
        weakref.finalize(self, connections.close)
        return connections


@dataclass(frozen=True, slots=True, kw_only=True)
class _Again:
    """An attempt that failed and may go well later, after `wait_s` if the service said so."""

    problem: str
    wait_s: float | None = None


class _BrokenError(Exception):
    """A stream that does not hold an answer, or not all of it."""


def _count(value: object) -> int | None:
    """A count of tokens; None when it is none."""
    return int(value) if isinstance(value, int | float) and 0 <= value <= MOST_TOKENS else None


def _json(response: "httpx2.Response") -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _wait_s(attempt: int) -> float:
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt)
    return random.uniform(longest / 2, longest)  # noqa: S311 - so that callers do not come back together


def _advised_s(response: "httpx2.Response") -> float | None:
    """Seconds that the service asks to wait: a number or a date, in the header Retry-After (RFC 9110, 10.2.3)."""
    from email.utils import parsedate_to_datetime

    advice = response.headers.get("retry-after", "").strip()
    if advice.isdecimal():
        return float(advice)
    try:
        return max(0.0, parsedate_to_datetime(advice).timestamp() - time.time())
    except ValueError:
        return None


def _characters(body: Mapping[str, Json]) -> int:
    content = body.get("messages") or body.get("input") or ""
    return len(str(content))


def _is_chat(answer: Any) -> bool:
    try:
        content = answer["choices"][0]["message"].get("content")
    except (TypeError, KeyError, IndexError, AttributeError):
        return False
    return content is None or isinstance(content, str | list)


def _is_embedding(answer: Any) -> bool:
    return narrow.is_object(answer) and isinstance(answer.get("data"), list)


def _vectors(reply: Reply) -> list[list[float]]:
    """Vectors in the order of the texts; services may send them in another."""
    data: Sequence[Mapping[str, Any]] = reply.body["data"]
    ordered = sorted(enumerate(data), key=lambda item: item[1].get("index", item[0]))
    return [list(map(float, each["embedding"])) for _, each in ordered]
