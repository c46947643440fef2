"""Evaluation datasets: named sets of questions with what is expected of answers, and the experiments they are of."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from bakeoff.core.hashing import canonical_json
from bakeoff.core.queries import AllOf, AnyOf, Expr, Order, Predicate, Query, QueryField
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.experiments import experiment_of
from bakeoff.web.tracking.filters import Grammar, Name, filter_of, order_of
from bakeoff.web.tracking.papers import Body, Fields, edit, fields, remove, write
from bakeoff.web.tracking.wire import TrackingError, invalid, unknown

__all__ = [
    "add_experiments",
    "create",
    "delete",
    "delete_records",
    "delete_tag",
    "experiment_ids",
    "get",
    "records",
    "remove_experiments",
    "search",
    "set_tags",
    "upsert",
]

DATASETS, RECORDS = "evaluation_datasets", "evaluation_records"
PAGE = 1000


def _attribute(key: str, *, number: bool = False) -> Name:
    return Name(field=QueryField(kind="attribute", key=key), number=number)


GRAMMAR = Grammar(
    attributes={
        "name": _attribute("name"),
        "dataset_id": _attribute("id"),
        "digest": _attribute("digest"),
        "created_by": _attribute("created_by"),
        "last_updated_by": _attribute("last_updated_by"),
        "created_time": _attribute("created_time", number=True),
        "last_update_time": _attribute("last_update_time", number=True),
    },
    kinds={"tag": "tag", "tags": "tag"},
)
OLDEST_RECORD = (Order(field=QueryField(kind="attribute", key="number")),)


def _of_experiment(experiment_id: str) -> QueryField:
    return QueryField(kind="attribute", key=f"experiment\0{experiment_id}")


def _fields(body: Body) -> Fields:
    mine = dict.fromkeys((_of_experiment(each).key for each in body["experiment_ids"]), 1)
    plain = {
        key: body[key]
        for key in ("name", "digest", "created_by", "last_updated_by", "created_time", "last_update_time")
    }
    return fields({**plain, **mine}, tags={key: str(value) for key, value in body["tags"].items()})


def _absent(dataset_id: str) -> TrackingError:
    return unknown(f"Evaluation dataset with id '{dataset_id}' not found")


def _shown(body: Mapping[str, Any]) -> Json:
    plain = {
        key: body[key] for key in ("dataset_id", "name", "digest", "created_time", "last_update_time", "experiment_ids")
    }
    more = {key: body[key] for key in ("schema", "profile", "created_by", "last_updated_by") if body.get(key)}
    return {**plain, **more, "tags": json.dumps(body["tags"])}


def _dataset(tracking: Tracking, dataset_id: str) -> Body:
    known = tracking.records.documents.get(DATASETS, dataset_id)
    if known is None:
        raise _absent(dataset_id)
    return dict(known.body)


def _edit(tracking: Tracking, dataset_id: str, **more: Any) -> Body:
    def changed(body: Body) -> Body:
        return {**body, **more, "last_update_time": tracking.clock()}

    return edit(tracking, DATASETS, dataset_id, changed, fields_of=_fields, absent=_absent(dataset_id))


def _object(name: str, text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise invalid(f"Invalid value for parameter '{name}' supplied: expected a JSON object as text")
    return value


def create(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A new dataset without records."""
    tags, now, dataset_id = _object("tags", given["tags"]), tracking.clock(), f"d-{uuid.uuid4().hex}"
    body: Body = {
        "dataset_id": dataset_id,
        "name": given["name"],
        "tags": tags,
        "schema": None,
        "profile": None,
        "digest": hashlib.sha256(f"{given['name']}:{now}".encode()).hexdigest()[:8],
        "created_time": now,
        "last_update_time": now,
        "created_by": tags.get("mlflow.user"),
        "last_updated_by": tags.get("mlflow.user"),
        "experiment_ids": [experiment_of(tracking, each).experiment_id for each in given["experiment_ids"]],
        "records": 0,
    }
    write(tracking, DATASETS, {dataset_id: body}, _fields, new=True)
    return {"dataset": _shown(body)}


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One dataset, without its records."""
    return {"dataset": _shown(_dataset(tracking, given["dataset_id"]))}


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Remove a dataset and its records."""
    known = tracking.records.documents.find(RECORDS, f"{given['dataset_id']}/")
    remove(tracking, RECORDS, [each.key for each in known])
    return remove(tracking, DATASETS, [given["dataset_id"]])


def search(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Datasets by filter, of some experiments or of all."""
    stated = filter_of(given["filter_string"], GRAMMAR)
    parts: list[Expr] = [] if stated is None else [stated]
    if given["experiment_ids"]:
        parts.append(
            AnyOf(
                parts=tuple(
                    Predicate(field=_of_experiment(each), operator="is not null") for each in given["experiment_ids"]
                )
            )
        )
    order = order_of(given["order_by"] or ["created_time DESC"], GRAMMAR)
    query = Query(
        where=AllOf(parts=tuple(parts)),
        order=order,
        lifecycle=None,
        limit=given["max_results"] or PAGE,
        page=given["page_token"] or None,
    )
    page = tracking.records.documents.search(DATASETS, query)
    body: dict[str, Json] = {"datasets": [_shown(each.body) for each in page.items]}
    return body if page.following is None else {**body, "next_page_token": page.following}


def set_tags(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Tags of a dataset; one that becomes null is gone."""
    known = {**_dataset(tracking, given["dataset_id"])["tags"], **_object("tags", given["tags"])}
    body = _edit(tracking, given["dataset_id"], tags={key: value for key, value in known.items() if value is not None})
    return {"dataset": _shown(body)}


def delete_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a tag of a dataset away."""
    known = _dataset(tracking, given["dataset_id"])["tags"]
    _edit(tracking, given["dataset_id"], tags={key: value for key, value in known.items() if key != given["key"]})
    return {}


def experiment_ids(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The experiments that a dataset is of."""
    return {"experiment_ids": _dataset(tracking, given["dataset_id"])["experiment_ids"]}


def add_experiments(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Say that a dataset is of further experiments, too."""
    known = _dataset(tracking, given["dataset_id"])["experiment_ids"]
    more = [experiment_of(tracking, each).experiment_id for each in given["experiment_ids"]]
    return {"dataset": _shown(_edit(tracking, given["dataset_id"], experiment_ids=[*dict.fromkeys([*known, *more])]))}


def remove_experiments(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Say that a dataset is not of these experiments."""
    known = _dataset(tracking, given["dataset_id"])["experiment_ids"]
    rest = [each for each in known if each not in given["experiment_ids"]]
    return {"dataset": _shown(_edit(tracking, given["dataset_id"], experiment_ids=rest))}


def upsert(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Add records; those with inputs that are there already are merged with what is new."""
    dataset_id = given["dataset_id"]
    dataset = _dataset(tracking, dataset_id)
    try:
        listed = json.loads(given["records"])
    except ValueError:
        listed = None
    if not isinstance(listed, list) or not all(
        isinstance(each, dict) and isinstance(each.get("inputs"), dict) for each in listed
    ):
        raise invalid("Invalid value for parameter 'records' supplied: expected a JSON list of records with inputs")
    now, new, updated, entries = tracking.clock(), 0, 0, dict[str, Body]()
    for each in listed:
        digest = hashlib.sha256(canonical_json(each["inputs"])).hexdigest()
        key = f"{dataset_id}/{digest}"
        known: Body | None = entries.get(key)
        if known is None and (stored := tracking.records.documents.get(RECORDS, key)) is not None:
            known = {**stored.body}
        merged = {
            part: {**((known or {}).get(part) or {}), **(each.get(part) or {})} for part in ("expectations", "tags")
        }
        if known is None:
            new += 1
            number = dataset["records"] + new
            known = {
                "dataset_record_id": f"dr-{uuid.uuid4().hex}",
                "dataset_id": dataset_id,
                "created_time": now,
                "number": number,
            }
        else:
            updated += 1
        more = {
            part: each[part] for part in ("outputs", "source", "source_id", "source_type") if each.get(part) is not None
        }
        entries[key] = {**known, "inputs": each["inputs"], **merged, **more, "last_update_time": now}
    write(tracking, RECORDS, entries, lambda body: fields({"dataset_id": dataset_id, "number": body["number"]}))
    profile = json.dumps({"num_records": dataset["records"] + new})
    digest = hashlib.sha256(f"{dataset['digest']}:{now}".encode()).hexdigest()[:8]
    _edit(tracking, dataset_id, records=dataset["records"] + new, profile=profile, digest=digest)
    return {"inserted_count": new, "updated_count": updated}


def records(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Records of a dataset in the order in which they came, as JSON in a text."""
    _dataset(tracking, given["dataset_id"])
    mine = Predicate(field=QueryField(kind="attribute", key="dataset_id"), operator="=", value=given["dataset_id"])
    query = Query(
        where=mine,
        order=OLDEST_RECORD,
        lifecycle=None,
        limit=given["max_results"] or PAGE,
        page=given["page_token"] or None,
    )
    page = tracking.records.documents.search(RECORDS, query)
    listed = [{key: value for key, value in each.body.items() if key != "number"} for each in page.items]
    body: dict[str, Json] = {"records": json.dumps(listed)}
    return body if page.following is None else {**body, "next_page_token": page.following}


def delete_records(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Remove records of a dataset by their ids."""
    known = tracking.records.documents.find(RECORDS, f"{given['dataset_id']}/")
    gone = [each.key for each in known if each.body["dataset_record_id"] in given["dataset_record_ids"]]
    remove(tracking, RECORDS, gone)
    return {"deleted_count": len(gone)}
