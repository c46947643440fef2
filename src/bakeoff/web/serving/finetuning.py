"""OpenAI's fine-tuning jobs, done here: a candidate of family `lora`, judged against the champion.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/fine-tuning.
"""

from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bakeoff.core.errors import ConfigError, NotFoundError
from bakeoff.loop.fine_tune_jobs import FineTuneJob, Tuning
from bakeoff.project.fine_tuning import ProjectFineTuning
from bakeoff.web.auth import principal_of, require_everything
from bakeoff.web.openapi import takes
from bakeoff.web.permissions import permission
from bakeoff.web.problems import HttpError, JsonResponse
from bakeoff.web.serving.bodies import decoded, refused
from bakeoff.web.serving.context import Serving
from bakeoff.web.serving.pages import page

__all__ = ["FineTuningRoutes", "JobRequest"]

EXAMPLE = '{"model": …, "training_file": …}'
LIMIT, CHECKPOINTS = 20, 10
MOST_EPOCHS, MOST_BATCH, MOST_FACTOR, MOST_BETA = 1000, 1024, 1000, 100
LONGEST_SUFFIX = 64


class _Hyperparameters(msgspec.Struct, forbid_unknown_fields=True):
    n_epochs: int | float | str | None = None
    batch_size: int | str | None = None
    learning_rate_multiplier: int | float | str | None = None
    beta: int | float | str | None = None


class _Options(msgspec.Struct, forbid_unknown_fields=True):
    hyperparameters: _Hyperparameters | None = None


class _Method(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["supervised", "dpo"]
    supervised: _Options | None = None
    dpo: _Options | None = None
    reinforcement: Any = None


class JobRequest(msgspec.Struct):
    """The body of a new job. Each key may be null; `metadata` and `suffix` are kept and change nothing."""

    model: str
    training_file: str
    validation_file: str | None = None
    hyperparameters: _Hyperparameters | None = None
    method: _Method | None = None
    seed: int | None = None
    suffix: str | None = None
    metadata: dict[str, str] | None = None
    integrations: list[Any] | None = None

    def tuning(self) -> Tuning:
        """How to train.

        Raises:
            HttpError: values out of their ranges.
        """
        kind = "supervised" if self.method is None else self.method.type
        given = self._hyperparameters(kind)
        if self.integrations:
            raise refused("integrations", "it to be left out: nothing is sent elsewhere", self.integrations)
        if self.seed is not None and not 0 <= self.seed < 2**31:
            raise refused("seed", "0 to 2147483647", self.seed)
        if len(self.suffix or "") > LONGEST_SUFFIX:
            raise refused("suffix", f"at most {LONGEST_SUFFIX} letters", self.suffix)
        batch = _number("batch_size", given.batch_size, MOST_BATCH)
        beta = _number("beta", given.beta, MOST_BETA)
        if beta is not None and kind != "dpo":
            raise refused("hyperparameters.beta", "the method dpo beside it", given.beta)
        return Tuning(
            method=kind,
            seed=self.seed,
            epochs=_number("n_epochs", given.n_epochs, MOST_EPOCHS),
            batch=None if batch is None else int(batch),
            learning_rate_multiplier=_number("learning_rate_multiplier", given.learning_rate_multiplier, MOST_FACTOR),
            beta=beta,
        )

    def _hyperparameters(self, kind: str) -> _Hyperparameters:
        """Those of the method, or those that stand beside it, as older clients send them.

        Raises:
            HttpError: they stand at both places, or belong to another method.
        """
        method = self.method or _Method(type="supervised")
        for other in ("supervised", "dpo", "reinforcement"):
            if other != kind and getattr(method, other) is not None:
                expected = f"it to be left out: the method is {kind}"
                raise refused(f"method.{other}", expected, msgspec.to_builtins(getattr(method, other)))
        options: _Options | None = getattr(method, kind)
        of_method = None if options is None else options.hyperparameters
        if of_method is not None and self.hyperparameters is not None:
            expected = "it to be left out: those of the method stand beside it"
            raise refused("hyperparameters", expected, msgspec.to_builtins(self.hyperparameters))
        return of_method or self.hyperparameters or _Hyperparameters()


def _number(name: str, value: float | str | None, most: float) -> float | None:
    """A hyperparameter above 0; None for "auto"."""
    if value is None or value == "auto":
        return None
    if isinstance(value, str) or not 0 < value <= most:
        raise refused(f"hyperparameters.{name}", f'"auto", or a number above 0 and up to {most}', value)
    return value


class FineTuningRoutes:
    """Handlers of the paths under `/v1/fine_tuning`.

    Jobs belong to the project, as files do: for who does not reach every model, there are none.
    """

    def __init__(self, serving: Serving, fine_tuning: ProjectFineTuning) -> None:
        self._serving, self._tuning = serving, fine_tuning

    @property
    def routes(self) -> list[Route]:
        """What is served."""
        jobs = "/v1/fine_tuning/jobs"
        return [
            Route(jobs, self.create, methods=["POST"]),
            Route(jobs, self.jobs),
            Route(f"{jobs}/{{job}}", self.job),
            Route(f"{jobs}/{{job}}/cancel", self.cancel, methods=["POST"]),
            Route(f"{jobs}/{{job}}/events", self.events),
            Route(f"{jobs}/{{job}}/checkpoints", self.checkpoints),
        ]

    @permission("run")
    @takes(JobRequest)
    async def create(self, request: Request) -> Response:
        """Have a model fine-tuned on a file that was uploaded."""
        require_everything(principal_of(request), "model")
        asked = decoded(await request.body(), JobRequest, EXAMPLE)
        tuning = asked.tuning()

        def create() -> FineTuneJob:
            given = {"metadata": asked.metadata}
            return self._tuning.create(
                asked.model,
                asked.training_file,
                validation_file=asked.validation_file,
                tuning=tuning,
                suffix=asked.suffix,
                given=given,
            )

        try:
            job = await self._serving.in_thread(create)
        except NotFoundError as error:
            of_other = asked.validation_file is not None and repr(asked.validation_file[:80]) in str(error)
            param = "validation_file" if of_other else "training_file"
            raise HttpError(400, "BadRequest", str(error), param, "file_not_found") from None
        except ConfigError as error:
            raise HttpError(400, "BadRequest", str(error), "hyperparameters", "invalid_value") from None
        return JsonResponse(self._card(job))

    @permission("read")
    async def jobs(self, request: Request) -> Response:
        """The jobs, the newest first."""
        knows = principal_of(request).everything("model")
        jobs = await self._serving.in_thread(self._tuning.jobs.all) if knows else []
        wanted = _metadata(request)
        cards = [self._card(job) for job in jobs]
        cards = [card for card in cards if wanted.items() <= (card["metadata"] or {}).items()]
        return JsonResponse(page(request, cards, limit=LIMIT))

    @permission("read")
    async def job(self, request: Request) -> Response:
        """How a job stands."""
        return JsonResponse(self._card(await self._of(request)))

    @permission("run")
    async def cancel(self, request: Request) -> Response:
        """End a job that waits or runs."""
        job = await self._of(request)
        return JsonResponse(self._card(await self._serving.in_thread(lambda: self._tuning.jobs.cancel(job.id))))

    @permission("read")
    async def events(self, request: Request) -> Response:
        """What happened to a job, the newest first."""
        job = await self._of(request)
        listed = [
            {
                "id": event.id,
                "object": "fine_tuning.job.event",
                "created_at": event.time_ms // 1000,
                "level": event.level,
                "message": event.message,
                "type": "message",
                "data": None,
            }
            for event in reversed(job.events)
        ]
        return JsonResponse(page(request, listed, limit=LIMIT))

    @permission("read")
    async def checkpoints(self, request: Request) -> Response:
        """The weights that were kept: those of the least loss on validation rows."""
        job = await self._of(request)
        listed = [
            {
                "id": f"ftckpt-{job.id.removeprefix('ftjob-')}-{each.step}",
                "object": "fine_tuning.job.checkpoint",
                "created_at": (job.finished_ms or job.created_ms) // 1000,
                "fine_tuned_model_checkpoint": each.model_version,
                "fine_tuning_job_id": job.id,
                "metrics": {"step": each.step, "full_valid_loss": each.validation_loss},
                "step_number": each.step,
            }
            for each in job.checkpoints
        ]
        return JsonResponse(page(request, listed, limit=CHECKPOINTS))

    def _card(self, job: FineTuneJob) -> dict[str, Any]:
        return _card(job, self._tuning.seed)

    async def _of(self, request: Request) -> FineTuneJob:
        job_id = request.path_params["job"]
        try:
            if not principal_of(request).everything("model"):
                raise self._tuning.jobs.unknown(job_id)
            return await self._serving.in_thread(lambda: self._tuning.jobs.get(job_id))
        except NotFoundError as error:
            raise HttpError(404, "NotFoundError", str(error), "fine_tuning_job_id", "fine_tune_not_found") from None


def _metadata(request: Request) -> dict[str, str]:
    """What jobs are to be labelled with, as `metadata[key]=value` in the query."""
    listed = request.query_params.multi_items()
    return {key[9:-1]: value for key, value in listed if key.startswith("metadata[") and key.endswith("]")}


def _card(job: FineTuneJob, default_seed: int) -> dict[str, Any]:
    """A job as the API has it, of a project with this seed; `judged` says more of its model than that API does."""
    tuning, over = job.tuning, job.finished_ms
    hyperparameters = {
        "n_epochs": "auto" if tuning.epochs is None else tuning.epochs,
        "batch_size": "auto" if tuning.batch is None else tuning.batch,
        "learning_rate_multiplier": _or_auto(tuning.learning_rate_multiplier),
    }
    options = hyperparameters | ({"beta": _or_auto(tuning.beta)} if tuning.method == "dpo" else {})
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": job.created_ms // 1000,
        "finished_at": None if over is None else over // 1000,
        "estimated_finish": None,
        "status": job.status,
        "error": None if job.error is None else {"code": "job_failed", "message": job.error, "param": None},
        "model": job.model,
        "fine_tuned_model": job.model_version,
        "training_file": job.file_ids[0],
        "validation_file": job.file_ids[1],
        "hyperparameters": hyperparameters,
        "method": {"type": tuning.method, tuning.method: {"hyperparameters": options}},
        "seed": default_seed if tuning.seed is None else tuning.seed,
        "suffix": job.suffix,
        "metadata": job.given.get("metadata"),
        "organization_id": "",
        "result_files": [],
        "integrations": [],
        "trained_tokens": None,
        "judged": None if job.verdict is None else {"verdict": job.verdict, "takes_over": job.takes_over},
    }


def _or_auto(value: float | None) -> float | str:
    return "auto" if value is None else value
