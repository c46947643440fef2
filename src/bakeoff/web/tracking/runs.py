"""Runs in MLflow's words: created, changed, logged to, found."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from bakeoff.core import narrow
from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.filters import RUNS, filter_of, order_of, within
from bakeoff.core.queries import Order, Query, QueryField, attribute, every
from bakeoff.core.records import NewRun, Run, RunChange, RunInput, RunStatus
from bakeoff.core.types import Json
from bakeoff.web.tracking import limits
from bakeoff.web.tracking.context import DEFAULT, Tracking
from bakeoff.web.tracking.experiments import experiment_of, lifecycle_of
from bakeoff.web.tracking.models import measured, metric_shown, require_models
from bakeoff.web.tracking.wire import enum_of, invalid, missing, of_pairs, paged, pairs, unknown

__all__ = [
    "create",
    "created",
    "delete",
    "delete_tag",
    "get",
    "log",
    "log_batch",
    "log_inputs",
    "log_metric",
    "log_model",
    "log_outputs",
    "log_param",
    "of_models",
    "restore",
    "run_of",
    "search",
    "search_datasets",
    "set_tag",
    "shown",
    "update",
]


NAME, USER, PARENT, NOTE = "mlflow.runName", "mlflow.user", "mlflow.parentRunId", "mlflow.note.content"
CONTEXT, OUTPUT, INPUT = "mlflow.data.context", "bakeoff.model_output.", "bakeoff.model_input."
"""Before the id of a model: tags in which we keep what MLflow tells apart from tags."""
NEWEST = (
    Order(field=QueryField(kind="attribute", key="start_ms"), descending=True),
    Order(field=QueryField(kind="attribute", key="run_id")),
)
MOST_RUNS, MOST_EXPERIMENTS = 50_000, 20


def shown(tracking: Tracking, run: Run) -> Json:
    """A run as clients read it."""
    inputs: dict[str, Json] = {"dataset_inputs": [_input(each) for each in run.inputs]}
    used = _models(run, INPUT)
    if used:
        inputs["model_inputs"] = [{"model_id": each} for each in used]
    body: dict[str, Json] = {
        "info": _info(tracking, run),
        "data": {
            "metrics": [metric_shown(each) for each in run.metrics.values()],
            "params": pairs(run.params),
            "tags": pairs({NAME: run.name, **{k: v for k, v in run.tags.items() if not k.startswith((OUTPUT, INPUT))}}),
        },
        "inputs": inputs,
    }
    made = _models(run, OUTPUT)
    if made:
        body["outputs"] = {"model_outputs": [{"model_id": each, "step": int(step)} for each, step in made.items()]}
    return body


def _models(run: Run, prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in run.tags.items() if key.startswith(prefix)}


def _info(tracking: Tracking, run: Run) -> Json:
    return {
        "run_uuid": run.run_id,
        "run_id": run.run_id,
        "run_name": run.name,
        "experiment_id": run.experiment_id,
        "user_id": run.tags.get(USER, "unknown"),
        "status": run.status,
        "start_time": run.start_ms,
        **({} if run.end_ms is None else {"end_time": run.end_ms}),
        "artifact_uri": tracking.artifacts_of(run),
        "lifecycle_stage": run.lifecycle,
    }


def _input(used: RunInput) -> Json:
    about = {"source_type": "bakeoff", "source": used.version, **used.about}
    tags = [narrow.json_object(each) for each in narrow.json_array(about.pop("tags", []))]
    if used.context and CONTEXT not in {tag["key"] for tag in tags}:
        tags.append({"key": CONTEXT, "value": used.context})
    return {"tags": tags, "dataset": {"name": used.name, "digest": used.version, **about}}


def run_of(tracking: Tracking, run_id: str, *, active: bool = False) -> Run:
    """The run of an id, and if `active`, one that is not deleted."""
    try:
        run = tracking.records.runs.get(run_id)
    except NotFoundError:
        raise unknown(f"Run with id={run_id} not found") from None
    if active and run.lifecycle != "active":
        raise _deleted(run_id)
    return run


def _deleted(run_id: str) -> Exception:
    return invalid(f"The run {run_id} must be in the 'active' state. Current state is deleted.")


def _apply(tracking: Tracking, change: RunChange) -> Json:
    """Create a run, or change one that is not deleted."""
    try:
        tracking.records.runs.apply([change])
    except NotFoundError:
        if change.new is not None:  # its experiment is gone since it was looked up
            raise
        raise unknown(f"Run with id={change.run_id} not found") from None
    except ConflictError as error:
        if change.new is not None:
            raise
        run = tracking.records.runs.get(change.run_id)
        if run.lifecycle == "deleted":
            raise _deleted(change.run_id) from None
        other = [(key, run.params[key], v) for key, v in change.params.items() if run.params.get(key, v) != v]
        if not other:
            raise
        told = ", ".join(f"{{'key': '{k}', 'old_value': '{old}', 'new_value': '{new}'}}" for k, old, new in other)
        if len(change.params) > 1:
            text = (
                f"Changing param values is not allowed. Params were already logged='[{told}]' "
                f"for run ID='{change.run_id}'."
            )
        else:
            key, old, new = other[0]
            text = (
                f"Changing param values is not allowed. Param with key='{key}' was already logged with value='{old}' "
                f"for run ID='{change.run_id}'. Attempted logging new value '{new}'."
            )
        raise invalid(f"{text} {limits.CHANGED}") from error
    return {}


def create(tracking: Tracking, given: Mapping[str, Any]) -> RunChange:
    """A new run."""
    experiment = experiment_of(tracking, given["experiment_id"] or DEFAULT, active=True)
    tags = limits.check_run_tags(of_pairs("tags", given["tags"]), paths=True)
    name = given["run_name"] or tags.get(NAME) or _name()
    if given["run_name"] and tags.get(NAME, name) != name:
        raise invalid(
            f"Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{name}', mlflow.runName='{tags[NAME]}')."
        )
    run_id = uuid.uuid4().hex
    parent = tags.get(PARENT)
    if given.get("user_id") and given["user_id"] != "unknown":
        tags.setdefault(USER, given["user_id"])
    tags.pop(NAME, None)
    new = NewRun(
        experiment_id=experiment.experiment_id,
        name=name,
        parent_id=parent if parent is not None and _there(tracking, parent) else None,
        start_ms=given["start_time"] or tracking.clock(),
        location=f"{tracking.location_of(experiment)}/{run_id}/artifacts",
    )
    return RunChange(run_id=run_id, new=new, tags=tags)


def created(tracking: Tracking, change: RunChange) -> Json:
    """The run that was created."""
    assert change.new is not None
    return {"run": shown(tracking, change.new.begun(change.run_id, change.tags))}


def _there(tracking: Tracking, run_id: str) -> bool:
    try:
        tracking.records.runs.get(run_id)
    except NotFoundError:
        return False
    return True


def _name() -> str:
    """A name for a run that got none: two words and a number, as MLflow's are, from lists of our own."""
    import secrets

    first = ("calm", "brisk", "keen", "warm", "proud", "quiet", "swift", "bold", "fair", "merry", "lucid", "plain")
    second = (
        "otter",
        "heron",
        "maple",
        "cedar",
        "finch",
        "comet",
        "amber",
        "delta",
        "birch",
        "raven",
        "lemon",
        "basil",
    )
    return f"{secrets.choice(first)}-{secrets.choice(second)}-{secrets.randbelow(1000)}"


def update(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Another name or status of a run."""
    status: Any = None if given["status"] is None else enum_of("status", given["status"], get_args(RunStatus), first=1)
    change = RunChange(run_id=given["run_id"], name=given["run_name"] or None, status=status, end_ms=given["end_time"])
    _apply(tracking, change)
    return {"run_info": _info(tracking, run_of(tracking, given["run_id"]))}


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a run out of sight."""
    run = run_of(tracking, given["run_id"], active=True)
    return _apply(tracking, RunChange(run_id=run.run_id, lifecycle="deleted"))


def restore(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Bring a deleted run back."""
    return _apply(tracking, RunChange(run_id=given["run_id"], lifecycle="active"))


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One run."""
    return {"run": shown(tracking, run_of(tracking, given["run_id"]))}


def log(tracking: Tracking, change: RunChange) -> Json:
    """What was logged to a run, and what follows from it for logged models."""
    models = of_models(change)
    if models:
        require_models(tracking, change.metrics)
    _apply(tracking, change)
    if models:
        measured(tracking, change.run_id, change.metrics)
    return {}


def of_models(change: RunChange) -> bool:
    """Whether it brings metrics of logged models or datasets."""
    return bool([metric for metric in change.metrics if metric.series is not None])


def log_metric(_: Tracking, given: Mapping[str, Any]) -> RunChange:
    """One value of a metric."""
    metric = limits.metric_of(given)
    if not limits.is_key(metric.key):
        limits.check_key(metric.key, path="name", what="Metric name")
    return RunChange(run_id=given["run_id"], metrics=[metric])


def log_param(_: Tracking, given: Mapping[str, Any]) -> RunChange:
    """One param."""
    return RunChange(run_id=given["run_id"], params=limits.check_params({given["key"]: given["value"] or ""}))


def set_tag(_: Tracking, given: Mapping[str, Any]) -> RunChange:
    """A tag of a run; that of its name is its name."""
    tags = limits.check_run_tags({given["key"]: given["value"] or ""})
    return RunChange(run_id=given["run_id"], tags=_without_name(tags), name=tags.get(NAME) or None)


def _without_name(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key != NAME}


def delete_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a tag of a run away."""
    run, key = run_of(tracking, given["run_id"], active=True), given["key"]
    if key not in run.tags:
        raise unknown(f"No tag with name: {key} in run with id {run.run_id}")
    return _apply(tracking, RunChange(run_id=run.run_id, remove_tags=(key,)))


def log_batch(_: Tracking, given: Mapping[str, Any]) -> RunChange:
    """Metrics, params and tags at once: all or none."""
    limits.check_batch(given["metrics"], given["params"], given["tags"])
    metrics = limits.metrics_of(given["metrics"])
    keys = [metric.key for metric in metrics]
    for key in dict.fromkeys(keys):
        if not limits.is_key(key):
            limits.check_key(key, path=f"metrics[{keys.index(key)}].name", what="Metric name")
    tags = limits.check_run_tags(of_pairs("tags", given["tags"]), paths=True)
    return RunChange(
        run_id=given["run_id"],
        metrics=metrics,
        params=limits.check_params(of_pairs("params", given["params"]), paths=True),
        tags=_without_name(tags),
        name=tags.get(NAME) or None,
    )


def log_inputs(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Datasets and models that a run used."""
    run = run_of(tracking, given["run_id"], active=True)
    inputs = [_used(each, at) for at, each in enumerate(given["datasets"])]
    models = {f"{INPUT}{each.get('model_id', '')}": "" for each in given["models"]}
    return _apply(tracking, RunChange(run_id=run.run_id, inputs=inputs, tags=models))


def _used(given: Mapping[str, Any], at: int) -> RunInput:
    dataset: Mapping[str, Any] = given.get("dataset") or {}
    for key in ("name", "digest", "source_type", "source"):
        if not dataset.get(key):
            raise missing(f"datasets[{at}].dataset.{key}")
    tags = [{"key": each["key"], "value": each.get("value", "")} for each in given.get("tags") or []]
    context = next((each["value"] for each in tags if each["key"] == CONTEXT), "")
    about: dict[str, Json] = {
        key: str(dataset[key]) for key in ("source_type", "source", "schema", "profile") if dataset.get(key)
    }
    return RunInput(name=dataset["name"], version=dataset["digest"], context=context, about={**about, "tags": tags})


def log_outputs(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Models that a run made."""
    run = run_of(tracking, given["run_id"], active=True)
    made = {f"{OUTPUT}{each.get('model_id', '')}": str(int(each.get("step") or 0)) for each in given["models"]}
    return _apply(tracking, RunChange(run_id=run.run_id, tags=made))


def log_model(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The way of older clients to tell of a model: a line in a tag."""
    import json

    run = run_of(tracking, given["run_id"], active=True)
    try:
        model = json.loads(given["model_json"])
        lacking = {"artifact_path", "flavors", "utc_time_created", "run_id"} - set(model)
    except (ValueError, TypeError):
        raise invalid(f"Malformed model info. \n {given['model_json']} \n is not a valid JSON.") from None
    if lacking:
        raise invalid(f"Model json is missing mandatory fields: {lacking}")
    history = [*json.loads(run.tags.get("mlflow.log-model.history", "[]")), model]
    return _apply(tracking, RunChange(run_id=run.run_id, tags={"mlflow.log-model.history": json.dumps(history)}))


def search(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Runs of experiments, by filter and order."""
    experiments = given["experiment_ids"]
    if given["max_results"] is not None and given["max_results"] < 1:
        raise invalid(
            f"Invalid value {given['max_results']} for parameter 'max_results' supplied. It must be a positive integer"
        )
    query = Query(
        where=within(attribute("experiment_id", "in", tuple(experiments)), filter_of(given["filter"], RUNS)),
        order=(*order_of(given["order_by"], RUNS), *NEWEST),
        lifecycle=lifecycle_of(given.get("run_view_type")),
        limit=1000 if given["max_results"] is None else given["max_results"],
        page=given["page_token"] or None,
    )
    if not experiments:
        return {"runs": []}
    page = tracking.records.runs.search(query)
    return paged({"runs": [shown(tracking, run) for run in page.items]}, page.following)


def search_datasets(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The datasets that runs of experiments used."""
    experiments: Sequence[str] = given["experiment_ids"]
    if not experiments:
        raise invalid("SearchDatasets request must specify at least one experiment_id.")
    if len(experiments) > MOST_EXPERIMENTS:
        raise invalid(
            f"SearchDatasets request cannot specify more than {MOST_EXPERIMENTS} experiment_ids. "
            f"Received {len(experiments)} experiment_ids."
        )
    known: dict[tuple[str, str, str, str], Json] = {}
    query = Query(where=attribute("experiment_id", "in", tuple(experiments)), limit=1000)
    for run in every(tracking.records.runs.search, query):
        for used in run.inputs:
            body = {"experiment_id": run.experiment_id, "name": used.name, "digest": used.version}
            context = {"context": used.context} if used.context else {}
            known[run.experiment_id, used.name, used.version, used.context] = {**body, **context}
    return {"dataset_summaries": list(known.values())[:1000]}
