"""What can be asked for in SQL: the views, their columns with their meaning, and of what they are made."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from bakeoff.core.events import Event, FailureEvent, FeedbackEvent, PredictionEvent

__all__ = ["EVENTS", "VIEWS", "View", "sources_of", "sql_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A view: what a row of it is, and the meaning of its columns. Its SQL stands in `views.sql`."""

    about: str
    columns: Mapping[str, str]


EVENTS: Mapping[str, type[Event]] = {
    "predictions": PredictionEvent,
    "failures": FailureEvent,
    "feedback": FeedbackEvent,
}
"""Views of the event log."""
RUN = {"run_id": "the run"}
PAIR = {**RUN, "key": "its name", "value": "its value"}
WHEN = "when, in UTC"


_VERSION = {
    "name": "under which it is registered",
    "version": "its number",
    "run_id": "the run that made it",
    "created": WHEN,
    "stage": "MLflow's word of before aliases",
    "description": "what people say of it",
    "content": "its content hash, or where a client keeps it",
    "aliases": "a list",
    "tags": "a map",
    "lineage": "what it was made from, as JSON",
}
_ANSWERED = {
    "endpoint": "who answered",
    "release_id": "the release",
    "model_version": "the model",
}
_TIMED = {
    "latency_ms": "computing time, in milliseconds",
    "rows_in_call": "rows that came together",
}

VIEWS: Mapping[str, View] = {
    "experiments": View(
        about="a group of runs",
        columns={
            "experiment_id": "its id",
            "name": "its name",
            "lifecycle": "active or deleted",
            "created": WHEN,
            "location": "where clients keep its artifacts",
        },
    ),
    "runs": View(
        about="a run, deleted ones among them",
        columns={
            "run_id": "its id",
            "experiment_id": "its experiment",
            "experiment": "that one's name",
            "name": "its name",
            "status": "RUNNING, SCHEDULED, FINISHED, FAILED or KILLED",
            "lifecycle": "active or deleted",
            "started": WHEN,
            "ended": WHEN,
            "seconds": "from start to end",
            "parent_id": "the run that it is a part of",
        },
    ),
    "metrics": View(
        about="the latest value of a metric of a run",
        columns={**PAIR, "step": "its step", "logged_at": WHEN},
    ),
    "metric_history": View(
        about="a value that a metric of a run ever had",
        columns={
            **PAIR,
            "step": "its step",
            "logged_at": WHEN,
            "model_id": "the logged model that it is of",
            "dataset": "the dataset that it is of",
            "digest": "that one's digest",
        },
    ),
    "params": View(about="a parameter of a run", columns=PAIR),
    "tags": View(about="a tag of a run", columns=PAIR),
    "inputs": View(
        about="a dataset that a run used",
        columns={**RUN, "name": "the dataset's name", "version": "its version or digest", "context": "what for"},
    ),
    "artifacts": View(
        about="an artifact of a run that is stored here",
        columns={**RUN, "path": "its path", "blob_id": "the blob"},
    ),
    "models": View(
        about="a version of a registered model",
        columns=_VERSION,
    ),
    "datasets": View(
        about="a version of a dataset",
        columns={key: _VERSION[key] for key in ("name", "version", "run_id", "created", "content", "lineage")},
    ),
    "predictions": View(
        about="a row that was answered",
        columns={
            "id": "of the prediction",
            **_ANSWERED,
            "inputs": "the row that was asked, as JSON",
            "label": "the class",
            "value": "the number",
            "value_text": "the text",
            "probabilities": "by class, as JSON",
            **_TIMED,
            "violations": "rules that the row violates, as JSON",
            "absent": "inputs that it lacks",
            "imputed": "inputs that were filled",
            "unseen": "inputs with values that training did not have",
            "unknown": "keys that nobody knows",
            "trace_id": "the caller's trace, in hexadecimal; in `traces` it has `tr-` before it",
            "tokens_in": "tokens read, of a language model behind a service",
            "tokens_out": "tokens written",
            "cost_usd": "what the service was paid, in dollars",
            "caller": "who called",
            "role": "of the release: live or canary; what a shadow answers is no prediction",
            "logged_at": WHEN,
        },
    ),
    "failures": View(
        about="a call that was not answered",
        columns={
            **_ANSWERED,
            "error": "the error's class",
            "message": "what it says",
            **_TIMED,
            "violating_rows": "rows that violate the contract",
            "role": "of the release: live or canary",
            "logged_at": WHEN,
        },
    ),
    "feedback": View(
        about="what somebody says of a prediction",
        columns={
            "id": "of the prediction; by the caller's own key, key:ENDPOINT:KEY",
            "label": "the truth, as JSON",
            "rating": "from -1 to 1",
            "correction": "what should have been said",
            "comment": "any text",
            "implicit": "what was seen of the user, as JSON",
            "source": "who says so",
            "known_ms": "since when it is known, in milliseconds since 1970",
            "trace_id": "that of the prediction, or of the call that brought it",
            "logged_at": WHEN,
        },
    ),
    "signals": View(
        about="what monitoring saw in a window of time",
        columns={
            "endpoint": "of what",
            "release_id": "the release, if it was one alone",
            "name": "drift, quality, latency, errors, volume, contract or inputs",
            "value": "what was measured",
            "most": "over which it is an alert",
            "alert": "whether it is one",
            "rows": "on how many rows it rests",
            "since": WHEN,
            "until": WHEN,
            "detail": "as JSON",
        },
    ),
    "traces": View(
        about="a trace",
        columns={
            "trace_id": "its id",
            "experiment_id": "its experiment",
            "run_id": "the run in which it was made",
            "name": "of its first span",
            "status": "OK, ERROR or IN_PROGRESS",
            "started": WHEN,
            "seconds": "how long it took",
            "request": "the beginning of what was asked",
            "response": "the beginning of the answer",
            "input_tokens": "of all spans",
            "output_tokens": "of all spans",
            "total_tokens": "of all spans",
            "cost_usd": "of all spans",
            "session": "the conversation",
            "user_id": "who asked",
            "spans": "how many there are",
            "tags": "as JSON",
            "metadata": "as JSON",
        },
    ),
    "spans": View(
        about="a span of a trace",
        columns={
            "trace_id": "the trace",
            "span_id": "its id",
            "parent_id": "the span that it is a part of",
            "name": "its name",
            "status": "as OpenTelemetry has it",
            "started": WHEN,
            "seconds": "how long it took",
            "attributes": "a map of texts",
        },
    ),
    "assessments": View(
        about="what somebody or something says of a trace",
        columns={
            "trace_id": "the trace",
            "name": "of what",
            "kind": "feedback, expectation or issue",
            "value": "as JSON",
            "source": "a person, code or a model",
            "valid": "false of what was replaced",
            "rationale": "why",
        },
    ),
}
"""The views by name."""


@cache
def sql_of(name: str) -> str:
    """The SQL of a view."""
    text = files("bakeoff.actions").joinpath("views.sql").read_text("utf-8")
    return text.partition(f"-- view: {name}\n")[2].partition("\n-- view: ")[0].strip()


def sources_of(name: str) -> list[str]:
    """The tables that a view reads."""
    return list(dict.fromkeys(re.findall(r'source\."([^"]+)"', sql_of(name))))
