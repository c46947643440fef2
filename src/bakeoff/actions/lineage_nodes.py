"""Records and events as nodes of the graph of lineage, with the facts that people ask for."""

from collections.abc import Mapping, Sequence

from bakeoff.core import narrow
from bakeoff.core.addresses import without_password
from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.graph import LineageNode, NodeKind
from bakeoff.core.ledger import Ledger
from bakeoff.core.lineage import ModelOrigin
from bakeoff.core.moments import moment
from bakeoff.core.records import Run, Version
from bakeoff.core.releases import Release
from bakeoff.core.types import Json
from bakeoff.registry.lineage import label
from bakeoff.report.ledger import headline

__all__ = ["code_node", "feedback_node", "files_of", "prediction_node", "release_node", "run_node", "source_node"]
__all__ += ["unknown_dataset", "version_node"]

SHORT = 12
COMMIT = "mlflow.source.git.commit"


def version_node(version: Version) -> LineageNode:
    """A registered version of any kind."""
    facts = {
        "model": _model,
        "dataset": _dataset,
        "environment": _environment,
        "prompt": _prompt,
        "snapshot": _snapshot,
    }[version.kind](version)
    shown = f" {version.content[:SHORT]}" if version.kind in {"dataset", "environment"} else ""
    return _node(version.kind, label(version), f"{label(version)}{shown}", facts)


def unknown_dataset(name: str, content: str) -> LineageNode:
    """A dataset that a run names, and that is not registered here."""
    return _node("dataset", f"{name}@{content}", f"{name} {content[:SHORT]}", {"version": content})


def files_of(dataset: Version) -> Sequence[Mapping[str, str]]:
    """The files that a dataset version was read from: location (those of before had passwords in it), table, hash."""
    files = map(narrow.json_object, narrow.json_array(dataset.dataset_origin.summary.get("files") or []))
    return [{**each, "location": without_password(each["location"])} for each in files]


def source_node(file: Mapping[str, str]) -> LineageNode:
    """One of these files."""
    facts = {"location": file["location"], "table": file.get("table"), "hash": file["digest"]}
    return _node("source", file["digest"], file["location"], facts)


def run_node(run: Run) -> LineageNode:
    """A run."""
    facts: dict[str, Json] = {
        "status": run.status,
        "began": moment(run.start_ms, seconds=True),
        "seconds": None if run.end_ms is None else (run.end_ms - run.start_ms) / 1000,
        "trigger": run.tags.get("bakeoff.trigger"),
        "winner": run.tags.get("bakeoff.winner"),
        "params": dict(run.params),
        "bakeoff": run.tags.get("bakeoff.code", "")[:SHORT],
        "start_ms": run.start_ms,
        "end_ms": run.end_ms,
    }
    return _node("run", run.run_id, f"{run.name} {run.run_id[:8]}", facts)


def code_node(run: Run) -> LineageNode | None:
    """The code that a run was made with, if anything is known of it."""
    tree, commit = run.artifacts.get("code/project"), run.tags.get(COMMIT)
    if tree is None and commit is None:
        return None
    dirty = run.tags.get("bakeoff.code_dirty") == "true"
    facts: dict[str, Json] = {
        "commit": commit,
        "branch": run.tags.get("mlflow.source.git.branch"),
        "remote": run.tags.get("mlflow.source.git.repoURL"),
        "uncommitted": dirty or None,
        "patch": run.artifacts.get("code/changes.patch"),
        "notebook": run.artifacts.get("code/notebook.ipynb"),
        "files": tree,
    }
    shown = f"commit {commit[:SHORT]}" if commit else f"files {(tree or '')[:SHORT]}"
    return _node("code", tree or str(commit), f"{shown}{' with changes' if dirty else ''}", facts)


def release_node(release: Release) -> LineageNode:
    """A release on its endpoint."""
    facts: dict[str, Json] = {
        "endpoint": release.endpoint,
        "status": release.status,
        "model": release.model_version,
        "made": moment(release.created_ms, seconds=True),
    }
    name = f"{release.endpoint}/{release.release_id}"
    return _node("release", name, f"{release.release_id} on {release.endpoint}", facts)


def prediction_node(event: PredictionEvent) -> LineageNode:
    """One answered row."""
    facts: dict[str, Json] = {
        "answer": event.answer,
        "probabilities": dict(event.probabilities) if event.probabilities else None,
        "row": dict(event.row),
        "role": event.role,
        "ms": round(event.latency_ms, 3),
        "at": moment(event.time_ms, seconds=True),
        "trace": event.trace_id,
        "endpoint": event.endpoint,
        "release_id": event.release_id,
        "model_version": event.model_version,
        "time_ms": event.time_ms,
    }
    return _node("prediction", event.id, event.id, facts)


def feedback_node(event: FeedbackEvent, place: int = 1) -> LineageNode:
    """What somebody said of a prediction; `place` among all of the same time, from 1."""
    facts: dict[str, Json] = {
        "truth": event.truth,
        "rating": event.rating,
        "comment": event.comment,
        "source": event.source,
        "at": moment(event.time_ms, seconds=True),
        "time_ms": event.time_ms,
    }
    name = f"{event.id}@{event.time_ms}{f'.{place}' if place > 1 else ''}"
    return _node("feedback", name, f"on {event.id[:SHORT]}", facts)


def _model(version: Version) -> dict[str, Json]:
    made = version.model_origin
    metrics = narrow.json_object(made.scorecard.get("metrics") or {})
    return {
        "candidate": made.candidate,
        "family": made.family,
        "aliases": list(version.aliases),
        "fitted_on": _fitted_on(made),
        "params": dict(made.params),
        "chosen": dict(made.chosen),
        "seed": made.seed,
        "steps": [each if isinstance(each, str) else dict(each) for each in made.steps],
        "metrics": {name: narrow.json_object(each)["value"] for name, each in metrics.items()},
        "registered": moment(version.created_ms, seconds=True),
        "content": version.content,
    }


def _fitted_on(made: ModelOrigin) -> str:
    """On how many rows it was fitted, and its evaluated twin on how many of them."""
    rows, evaluated = made.fitted_rows, made.evaluated_rows
    if not rows:  # registered before they were counted
        return f"{made.rows} rows"
    twin = f": its evaluated twin's {evaluated:,} and {rows - evaluated:,} more" if rows != evaluated else ""
    return f"{rows:,} rows{twin}"


def _dataset(version: Version) -> dict[str, Json]:
    about = version.dataset_origin.summary
    schema = narrow.json_object((version.dataset_origin.gathered or {}).get("schema") or {})
    columns = [narrow.json_object(each) for each in schema.get("columns") or ()]
    ledger = (version.dataset_origin.gathered or {}).get("ledger")
    parts = ", ".join(f"{about.get(part)} {part}" for part in ("train", "validation", "test"))
    return {
        "version": version.content,
        "rows": about.get("rows"),
        "from_feedback": about.get("from_feedback") or None,
        "ledger": headline(Ledger.from_json(narrow.json_object(ledger))) if ledger else None,
        "split": f"by {about.get('split')}: {parts}",
        "columns": {each["name"]: each["kind"] for each in columns},
        "registered": moment(version.created_ms, seconds=True),
    }


def _environment(version: Version) -> dict[str, Json]:
    made = version.lineage
    packages = len(narrow.json_object(made.get("packages") or {}))
    return {
        "python": made.get("python"),
        "platform": made.get("platform"),
        "packages": packages,
        "hash": version.content,
    }


def _prompt(version: Version) -> dict[str, Json]:
    return {"file": version.lineage.get("file"), "hash": version.content}


def _snapshot(version: Version) -> dict[str, Json]:
    made = version.snapshot_origin
    return {
        "files": made.files,
        "bytes": made.size_bytes,
        "path": made.path,
        "tags": list(version.aliases),
        "taken": moment(version.created_ms, seconds=True),
        "content": version.content,
    }


def _node(kind: NodeKind, name: str, shown: str, facts: Mapping[str, Json]) -> LineageNode:
    known = {key: value for key, value in facts.items() if value not in (None, "", [], {})}
    return LineageNode(id=f"{kind}:{name}", kind=kind, label=shown, facts=known)
