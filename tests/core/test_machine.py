import os

import pytest

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


@pytest.mark.parametrize(("limit", "cores"), [("max 100000", 8), ("250000 100000", 3), ("5000 100000", 1), ("", 8)])
def test_the_limit_of_a_container_counts(monkeypatch, tmp_path, limit, cores):
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(machine, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert machine.cores() == cores
