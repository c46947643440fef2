"""What clients keep here and bakeoff itself has no noun for: documents that can be searched by fields."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from bakeoff.core.errors import ConflictError
from bakeoff.core.queries import Kind, QueryField
from bakeoff.core.records import DocumentChange
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.wire import TrackingError

__all__ = ["Body", "Fields", "edit", "fields", "remove", "write"]

Body: TypeAlias = dict[str, Any]
Fields: TypeAlias = Mapping[QueryField, str | float]
TRIES = 50


def fields(
    attributes: Mapping[str, str | float | None],
    *,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Fields:
    """What a document can be searched by."""
    result: dict[QueryField, str | float] = {}
    of_kinds: Mapping[Kind, Mapping[str, str | float | None] | None] = {
        "attribute": attributes,
        "param": params,
        "tag": tags,
        "metric": metrics,
    }
    for kind, values in of_kinds.items():
        for key, value in (values or {}).items():
            if value is not None:
                result[QueryField(kind=kind, key=key)] = value
    return result


def write(
    tracking: Tracking,
    collection: str,
    entries: Mapping[str, Body],
    fields_of: Callable[[Body], Fields],
    *,
    new: bool = False,
) -> None:
    """Write documents, all or none; `new`: none of them may be there yet."""
    changes = [
        DocumentChange(collection=collection, key=key, body=body, fields=fields_of(body), expected=0 if new else None)
        for key, body in entries.items()
    ]
    tracking.records.documents.apply(changes)


def edit(
    tracking: Tracking,
    collection: str,
    key: str,
    change: Callable[[Body], Body | None],
    *,
    fields_of: Callable[[Body], Fields],
    absent: TrackingError,
) -> Body:
    """Change a document by what it says now, again where another was faster; `change` may give None for no change."""
    for _ in range(TRIES):
        known = tracking.records.documents.get(collection, key)
        if known is None:
            raise absent
        body = change(dict(known.body))
        if body is None:
            return dict(known.body)
        entry = DocumentChange(
            collection=collection, key=key, body=body, fields=fields_of(body), expected=known.revision
        )
        try:
            tracking.records.documents.apply([entry])
        except ConflictError:
            continue
        return body
    raise TrackingError("RESOURCE_CONFLICT", f"too many change {key!r} at once: try again")


def remove(tracking: Tracking, collection: str, keys: Sequence[str]) -> Json:
    """Remove documents, all or none."""
    tracking.records.documents.apply([DocumentChange(collection=collection, key=key, body=None) for key in keys])
    return {}
