"""Work that waits, by threads."""

import logging
import threading
import time

import pytest

from bakeoff.core.threads import at_once, repeatedly


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
