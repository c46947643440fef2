"""Logged models: what a run made or measured, before it is registered under a name."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bakeoff.core.filters import METRICS, PARAMS, TAGS, Grammar, Name, filter_of, within
from bakeoff.core.queries import Expr, Order, Query, QueryField, attribute
from bakeoff.core.records import Metric
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import DEFAULT, Tracking
from bakeoff.web.tracking.documents import APART, Body, Fields, edit, fields, write
from bakeoff.web.tracking.experiments import experiment_of
from bakeoff.web.tracking.wire import TrackingError, enum_of, invalid, number, of_pairs, paged, pairs, unknown

__all__ = [
    "MODELS",
    "bring",
    "create",
    "delete",
    "delete_tag",
    "finalize",
    "get",
    "log_params",
    "measured",
    "metric_shown",
    "model_of",
    "noted",
    "require_models",
    "search",
    "set_tags",
]

MODELS = "logged_models"
VERSIONS = "mlflow.modelVersions"
UNKNOWN, PENDING, READY = "LOGGED_MODEL_STATUS_UNSPECIFIED", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY"
STATUSES = (UNKNOWN, PENDING, READY, "LOGGED_MODEL_UPLOAD_FAILED")
FILTERED = {READY: "READY", PENDING: "PENDING", "LOGGED_MODEL_UPLOAD_FAILED": "FAILED", UNKNOWN: "UNSPECIFIED"}
GRAMMAR = Grammar(
    attributes={
        **{key: Name.of(key) for key in ("name", "model_id", "model_type", "status", "source_run_id", "experiment_id")},
        **dict.fromkeys(("creation_timestamp", "creation_time"), Name.of("creation_timestamp", number=True)),
        **dict.fromkeys(
            ("last_updated_timestamp", "last_updated_time"), Name.of("last_updated_timestamp", number=True)
        ),
    },
    kinds={**METRICS, **PARAMS, **TAGS},
)
NEWEST = (
    Order(field=QueryField(kind="attribute", key="creation_timestamp"), descending=True),
    Order(field=QueryField(kind="attribute", key="model_id")),
)


def _of_dataset(name: str, digest: str) -> str:
    return f"dataset{APART}{name}{APART}{digest}"


def _fields(body: Body) -> Fields:
    of_metrics = {each["key"]: float(each["value"]) for each in body["metrics"] if each["value"] == each["value"]}
    measured_on = {
        _of_dataset(m["dataset_name"], m.get("dataset_digest", "")): 1 for m in body["metrics"] if m.get("dataset_name")
    }
    return fields(
        {
            "experiment_id": body["experiment_id"],
            "name": body["name"],
            "model_id": body["model_id"],
            "model_type": body["model_type"],
            "status": FILTERED[body["status"]],
            "source_run_id": body["source_run_id"],
            "creation_timestamp": body["created_ms"],
            "last_updated_timestamp": body["updated_ms"],
            "lifecycle": "deleted" if body.get("deleted") else "active",
            **measured_on,
        },
        params=body["params"],
        tags=body["tags"],
        metrics=of_metrics,
    )


def metric_shown(metric: Metric) -> dict[str, Json]:
    """A metric as clients read it."""
    body: dict[str, Json] = {
        "key": metric.key,
        "value": number(metric.value),
        "timestamp": metric.time_ms,
        "step": metric.step,
    }
    if metric.series is not None:
        of = metric.series
        named = {"model_id": of.model_id, "dataset_name": of.dataset_name, "dataset_digest": of.dataset_digest}
        body |= {key: value for key, value in named.items() if value}
    return body


def shown(body: Body) -> Json:
    """A logged model as clients read it."""
    return {
        "info": {
            "model_id": body["model_id"],
            "experiment_id": body["experiment_id"],
            "name": body["name"],
            "creation_timestamp_ms": body["created_ms"],
            "last_updated_timestamp_ms": body["updated_ms"],
            "artifact_uri": body["artifact_uri"],
            "status": body["status"],
            "model_type": body["model_type"] or "",
            "source_run_id": body["source_run_id"] or "",
            "tags": pairs(body["tags"]),
        },
        "data": {
            "params": pairs(body["params"]),
            "metrics": [{**each, "value": number(float(each["value"]))} for each in body["metrics"]],
        },
    }


def _absent(model_id: str) -> TrackingError:
    return unknown(f"Logged model with ID '{model_id}' not found.")


def model_of(tracking: Tracking, model_id: str) -> Body:
    """The logged model of an id that is not deleted."""
    known = tracking.records.documents.get(MODELS, model_id)
    if known is None or known.body.get("deleted"):
        raise _absent(model_id)
    return dict(known.body)


def _edit(tracking: Tracking, model_id: str, change: Callable[[Body], Body]) -> Body:
    """Change a logged model that is not deleted; `change` gives what is new of it."""

    def changed(body: Body) -> Body:
        if body.get("deleted"):
            raise _absent(model_id)
        return {**body, "updated_ms": tracking.clock(), **change(body)}

    return edit(tracking, MODELS, model_id, changed, fields_of=_fields, absent=_absent(model_id))


def create(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A new logged model, whose artifacts come later."""
    experiment = experiment_of(tracking, given["experiment_id"] or DEFAULT, active=True)
    model_id, now = f"m-{uuid.uuid4().hex}", tracking.clock()
    name = given["name"] or f"model-{model_id[2:10]}"
    if any(sign in name for sign in "/:.%\"'"):
        raise invalid(
            f"Invalid model name '{name}'. Logged model name must be a non-empty string and cannot contain the "
            "following characters: ('/', ':', '.', '%', '\"', \"'\")"
        )
    body: Body = {
        "model_id": model_id,
        "experiment_id": experiment.experiment_id,
        "name": name,
        "model_type": given["model_type"] or None,
        "source_run_id": given["source_run_id"] or None,
        "status": PENDING,
        "created_ms": now,
        "updated_ms": now,
        "artifact_uri": f"{tracking.location_of(experiment)}/models/{model_id}/artifacts",
        "params": of_pairs("params", given["params"]),
        "tags": of_pairs("tags", given["tags"]),
        "metrics": [],
    }
    write(tracking, MODELS, {model_id: body}, _fields, new=True)
    return {"model": shown(body)}


def bring(tracking: Tracking, body: Mapping[str, Any]) -> None:
    """Keep a logged model that another server had, with its id and times."""
    write(tracking, MODELS, {body["model_id"]: dict(body)}, _fields, new=True)


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One logged model."""
    return {"model": shown(model_of(tracking, given["model_id"]))}


def finalize(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Say whether its artifacts have come."""
    status = enum_of("status", given["status"], STATUSES)
    return {"model": shown(_edit(tracking, given["model_id"], lambda _: {"status": status}))}


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a logged model out of sight."""
    _edit(tracking, given["model_id"], lambda _: {"deleted": True})
    return {}


def log_params(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Params of a logged model."""
    params = of_pairs("params", given["params"])
    _edit(tracking, given["model_id"], lambda body: {"params": {**body["params"], **params}})
    return {}


def set_tags(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Tags of a logged model."""
    tags = of_pairs("tags", given["tags"])
    return {"model": shown(_edit(tracking, given["model_id"], lambda body: {"tags": {**body["tags"], **tags}}))}


def delete_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a tag of a logged model away."""
    model_id, key = given["model_id"], given["tag_key"]

    def changed(body: Body) -> Body:
        if key not in body["tags"]:
            raise unknown(f"No tag with key '{key}' found for model with ID '{model_id}'.")
        return {"tags": {name: value for name, value in body["tags"].items() if name != key}}

    _edit(tracking, model_id, changed)
    return {}


def noted(tracking: Tracking, model_id: str, name: str, version: int) -> None:
    """Write into a logged model's tags that it was registered."""

    def changed(body: Body) -> Body:
        known = json.loads(body["tags"].get(VERSIONS, "[]"))
        return {"tags": {**body["tags"], VERSIONS: json.dumps([*known, {"name": name, "version": version}])}}

    _edit(tracking, model_id, changed)


def require_models(tracking: Tracking, metrics: Sequence[Metric]) -> None:
    """See that there are the logged models that metrics are of."""
    for model_id in {each.series.model_id for each in metrics if each.series is not None and each.series.model_id}:
        model_of(tracking, str(model_id))


def measured(tracking: Tracking, run_id: str, metrics: Sequence[Metric]) -> None:
    """Write what was measured of logged models into them."""
    of_model: dict[str, list[Metric]] = {}
    for metric in metrics:
        if metric.series is not None and metric.series.model_id:
            of_model.setdefault(metric.series.model_id, []).append(metric)
    for model_id, values in of_model.items():
        new = [{**metric_shown(each), "value": str(each.value), "run_id": run_id} for each in values]

        def added(body: Body, new: list[dict[str, Any]] = new) -> Body:
            return {**body, "metrics": [*body["metrics"], *(each for each in new if each not in body["metrics"])]}

        edit(tracking, MODELS, model_id, added, fields_of=_fields, absent=_absent(model_id))


def search(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Logged models of experiments, by filter, datasets and order."""
    on: list[Expr] = []
    for each in given["datasets"]:
        if not each.get("dataset_name"):
            raise invalid("`dataset_name` in the `datasets` clause must be specified.")
        key = _of_dataset(each["dataset_name"], each.get("dataset_digest") or "")
        on.append(attribute(key, "is not null"))
    query = Query(
        where=within(
            attribute("experiment_id", "in", tuple(given["experiment_ids"])),
            attribute("lifecycle", "=", "active"),
            filter_of(given["filter"], GRAMMAR),
            *on,
        ),
        order=(*(_order(each) for each in given["order_by"]), *NEWEST),
        lifecycle=None,
        limit=given["max_results"] or 100,
        page=given["page_token"] or None,
    )
    page = tracking.records.documents.search(MODELS, query)
    return paged({"models": [shown(dict(each.body)) for each in page.items]}, page.following)


def _order(given: Mapping[str, Any]) -> Order:
    name = given.get("field_name")
    if not name:
        raise invalid("`field_name` in the `order_by` clause must be specified.")
    ascending = given.get("ascending", True)
    return Order(field=GRAMMAR.field_of(str(name)).field, descending=not ascending)
