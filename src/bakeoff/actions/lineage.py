"""From any thing to what it was made from, and to what came of it, by keys: the event log is never read whole."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from bakeoff.actions.lineage_nodes import (
    COMMIT,
    code_node,
    feedback_node,
    files_of,
    prediction_node,
    release_node,
    run_node,
    source_node,
    unknown_dataset,
    version_node,
)
from bakeoff.core import narrow
from bakeoff.core.addresses import without_password
from bakeoff.core.errors import NotFoundError
from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.graph import KINDS, LineageEdge, LineageGraph, LineageNode, NodeKind
from bakeoff.core.hashing import digest_file
from bakeoff.core.queries import AllOf, Kind, Predicate, Query, QueryField, attribute, every
from bakeoff.core.records import Run, Version, VersionKind
from bakeoff.core.releases import Release
from bakeoff.core.retention import retention_hint
from bakeoff.feedback.keys import predictions_of
from bakeoff.registry.lineage import NUMBER, find_version
from bakeoff.registry.register import all_versions, newest_version
from bakeoff.serve.releases import all_releases, release_of, routed

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["Direction", "lineage_of"]

Direction: TypeAlias = Literal["up", "down", "both"]
MOST = 50
"""Of each kind so many nodes are shown of what came of a thing."""
RUN_ID, RELEASE_ID, HASH = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}"), re.compile(r"[0-9a-f]{4,64}")
Nodes: TypeAlias = Iterator[LineageNode]


def lineage_of(project: "Project", thing: str | None = None, direction: Direction = "both") -> LineageGraph:
    """The graph around a thing.

    Args:
        project: where it is known.
        thing: `KIND:NAME` as `prediction:3f…`, or a name alone, whose kind is found out; the champion by default.
        direction: what it came of ("up"), what came of it ("down"), or both.

    Raises:
        NotFoundError: there is no such thing.
    """
    walk = _Walk(project)
    start = walk.start(thing)
    if direction != "down":
        walk.follow(start, up=True)
    if direction != "up":
        walk.follow(start, up=False)
    return LineageGraph(start=start.id, nodes=tuple(walk.nodes.values()), edges=tuple(walk.edges), cut=walk.cut)


class _Walk:
    """Collects nodes and edges: `_up_KIND` is what a thing of that kind came of, `_down_KIND` what came of it."""

    def __init__(self, project: "Project") -> None:
        self._project, self._records, self._name = project, project.records, project.config.project.name
        self.nodes: dict[str, LineageNode] = {}
        self.edges: dict[LineageEdge, None] = {}
        self.cut: dict[str, int] = {}
        self._manifests: dict[str, bytes] = {}

    def follow(self, start: LineageNode, *, up: bool) -> None:
        """Everything that a node came of, or that came of it, at any distance."""
        waiting, done, shown = [start], set[str](), dict[str, int]()
        while waiting:
            here = waiting.pop(0)
            if here.id in done:
                continue
            done.add(here.id)
            step = getattr(self, f"_{'up' if up else 'down'}_{here.kind}", None)
            for other in step(here.id.partition(":")[2]) if step else ():
                if other.id not in self.nodes and not up:
                    shown[other.kind] = shown.get(other.kind, 0) + 1
                    if shown[other.kind] > MOST:
                        self.cut[other.kind] = shown[other.kind] - MOST
                        continue
                self.nodes.setdefault(other.id, other)
                edge = LineageEdge(of=other.id, made=here.id) if up else LineageEdge(of=here.id, made=other.id)
                self.edges[edge] = None
                waiting.append(other)

    # --- where to begin -------------------------------------------------------------------------

    def start(self, thing: str | None) -> LineageNode:
        """The node that a text names."""
        kind, _, name = (thing or "").partition(":")
        if thing is None:
            node = version_node(find_version(self._records.versions, self._name))
        elif name and kind in KINDS:
            node = self._named(kind, name)
        else:
            node = next((each for kind in _likely(thing) if (each := self._named(kind, thing))), None)
        if node is None:
            raise NotFoundError(
                "expected a model version (films/2, an alias), the id of a prediction, release or run, a dataset (as "
                "dataset:2, or the beginning of its hash), the file of a source or prompt, or KIND:NAME with one of "
                f"{', '.join(KINDS)}; received {thing!r}, which none of these is{retention_hint(self._project.events)}"
            )
        self.nodes[node.id] = node
        return node

    def _named(self, kind: NodeKind, name: str) -> LineageNode | None:  # noqa: PLR0911 - a line for each kind
        match kind:
            case "prediction":
                return self._predicted(name)
            case "feedback":
                owner, _, moment = name.rpartition("@")
                timed = bool(owner) and moment.replace(".", "", 1).isdecimal()
                nodes = self._down_prediction(owner if timed else name)
                return next((each for each in nodes if not timed or each.id == f"feedback:{name}"), None)
            case "release":
                return next((release_node(each) for each in self._releases if name.endswith(each.release_id)), None)
            case "run":
                alike = Query(where=attribute("run_id", "like", f"{name}%"), limit=2, lifecycle=None)
                runs = self._records.runs.search(alike).items if HASH.fullmatch(name) else ()
                return run_node(runs[0]) if len(runs) == 1 else None
            case "source":
                return self._source(name)
            case "code":
                return next((code_node(run) for run in self._runs_of_code(name)), None)
            case "model" | "dataset" | "environment" | "prompt" | "snapshot":
                version = self._version(kind, name)
                return version_node(version) if version else None

    def _version(self, kind: VersionKind, which: str) -> Version | None:
        """The version of `name/number`, `name/alias`, one of these alone, or the beginning of its content's hash."""
        owner, _, tail = which.rpartition("/")
        owner = owner or (which if kind == "snapshot" and not NUMBER.match(which) else self._name)
        if NUMBER.match(tail):
            try:
                return self._records.versions.get(kind, owner, int(tail))
            except NotFoundError:
                pass
        if kind == "model":
            return self._records.versions.by_alias(owner, tail)
        names = {owner, f"{self._name}/{which}"}  # the newest of a prompt's file, the newest of a snapshot's name
        for version in all_versions(self._records.versions, kind):
            by_name = version.name in names and (tail in version.aliases or version.name.endswith(which))
            if by_name or (HASH.fullmatch(which) and version.content.startswith(which)):
                return version
        return None

    def _source(self, name: str) -> LineageNode | None:
        """A file by the location that a project named, by its hash, or by what it holds now."""
        path = self._project.folder / name if (self._project.folder / name).is_file() else Path(name)
        wanted = {without_password(name), digest_file(path)} if path.is_file() else {without_password(name)}
        files = (file for dataset in self._datasets for file in files_of(dataset))
        return next((source_node(file) for file in files if wanted & {file["location"], file["digest"]}), None)

    def _predicted(self, prediction: str) -> LineageNode | None:
        events = self._project.events.get(PredictionEvent, [prediction])
        return prediction_node(events[0]) if events else None

    # --- what a thing came of -------------------------------------------------------------------

    def _up_feedback(self, name: str) -> Nodes:
        owner = name.rpartition("@")[0]
        predictions = map(self._predicted, predictions_of(self._project.events, [owner])[owner])
        yield from (node for node in predictions if node)

    def _up_prediction(self, name: str) -> Nodes:
        facts = self.nodes[f"prediction:{name}"].facts
        endpoint, release_id = str(facts["endpoint"]), str(facts["release_id"])
        try:
            release = release_of(self._records.documents, endpoint, release_id)
        except NotFoundError:  # its record is gone; the event names the model, too
            yield from self._versions("model", str(facts["model_version"]))
            return
        taking_part = {each.release_id: each for each in routed(self._records.documents, endpoint)}
        yield release_node(taking_part.get(release_id, release))

    def _up_release(self, name: str) -> Nodes:
        yield from self._versions("model", str(self.nodes[f"release:{name}"].facts["model"]))

    def _up_model(self, name: str) -> Nodes:
        version = self._version("model", name)
        if version is None:
            return
        made = version.model_origin
        for member in made.members.values():
            yield from self._versions("model", member)
        if made.prompt is not None:
            yield from self._versions("prompt", made.prompt.version)
        try:
            yield run_node(self._records.runs.get(version.run_id or ""))
        except NotFoundError:  # the run was deleted: what it was made from stands with the version
            yield from self._content("dataset", version.name, made.dataset_version)
            yield from self._content("environment", version.name, made.environment)

    def _up_run(self, name: str) -> Nodes:
        run = self._records.runs.get(name)
        if run.parent_id is not None:
            yield run_node(self._records.runs.get(run.parent_id))
        for content, owner in dict.fromkeys((each.version, each.name) for each in run.inputs):
            known = list(self._content("dataset", owner, content))
            yield from known or [unknown_dataset(owner, content)]
        yield from self._content("environment", self._name, run.tags.get("bakeoff.environment", ""))
        if (code := code_node(run)) is not None:
            yield code

    def _up_dataset(self, name: str) -> Nodes:
        version = self._version("dataset", name)
        for file in files_of(version) if version else ():
            yield source_node(file)
            yield from (version_node(each) for each in self._snapshots if self._holds(each, file["digest"]))

    def _up_snapshot(self, name: str) -> Nodes:
        version = self._version("snapshot", name)
        files = [file for dataset in self._datasets if version for file in files_of(dataset)]
        yield from (source_node(file) for file in files if version and self._holds(version, file["digest"]))

    # --- what came of a thing -------------------------------------------------------------------

    def _down_source(self, digest: str) -> Nodes:
        yield from (version_node(each) for each in self._snapshots if self._holds(each, digest))
        for dataset in self._datasets:
            if digest in {file["digest"] for file in files_of(dataset)}:
                yield version_node(dataset)

    def _down_snapshot(self, name: str) -> Nodes:
        version = self._version("snapshot", name)
        for dataset in self._datasets if version else ():
            if version and any(self._holds(version, file["digest"]) for file in files_of(dataset)):
                yield version_node(dataset)

    def _down_dataset(self, name: str) -> Nodes:
        version = self._version("dataset", name)
        return self._runs_with("input", "version", version.content) if version else iter(())

    def _down_environment(self, name: str) -> Nodes:
        version = self._version("environment", name)
        return self._runs_with("tag", "bakeoff.environment", version.content) if version else iter(())

    def _down_code(self, name: str) -> Nodes:
        yield from (run_node(run) for run in self._runs_of_code(name))

    def _down_prompt(self, name: str) -> Nodes:
        for version in self._models:
            prompt = version.model_origin.prompt
            if prompt is not None and prompt.version == name:
                yield version_node(version)

    def _down_run(self, name: str) -> Nodes:
        """The models of a bake-off, or the one of a candidate's run."""
        run = self._records.runs.get(name)
        where = AllOf(parts=(attribute("kind", "=", "model"), attribute("run_id", "=", run.parent_id or name)))
        for version in every(self._records.versions.search, Query(where=where)):
            if run.parent_id is None or version.tags.get("candidate") == run.name:
                yield version_node(version)

    def _down_model(self, name: str) -> Nodes:
        yield from (release_node(each) for each in self._releases if each.model_version == name)
        yield from (version_node(each) for each in self._models if name in each.model_origin.members.values())

    def _down_prediction(self, name: str) -> Nodes:
        times: Counter[int] = Counter()
        for event in self._project.events.get(FeedbackEvent, [name]):
            times[event.time_ms] += 1  # of one call, all that is said has one time
            yield feedback_node(event, times[event.time_ms])

    def _down_feedback(self, name: str) -> Nodes:
        """The first dataset version that took in what had come by then."""
        time_ms = int(name.rpartition("@")[2].partition(".")[0])
        later = [each for each in self._datasets if _feedback_until(each) >= time_ms]
        yield from [version_node(min(later, key=_feedback_until))] if later else []

    # --- what several of these look at ------------------------------------------------------------

    def _versions(self, kind: VersionKind, which: str) -> Nodes:
        version = self._version(kind, which)
        yield from [version_node(version)] if version else []

    def _content(self, kind: VersionKind, name: str, content: str) -> Nodes:
        version = newest_version(self._records.versions, kind, name, content=content)
        yield from [version_node(version)] if version else []

    @cached_property
    def _datasets(self) -> list[Version]:
        return all_versions(self._records.versions, "dataset", self._name)

    @cached_property
    def _models(self) -> list[Version]:
        return all_versions(self._records.versions, "model", self._name)

    @cached_property
    def _snapshots(self) -> list[Version]:
        return all_versions(self._records.versions, "snapshot")

    @cached_property
    def _releases(self) -> Sequence[Release]:
        """All releases, those that take part in traffic with their role, newest first."""
        documents = self._records.documents
        releases = sorted(all_releases(documents), key=lambda each: -each.created_ms)
        endpoints = dict.fromkeys(each.endpoint for each in releases)
        taking_part = {each.release_id: each for endpoint in endpoints for each in routed(documents, endpoint)}
        return [taking_part.get(each.release_id, each) for each in releases]

    def _holds(self, snapshot: Version, digest: object) -> bool:
        """Whether a file of this hash is in the snapshot."""
        if snapshot.snapshot_origin.is_file:
            return snapshot.content == digest
        blobs = self._project.blobs
        if snapshot.content not in self._manifests:
            there = blobs.contains(snapshot.content)
            self._manifests[snapshot.content] = blobs.get(snapshot.content) if there else b""
        return str(digest).encode() in self._manifests[snapshot.content]

    def _runs_with(self, kind: Kind, key: str, value: str) -> Nodes:
        """Bake-offs of which a tag or an input is this."""
        where = Predicate(field=QueryField(kind=kind, key=key), operator="=", value=value)
        runs = every(self._records.runs.search, Query(where=where))
        return (run_node(run) for run in runs if run.parent_id is None)

    def _runs_of_code(self, name: str) -> Iterator[Run]:
        """Runs of a commit, or of a tree of files."""
        experiment = self._records.experiments.open(self._name).experiment_id
        for run in every(self._records.runs.search, Query(where=attribute("experiment_id", "=", experiment))):
            by_commit = HASH.fullmatch(name) and run.tags.get(COMMIT, "").startswith(name)
            if by_commit or run.artifacts.get("code/project") == name:
                yield run


def _likely(name: str) -> Iterator[NodeKind]:
    """The kinds that a name may be of, the likeliest first; each is one look."""
    if RELEASE_ID.fullmatch(name):
        yield "release"
    if RUN_ID.fullmatch(name):
        yield from ("prediction", "run")
    yield "model"
    if HASH.fullmatch(name):
        yield from ("dataset", "run", "environment")
    yield from (kind for kind in get_args(NodeKind) if kind in {"snapshot", "source", "prompt", "prediction", "code"})


def _feedback_until(dataset: Version) -> int:
    """Until when feedback is in the dataset; -1: there is none."""
    return narrow.whole(dataset.dataset_origin.summary.get("feedback_until_ms") or -1)
