"""What a pass through the loop works with: the project's settings, its stores and its contenders."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.config.file import FILE_NAME
from bakeoff.config.search import Search
from bakeoff.config.sections import Config
from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.jobs import METRICS, Compute
from bakeoff.core.protocols import BlobStore, Clock, EventLog, Progress, RecordStore
from bakeoff.core.refs import BlobRef
from bakeoff.core.types import Json, Schema
from bakeoff.metrics.positive import Positive

if TYPE_CHECKING:
    from bakeoff.chat.prompt_file import PromptFile
    from bakeoff.data.contract import Contract
    from bakeoff.data.schema import Precedent
    from bakeoff.feedback.truth import TruthOf
    from bakeoff.loop.shared_steps import SharedSteps

__all__ = ["COMBINERS", "Contender", "Nested", "Stage", "TimeLimit"]

COMBINERS = ("blend", "cascade", "router", "calibrated", "stacked")
"""The families that make one model of several, or of one; a project names the last alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A candidate ready to be fitted: its family (the name of its entry point) and its parameters.

    `requires` names the distributions, and `code` is the hash of the family's source, that a fit depends on. `search`
    is what a run with a budget tries for parameters that the project does not give. Behind fitted preparation steps,
    the family is "prepared", and `wraps` is the candidate as the project names it. `prompt` is the file that its
    prompt stands in, if it does. It `scales` when its fits use as many threads as they get, and come to the same with
    any number of them. It `learns` unless its family only asks: then more rows change nothing. `service` is the URL
    of what it asks about rows, if it asks a service. `modules` are those that its jobs
    import, `imports_for` gives those that they import beside them, of a schema and a number of classes (0: no classes).
    """

    name: str
    family_name: str
    requires: tuple[str, ...]
    params: Any
    code: str
    search: Mapping[str, Search] = field(default_factory=dict[str, Search])
    wraps: "Contender | None" = None
    prompt: "PromptFile | None" = None
    scales: bool = False
    learns: bool = True
    service: str | None = None
    modules: tuple[str, ...] = ()
    imports_for: Callable[[Schema, int], Sequence[str]] | None = None

    @property
    def shown(self) -> "Contender":
        """The candidate as people know it: its own family and parameters, without the steps before it."""
        return self.wraps or self


FIT_SHARE = 0.4
"""Of the time that is left, what the fits that wait may take; evaluation and the fits after them need some, too."""
LEAST_FIT_S = 2.0
LONGER = 1.5
"""A fit that was cut short is made again in a run that may take so many times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimit:
    """How long a run may take: `budget_s`, until `ends_at` by the monotonic clock; `wanted_s` if that was asked for.

    A budget that was asked for is used up (by a search); the project's own is only a limit.
    """

    budget_s: float = math.inf
    ends_at: float | None = None
    wanted_s: float | None = None

    @classmethod
    def of(cls, wanted_s: float | None, most_s: float) -> "TimeLimit":
        """From now on: what is asked for, else the project's."""
        limit_s = most_s if wanted_s is None else wanted_s
        return cls(
            budget_s=limit_s,
            ends_at=None if math.isinf(limit_s) else time.monotonic() + limit_s,
            wanted_s=None if wanted_s is None or math.isinf(wanted_s) else wanted_s,
        )

    @property
    def sentence(self) -> str:
        """How long the run may take, and how to say otherwise."""
        if math.isinf(self.budget_s):
            return "no limit of time"
        most = f"{self.budget_s / 60:.0f} min" if self.budget_s >= 120 else f"{self.budget_s:.0f} s"  # noqa: PLR2004
        if self.wanted_s is not None:
            return f"a budget of {most}: what the fits leave of it goes into trying parameters"
        return f"at most {most} ([compute] budget; another one with --budget)"

    @property
    def left_s(self) -> float:
        """Seconds that are left, without end where it need not end."""
        return math.inf if self.ends_at is None else max(self.ends_at - time.monotonic(), 0.0)

    def allows_more_than(self, budget_s: float) -> bool:
        """Whether this run may take clearly longer than one of this budget."""
        return self.budget_s > LONGER * budget_s

    def fit_s(self, waiting: int, at_once: int) -> float | None:
        """How long the next of so many fits may take, so many of which run at once."""
        if self.ends_at is None:
            return None
        return max(self.left_s * FIT_SHARE / math.ceil(waiting / max(at_once, 1)), LEAST_FIT_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """What searches within folds found: each fold's contenders, and the parts by which those of all rows choose.

    A search reads rows; those of a fold are tested with what a search without them found. The model of all rows has
    what a search on all rows found, and chooses on the validation rows of `rows_blob`.
    """

    of_folds: tuple[tuple[Contender, ...], ...]
    rows_blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The world of one pass; handed down by the project, which alone wires it.

    `work` is scratch, `cache` outlives runs. `combiner` makes a contender of one of `COMBINERS`, whose
    parameters come of the pass. `with_params` makes a named contender
    anew, with these parameters beside those that the project gives. `time` is what there is of it;
    `found` are those that a search found, by candidate, and that its contenders have. `positive` is known once there
    are rows (see `bakeoff.loop.classes`), and stays None unless there are two classes or the project names one.
    `nested` is what a search with folds found. `precedent` are the columns of the live model's data, when its inputs
    must stay what they are. Without `with_feedback`, rows are those of the sources alone.
    `shared_steps` is the step cache of the team, if the project names one.
    """

    config: Config
    folder: Path
    records: RecordStore
    blobs: BlobStore
    events: EventLog
    compute: Compute
    contenders: tuple[Contender, ...]
    work: Path
    cache: Path
    clock: Clock
    progress: Progress
    new_id: Callable[[], str]
    with_params: Callable[[str, Mapping[str, Json]], Contender]
    combiner: Callable[[str], Contender]
    time: TimeLimit = field(default_factory=TimeLimit)
    found: Mapping[str, Mapping[str, Json]] = field(default_factory=dict[str, Mapping[str, Json]])
    contract: "Contract | None" = None
    positive: Positive | None = None
    precedent: "Precedent | None" = None
    nested: Nested | None = None
    with_feedback: bool = True
    shared_steps: "SharedSteps | None" = None

    @property
    def at_once(self) -> int:
        """How many jobs that name no number of threads run at once."""
        return max(1, self.compute.cores // max(self.compute.threads, 1))

    @property
    def seed(self) -> int:
        """The project's seed."""
        return self.config.project.seed

    @property
    def metric(self) -> str:
        """The metric that decides; the task's default unless set."""
        from bakeoff.metrics.registry import default  # metrics need numpy: whoever opens a project need not

        return self.config.decide.metric or default(self.config.project.task)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that the project file names: to decide by, for gates and utility, or only to be shown."""
        from bakeoff.evaluate.decide.utility import Utility
        from bakeoff.metrics.registry import problem_with

        decide = self.config.decide
        named = [self.metric, *decide.metrics, *decide.gates]
        named += [] if decide.utility is None else Utility(decide.utility).names
        known = {name for name in dict.fromkeys(named) if problem_with(name, self.config.project.task) is None}
        return tuple(name for name in dict.fromkeys(named) if name in known)

    @property
    def live_metric(self) -> str:
        """The metric that monitoring can work out from truth and answers alone: the one that decides if it can be."""
        from bakeoff.metrics.registry import default, find

        task = self.config.project.task
        return default(task) if find(self.metric, task).needs in {"likelihood", "scores"} else self.metric

    @property
    def metrics_file(self) -> Path | None:
        """The Python file with metrics of the project's own, if it names one."""
        file = self.config.decide.metrics_file
        return None if file is None else self.folder / file

    @property
    def own_metrics(self) -> dict[str, BlobRef]:
        """That file as an input of jobs that score by it; nothing when there is none."""
        file = self.metrics_file
        return {} if file is None else {METRICS: BlobRef(self.blobs.put(file))}

    @property
    def json_schema(self) -> Path | None:
        """The file with the JSON schema that generated texts should keep, if the project names one."""
        file = self.config.decide.json_schema
        return None if file is None else self.folder / file

    @property
    def safety(self) -> Path | None:
        """The file with prompts that are meant to lead models astray, if the project names one."""
        file = self.config.decide.safety
        return None if file is None else self.folder / file

    @property
    def judge_labels(self) -> Path | None:
        """The file with what people think of answers, to correct the judge by, if the project names one."""
        file = self.config.judge.labels if self.config.judge else None
        return None if file is None else self.folder / file

    @property
    def settings_files(self) -> tuple[Path | None, ...]:
        """Files that the project file names and that results depend on.

        Raises:
            ConfigError: one of them does not exist; all are named.
        """
        named = {
            "decide.json_schema": self.json_schema,
            "decide.safety": self.safety,
            "judge.labels": self.judge_labels,
        }
        missing = [
            Problem(file=FILE_NAME, key=key, expected="a file", found=f"nothing at {str(file)!r}")
            for key, file in named.items()
            if file is not None and not file.is_file()
        ]
        if missing:
            raise ConfigError(tuple(missing))
        return tuple(named.values())

    @property
    def truth_of(self) -> "TruthOf":
        """What reads the labels of feedback, by the version of the model that it is on."""
        from bakeoff.feedback.truth import truth_reader
        from bakeoff.registry.lineage import learned_of

        versions, data = self.records.versions, self.config.data
        return truth_reader(
            lambda version: learned_of(versions, version, data.target),
            self.config.project.task,
            data.labels,
            self.config.feedback,
        )

    @property
    def endpoint(self) -> str:
        """The endpoint's name; the project's unless set."""
        return self.config.endpoint.name or self.config.project.name
