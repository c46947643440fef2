"""Work that waits, by threads."""

import logging
import threading
import time

import pytest

from bakeoff.core.threads import ahead, at_once, repeatedly


def test_results_are_in_the_order_of_the_items_and_all_wait_together():
    together = threading.Barrier(5, timeout=10)
    first_may_end = threading.Event()

    def work(at):
        together.wait()
        if at == 0:
            assert first_may_end.wait(10)
        if at == 4:
            first_may_end.set()
        return at * at

    assert at_once(work, range(5)) == [0, 1, 4, 9, 16]


def test_the_first_error_is_raised_when_what_was_begun_has_ended():
    begun, ended = set(), set()

    def work(at):
        begun.add(at)
        try:
            if at in {1, 2}:
                raise OSError(at)
            time.sleep(0.02)
        finally:
            ended.add(at)

    with pytest.raises(OSError, match="1"):
        at_once(work, range(40))
    assert {0, 1} <= begun == ended
    assert len(begun) < 40


def test_nothing_and_one_need_no_threads():
    assert at_once(str, []) == []
    assert at_once(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]


def test_what_goes_wrong_again_and_again_is_logged_and_goes_on(caplog):
    turns: list[bool] = []

    def work(stop):
        turns.append(stop.is_set())
        if len(turns) == 1:
            raise OSError("no disk")

    logger = logging.getLogger("bakeoff.test")
    with repeatedly(work, every_s=0.001, name="turns", logger=logger, complaint="a turn was lost"):
        until = time.monotonic() + 10
        while len(turns) < 3 and time.monotonic() < until:
            time.sleep(0.001)
    after = len(turns)
    assert after >= 3
    assert not any(turns[:2])
    assert [each.getMessage() for each in caplog.records] == ["a turn was lost: no disk"]
    assert "turns" not in {thread.name for thread in threading.enumerate()}


def test_items_are_made_ahead_and_few_wait():
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    taken = ahead(items(), 3)
    assert [next(taken), next(taken)] == [0, 1]
    taken.close()
    assert len(made) <= 9  # those that are used, and two times three that wait
    assert list(ahead(items(), 7)) == list(range(100))


def test_an_error_of_what_is_made_ahead_comes_in_its_turn():
    def items():
        yield 1
        yield 2
        raise OSError("gone")

    taken = ahead(items())
    assert [next(taken), next(taken)] == [1, 2]
    with pytest.raises(OSError, match="gone"):
        next(taken)
