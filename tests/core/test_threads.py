"""Work that waits, by threads."""

import threading
import time

import pytest

from bakeoff.core.threads import at_once


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
