"""What is read out of answers that go through as they are: their texts, their tokens, where they end.

Protocols: `chat` (chat completions), `completions`, `responses`, `messages` (Anthropic's), `embeddings`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from bakeoff.chat.anthropic import MessageEvents, message_reply
from bakeoff.chat.client import Reply
from bakeoff.chat.responses import ResponseEvents, response_reply
from bakeoff.chat.streaming import Heard, calls_of, text_of
from bakeoff.core import narrow
from bakeoff.core.generation import ToolCall

__all__ = ["MOST_EVENT_BYTES", "NOT_AS_DECLARED", "EventReader", "Protocol", "WholeReply", "events_in", "renamed"]

Protocol: TypeAlias = Literal["chat", "completions", "responses", "messages", "embeddings"]

MOST_EVENT_BYTES = 2**23
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*")')
_KEYS = (b'"id":', b'"id": ')
"""How nearly all services write it."""
_DONE = b"[DONE]"
NOT_AS_DECLARED = (AttributeError, LookupError, TypeError, ValueError, OverflowError)
"""What reading raises of values that are of other types than their protocol has."""
_SAID: Mapping[Protocol, str] = {
    "chat": "choices",
    "completions": "choices",
    "responses": "output",
    "messages": "content",
    "embeddings": "data",
}
_FAILED = frozenset({"error", "response.failed"})
_LAST = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})


def renamed(content: bytes, before: str, after: str) -> bytes:
    r"""An answer, or an event of one, under another id.

    A text within it cannot look like an id, as its quotes are escaped.

    >>> renamed(b'{"id": "chatcmpl-1", "choices": []}', "chatcmpl-1", "a1")
    b'{"id": "a1", "choices": []}'
    """
    own = _quoted(before)
    at = content.find(own) if before else -1
    if at < 0:
        return content
    if content.endswith(_KEYS, 0, at):
        return content[:at] + _quoted(after) + content[at + len(own) :]
    for match in _ID.finditer(content):
        if match[1] == own:
            return content[: match.start(1)] + _quoted(after) + content[match.end(1) :]
    return content


@lru_cache(maxsize=256)
def _quoted(text: str) -> bytes:
    """As JSON; each event of a stream has the same."""
    return json.dumps(text, ensure_ascii=False).encode()


class _Delta(msgspec.Struct, forbid_unknown_fields=True):
    content: str | None = None
    role: str | None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    delta: _Delta
    index: int = 0
    finish_reason: None = None
    logprobs: None = None


class _TextChunk(msgspec.Struct):
    """A chunk of a chat completion that says a text, and nothing else that is read: most of a stream."""

    id: str
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]
    usage: None = None
    error: None = None
    type: None = None


_text_chunk = msgspec.json.Decoder(_TextChunk).decode


class WholeReply:
    """An answer that came as one body.

    Args:
        protocol: of the answer.
        values: of its body.
        request_bytes: how long the request was, from which tokens are estimated where the service counts none.

    Attributes:
        id: its own, which its service gave it.
        tokens: read, written, and of those read the ones that the service had from an earlier call.
        texts: what each choice says; calls of tools stand in it, each in a line.
    """

    def __init__(self, protocol: Protocol, values: Mapping[str, Any], request_bytes: int) -> None:
        self.id = str(values.get("id") or "")
        body = _as_completion(protocol, values)
        reply = Reply(body=body, seconds=0.0, cached=False, asked_characters=request_bytes)
        self.tokens = _tokens(reply, has_text=protocol != "embeddings")
        choices: list[Mapping[str, Any]] = body.get("choices") or []
        self.texts = [
            _with_calls(text_of(each["message"].get("content")), calls_of(each["message"])) for each in choices
        ]

    @classmethod
    def of(cls, protocol: Protocol, values: Mapping[str, Any], request_bytes: int) -> "WholeReply | None":
        """The answer that has these values; None where they are of none, or tell of an error, whatever its status."""
        if values.get("error") or not narrow.is_array(values.get(_SAID[protocol])):
            return None
        try:
            return cls(protocol, values, request_bytes)
        except NOT_AS_DECLARED:
            return None


class EventReader:
    """An answer that comes as server-sent events.

    Args:
        protocol: of the answer.
        request_bytes: see `WholeReply`.
    """

    def __init__(self, protocol: Protocol, request_bytes: int) -> None:
        self._protocol: Protocol = protocol
        self._request_bytes = request_bytes
        self._events = {"messages": MessageEvents, "responses": ResponseEvents}.get(protocol, lambda: None)()
        self._read = Heard()
        self.id = ""
        self.ended = False
        """Whether the event has come that says so."""
        self.finished = False
        """Whether the answer itself has said why it ends, or the event has come."""
        self.has_failed = False
        """Whether an event has told of an error."""

    def read(self, event: bytes) -> bool:
        """Take an event in; whether it is the count of tokens alone, which only who asks for it gets."""
        if event.startswith(b"data:") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
            data = event[5:].strip()  # one line, as nearly all services write them
        else:
            data = b"".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        if data == _DONE:
            self.ended = self.finished = True
            return False
        if self._protocol == "chat" and self._takes(data):
            return False
        try:
            body: Any = msgspec.json.decode(data) if data else None
        except msgspec.DecodeError:
            return False
        if not narrow.is_object(body):
            return False
        self.ended = self.ended or body.get("type") in _LAST
        self.finished = self.finished or self.ended
        self.has_failed = self.has_failed or bool(body.get("error")) or body.get("type") in _FAILED
        named: Any = body.get("message") if self._protocol == "messages" else body
        if not self.id and narrow.is_object(named):
            self.id = str(named.get("id") or "")
        try:
            for _ in self._read.pieces(self._finishing(self._chunks(body))):
                pass
        except NOT_AS_DECLARED:  # it goes through as it is, and nothing is read out of it
            return False
        return not body.get("choices", True) and bool(body.get("usage"))

    def _takes(self, data: bytes) -> bool:
        """Take an event in that says a text alone, in a third of the time; False: it is none."""
        try:
            chunk = _text_chunk(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        self.id = self.id or chunk.id
        self._read.text += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        return True

    def _finishing(self, chunks: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The same chunks, looked at for whether one ends the answer."""
        for chunk in chunks:
            choices: Any = chunk.get("choices") or ()
            self.finished = self.finished or any(choice.get("finish_reason") for choice in choices)
            yield chunk

    def _chunks(self, body: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        if self._events is not None:
            yield from self._events.chunks(body)
        elif self._protocol == "completions":
            choices = [{**each, "delta": {"content": each.get("text")}} for each in body.get("choices") or ()]
            yield {**body, "choices": choices}
        else:
            yield body

    @property
    def tokens(self) -> tuple[int, int, int]:
        """See `WholeReply`; of an answer that broke off, as far as it came."""
        reply = Reply(body=self._read.body, seconds=0.0, cached=False, asked_characters=self._request_bytes)
        return _tokens(reply, has_text=True)

    @property
    def text(self) -> str:
        """What was said so far."""
        return _with_calls("".join(self._read.text), ToolCall.joined(self._read.calls))


def events_in(rest: bytes) -> tuple[list[bytes], bytes]:
    r"""The whole events in bytes of a stream, each with its end, and what comes after them.

    >>> events_in(b"data: 1\n\ndata: 2\r\n\r\ndata")
    ([b'data: 1\n\n', b'data: 2\r\n\r\n'], b'data')
    """
    events: list[bytes] = []
    start = 0
    for match in _END.finditer(rest):
        events.append(rest[start : match.end()])
        start = match.end()
    return events, rest[start:]


def _as_completion(protocol: Protocol, body: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as the body of a chat completion."""
    made: Any = body
    if protocol == "messages":
        made = message_reply(body)
    elif protocol == "responses":
        made = response_reply(body)
    elif protocol == "completions":
        choices = [{**each, "message": {"content": each.get("text")}} for each in body.get("choices") or ()]
        made = {**body, "choices": choices}
    if not narrow.is_object(made):
        return {}
    choices: Any = made.get("choices")
    fit = narrow.is_array(choices) and all(narrow.is_object(c) and narrow.is_object(c.get("message")) for c in choices)
    return made if fit else {"usage": made.get("usage")}


def _tokens(reply: Reply, *, has_text: bool) -> tuple[int, int, int]:
    return reply.tokens_in, reply.tokens_out if has_text else 0, reply.tokens_cached


def _with_calls(text: str, calls: "tuple[ToolCall, ...] | list[ToolCall]") -> str:
    return "\n".join([text, *(call.text for call in calls)]).strip("\n") if calls else text
