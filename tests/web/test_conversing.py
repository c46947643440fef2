"""Answers are read from threads, and end when nobody reads them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bakeoff.core.generation import Piece
from bakeoff.web.conversing import Reader


class Answer:
    """Pieces that come when they are let; knows when it was closed."""

    def __init__(self):
        self.go, self.waiting, self.closed = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, index):
        try:
            yield Piece(text=f"first of {index}")
            self.waiting.set()
            assert self.go.wait(10)
            yield Piece(text="second")
        finally:
            self.closed.set()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_pieces_come_in_order_and_then_nothing(pool):
    answer = Answer()
    answer.go.set()
    reader = Reader(answer, 3, pool)

    async def read():
        return [await reader.next() for _ in range(4)]

    assert [piece and piece.text for piece in asyncio.run(read())] == ["first of 3", "second", None, None]
    assert answer.closed.is_set()


def test_a_reader_that_is_stopped_between_pieces_ends_its_answer(pool):
    answer = Answer()
    reader = Reader(answer, 0, pool)

    async def read():
        await reader.next()
        reader.stop()
        return await reader.next()

    assert asyncio.run(read()) is None
    assert answer.closed.wait(10)


def test_a_reader_that_is_stopped_while_a_thread_waits_ends_with_the_next_piece(pool):
    answer = Answer()
    reader = Reader(answer, 0, pool)

    async def read():
        reading = asyncio.ensure_future(reader.rest())
        await asyncio.to_thread(answer.waiting.wait, 10)
        reader.stop()  # returns at once, though the answer cannot be closed yet
        assert not answer.closed.is_set()
        answer.go.set()
        return await reading

    assert [piece.text for piece in asyncio.run(read())] == ["first of 0", "second"]
    assert answer.closed.wait(10)


def test_an_answer_that_was_never_begun_is_none(pool):
    answer = Answer()
    reader = Reader(answer, 0, pool)
    reader.stop()
    assert asyncio.run(reader.next()) is None
    assert not answer.closed.is_set()
