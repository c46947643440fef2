"""The OpenAI API over one endpoint: chat completions (streamed or whole) and the list of models.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/chat. The id of an answer is its
prediction id: feedback is given on it. Where a request says nothing, the answer is chosen as it was when the model was
evaluated (the likeliest token), not at the API's temperature of 1.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bakeoff.core.generation import Piece, Sampling, Token
from bakeoff.core.types import Json
from bakeoff.web.chat_request import ChatRequest
from bakeoff.web.problems import JsonResponse, openai_error

__all__ = ["chat_response", "model_card", "model_list", "prediction_id"]

LOOK_S = 0.1
"""How often it is looked whether the caller of an answer that is not streamed is still there."""


def prediction_id(answer_id: str, index: int) -> str:
    """The prediction id of one of several answers to a call; that of the first is the call's own."""
    return answer_id if index == 0 else f"{answer_id}-{index}"


async def chat_response(
    request: Request,
    body: ChatRequest,
    answer: Callable[[Sampling, str], Generator[Piece]],
    *,
    answer_id: str,
    model: str,
    created_s: int,
    executor: Executor,
) -> Response:
    """Answer with the pieces of each choice, which are read in the executor's threads, one choice after another.

    The first piece is waited for, so that what is wrong with a request has its status code even when streamed. A
    caller that goes away stops the model.
    """
    sampling = body.sampling()
    head: dict[str, Json] = {"id": answer_id, "created": created_s, "model": model}

    def choice(index: int) -> Generator[Piece]:
        # Choices of one seed would all be the same answer.
        seed = None if sampling.seed is None else sampling.seed + index
        return answer(replace(sampling, seed=seed), prediction_id(answer_id, index))

    if not body.stream:
        return JsonResponse(await _whole(request, head, choice, body.choices, executor))
    loop = asyncio.get_running_loop()
    reading = await loop.run_in_executor(executor, choice, 0)
    first = await loop.run_in_executor(executor, next, reading, None)
    events = _events(head, choice, reading, first, body=body, executor=executor)
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})


async def _whole(
    request: Request,
    head: dict[str, Json],
    choice: Callable[[int], Generator[Piece]],
    count: int,
    executor: Executor,
) -> dict[str, Any]:
    """The body of a completion."""
    left = threading.Event()

    def read(index: int) -> list[Piece]:
        pieces: list[Piece] = []
        reading = choice(index)
        try:
            for piece in reading:
                pieces.append(piece)
                if left.is_set():
                    break
        finally:
            reading.close()
        return pieces

    async def watch() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(LOOK_S)
        left.set()

    watching = asyncio.create_task(watch())
    try:
        loop = asyncio.get_running_loop()
        answers: list[list[Piece]] = []
        for index in range(count):
            answers.append(await loop.run_in_executor(executor, read, index))
            if left.is_set():
                break
    finally:
        watching.cancel()
    choices = [_choice(head, index, pieces) for index, pieces in enumerate(answers)]
    return {**head, "object": "chat.completion", "choices": choices, "usage": _usage([one[-1] for one in answers])}


def _choice(head: dict[str, Json], index: int, pieces: list[Piece]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(piece.text for piece in pieces), "refusal": None}
    return {
        "index": index,
        "message": message,
        "finish_reason": pieces[-1].finish,
        "logprobs": _logprobs([token for piece in pieces for token in piece.tokens]),
        "prediction_id": prediction_id(str(head["id"]), index),
    }


async def _events(
    head: dict[str, Json],
    choice: Callable[[int], Generator[Piece]],
    reading: Generator[Piece],
    first: Piece | None,
    *,
    body: ChatRequest,
    executor: Executor,
) -> AsyncGenerator[bytes]:
    """Server-sent events; a reader that goes away closes the generator, which stops the model."""
    loop = asyncio.get_running_loop()
    extra: dict[str, Json] = {"usage": None} if body.include_usage else {}

    def chunk(index: int, delta: dict[str, Json], piece: Piece | None = None) -> bytes:
        logprobs = _logprobs(piece.tokens) if piece else None
        one = {"index": index, "delta": delta, "finish_reason": piece.finish if piece else None, "logprobs": logprobs}
        return _event({**head, "object": "chat.completion.chunk", "choices": [one], **extra})

    ends: list[Piece] = []
    try:
        for index in range(body.choices):
            if index:
                reading = await loop.run_in_executor(executor, choice, index)
            yield chunk(index, {"role": "assistant", "content": ""})
            piece = await loop.run_in_executor(executor, next, reading, None) if index else first
            while piece is not None:
                yield chunk(index, {"content": piece.text} if piece.text else {}, piece)
                ends += [piece] if piece.finish is not None else []
                piece = await loop.run_in_executor(executor, next, reading, None)
        if body.include_usage:
            yield _event({**head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(ends)})
        yield b"data: [DONE]\n\n"
    except Exception as error:  # noqa: BLE001 - the status is sent already: the error is told in the stream
        yield _event(openai_error(error))
    finally:
        await asyncio.shield(loop.run_in_executor(executor, reading.close))


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


def _usage(ends: list[Piece]) -> dict[str, int]:
    """Tokens read (of a prompt that all choices share, once) and written."""
    read, written = max((end.prompt_tokens for end in ends), default=0), sum(end.completion_tokens for end in ends)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def model_card(endpoint: str, created_s: int) -> dict[str, Any]:
    """The body of GET /v1/models/{id}."""
    return {"id": endpoint, "object": "model", "created": created_s, "owned_by": "bakeoff"}


def model_list(endpoint: str, created_s: int) -> dict[str, Any]:
    """The body of GET /v1/models: the endpoint is the one model that there is."""
    return {"object": "list", "data": [model_card(endpoint, created_s)]}
