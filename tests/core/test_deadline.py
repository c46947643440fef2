"""Limits of time: by the work of the process, and by the clock for what only waits."""

import time

import pytest

from bakeoff.core.deadline import WorkLimit


def test_what_only_waits_counts_a_third():
    limit = WorkLimit(1.0)
    time.sleep(0.3)
    assert limit.used_s == pytest.approx(0.1, abs=0.05)
    assert limit.left_s == pytest.approx(0.9, abs=0.05)


def test_work_is_shared_by_threads_and_nothing_less_than_nothing_is_left():
    alone, shared = WorkLimit(0.01), WorkLimit(0.01, threads=2)
    begun = time.process_time()
    while time.process_time() - begun < 0.12:
        pass
    assert alone.used_s >= 0.12
    assert 0.06 <= shared.used_s < alone.used_s
    assert alone.left_s == 0.0
