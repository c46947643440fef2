"""Chat completions that come piece by piece: what is asked, and what the server-sent events say.

Source: the HTML standard, section 9.2 (server-sent events); the OpenAI API reference, chat completion chunks.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from bakeoff.core.generation import Finish, Messages, Piece, Sampling, Token
from bakeoff.core.types import Json

__all__ = ["Heard", "chunk_of", "events", "request_of"]

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
    if sampling.seed:  # some services refuse what they do not know
        asked["seed"] = sampling.seed
    if sampling.stop:
        asked["stop"] = list(sampling.stop)
    if sampling.top_logprobs is not None:
        asked |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
    if sampling.json_schema is not None:
        schema: Json = {"name": "answer", "schema": dict(sampling.json_schema)}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    return asked


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
    finish: Finish = "stop"
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def pieces(self, chunks: Iterable[Mapping[str, Any]]) -> Iterator[Piece]:
        """The pieces in chunks of a completion (or in a whole one); the end of the answer is not told."""
        for chunk in chunks:
            self.usage = chunk.get("usage") or self.usage
            for choice in chunk.get("choices") or ():
                self.finish = "length" if choice.get("finish_reason") == "length" else self.finish
                piece = _piece(choice)
                if piece.text or piece.tokens:
                    self.text.append(piece.text)
                    yield piece

    @property
    def body(self) -> dict[str, Any]:
        """The body of a completion with all that was said."""
        message = {"role": "assistant", "content": "".join(self.text)}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return {"object": "chat.completion", "choices": [choice], "usage": dict(self.usage)}


def _piece(choice: Mapping[str, Any]) -> Piece:
    said = choice.get("delta") or choice.get("message") or {}
    logprobs = (choice.get("logprobs") or {}).get("content") or ()
    tokens = tuple(
        Token(
            id=NAMELESS,
            text=str(each["token"]),
            logprob=float(each["logprob"]),
            top=tuple((str(other["token"]), float(other["logprob"])) for other in each.get("top_logprobs") or ()),
        )
        for each in logprobs
    )
    return Piece(text=str(said.get("content") or ""), tokens=tokens)


def chunk_of(data: str) -> dict[str, Any] | None:
    """The chunk in an event's data; None when it is none."""
    try:
        found: Any = json.loads(data)
    except ValueError:
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
