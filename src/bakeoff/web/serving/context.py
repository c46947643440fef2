"""What the protocols of serving share: the data plane, and the threads that its calls run in.

Work on the processor runs in threads, so that health answers while models compute; when too many calls wait,
new ones are turned away (503) instead of piling up.
"""

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request

from bakeoff.core.errors import NotFoundError
from bakeoff.core.events import Event
from bakeoff.core.machine import cores
from bakeoff.core.types import Json
from bakeoff.feedback.record import Recorded
from bakeoff.serve.engine import Engine
from bakeoff.serve.gateway.allowances import Allowances
from bakeoff.serve.gateway.gateway import Gateway
from bakeoff.serve.plane import DataPlane
from bakeoff.serve.recorder import Recorder
from bakeoff.serve.runtime import Answer
from bakeoff.web.auth import missed, principal_of
from bakeoff.web.generation_measures import GenerationMeasures
from bakeoff.web.measures import Measures
from bakeoff.web.problems import HttpError
from bakeoff.web.serving.conversing import Lanes
from bakeoff.web.serving.names import Names
from bakeoff.web.serving.turns import Pace, Turns

__all__ = ["KEY", "Serving", "TakesFeedback", "caller_key"]

T = TypeVar("T")
logger = logging.getLogger(__name__)

MAX_WAITING = 512
SLOTS = max(cores(), 2)
KEY = "x-bakeoff-key"
"""The header with a key of the caller's choice: callers with one meet the same release, while a canary has a share."""
REFRESH_S = 0.25
ADD_UP_S = 1.0
GATHER_S, GATHERED = 0.05, 32
"""So long, and so many, records are gathered that nobody waits for: handing them over costs about as much for some as
for one, and a wake-up for it as much as a third of a call; more at once would keep calls waiting."""
FOLLOWED = 32
"""Threads that follow endpoints: so many may be slow before they hold up others."""


def _ended(call: Callable[[], T]) -> Callable[[], T]:
    """The call, which raises no StopIteration: no future can hold one, and its request would never be answered."""

    def ended() -> T:
        try:
            return call()
        except StopIteration as error:
            raise RuntimeError("a call ended without a result") from error

    return ended


async def _ended_task(task: "asyncio.Task[None]") -> None:
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return
    except Exception:  # what comes after it must still be done
        logger.exception("a task beside the calls ended with an error")


class TakesFeedback(Protocol):
    """Logs feedback items."""

    def __call__(
        self, items: Sequence[dict[str, Json]], /, *, endpoint: str = ..., reaches: Callable[[str], bool] = ...
    ) -> Recorded:
        """What of it counts, with keys of an endpoint; `reaches` says whether a caller knows of an endpoint."""
        ...


class Serving:
    """The data plane as handlers of requests use it.

    Args:
        plane: the endpoints.
        record_feedback: logs feedback items.
        threads: calls that compute or wait for the log at once.
        model_names: what the default endpoint may be called beside its name; "*" for whatever callers like.
        guarded: whether callers are asked who they are, so that what is public says no more than it must.
        pace: of an endpoint's calls, by its name.
    """

    def __init__(
        self,
        plane: DataPlane,
        record_feedback: TakesFeedback,
        *,
        threads: int,
        model_names: Sequence[str] = (),
        guarded: bool = False,
        pace: Callable[[str], Pace] = lambda _: Pace(),
    ) -> None:
        self.guarded = guarded
        self._pace = pace
        self._turns: dict[str, Turns] = {}
        self._gathering: dict[Recorder, tuple[list[Event], asyncio.Future[None] | asyncio.TimerHandle]] = {}
        self.plane, self._record, self.measures = plane, record_feedback, Measures()
        self.known = Names(plane, model_names)
        self._threads, self._waiting = threads, 0
        self._pool: ThreadPoolExecutor | None = None
        self._chat_pool: ThreadPoolExecutor | None = None
        self._follow_pool: ThreadPoolExecutor | None = None
        self._lanes: dict[str, Lanes] = {}
        self.generations: dict[str, GenerationMeasures] = {}

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        """Threads live as long as the app; tasks follow the endpoints' routes, so that few calls have to.

        Answers that come piece by piece have threads of their own, so that they keep no others waiting: as many as the
        live model works at, or as may wait where it does not say.
        """
        with (
            ThreadPoolExecutor(self._threads, thread_name_prefix="predict") as self._pool,
            ThreadPoolExecutor(MAX_WAITING, thread_name_prefix="chat") as self._chat_pool,
            ThreadPoolExecutor(FOLLOWED, thread_name_prefix="follow") as self._follow_pool,
        ):
            async with contextlib.AsyncExitStack() as beside:
                for gateway in self.plane.gateways.values():
                    await beside.enter_async_context(gateway.opened())
                for work in (self._follow, self._add_up):
                    beside.push_async_callback(_ended_task, asyncio.create_task(work()))
                yield
            for recorder in list(self._gathering):
                self._submit(recorder)
            for allowances in self._allowances:
                allowances.sync()

    @property
    def _allowances(self) -> set[Allowances]:
        return {gateway.allowances for gateway in self.plane.gateways.values() if gateway.allowances}

    async def _add_up(self) -> None:
        """Add up, again and again, what callers of the gateways have used."""
        while self._allowances:
            for allowances in self._allowances:
                await self._followed(allowances.sync)
            await asyncio.sleep(ADD_UP_S)

    async def _follow(self) -> None:
        """Follow each endpoint by itself, also such as come later: one that is slow holds up no other."""
        followed: set[str] = set()
        async with asyncio.TaskGroup() as each:
            while True:
                for name in await self._followed(self.plane.followed):
                    if name not in followed:
                        followed.add(name)
                        each.create_task(self._follow_one(name))
                await asyncio.sleep(REFRESH_S)

    async def _follow_one(self, name: str) -> None:
        while True:
            await self._followed(lambda: self.plane.follow(name))
            await asyncio.sleep(REFRESH_S)

    async def _followed(self, look: Callable[[], T]) -> T:
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._follow_pool, run, look)

    def lanes(self, engine: Engine) -> Lanes:
        """The threads for answers of an endpoint that come piece by piece."""
        assert self._chat_pool is not None, "the app's lifespan has not started"
        if engine.endpoint not in self._lanes:
            self._lanes[engine.endpoint] = Lanes(self._chat_pool, lambda: engine.concurrency)
        return self._lanes[engine.endpoint]

    def generation(self, of: Engine | Gateway) -> GenerationMeasures:
        """What is measured of an endpoint's answers that come piece by piece."""
        made = self.generations.get(of.endpoint)
        if made is None:
            lanes = None if isinstance(of, Gateway) else self.lanes(of)
            measures = GenerationMeasures(lambda: lanes.waiting if lanes else 0)
            made = self.generations.setdefault(of.endpoint, measures)
        return made

    def turns(self, engine: Engine) -> Turns:
        """Where calls of an endpoint with rows wait for a thread."""
        assert self._pool is not None, "the app's lifespan has not started"
        if engine.endpoint not in self._turns:
            slots = self._threads if engine.waits_for_service else SLOTS
            self._turns[engine.endpoint] = Turns(engine, self._pool, self._pace(engine.endpoint), slots)
        return self._turns[engine.endpoint]

    def depth(self, endpoint: str) -> tuple[int, int, int]:
        """Of an endpoint's calls with rows: batches that run, calls that wait, and how many were refused."""
        turns = self._turns.get(endpoint)
        return (0, 0, 0) if turns is None else (*turns.depth, turns.refused)

    def submit(self, recorder: Recorder, events: Sequence[Event]) -> "asyncio.Future[None] | None":
        """Log events with those of other calls that end now or soon; what to await first, if anything."""
        gathering = self._gathering.get(recorder)
        loop = asyncio.get_running_loop()
        if gathering is None:
            if recorder.is_required:
                gathering = self._gathering[recorder] = [], loop.create_future()
                loop.call_soon(self._submit, recorder)
            else:
                gathering = self._gathering[recorder] = [], loop.call_later(GATHER_S, self._submit, recorder)
        gathered, written = gathering
        before = len(gathered)
        gathered.extend(events)
        if isinstance(written, asyncio.Future):
            return written if events else None
        if before < GATHERED <= len(gathered):
            loop.call_soon(self._submit, recorder)  # the answer goes first
        return None

    def _submit(self, recorder: Recorder) -> None:
        if recorder not in self._gathering:
            return
        events, written = self._gathering.pop(recorder)
        if not isinstance(written, asyncio.Future):
            written.cancel()
            recorder.submit(events)
            return
        written.add_done_callback(lambda written: written.exception())  # nobody may wait for it

        def tell(done: "Future[None]") -> None:
            error = done.exception()
            if written.done():
                return
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)

        loop = asyncio.get_running_loop()
        try:
            durable = recorder.submit(events)
        except Exception as error:  # noqa: BLE001 - told to all who wait
            written.set_exception(error)
            return
        if durable is None:
            written.set_result(None)
        else:
            durable.add_done_callback(lambda done: loop.call_soon_threadsafe(tell, done))

    async def logged(self, recorder: Recorder, events: Sequence[Event]) -> None:
        """Log events; with `log = "required"` they are durable when this returns."""
        durable = self.submit(recorder, events)
        if durable is not None:
            await asyncio.shield(durable)  # others wait for the same

    async def in_thread(self, call: Callable[[], T]) -> T:
        """What `call` gives, made in a thread."""
        with self.place():
            run = contextvars.copy_context().run  # the call's trace goes with it
            return await asyncio.get_running_loop().run_in_executor(self._pool, run, _ended(call))

    @contextlib.contextmanager
    def place(self) -> Generator[None]:
        """A place among the calls that wait, if there is one left."""
        if self._waiting >= MAX_WAITING:
            raise HttpError(503, "Overloaded", f"{self._waiting} calls are waiting; try again in a second")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def of_path(self, request: Request) -> Engine:
        """The endpoint that a request's path names, or the default one.

        Raises:
            NotFoundError: there is no such endpoint.
        """
        name, known = request.path_params.get("name"), self.names(request)
        if (self.plane.default if name is None else name) in known:
            return self.plane.engine(name)
        received = "a token that reaches no default endpoint" if name is None else repr(name[:80])
        raise NotFoundError(
            f"expected endpoint {' or '.join(map(repr, known)) or '(none is yours)'}, received {received}"
        )

    def names(self, request: Request) -> tuple[str, ...]:
        """The endpoints that the caller may know of, the default first."""
        return self.known.endpoints(principal_of(request))

    def of_model(self, request: Request, name: str | None) -> Engine:
        """The endpoint that a request names as its model; see `Names.engine`."""
        return self.known.engine(principal_of(request), name)

    def record_feedback(self, request: Request, endpoint: str, items: Sequence[dict[str, Json]]) -> Recorded:
        """Log feedback; for the caller, predictions of endpoints out of reach are as those that there are not."""
        principal = principal_of(request)
        if principal.everything("endpoint"):
            return self._record(items, endpoint=endpoint)
        result = self._record(items, endpoint=endpoint, reaches=lambda name: principal.reaches("endpoint", name))
        if result.unmatched:  # what nobody has is logged, and what others have is not
            missed(request)
        return result

    def record_keys(self, endpoint: str, keys: Sequence[str], answers: Sequence[Answer]) -> None:
        """Log the callers' own keys of answers."""
        self._record([{"id": each.id, "key": key} for each, key in zip(answers, keys, strict=True)], endpoint=endpoint)


def caller_key(request: Request, user: str | None = None) -> str | None:
    """Whom a call comes from, as it says itself: by its header, or as the `user` of its body."""
    return request.headers.get(KEY) or user or None
