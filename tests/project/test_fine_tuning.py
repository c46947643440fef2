"""Processes that work at jobs: one that lost its job, one whose server stops, and one that trains beside a server."""

import time
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

from bakeoff.core.errors import ConflictError
from bakeoff.core.refs import BlobRef
from bakeoff.project.fine_tuning import ProjectFineTuning
from bakeoff.testing.memory import MemoryBlobs, MemoryRecords

WAITS = "#!/bin/sh\necho begun >&2\nexec sleep 60\n"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class World:
    """Fine-tuning without a model: what is trained is a list of ids."""

    def __init__(self, folder) -> None:
        records = MemoryRecords(now_ms)
        project = SimpleNamespace(folder=folder, records=SimpleNamespace(documents=records.documents))
        project.blobs = MemoryBlobs()
        self.project, self.stages = project, [nullcontext()]
        self.tuning = self.another()
        self.jobs = self.tuning.jobs
        self.trained: list[str] = []

    def another(self) -> ProjectFineTuning:
        return ProjectFineTuning(self.project, now_ms, lambda: self.stages[0])

    def job(self):
        return self.jobs.create(model="m", training=BlobRef("b"))


@pytest.fixture
def world(tmp_path, monkeypatch):
    waits = tmp_path / "waits"
    waits.write_text(WAITS)
    waits.chmod(0o755)
    monkeypatch.setattr("bakeoff.project.fine_tuning.sys", SimpleNamespace(executable=str(waits)))
    monkeypatch.setattr("bakeoff.project.fine_tuning.BEAT_S", 0.1)
    monkeypatch.setattr("bakeoff.project.fine_tuning.LOOK_S", 0.1)
    return World(tmp_path)


def until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.processes
def test_a_job_that_another_took_is_not_marked_as_failed(world) -> None:
    job = world.job()
    with world.tuning.working(0.02):
        until(lambda: world.jobs.get(job.id).status == "running")
        world.jobs.take_over(job.id, "another")
        time.sleep(0.8)  # its process is ended meanwhile
        assert (world.jobs.get(job.id).status, world.jobs.get(job.id).worker) == ("running", "another")
    assert world.jobs.get(job.id).worker == "another"


@pytest.mark.processes
def test_a_server_that_stops_gives_its_job_back(world) -> None:
    job = world.job()
    for _ in range(4):
        with world.tuning.working(0.02):
            until(lambda: world.jobs.get(job.id).status == "running")
        assert (world.jobs.get(job.id).status, world.jobs.get(job.id).attempts) == ("queued", 0)


def test_whoever_waits_for_the_stage_looks_at_the_job_again(world) -> None:
    """What another one ended while this one waited is not trained again."""
    job = world.job()

    @contextmanager
    def entered():
        world.jobs.end(job.id, "succeeded", model_version="m/1")
        yield None

    world.stages[0] = entered()
    world.project.blobs.put(b"")
    done = _worked(world, job)
    assert (done.status, done.model_version) == ("succeeded", "m/1")
    assert world.trained == []


def test_a_worker_that_lost_its_job_says_so(world) -> None:
    job = world.job()

    @contextmanager
    def entered():
        world.jobs.take_over(job.id, "another")
        yield None

    world.stages[0] = entered()
    with pytest.raises(ConflictError, match="taken by another worker"):
        _worked(world, job)
    assert (world.jobs.get(job.id).status, world.trained) == ("running", [])


def test_one_beats_while_it_works(world) -> None:
    job = world.job()
    beats: list[int] = []

    @contextmanager
    def entered():
        beats.append(world.jobs.get(job.id).beat_ms)
        until(lambda: world.jobs.get(job.id).beat_ms > beats[0])
        assert world.jobs.take("a server") is None
        world.jobs.cancel(job.id)
        yield None

    world.stages[0] = entered()
    assert _worked(world, job).status == "cancelled"


def _worked(world, job):
    """What becomes of a job that is worked at here; to train it is to note its id."""

    def trained(each, worker):
        from contextlib import ExitStack

        with ExitStack() as within:
            world.tuning._entered(within, each, worker, print)
            world.trained.append(each.id)
        return {}

    world.tuning._worked = trained
    return world.tuning.work(job.id)
