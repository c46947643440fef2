"""Answers that come piece by piece, over HTTP: what the APIs for conversations have in common.

An answer has a thread while the model works at it, and none while it waits for its turn or for its reader (`Lanes`).

An API is a `Form`: it writes whole answers as one body, or pieces as server-sent events. The first piece of a stream is
waited for, so that what is wrong with a request has its status code; a caller that goes away stops the model.
"""

import asyncio
import contextvars
import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bakeoff.core.errors import BakeoffError
from bakeoff.core.generation import Piece, ToolCall
from bakeoff.core.types import Json
from bakeoff.web.problems import HttpError, JsonResponse

__all__ = ["AnswerReader", "AnswerTokens", "Choice", "Form", "Head", "Lanes", "PieceReader", "calls_of", "respond"]
__all__ += ["sse", "text_of"]

logger = logging.getLogger(__name__)

LOOK_S = 0.1
"""How often it is looked whether the caller of an answer that is not streamed is still there."""

T = TypeVar("T")
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


class Lanes:
    """Threads for answers, as many at once as the model works at; the others wait for their turn without one.

    Args:
        executor: has the threads.
        width: how many answers the live model works at; None where it does not say.
    """

    def __init__(self, executor: Executor, width: Callable[[], int | None]) -> None:
        self._executor, self._width = executor, width
        self._running, self._waiting = 0, deque[asyncio.Future[None]]()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` gives. A caller that is cancelled before it has a thread never has one."""
        await self._enter()
        loop = asyncio.get_running_loop()

        def left(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._leave)

        submitted = self._executor.submit(contextvars.copy_context().run, call)  # the call's trace goes with it
        submitted.add_done_callback(left)  # not with its caller, who may be cancelled while the thread goes on
        return await asyncio.wrap_future(submitted)

    def _free(self) -> bool:
        width = self._width()
        return width is None or self._running < width

    async def _enter(self) -> None:
        if self._waiting or not self._free():
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()  # it had just been given the place
                raise
        else:
            self._running += 1

    def _leave(self) -> None:
        self._running -= 1
        while self._waiting and self._free():
            turn = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)


class PieceReader(ABC):
    """Reads one answer, and hands each piece over; `stop` may come at any time."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._reading: asyncio.Task[None] | None = None

    @abstractmethod
    async def _answer(self, hand: Callable[[Piece], None]) -> None:
        """Have the pieces made; `hand` may be called from any thread."""

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped.is_set()

    async def rest(self) -> list[Piece]:
        """All pieces; those until it was stopped."""
        read: list[Piece] = []
        await _done(self._begun(read.append))
        return read

    async def pieces(self) -> AsyncGenerator[list[Piece]]:
        """The pieces as they come: at each step all that are there by then."""
        loop, come = asyncio.get_running_loop(), asyncio.Queue[Piece | None]()

        def hand(piece: Piece) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody reads any more
                loop.call_soon_threadsafe(come.put_nowait, piece)

        reading = self._begun(hand)
        reading.add_done_callback(lambda _: come.put_nowait(None))
        ended = False
        while not ended:
            batch = [await come.get()]
            while not come.empty():
                batch.append(come.get_nowait())
            ended = batch[-1] is None
            if there := [piece for piece in batch if piece is not None]:
                yield there
        await _done(reading)

    def stop(self) -> None:
        """End the answer, with its next piece where it has begun; never waits for it."""
        self._stopped.set()
        if self._reading is not None:
            self._reading.cancel()

    def _begun(self, hand: Callable[[Piece], None]) -> asyncio.Task[None]:
        self._reading = asyncio.create_task(self._answer(hand))
        if self.stopped:
            self._reading.cancel()
        return self._reading


class AnswerReader(PieceReader):
    """Reads the answer of a model, by one thread."""

    def __init__(self, choice: Choice, index: int, lanes: Lanes) -> None:
        super().__init__()
        self._begin, self._lanes = (lambda: choice(index)), lanes

    async def _answer(self, hand: Callable[[Piece], None]) -> None:
        await self._lanes.run(lambda: self._read(hand))

    def _read(self, hand: Callable[[Piece], None]) -> None:
        if self.stopped:
            return
        with closing(self._begin()) as pieces:
            for piece in pieces:
                hand(piece)
                if self.stopped:
                    return


async def _done(reading: asyncio.Task[None]) -> None:
    """Wait for the end of a reading and raise what it raised; one that was cancelled has ended, too."""
    await asyncio.wait([reading])
    if not reading.cancelled():
        reading.result()


async def respond(
    request: Request,
    form: Form,
    readers: Sequence[PieceReader],
    *,
    stream: bool,
    place: AbstractContextManager[None],
) -> Response:
    """Answer with these answers, one after another, as one body or as a stream; `place` is taken until the end."""
    with ExitStack() as leaving:
        for reader in readers:
            leaving.callback(reader.stop)
        leaving.enter_context(place)  # after the stops: where none is left, the readers let go of what they have
        async with _watching(request, readers):
            if not stream:
                answers = [await reader.rest() for reader in readers]
                if readers[0].stopped:
                    raise ClientDisconnect
                return JsonResponse(form.whole(answers))
            rest = readers[0].pieces()
            first = await anext(rest, [])
        return _Stream(_events(form, readers, first, rest), leaving.pop_all())
    raise AssertionError("nothing above leaves without an answer")


@asynccontextmanager
async def _watching(request: Request, readers: Sequence[PieceReader]) -> AsyncGenerator[None]:
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


async def _events(
    form: Form, readers: Sequence[PieceReader], first: Sequence[Piece], rest: AsyncGenerator[list[Piece]]
) -> AsyncGenerator[bytes]:
    """Server-sent events; those of pieces that are there together are sent together."""

    def written(index: int, batch: Sequence[Piece]) -> bytes:
        return b"".join(event for piece in batch for event in form.piece(index, piece))

    try:
        yield b"".join(form.start()) + written(0, first)
        for index, reader in enumerate(readers):
            async for batch in reader.pieces() if index else rest:
                yield written(index, batch)
        yield b"".join(form.end())
    except Exception as error:
        if not isinstance(error, HttpError | BakeoffError):
            logger.exception("unexpected error in a stream")
        # The status is sent already: the error is told in the stream.
        yield b"".join(form.failure(error))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTokens:
    """Tokens of the answers to a call: read (`cached` among them), and written (`reasoning` among them)."""

    read: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0

    def __add__(self, other: "AnswerTokens") -> "AnswerTokens":
        return AnswerTokens(
            read=self.read + other.read,
            cached=self.cached + other.cached,
            written=self.written + other.written,
            reasoning=self.reasoning + other.reasoning,
        )

    @classmethod
    def of(cls, ends: Iterable[Piece]) -> "AnswerTokens":
        """Those that last pieces of answers count; the prompt, which all answers share, counts once."""
        last = list(ends)
        return cls(
            read=max((end.prompt_tokens for end in last), default=0),
            cached=min((end.cached_tokens for end in last), default=0),  # later answers have all of it from the first
            written=sum(end.completion_tokens for end in last),
            reasoning=sum(end.reasoning_tokens for end in last),
        )
