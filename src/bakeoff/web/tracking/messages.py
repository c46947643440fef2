"""Messages inside of arguments: the fields that are read of them, and what each must be.

They are checked by these types and handed on as they came; fields that are not listed may be there too. The document at
`/openapi.json` is made of the same types. Facts: MLflow 3.18, `mlflow/protos/service.proto` and `assessments.proto`.
"""

from typing import Any, TypeAlias, TypedDict

__all__ = [
    "AssessmentMessage",
    "DatasetInput",
    "KeyValue",
    "Location",
    "Mask",
    "ModelDataset",
    "ModelOrder",
    "ModelUse",
    "PromptMessage",
    "TraceMessage",
]

Text: TypeAlias = str | None


class KeyValue(TypedDict, total=False):
    """A tag or a param."""

    key: Text
    value: Text


class _Dataset(TypedDict, total=False):
    name: Text
    digest: Text
    source_type: Text
    source: Text
    schema: Text
    profile: Text


class DatasetInput(TypedDict, total=False):
    """A dataset that a run used."""

    tags: list[KeyValue] | None
    dataset: _Dataset | None


class ModelUse(TypedDict, total=False):
    """A logged model that a run used or made."""

    model_id: Text
    step: int | None


class ModelDataset(TypedDict, total=False):
    """A dataset that logged models are searched by."""

    dataset_name: Text
    dataset_digest: Text


class ModelOrder(TypedDict, total=False):
    """What logged models are ordered by."""

    field_name: Text
    ascending: bool | None


class _Experiment(TypedDict, total=False):
    experiment_id: Text


class Location(TypedDict, total=False):
    """Where traces are."""

    type: str | int | None
    mlflow_experiment: _Experiment | None


class _Feedback(TypedDict, total=False):
    value: Any


class _IssueName(TypedDict, total=False):
    issue_name: Text


class AssessmentMessage(TypedDict, total=False):
    """A feedback on a trace, what was expected of it, or the issue that it shows."""

    assessment_id: Text
    assessment_name: Text
    feedback: _Feedback
    expectation: _Feedback
    issue: _IssueName
    metadata: dict[str, str]
    overrides: Text
    rationale: Text
    valid: bool | None


class _TraceInfo(TypedDict, total=False):
    trace_id: Text
    trace_location: Location
    trace_metadata: dict[str, str]
    tags: dict[str, str]
    assessments: list[AssessmentMessage] | None
    request_time: str | int | float
    execution_duration: str | int | float | None
    state: str | int
    request_preview: Text
    response_preview: Text
    client_request_id: Text


class TraceMessage(TypedDict, total=False):
    """What a client says of a trace."""

    trace_info: _TraceInfo | None


class _Paths(TypedDict, total=False):
    paths: list[str]


Mask: TypeAlias = str | _Paths
"""The fields that are to change: with commas between, or as a list."""


class PromptMessage(TypedDict, total=False):
    """A version of a prompt that a trace used."""

    name: Text
    version: str | int | None
