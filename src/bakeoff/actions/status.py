"""The project at a glance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core.records import Run
from bakeoff.core.releases import Release
from bakeoff.core.types import Json, Task
from bakeoff.loop.stored_outcome import last_outcome
from bakeoff.monitor.signals import MonitorReport, latest, to_json
from bakeoff.registry.lineage import label
from bakeoff.registry.register import CHAMPION
from bakeoff.results.outcome import RunOutcome

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["Status", "status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The last run (or the one that was named), the newest one, the champion, the live release, the last signals."""

    project: str
    task: Task
    folder: str
    endpoint: str
    last_run: RunOutcome | None = None
    newest_run: Run | None = None
    champion: str | None = None
    release: Release | None = None
    signals: MonitorReport | None = None

    def __repr__(self) -> str:
        live = self.release.model_version if self.release else None
        last = self.last_run.headline if self.last_run else "no run yet"
        return f"Status({self.project!r}: {last}; champion {self.champion}, live {live})"

    def to_json(self) -> dict[str, Json]:
        """What `bakeoff status --json` prints."""
        newest = self.newest_run
        return {
            "project": self.project,
            "task": self.task,
            "folder": self.folder,
            "last_run": self.last_run.to_json() if self.last_run else None,
            "newest_run": {"run_id": newest.run_id, "status": newest.status} if newest else None,
            "champion": self.champion,
            "endpoint": self.endpoint,
            "release": msgspec.to_builtins(self.release) if self.release else None,
            "signals": to_json(self.signals)["signals"] if self.signals else None,
        }


def status(project: "Project", run_id: str | None = None) -> Status:
    """The project at a glance; of its last run, unless another is named."""
    finished = last_outcome(project.records, project.blobs) if run_id is None else project.outcome(run_id)
    champion = project.records.versions.by_alias(project.config.project.name, CHAMPION)
    newest = project.runs(limit=1)
    return Status(
        project=project.config.project.name,
        task=project.config.project.task,
        folder=str(project.folder),
        endpoint=project.endpoint,
        last_run=finished,
        newest_run=newest[0] if newest else None,
        champion=label(champion) if champion else None,
        release=project.release(),
        signals=latest(project.records.documents, project.endpoint),
    )
