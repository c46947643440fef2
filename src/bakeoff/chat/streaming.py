"""Chat completions that come piece by piece: what is asked, and what the server-sent events say.

Source: the HTML standard, section 9.2 (server-sent events); the OpenAI API reference, chat completion chunks.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bakeoff.core import narrow
from bakeoff.core.generation import Finish, Messages, Piece, Sampling, Token, Tool, ToolCall
from bakeoff.core.types import Json

__all__ = [
    "ANY_OBJECT",
    "Heard",
    "calls_of",
    "chunk_of",
    "end_of",
    "events",
    "finish_of",
    "functions_of",
    "request_of",
    "text_of",
    "tokens_of",
]

ANY_OBJECT: Mapping[str, Json] = {"type": "object"}
"""The schema of `response_format = {"type": "json_object"}`."""
NAMELESS = -1
"""The id of a token of which only the text is known."""


def request_of(messages: Messages, sampling: Sampling) -> dict[str, Json]:
    """The body (but for the model) that asks for an answer in pieces."""
    asked: dict[str, Json] = {
        "messages": [dict(message) for message in messages],
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    optional: dict[str, Json] = {
        "seed": sampling.seed,
        "top_k": sampling.top_k or None,
        "min_p": sampling.min_p or None,
        "stop": list(sampling.stop) or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "presence_penalty": sampling.presence_penalty or None,
        "logit_bias": {str(token): bias for token, bias in sampling.logit_bias.items()} or None,
        "reasoning_effort": sampling.reasoning_effort,
        "response_format": _format(sampling.json_schema),
        **_tools(sampling),
    }
    asked |= {name: value for name, value in optional.items() if value is not None}  # some refuse what they do not know
    if sampling.top_logprobs is not None:
        asked |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
    return asked


def functions_of(tools: Sequence[Tool]) -> list[Json]:
    """Tools as requests and chat templates have them."""
    return [{"type": "function", "function": dict(tool)} for tool in tools]


def _tools(sampling: Sampling) -> dict[str, Json]:
    if not sampling.tools:
        return {}
    named: Json = {"type": "function", "function": {"name": sampling.tool_choice}}
    return {
        "tools": functions_of(sampling.tools),
        "tool_choice": sampling.tool_choice if sampling.tool_choice in {"auto", "required"} else named,
        "parallel_tool_calls": None if sampling.parallel_tools else False,
    }


def _format(schema: Mapping[str, Json] | None) -> Json:
    if schema is None:
        return None
    if schema == ANY_OBJECT:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema)}}


def events(parts: Iterable[bytes]) -> Iterator[str]:
    r"""The data of each event in a stream of bytes.

    Lines end at line feeds alone: other characters that Python takes for ends of lines may stand inside JSON.

    >>> list(events([b'data: {"a":', b' 1}\r\n\n: ping\n', b"data: [DONE]"]))
    ['{"a": 1}', '[DONE]']
    """
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from _data(lines)
    yield from _data([rest])


def _data(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        if line.startswith(b"data:"):
            yield line[5:].strip().decode(errors="replace")


@dataclass(slots=True)
class Heard:
    """What came of an answer so far, as the body of a whole completion has it."""

    text: list[str] = field(default_factory=list[str])
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    finish: Finish = "stop"
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def pieces(self, chunks: Iterable[Mapping[str, Any]]) -> Iterator[Piece]:
        """The pieces in chunks of a completion (or in a whole one); the end of the answer is not told."""
        for chunk in chunks:
            usage: Any = chunk.get("usage")
            self.usage = usage if usage and isinstance(usage, Mapping) else self.usage
            for choice in _objects(chunk.get("choices")):
                self.finish = finish_of(choice.get("finish_reason")) or self.finish
                piece = _piece(choice)
                if piece.text or piece.tokens or piece.calls:
                    self.text.append(piece.text)
                    self.calls += piece.calls
                    yield piece

    @property
    def body(self) -> dict[str, Any]:
        """The body of a completion with all that was said."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.text)}
        if self.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in ToolCall.joined(self.calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return {"object": "chat.completion", "choices": [choice], "usage": dict(self.usage)}


def finish_of(reason: object) -> Finish | None:
    """Why an answer ended, by its `finish_reason`; None where it says nothing beyond the natural end."""
    finishes: dict[str, Finish] = {"length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls"}
    return finishes.get(str(reason))


def end_of(finish: object, usage: Mapping[str, Any]) -> Piece:
    """The last piece of an answer, by its `finish_reason` and the usage that its service tells."""
    read, written = _object(usage.get("prompt_tokens_details")), _object(usage.get("completion_tokens_details"))
    return Piece(
        finish=finish_of(finish) or "stop",
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
        cached_tokens=read.get("cached_tokens") or 0,
        reasoning_tokens=written.get("reasoning_tokens") or 0,
    )


def calls_of(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The calls of tools in a message, or the bits of them in a delta."""
    return tuple(
        ToolCall(
            index=index if isinstance(index := call.get("index", at), int) else at,
            id=str(call.get("id") or ""),
            name=str(_object(call.get("function")).get("name") or ""),
            arguments=str(_object(call.get("function")).get("arguments") or ""),
        )
        for at, call in enumerate(_objects(message.get("tool_calls")))
    )


def text_of(content: object) -> str:
    """What is said in a content: a text, or the parts of one that are (others are reasoning, as a rule).

    >>> text_of([{"type": "thinking", "thinking": []}, {"type": "text", "text": "Yes"}]), text_of(None)
    ('Yes', '')
    """
    if not narrow.is_array(content):
        return content if isinstance(content, str) else ""
    parts = [part for part in content if narrow.is_mapping(part)]
    return "".join(str(part.get("text") or "") for part in parts if part.get("type", "text") == "text")


def tokens_of(choice: Mapping[str, Any]) -> tuple[Token, ...]:
    """The tokens of a choice with their likeliest alternatives; none where a log-probability is no number."""

    def entry(each: Mapping[str, Any]) -> tuple[str, float]:
        return str(each["token"]), float(each["logprob"])

    try:
        listed: Any = (choice.get("logprobs") or {}).get("content") or ()
        return tuple(
            Token(
                id=NAMELESS,
                text=entry(each)[0],
                logprob=entry(each)[1],
                top=tuple(entry(other) for other in each.get("top_logprobs") or ()),
            )
            for each in listed
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return ()


def _piece(choice: Mapping[str, Any]) -> Piece:
    message = _object(choice.get("delta") or choice.get("message"))
    return Piece(text=text_of(message.get("content")), tokens=tokens_of(choice), calls=calls_of(message))


def _object(value: object) -> Mapping[str, Any]:
    """A value that a service should have sent as an object; an empty one where it did not."""
    return value if narrow.is_mapping(value) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    """The objects in a value that a service should have sent as a list of them."""
    return [each for each in value if narrow.is_mapping(each)] if narrow.is_sequence(value) else []


def chunk_of(data: str) -> dict[str, Any] | None:
    """The chunk in an event's data; None when it is none."""
    try:
        found: Any = json.loads(data)
    except ValueError:
        return None
    return found if narrow.is_object(found) else None
