"""What a pass through the loop works with: the project's settings, its stores and its contenders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakeoff.core.config import Config
from bakeoff.core.protocols import BlobStore, Clock, Compute, EventLog, Progress, RecordStore
from bakeoff.metrics.registry import default

__all__ = ["Contender", "Stage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A candidate ready to be fitted: its family and where a worker finds it ("module:Class"), its parameters.

    `requires` names the distributions, and `code` is the hash of the family's source, that a fit depends on.
    """

    name: str
    family_name: str
    requires: tuple[str, ...]
    reference: str
    params: Any
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The world of one pass; handed down by the project, which alone wires it.

    `work` is scratch, `cache` outlives runs. `combiners` are the families that make one model of several,
    by name ("blend", "cascade"); their parameters are found in the pass.
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
    combiners: Mapping[str, Contender] = field(default_factory=dict[str, Contender])

    @property
    def seed(self) -> int:
        """The project's seed."""
        return self.config.project.seed

    @property
    def metric(self) -> str:
        """The metric that decides; the task's default unless set."""
        return self.config.decide.metric or default(self.config.project.task)

    @property
    def metrics_file(self) -> Path | None:
        """The Python file with metrics of the project's own, if it names one."""
        file = self.config.decide.metrics_file
        return None if file is None else self.folder / file

    @property
    def endpoint(self) -> str:
        """The endpoint's name; the project's unless set."""
        return self.config.endpoint.name or self.config.project.name
