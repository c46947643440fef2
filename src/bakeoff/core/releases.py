"""A release: a model version made ready to serve, immutable; which one serves, the endpoint's pointer says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from bakeoff.core.refs import BlobRef, ref

__all__ = ["Release", "ReleaseStatus"]

ReleaseStatus: TypeAlias = Literal["live", "canary", "shadow", "retired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A model version on an endpoint.

    `blob_id` is the model's blob tree, `steps` the preparation steps that served rows pass through,
    `columns` what is logged of a row (the model's inputs when empty; a dataset may need more to learn from it),
    `aside` the further columns of the training data, which a row may have (its target, what the project ignores),
    `reference_id` the blob of what monitoring compares with, `contract_id` that of the data contract which served
    rows are held against, `previous` the release that it replaced,
    `derived` the content of the files that were made of the model for its engine and checked, by name,
    `share` its part of the endpoint's traffic (0 to 1).
    """

    release_id: str
    endpoint: str
    model: str
    number: int
    family: str
    blob_id: str
    steps: tuple[Any, ...] = ()
    columns: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    reference_id: str | None = None
    contract_id: str | None = None
    derived: Mapping[str, str] = field(default_factory=dict[str, str])
    previous: str | None = None
    status: ReleaseStatus = "retired"
    share: float = 0.0
    created_ms: int = 0

    @property
    def model_version(self) -> str:
        """The model version as `name/number`."""
        return f"{self.model}/{self.number}"

    def refs(self) -> Iterator[BlobRef]:
        """The blobs that serving and monitoring it need."""
        for blob in (self.blob_id, self.reference_id, self.contract_id):
            yield from ref(blob)
