"""The project at a glance."""

from typing import TYPE_CHECKING

import msgspec

from bakeoff.core.types import Json
from bakeoff.loop.stored_outcome import last_outcome
from bakeoff.monitor.signals import latest, to_json
from bakeoff.registry.lineage import label
from bakeoff.registry.register import CHAMPION

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["status"]


def status(project: "Project", run_id: str | None = None) -> dict[str, Json]:
    """The last run (or the one that is named), the champion, the live release and the last signals, as JSON."""
    finished = last_outcome(project.records, project.blobs) if run_id is None else project.outcome(run_id)
    champion = project.records.versions.by_alias(project.config.project.name, CHAMPION)
    live = project.release()
    report = latest(project.records.documents, project.endpoint)
    newest = project.runs(limit=1)
    return {
        "project": project.config.project.name,
        "task": project.config.project.task,
        "folder": str(project.folder),
        "last_run": finished.to_json() if finished else None,
        "newest_run": {"run_id": newest[0].run_id, "status": newest[0].status} if newest else None,
        "champion": label(champion) if champion else None,
        "endpoint": project.endpoint,
        "release": msgspec.to_builtins(live) if live else None,
        "signals": to_json(report)["signals"] if report else None,
    }
