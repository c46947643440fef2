"""Register what a run made: idempotent, so that a resumed run registers nothing twice."""

from collections.abc import Mapping

from bakeoff.core.lineage import Origin
from bakeoff.core.protocols import VersionRecords
from bakeoff.core.queries import AllOf, Query, attribute, every
from bakeoff.core.records import RegisteredChange, Version, VersionKind

__all__ = ["CHAMPION", "all_versions", "promote", "register_once"]

CHAMPION = "champion"


def all_versions(
    versions: VersionRecords, kind: VersionKind, name: str | None = None, *, content: str | None = None
) -> list[Version]:
    """All versions of a kind, newest first; of one name, or of one content."""
    wanted = {"kind": kind, "name": name, "content": content}
    where = AllOf(parts=tuple(attribute(key, "=", value) for key, value in wanted.items() if value is not None))
    return list(every(versions.search, Query(where=where)))


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
    if known := all_versions(versions, kind, name, content=content):
        return known[0]
    return versions.register(kind, name, content, run_id=run_id, lineage=made_from.to_json(), tags=tags)


def promote(versions: VersionRecords, model: Version) -> Version:
    """Make a model version the champion."""
    versions.apply([RegisteredChange(kind="model", name=model.name, aliases={CHAMPION: model.number})])
    return versions.get("model", model.name, model.number)
