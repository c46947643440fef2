"""A release: a model version made ready to serve, immutable; which ones serve, the endpoint's routes say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from bakeoff.core.refs import BlobRef, ref
from bakeoff.core.types import Json

__all__ = ["Endpoint", "EndpointChange", "Release", "ReleaseStatus", "Role", "Route"]

Role: TypeAlias = Literal["live", "canary", "shadow"]
ReleaseStatus: TypeAlias = Role | Literal["retired"]


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

    @property
    def percent(self) -> str:
        """Its share, however small, as people read it: "0.4%"."""
        return f"{self.share * 100:.4g}%"

    def refs(self) -> Iterator[BlobRef]:
        """The blobs that serving and monitoring it need."""
        for blob in (self.blob_id, self.reference_id, self.contract_id):
            yield from ref(blob)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A release on an endpoint: what it does there, with what share of the traffic (0 to 1), since when.

    A canary answers its share, and the live release the rest. A shadow gets copies of its share; nobody gets its
    answers.
    """

    release_id: str
    role: Role
    share: float = 1.0
    since_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint's routes, as its document has them; it moves as a whole, by one compare-and-swap.

    `live` is the release that answers, `others` are a canary and a shadow at most. While it is `paused`, the live
    release answers all, and nothing is decided. `previous` was live before. `revision` counts the changes.
    """

    name: str
    live: str | None = None
    others: tuple[Route, ...] = ()
    paused: bool = False
    previous: str | None = None
    revision: int = 0

    def other(self, role: Role) -> Route | None:
        """The canary, or the shadow, if there is one."""
        return next((route for route in self.others if route.role == role), None)

    @property
    def routes(self) -> tuple[Route, ...]:
        """All routes as they take part now, the live one first; none before the first release."""
        if self.live is None:
            return ()
        others = tuple(replace(route, share=0.0) for route in self.others) if self.paused else self.others
        taken = sum(route.share for route in others if route.role == "canary")
        return (Route(release_id=self.live, role="live", share=1.0 - taken), *others)

    def with_route(self, route: Route) -> "Endpoint":
        """With this route instead of those of its release and of its role."""
        others = [each for each in self.others if route.release_id != each.release_id and route.role != each.role]
        return replace(self, others=(*others, route))

    def without(self, release_id: str) -> "Endpoint":
        """Without this release's route, if it has one beside the live one."""
        return replace(self, others=tuple(each for each in self.others if each.release_id != release_id))

    def with_live(self, release_id: str, *, previous: str | None) -> "Endpoint":
        """With this release alone."""
        return replace(self, live=release_id, previous=previous, others=(), paused=False)

    def to_json(self) -> dict[str, Json]:
        """As its document: that of before has `release_id` alone."""
        body: dict[str, Json] = {"release_id": self.live}
        if self.others:
            names = ("release_id", "role", "share", "since_ms")
            body["routes"] = [{name: getattr(route, name) for name in names} for route in self.others]
        if self.paused:
            body["paused"] = True
        if self.previous is not None:
            body["previous"] = self.previous
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChange:
    """One change of an endpoint: who did what and why, and how it was before and after."""

    endpoint: str
    what: str
    who: str
    why: str
    time_ms: int
    before: Endpoint
    after: Endpoint
