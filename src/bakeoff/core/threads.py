"""How many threads numerical libraries use, and threads of our own for work that waits."""

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

__all__ = ["WAITING", "ahead", "as_they_come", "at_once", "known_libraries", "limited", "repeatedly"]

WAITING = {"OPENBLAS_THREAD_TIMEOUT": "16"}
"""A variable for processes that load OpenBLAS: for so many cycles, as a power of two, its idle threads turn in a loop
before they sleep. By its own 26 each library and each fork takes a core for 30 ms, for nothing."""

_AT_ONCE = 8
_WRITERS = 2
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def at_once(work: Callable[[_Item], _Made], items: Iterable[_Item]) -> list[_Made]:
    """The results in the order of the items, by threads: work that waits for a disk or a network waits together.

    Sixty small files, each synced with its folders, take about a sixth of the time. After an
    error nothing more is begun; the first is raised when what was begun has ended.

    >>> at_once(len, ["a", "bc"])
    [1, 2]
    """
    listed = list(items)
    if len(listed) < 2:  # noqa: PLR2004
        return [work(each) for each in listed]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(_AT_ONCE, len(listed))) as pool:
        return list(pool.map(work, listed))


def as_they_come(work: Callable[[_Item], object], items: Iterable[_Item]) -> None:
    """Do something with each item by threads while the next ones are made, of which few wait.

    After an error no more are made; the first is raised when what was begun has ended.

    >>> done = []
    >>> as_they_come(done.append, iter("ab"))
    >>> sorted(done)
    ['a', 'b']
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    with ThreadPoolExecutor(_WRITERS) as pool:
        begun = deque[Future[object]]()
        try:
            for item in items:
                begun.append(pool.submit(work, item))
                if len(begun) > 2 * _WRITERS:
                    begun.popleft().result()
            while begun:
                begun.popleft().result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def ahead(items: Iterable[_Item], together: int = 1) -> Iterator[_Item]:
    """The items, made by a thread while those before them are used: so many `together`, two times of which may wait.

    An error comes instead of those that were made together with it.

    >>> list(ahead(iter("abc"), 2))
    ['a', 'b', 'c']
    """
    from concurrent.futures import ThreadPoolExecutor

    iterator = iter(items)

    def some() -> list[_Item]:
        return list(islice(iterator, together))

    with ThreadPoolExecutor(1) as pool:
        waiting = deque([pool.submit(some), pool.submit(some)])
        try:
            while made := waiting.popleft().result():
                waiting.append(pool.submit(some))
                yield from made
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def repeatedly(
    work: Callable[[threading.Event], object], *, every_s: float, name: str, logger: logging.Logger, complaint: str
) -> Generator[None]:
    """Have a thread do something again and again; what goes wrong in it is logged, and it goes on.

    Args:
        work: gets the event that is set at the end, for what takes long.
        every_s: the pause before each time.
        name: the thread's.
        logger: where an error is logged.
        complaint: the words before it.
    """
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(every_s):
            try:
                work(stop)
            except Exception as error:  # noqa: BLE001 - the next time may do better
                logger.warning("%s: %s", complaint, error)

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def limited(threads: int) -> AbstractContextManager[Any]:
    """Within it (and after it, where it is not entered), libraries that are loaded use so many threads."""
    return known_libraries().limit(limits=threads)


def known_libraries() -> Any:
    """Libraries that are loaded; looking for them takes milliseconds, and none comes without a new module."""
    return _libraries(len(sys.modules))


@lru_cache(maxsize=1)
def _libraries(modules: int) -> Any:
    from threadpoolctl import ThreadpoolController

    del modules
    return ThreadpoolController()
