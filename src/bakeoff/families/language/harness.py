# pyright: basic, reportMissingImports=false
# lm_eval comes without complete types, and only with the extra `harness`
"""Tasks of the LM Evaluation Harness, run on the trained weights of a candidate.

Source: L. Gao et al., "A Framework for Few-Shot Language Model Evaluation" (EleutherAI, lm-evaluation-harness), whose
tasks, prompts and metrics these are.
"""

import contextlib
import difflib
import importlib.util
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bakeoff.core.errors import CandidateError, DataError, MissingExtraError, NotFoundError, UsageError
from bakeoff.core.protocols import Model, Progress
from bakeoff.families.language.backbone import Backbone
from bakeoff.families.language.finetuned import TunedModel
from bakeoff.families.language.generator import SpokenModel
from bakeoff.families.language.harness_model import harness_model
from bakeoff.families.language.prompted import PromptedModel
from bakeoff.families.wrappers.calibrated import CalibratedModel
from bakeoff.families.wrappers.prepared import PreparedModel

__all__ = ["HarnessMetric", "HarnessResult", "HarnessTask", "HarnessTasks", "harness", "need_harness"]

NEAR = 5
BOOTSTRAPS = 1000
"""Resamples for the standard errors of metrics that are no means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessTasks:
    """What to run: names of tasks or groups, and a folder with tasks (YAML) beside those that the harness knows.

    `limit`: documents of each task. `shots`: examples before each, instead of as many as the task says. `chat`: ask
    through the chat template. `batch`: what the model reads at once.
    """

    tasks: tuple[str, ...]
    include: Path | None = None
    limit: int | None = None
    shots: int | None = None
    chat: bool = False
    batch: int = 8
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessMetric:
    """A metric of a task, by one `filter` of the answers; `value` and `stderr` are None where none can be told."""

    name: str
    filter: str
    value: float | None
    stderr: float | None
    higher_is_better: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessTask:
    """What a task or group came to, on `rows` documents with `shots` examples before each."""

    name: str
    version: str | None
    shots: int | None
    rows: int | None
    metrics: tuple[HarnessMetric, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessResult:
    """What all tasks came to, by which version of the `harness`, and how they were run."""

    harness: str
    precision: str
    chat: bool
    limit: int | None
    seed: int
    tasks: tuple[HarnessTask, ...]


def need_harness() -> None:
    """See that the extra `harness` is installed.

    Raises:
        MissingExtraError: it is not; with the install command.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise MissingExtraError.of("the LM Evaluation Harness", "harness", "lm_eval")


def harness(model: Model, selection: HarnessTasks, *, progress: Progress) -> HarnessResult:
    """Run tasks on a model.

    Raises:
        CandidateError: the model is no decoder, or cannot be asked so. NotFoundError, DataError: a task or its data
            cannot be had. UsageError: a task would run code that the model writes. MissingExtraError: see above.
    """
    need_harness()
    loaded = _decoder(model)
    if loaded is None:
        raise CandidateError(
            "expected the weights of a language model (families prompted, lora and full on a decoder), "
            f"received {type(model).__name__!r}"
        )
    if selection.chat and not loaded.tokenizer.chat_template:
        raise CandidateError(
            "expected a model with a chat template, found none in its tokenizer; ask it without --chat"
        )
    # What it prints would break a JSON document on stdout; its warnings tell users nothing that they can mend.
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _run(loaded, selection, progress)


def _decoder(model: Model) -> Backbone | None:
    """The decoder within a model; None when there is none."""
    if isinstance(model, PreparedModel):
        return _decoder(model.model)
    if isinstance(model, CalibratedModel):
        return _decoder(model.models[0])
    if not isinstance(model, SpokenModel | PromptedModel | TunedModel) or model.backbone.kind != "decoder":
        return None
    return model.backbone


def _run(loaded: Backbone, selection: HarnessTasks, progress: Progress) -> HarnessResult:
    from lm_eval import simple_evaluate

    progress("looking for tasks")
    manager = _manager(selection)
    _known(selection.tasks, manager.all_tasks)
    try:
        loaded_tasks = manager.load(list(selection.tasks))
    except Exception as error:  # readers of tasks and of their data raise errors of many classes
        raise DataError(
            f"expected tasks {', '.join(selection.tasks)} with their data, found: {type(error).__name__}: {error}; "
            "data comes from the Hugging Face hub, or from files that a task of your own names (--include-path; "
            "dataset_path: json with data_files in dataset_kwargs)"
        ) from error
    unsafe = [name for name, task in loaded_tasks["tasks"].items() if getattr(task, "UNSAFE_CODE", False)]
    if unsafe:
        raise UsageError(f"expected tasks that run no code that a model writes, received {', '.join(unsafe)}")
    results: Any = simple_evaluate(
        model=harness_model(loaded, batch=selection.batch, progress=progress),
        tasks=list(selection.tasks),
        num_fewshot=selection.shots,
        limit=selection.limit,
        bootstrap_iters=BOOTSTRAPS,
        log_samples=False,
        apply_chat_template=selection.chat,
        task_manager=manager,
        random_seed=selection.seed,
        numpy_random_seed=selection.seed,
        torch_random_seed=selection.seed,
        fewshot_random_seed=selection.seed,
    )
    return HarnessResult(
        harness=version("lm_eval"),
        precision=loaded.precision,
        chat=selection.chat,
        limit=selection.limit,
        seed=selection.seed,
        tasks=tuple(_task(name, cells, results) for name, cells in results["results"].items()),
    )


def _manager(selection: HarnessTasks) -> Any:
    """What finds tasks; all that the harness knows are looked through only for those that the own folder lacks."""
    from lm_eval.tasks import TaskManager

    class LoadedOnce(TaskManager):
        """Tasks that the harness, asking for them again, does not load a second time with their data."""

        found: Any = None

        def load(self, task_list: Any) -> Any:
            self.found = self.found or super().load(task_list)
            return self.found

    if selection.include is None:
        return LoadedOnce()
    if not selection.include.is_dir():
        raise NotFoundError(f"expected a folder with tasks, received {str(selection.include)!r}")
    own = LoadedOnce(include_path=str(selection.include), include_defaults=False)
    return own if set(selection.tasks) <= set(own.all_subtasks) else LoadedOnce(include_path=str(selection.include))


def _known(names: Sequence[str], known: Sequence[str]) -> None:
    """See that all tasks are known.

    Raises:
        NotFoundError: some are not; all are named, with what is like them.
    """
    lines: list[str] = []
    for name in names:
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known, n=NEAR))
            lines.append(f"{name!r} (near it: {near})" if near else f"{name!r} (nothing is near it)")
    if lines:
        raise NotFoundError(
            f"expected tasks of the LM Evaluation Harness ({len(known):,} are known), received {'; '.join(lines)}; "
            "--include-path adds a folder of your own"
        )


def _task(name: str, cells: Mapping[str, Any], results: Mapping[str, Any]) -> HarnessTask:
    """A task or group: every metric (of every filter of the answers) with its standard error, if there is one."""
    better = results.get("higher_is_better", {}).get(name) or {}
    metrics: list[HarnessMetric] = []
    for key, value in cells.items():
        metric, _, filter_name = key.partition(",")
        if not filter_name or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        metrics.append(
            HarnessMetric(
                name=metric,
                filter=filter_name,
                value=_finite(value),
                stderr=_finite(cells.get(f"{metric}_stderr,{filter_name}")),
                higher_is_better=better.get(metric),
            )
        )
    shots, rows = results.get("n-shot", {}).get(name), results.get("n-samples", {}).get(name) or {}
    versions = results.get("versions", {}).get(name)
    return HarnessTask(
        name=name,
        version=None if versions is None else str(versions),
        shots=shots,
        rows=rows.get("effective", cells.get("sample_len")),
        metrics=tuple(metrics),
    )


def _finite(value: object) -> float | None:
    """A number that JSON can hold; the harness writes "N/A" and NaN for what it cannot say."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
