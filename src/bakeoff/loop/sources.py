"""Where the rows of a pass come from: the files of its sources, and feedback that has joined them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bakeoff.config.sections import DataConfig
from bakeoff.core.protocols import Progress
from bakeoff.core.types import Json
from bakeoff.data.sources import SourceFile, fingerprint, resolve
from bakeoff.loop.context import Stage

__all__ = ["FEEDBACK", "files_digest", "ingested", "resolve_all", "resolved"]

FEEDBACK = ("ingested", "feedback")


def ingested(stage: Stage) -> Mapping[str, Json] | None:
    """The feedback rows that have joined the data (their blob, number and time), if any."""
    document = stage.records.documents.get(*FEEDBACK) if stage.with_feedback else None
    return document.body if document else None


def resolve_all(stage: Stage) -> dict[str, Sequence[SourceFile]]:
    """The files of every source, fetched and hashed where they are new."""
    return resolved(stage.config.data, folder=stage.folder, cache=stage.cache, progress=stage.progress)


def resolved(data: DataConfig, *, folder: Path, cache: Path, progress: Progress) -> dict[str, Sequence[SourceFile]]:
    """The same without a stage: for a look at the data alone."""
    sources = dict(data.sources) if data.sources else {"source": data.source}
    return {
        name: [
            file for location in locations for file in resolve(location, folder=folder, cache=cache, progress=progress)
        ]
        for name, locations in sources.items()
    }


def files_digest(stage: Stage) -> str | None:
    """The digest of all files of the sources, without reading them; None when one is not known yet."""
    data = stage.config.data
    listed = data.sources or {"source": data.source}
    locations = [location for _, locations in sorted(listed.items()) for location in locations]
    return fingerprint(locations, folder=stage.folder, cache=stage.cache)
