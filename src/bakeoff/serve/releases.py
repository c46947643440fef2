"""Releases: immutable documents; which of them take part in an endpoint's traffic, its routes say.

A release's id is the hash of what it is, so that releasing the same thing twice (a resumed loop) gives the
same document, and moving the endpoint (one compare-and-swap) is the only step that can be lost to another.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from bakeoff.core import narrow
from bakeoff.core.errors import NotFoundError
from bakeoff.core.families import registered_name
from bakeoff.core.hashing import digest_json
from bakeoff.core.protocols import Clock, DocumentRecords
from bakeoff.core.records import Document
from bakeoff.core.releases import Endpoint, Release, ReleaseStatus
from bakeoff.core.types import Json
from bakeoff.serve.routes import endpoint_of, names_of

__all__ = [
    "Release",
    "ReleaseStatus",
    "all_releases",
    "current",
    "endpoints",
    "history",
    "make_release",
    "release_of",
    "routed",
    "taking_part",
]

RELEASES = "releases"
ID_LENGTH = 16


def make_release(
    documents: DocumentRecords,
    *,
    endpoint: str,
    model: str,
    number: int,
    family: str,
    blob_id: str,
    clock: Clock,
    steps: tuple[Json, ...] = (),
    columns: tuple[str, ...] = (),
    aside: tuple[str, ...] = (),
    reference_id: str | None = None,
    contract_id: str | None = None,
    derived: Mapping[str, str] = MappingProxyType({}),
) -> Release:
    """Make a model version ready to serve on the endpoint; no route changes. What takes part already is given back."""
    body: dict[str, Json] = {
        "endpoint": endpoint,
        "model": model,
        "number": number,
        "family": family,
        "blob_id": blob_id,
        "steps": list(steps),
        "columns": list(columns),
        "aside": list(aside),
        "reference_id": reference_id,
        "contract_id": contract_id,
    }
    if derived:  # left out where there is nothing, so that releases keep their ids
        body["derived"] = dict(derived)
    routes = routed(documents, endpoint)
    same = next((each for each in routes if _content(each) == body), None)
    if same is not None:
        return same
    body["previous"] = routes[0].release_id if routes else None
    release_id = digest_json(body)[:ID_LENGTH]
    if documents.get(RELEASES, f"{endpoint}/{release_id}") is None:
        documents.put(RELEASES, f"{endpoint}/{release_id}", body | {"created_ms": clock()})
    return release_of(documents, endpoint, release_id)


def current(documents: DocumentRecords, endpoint: str) -> Release | None:
    """The live release of the endpoint, or None when nothing was released on it."""
    return next(iter(routed(documents, endpoint)), None)


def routed(documents: DocumentRecords, endpoint: str) -> tuple[Release, ...]:
    """The releases that take part in the endpoint's traffic, the live one first; none before the first release.

    `status` is the role of each, `share` its part of the traffic: nothing beside the live one while it is paused.
    """
    of = endpoint_of(documents, endpoint)
    return () if of is None else taking_part(documents, of)


def taking_part(documents: DocumentRecords, endpoint: Endpoint) -> tuple[Release, ...]:
    """The same of an endpoint that was read."""
    return tuple(
        replace(release_of(documents, endpoint.name, route.release_id), status=route.role, share=route.share)
        for route in endpoint.routes
    )


def history(documents: DocumentRecords, endpoint: str) -> list[Release]:
    """All releases of the endpoint, newest first; those that take part with their role, the others `retired`."""
    routes = {each.release_id: each for each in routed(documents, endpoint)}
    releases = [_from(document) for document in documents.find(RELEASES, f"{endpoint}/")]
    releases = [routes.get(each.release_id, each) for each in releases]
    return sorted(releases, key=lambda item: item.created_ms, reverse=True)


def all_releases(documents: DocumentRecords) -> list[Release]:
    """The releases of all endpoints, none of them marked as live."""
    return [_from(document) for document in documents.find(RELEASES)]


def endpoints(documents: DocumentRecords) -> tuple[str, ...]:
    """Names of the endpoints that were released on or created, sorted."""
    return names_of(documents)


def release_of(documents: DocumentRecords, endpoint: str, release_id: str) -> Release:
    """A release of the endpoint by its id.

    Raises:
        NotFoundError: there is none.
    """
    document = documents.get(RELEASES, f"{endpoint}/{release_id}")
    if document is None:
        raise NotFoundError(
            f"expected release {release_id!r} of endpoint {endpoint!r} in the records, found nothing; "
            "the records are incomplete: restore them or release again"
        )
    return _from(document)


def _content(live: Release) -> dict[str, Json]:
    body: dict[str, Json] = {
        "endpoint": live.endpoint,
        "model": live.model,
        "number": live.number,
        "family": live.family,
        "blob_id": live.blob_id,
        "steps": list(live.steps),
        "columns": list(live.columns),
        "aside": list(live.aside),
        "reference_id": live.reference_id,
        "contract_id": live.contract_id,
    }
    if live.derived:
        body["derived"] = dict(live.derived)
    return body


def _from(document: Document) -> Release:
    fields = document.body
    made = Release(release_id=document.key.rpartition("/")[2], **fields)  # pyright: ignore[reportArgumentType]
    steps, columns = tuple(narrow.json_array(fields["steps"])), tuple(narrow.texts(fields["columns"]))
    aside = tuple(narrow.texts(fields.get("aside", ())))
    return replace(made, family=registered_name(made.family), steps=steps, columns=columns, aside=aside)
