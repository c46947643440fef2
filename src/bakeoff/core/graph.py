"""What came of what: the graph of lineage from source files to a single prediction and the feedback on it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from bakeoff.core.types import Json

__all__ = ["KINDS", "LineageEdge", "LineageGraph", "LineageNode", "NodeKind"]

NodeKind: TypeAlias = Literal[
    "source",
    "snapshot",
    "dataset",
    "code",
    "environment",
    "prompt",
    "run",
    "model",
    "release",
    "prediction",
    "feedback",
]
KINDS: tuple[NodeKind, ...] = get_args(NodeKind)
"""In the order in which they come of each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageNode:
    """One thing: `id` is its kind and name, as `model:films/2`; `facts` are what is known of it, the telling first."""

    id: str
    kind: NodeKind
    label: str
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEdge:
    """`made` came of `of` (ids of nodes)."""

    of: str
    made: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageGraph:
    """Things and what came of what; `start` is the id of the one that was asked about.

    `cut` says how many nodes of a kind were left out, where there are too many.
    """

    start: str
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    cut: Mapping[str, int] = field(default_factory=dict[str, int])

    def node(self, node_id: str) -> LineageNode:
        """The node of that id."""
        return next(each for each in self.nodes if each.id == node_id)

    def of_kind(self, kind: NodeKind) -> tuple[LineageNode, ...]:
        """All nodes of a kind."""
        return tuple(each for each in self.nodes if each.kind == kind)

    def origins(self, node_id: str) -> Iterator[LineageNode]:
        """What a thing came of, without what that came of."""
        return (self.node(edge.of) for edge in self.edges if edge.made == node_id)

    def results(self, node_id: str) -> Iterator[LineageNode]:
        """What came of a thing."""
        return (self.node(edge.made) for edge in self.edges if edge.of == node_id)

    def to_json(self) -> dict[str, Json]:
        """As one JSON document."""
        return msgspec.to_builtins(self)
