"""The document of an endpoint, which names its routes, and the history of its changes.

Reading and the one write: a change moves the document by compare-and-swap, and is written to the history in the same
commit. What the changes are: `bakeoff.serve.endpoints`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from bakeoff.core import narrow
from bakeoff.core.errors import ConflictError
from bakeoff.core.protocols import DocumentRecords
from bakeoff.core.records import DocumentChange
from bakeoff.core.releases import Endpoint, EndpointChange, Route
from bakeoff.core.types import Json

__all__ = ["ENDPOINTS", "Beside", "changes_of", "endpoint_of", "move", "names_of"]

Beside: TypeAlias = Callable[[EndpointChange], Sequence[DocumentChange]]
"""Makes what is written together with a change of an endpoint."""

ENDPOINTS = "endpoints"
CHANGES = "endpoint_changes"
TRIES = 100


def names_of(documents: DocumentRecords) -> tuple[str, ...]:
    """Names of the endpoints that were ever released on or created, sorted."""
    return tuple(document.key for document in documents.find(ENDPOINTS))


def endpoint_of(documents: DocumentRecords, name: str) -> Endpoint | None:
    """The endpoint with its routes, or None when there never was one."""
    document = documents.get(ENDPOINTS, name)
    return None if document is None else _endpoint(name, document.body, document.revision)


def _endpoint(name: str, body: Mapping[str, Json], revision: int = 0) -> Endpoint:
    routes: list[Mapping[str, Any]] = [narrow.json_object(each) for each in narrow.json_array(body.get("routes", ()))]
    live, previous = body.get("release_id"), body.get("previous")
    return Endpoint(
        name=name,
        live=None if live is None else narrow.text(live),
        others=tuple(Route(**route) for route in routes),
        paused=bool(body.get("paused")),
        previous=None if previous is None else narrow.text(previous),
        revision=revision,
    )


def move(documents: DocumentRecords, change: EndpointChange, beside: Beside = lambda _: ()) -> Endpoint:
    """Write the change, unless it changes nothing; the endpoint after it.

    `beside` makes what is written in the same commit; it is made anew while others write the same.

    Raises:
        ConflictError: somebody else moved the endpoint since `change.before` was read.
    """
    before, after = change.before, change.after
    if before.revision and before.to_json() == after.to_json():
        return before
    number = before.revision + 1
    about: dict[str, Json] = {"what": change.what, "who": change.who, "why": change.why, "time_ms": change.time_ms}
    entry: dict[str, Json] = {**about, "before": before.to_json(), "after": after.to_json(), "number": number}
    moved = DocumentChange(
        collection=ENDPOINTS, key=after.name, body={**after.to_json(), "changed": about}, expected=before.revision
    )
    # The time beside the number: of an endpoint that was removed and made again, the numbers begin again.
    written = DocumentChange(
        collection=CHANGES, key=f"{after.name}/{number:09}-{change.time_ms}", body=entry, expected=0
    )
    for _ in range(TRIES):
        try:
            documents.apply([moved, written, *beside(change)])
        except ConflictError:
            now = documents.get(ENDPOINTS, after.name)
            if (now.revision if now else 0) != before.revision:
                break
        else:
            return _endpoint(after.name, after.to_json(), number)
    raise ConflictError(
        f"expected endpoint {after.name!r} to still serve release {before.live!r} as it was read, but somebody "
        "else moved it; look at what serves now, then try again"
    )


def changes_of(documents: DocumentRecords, name: str) -> list[EndpointChange]:
    """Every change of the endpoint, newest first."""
    changes: list[EndpointChange] = []
    for document in documents.find(CHANGES, f"{name}/"):
        body = document.body
        number = narrow.whole(body["number"])
        changes.append(
            EndpointChange(
                endpoint=name,
                what=narrow.text(body["what"]),
                who=narrow.text(body["who"]),
                why=narrow.text(body["why"]),
                time_ms=narrow.whole(body["time_ms"]),
                before=_endpoint(name, narrow.json_object(body["before"]), number - 1),
                after=_endpoint(name, narrow.json_object(body["after"]), number),
            )
        )
    return changes[::-1]
