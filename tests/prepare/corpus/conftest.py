"""Corpora here have few rows: one worker is this process, but in tests with the mark `processes`."""

import json

import msgspec
import pytest

from bakeoff.prepare.corpus import run
from bakeoff.prepare.corpus.pool import Pool
from bakeoff.prepare.corpus.work import Plan
from bakeoff.prepare.corpus.worker import _answered, _made


class Here(Pool):
    """Works on blocks in this process, one after the other, by the words that go to a worker and come back."""

    def __init__(self, plan, workers):
        self._worker = _made(msgspec.json.decode(msgspec.json.encode(plan), type=Plan))
        self.peak_memory_bytes = [0] * workers

    def __exit__(self, *_):
        """Nothing was started."""

    def run(self, tasks):
        for task in tasks:
            answer = _answered(self._worker, msgspec.json.encode(task))
            yield self._answer(0, json.dumps(answer).encode())


@pytest.fixture(autouse=True)
def _one_worker_is_here(request, monkeypatch):
    if request.node.get_closest_marker("processes") is None:
        monkeypatch.setattr(run, "Pool", lambda plan, workers: (Here if workers == 1 else Pool)(plan, workers))
