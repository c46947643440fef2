"""The reference of a release: what its inputs, its predictions and its quality looked like when it was decided."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from bakeoff.core.hashing import canonical_json
from bakeoff.core.types import Column, Json, Predictions, Task
from bakeoff.metrics.drift import profile

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PREDICTION", "MonitoringReference", "from_bytes", "make", "said_column", "said_table", "to_bytes"]

PREDICTION = "prediction"
"""The name of the column of predictions in a profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringReference:
    """Profiles of input columns and of predictions, and the `metric` with its `value` on the test rows."""

    inputs: Mapping[str, Json]
    predictions: Mapping[str, Json]
    metric: str
    value: float


def make(
    table: "pl.DataFrame", columns: Sequence[Column], predictions: Predictions, *, task: Task, metric: str, value: float
) -> MonitoringReference:
    """Describe the rows that a release is held against.

    Args:
        table: rows as the endpoint will get them (before preparation), best the test rows.
        columns: the input columns. Times always move on, so they are left out.
        predictions: what the model said about these rows.
        task: the model's task.
        metric: the metric that decided.
        value: its value on the test rows.
    """
    kept = [column for column in columns if column.kind != "datetime"]
    return MonitoringReference(
        inputs=profile(table, kept),
        predictions=profile(said_table(predictions.values_n.tolist(), task), [said_column(task)]),
        metric=metric,
        value=value,
    )


def said_column(task: Task) -> Column:
    """Predictions as a column."""
    match task:
        case "classification":
            return Column(name=PREDICTION, kind="categorical", dtype="String")
        case "regression":
            return Column(name=PREDICTION, kind="numeric", dtype="Float64")
        case "generation":
            return Column(name=PREDICTION, kind="text", dtype="String")


def said_table(said: Sequence[str | float | None], task: Task) -> "pl.DataFrame":
    """Predictions as a table of one column."""
    import polars as pl

    dtype = pl.Float64 if task == "regression" else pl.String
    return pl.DataFrame({PREDICTION: pl.Series(said, dtype=dtype)})


def to_bytes(reference: MonitoringReference) -> bytes:
    """The reference as JSON, to be kept as a blob."""
    return canonical_json({field.name: getattr(reference, field.name) for field in fields(reference)})


def from_bytes(data: bytes) -> MonitoringReference:
    """The reference that `to_bytes` gave."""
    return MonitoringReference(**json.loads(data))
