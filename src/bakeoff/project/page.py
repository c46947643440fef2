"""What a notebook shows of a project."""

from typing import TYPE_CHECKING

from bakeoff.core.addresses import without_password
from bakeoff.core.errors import BakeoffError
from bakeoff.core.markup import facts, notebook, paragraph

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["project_html"]


def project_html(project: "Project") -> str:
    """The project at a glance: its data and candidates, its last run, and what is live."""
    config = project.config
    about = [
        ("task", config.project.task),
        ("folder", project.folder),
        ("rows from", ", ".join(map(without_password, config.data.source or config.data.sources))),
        ("target", config.data.target),
        ("candidates", ", ".join(config.candidates)),
    ]
    try:
        status = project.status()
    except BakeoffError as error:  # a page of a damaged project must still tell what it is
        return notebook(config.project.name, facts(about), paragraph(str(error), "bad"))
    last = status.last_run
    about += [
        ("last run", f"{last.run_id[:8]}: {last.headline}" if last else "none yet: project.run()"),
        ("champion", status.champion),
        ("live", status.release and f"{status.release.model_version} on {status.endpoint}"),
        ("alerts", ", ".join(each.name for each in status.signals.alerts) or "none" if status.signals else None),
    ]
    return notebook(config.project.name, facts(about))
