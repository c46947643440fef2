"""Scorers that clients register with an experiment, in versions."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from bakeoff.core.records import Document, DocumentChange
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.documents import APART, Body, remove, settle
from bakeoff.web.tracking.experiments import experiment_of
from bakeoff.web.tracking.wire import unknown

__all__ = ["delete", "get", "listed", "register", "versions"]

SCORERS = "scorers"


def _all(tracking: Tracking, experiment_id: str, name: str | None = None) -> list[Document]:
    prefix = f"{experiment_id}/" if name is None else f"{experiment_id}/{name}{APART}"
    return tracking.records.documents.find(SCORERS, prefix)


def _key(experiment_id: str, name: str, version: int) -> str:
    return f"{experiment_id}/{name}{APART}{version:09}"


def register(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A new scorer, or the next version of one."""
    experiment_id = experiment_of(tracking, given["experiment_id"]).experiment_id
    body: Body = {}

    def changes() -> Iterable[DocumentChange]:
        nonlocal body
        known = _all(tracking, experiment_id, given["name"])
        version = max((int(str(each.body["scorer_version"])) for each in known), default=0) + 1
        body = {
            "experiment_id": int(experiment_id),
            "scorer_name": given["name"],
            "scorer_version": version,
            "serialized_scorer": given["serialized_scorer"],
            "creation_time": tracking.clock(),
            "scorer_id": str(known[0].body["scorer_id"]) if known else uuid.uuid4().hex,
        }
        key = _key(experiment_id, given["name"], version)
        yield DocumentChange(collection=SCORERS, key=key, body=body, expected=0)

    settle(tracking, changes)
    shown = {key: body[key] for key in ("scorer_id", "serialized_scorer", "creation_time")}
    # The protocol has the id of the experiment as a text here, and as a number in lists.
    return {"version": body["scorer_version"], "name": body["scorer_name"], "experiment_id": experiment_id, **shown}


def listed(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The newest version of each scorer of an experiment."""
    newest: dict[str, Json] = {}
    for each in _all(tracking, given["experiment_id"]):  # in the order of versions
        newest[str(each.body["scorer_name"])] = dict(each.body)
    return {"scorers": list(newest.values())}


def versions(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """All versions of a scorer."""
    return {"scorers": [dict(each.body) for each in _wanted(tracking, given)]}


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One version of a scorer, the newest unless it is named."""
    return {"scorer": dict(_wanted(tracking, given)[-1].body)}


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Remove one version of a scorer, or all."""
    return remove(tracking, SCORERS, [each.key for each in _wanted(tracking, given)])


def _wanted(tracking: Tracking, given: Mapping[str, Any]) -> list[Document]:
    """The version that is named, or all of them."""
    name, version, experiment_id = given["name"], given.get("version"), given["experiment_id"]
    known = [
        each
        for each in _all(tracking, experiment_id, name)
        if version is None or each.body["scorer_version"] == version
    ]
    if not known:
        which = "" if version is None else f" and version {version}"
        raise unknown(f"Scorer with name '{name}'{which} not found for experiment {experiment_id}.")
    return known
