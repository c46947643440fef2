"""References to blobs: what records hold of content, and what must not be collected while they do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NewType

from bakeoff.core.types import Json

__all__ = ["BlobRef", "Reference", "blobs_of", "ref"]

BlobRef = NewType("BlobRef", str)
"""The id of a blob or of a tree of blobs: 64 hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A blob and the record that needs it, in words; a `step` is made again when its blob is gone."""

    blob: BlobRef
    owner: str
    step: str | None = None


def ref(value: object) -> Iterator[BlobRef]:
    """The reference in a place of JSON that may hold one."""
    if isinstance(value, str) and value:
        yield BlobRef(value)


def blobs_of(value: Json) -> Iterator[BlobRef]:
    """The blobs that a step's result names: at any depth, under keys that end in `_blob`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from ref(inner) if key.endswith("_blob") else blobs_of(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from blobs_of(inner)
