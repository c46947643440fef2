"""Jobs in the records: who works at them, what happens when a worker is gone, what ends them."""

import pytest

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.refs import BlobRef
from bakeoff.loop.fine_tune_jobs import MOST_ATTEMPTS, MOST_EVENTS, SILENT_MS, FineTuneJobs
from bakeoff.loop.stored_files import StoredFiles
from bakeoff.testing.memory import MemoryBlobs, MemoryRecords


class World:
    def __init__(self) -> None:
        self.now_ms, self.made = 1_000_000, 0
        self.documents = MemoryRecords(self.clock).documents
        self.jobs = FineTuneJobs(self.documents, self.clock, self.new_id)

    def clock(self) -> int:
        return self.now_ms

    def new_id(self) -> str:
        self.made += 1
        return f"{self.made:04}"

    def job(self):
        self.now_ms += 1
        return self.jobs.create(model="m", training=BlobRef("b1"))


@pytest.fixture
def world():
    return World()


def test_jobs_are_taken_once_the_oldest_first(world) -> None:
    first, second = world.job(), world.job()
    assert [each.id for each in world.jobs.all()] == [second.id, first.id]
    assert world.jobs.take("a").id == first.id
    assert world.jobs.take("b").id == second.id
    assert world.jobs.take("c") is None
    assert world.jobs.beat(first.id, "a")
    assert not world.jobs.beat(first.id, "b")


def test_a_job_whose_worker_is_silent_is_taken_up_and_not_for_ever(world) -> None:
    job = world.job()
    for attempt in range(1, MOST_ATTEMPTS + 1):
        taken = world.jobs.take(f"worker {attempt}")
        assert (taken.id, taken.attempts, taken.worker) == (job.id, attempt, f"worker {attempt}")
        world.now_ms += SILENT_MS
        assert world.jobs.take("other") is None  # still within its time
        world.now_ms += 1
    assert world.jobs.take("last") is None
    failed = world.jobs.get(job.id)
    assert (failed.status, failed.finished_ms) == ("failed", world.now_ms)
    assert "ended 3 times before it was done" in failed.error
    assert [event.message for event in failed.events[1:4]] == ["the job begins"] + [
        "the job goes on: its worker had ended"
    ] * 2


def test_what_is_over_stays_over(world) -> None:
    job = world.job()
    world.jobs.take("a")
    assert world.jobs.cancel(job.id).status == "cancelled"
    assert not world.jobs.beat(job.id, "a")
    assert world.jobs.end(job.id, "succeeded", model_version="m/1").model_version is None
    with pytest.raises(UsageError, match="which cancelled"):
        world.jobs.cancel(job.id)
    with pytest.raises(NotFoundError, match="'nothing'"):
        world.jobs.get("nothing")


def test_of_very_many_events_the_first_and_the_last_stay(world) -> None:
    job = world.job()
    for at in range(MOST_EVENTS + 10):
        world.jobs.tell(job.id, f"line {at}")
    messages = [event.message for event in world.jobs.get(job.id).events]
    assert len(messages) == MOST_EVENTS
    assert (messages[0], messages[1], messages[-1]) == (
        "the job waits for its turn",
        "line 0",
        f"line {MOST_EVENTS + 9}",
    )


def test_files_are_kept_until_they_are_deleted(world) -> None:
    blobs = MemoryBlobs()
    files = StoredFiles(world.documents, blobs, world.clock, world.new_id)
    file = files.put("a.jsonl", b"x" * 3, purpose="fine-tune")
    assert (file.size_bytes, files.content(file.id), list(file.refs())) == (3, b"xxx", [file.blob])
    assert files.all() == [file]
    files.delete(file.id)
    for call in (files.get, files.content, files.delete):
        with pytest.raises(NotFoundError, match="file that was uploaded"):
            call(file.id)


def test_what_a_worker_says_of_a_job_that_another_has_changes_nothing(world) -> None:
    job = world.job()
    world.jobs.take("a")
    assert world.jobs.take_over(job.id, "b").worker == "b"
    assert not world.jobs.beat(job.id, "a")
    assert world.jobs.end(job.id, "failed", by="a", error="it ended with -15").status == "running"
    world.jobs.give_back(job.id, "a")
    assert world.jobs.get(job.id).worker == "b"
    assert world.jobs.end(job.id, "succeeded", by="b").status == "succeeded"
    assert world.jobs.take_over(job.id, "c").worker == "b"


def test_a_worker_that_was_stopped_uses_no_attempt_up(world) -> None:
    job = world.job()
    for _ in range(MOST_ATTEMPTS + 2):
        assert world.jobs.take("a").attempts == 1
        world.jobs.give_back(job.id, "a")
        assert world.jobs.get(job.id).status == "queued"
    assert world.jobs.create(worker="here", model="m", training=BlobRef("b")).worker == "here"
    assert world.jobs.take("a").id == job.id
    assert world.jobs.take("b") is None
