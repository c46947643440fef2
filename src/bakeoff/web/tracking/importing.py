"""Bring a store of MLflow's over: experiments, runs, artifacts, models, traces, with their ids and times.

What is whole carries a mark, and is passed over by the next import; a killed one goes on at the first thing without a
mark. So importing again brings what is new.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

from bakeoff.core.errors import BakeoffError, NotFoundError
from bakeoff.core.filters import within
from bakeoff.core.hashing import digest
from bakeoff.core.queries import Predicate, Query, QueryField, attribute, every
from bakeoff.core.records import (
    DocumentChange,
    Experiment,
    ExperimentChange,
    Metric,
    RegisteredChange,
    Run,
    RunChange,
    RunInput,
    Series,
    Version,
    VersionChange,
)
from bakeoff.core.types import Json
from bakeoff.results.transfer import Transferred
from bakeoff.web.tracking import models, otlp, traces
from bakeoff.web.tracking.artifacts import FILES
from bakeoff.web.tracking.context import PROXIED, Tracking
from bakeoff.web.tracking.mlflow_store import IMPORTED, LOCATION, LOGGED, OURS, client_of, pages
from bakeoff.web.tracking.registry import MODEL, PROMPT
from bakeoff.web.tracking.runs import CONTEXT, INPUT, NAME, OUTPUT, PARENT
from bakeoff.web.tracking.wire import TrackingError

__all__ = ["Moment", "import_store"]

BEGUN, PARTIAL, GAP = "begun", "partial ", "gap"
"""Marks: of what is not whole, of a run that lacks artifacts, of what stands in for a version that was removed."""
TAGGED = QueryField(kind="tag", key=IMPORTED)
NO_ENDPOINT = frozenset({"ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"})
"""How a server says that it does not know a request."""
CHUNK = 10_000
"""Values of a metric in one write."""
TRACE_PAGE = 100


class Moment:
    """The clock of the stores during an import: what is made gets the time that it had, while one is set."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.at: int | None = None

    def __call__(self) -> int:
        """The time that is set, or else the clock's."""
        return self._clock() if self.at is None else self.at


def import_store(tracking: Tracking, uri: str, moment: Moment, progress: Callable[[str], None]) -> Transferred:
    """Bring all of a store over.

    Args:
        tracking: where to.
        uri: a server's, a database's, or a folder.
        moment: the clock that the stores of `tracking` have.
        progress: takes a line at a time.

    Raises:
        UsageError, NotFoundError, StoreError, MissingExtraError: the store cannot be opened.
    """
    client, location = client_of(uri, copies=tracking.scratch)
    bringing = _Import(tracking, client, location, moment, progress)
    bringing.everything()
    return bringing.counts


class _Import:
    """One import, and its counts."""

    def __init__(
        self, tracking: Tracking, client: Any, uri: str, moment: Moment, progress: Callable[[str], None]
    ) -> None:
        from mlflow.exceptions import MlflowException

        self.counts = Transferred()
        self._tracking, self._client, self._uri, self._moment = tracking, client, uri, moment
        self._progress = progress
        self._failures = (MlflowException, OSError, ValueError, TrackingError, BakeoffError)
        self._records = tracking.records

    def everything(self) -> None:
        """All experiments with what is in them, then the registry."""
        from mlflow.entities import ViewType

        experiments = list(pages(self._client.search_experiments, view_type=ViewType.ALL))
        for number, theirs in enumerate(sorted(experiments, key=lambda each: int(each.creation_time or 0)), start=1):
            self._progress(f"experiment {number} of {len(experiments)}: {theirs.name}")
            ours = self._experiment(theirs)
            self._runs(theirs.experiment_id, ours)
            self._logged_models(theirs.experiment_id, ours)
            self._traces(theirs.experiment_id, ours)
            if theirs.lifecycle_stage == "deleted":
                change = ExperimentChange(experiment_id=ours.experiment_id, lifecycle="deleted")
                self._records.experiments.apply([change])
        self._progress("registered models")
        self._registry()

    # --- experiments and runs -------------------------------------------------------------------

    def _experiment(self, theirs: Any) -> Experiment:
        """Ours of the same name, made where there is none."""
        known = self._records.experiments.search(Query(where=attribute("name", "=", theirs.name), lifecycle=None)).items
        if known:
            self.counts.already["experiments"] += 1
            ours = known[0]
            # Restoring an experiment restores its runs, too: nothing is restored that is not deleted.
            restored = "active" if ours.lifecycle == "deleted" else None
            new = {key: value for key, value in theirs.tags.items() if ours.tags.get(key) != value}
            if restored or new:
                change = ExperimentChange(experiment_id=ours.experiment_id, lifecycle=restored, tags=new)
                self._records.experiments.apply([change])
            return ours
        with self._time(theirs.creation_time):
            self.counts.moved["experiments"] += 1
            return self._records.experiments.create(theirs.name, tags=dict(theirs.tags))

    def _time(self, time_ms: int | None) -> "_At":
        return _At(self._moment, None if time_ms is None else int(time_ms))

    def _runs(self, experiment_id: str, ours: Experiment) -> None:
        from mlflow.entities import ViewType

        wanted = {"experiment_ids": [experiment_id], "run_view_type": ViewType.ALL, "max_results": 200}
        for theirs in pages(self._client.search_runs, **wanted, order_by=["attributes.start_time ASC"]):
            self._one_run(theirs, ours)

    def _one_run(self, theirs: Any, ours: Experiment) -> None:
        run_id = theirs.info.run_id
        here = self._here(theirs.data.tags.get(OURS) or run_id)
        mark = _mark(theirs)
        if here is not None and here.tags.get(IMPORTED) in {None, mark}:  # it was made here, or is whole
            self.counts.already["runs"] += 1
            return
        try:
            whole = self._bring(theirs, ours, here)
            self._finish(theirs, mark if whole else f"{PARTIAL}{mark}")
            self.counts.moved["runs"] += 1
        except self._failures as error:
            self.counts.leave_out("runs", run_id, error)

    def _here(self, run_id: str) -> Run | None:
        try:
            return self._records.runs.get(run_id)
        except NotFoundError:
            return None

    def _bring(self, theirs: Any, ours: Experiment, here: Run | None) -> bool:
        """A run's metrics, params, inputs and artifacts; whether all artifacts could be had."""
        run_id = theirs.info.run_id
        if here is None:
            parent = theirs.data.tags.get(PARENT)
            here = self._records.runs.start(
                ours.experiment_id,
                theirs.info.run_name or theirs.data.tags.get(NAME) or run_id,
                run_id=run_id,
                parent_id=parent if parent and self._parent(parent, ours) else None,
                tags={IMPORTED: BEGUN},
                start_ms=theirs.info.start_time or 0,
            )
        elif here.lifecycle == "deleted":
            self._records.runs.apply([RunChange(run_id=run_id, lifecycle="active")])
        self._metrics(run_id, sorted(theirs.data.metrics), begun=bool(here.metrics))
        new = {key: value for key, value in theirs.data.params.items() if key not in here.params}
        self._records.runs.apply([RunChange(run_id=run_id, params=new, inputs=_inputs(theirs))])
        return self._artifacts(run_id, here)

    def _parent(self, parent: str, ours: Experiment) -> bool:
        """Whether a run's parent is here, after it was brought if it was not."""
        if self._here(parent) is not None:
            return True
        with suppress(*self._failures):
            self._one_run(self._client.get_run(parent), ours)
        return self._here(parent) is not None

    def _metrics(self, run_id: str, keys: Sequence[str], *, begun: bool) -> None:
        """Every value of every metric; of a run that was begun before, those that it lacks."""
        for key in keys:
            values = [_metric(each) for each in self._client.get_metric_history(run_id, key)]
            if begun:
                known = {_told_apart(each) for each in self._records.runs.history(run_id, key).items}
                values = [each for each in values if _told_apart(each) not in known]
            for start in range(0, len(values), CHUNK):
                self._records.runs.apply([RunChange(run_id=run_id, metrics=values[start : start + CHUNK])])
            self.counts.moved["metric values"] += len(values)

    def _artifacts(self, run_id: str, here: Run) -> bool:
        whole = True
        try:
            listed = list(self._listed(run_id, ""))
        except self._failures as error:
            self.counts.leave_out("artifacts", run_id, error)
            return False
        for path, size in listed:
            known = here.artifacts.get(path)
            if known is not None and self._tracking.blobs.size_bytes(known) == size:
                self.counts.already["artifacts"] += 1
                continue

            def fetch(folder: Path, path: str = path) -> Path:
                return Path(self._client.download_artifacts(run_id, path, str(folder)))

            def name(blob: str, path: str = path) -> None:
                self._records.runs.apply([RunChange(run_id=run_id, artifacts={path: blob})])

            whole = self._fetched(f"{run_id}/{path}", fetch, name) and whole
        return whole

    def _listed(self, run_id: str, path: str) -> Iterator[tuple[str, int]]:
        """The files below a path, with their sizes."""
        for each in self._client.list_artifacts(run_id, path or None):
            if each.is_dir:
                yield from self._listed(run_id, each.path)
            else:
                yield each.path, int(each.file_size or 0)

    def _fetched(self, what: str, fetch: Callable[[Path], Path], name: Callable[[str], None]) -> bool:
        """Fetch a file, store it, and name the blob; whether that could be done."""
        folder = self._tracking.scratch / f"import-{uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            name(self._tracking.blobs.put(fetch(folder)))
        except self._failures as error:
            self.counts.leave_out("artifacts", what, error)
            return False
        finally:
            rmtree(folder, ignore_errors=True)
        self.counts.moved["artifacts"] += 1
        return True

    def _finish(self, theirs: Any, mark: str) -> None:
        """The run's state and tags, with the mark that all of it is here."""
        tags = {key: value for key, value in theirs.data.tags.items() if key != NAME} | _outputs(theirs)
        change = RunChange(
            run_id=theirs.info.run_id,
            tags={**tags, IMPORTED: mark},
            status=theirs.info.status,
            end_ms=theirs.info.end_time,
        )
        self._records.runs.apply([change])
        if theirs.info.lifecycle_stage == "deleted":
            self._records.runs.apply([RunChange(run_id=theirs.info.run_id, lifecycle="deleted")])

    # --- logged models and traces ---------------------------------------------------------------

    def _logged_models(self, experiment_id: str, ours: Experiment) -> None:
        try:
            logged = list(pages(self._client.search_logged_models, experiment_ids=[experiment_id]))
        except self._failures as error:
            if getattr(error, "error_code", None) not in NO_ENDPOINT:  # servers of before logged models have none
                self.counts.leave_out("logged models", f"of experiment {ours.name}", error)
            return
        for theirs in logged:
            try:
                uri = f"{self._tracking.location_of(ours)}/models/{theirs.model_id}/artifacts"
                known = self._records.documents.get(models.MODELS, theirs.model_id)
                if known is not None:
                    self.counts.already["logged models"] += 1
                    if known.body["artifact_uri"] == uri and not known.body.get("deleted"):
                        self._missing_files(theirs.artifact_location, uri, theirs.model_id)
                    continue
                self._files(theirs.artifact_location, uri, theirs.model_id)
                models.bring(self._tracking, _logged_model(theirs, ours.experiment_id, uri))
                self.counts.moved["logged models"] += 1
            except self._failures as error:
                self.counts.leave_out("logged models", theirs.model_id, error)

    def _files(self, source: str, uri: str, what: str) -> None:
        """Files at a place that MLflow can read, under a path of the proxy: all of them, or none."""
        from mlflow.artifacts import download_artifacts

        folder = self._tracking.scratch / f"import-{uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            root = Path(download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=self._uri))
            changes: list[DocumentChange] = []
            for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
                if path.is_file():
                    name = path.relative_to(root).as_posix() if root.is_dir() else root.name
                    body: dict[str, Json] = {"file_blob": self._tracking.blobs.put(path)}
                    changes.append(DocumentChange(collection=FILES, key=f"{_below(uri)}{name}", body=body))
            self._records.documents.apply(changes)
            self.counts.moved["artifacts"] += len(changes)
        except self._failures as error:
            self.counts.leave_out("artifacts", what, error)
        finally:
            rmtree(folder, ignore_errors=True)

    def _missing_files(self, source: str, uri: str, what: str) -> None:
        """Fetch the files of something that was brought without them, as when their place could not be read."""
        if not self._records.documents.find(FILES, _below(uri)):
            self._files(source, uri, what)

    def _traces(self, experiment_id: str, ours: Experiment) -> None:
        wanted = {"locations": [experiment_id], "max_results": TRACE_PAGE, "include_spans": True}
        try:
            for theirs in pages(self._client.search_traces, **wanted):
                self._trace(theirs, ours)
        except self._failures as error:
            self.counts.leave_out("traces", f"of experiment {ours.name}", error)

    def _trace(self, theirs: Any, ours: Experiment) -> None:
        from google.protobuf.json_format import MessageToDict
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        trace_id = theirs.info.trace_id
        known = self._records.documents.get(traces.TRACES, trace_id)
        if known is not None and known.body.get("said"):  # of links that came before their trace there is no more
            self.counts.already["traces"] += 1
            return
        try:
            if theirs.data.spans:
                request = ExportTraceServiceRequest()
                request.resource_spans.add().scope_spans.add().spans.extend(
                    span.to_otel_proto() for span in theirs.data.spans
                )
                spans = otlp.spans_of(request.SerializeToString(), kind=otlp.PROTOBUF, encoding=None)
                traces.take(self._tracking, ours.experiment_id, spans)
            body = MessageToDict(theirs.info.to_proto(), preserving_proto_field_name=True)
            body["trace_location"] = {"mlflow_experiment": {"experiment_id": ours.experiment_id}}
            body["tags"] = {key: value for key, value in body.get("tags", {}).items() if key != LOCATION}
            judged: Any = [] if known is None else known.body.get("assessments", [])
            there = {each["assessment_id"] for each in judged}
            body["assessments"] = [
                each for each in body.get("assessments", []) if each.get("assessment_id") not in there
            ]
            traces.start(self._tracking, {"trace": {"trace_info": body}})
            self.counts.moved["traces"] += 1
        except self._failures as error:
            self.counts.leave_out("traces", trace_id, error)

    # --- the registry ---------------------------------------------------------------------------

    def _registry(self) -> None:
        prompts = f"tags.`{PROMPT.key}` = 'true'"
        for text in (None, prompts):
            try:
                registered = list(pages(self._client.search_registered_models, filter_string=text))
            except self._failures as error:
                self.counts.leave_out("registered models", "prompts" if text else "models", error)
                continue
            for theirs in registered:
                try:
                    self._registered(theirs, prompt=text is not None)
                except self._failures as error:
                    self.counts.leave_out("registered models", theirs.name, error)

    def _registered(self, theirs: Any, *, prompt: bool) -> None:
        known = self._records.versions.registered(Query(where=attribute("name", "=", theirs.name))).items
        ours = next((each for each in known if each.kind == MODEL), None)
        if ours is not None and IMPORTED not in ours.tags:
            reason = "a registered model of this name was made here"
            self.counts.leave_out("registered models", theirs.name, reason)
            return
        self.counts.already["registered models"] += ours is not None
        self.counts.moved["registered models"] += ours is None
        with self._time(theirs.creation_timestamp):
            tags = {**dict(theirs.tags), **({PROMPT.key: "true"} if prompt else {}), IMPORTED: BEGUN}
            change = RegisteredChange(kind=MODEL, name=theirs.name, tags=tags, description=theirs.description or "")
            self._records.versions.apply([change])
        where = "name = '{}'".format(theirs.name.replace("'", "''"))
        if prompt:  # versions of prompts are given to who asks for prompts
            where += f" AND tags.`{PROMPT.key}` = 'true'"
        versions = list(pages(self._client.search_model_versions, filter_string=where))
        self._remove_gaps(theirs.name)
        last = 0 if ours is None else ours.last_number
        for version in sorted(versions, key=lambda each: int(each.version)):
            last = self._version(version, last)
        aliases = {alias: int(number) for alias, number in dict(theirs.aliases).items()}
        self._records.versions.apply([RegisteredChange(kind=MODEL, name=theirs.name, aliases=aliases)])

    def _remove_gaps(self, name: str) -> None:
        """Take away what stood in for a removed version when an import was killed."""
        where = within(attribute("name", "=", name), Predicate(field=TAGGED, operator="=", value=GAP))
        gaps = [*every(self._records.versions.search, Query(where=where))]
        removed = [VersionChange(kind=MODEL, name=name, number=each.number, remove=True) for each in gaps]
        self._records.versions.apply(removed)

    def _version(self, theirs: Any, last: int) -> int:
        """One version, under its own number; the last number that is given by now."""
        number = int(theirs.version)
        if number <= last:
            self._known_version(theirs, number)
            return last
        for missing in range(last + 1, number):  # numbers of versions that were removed there are not given again
            self._records.versions.register(MODEL, theirs.name, "", tags={IMPORTED: GAP}, always=True)
            self._records.versions.apply([VersionChange(kind=MODEL, name=theirs.name, number=missing, remove=True)])
        source = theirs.source or ""
        lineage: dict[str, Json] = {"source": source, "files": self._source_files(theirs)}
        model_id = getattr(theirs, "model_id", None)
        lineage |= {key: value for key, value in (("run_link", theirs.run_link), ("model_id", model_id)) if value}
        with self._time(theirs.creation_timestamp):
            self._records.versions.register(
                MODEL, theirs.name, source, run_id=theirs.run_id or None, lineage=lineage, always=True
            )
        self._described(theirs, self._records.versions.get(MODEL, theirs.name, number))
        self.counts.moved["versions"] += 1
        return number

    def _known_version(self, theirs: Any, number: int) -> None:
        """A version whose number is here: brought up to date, if it is the same."""
        try:
            ours = self._records.versions.get(MODEL, theirs.name, number)
        except NotFoundError:  # it was removed here
            self.counts.already["versions"] += 1
            return
        if ours.content != (theirs.source or ""):
            reason = "another version of this number was made here"
            self.counts.leave_out("versions", f"{theirs.name}/{number}", reason)
            return
        self._described(theirs, ours)
        self.counts.already["versions"] += 1
        uri = _own_files(theirs)
        if ours.lineage.get("files") == uri:
            self._missing_files(ours.content, uri, f"{theirs.name}/{number}")

    def _described(self, theirs: Any, ours: Version) -> None:
        """What people say of a version, where it is not the same here."""
        tags = {key: value for key, value in dict(theirs.tags).items() if ours.tags.get(key) != value}
        description = theirs.description or ""
        stage = getattr(theirs, "current_stage", None) or "None"
        if tags or description != ours.description or stage != ours.stage:
            change = VersionChange(
                kind=MODEL, name=ours.name, number=ours.number, tags=tags, description=description, stage=stage
            )
            self._records.versions.apply([change])

    def _source_files(self, theirs: Any) -> str:
        """Where the files of a version are here: among those of its run or logged model, or brought for itself."""
        source = theirs.source or ""
        if PROMPT.key in theirs.tags or not source:
            return source
        inside = LOGGED.search(source)
        model_id = inside[1] if inside else theirs.model_id
        if model_id:
            known = self._records.documents.get(models.MODELS, model_id)
            if known is not None:
                return str(known.body["artifact_uri"])
        run = self._here(theirs.run_id) if theirs.run_id else None
        path = source.partition(f"/{theirs.run_id}/artifacts/")[2] if run is not None else ""
        if run is not None and path:
            return f"{self._tracking.artifacts_of(run)}/{path}"
        uri = _own_files(theirs)
        self._files(source, uri, f"{theirs.name}/{theirs.version}")
        return uri


class _At:
    """Within it, what is made was made at a time."""

    def __init__(self, moment: Moment, time_ms: int | None) -> None:
        self._moment, self._time_ms = moment, time_ms

    def __enter__(self) -> None:
        self._moment.at = self._time_ms

    def __exit__(self, *_: object) -> None:
        self._moment.at = None


# --- MLflow's things as ours --------------------------------------------------------------------


def _below(uri: str) -> str:
    """With what the keys of files begin that are below a path of the proxy."""
    return f"{uri.removeprefix(PROXIED).lstrip('/')}/"


def _own_files(version: Any) -> str:
    """Where the files of a version are that are neither a run's nor a logged model's."""
    return f"{PROXIED}/registered/{version.name}/{version.version}"


def _mark(run: Any) -> str:
    """A digest of what a run says, by which it is known whether it has changed since."""
    info, data = run.info, run.data
    latest = sorted((each.key, each.step, each.timestamp, str(each.value)) for each in data._metric_objs)  # noqa: SLF001
    state = [info.status, info.end_time, info.lifecycle_stage, info.run_name, latest]
    inputs = [(each.name, each.version, each.context) for each in _inputs(run)]
    return digest(json.dumps([*state, sorted(data.params.items()), sorted(data.tags.items()), inputs]).encode())[:16]


def _metric(each: Any) -> Metric:
    of = [getattr(each, name, None) for name in ("model_id", "dataset_name", "dataset_digest")]
    series = Series(model_id=of[0], dataset_name=of[1], dataset_digest=of[2]) if any(of) else None
    return Metric(key=each.key, value=each.value, step=each.step or 0, time_ms=each.timestamp or 0, series=series)


def _told_apart(each: Metric) -> tuple[Any, ...]:
    return each.step, each.time_ms, str(each.value), each.series


def _inputs(run: Any) -> list[RunInput]:
    inputs = run.inputs.dataset_inputs if run.inputs is not None else []
    result: list[RunInput] = []
    for each in inputs:
        tags: list[Json] = [{"key": tag.key, "value": tag.value} for tag in each.tags]
        context = next((tag.value for tag in each.tags if tag.key == CONTEXT), "")
        named = ((key, getattr(each.dataset, key)) for key in ("source_type", "source", "schema", "profile"))
        about: dict[str, Json] = {key: value for key, value in named if value}
        data = each.dataset
        version = str(data.digest)
        if about.get("source_type") == "bakeoff" and str(about.get("source")).startswith(version):
            version = str(about["source"])  # MLflow takes the beginning of it as a digest
        result.append(RunInput(name=data.name, version=version, context=context, about={**about, "tags": tags}))
    return result


def _outputs(run: Any) -> dict[str, str]:
    """The models that a run made and used, in the tags in which they stand here."""
    made = run.outputs.model_outputs if getattr(run, "outputs", None) is not None else []
    used = getattr(run.inputs, "model_inputs", None) or [] if run.inputs is not None else []
    return {f"{OUTPUT}{each.model_id}": str(each.step or 0) for each in made} | {
        f"{INPUT}{each.model_id}": "" for each in used
    }


def _logged_model(theirs: Any, experiment_id: str, uri: str) -> Mapping[str, Any]:
    return {
        "model_id": theirs.model_id,
        "experiment_id": experiment_id,
        "name": theirs.name,
        "model_type": theirs.model_type or None,
        "source_run_id": theirs.source_run_id or None,
        "status": f"LOGGED_MODEL_{theirs.status.name}" if hasattr(theirs.status, "name") else str(theirs.status),
        "created_ms": theirs.creation_timestamp,
        "updated_ms": theirs.last_updated_timestamp,
        "artifact_uri": uri,
        "params": dict(theirs.params or {}),
        "tags": dict(theirs.tags or {}),
        "metrics": [
            {**models.metric_shown(_metric(each)), "value": str(each.value), "run_id": each.run_id}
            for each in theirs.metrics or []
        ],
    }
