"""Answers are read by as many threads as the model works at, and end when nobody reads them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bakeoff.core.generation import Piece
from bakeoff.web.serving.conversing import AnswerReader, Lanes, _events


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
    with ThreadPoolExecutor(8) as pool:
        yield pool


def lanes(pool, width=None):
    return Lanes(pool, lambda: width)


async def texts(reader):
    return [piece.text async for batch in reader.pieces() for piece in batch]


def test_pieces_come_in_order_and_then_the_answer_is_closed(pool):
    answer = Answer()
    answer.go.set()
    assert asyncio.run(texts(AnswerReader(answer, 3, lanes(pool)))) == ["first of 3", "second"]
    assert answer.closed.is_set()


def test_an_error_behind_the_first_piece_comes_behind_it(pool):
    def broken(index):
        yield Piece(text="first")
        raise OSError(28, "no room")

    seen = []

    async def read():
        async for batch in AnswerReader(broken, 0, lanes(pool)).pieces():
            seen.extend(piece.text for piece in batch)

    with pytest.raises(OSError, match="no room"):
        asyncio.run(read())
    assert seen == ["first"]
    with pytest.raises(OSError, match="no room"):
        asyncio.run(AnswerReader(broken, 0, lanes(pool)).rest())


def test_a_reader_that_is_stopped_while_its_model_works_ends_with_the_next_piece(pool):
    answer = Answer()
    reader = AnswerReader(answer, 0, lanes(pool))

    async def read():
        reading = asyncio.ensure_future(texts(reader))
        await asyncio.to_thread(answer.waiting.wait, 10)
        reader.stop()  # returns at once, and so do those who read, though the answer cannot be closed yet
        seen = await reading
        assert not answer.closed.is_set()
        answer.go.set()
        return seen

    assert asyncio.run(read()) == ["first of 0"]
    assert answer.closed.wait(10)


def test_an_answer_that_was_never_begun_is_none(pool):
    answer = Answer()
    reader = AnswerReader(answer, 0, lanes(pool))
    reader.stop()
    assert asyncio.run(reader.rest()) == []
    assert asyncio.run(texts(reader)) == []
    assert not answer.waiting.is_set()


def test_no_more_answers_run_than_the_model_works_at_and_they_come_first_come_first_served(pool):
    begun, running, most = [], 0, 0
    counting, go = threading.Lock(), threading.Event()

    def choice(index):
        nonlocal running, most
        with counting:
            begun.append(index)
            running += 1
            most = max(most, running)
        assert go.wait(10)
        yield Piece(text=str(index))
        with counting:
            running -= 1

    async def read():
        three = lanes(pool, 3)
        readers = [AnswerReader(choice, index, three) for index in range(40)]
        tasks = [asyncio.ensure_future(texts(reader)) for reader in readers]
        while len(begun) < 3:
            await asyncio.sleep(0.001)
        for reader in readers[10:20]:  # they go away while they wait
            reader.stop()
        go.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(read())
    assert most == 3
    assert [answer for answer in answers if answer] == [[str(i)] for i in range(40) if not 10 <= i < 20]
    assert sorted(begun) == [i for i in range(40) if not 10 <= i < 20]
    assert set(begun[:3]) == {0, 1, 2}


def test_places_are_given_back_by_who_is_cancelled_at_any_moment(pool):
    """Whatever the moment of a cancellation, all places are free in the end."""

    async def turns():
        two = lanes(pool, 2)
        for wait_s in (0, 0.0005, 0.001, 0.002, 0.004):
            tasks = [asyncio.ensure_future(two.run(lambda: threading.Event().wait(0.001))) for _ in range(12)]
            await asyncio.sleep(wait_s)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return await asyncio.wait_for(asyncio.gather(*(two.run(lambda: 1) for _ in range(10))), 10)

    assert asyncio.run(turns()) == [1] * 10


def test_a_model_that_works_at_more_after_a_release_lets_the_waiting_in(pool):
    width = 1

    async def turns():
        nonlocal width
        some = Lanes(pool, lambda: width)
        barrier = threading.Barrier(3, timeout=10)
        first = asyncio.ensure_future(some.run(lambda: 0))
        rest = [asyncio.ensure_future(some.run(barrier.wait)) for _ in range(3)]
        width = 3
        return await asyncio.gather(first, *rest)

    assert len(asyncio.run(turns())) == 4


def test_an_unexpected_error_in_a_stream_is_told_there_and_logged(pool, caplog):
    def broken(index):
        yield Piece(text="first")
        raise ZeroDivisionError("by nothing")

    class Told:
        def start(self):
            return ()

        def piece(self, _, piece):
            yield piece.text.encode()

        def failure(self, error):
            yield f"told {type(error).__name__}".encode()

    async def read():
        reader = AnswerReader(broken, 0, lanes(pool))
        return [event async for event in _events(Told(), [reader], [], reader.pieces())]

    assert b"".join(asyncio.run(read())) == b"firsttold ZeroDivisionError"
    assert "by nothing" in caplog.text
