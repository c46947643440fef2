import os

from bakeoff.core import machine


def test_processors_and_memory_are_what_the_system_says(monkeypatch):
    assert 1 <= machine.cores() <= os.cpu_count()
    assert machine.memory_bytes() > 100_000_000
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cores() == 1


def test_a_system_that_does_not_say_has_no_memory_to_plan_by(monkeypatch):
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert machine.memory_bytes() == 0
