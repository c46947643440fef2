"""How answers of POST /v1/responses (OpenAI) are told: a message and calls of functions are items of an output.

A response has all of its keys whatever was asked for, and a stream ends with [DONE], as Open Responses wants them.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/responses and /responses-streaming;
Open Responses, openresponses.org/specification.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bakeoff.core.generation import Piece, ToolCall
from bakeoff.web.problems import openai_error
from bakeoff.web.serving.conversing import AnswerTokens, Head, calls_of, sse, text_of
from bakeoff.web.serving.openai import DONE, token_logprobs
from bakeoff.web.serving.responses_request import ResponseRequest, Text

__all__ = ["ResponseForm"]


@dataclass(slots=True, kw_only=True)
class ResponseForm:
    """Writes a response; see `bakeoff.web.serving.conversing.Form`. In a stream, its text and every call are items."""

    head: Head
    request: ResponseRequest
    now_s: Callable[[], int] = lambda: int(time.time())
    _pieces: list[Piece] = field(default_factory=list[Piece])
    _items: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _called: int | None = None
    _number: int = 0

    def whole(self, answers: Sequence[Sequence[Piece]]) -> dict[str, Any]:
        """See `Form`."""
        pieces = answers[0]
        text, calls = text_of(pieces), calls_of(pieces)
        output = [self._message(0, text, _logprobs(pieces))] if text or not calls else []
        output += [self._call(len(output) + at, call) for at, call in enumerate(calls)]
        return self._response(output, pieces[-1])

    def start(self) -> Iterable[bytes]:
        """See `Form`."""
        body = self._response([], None)
        yield self._event("response.created", response=body)
        yield self._event("response.in_progress", response=body)

    def piece(self, index: int, piece: Piece) -> Iterable[bytes]:  # noqa: ARG002 - there is one answer
        """See `Form`."""
        self._pieces.append(piece)
        if piece.text or piece.tokens:
            if not self._items or self._items[-1]["type"] != "message":
                yield from self._closed()
                yield from self._opened(self._message(len(self._items), None, []))
                yield self._of_text("response.content_part.added", part=_part("", []))
            item = self._items[-1]
            item["text"] += piece.text
            item["tokens"] += piece.tokens
            yield self._of_text("response.output_text.delta", delta=piece.text, logprobs=_logprobs([piece]))
        for bit in piece.calls:
            if bit.index != self._called:
                self._called = bit.index
                yield from self._closed()
                yield from self._opened(self._call(len(self._items), bit) | {"arguments": ""})
            self._items[-1]["arguments"] += bit.arguments
            yield self._of_item("response.function_call_arguments.delta", delta=bit.arguments)

    def end(self) -> Iterable[bytes]:
        """See `Form`."""
        yield from self._closed()
        body = self._response([_told(item) for item in self._items], self._pieces[-1])
        yield self._event(f"response.{body['status']}", response=body)
        yield DONE

    def failure(self, error: Exception) -> Iterable[bytes]:
        """See `Form`."""
        told = openai_error(error)["error"]
        yield self._event("error", code=told["code"], message=told["message"], param=told["param"])

    def _opened(self, item: dict[str, Any]) -> Iterable[bytes]:
        begun = item | {"status": "in_progress"} | ({"content": []} if item["type"] == "message" else {})
        self._items.append(item | ({"text": "", "tokens": ()} if item["type"] == "message" else {}))
        yield self._event("response.output_item.added", output_index=len(self._items) - 1, item=begun)

    def _closed(self) -> Iterable[bytes]:
        if not self._items:
            return
        item = self._items[-1]
        if item["type"] == "message":
            logprobs = token_logprobs(item["tokens"])
            yield self._of_text("response.output_text.done", text=item["text"], logprobs=logprobs)
            yield self._of_text("response.content_part.done", part=_part(item["text"], logprobs))
        else:
            name, arguments = item["name"], item["arguments"]
            yield self._of_item("response.function_call_arguments.done", name=name, arguments=arguments)
        yield self._event("response.output_item.done", output_index=len(self._items) - 1, item=_told(item))

    def _of_item(self, kind: str, **more: Any) -> bytes:
        return self._event(kind, item_id=self._items[-1]["id"], output_index=len(self._items) - 1, **more)

    def _of_text(self, kind: str, **more: Any) -> bytes:
        return self._of_item(kind, content_index=0, **more)

    def _event(self, kind: str, **more: Any) -> bytes:
        event = sse({"type": kind, "sequence_number": self._number, **more}, kind)
        self._number += 1
        return event

    def _message(self, at: int, text: str | None, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
        content = [] if text is None else [_part(text, logprobs)]
        common = {"id": f"{self.head.id}-{at}", "type": "message", "status": "completed"}
        return {**common, "role": "assistant", "content": content}

    def _call(self, at: int, call: ToolCall) -> dict[str, Any]:
        named = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
        return {"id": f"{self.head.id}-{at}", "type": "function_call", "status": "completed", **named}

    def _response(self, output: list[dict[str, Any]], last: Piece | None) -> dict[str, Any]:
        asked, cut = self.request, last is not None and last.finish == "length"
        status = "in_progress" if last is None else "incomplete" if cut else "completed"
        return {
            "id": self.head.id,
            "object": "response",
            "created_at": self.head.created_s,
            "model": self.head.model,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "max_tool_calls": asked.max_tool_calls,
            "metadata": asked.metadata or {},
            "output": output,
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "store": False,
            "background": False,
            "previous_response_id": None,
            "completed_at": None if last is None else max(self.head.created_s, self.now_s()),
            "frequency_penalty": 0.0,
            "presence_penalty": 0.0,
            "reasoning": {"effort": asked.reasoning.effort, "summary": None} if asked.reasoning else None,
            "service_tier": "default",
            "safety_identifier": asked.safety_identifier,
            "prompt_cache_key": asked.prompt_cache_key,
            "temperature": asked.temperature or 0.0,
            "text": {"format": {"type": "text"} if asked.text is None else _format(asked.text)},
            "top_logprobs": asked.top_logprobs or 0,
            "tool_choice": asked.tool_choice or "auto",
            "tools": [msgspec.to_builtins(tool) for tool in asked.tools or ()],
            "top_p": 1.0 if asked.top_p is None else asked.top_p,
            "truncation": "disabled",
            "usage": None if last is None else _usage(last),
        }


def _format(text: Text) -> dict[str, Any]:
    if text.format is None:
        return {"type": "text"}
    told: dict[str, Any] = msgspec.to_builtins(text.format)
    return {name: value for name, value in told.items() if value is not None}


def _told(item: dict[str, Any]) -> dict[str, Any]:
    """A streamed item as a whole one."""
    plain = {name: value for name, value in item.items() if name not in {"text", "tokens"}}
    if item["type"] != "message":
        return plain
    return plain | {"content": [_part(item["text"], token_logprobs(item["tokens"]))]}


def _part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _logprobs(pieces: Iterable[Piece]) -> list[dict[str, Any]]:
    return token_logprobs([token for piece in pieces for token in piece.tokens])


def _usage(last: Piece) -> dict[str, Any]:
    tokens = AnswerTokens.of([last])
    return {
        "input_tokens": tokens.read,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": 0},
        "output_tokens": tokens.written,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.read + tokens.written,
    }
