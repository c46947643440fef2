"""The challenger: a winner that has to prove itself on calls before it is the champion; aliases follow the routes."""

from bakeoff.core.errors import NotFoundError
from bakeoff.core.protocols import RecordStore
from bakeoff.core.records import RegisteredChange, Version, VersionChange
from bakeoff.loop.champion import ANCHORS
from bakeoff.registry.lineage import label
from bakeoff.registry.register import CHAMPION, promote
from bakeoff.serve.releases import release_of
from bakeoff.serve.routes import endpoint_of

__all__ = ["CHALLENGER", "challenge_by", "follow_live", "settle"]

CHALLENGER = "challenger"
RAISES = "bakeoff.raises_anchor"
"""The tag of a version that, as champion, is what later ones are held to: it was shown to be better."""


def challenge_by(records: RecordStore, version: Version, *, raises: bool) -> Version:
    """Make a version the challenger; what it was before says nothing of what it raises now."""
    tags = {RAISES: str(raises).lower()}
    records.versions.apply(
        [
            RegisteredChange(kind="model", name=version.name, aliases={CHALLENGER: version.number}),
            VersionChange(kind="model", name=version.name, number=version.number, tags=tags),
        ]
    )
    return records.versions.get("model", version.name, version.number)


def settle(records: RecordStore, project: str, endpoint: str) -> None:
    """Let a challenger that is live by now be the champion, and one that is gone be none; again changes nothing."""
    challenger = records.versions.by_alias(project, CHALLENGER)
    if challenger is None:
        return
    of = endpoint_of(records.documents, endpoint)
    taking_part = {} if of is None else {route.release_id: route.role for route in of.routes}
    roles = {
        role
        for release_id, role in taking_part.items()
        if release_of(records.documents, endpoint, release_id).model_version == label(challenger)
    }
    if "live" in roles:
        _crown(records, challenger)
    now = records.versions.by_alias(project, CHALLENGER)  # a run may have made another one meanwhile
    if roles <= {"live"} and now is not None and now.number == challenger.number:
        records.versions.apply([RegisteredChange(kind="model", name=project, aliases={CHALLENGER: None})])


def follow_live(records: RecordStore, project: str, endpoint: str) -> None:
    """Make what somebody made live on the project's endpoint the champion."""
    settle(records, project, endpoint)
    of = endpoint_of(records.documents, endpoint)
    if of is None or of.live is None:
        return
    live = release_of(records.documents, endpoint, of.live)
    champion = records.versions.by_alias(project, CHAMPION)
    if live.model != project or (champion is not None and champion.number == live.number):
        return
    try:
        _crown(records, records.versions.get("model", project, live.number))
    except NotFoundError:  # the version was deleted; its release serves all the same
        return


def _crown(records: RecordStore, version: Version) -> None:
    promote(records.versions, version)
    if version.tags.get(RAISES) == "true":
        records.documents.put(ANCHORS, version.name, {"number": version.number})
