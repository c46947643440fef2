"""The OpenAI API over one endpoint: chat completions (streamed or whole) and the list of models.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/chat. The id of an answer is its
prediction id: feedback is given on it. Where a request says nothing, the answer is chosen as it was when the model was
evaluated (the likeliest token), not at the API's temperature of 1.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import Executor
from typing import Any

import msgspec
from starlette.responses import Response, StreamingResponse

from bakeoff.core.generation import Piece, Sampling, Token
from bakeoff.core.types import Json
from bakeoff.web.problems import HttpError, JsonResponse, error_body

__all__ = ["ChatRequest", "chat_response", "decoded", "model_list"]

MAX_TOKENS = 256
MAX_TOP_LOGPROBS = 20


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """The body of POST /v1/chat/completions, as far as it is understood; the rest of the API's keys is ignored."""

    messages: list[dict[str, Any]]
    model: str = ""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None

    def sampling(self) -> Sampling:
        """How to choose tokens.

        Raises:
            HttpError: values out of their ranges, or something that no engine here can do.
        """
        self._check()
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        known = (self.max_completion_tokens, self.max_tokens)
        return Sampling(
            max_tokens=next((number for number in known if number is not None), MAX_TOKENS),
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed or 0,
            stop=stop,
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            json_schema=_schema(self.response_format),
        )

    def _check(self) -> None:
        _expect(bool(self.messages), "messages", "at least one message", [])
        for message in self.messages:
            fine = message.get("role") in {"system", "user", "assistant", "developer", "tool"} and isinstance(
                message.get("content"), str | list
            )
            _expect(fine, "messages", "a role and a content in each", message)
        _expect(self.n in {None, 1}, "n", "1", self.n)
        _expect(not self.tools, "tools", "none: tools are not served here", "some")
        for name, value, low, high in (
            ("max_tokens", self.max_tokens, 1, 1_000_000),
            ("max_completion_tokens", self.max_completion_tokens, 1, 1_000_000),
            ("temperature", self.temperature, 0, 2),
            ("top_p", self.top_p, 0, 1),
            ("top_logprobs", self.top_logprobs, 0, MAX_TOP_LOGPROBS),
            ("seed", self.seed, 0, 2**31 - 1),
        ):
            _expect(value is None or low <= value <= high, name, f"{low} to {high}", value)

    def turns(self) -> list[dict[str, Json]]:
        """The messages with plain text as their content."""
        return [{"role": str(turn["role"]), "content": _text(turn["content"])} for turn in self.messages]


def _expect(fine: bool, name: str, expected: str, found: object) -> None:  # noqa: FBT001 - reads as an assertion
    if not fine:
        raise HttpError(400, "BadRequest", f"{name}: expected {expected}; received {str(found)[:80]!r}")


def _text(content: Any) -> str:
    """The text of a content: as it is, or of its parts."""
    if isinstance(content, str):
        return content
    parts = [part if isinstance(part, dict) else {} for part in content]
    _expect(all(part.get("type") == "text" for part in parts), "content", "parts of type text", content)
    return "".join(str(part.get("text", "")) for part in parts)


def _schema(wanted: dict[str, Any] | None) -> dict[str, Json] | None:
    kind = (wanted or {}).get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    schema = ((wanted or {}).get("json_schema") or {}).get("schema")
    _expect(
        kind == "json_schema" and isinstance(schema, dict), "response_format", "text, json_object, json_schema", kind
    )
    return schema


def decoded(body: bytes) -> ChatRequest:
    """The request in a body.

    Raises:
        HttpError: it is none.
    """
    try:
        return _REQUEST.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(
            400, "BadRequest", f'expected {{"messages": [{{"role": …, "content": …}}]}}; {error}'
        ) from error


_REQUEST = msgspec.json.Decoder(ChatRequest)


async def chat_response(
    asked: ChatRequest,
    pieces: Callable[[], Generator[Piece]],
    *,
    answer_id: str,
    model: str,
    created_s: int,
    executor: Executor,
) -> Response:
    """Answer with what `pieces` gives, which is read in the executor's threads.

    The first piece is waited for, so that what is wrong with a request has its status code even when streamed.
    """
    loop = asyncio.get_running_loop()
    head: dict[str, Json] = {"id": answer_id, "created": created_s, "model": model}
    if not asked.stream:
        whole = await loop.run_in_executor(executor, lambda: list(pieces()))
        return JsonResponse(_completion(head, whole))
    reading = await loop.run_in_executor(executor, pieces)
    first = await loop.run_in_executor(executor, next, reading, None)
    usage = asked.stream_options is not None and asked.stream_options.include_usage
    events = _events(head, reading, first, usage=usage, executor=executor)
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})


def _completion(head: dict[str, Json], pieces: list[Piece]) -> dict[str, Any]:
    last = pieces[-1]
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(piece.text for piece in pieces)},
        "finish_reason": last.finish,
        "logprobs": _logprobs([token for piece in pieces for token in piece.tokens]),
    }
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(last)}


async def _events(
    head: dict[str, Json], reading: Iterator[Piece], first: Piece | None, *, usage: bool, executor: Executor
) -> AsyncGenerator[bytes]:
    """Server-sent events; a reader that goes away closes the generator, which stops the model."""
    loop = asyncio.get_running_loop()

    def chunk(delta: dict[str, Json], piece: Piece | None = None) -> bytes:
        logprobs = _logprobs(piece.tokens) if piece else None
        choice = {"index": 0, "delta": delta, "finish_reason": piece.finish if piece else None, "logprobs": logprobs}
        return _event({**head, "object": "chat.completion.chunk", "choices": [choice]})

    try:
        yield chunk({"role": "assistant", "content": ""})
        piece = first
        while piece is not None:
            yield chunk({"content": piece.text} if piece.text else {}, piece)
            if piece.finish is not None and usage:
                yield _event({**head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(piece)})
            piece = await loop.run_in_executor(executor, next, reading, None)
        yield b"data: [DONE]\n\n"
    except Exception as error:  # noqa: BLE001 - the status is sent already: the error is told in the stream
        yield _event(error_body(error))
    finally:
        close: Any = getattr(reading, "close", None)
        await asyncio.shield(loop.run_in_executor(executor, close))


def _event(body: Any) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _logprobs(tokens: "list[Token] | tuple[Token, ...]") -> dict[str, Any] | None:
    if not tokens:
        return None

    def said(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    content = [
        {**said(token.text, token.logprob), "top_logprobs": [said(*other) for other in token.top]} for token in tokens
    ]
    return {"content": content, "refusal": None}


def _usage(last: Piece) -> dict[str, int]:
    total = last.prompt_tokens + last.completion_tokens
    counts = {"prompt_tokens": last.prompt_tokens, "completion_tokens": last.completion_tokens}
    return {**counts, "total_tokens": total}


def model_list(endpoint: str, created_s: int) -> dict[str, Any]:
    """The body of GET /v1/models: the endpoint is the one model that there is."""
    listed = {"id": endpoint, "object": "model", "created": created_s, "owned_by": "bakeoff"}
    return {"object": "list", "data": [listed]}
