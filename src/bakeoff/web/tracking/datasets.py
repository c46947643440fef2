"""Evaluation datasets: named sets of questions with what is expected of answers, and the experiments they are of."""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bakeoff.core import narrow
from bakeoff.core.filters import TAGS, Grammar, Name, filter_of, order_of, within
from bakeoff.core.hashing import canonical_json
from bakeoff.core.queries import AnyOf, Order, Query, QueryField, attribute
from bakeoff.core.records import Document, DocumentChange
from bakeoff.core.tracked import EVALUATION_RECORDS
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.documents import APART, Body, Fields, edit, fields, settle, write
from bakeoff.web.tracking.experiments import experiment_of
from bakeoff.web.tracking.wire import TrackingError, invalid, paged, unknown

__all__ = [
    "DATASETS",
    "RECORDS",
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

DATASETS, RECORDS = "evaluation_datasets", EVALUATION_RECORDS
PAGE = 1000


GRAMMAR = Grammar(
    attributes={
        "dataset_id": Name.of("id"),
        **{key: Name.of(key) for key in ("name", "digest", "created_by", "last_updated_by")},
        **{key: Name.of(key, number=True) for key in ("created_time", "last_update_time")},
    },
    kinds=TAGS,
)
OLDEST_RECORD = (Order(field=QueryField(kind="attribute", key="number")),)


def _of_experiment(experiment_id: str) -> str:
    return f"experiment{APART}{experiment_id}"


def _fields(body: Body) -> Fields:
    mine = dict.fromkeys((_of_experiment(each) for each in body["experiment_ids"]), 1)
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


def _stored(tracking: Tracking, dataset_id: str) -> Document:
    known = tracking.records.documents.get(DATASETS, dataset_id)
    if known is None:
        raise _absent(dataset_id)
    return known


def _digest(of: str, now: int) -> str:
    return hashlib.sha256(f"{of}:{now}".encode()).hexdigest()[:8]


def _edit(tracking: Tracking, dataset_id: str, change: Callable[[Body], Body]) -> Body:
    """Change a dataset; `change` gives what is new of it."""

    def changed(body: Body) -> Body:
        return {**body, **change(body), "last_update_time": tracking.clock()}

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
        "digest": _digest(given["name"], now),
        "created_time": now,
        "last_update_time": now,
        "created_by": tags.get("mlflow.user"),
        "last_updated_by": tags.get("mlflow.user"),
        "experiment_ids": [experiment_of(tracking, each).experiment_id for each in given["experiment_ids"]],
        "records": 0,
        "numbered": 0,
    }
    write(tracking, DATASETS, {dataset_id: body}, _fields, new=True)
    return {"dataset": _shown(body)}


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One dataset, without its records."""
    return {"dataset": _shown(_stored(tracking, given["dataset_id"]).body)}


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Remove a dataset and its records."""
    known = tracking.records.documents.find(RECORDS, f"{given['dataset_id']}/")
    gone = [(RECORDS, each.key) for each in known]
    tracking.records.documents.apply(
        [DocumentChange(collection=of, key=key, body=None) for of, key in [*gone, (DATASETS, given["dataset_id"])]]
    )
    return {}


def search(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Datasets by filter, of some experiments or of all."""
    mine = AnyOf(parts=tuple(attribute(_of_experiment(each), "is not null") for each in given["experiment_ids"]))
    query = Query(
        where=within(filter_of(given["filter_string"], GRAMMAR), mine if mine.parts else None),
        order=order_of(given["order_by"] or ["created_time DESC"], GRAMMAR),
        lifecycle=None,
        limit=given["max_results"] or PAGE,
        page=given["page_token"] or None,
    )
    page = tracking.records.documents.search(DATASETS, query)
    return paged({"datasets": [_shown(each.body) for each in page.items]}, page.following)


def set_tags(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Tags of a dataset; one that becomes null is gone."""
    tags = _object("tags", given["tags"])

    def changed(body: Body) -> Body:
        return {"tags": {key: value for key, value in {**body["tags"], **tags}.items() if value is not None}}

    return {"dataset": _shown(_edit(tracking, given["dataset_id"], changed))}


def delete_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a tag of a dataset away."""

    def changed(body: Body) -> Body:
        return {"tags": {key: value for key, value in body["tags"].items() if key != given["key"]}}

    _edit(tracking, given["dataset_id"], changed)
    return {}


def experiment_ids(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The experiments that a dataset is of."""
    return {"experiment_ids": _stored(tracking, given["dataset_id"]).body["experiment_ids"]}


def add_experiments(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Say that a dataset is of further experiments, too."""
    more = [experiment_of(tracking, each).experiment_id for each in given["experiment_ids"]]

    def changed(body: Body) -> Body:
        return {"experiment_ids": [*dict.fromkeys([*body["experiment_ids"], *more])]}

    return {"dataset": _shown(_edit(tracking, given["dataset_id"], changed))}


def remove_experiments(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Say that a dataset is not of these experiments."""

    def changed(body: Body) -> Body:
        return {"experiment_ids": [each for each in body["experiment_ids"] if each not in given["experiment_ids"]]}

    return {"dataset": _shown(_edit(tracking, given["dataset_id"], changed))}


def upsert(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Add records; those with inputs that are there already are merged with what is new."""
    try:
        listed = json.loads(given["records"])
    except ValueError:
        listed = None
    if not isinstance(listed, list) or not all(
        isinstance(each, dict) and isinstance(each.get("inputs"), dict) for each in listed
    ):
        raise invalid("Invalid value for parameter 'records' supplied: expected a JSON list of records with inputs")
    new = updated = 0

    def changes() -> Iterable[DocumentChange]:
        nonlocal new, updated
        new, updated = 0, 0
        dataset, now = _stored(tracking, given["dataset_id"]), tracking.clock()
        entries: dict[str, DocumentChange] = {}
        for each in listed:
            key = f"{dataset.key}/{hashlib.sha256(canonical_json(each['inputs'])).hexdigest()}"
            stored = tracking.records.documents.get(RECORDS, key)
            known = entries[key].body if key in entries else None if stored is None else stored.body
            updated, new = updated + (known is not None), new + (known is None)
            body = _merged(known or _record(dataset, now, new), each, now)
            entries[key] = DocumentChange(
                collection=RECORDS,
                key=key,
                body=body,
                fields=fields({"dataset_id": dataset.key, "number": body["number"]}),
                expected=0 if stored is None else stored.revision,
            )
        yield _resized(dataset, new, now, digest=_digest(narrow.text(dataset.body["digest"]), now))
        yield from entries.values()

    settle(tracking, changes)
    return {"inserted_count": new, "updated_count": updated}


def _record(dataset: Document, now: int, place: int) -> Body:
    """A new record, the `place`-th behind those that the dataset has had."""
    return {
        "dataset_record_id": f"dr-{uuid.uuid4().hex}",
        "dataset_id": dataset.key,
        "created_time": now,
        "number": narrow.whole(dataset.body["numbered"]) + place,
    }


def _merged(known: Mapping[str, Any], given: Mapping[str, Any], now: int) -> Body:
    """A record with what is new of it."""
    merged = {part: {**(known.get(part) or {}), **(given.get(part) or {})} for part in ("expectations", "tags")}
    more = {
        part: given[part] for part in ("outputs", "source", "source_id", "source_type") if given.get(part) is not None
    }
    return {**known, "inputs": given["inputs"], **merged, **more, "last_update_time": now}


def _resized(dataset: Document, more: int, now: int, **new: Json) -> DocumentChange:
    """The dataset with so many more records, or fewer."""
    count = narrow.whole(dataset.body["records"]) + more
    body = {
        **dataset.body,
        **new,
        "records": count,
        "numbered": narrow.whole(dataset.body["numbered"]) + max(more, 0),
        "profile": json.dumps({"num_records": count}),
        "last_update_time": now,
    }
    return DocumentChange(
        collection=DATASETS, key=dataset.key, body=body, fields=_fields(body), expected=dataset.revision
    )


def records(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Records of a dataset in the order in which they came, as JSON in a text."""
    dataset = _stored(tracking, given["dataset_id"])
    query = Query(
        where=attribute("dataset_id", "=", dataset.key),
        order=OLDEST_RECORD,
        lifecycle=None,
        limit=given["max_results"] or PAGE,
        page=given["page_token"] or None,
    )
    page = tracking.records.documents.search(RECORDS, query)
    listed = [{key: value for key, value in each.body.items() if key != "number"} for each in page.items]
    return paged({"records": json.dumps(listed)}, page.following)


def delete_records(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Remove records of a dataset by their ids."""
    gone: list[Document] = []

    def changes() -> Iterable[DocumentChange]:
        nonlocal gone
        dataset, now = _stored(tracking, given["dataset_id"]), tracking.clock()
        known = tracking.records.documents.find(RECORDS, f"{dataset.key}/")
        gone = [each for each in known if each.body["dataset_record_id"] in given["dataset_record_ids"]]
        if gone:
            yield _resized(dataset, -len(gone), now)
        for each in gone:
            yield DocumentChange(collection=RECORDS, key=each.key, body=None, expected=each.revision)

    settle(tracking, changes)
    return {"deleted_count": len(gone)}
