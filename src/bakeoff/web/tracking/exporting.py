"""Take what was tracked to a store of MLflow's: experiments, runs, artifacts, models, traces.

A store of MLflow's gives ids of its own, so each run carries ours as a tag, and a mark when all of it is there: a
killed export goes on in the same runs, and exporting again takes what is new. What was imported from that store goes
back into the run that it came from.
"""

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

from bakeoff.core import narrow
from bakeoff.core.errors import BakeoffError
from bakeoff.core.hashing import digest
from bakeoff.core.queries import Order, Query, QueryField, attribute, every
from bakeoff.core.records import Experiment, Metric, Run
from bakeoff.results.transfer import MovedKind, Transferred
from bakeoff.web.tracking import traces
from bakeoff.web.tracking.context import Tracking, local_path
from bakeoff.web.tracking.exporting_models import ExportedModels
from bakeoff.web.tracking.mlflow_store import EXPORTED, FINALIZED, IMPORTED, LOCATION, OURS, client_of, pages
from bakeoff.web.tracking.otlp import proto_json
from bakeoff.web.tracking.runs import CONTEXT, INPUT, NAME, OUTPUT, PARENT

__all__ = ["export_store"]

REFUSED = re.compile(r"[^\w.\- :/]")
"""What MLflow allows in no key of a metric or param."""
BEGUN = "begun"
"""In the mark of a run that is not whole there, before the digest of its artifacts."""
MOST_DIGEST = 36
"""The most characters of a data set's digest there: ours have 64. The whole one is in the source of data of our own."""
CHUNK, PAIRS = 1000, 100
"""The most values, and the most params or tags, that one request of MLflow's takes."""
OLDEST = (Order(field=QueryField(kind="attribute", key="start_ms")),)


def export_store(tracking: Tracking, uri: str, progress: Callable[[str], None]) -> Transferred:
    """Take all of the records to a store.

    Args:
        tracking: where from.
        uri: a server's, a database's, or a folder, which are made where they are not there.
        progress: takes a line at a time.

    Raises:
        UsageError, StoreError, MissingExtraError: the store cannot be opened.
    """
    client, location = client_of(uri, new=True)
    taking = _Export(tracking, client, location, progress)
    taking.everything()
    return taking.counts


class _Export:
    """One export, and its counts."""

    def __init__(self, tracking: Tracking, client: Any, uri: str, progress: Callable[[str], None]) -> None:
        from mlflow.exceptions import MlflowException

        self.counts = Transferred()
        self._tracking, self._client, self._uri, self._progress = tracking, client, uri, progress
        self._records = tracking.records
        self._failures = (MlflowException, OSError, ValueError, BakeoffError)
        self._there: dict[str, Any] = {}
        """Runs of the store by our ids."""
        self._models = ExportedModels(tracking, client, self.counts, self._there, self._failures)

    def everything(self) -> None:
        """All experiments with what is in them, then the registry."""
        experiments = [*every(self._records.experiments.search, Query(lifecycle=None))]
        for number, ours in enumerate(reversed(experiments), start=1):
            self._progress(f"experiment {number} of {len(experiments)}: {ours.name}")
            try:
                experiment_id = self._experiment(ours)
            except self._failures as error:
                self.counts.leave_out("experiments", ours.name, error)
                continue
            self._runs(ours, experiment_id)
            self._models.logged(ours, experiment_id)
            self._traces(ours, experiment_id)
            if ours.lifecycle == "deleted":
                self._client.delete_experiment(experiment_id)
        self._progress("registered models")
        self._models.registry()

    # --- experiments and runs -------------------------------------------------------------------

    def _experiment(self, ours: Experiment) -> str:
        """Theirs of the same name, made where there is none."""
        theirs = self._client.get_experiment_by_name(ours.name)
        if theirs is None:
            self.counts.moved["experiments"] += 1
            return self._client.create_experiment(ours.name, tags=dict(ours.tags))
        if theirs.lifecycle_stage == "deleted":
            self._client.restore_experiment(theirs.experiment_id)
        for key, value in ours.tags.items():
            if theirs.tags.get(key) != value:
                self._client.set_experiment_tag(theirs.experiment_id, key, value)
        self.counts.already["experiments"] += 1
        return theirs.experiment_id

    def _runs(self, ours: Experiment, experiment_id: str) -> None:
        from mlflow.entities import ViewType

        wanted = {"experiment_ids": [experiment_id], "run_view_type": ViewType.ALL, "max_results": 200}
        for theirs in pages(self._client.search_runs, **wanted):
            self._there[theirs.data.tags.get(OURS) or theirs.info.run_id] = theirs
        inside = attribute("experiment_id", "=", ours.experiment_id)
        for run in every(self._records.runs.search, Query(where=inside, order=OLDEST, lifecycle=None)):
            self._one_run(run, experiment_id)

    def _one_run(self, run: Run, experiment_id: str) -> None:
        theirs, mark = self._there.get(run.run_id), _mark(run)
        if theirs is not None and theirs.data.tags.get(EXPORTED) == mark:
            self.counts.already["runs"] += 1
            return
        try:
            if theirs is None:
                theirs = self._begun(run, experiment_id, mark)
                self._there[run.run_id] = theirs
            elif theirs.info.lifecycle_stage == "deleted":
                self._client.restore_run(theirs.info.run_id)
            self._take(run, theirs, mark)
            self.counts.moved["runs"] += 1
        except self._failures as error:
            self.counts.leave_out("runs", run.run_id, error)

    def _begun(self, run: Run, experiment_id: str, mark: str) -> Any:
        tags = {OURS: run.run_id, EXPORTED: f"{BEGUN}-{_of_artifacts(mark)}"}
        if run.parent_id is not None:
            parent = self._there.get(run.parent_id)
            tags[PARENT] = parent.info.run_id if parent is not None else run.parent_id
        return self._client.create_run(experiment_id, start_time=run.start_ms, tags=tags, run_name=run.name)

    def _take(self, run: Run, theirs: Any, mark: str) -> None:
        """All of a run that is not there."""
        from mlflow.entities import Metric as Value
        from mlflow.entities import Param, RunTag

        run_id = theirs.info.run_id
        for key, name in self._names(run, "metric values", run.metrics).items():
            values = self._lacking(run, theirs, key, name)
            for start in range(0, len(values), CHUNK):
                some = [Value(name, each.value, each.time_ms, each.step) for each in values[start : start + CHUNK]]
                self._client.log_batch(run_id, metrics=some)
            self.counts.moved["metric values"] += len(values)
        named = self._names(run, "runs", run.params)
        params = [Param(name, run.params[key]) for key, name in named.items() if name not in theirs.data.params]
        for some in _parts(params):
            self._client.log_batch(run_id, params=some)
        own = {IMPORTED, PARENT, NAME}
        tags = [
            RunTag(key, value)
            for key, value in run.tags.items()
            if key not in own and not key.startswith((OUTPUT, INPUT)) and theirs.data.tags.get(key) != value
        ]
        for some in _parts(tags):
            self._client.log_batch(run_id, tags=some)
        if run.inputs:
            self._client.log_inputs(run_id, datasets=_inputs(run))
        whole = self._artifacts(run, theirs, mark)
        if run.status in {"FINISHED", "FAILED", "KILLED"}:
            self._client.set_terminated(run_id, run.status, run.end_ms)
        if whole:
            self._client.set_tag(run_id, EXPORTED, mark)
        if run.lifecycle == "deleted":
            self._client.delete_run(run_id)

    def _names(self, run: Run, kind: MovedKind, keys: Iterable[str]) -> dict[str, str]:
        """What keys are called there; of several that would be called alike, only the first is taken."""
        names: dict[str, str] = {}
        for key in keys:
            name = REFUSED.sub("_", key)
            if name in names.values():
                self.counts.leave_out(kind, f"{run.run_id}/{key}", f"another key is called {name!r} there, too")
            else:
                names[key] = name
        return names

    def _lacking(self, run: Run, theirs: Any, key: str, name: str) -> list[Metric]:
        """Values of a metric that are not there."""
        values = self._records.runs.history(run.run_id, key).items
        if name not in theirs.data.metrics:
            return list(values)
        there = self._client.get_metric_history(theirs.info.run_id, name)
        known = {(each.step, each.timestamp, str(float(each.value))) for each in there}
        return [each for each in values if (each.step, each.time_ms, str(float(each.value))) not in known]

    def _artifacts(self, run: Run, theirs: Any, mark: str) -> bool:
        """Every artifact that is not there as it is here; whether all could be taken."""
        run_id, whole = theirs.info.run_id, True
        taken = theirs.data.tags.get(EXPORTED, "")
        # Of artifacts that changed since they were taken, a size does not tell which.
        same = not taken or _of_artifacts(taken) == _of_artifacts(mark)
        ours = same and (theirs.data.tags.get(OURS) or run.tags.get(IMPORTED))
        there = dict(self._listed(run_id, "")) if ours else {}
        for path, size, fetch in self._files(run):
            if _there(there, path) == size:
                self.counts.already["artifacts"] += 1
                continue
            folder = self._tracking.scratch / f"export-{uuid4().hex}"
            folder.mkdir(parents=True)
            try:
                local = fetch(folder / posixpath.basename(path))
                if local.is_dir():
                    self._client.log_artifacts(run_id, str(local), path)
                else:
                    self._client.log_artifact(run_id, str(local), posixpath.dirname(path) or None)
                self.counts.moved["artifacts"] += 1
            except self._failures as error:
                self.counts.leave_out("artifacts", f"{run.run_id}/{path}", error)
                whole = False
            finally:
                rmtree(folder, ignore_errors=True)
        return whole

    def _listed(self, run_id: str, path: str) -> Iterator[tuple[str, int]]:
        """The files below a path, with their sizes."""
        for each in self._client.list_artifacts(run_id, path or None):
            if each.is_dir:
                yield from self._listed(run_id, each.path)
            else:
                yield each.path, int(each.file_size or 0)

    def _files(self, run: Run) -> Iterator[tuple[str, int, Callable[[Path], Path]]]:
        """Artifacts by path, with the size of each, and how to have it as a local file or folder."""
        for path, blob in run.artifacts.items():
            if blob:
                size = self._size(blob)
                yield path, size, lambda target, blob=blob: self._tracking.blobs.fetch(blob, target)
        root = local_path(run.location) if run.location else None
        if root is not None and root.is_dir():
            for file in sorted(path for path in root.rglob("*") if path.is_file()):
                yield file.relative_to(root).as_posix(), file.stat().st_size, lambda _, file=file: file

    def _size(self, blob: str) -> int:
        """The size of a blob; of one that is lost -1, so that fetching it tells."""
        try:
            return self._tracking.blobs.size_bytes(blob)
        except BakeoffError:
            return -1

    # --- traces ---------------------------------------------------------------------------------

    def _traces(self, ours: Experiment, experiment_id: str) -> None:
        where = attribute("experiment_id", "=", ours.experiment_id)
        query = Query(where=where, lifecycle=None)
        for document in every(lambda each: self._records.documents.search(traces.TRACES, each), query):
            try:
                self._trace(document.body, experiment_id)
            except (*self._failures, NotImplementedError) as error:
                self.counts.leave_out("traces", document.key, error)

    def _trace(self, body: Mapping[str, Any], experiment_id: str) -> None:
        from google.protobuf.json_format import ParseDict
        from mlflow.entities import Span, TraceData, TraceInfo
        from mlflow.protos.service_pb2 import TraceInfoV3
        from mlflow.tracing.client import TracingClient
        from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtelSpan

        client, trace_id = TracingClient(self._uri), body["trace_id"]
        try:
            known = client.get_trace_info(trace_id)
        except self._failures:
            known = None
        if known is not None and known.state != "IN_PROGRESS":
            self.counts.already["traces"] += 1
            return
        info = traces.info_of(body)
        info["trace_location"] = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
        metadata = dict(body["metadata"])
        run = self._there.get(metadata.get(traces.RUN, ""))
        if run is not None:
            metadata[traces.RUN] = run.info.run_id
        # What a store notes of its own keeping is not taken to another.
        info["trace_metadata"] = {key: value for key, value in metadata.items() if key != FINALIZED}
        info["tags"] = {key: value for key, value in body["tags"].items() if key not in {LOCATION, traces.LOCATION}}
        documents = self._records.documents.find(traces.SPANS, f"{trace_id}/")
        spans = [
            Span.from_otel_proto(
                ParseDict(proto_json(narrow.json_object(each.body["span"])), OtelSpan(), ignore_unknown_fields=True)
            )
            for each in documents
        ]
        started = client.start_trace(TraceInfo.from_proto(ParseDict(info, TraceInfoV3(), ignore_unknown_fields=True)))
        if self._uri.startswith("file:"):  # folders keep spans as a file of the trace
            client._upload_trace_data(started, TraceData(spans=spans))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        elif spans:
            client.log_spans(experiment_id, spans)
        self.counts.moved["traces"] += 1


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), PAIRS):
        yield items[start : start + PAIRS]


def _mark(run: Run) -> str:
    """Digests of a run and of its artifacts, by which it is known whether it has changed since it was taken."""
    latest = [(key, each.step, each.time_ms, str(each.value)) for key, each in sorted(run.metrics.items())]
    state = [run.status, run.end_ms, run.lifecycle, run.name, latest]
    inputs = [(each.name, each.version, each.context) for each in run.inputs]
    about = [*state, sorted(run.params.items()), sorted(run.tags.items()), inputs]
    return "-".join(digest(json.dumps(each).encode())[:16] for each in (about, sorted(run.artifacts.items())))


def _of_artifacts(mark: str) -> str:
    return mark.partition("-")[2]


def _there(sizes: Mapping[str, int], path: str) -> int | None:
    """The size of a file that is there, or of all below a folder; None of what is not there."""
    below = [size for name, size in sizes.items() if name == path or name.startswith(f"{path}/")]
    return sum(below) if below else None


def _inputs(run: Run) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    result: list[Any] = []
    for each in run.inputs:
        about: dict[str, Any] = {"source_type": "bakeoff", "source": each.version, **each.about}
        tags = [InputTag(str(tag["key"]), str(tag["value"])) for tag in about.pop("tags", [])]
        if each.context and all(tag.key != CONTEXT for tag in tags):
            tags.append(InputTag(CONTEXT, each.context))
        dataset = Dataset(
            each.name,
            each.version[:MOST_DIGEST],
            str(about["source_type"]),
            str(about["source"]),
            schema=about.get("schema"),
            profile=about.get("profile"),
        )
        result.append(DatasetInput(dataset, tags))
    return result
