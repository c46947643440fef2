"""Free the blobs that no record needs any more."""

from collections.abc import Iterable
from dataclasses import dataclass

from bakeoff.core.errors import NotFoundError
from bakeoff.core.protocols import BlobStore
from bakeoff.core.refs import Reference

__all__ = ["Collected", "collected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Bytes that no record needs (older than the grace period), and how many of them were deleted."""

    bytes: int
    deleted: int
    roots: int


def collected(blobs: BlobStore, references: Iterable[Reference], *, grace_s: float, delete: bool) -> Collected:
    """Count what no reference reaches, or delete it.

    A step whose blob is gone is not done, and needs nothing: only what other records lack stops the collection.

    Raises:
        NotFoundError: a record lacks a blob. UsageError: there are no references.
    """
    roots: dict[str, None] = {}
    for reference in references:
        if blobs.contains(reference.blob):
            roots[reference.blob] = None
        elif reference.step is None:
            raise NotFoundError(
                f"expected blob {reference.blob}, which {reference.owner} needs, found none: nothing was deleted; "
                "run 'bakeoff verify' first"
            )
    freed = blobs.collect(list(roots), grace_s=grace_s, delete=delete)
    return Collected(bytes=freed, deleted=freed if delete else 0, roots=len(roots))
