"""Models: versions with their aliases, what made each, and the changes that can be made to them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.queries import Query, attribute
from bakeoff.core.records import RegisteredChange, Version, VersionChange
from bakeoff.registry.lineage import label
from bakeoff.registry.register import CHAMPION, all_versions
from bakeoff.web.pages.calls import PageCall, Redirect, Shown
from bakeoff.web.pages.endpoints import answering

__all__ = ["change", "listing", "one"]

MOST_NAMES, MOST_ALIAS = 200, 80


def listing(call: PageCall) -> Shown:
    """The versions of the project's model, and the names of others; of a caller out of its reach, of another."""
    project, wanted = call.any_project(), call.query.get("name", "")
    registered = call.records.versions.registered(Query(where=attribute("kind", "=", "model"), limit=MOST_NAMES)).items
    names, own = [each.name for each in registered], project.config.project.name
    name = wanted or (own if call.principal.reaches("model", own) else next(iter(names), own))
    if wanted and not call.principal.reaches("model", wanted):
        raise NotFoundError(f"expected a registered model, found none called {wanted[:80]!r}")
    versions = all_versions(call.records.versions, "model", name)
    live: dict[str, list[str]] = {}
    for status in call.endpoints(project):
        for each in status.routes:
            live.setdefault(each.model_version, []).append(f"{each.status} on {status.name}")
    return Shown(
        template="models.html",
        values={
            "title": "Models",
            "name": name,
            "names": names,
            "versions": versions,
            "live": live,
            "label": label,
            "metric": _metric(project.config.decide.metric, versions),
            "champion": CHAMPION,
        },
    )


def _metric(wanted: str | None, versions: list[Version]) -> str | None:
    """The metric that is shown of all versions: the project's, or the first that the newest has."""
    scorecards = [version.model_origin.scorecard for version in versions[:20]]
    known = [name for card in scorecards for name in card.get("metrics", {})]
    return wanted if wanted in known else (known[0] if known else None)


def _version(call: PageCall) -> Version:
    name, number = call.path["name"], call.path["number"]
    if not call.principal.reaches("model", name):
        raise NotFoundError(f"expected a model version, found none called {name[:80]!r}")
    if not (number.isascii() and number.isdigit() and len(number) < 10):  # noqa: PLR2004 - as numbers of versions are
        raise NotFoundError(f"expected the number of a version, received {number[:40]!r}")
    return call.records.versions.get("model", name, int(number))


def one(call: PageCall) -> Shown:
    """One version: what made it, how it was scored, where it answers, what can be done with it."""
    version = _version(call)
    project = call.project("model", version.name)
    endpoints = {status.name: status for status in call.endpoints(project)}
    serving = [
        (name, each)
        for name, status in endpoints.items()
        for each in status.routes
        if each.model_version == label(version)
    ]
    own = version.name == project.config.project.name and call.principal.reaches("endpoint", project.endpoint)
    here = endpoints.get(project.endpoint)
    return Shown(
        template="model.html",
        values={
            "title": label(version),
            "version": version,
            "label": label(version),
            "origin": version.model_origin,
            "serving": serving,
            "own": own and bool(version.model_origin.family),
            "endpoint": project.endpoint,
            "live": here.live.model_version if here and here.live else None,
            "champion": CHAMPION,
            "metrics": _metrics(version),
        },
    )


def _metrics(version: Version) -> Mapping[str, Any]:
    return version.model_origin.scorecard.get("metrics", {})


def change(call: PageCall) -> Redirect:
    """Release a version, give it an alias or take it away, or archive it."""
    version, what = _version(call), call.form.get("what", "")
    project = call.project("model", version.name)
    named, url = label(version), f"/models/{quote(version.name)}/{version.number}"
    if what in {"release", "canary"}:
        endpoints = call.project("endpoint", project.endpoint).endpoints.by(call.who)
        status = (endpoints.release if what == "release" else endpoints.canary)(named, why=call.form.get("why", ""))
        return Redirect(url=url, done=f"{answering(status)}.")
    if what in {"alias", "unalias"}:
        alias = call.form.get("alias", "").strip()
        if not alias or len(alias) > MOST_ALIAS or alias.isdigit() or not alias.isprintable() or "/" in alias:
            raise UsageError(f"alias: expected a name without '/' that is no number, received {alias[:80]!r}")
        if alias == CHAMPION:
            raise UsageError(f"alias: {CHAMPION!r} is what answers on the project's endpoint: release the version")
        to = version.number if what == "alias" else None
        changes = RegisteredChange(kind="model", name=version.name, aliases={alias: to})
        call.records.versions.apply([changes])
        return Redirect(url=url, done=f"{alias} {'now names' if to else 'no more names'} {named}.")
    if what == "archive":
        stage = "None" if version.stage == "Archived" else "Archived"
        call.records.versions.apply(
            [VersionChange(kind="model", name=version.name, number=version.number, stage=stage)]
        )
        return Redirect(url=url, done=f"{named} is {'archived' if stage == 'Archived' else 'no more archived'}.")
    raise UsageError(f"what: expected release, canary, alias, unalias or archive, received {what[:40]!r}")
