"""Experiments in MLflow's words."""

from collections.abc import Mapping
from typing import Any

from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.filters import TAGS, Grammar, Name, filter_of, order_of
from bakeoff.core.queries import Lifecycle, Query, QueryField, attribute
from bakeoff.core.records import Experiment, ExperimentChange
from bakeoff.core.types import Json
from bakeoff.web.tracking import limits
from bakeoff.web.tracking.context import Tracking, local_path
from bakeoff.web.tracking.wire import exists, invalid, of_pairs, paged, pairs, unknown

__all__ = [
    "create",
    "delete",
    "delete_tag",
    "experiment_of",
    "get",
    "get_by_name",
    "lifecycle_of",
    "restore",
    "search",
    "set_tag",
    "update",
]

GRAMMAR = Grammar(
    attributes={
        "name": Name.of("name"),
        "experiment_id": Name(field=QueryField(kind="attribute", key="experiment_id"), number=True, value=str),
        "creation_time": Name.of("created_ms", number=True),
        "last_update_time": Name.of("updated_ms", number=True),
    },
    kinds=TAGS,
)
MOST = 50_000
VIEWS: Mapping[object, Lifecycle | None] = {
    "ACTIVE_ONLY": "active",
    "DELETED_ONLY": "deleted",
    "ALL": None,
    1: "active",
    2: "deleted",
    3: None,
    "1": "active",
    "2": "deleted",
    "3": None,
    None: "active",
    "": "active",
}


def lifecycle_of(view: object) -> Lifecycle | None:
    """Which lives a view shows."""
    try:
        return VIEWS[view]
    except (KeyError, TypeError):
        raise invalid(f"Invalid value {view!r} for parameter 'view_type' supplied.") from None


def _shown(tracking: Tracking, experiment: Experiment) -> Json:
    return {
        "experiment_id": experiment.experiment_id,
        "name": experiment.name,
        "artifact_location": tracking.location_of(experiment),
        "lifecycle_stage": experiment.lifecycle,
        "creation_time": experiment.created_ms,
        "last_update_time": experiment.updated_ms,
        "tags": pairs(experiment.tags),
    }


def experiment_of(tracking: Tracking, experiment_id: str, *, active: bool = False) -> Experiment:
    """The experiment of an id, and if `active`, one that is."""
    try:
        experiment = tracking.records.experiments.get(experiment_id)
    except NotFoundError:
        raise unknown(f"No Experiment with id={experiment_id} exists") from None
    if active and experiment.lifecycle != "active":
        raise invalid(
            f"The experiment {experiment_id} must be in the 'active' state. Current state is {experiment.lifecycle}."
        )
    return experiment


def create(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A new experiment."""
    name = limits.experiment_name(given["name"])
    location = tracking.absolute(limits.check_location(given["artifact_location"]))
    folder = local_path(location)
    if folder is not None and not tracking.offers(folder):
        raise invalid(f"Invalid artifact location: {location}. Expected one that clients send files to, or none.")
    tags = limits.check_tags(of_pairs("tags", given["tags"]), most=limits.EXPERIMENT_TAG)
    try:
        experiment = tracking.records.experiments.create(name, tags=tags, location=location)
    except ConflictError:
        raise exists(f"Experiment(name={name}) already exists.") from None
    return {"experiment_id": experiment.experiment_id}


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One experiment by its id."""
    return {"experiment": _shown(tracking, experiment_of(tracking, given["experiment_id"]))}


def get_by_name(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One experiment by its name, deleted or not."""
    name = given["experiment_name"]
    known = tracking.records.experiments.search(Query(where=attribute("name", "=", name), lifecycle=None)).items
    if not known:
        raise unknown(f"Could not find experiment with name '{name}'")
    return {"experiment": _shown(tracking, known[0])}


def search(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Experiments, newest changes first unless another order is asked for."""
    count = 1000 if given["max_results"] is None else given["max_results"]
    if not 1 <= count <= MOST:
        raise invalid(
            f"Invalid value {count} for parameter 'max_results' supplied. It must be at least 1 and at most 50000"
        )
    order = order_of(given["order_by"], GRAMMAR) or order_of(["creation_time DESC", "experiment_id DESC"], GRAMMAR)
    where = filter_of(given["filter"], GRAMMAR)
    lifecycle = lifecycle_of(given["view_type"])
    query = Query(where=where, order=order, lifecycle=lifecycle, limit=count, page=given["page_token"] or None)
    page = tracking.records.experiments.search(query)
    return paged({"experiments": [_shown(tracking, each) for each in page.items]}, page.following)


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take an experiment out of sight, with its runs."""
    experiment = experiment_of(tracking, given["experiment_id"], active=True)
    return _changed(tracking, ExperimentChange(experiment_id=experiment.experiment_id, lifecycle="deleted"))


def restore(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Bring a deleted experiment back, with its runs."""
    experiment = experiment_of(tracking, given["experiment_id"])
    return _changed(tracking, ExperimentChange(experiment_id=experiment.experiment_id, lifecycle="active"))


def update(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Another name for an experiment."""
    experiment = experiment_of(tracking, given["experiment_id"])
    if experiment.lifecycle != "active":
        raise invalid("Cannot rename a non-active experiment.")
    return _changed(
        tracking,
        ExperimentChange(experiment_id=experiment.experiment_id, name=limits.experiment_name(given["new_name"])),
    )


def set_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A tag of an experiment."""
    tags = limits.check_tags({given["key"]: given["value"] or ""}, most=limits.EXPERIMENT_TAG)
    experiment = experiment_of(tracking, given["experiment_id"], active=True)
    return _changed(tracking, ExperimentChange(experiment_id=experiment.experiment_id, tags=tags))


def delete_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a tag of an experiment away."""
    experiment = experiment_of(tracking, given["experiment_id"], active=True)
    key = given["key"]
    if key not in experiment.tags:
        raise unknown(f"No tag with name: {key} in experiment with id {experiment.experiment_id}")
    return _changed(tracking, ExperimentChange(experiment_id=experiment.experiment_id, remove_tags=(key,)))


def _changed(tracking: Tracking, change: ExperimentChange) -> Json:
    try:
        tracking.records.experiments.apply([change])
    except ConflictError:
        raise exists(f"Experiment(name={change.name}) already exists.") from None
    return {}
