"""How answers and errors of POST /v1/messages (Anthropic's API) are told.

Source: the Anthropic API reference, docs.anthropic.com/en/api/messages, /en/api/messages-streaming and /en/api/errors.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bakeoff.core.generation import Finish, Piece, ToolCall
from bakeoff.web.problems import anthropic_error
from bakeoff.web.serving.conversing import AnswerTokens, Head, calls_of, sse, text_of

__all__ = ["MessageForm"]

REASONS: dict[Finish | None, str | None] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    None: None,
}
"""An end by a stop text is an `end_turn`, too: engines do not tell the two apart."""


@dataclass(slots=True, kw_only=True)
class MessageForm:
    """Writes a message; see `bakeoff.web.serving.conversing.Form`. In a stream, its text and every call are blocks."""

    head: Head
    _blocks: int = 0
    _open: str | None = None
    _called: int | None = None
    _last: Piece | None = None

    def whole(self, answers: Sequence[Sequence[Piece]]) -> dict[str, Any]:
        """See `Form`."""
        pieces = answers[0]
        text, calls = text_of(pieces), calls_of(pieces)
        content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text or not calls else []
        content += [_block(call) | {"input": _decoded(call.arguments)} for call in calls]
        return self._message(content, pieces[-1])

    def start(self) -> Iterable[bytes]:
        """See `Form`."""
        yield _event("message_start", message=self._message([], Piece()))

    def piece(self, index: int, piece: Piece) -> Iterable[bytes]:  # noqa: ARG002 - there is one answer
        """See `Form`."""
        if piece.text:
            if self._open != "text":
                yield from self._opened("text", {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": piece.text})
        for bit in piece.calls:
            if bit.index != self._called:
                self._called = bit.index
                yield from self._opened("tool_use", _block(bit) | {"input": {}})
            if bit.arguments:
                yield self._delta({"type": "input_json_delta", "partial_json": bit.arguments})
        if piece.finish is not None:
            self._last = piece

    def end(self) -> Iterable[bytes]:
        """See `Form`."""
        last = self._last or Piece(finish="stop")
        yield from self._closed()
        delta = {"stop_reason": REASONS[last.finish], "stop_sequence": None}
        yield _event("message_delta", delta=delta, usage=_usage(last))
        yield _event("message_stop")

    def failure(self, error: Exception) -> Iterable[bytes]:
        """See `Form`."""
        yield sse(anthropic_error(error), "error")

    def _opened(self, kind: str, block: dict[str, Any]) -> Iterable[bytes]:
        yield from self._closed()
        self._open = kind
        yield _event("content_block_start", index=self._blocks, content_block=block)

    def _closed(self) -> Iterable[bytes]:
        if self._open is not None:
            yield _event("content_block_stop", index=self._blocks)
            self._blocks, self._open = self._blocks + 1, None

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._blocks, delta=delta)

    def _message(self, content: list[dict[str, Any]], last: Piece) -> dict[str, Any]:
        return {
            "id": self.head.id,
            "type": "message",
            "role": "assistant",
            "model": self.head.model,
            "content": content,
            "stop_reason": REASONS[last.finish],
            "stop_sequence": None,
            "usage": _usage(last),
        }


def _event(kind: str, **more: Any) -> bytes:
    return sse({"type": kind, **more}, kind)


def _block(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name}


def _decoded(arguments: str) -> Any:
    """Arguments as a value; those of an answer that was cut are no JSON, and told as the text that they are."""
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return {"arguments": arguments}


def _usage(last: Piece) -> dict[str, int]:
    """In this API tokens that were read from a cache are counted beside `input_tokens`, not among them."""
    tokens = AnswerTokens.of([last])
    return {
        "input_tokens": tokens.read - tokens.cached,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": tokens.written,
    }
