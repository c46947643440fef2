"""Register what a run made: idempotent, so that a resumed run registers nothing twice."""

from collections.abc import Mapping

from bakeoff.core.lineage import Origin
from bakeoff.core.protocols import VersionRecords
from bakeoff.core.records import Version, VersionKind

__all__ = ["CHAMPION", "promote", "register_once"]

CHAMPION = "champion"


def register_once(
    versions: VersionRecords,
    kind: VersionKind,
    name: str,
    content: str,
    *,
    run_id: str,
    made_from: Origin,
    tags: Mapping[str, str] | None = None,
) -> Version:
    """The version of this content, registered now if it is new; an older one keeps its lineage."""
    known = versions.find(kind, name, content=content)
    if known:
        return known[0]
    return versions.register(kind, name, content, run_id=run_id, lineage=made_from.to_json(), tags=tags)


def promote(versions: VersionRecords, model: Version) -> Version:
    """Make a model version the champion."""
    versions.set_alias(model.name, CHAMPION, model.number)
    return versions.get("model", model.name, model.number)
