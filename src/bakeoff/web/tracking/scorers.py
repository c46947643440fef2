"""Scorers that clients register with an experiment, in versions."""

import uuid
from collections.abc import Mapping
from typing import Any

from bakeoff.core.records import Document, DocumentChange
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.experiments import experiment_of
from bakeoff.web.tracking.papers import remove
from bakeoff.web.tracking.wire import unknown

__all__ = ["delete", "get", "listed", "register", "versions"]

SCORERS = "scorers"


def _all(tracking: Tracking, experiment_id: str, name: str | None = None) -> list[Document]:
    prefix = f"{experiment_id}/" if name is None else f"{experiment_id}/{name}\0"
    return tracking.records.documents.find(SCORERS, prefix)


def _key(experiment_id: str, name: str, version: int) -> str:
    return f"{experiment_id}/{name}\0{version:09}"


def register(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A new scorer, or the next version of one."""
    experiment = experiment_of(tracking, given["experiment_id"])
    known = _all(tracking, experiment.experiment_id, given["name"])
    version = max((int(str(each.body["scorer_version"])) for each in known), default=0) + 1
    body: dict[str, Json] = {
        "experiment_id": int(experiment.experiment_id),
        "scorer_name": given["name"],
        "scorer_version": version,
        "serialized_scorer": given["serialized_scorer"],
        "creation_time": tracking.clock(),
        "scorer_id": str(known[0].body["scorer_id"]) if known else uuid.uuid4().hex,
    }
    key = _key(experiment.experiment_id, given["name"], version)
    tracking.records.documents.apply([DocumentChange(collection=SCORERS, key=key, body=body, expected=0)])
    shown = {"version": version, "scorer_id": body["scorer_id"], "name": given["name"]}
    return {**shown, **{key: body[key] for key in ("serialized_scorer", "creation_time", "experiment_id")}}


def listed(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The newest version of each scorer of an experiment."""
    newest: dict[str, Json] = {}
    for each in _all(tracking, given["experiment_id"]):  # in the order of versions
        newest[str(each.body["scorer_name"])] = dict(each.body)
    return {"scorers": list(newest.values())}


def versions(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """All versions of a scorer."""
    known = _all(tracking, given["experiment_id"], given["name"])
    if not known:
        raise _absent(given)
    return {"scorers": [dict(each.body) for each in known]}


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One version of a scorer, the newest unless it is named."""
    known = _all(tracking, given["experiment_id"], given["name"])
    if given["version"] is not None:
        known = [each for each in known if each.body["scorer_version"] == given["version"]]
    if not known:
        raise _absent(given)
    return {"scorer": dict(known[-1].body)}


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Remove one version of a scorer, or all."""
    known = _all(tracking, given["experiment_id"], given["name"])
    if given["version"] is not None:
        known = [each for each in known if each.body["scorer_version"] == given["version"]]
    if not known:
        raise _absent(given)
    return remove(tracking, SCORERS, [each.key for each in known])


def _absent(given: Mapping[str, Any]) -> Exception:
    version = given.get("version")
    which = "" if version is None else f" and version {version}"
    return unknown(f"Scorer with name '{given['name']}'{which} not found for experiment {given['experiment_id']}.")
