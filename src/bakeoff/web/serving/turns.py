"""Turns: calls with rows wait for a thread here, for no longer than they can be answered in time.

As many run at once as there are cores (a model that asks a service waits for it, and may do so more often). When one is
done, it takes what has come meanwhile as one batch, as long as that costs less for each row than one by one: no call
waits for others to come, unless `wait_s` says so. How long calls take is measured as they run. From that follows how
long a new one would wait, and one that could not be answered in time is refused at once, with when to come again.

A call before which nobody waits is always tried: so that what is expected too long by mistake is measured again.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from bakeoff.config.sections import ServedConfig
from bakeoff.serve.engine import Call, Engine
from bakeoff.serve.runtime import Answer
from bakeoff.web.problems import HttpError

__all__ = ["Durations", "Pace", "Turns"]

NEWEST = 0.2
"""The weight of the newest duration in the mean of all."""
PAYS = 0.9
"""A batch pays when a row takes less than this share of what it takes alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How calls of an endpoint are paced.

    Attributes:
        deadline_s: within it a call is answered, or refused at once; one that takes long by itself may wait as long
            again. (Who names a deadline is held to that one.)
        batch_rows: the most rows that are computed together for several calls; 1: no batches.
        wait_s: how long a call waits for others to be computed with.
    """

    deadline_s: float = 2.0
    batch_rows: int = 64
    wait_s: float = 0.0

    @classmethod
    def of(cls, config: ServedConfig) -> "Pace":
        """As the project file has it."""
        return cls(deadline_s=config.deadline_ms / 1e3, batch_rows=config.batch_rows, wait_s=config.batch_wait_ms / 1e3)


class Durations:
    """How long so many rows took, as means in which the newest count most; of numbers never seen, in proportion."""

    def __init__(self) -> None:
        self._means: dict[int, float] = {}  # by the number of binary digits of the rows

    def add(self, rows: int, seconds: float) -> None:
        """Note a duration."""
        place = rows.bit_length()
        mean = self._means.get(place)
        self._means[place] = seconds if mean is None else mean + NEWEST * (seconds - mean)

    def expected(self, rows: int) -> float:
        """Seconds for so many rows; 0 when nothing is known."""
        place = rows.bit_length()
        if not self._means:
            return 0.0
        nearest = min(self._means, key=lambda known: abs(known - place))
        return self._means[nearest] * 2.0 ** (place - nearest)

    def batch_pays(self, rows: int) -> bool:
        """Whether so many rows together take less than one by one; up to twice as many as are known are tried."""
        place = rows.bit_length()
        one, many = self._means.get(1), self._means.get(place)
        if many is None:
            return not self._means or place - 1 in self._means
        return one is None or many < PAYS * rows * one


@dataclass(slots=True, eq=False)
class _Waiting:
    call: Call
    rows: int
    entered: float
    allowed_s: float
    done: "asyncio.Future[list[Answer]]"


@dataclass(slots=True, eq=False)
class _Batch:
    rows: int
    expected_s: float
    began: float = field(default_factory=time.monotonic)
    task: "asyncio.Task[None] | None" = None

    def left_s(self, now: float) -> float:
        """How long it will still take, about."""
        return max(self.expected_s - (now - self.began), 0.0)


class Turns:
    """The calls of one endpoint; used on the loop's thread.

    Args:
        engine: answers.
        pool: its threads.
        pace: see there.
        slots: batches at once.
    """

    def __init__(self, engine: Engine, pool: Executor, pace: Pace, slots: int) -> None:
        self._engine, self._pool, self._pace, self._slots = engine, pool, pace, slots
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._running: set[_Batch] = set()
        self._durations = Durations()
        self._row_s, self._is_cold = 0.0, True
        self._timer: asyncio.TimerHandle | None = None
        self.refused = 0

    @property
    def depth(self) -> tuple[int, int]:
        """How many batches run, and how many calls wait."""
        return len(self._running), len(self._waiting)

    async def answered(self, call: Call, deadline_s: float | None = None) -> list[Answer]:
        """The answers to a call's rows.

        Raises:
            HttpError: they cannot be given in time (429).
        """
        loop = asyncio.get_running_loop()
        rows, own_s = max(len(call.rows), 1), self._durations.expected(len(call.rows))
        allowed_s = max(self._pace.deadline_s, 2 * own_s) if deadline_s is None else deadline_s
        wait_s = self.wait_s()
        if len(self._running) >= self._slots and wait_s + own_s > allowed_s:
            raise self._refusal(wait_s + own_s, allowed_s)
        waiting = _Waiting(call, rows, time.monotonic(), allowed_s, loop.create_future())
        self._waiting.append(waiting)
        self._rows += rows
        if self._pace.wait_s and self._rows < self._pace.batch_rows and not self._running:
            self._timer = self._timer or loop.call_later(self._pace.wait_s, self._start)
        else:
            self._start()
        return await waiting.done

    def wait_s(self) -> float:
        """How long a new call would wait, about."""
        now = time.monotonic()
        left_s = sum(batch.left_s(now) for batch in self._running)
        return (left_s + self._rows * self._row_s) / self._slots

    def _refusal(self, needed_s: float, allowed_s: float) -> HttpError:
        self.refused += 1
        after = max(math.ceil(needed_s - allowed_s), 1)
        return HttpError(
            429,
            "Overloaded",
            f"expected an answer within {allowed_s * 1e3:.0f} ms, but about {needed_s * 1e3:.0f} are needed: too many "
            f"calls wait; try again in {after} s",
            retry_after_s=after,
        )

    def _start(self) -> None:
        """Begin what there is room for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while len(self._running) < self._slots and (calls := self._next()):
            rows = sum(each.rows for each in calls)
            batch = _Batch(rows, self._durations.expected(rows))
            batch.task = asyncio.get_running_loop().create_task(self._run(calls, batch))
            self._running.add(batch)

    async def _run(self, calls: Sequence[_Waiting], batch: _Batch) -> None:
        """Answer the calls of a batch, then begin the next."""
        predict, loop = self._engine.predict_calls, asyncio.get_running_loop()
        results: Sequence[list[Answer] | Exception]
        try:
            results = await loop.run_in_executor(self._pool, predict, [each.call for each in calls])
        except Exception as error:  # noqa: BLE001 - told to each of them
            results = [error] * len(calls)
        finally:
            self._running.discard(batch)
        if any(isinstance(result, list) for result in results):  # what is refused at once tells nothing of the model
            self._measure(batch.rows, time.monotonic() - batch.began)
        for each, result in zip(calls, results, strict=True):
            if each.done.done():
                continue
            if isinstance(result, StopIteration):  # no future can end with it
                each.done.set_exception(RuntimeError("a call ended without a result"))
            elif isinstance(result, Exception):
                each.done.set_exception(result)
            else:
                each.done.set_result(result)
        self._start()

    def _measure(self, rows: int, seconds: float) -> None:
        """Note how long a batch took; but for the first, which pays for what is made once."""
        if self._is_cold:
            self._is_cold = False
            return
        self._durations.add(rows, seconds)
        row_s = seconds / rows
        self._row_s = row_s if not self._row_s else self._row_s + NEWEST * (row_s - self._row_s)

    def _next(self) -> list[_Waiting]:
        """The calls of the next batch: the first that waits, and others with it."""
        calls: list[_Waiting] = []
        rows, now = 0, time.monotonic()
        while self._waiting:
            first = self._waiting[0]
            more = rows + first.rows
            if calls and (more > self._pace.batch_rows or not self._durations.batch_pays(more)):
                break
            self._waiting.popleft()
            self._rows -= first.rows
            if first.done.done():  # who asked went away
                continue
            if now - first.entered > first.allowed_s:
                first.done.set_exception(self._refusal(now - first.entered, first.allowed_s))
                continue
            calls.append(first)
            rows = more
        return calls
