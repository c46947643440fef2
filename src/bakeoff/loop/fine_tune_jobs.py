"""Jobs that fine-tune a language model on a file that a caller uploaded: what they are, and how they stand.

A job is one document, which moves by compare-and-swap. Who works at it beats: a job whose beat has stopped is taken up
by the next worker, and its training goes on from its checkpoint. One that ended its worker too often has failed.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import msgspec

from bakeoff.core.errors import ConflictError, NotFoundError, UsageError
from bakeoff.core.protocols import Clock, DocumentRecords
from bakeoff.core.queries import Query, attribute, every
from bakeoff.core.records import DocumentChange
from bakeoff.core.refs import BlobRef

__all__ = ["FineTuneEvent", "FineTuneJob", "FineTuneJobs", "JobStatus", "Method", "TunedCheckpoint", "Tuning"]

COLLECTION = "fine_tuning"
JobStatus: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Method: TypeAlias = Literal["supervised", "dpo"]
OPEN = attribute("status", "in", ("queued", "running"))
SILENT_MS = 15_000
"""A worker that has not beaten for so long is gone."""
MOST_ATTEMPTS = 3
MOST_EVENTS = 500
TRIES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How to train; what is None is as the candidate of the base model has it. `beta` is for the method "dpo"."""

    method: Method = "supervised"
    seed: int | None = None
    epochs: float | None = None
    batch: int | None = None
    learning_rate_multiplier: float | None = None
    beta: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneEvent:
    """Something that happened to a job."""

    id: str
    time_ms: int
    message: str
    level: Literal["info", "warn", "error"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedCheckpoint:
    """The weights that were kept: at which step, and their loss on validation rows if there were any."""

    step: int
    validation_loss: float | None
    model_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneJob:
    """A job. `training` and `validation` are blobs; `file_ids` and `given` are what the caller named and asked for.

    `verdict` says how the model stands against the champion; `takes_over` whether it would take its place.
    """

    id: str
    model: str
    training: BlobRef
    created_ms: int
    tuning: Tuning = Tuning()
    validation: BlobRef | None = None
    suffix: str | None = None
    file_ids: tuple[str, str | None] = ("", None)
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    status: JobStatus = "queued"
    attempts: int = 0
    worker: str | None = None
    beat_ms: int = 0
    finished_ms: int | None = None
    model_version: str | None = None
    verdict: str | None = None
    takes_over: bool | None = None
    error: str | None = None
    checkpoints: tuple[TunedCheckpoint, ...] = ()
    events: tuple[FineTuneEvent, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status in {"succeeded", "failed", "cancelled"}

    def refs(self) -> Iterator[BlobRef]:
        """What it needs of the blobs."""
        yield self.training
        if self.validation is not None:
            yield self.validation


class FineTuneJobs:
    """The jobs of a project.

    Args:
        documents: where they stand.
        clock: milliseconds since the epoch.
        new_id: makes ids.
    """

    def __init__(self, documents: DocumentRecords, clock: Clock, new_id: Callable[[], str]) -> None:
        self._documents, self._clock, self._new_id = documents, clock, new_id

    def create(self, *, worker: str | None = None, **about: Any) -> FineTuneJob:
        """A new job that waits for a worker, or that one has already; `about` are fields of `FineTuneJob`."""
        job = FineTuneJob(id=f"ftjob-{self._new_id()}", created_ms=self._clock(), **about)
        job = self._told(job, "the job waits for its turn") if worker is None else self._with(job, worker)
        self._put(job, expected=0)
        return job

    def all(self) -> list[FineTuneJob]:
        """Every job, the newest first."""
        return sorted(self.known(self._documents), key=lambda job: (-job.created_ms, job.id))

    @staticmethod
    def known(documents: DocumentRecords) -> list[FineTuneJob]:
        """Every job that stands in records."""
        return [msgspec.convert(each.body, FineTuneJob) for each in documents.find(COLLECTION)]

    def get(self, job_id: str) -> FineTuneJob:
        """The job of an id.

        Raises:
            NotFoundError: there is none.
        """
        return self._read(job_id)[0]

    @staticmethod
    def unknown(job_id: str) -> NotFoundError:
        """What is said of an id that no job has."""
        return NotFoundError(f"expected the id of a fine-tuning job, received {job_id[:80]!r}")

    def take(self, worker: str) -> FineTuneJob | None:
        """The oldest job that nobody works at, for this worker now; None when there is none."""
        for each in self._open():
            silent = each.status == "running" and self._clock() - each.beat_ms > SILENT_MS
            if each.status != "queued" and not silent:
                continue
            if each.attempts >= MOST_ATTEMPTS:
                why = f"its worker ended {each.attempts} times before it was done; the server's log may say why"
                self.end(each.id, "failed", error=why)
                continue
            job = self.change(each.id, lambda job: self._taken(job, worker))
            if job.worker == worker:
                return job
        return None

    def _open(self) -> list[FineTuneJob]:
        """The jobs that are not over, the oldest first; the others are not even read."""
        documents = every(lambda query: self._documents.search(COLLECTION, query), Query(where=OPEN))
        jobs = [msgspec.convert(document.body, FineTuneJob) for document in documents]
        return sorted(jobs, key=lambda job: (-job.created_ms, job.id), reverse=True)

    def _put(self, job: FineTuneJob, *, expected: int) -> None:
        body, fields = msgspec.to_builtins(job), {OPEN.field: job.status}
        change = DocumentChange(collection=COLLECTION, key=job.id, body=body, fields=fields, expected=expected)
        self._documents.apply([change])

    def _taken(self, job: FineTuneJob, worker: str) -> FineTuneJob:
        if job.ended or (job.status == "running" and self._clock() - job.beat_ms <= SILENT_MS):
            return job
        return self._with(job, worker)

    def take_over(self, job_id: str, worker: str) -> FineTuneJob:
        """A job for this worker now, whoever has it; that one stops. One that is over stays what it is.

        Raises:
            NotFoundError: there is none.
        """
        return self.change(job_id, lambda job: job if job.ended else self._with(job, worker))

    def give_back(self, job_id: str, worker: str) -> None:
        """The worker stops, though nothing is wrong with the job: it waits again, and no attempt counts."""

        def waiting(job: FineTuneJob) -> FineTuneJob:
            if job.ended or job.worker != worker:
                return job
            queued = replace(job, status="queued", worker=None, attempts=job.attempts - 1)
            return self._told(queued, "the job waits for its turn again: its worker was stopped")

        self.change(job_id, waiting)

    def _with(self, job: FineTuneJob, worker: str) -> FineTuneJob:
        words = "the job begins" if not job.attempts else "the job goes on: its worker had ended"
        taken = replace(job, status="running", worker=worker, attempts=job.attempts + 1, beat_ms=self._clock())
        return self._told(taken, words)

    def beat(self, job_id: str, worker: str) -> bool:
        """Say that the worker still works at it; whether it should go on."""
        job = self.change(job_id, lambda job: replace(job, beat_ms=self._clock()) if job.worker == worker else job)
        return job.worker == worker and not job.ended

    def tell(self, job_id: str, message: str, *, level: Literal["info", "warn", "error"] = "info") -> None:
        """Add an event; of very many the first and the last stay."""
        self.change(job_id, lambda job: self._told(job, message, level))

    def end(
        self, job_id: str, status: Literal["succeeded", "failed", "cancelled"], *, by: str | None = None, **about: Any
    ) -> FineTuneJob:
        """The job is over; `about` are further fields. One that is over already stays what it is.

        Args:
            job_id: the job.
            status: how it ended.
            by: the worker that says so; what it says of a job that another one has by now changes nothing.
            about: further fields.
        """

        def ended(job: FineTuneJob) -> FineTuneJob:
            if job.ended or (by is not None and job.worker != by):
                return job
            over = replace(job, status=status, finished_ms=self._clock(), **about)
            return self._told(over, over.error or f"the job {status}", "error" if over.error else "info")

        return self.change(job_id, ended)

    def cancel(self, job_id: str) -> FineTuneJob:
        """End a job that is not over; whoever works at it stops.

        Raises:
            UsageError: it is over. NotFoundError: there is none.
        """
        if (job := self.get(job_id)).ended:
            raise UsageError(f"expected a job that waits or runs, received {job_id!r}, which {job.status}")
        return self.end(job_id, "cancelled")

    def change(self, job_id: str, change: Callable[[FineTuneJob], FineTuneJob]) -> FineTuneJob:
        """Move a job by compare-and-swap: what it is now.

        Raises:
            NotFoundError: there is none. ConflictError: others changed it at every try.
        """
        for attempt in range(TRIES):
            job, revision = self._read(job_id)
            changed = change(job)
            if changed == job:
                return job
            try:
                self._put(changed, expected=revision)
            except ConflictError:
                time.sleep(0.001 * attempt)
            else:
                return changed
        raise ConflictError(f"expected to change job {job_id!r}, but others did so {TRIES} times meanwhile; try again")

    def _read(self, job_id: str) -> tuple[FineTuneJob, int]:
        document = self._documents.get(COLLECTION, job_id)
        if document is None:
            raise self.unknown(job_id)
        return msgspec.convert(document.body, FineTuneJob), document.revision

    def _told(self, job: FineTuneJob, message: str, level: Literal["info", "warn", "error"] = "info") -> FineTuneJob:
        event = FineTuneEvent(id=f"ftevent-{self._new_id()}", time_ms=self._clock(), message=message, level=level)
        first, last = job.events[: MOST_EVENTS // 2], job.events[MOST_EVENTS // 2 :]
        return replace(job, events=(*first, *(*last, event)[-MOST_EVENTS // 2 :]))
