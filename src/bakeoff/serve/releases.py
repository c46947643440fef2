"""Releases: immutable documents; what serves is the one that the endpoint's pointer names.

A release's id is the hash of what it is, so that releasing the same thing twice (a resumed loop) gives the
same document, and moving the pointer (one compare-and-swap) is the only step that can be lost to another.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from bakeoff.core import narrow
from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.families import registered_name
from bakeoff.core.hashing import digest_json
from bakeoff.core.protocols import Clock, DocumentRecords
from bakeoff.core.records import Document
from bakeoff.core.releases import Release, ReleaseStatus
from bakeoff.core.types import Json

__all__ = [
    "Release",
    "ReleaseStatus",
    "all_releases",
    "current",
    "endpoints",
    "history",
    "release",
    "rollback",
    "routed",
]

RELEASES = "releases"
ENDPOINTS = "endpoints"
ID_LENGTH = 16


def release(
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
    """Make a model version live on the endpoint; when it already is, nothing happens.

    Raises:
        ConflictError: somebody else moved the endpoint's pointer meanwhile.
    """
    pointer = documents.get(ENDPOINTS, endpoint)
    live = _read(documents, endpoint, _named(pointer))
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
    if live is not None and _content(live) == body:
        return live
    body["previous"] = live.release_id if live else None
    release_id = digest_json(body)[:ID_LENGTH]
    if documents.get(RELEASES, f"{endpoint}/{release_id}") is None:
        documents.put(RELEASES, f"{endpoint}/{release_id}", body | {"created_ms": clock()})
    _move(documents, endpoint, pointer, release_id)
    return _must_read(documents, endpoint, release_id)


def current(documents: DocumentRecords, endpoint: str) -> Release | None:
    """The live release of the endpoint, or None when nothing was released on it."""
    return _read(documents, endpoint, _named(documents.get(ENDPOINTS, endpoint)))


def routed(documents: DocumentRecords, endpoint: str) -> tuple[Release, ...]:
    """The releases that take part in the endpoint's traffic, the live one first; none before the first release."""
    live = current(documents, endpoint)
    return () if live is None else (live,)


def rollback(documents: DocumentRecords, endpoint: str) -> Release:
    """Move the pointer back to the release that the live one replaced.

    Raises:
        NotFoundError: nothing is live, or nothing was live before it.
        ConflictError: somebody else moved the pointer meanwhile.
    """
    pointer = documents.get(ENDPOINTS, endpoint)
    live = _read(documents, endpoint, _named(pointer))
    if live is None:
        raise NotFoundError(f"expected a release on endpoint {endpoint!r}, found none; release a model first")
    if live.previous is None:
        raise NotFoundError(
            f"expected an earlier release on endpoint {endpoint!r}, but {live.release_id!r} "
            f"({live.model_version}) is its first; release another model version instead"
        )
    _move(documents, endpoint, pointer, live.previous)
    return _must_read(documents, endpoint, live.previous)


def history(documents: DocumentRecords, endpoint: str) -> list[Release]:
    """All releases of the endpoint, newest first; the one that serves is `live`, the others `retired`."""
    live = _named(documents.get(ENDPOINTS, endpoint))
    found = documents.find(RELEASES, f"{endpoint}/")
    releases = [_from(document, live=document.key == f"{endpoint}/{live}") for document in found]
    return sorted(releases, key=lambda item: item.created_ms, reverse=True)


def all_releases(documents: DocumentRecords) -> list[Release]:
    """The releases of all endpoints, none of them marked as live."""
    return [_from(document, live=False) for document in documents.find(RELEASES)]


def endpoints(documents: DocumentRecords) -> tuple[str, ...]:
    """Names of the endpoints that have a live release, sorted."""
    return tuple(document.key for document in documents.find(ENDPOINTS))


def _named(pointer: Document | None) -> str | None:
    return narrow.text(pointer.body["release_id"]) if pointer else None


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


def _move(documents: DocumentRecords, endpoint: str, pointer: Document | None, release_id: str) -> None:
    try:
        documents.put(ENDPOINTS, endpoint, {"release_id": release_id}, expected=pointer.revision if pointer else 0)
    except ConflictError as error:
        raise ConflictError(
            f"expected endpoint {endpoint!r} to still serve release {_named(pointer)!r}, but somebody else moved it; "
            "look at what serves now, then try again"
        ) from error


def _read(documents: DocumentRecords, endpoint: str, release_id: str | None) -> Release | None:
    return _must_read(documents, endpoint, release_id) if release_id else None


def _must_read(documents: DocumentRecords, endpoint: str, release_id: str) -> Release:
    document = documents.get(RELEASES, f"{endpoint}/{release_id}")
    if document is None:
        raise NotFoundError(
            f"expected release {release_id!r} of endpoint {endpoint!r} in the records, found nothing; "
            "the records are incomplete: restore them or release again"
        )
    return _from(document, live=True)


def _from(document: Document, *, live: bool) -> Release:
    fields = document.body
    made = Release(release_id=document.key.rpartition("/")[2], **fields)  # pyright: ignore[reportArgumentType]
    steps, columns = tuple(narrow.json_array(fields["steps"])), tuple(narrow.texts(fields["columns"]))
    aside = tuple(narrow.texts(fields.get("aside", ())))
    return replace(
        made,
        family=registered_name(made.family),
        steps=steps,
        columns=columns,
        aside=aside,
        status="live" if live else "retired",
        share=1.0 if live else 0.0,
    )
