"""Register what a run made: idempotent, so that a resumed run registers nothing twice."""

from collections.abc import Mapping
from dataclasses import replace

from bakeoff.core.lineage import Origin
from bakeoff.core.protocols import VersionRecords
from bakeoff.core.queries import AllOf, Query, attribute, every
from bakeoff.core.records import RegisteredChange, Version, VersionKind

__all__ = ["CHAMPION", "all_versions", "newest_version", "promote", "register_once"]

CHAMPION = "champion"


def all_versions(
    versions: VersionRecords, kind: VersionKind, name: str | None = None, *, content: str | None = None
) -> list[Version]:
    """All versions of a kind, newest first; of one name, or of one content."""
    return list(every(versions.search, _query(kind=kind, name=name, content=content)))


def newest_version(versions: VersionRecords, kind: VersionKind, name: str, *, content: str) -> Version | None:
    """The newest version of this content, if there is one."""
    page = versions.search(replace(_query(kind=kind, name=name, content=content), limit=1))
    return page.items[0] if page.items else None


def _query(**wanted: str | None) -> Query:
    parts = (attribute(key, "=", value) for key, value in wanted.items() if value is not None)
    return Query(where=AllOf(parts=tuple(parts)))


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
    if (known := newest_version(versions, kind, name, content=content)) is not None:
        return known
    return versions.register(kind, name, content, run_id=run_id, lineage=made_from.to_json(), tags=tags)


def promote(versions: VersionRecords, model: Version) -> Version:
    """Make a model version the champion."""
    versions.apply([RegisteredChange(kind="model", name=model.name, aliases={CHAMPION: model.number})])
    return versions.get("model", model.name, model.number)
