"""Retirement: model versions that nothing serves, compares with or may go back to are proposed for archiving."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.core import narrow
from bakeoff.core.records import VersionChange
from bakeoff.loop.approval import PROPOSALS
from bakeoff.loop.champion import ANCHORS
from bakeoff.loop.cycle import Cycles
from bakeoff.registry.lineage import label
from bakeoff.registry.register import all_versions
from bakeoff.security.audit import AuditLog
from bakeoff.serve.releases import endpoints, history
from bakeoff.serve.routes import changes_of, endpoint_of

if TYPE_CHECKING:
    from bakeoff.core.protocols import Clock, RecordStore
    from bakeoff.core.records import Version

__all__ = ["ARCHIVED", "Retirement", "archive", "retirements"]

ARCHIVED = "Archived"
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """A model version that is proposed for archiving: why, and since when it is of no use."""

    model_version: str
    number: int
    reason: str
    unused_since_ms: int


def retirements(records: "RecordStore", project: str, *, now_ms: int, after_days: float = 30.0) -> list[Retirement]:
    """The versions of a project's model that are used for nothing since so many days, oldest first.

    Never those that have an alias, take part on an endpoint or may come back to it by `rollback`, are what champions
    are held to, wait for a person, or are members of one that stays; nor what is archived already.
    """
    versions = all_versions(records.versions, "model", project)
    needed = _needed(records, project, versions)
    served_until = _served_until(records, now_ms)
    proposed: list[Retirement] = []
    for version in sorted(versions, key=lambda each: each.number):
        name = label(version)
        if name in needed or version.stage == ARCHIVED:
            continue
        since_ms = max(version.created_ms, served_until.get(name, 0))
        if since_ms > now_ms - after_days * DAY_MS:
            continue
        reason = "beaten: it served, and another took its place" if name in served_until else "never released"
        proposed.append(Retirement(model_version=name, number=version.number, reason=reason, unused_since_ms=since_ms))
    return proposed


def archive(records: "RecordStore", clock: "Clock", proposed: Sequence[Retirement], *, who: str) -> None:
    """Archive these versions: their stage says so, and nothing is deleted."""
    audit = AuditLog(records.documents, clock)
    for each in proposed:
        name = each.model_version.rpartition("/")[0]
        records.versions.apply([VersionChange(kind="model", name=name, number=each.number, stage=ARCHIVED)])
        audit.add("model archived", f"model {each.model_version}", who=who, after={"why": each.reason})


def _needed(records: "RecordStore", project: str, versions: "Sequence[Version]") -> set[str]:
    """The labels of versions that are of use, and of those that they are made of."""
    documents = records.documents
    needed = {label(version) for version in versions if version.aliases}
    for name in endpoints(documents):
        endpoint = endpoint_of(documents, name)
        assert endpoint is not None, "its name was just read"
        using = {endpoint.live, endpoint.previous, *(route.release_id for route in endpoint.others)}
        needed |= {each.model_version for each in history(documents, name) if each.release_id in using}
    if (anchor := documents.get(ANCHORS, project)) is not None:
        needed.add(f"{project}/{narrow.whole(anchor.body['number'])}")
    cycle = Cycles(documents, lambda: 0, project).open()
    waiting = None if cycle is None else documents.get(PROPOSALS, str(cycle.fact("run_id")))
    if waiting is not None:
        needed.add(f"{project}/{narrow.whole(waiting.body['number'])}")
    members = {label(version): version.model_origin.members for version in versions}
    for name in tuple(needed):
        needed |= {narrow.text(member) for member in members.get(name, {}).values()}
    return needed


def _served_until(records: "RecordStore", now_ms: int) -> dict[str, int]:
    """When a release of each version was last live, by the histories of all endpoints."""
    until: dict[str, int] = {}
    for name in endpoints(records.documents):
        releases = {each.release_id: each.model_version for each in history(records.documents, name)}
        for change in changes_of(records.documents, name):
            before, after = change.before.live, change.after.live
            if before is not None and before != after and before in releases:
                version = releases[before]
                until[version] = max(until.get(version, 0), change.time_ms)
            if after is not None and after in releases:
                until.setdefault(releases[after], min(change.time_ms, now_ms))
    return until
