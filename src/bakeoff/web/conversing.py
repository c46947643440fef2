"""Answers that come piece by piece, over HTTP: what the APIs for conversations have in common.

An API is a `Form`: it writes whole answers as one body, or pieces as server-sent events. The first piece of a stream is
waited for, so that what is wrong with a request has its status code; a caller that goes away stops the model.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bakeoff.core.generation import Piece, ToolCall
from bakeoff.core.types import Json
from bakeoff.web.problems import JsonResponse

__all__ = ["Choice", "Form", "Head", "calls_of", "respond", "sse", "text_of", "tokens_of"]

LOOK_S = 0.1
"""How often it is looked whether the caller of an answer that is not streamed is still there."""

Choice: TypeAlias = Callable[[int], Generator[Piece]]
"""Begins the answer of an index; pieces are read in threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What every answer begins with: its id, when it was made, and the endpoint that made it."""

    id: str
    created_s: int
    model: str

    def to_json(self) -> dict[str, Json]:
        """As OpenAI's answers have it."""
        return {"id": self.id, "created": self.created_s, "model": self.model}


class Form(Protocol):
    """How an API writes answers; `index` is the answer's among those of a call."""

    @property
    def head(self) -> Head:
        """What the answers begin with."""
        ...

    def whole(self, answers: Sequence[Sequence[Piece]]) -> dict[str, Any]:
        """The body of all answers."""
        ...

    def start(self) -> Iterable[bytes]:
        """Events before the first piece."""
        ...

    def piece(self, index: int, piece: Piece) -> Iterable[bytes]:
        """Events of a piece; the last piece of an answer has a `finish`."""
        ...

    def end(self) -> Iterable[bytes]:
        """Events after the last piece."""
        ...

    def failure(self, error: Exception) -> Iterable[bytes]:
        """Events of an error behind the first piece: the status is sent already."""
        ...


async def respond(
    request: Request, form: Form, choice: Choice, *, count: int, stream: bool, executor: Executor
) -> Response:
    """Answer with `count` answers, one after another, as one body or as a stream."""
    if not stream:
        return JsonResponse(form.whole(await _whole(request, choice, count, executor)))
    loop = asyncio.get_running_loop()
    reading = await loop.run_in_executor(executor, choice, 0)
    first = await loop.run_in_executor(executor, next, reading, None)
    events = _events(form, choice, reading, first, count=count, executor=executor)
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})


async def _whole(request: Request, choice: Choice, count: int, executor: Executor) -> list[list[Piece]]:
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
    return answers


async def _events(
    form: Form, choice: Choice, reading: Generator[Piece], first: Piece | None, *, count: int, executor: Executor
) -> AsyncGenerator[bytes]:
    """Server-sent events; a reader that goes away closes the generator, which stops the model."""
    loop = asyncio.get_running_loop()
    try:
        for event in form.start():
            yield event
        for index in range(count):
            if index:
                reading = await loop.run_in_executor(executor, choice, index)
            piece = await loop.run_in_executor(executor, next, reading, None) if index else first
            while piece is not None:
                for event in form.piece(index, piece):
                    yield event
                piece = await loop.run_in_executor(executor, next, reading, None)
        for event in form.end():
            yield event
    except Exception as error:  # noqa: BLE001 - the status is sent already: the error is told in the stream
        for event in form.failure(error):
            yield event
    finally:
        await asyncio.shield(loop.run_in_executor(executor, reading.close))


def sse(body: Any, event: str | None = None) -> bytes:
    """A server-sent event: its data as JSON, under a name where the API has names."""
    name = b"" if event is None else b"event: " + event.encode() + b"\n"
    return name + b"data: " + msgspec.json.encode(body) + b"\n\n"


def text_of(pieces: Iterable[Piece]) -> str:
    """What was said."""
    return "".join(piece.text for piece in pieces)


def calls_of(pieces: Iterable[Piece]) -> list[ToolCall]:
    """The tools that were called."""
    return ToolCall.joined(bit for piece in pieces for bit in piece.calls)


def tokens_of(ends: Iterable[Piece]) -> tuple[int, int]:
    """Tokens read (of a prompt that all answers share, once) and written, by the last pieces of answers."""
    last = list(ends)
    return max((end.prompt_tokens for end in last), default=0), sum(end.completion_tokens for end in last)
