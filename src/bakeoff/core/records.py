"""What bakeoff remembers: runs (MLflow's words and semantics), versions with lineage, releases, signals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bakeoff.core.lineage import DatasetOrigin, ModelOrigin, origin_of
from bakeoff.core.refs import BlobRef, ref
from bakeoff.core.types import Json

__all__ = [
    "Document",
    "Experiment",
    "Metric",
    "Run",
    "RunInput",
    "RunStatus",
    "Version",
    "VersionKind",
]

RunStatus: TypeAlias = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
VersionKind: TypeAlias = Literal["dataset", "model", "environment", "prompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A named group of runs; a project has one of its own name."""

    experiment_id: str
    name: str
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One value of a metric at a step and a time (milliseconds since the epoch).

    Semantics are MLflow's: history is append-only; a run's latest value of a key is the one with the
    greatest (step, time_ms, value). NaN and the infinities are kept.
    """

    key: str
    value: float
    step: int = 0
    time_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInput:
    """A dataset that a run used: its name, version (content hash) and context ("training", "test", …)."""

    name: str
    version: str
    context: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One tracked execution. `metrics` holds the latest value of each key."""

    run_id: str
    experiment_id: str
    name: str
    status: RunStatus
    start_ms: int
    end_ms: int | None = None
    parent_id: str | None = None
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    metrics: Mapping[str, Metric] = field(default_factory=dict[str, Metric])
    inputs: tuple[RunInput, ...] = ()
    artifacts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Artifact path → blob id."""

    def refs(self) -> Iterator[BlobRef]:
        """Its artifacts."""
        for blob in self.artifacts.values():
            yield from ref(blob)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An immutable registered thing: `name` and `number` (1, 2, …) within its kind, and its content.

    `content` is the content hash (a dataset's version, a model's blob tree, an environment's hash);
    `lineage` names what it was made from: run id, dataset version, code commit, environment, parameters…
    """

    kind: VersionKind
    name: str
    number: int
    content: str
    created_ms: int
    run_id: str | None = None
    lineage: Mapping[str, Json] = field(default_factory=dict[str, Json])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    aliases: tuple[str, ...] = ()

    @property
    def model_origin(self) -> ModelOrigin:
        """What made this model version."""
        return ModelOrigin.from_json(self.lineage)

    @property
    def dataset_origin(self) -> DatasetOrigin:
        """What this dataset version was read from."""
        return DatasetOrigin.from_json(self.lineage)

    def refs(self) -> Iterator[BlobRef]:
        """The blobs that it is, and those that it was made of and is compared by."""
        if self.kind == "model":
            yield from ref(self.content)
        yield from origin_of(self.kind, self.lineage).refs()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A JSON document under (collection, key); `revision` counts its writes from 1, for compare-and-swap."""

    collection: str
    key: str
    revision: int
    body: Mapping[str, Json]
    updated_ms: int
