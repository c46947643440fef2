"""Answers by the stored values of a row, those wanted last: a row that comes again is not computed again."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

__all__ = ["AnswerCache"]

A = TypeVar("A")


class AnswerCache(Generic[A]):
    """Of one release; safe to use from many threads.

    >>> cache = AnswerCache[str](2)
    >>> cache.put([("a",), ("b",)], ["1", "2"])
    >>> cache.get([("a",)]), cache.put([("c",)], ["3"]), cache.get([("a",), ("b",), ("c",)])
    (['1'], None, ['1', None, '3'])
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._answers: OrderedDict[Hashable, A] = OrderedDict()

    def get(self, rows: Sequence[Hashable]) -> list[A | None]:
        """The answers to rows, None for those that are not known."""
        with self._lock:
            answers = [self._answers.get(row) for row in rows]
            for row, answer in zip(rows, answers, strict=True):
                if answer is not None:
                    self._answers.move_to_end(row)
        return answers

    def put(self, rows: Sequence[Hashable], answers: Sequence[A]) -> None:
        """Keep answers; those that nobody has wanted for longest make room."""
        with self._lock:
            self._answers.update(zip(rows, answers, strict=True))
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
