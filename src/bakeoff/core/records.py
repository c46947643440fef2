"""What bakeoff remembers: runs (MLflow's words and semantics), versions with lineage, releases, signals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from bakeoff.core.errors import NotFoundError
from bakeoff.core.lineage import DatasetOrigin, ModelOrigin, SnapshotOrigin, origin_of
from bakeoff.core.markup import facts, notebook, table
from bakeoff.core.moments import moment
from bakeoff.core.queries import Lifecycle, QueryField
from bakeoff.core.refs import BlobRef, ref
from bakeoff.core.types import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Document",
    "DocumentChange",
    "Experiment",
    "ExperimentChange",
    "Metric",
    "MetricCurve",
    "MetricRange",
    "NewRun",
    "Registered",
    "RegisteredChange",
    "Run",
    "RunChange",
    "RunGroup",
    "RunInput",
    "RunStatus",
    "Series",
    "Version",
    "VersionChange",
    "VersionKind",
    "unknown_experiment",
    "unknown_run",
    "unknown_version",
]

RunStatus: TypeAlias = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
VersionKind: TypeAlias = Literal["dataset", "model", "environment", "prompt", "snapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A named group of runs; a project has one of its own name. `location` is where clients keep its artifacts."""

    experiment_id: str
    name: str
    created_ms: int
    updated_ms: int
    location: str = ""
    lifecycle: Lifecycle = "active"
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentChange:
    """What changes of an experiment; None is no change. Its runs are deleted and restored with it."""

    experiment_id: str
    name: str | None = None
    lifecycle: Lifecycle | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    remove_tags: tuple[str, ...] = ()


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric was measured of, beside its run: a logged model, a dataset, or both."""

    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class Metric(msgspec.Struct, frozen=True, kw_only=True):  # an eighth of a dataclass's time: there are thousands
    """One value of a metric at a step and a time (milliseconds since the epoch).

    Semantics are MLflow's: history is append-only; a run's latest value of a key is the one with the
    greatest (step, time_ms, value). NaN and the infinities are kept. `series` tells values of one key apart that are of
    several logged models or datasets.
    """

    key: str
    value: float
    step: int = 0
    time_ms: int = 0
    series: Series | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricCurve:
    """All values of one metric of a run, as arrays of the same length in the order of its history."""

    step_n: "NDArray[np.int64]"
    time_ms_n: "NDArray[np.int64]"
    value_n: "NDArray[np.float64]"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInput:
    """A dataset that a run used: its name, version (content hash) and context ("training", "test", …).

    `about` is what a client says of it besides: where it is from, its columns, tags.
    """

    name: str
    version: str
    context: str = ""
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One tracked execution. `metrics` holds the latest value of each key.

    `location` is where a client keeps artifacts that are not among `artifacts`.
    """

    run_id: str
    experiment_id: str
    name: str
    status: RunStatus
    start_ms: int
    end_ms: int | None = None
    parent_id: str | None = None
    lifecycle: Lifecycle = "active"
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    metrics: Mapping[str, Metric] = field(default_factory=dict[str, Metric])
    inputs: tuple[RunInput, ...] = ()
    artifacts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Artifact path → blob id."""
    location: str = ""

    def refs(self) -> Iterator[BlobRef]:
        """Its artifacts."""
        for blob in self.artifacts.values():
            yield from ref(blob)

    def __repr__(self) -> str:
        return f"Run({self.run_id[:8]}, {self.name!r}, {self.status})"

    def _repr_html_(self) -> str:
        started, ended = (
            moment(self.start_ms, seconds=True),
            None if self.end_ms is None else moment(self.end_ms, seconds=True),
        )
        seconds = None if self.end_ms is None else f"{(self.end_ms - self.start_ms) / 1000:.1f} s"
        of = {"status": self.status, "run": self.run_id, "began": started, "ended": ended, "took": seconds}
        return notebook(
            self.name,
            facts(of.items()),
            table(("metric", "value"), [(key, each.value) for key, each in sorted(self.metrics.items())])
            if self.metrics
            else "",
            table(("parameter", "value"), sorted(self.params.items())) if self.params else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a run begins with; one that is there already is RUNNING again, and takes nothing of it."""

    experiment_id: str
    name: str
    start_ms: int
    parent_id: str | None = None
    location: str = ""

    def begun(self, run_id: str, tags: Mapping[str, str]) -> Run:
        """The run that is created of it, with these tags."""
        return Run(
            run_id=run_id,
            experiment_id=self.experiment_id,
            name=self.name,
            status="RUNNING",
            start_ms=self.start_ms,
            parent_id=self.parent_id,
            tags=dict(sorted(tags.items())),
            location=self.location,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChange:
    """What is added to a run, or changes of it; None is no change.

    `new` is of a run that is created by it. A param that has a value keeps it. A status that ends the run sets `end_ms`
    to now, unless it is given. An artifact that becomes None is gone.
    """

    run_id: str
    new: NewRun | None = None
    metrics: Sequence[Metric] = ()
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    remove_tags: tuple[str, ...] = ()
    inputs: Sequence[RunInput] = ()
    artifacts: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    name: str | None = None
    status: RunStatus | None = None
    end_ms: int | None = None
    lifecycle: Lifecycle | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRange:
    """The latest values of a metric over the `runs` that have one that is a number."""

    runs: int
    least: float
    mean: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGroup:
    """Runs that have the same `value` of what they are grouped by (None: they have none), and when the newest began."""

    value: str | None
    runs: int
    newest_ms: int
    metrics: Mapping[str, MetricRange] = field(default_factory=dict[str, MetricRange])


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A name under which versions are registered (a registered model), with its aliases by version number."""

    kind: VersionKind
    name: str
    created_ms: int
    updated_ms: int
    last_number: int
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    aliases: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredChange:
    """What changes of a name, which is made if there is none; None is no change. An alias that becomes None is gone.

    `new`: there must be none of this name yet. `rename` is its new name, `remove` takes it away with all its versions.
    """

    kind: VersionKind
    name: str
    new: bool = False
    rename: str | None = None
    remove: bool = False
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    remove_tags: tuple[str, ...] = ()
    aliases: Mapping[str, int | None] = field(default_factory=dict[str, "int | None"])


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionChange:
    """What may change of a version: what people say of it, and its `stage`. None is no change; `remove` takes it away.

    The number of one that was removed is not given again.
    """

    kind: VersionKind
    name: str
    number: int
    remove: bool = False
    stage: str | None = None
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    remove_tags: tuple[str, ...] = ()


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
    description: str = ""
    stage: str = "None"
    """MLflow's word of before aliases: Staging, Production, Archived."""
    updated_ms: int = 0

    @property
    def model_origin(self) -> ModelOrigin:
        """What made this model version."""
        return ModelOrigin.from_json(self.lineage)

    @property
    def dataset_origin(self) -> DatasetOrigin:
        """What this dataset version was read from."""
        return DatasetOrigin.from_json(self.lineage)

    @property
    def snapshot_origin(self) -> SnapshotOrigin:
        """What this snapshot was taken of."""
        return SnapshotOrigin.from_json(self.lineage)

    def __repr__(self) -> str:
        aliases = f", {', '.join(self.aliases)}" if self.aliases else ""
        return f"Version({self.kind} {self.name}/{self.number}, {self.content[:8]}{aliases})"

    def refs(self) -> Iterator[BlobRef]:
        """The blobs that it is, and those that it was made of and is compared by."""
        if self.kind in {"model", "snapshot"}:
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
    created_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentChange:
    """A document written (`body` None: removed), and by what it can be searched: its whole `fields`.

    With `expected`, a revision (0: it must not exist), it is a compare-and-swap.
    """

    collection: str
    key: str
    body: Mapping[str, Json] | None
    fields: Mapping[QueryField, str | float] = field(default_factory=dict["QueryField", "str | float"])
    expected: int | None = None


def unknown_experiment(experiment_id: str) -> NotFoundError:
    """What is raised for an id that no experiment has, in the words that one out of a caller's reach gets, too."""
    return NotFoundError(f"expected the id of an experiment (a number), received {experiment_id!r}")


def unknown_run(run_id: str) -> NotFoundError:
    """What is raised for an id that no run has, and for one out of a caller's reach."""
    return NotFoundError(f"expected the id of a run, received {run_id!r}: `bakeoff runs` lists them")


def unknown_version(kind: VersionKind, name: str, number: int) -> NotFoundError:
    """What is raised where no such version is registered, and for one out of a caller's reach."""
    return NotFoundError(f"expected a registered {kind}, received {name!r} version {number!r}")
