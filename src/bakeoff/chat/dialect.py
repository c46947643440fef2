"""Dialects of the OpenAI API: services agree on its form and differ in which options they take.

The chat models of today call the limit `max_tokens`; reasoning models call it `max_completion_tokens` and take no
temperature and give no log-probabilities. A service says so with a 400 that names the option: what it says is
learned, the call made again in its dialect, and the dialect kept with the model, so that it is served as it was
measured.

Source: the OpenAI API reference, platform.openai.com/docs/guides/reasoning (limitations) and /docs/guides/error-codes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias
from urllib.parse import urlsplit

from bakeoff.chat.anthropic import HEADERS, MessageEvents, message_body, message_reply
from bakeoff.chat.responses import ResponseEvents, response_body, response_reply
from bakeoff.config.sections import ApiDialect
from bakeoff.core import narrow
from bakeoff.core.types import Json

__all__ = ["ANTHROPIC", "PLAIN", "REASONING", "RESPONSES", "ServiceDialect", "dialect_of"]

Api: TypeAlias = Literal["chat", "responses", "messages"]

OPTIONAL = frozenset({"temperature", "top_p", "logprobs", "top_logprobs", "seed", "stream_options"})
"""What an answer can do without; all else that is refused is an error."""
TOGETHER = frozenset({"logprobs", "top_logprobs"})
REFUSES = re.compile(
    r"unsupported|not supported|unrecognized|unknown|extra_forbidden|extra inputs|not permitted|does not support"
    r"|doesn't support|not allowed|unexpected|deprecated",
    re.IGNORECASE,
)
TELLING = frozenset({400, 403, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDialect:
    """How a service wants to be asked.

    Attributes:
        max_tokens: Its name for the most tokens of an answer.
        left_out: Options that it refuses.
        api: Chat completions, or another API that says the same.
    """

    max_tokens: str = "max_tokens"
    left_out: tuple[str, ...] = ()
    api: Api = "chat"

    @property
    def path(self) -> str:
        """What is added to the service's address."""
        return _APIS[self.api].path

    @property
    def headers(self) -> Mapping[str, str]:
        """What each call says beside its body."""
        return _APIS[self.api].headers

    def reply(self, found: Any) -> Any:
        """An answer as the body of a chat completion; what is none stays as it is."""
        return _APIS[self.api].reply(found)

    def events(self) -> "Events":
        """What makes chunks of chat completions of the events of one stream."""
        return _APIS[self.api].events()

    def spoken(self, body: Mapping[str, Json]) -> dict[str, Json]:
        """The body of a call in this dialect.

        >>> ServiceDialect(max_tokens="max_completion_tokens", left_out=("seed",)).spoken({"max_tokens": 5, "seed": 1})
        {'max_completion_tokens': 5}
        """
        named = {self.max_tokens if name == "max_tokens" else name: value for name, value in body.items()}
        return _APIS[self.api].body({name: value for name, value in named.items() if name not in self.left_out})

    def learned(
        self, status: int, answer: Any, body: Mapping[str, Json], fixed: frozenset[str] = frozenset()
    ) -> "ServiceDialect | None":
        """The dialect that an answer teaches; None when it teaches nothing new.

        Args:
            status: The status of the answer.
            answer: Its body, decoded.
            body: The call as it was made.
            fixed: Options that somebody asked for: they are not to be left out unasked.
        """
        if status not in TELLING or not narrow.is_mapping(answer):
            return None
        text = str(answer)
        if not REFUSES.search(text):
            return None
        name = _named(answer, text, body)
        if name in {"max_tokens", "max_completion_tokens"}:
            other = "max_completion_tokens" if name == "max_tokens" else "max_tokens"
            return replace(self, max_tokens=other) if other in text and self.max_tokens == name else None
        name = "logprobs" if name == "include" else name
        if name not in OPTIONAL or name in fixed:
            return None
        more = TOGETHER if name in TOGETHER else {name}
        return replace(self, left_out=tuple(sorted({*self.left_out, *more})))

    def to_json(self) -> dict[str, Json]:
        """For the record of what was chosen."""
        more: dict[str, Json] = {} if self.api == "chat" else {"api": self.api}
        return {"max_tokens": self.max_tokens, "left_out": list(self.left_out), **more}


def _named(answer: Mapping[str, Any], text: str, body: Mapping[str, Json]) -> str | None:
    """The option of the call that an error is about: the one it names as its parameter, else the first in its words."""
    error: Any = answer.get("error")
    param: Any = error.get("param") if narrow.is_mapping(error) else None
    if param in body:
        return str(param)
    places = {name: place for name in body if (place := _place(name, text)) >= 0}
    return min(places, key=places.__getitem__, default=None)


def _place(name: str, text: str) -> int:
    found = re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", text)
    return found.start() if found else -1


class Events(Protocol):
    """Makes chunks of chat completions of the events of one stream."""

    def chunks(self, event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks that an event makes."""
        ...


class _Chunks:
    def chunks(self, event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        yield dict(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Api:
    path: str
    body: Callable[[Mapping[str, Any]], dict[str, Json]]
    reply: Callable[[Any], Any]
    events: Callable[[], Events]
    headers: Mapping[str, str]


_APIS: Mapping[Api, _Api] = {
    "chat": _Api(path="/chat/completions", body=dict, reply=lambda found: found, events=_Chunks, headers={}),
    "responses": _Api(path="/responses", body=response_body, reply=response_reply, events=ResponseEvents, headers={}),
    "messages": _Api(path="/messages", body=message_body, reply=message_reply, events=MessageEvents, headers=HEADERS),
}
PLAIN = ServiceDialect()
REASONING = ServiceDialect(
    max_tokens="max_completion_tokens", left_out=("logprobs", "seed", "temperature", "top_logprobs", "top_p")
)
RESPONSES = ServiceDialect(api="responses", left_out=("seed",))
ANTHROPIC = ServiceDialect(api="messages", left_out=("logprobs", "seed", "top_logprobs"))
ANTHROPIC_HOST = "api.anthropic.com"


def dialect_of(name: ApiDialect, url: str) -> ServiceDialect:
    """The dialect of a name; for "auto" what the address says, which the service may then teach more of.

    >>> dialect_of("auto", "https://api.openai.com/v1/responses").api
    'responses'
    """
    if name == "auto":
        path = urlsplit(url).path.rstrip("/")
        if path.endswith("/responses"):
            return RESPONSES
        anthropic = path.endswith("/messages") or urlsplit(url).hostname == ANTHROPIC_HOST
        return ANTHROPIC if anthropic and not path.endswith("/chat/completions") else PLAIN
    return {"plain": PLAIN, "reasoning": REASONING, "responses": RESPONSES, "anthropic": ANTHROPIC}[name]
