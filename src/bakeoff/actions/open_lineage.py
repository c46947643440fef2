"""The graph of lineage as events of OpenLineage (specification 2-0-2): runs with what went in and what came out.

A bake-off, a release and a prediction are each a run of a job; a file, a dataset, a model and a release are datasets in
its words. Ids of runs are UUIDs there: our 32 hex digits are one, and of other things theirs is derived.
"""

import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import bakeoff
from bakeoff.core import narrow
from bakeoff.core.graph import LineageGraph, LineageNode, NodeKind
from bakeoff.core.types import Json

__all__ = ["open_lineage"]

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = "https://openlineage.io/spec/facets"
PRODUCER = f"https://pypi.org/project/bakeoff/{bakeoff.__version__}"
MADE: dict[NodeKind, tuple[str, frozenset[NodeKind], frozenset[NodeKind]]] = {
    "run": ("bake-off", frozenset({"dataset", "prompt"}), frozenset({"model"})),
    "dataset": ("gather", frozenset({"source", "snapshot", "feedback"}), frozenset({"dataset"})),
    "release": ("release", frozenset({"model"}), frozenset({"release"})),
    "prediction": ("predict", frozenset({"release", "model"}), frozenset({"prediction"})),
}
"""What is a run of a job: the job's name, what goes in, what comes out (a thing itself, or what came of a run)."""


def open_lineage(graph: LineageGraph, *, namespace: str) -> list[dict[str, Json]]:
    """One event COMPLETE (or FAIL) for each run in the graph, in the order in which they came of each other."""
    return [_event(graph, node, namespace) for kind in MADE for node in graph.of_kind(kind)]


def _event(graph: LineageGraph, node: LineageNode, namespace: str) -> dict[str, Json]:
    job, goes_in, comes_out = MADE[node.kind]
    origins = list(graph.origins(node.id))
    results = graph.results(node.id) if node.kind == "run" else [node]
    failed = node.facts.get("status") in {"FAILED", "KILLED"}
    return {
        "eventType": "FAIL" if failed else "COMPLETE",
        "eventTime": _moment(node),
        "producer": PRODUCER,
        "schemaURL": SPEC,
        "run": {"runId": _run_id(node), "facets": _of_run(graph, node, origins)},
        "job": {"namespace": namespace, "name": job, "facets": _of_job(origins)},
        "inputs": list(_datasets(origins, goes_in, namespace)),
        "outputs": list(_datasets(results, comes_out, namespace)),
    }


def _run_id(node: LineageNode) -> str:
    name = node.id.partition(":")[2]
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"bakeoff:{node.id}"))


def _moment(node: LineageNode) -> str:
    """When it ended: milliseconds where they are known, else what is shown to people."""
    time_ms = node.facts.get("end_ms") or node.facts.get("start_ms") or node.facts.get("time_ms")
    if time_ms is not None:
        return datetime.fromtimestamp(narrow.number(time_ms) / 1000, UTC).isoformat(timespec="milliseconds")
    shown = str(node.facts.get("registered") or node.facts.get("made") or "1970-01-01 00:00:00 UTC")
    return datetime.strptime(shown, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).isoformat()


def _of_run(graph: LineageGraph, node: LineageNode, origins: Iterable[LineageNode]) -> dict[str, Json]:
    facets: dict[str, Json] = {}
    for around in (each for each in origins if each.kind == "environment"):
        about = {"name": "Python", "version": str(around.facts.get("python")), "bakeoff": node.facts.get("bakeoff")}
        facets["processing_engine"] = _facet("1-1-1/ProcessingEngineRunFacet", **about)
    if node.kind == "run":
        models = [each for each in graph.results(node.id) if each.kind == "model"]
        params: dict[str, Json] = {each.label: dict(each.facts) for each in models}
        facets["bakeoff_models"] = _facet("", models=params)
    return facets


def _of_job(origins: Iterable[LineageNode]) -> dict[str, Json]:
    code = next((each for each in origins if each.kind == "code" and each.facts.get("commit")), None)
    if code is None:
        return {}
    remote = code.facts.get("remote") or "file:///"
    about = {"type": "git", "url": remote, "repoUrl": remote, "version": code.facts["commit"]}
    if branch := code.facts.get("branch"):
        about["branch"] = branch
    return {"sourceCodeLocation": _facet("1-0-1/SourceCodeLocationJobFacet", **about)}


def _datasets(nodes: Iterable[LineageNode], kinds: frozenset[NodeKind], namespace: str) -> Iterator[dict[str, Json]]:
    for node in nodes:
        if node.kind not in kinds:
            continue
        facets: dict[str, Json] = {}
        version = node.facts.get("version") or node.facts.get("content") or node.facts.get("hash")
        if version is not None:
            facets["version"] = _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=version)
        if columns := narrow.json_object(node.facts.get("columns") or {}):
            fields: list[Json] = [{"name": name, "type": kind} for name, kind in columns.items()]
            facets["schema"] = _facet("1-1-1/SchemaDatasetFacet", fields=fields)
        yield {"namespace": namespace, "name": node.id, "facets": facets}


def _facet(schema: str, **about: Json) -> dict[str, Json]:
    name = schema.partition("/")[2]
    url = f"{FACETS}/{schema}.json#/$defs/{name}" if schema else f"{PRODUCER}#facet"
    return {"_producer": PRODUCER, "_schemaURL": url, **about}
