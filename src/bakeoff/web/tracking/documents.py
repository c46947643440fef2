"""What clients keep here and bakeoff itself has no noun for: documents that can be searched by fields."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from bakeoff.core.errors import ConflictError
from bakeoff.core.queries import Kind, QueryField
from bakeoff.core.records import DocumentChange
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.wire import TrackingError

__all__ = ["APART", "Body", "Fields", "edit", "fields", "remove", "settle", "write"]

Body: TypeAlias = dict[str, Any]
Fields: TypeAlias = Mapping[QueryField, str | float]
TRIES = 50
APART = "\x1f"
"""Between the parts of a key. (No NUL: PostgreSQL has none in texts, and functions of SQLite stop at one.)"""


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


def settle(tracking: Tracking, changes: Callable[[], Iterable[DocumentChange]]) -> None:
    """Write what follows from what is there now, all or none; work it out again where another was faster."""
    for _ in range(TRIES):
        try:
            tracking.records.documents.apply([*changes()])
        except ConflictError:
            continue
        return
    raise TrackingError("RESOURCE_CONFLICT", "too many wrote the same at once: try again")


def edit(
    tracking: Tracking,
    collection: str,
    key: str,
    change: Callable[[Body], Body],
    *,
    fields_of: Callable[[Body], Fields],
    absent: TrackingError | Body,
) -> Body:
    """Change a document by what it says now; `absent` is what to begin with where there is none, or the refusal."""
    result: Body = {}

    def changes() -> Iterable[DocumentChange]:
        nonlocal result
        known = tracking.records.documents.get(collection, key)
        if known is None and isinstance(absent, TrackingError):
            raise absent
        before: Mapping[str, Any] = known.body if known is not None else absent  # pyright: ignore[reportAssignmentType]
        result = change({**before})
        revision = 0 if known is None else known.revision
        yield DocumentChange(collection=collection, key=key, body=result, fields=fields_of(result), expected=revision)

    settle(tracking, changes)
    return result


def remove(tracking: Tracking, collection: str, keys: Sequence[str]) -> Json:
    """Remove documents, all or none."""
    tracking.records.documents.apply([DocumentChange(collection=collection, key=key, body=None) for key in keys])
    return {}
