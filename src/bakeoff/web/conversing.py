"""Answers that come piece by piece, over HTTP: what the APIs for conversations have in common.

An API is a `Form`: it writes whole answers as one body, or pieces as server-sent events. The first piece of a stream is
waited for, so that what is wrong with a request has its status code; a caller that goes away stops the model.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bakeoff.core.generation import Piece, ToolCall
from bakeoff.core.types import Json
from bakeoff.web.problems import JsonResponse

__all__ = ["Choice", "Form", "Head", "Reader", "calls_of", "respond", "sse", "text_of", "tokens_of"]

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


class Reader:
    """Reads one answer from threads; `stop` may come at any time, also while a thread waits for the next piece.

    A generator that runs cannot be closed: the thread that runs it closes it then.
    """

    def __init__(self, choice: Choice, index: int, executor: Executor) -> None:
        self._begin = lambda: choice(index)
        self._executor = executor
        self._pieces: Generator[Piece] | None = None
        self._ended = False
        self._running, self._stopped = threading.Lock(), threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped.is_set()

    async def next(self) -> Piece | None:
        """The next piece; None behind the last one, and for ever once it was stopped."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._step)

    async def rest(self) -> list[Piece]:
        """All pieces that are left, read by one thread."""

        def read() -> list[Piece]:
            return list(iter(self._step, None))

        return await asyncio.get_running_loop().run_in_executor(self._executor, read)

    def stop(self) -> None:
        """End the answer, at once where it waits for its reader, else with its next piece; never waits for it."""
        self._stopped.set()
        if self._pieces is not None and not self._ended and not self._running.locked():
            self._executor.submit(self._close)

    def _step(self) -> Piece | None:
        try:
            with self._running:
                if self.stopped or self._ended:
                    return None
                if self._pieces is None:
                    self._pieces = self._begin()
                self._ended = True  # unless there is a piece: an error ends it, too
                piece = next(self._pieces, None)
                self._ended = piece is None
                return piece
        finally:
            if self.stopped:
                self._close()

    def _close(self) -> None:
        """Whoever lets go of the generator last after it was stopped closes it; closing it twice does nothing."""
        if self._running.acquire(blocking=False):
            try:
                if self._pieces is not None:
                    self._pieces.close()
            finally:
                self._running.release()


async def respond(
    request: Request,
    form: Form,
    choice: Choice,
    *,
    count: int,
    stream: bool,
    executor: Executor,
    place: AbstractContextManager[None],
) -> Response:
    """Answer with `count` answers, one after another, as one body or as a stream; `place` is taken until the end."""
    readers = [Reader(choice, index, executor) for index in range(count)]
    with ExitStack() as leaving:
        leaving.enter_context(place)
        for reader in readers:
            leaving.callback(reader.stop)
        async with _watching(request, readers):
            if not stream:
                answers = [await reader.rest() for reader in readers]
                if readers[0].stopped:
                    raise ClientDisconnect
                return JsonResponse(form.whole(answers))
            first = await readers[0].next()
        return _Stream(_events(form, readers, first), leaving.pop_all())
    raise AssertionError("nothing above leaves without an answer")


@asynccontextmanager
async def _watching(request: Request, readers: Sequence[Reader]) -> AsyncGenerator[None]:
    """Stop the readers when the caller goes away meanwhile."""

    async def watch() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(LOOK_S)
        for reader in readers:
            reader.stop()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


class _Stream(StreamingResponse):
    """A stream that lets go of all it has taken when it ends, whether or not its first event was ever sent."""

    def __init__(self, events: AsyncGenerator[bytes], leaving: ExitStack) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a reader that goes away stops the model."""
        with self._leaving:
            await super().__call__(scope, receive, send)


async def _events(form: Form, readers: Sequence[Reader], first: Piece | None) -> AsyncGenerator[bytes]:
    """Server-sent events."""
    try:
        for event in form.start():
            yield event
        for index, reader in enumerate(readers):
            piece = await reader.next() if index else first
            while piece is not None:
                for event in form.piece(index, piece):
                    yield event
                piece = await reader.next()
        for event in form.end():
            yield event
    except Exception as error:  # noqa: BLE001 - the status is sent already: the error is told in the stream
        for event in form.failure(error):
            yield event


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
