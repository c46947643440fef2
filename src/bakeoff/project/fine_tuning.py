"""The project's fine-tuning: files, jobs on them, and the processes that work at the jobs."""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from bakeoff.config.sections import CandidateConfig
from bakeoff.core.children import Child
from bakeoff.core.errors import BakeoffError, ConflictError, StoreError, UsageError
from bakeoff.core.families import load_family
from bakeoff.core.protocols import Clock
from bakeoff.core.threads import repeatedly
from bakeoff.core.types import Json
from bakeoff.loop.fine_tune_jobs import FineTuneJob, FineTuneJobs, Tuning
from bakeoff.loop.stored_files import StoredFiles
from bakeoff.project import wiring
from bakeoff.train.params import check_params

if TYPE_CHECKING:
    from bakeoff.loop.context import Stage
    from bakeoff.project.project import Project

__all__ = ["ProjectFineTuning"]

FAMILY = "lora"
CANDIDATE = "fine-tuned"
BETA = 0.1
"""How strongly pairs are learned unless a job says otherwise. Source: Rafailov et al. (2023), section 6."""
LOOK_S = 1.0
BEAT_S = 3.0
END_S = 5.0
LONGEST_ERROR = 500
MOST_LINES = 20

logger = logging.getLogger(__name__)


class ProjectFineTuning:
    """Language models fine-tuned on files that callers upload, as `project.fine_tuning`.

    A base model is a candidate of family `lora` of the project, or the model that one names. The result is a registered
    version, judged against the champion on the project's test rows; `project.endpoints.release` takes it.
    """

    def __init__(self, project: "Project", clock: Clock, stage: "Callable[[], AbstractContextManager[Stage]]") -> None:
        self._project, self._stage = project, stage
        documents = project.records.documents
        self.files = StoredFiles(documents, project.blobs, clock, wiring.new_id)
        """The files that were uploaded."""
        self.jobs = FineTuneJobs(documents, clock, wiring.new_id)
        """The jobs, and how they stand."""

    def __repr__(self) -> str:
        return f"ProjectFineTuning({len(self.jobs.all())} jobs, {len(self.files.all())} files)"

    @property
    def models(self) -> dict[str, str]:
        """What may be fine-tuned: the names of base models, each with the candidate that says how.

        Example:
            >>> project.fine_tuning.models
            {}
        """
        config = self._project.config
        lora = {name: each for name, each in config.candidates.items() if (each.family or name) == FAMILY}
        named = {str(each.params["model"]): name for name, each in reversed(lora.items()) if "model" in each.params}
        return {**{name: name for name in lora}, **{model: name for model, name in named.items() if model not in lora}}

    @property
    def seed(self) -> int:
        """What jobs start from that name no seed: the project's.

        Example:
            >>> project.fine_tuning.seed
            0
        """
        return self._project.config.project.seed

    def create(
        self,
        model: str,
        training_file: str,
        *,
        validation_file: str | None = None,
        tuning: Tuning | None = None,
        suffix: str | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> FineTuneJob:
        """A job on uploaded files, by their ids; what is wrong with it is said now. A server works at it.

        Raises:
            UsageError: such a model or such parameters cannot be tuned. DataError: a file has other lines.
            NotFoundError: there is no such file.

        Example:
            >>> project.fine_tuning.create("lora", "file-none")
            Traceback (most recent call last):
            ...
            bakeoff.core.errors.UsageError: expected a model to fine-tune, as a candidate of family 'lora' ...
        """
        return self._created(model, training_file, validation_file, tuning or Tuning(), suffix=suffix, given=given)

    def _created(
        self,
        model: str,
        training_file: str,
        validation_file: str | None,
        tuning: Tuning,
        *,
        suffix: str | None = None,
        given: Mapping[str, Any] | None = None,
        worker: str | None = None,
    ) -> FineTuneJob:
        from bakeoff.loop.training_files import examples_of

        self._require(model, tuning)
        training = self.files.get(training_file)
        validation = None if validation_file is None else self.files.get(validation_file)
        blobs = self._project.blobs
        examples_of(blobs.get(training.blob), tuning.method, name=training.name)
        if validation is not None:
            examples_of(blobs.get(validation.blob), tuning.method, name=validation.name, least=1)
        return self.jobs.create(
            model=model,
            training=training.blob,
            validation=None if validation is None else validation.blob,
            file_ids=(training_file, validation_file),
            tuning=tuning,
            suffix=suffix,
            given=dict(given or {}),
            worker=worker,
        )

    def _require(self, model: str, tuning: Tuning) -> None:
        config, models = self._project.config, self.models
        if model not in models:
            names = " or ".join(map(repr, models)) or "none yet: [candidates.lora] makes one"
            raise UsageError(
                f"expected a model to fine-tune, as a candidate of family {FAMILY!r} names it ({names}); "
                f"received {model[:80]!r}"
            )
        if tuning.method == "dpo" and config.project.task != "generation":
            raise UsageError(f"expected the method supervised in a project for {config.project.task}, received dpo")
        self._params(model, tuning)

    def _params(self, model: str, tuning: Tuning) -> dict[str, Json]:
        """The candidate's parameters with those of the job.

        Raises:
            ConfigError: they are out of their ranges.
        """
        task, family = self._project.config.project.task, load_family(FAMILY)
        given = self._project.config.candidates[self.models[model]].params
        beta = (tuning.beta or BETA) if tuning.method == "dpo" else 0.0
        changed: dict[str, Json | None] = {"epochs": tuning.epochs, "batch": tuning.batch}
        changed |= {"preference_beta": beta} if task == "generation" else {}
        if tuning.learning_rate_multiplier is not None:
            rate = check_params(family, given, file="bakeoff.toml", key=f"candidates.{model}").learning_rate
            changed["learning_rate"] = rate * tuning.learning_rate_multiplier
        params = {**given, **{name: value for name, value in changed.items() if value is not None}}
        check_params(family, params, file="the job", key="hyperparameters")
        return params

    def train(
        self,
        training: Path,
        *,
        validation: Path | None = None,
        model: str | None = None,
        tuning: Tuning | None = None,
    ) -> FineTuneJob:
        """Fine-tune on a file here and now: the job as it ended.

        Args:
            training: conversations, a JSON object in each line.
            validation: others to stop by; the project's validation rows without any.
            model: what to tune; the project's first candidate of family `lora` unless named.
            tuning: how.

        Raises:
            UsageError, DataError, NotFoundError: as for `create`. StoreError: a file cannot be read.

        Example:
            >>> project.fine_tuning.train(Path("chats.jsonl"), model="lora")
            Traceback (most recent call last):
            ...
            bakeoff.core.errors.StoreError: cannot read 'chats.jsonl': No such file or directory
        """
        ids = [None if path is None else self._uploaded(path) for path in (training, validation)]
        assert ids[0] is not None, "there is a training file"
        worker = wiring.new_id()  # a server beside takes no job that has one
        job = self._created(model or next(iter(self.models), ""), ids[0], ids[1], tuning or Tuning(), worker=worker)
        with self._beating(job.id, worker):
            return self._work(job, worker)

    def _uploaded(self, path: Path) -> str:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
        return self.files.put(path.name, content, purpose="fine-tune").id

    def work(self, job_id: str, *, worker: str | None = None) -> FineTuneJob:
        """Do a job here and now; it ends as succeeded or failed. Whoever else works at it stops.

        Args:
            job_id: the job.
            worker: the name under which another process has taken it and beats for this one; none for a job of its own.

        Raises:
            ConflictError: another worker took the job meanwhile, and goes on with it.

        Example:
            >>> project.fine_tuning.work("ftjob-none")
            Traceback (most recent call last):
            ...
            bakeoff.core.errors.NotFoundError: expected the id of a fine-tuning job, received 'ftjob-none'
        """
        if worker is not None:
            return self._work(self.jobs.get(job_id), worker)
        worker = wiring.new_id()
        job = self.jobs.take_over(job_id, worker)
        with self._beating(job_id, worker):
            return self._work(job, worker)

    def _work(self, job: FineTuneJob, worker: str) -> FineTuneJob:
        try:
            about = self._worked(job, worker)
        except BakeoffError as error:
            ended = self.jobs.end(job.id, "failed", by=worker, error=str(error)[:LONGEST_ERROR])
        except Exception as error:
            why = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
            self.jobs.end(job.id, "failed", by=worker, error=why)
            raise
        else:
            ended = self.jobs.end(job.id, "succeeded", by=worker, **about)
        if not ended.ended:
            raise ConflictError(f"job {job.id!r} was taken by another worker meanwhile, which goes on with it")
        return ended

    @contextmanager
    def _beating(self, job_id: str, worker: str) -> Generator[None]:
        """Say meanwhile that a worker of this process works at a job."""
        with repeatedly(
            lambda _: self.jobs.beat(job_id, worker),
            every_s=BEAT_S,
            name="fine-tuning-beat",
            logger=logger,
            complaint=f"job {job_id}: not said that it is worked at",
        ):
            yield

    def _worked(self, job: FineTuneJob, worker: str) -> dict[str, Any]:
        from bakeoff.loop.fine_tune import fine_tune
        from bakeoff.loop.training_files import examples_of

        blobs, method = self._project.blobs, job.tuning.method
        training = examples_of(blobs.get(job.training), method, name="training_file")
        content = None if job.validation is None else blobs.get(job.validation)
        validation = [] if content is None else examples_of(content, method, name="validation_file", least=1)
        with self._staged(job, worker) as stage:
            tuned = fine_tune(stage, training, validation, plan=job.id)
        self.jobs.tell(job.id, tuned.verdict)
        where = f"bakeoff endpoints release {tuned.model_version}"
        self.jobs.tell(job.id, f"{tuned.model_version} is registered; it answers after '{where}'")
        return {
            "model_version": tuned.model_version,
            "verdict": tuned.verdict,
            "takes_over": tuned.takes_over,
            "checkpoints": (tuned.checkpoint,),
        }

    @contextmanager
    def _staged(self, job: FineTuneJob, worker: str) -> "Generator[Stage]":
        """The project's stage with the job's candidate alone; waits while a run is on."""
        project, config = self._project, self._project.config
        candidate = CandidateConfig.model_validate({"family": FAMILY, **self._params(job.model, job.tuning)})
        parts: dict[str, BaseModel | dict[str, CandidateConfig]] = {
            "candidates": {CANDIDATE: candidate},
            "combine": config.combine.model_copy(update={"blends": False, "cascades": False}),
        }
        if job.tuning.seed is not None:
            parts["project"] = config.project.model_copy(update={"seed": job.tuning.seed})
        loaded = replace(project.loaded, config=config.model_copy(update=parts))
        contender = wiring.contender(loaded, CANDIDATE)

        def tell(line: str) -> None:
            self.jobs.tell(job.id, line)

        with ExitStack() as within:
            stage = self._entered(within, job, worker, tell)
            yield replace(stage, config=loaded.config, contenders=(contender,), progress=tell)

    def _entered(self, within: ExitStack, job: FineTuneJob, worker: str, tell: Callable[[str], None]) -> "Stage":
        """The project's stage, when no other run is on any more; it is left with the stack.

        Raises:
            ConflictError: the job was ended or taken by another worker meanwhile.
        """
        waits = False
        while True:
            stage = None
            with suppress(ConflictError):
                stage = within.enter_context(self._stage())
            now = self.jobs.get(job.id)  # also once the stage is free: another one may have ended the job in it
            if now.ended or now.worker != worker:
                raise ConflictError(f"job {job.id!r} was ended or taken by another worker meanwhile")
            if stage is not None:
                return stage
            if not waits:
                tell("the job waits: a run of this project is on")
            waits = True
            time.sleep(LOOK_S)

    @contextmanager
    def working(self, every_s: float = LOOK_S) -> Generator[None]:
        """Have a thread start a process for each job in turn; those of a server that was killed go on.

        Example:
            >>> with project.fine_tuning.working():
            ...     project.fine_tuning.jobs.all()
            []
        """
        worker = _Worker(self._project, self.jobs)
        complaint = "fine-tuning jobs were not looked at"
        with repeatedly(worker.turn, every_s=every_s, name="fine-tuning", logger=logger, complaint=complaint):
            yield


class _Worker:
    """Takes jobs one after another, each in a process that ends when this one does."""

    def __init__(self, project: "Project", jobs: FineTuneJobs) -> None:
        self._project, self._jobs = project, jobs
        self._name = wiring.new_id()

    def turn(self, stop: threading.Event) -> None:
        """Do the next job to its end, or until `stop` is set, if there is one."""
        job = self._jobs.take(self._name)
        if job is None:
            return
        command = [sys.executable, "-m", "bakeoff", "fine-tune", "--job", job.id, "--worker", self._name]
        lines: deque[str] = deque(maxlen=MOST_LINES)

        def note(line: str | None) -> None:
            if line is not None:
                lines.append(line.strip())

        child = Child(command, note, lines_of="stderr", folder=self._project.folder)
        self._watch(job, child, stop)
        child.end(END_S)
        if stop.is_set():
            self._jobs.give_back(job.id, self._name)
        elif child.code:
            why = f"its process ended with code {child.code}: {lines[-1] if lines else 'it said nothing'}"
            self._jobs.end(job.id, "failed", by=self._name, error=why[:LONGEST_ERROR])

    def _watch(self, job: FineTuneJob, child: Child, stop: threading.Event) -> None:
        """Beat while the process works; end it when the job is cancelled, another has it, or the server stops."""
        due = time.monotonic() + BEAT_S
        while child.is_alive:
            goes_on = not stop.wait(LOOK_S / 4)
            if goes_on and time.monotonic() >= due:
                goes_on, due = self._jobs.beat(job.id, self._name), time.monotonic() + BEAT_S
            if not goes_on:
                child.terminate(with_own=True)
                return
