"""The scorecard: what evaluation found of one candidate, and its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bakeoff.core.errors import CorruptError
from bakeoff.core.types import Json
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.latency import Ends

__all__ = ["MEASUREMENTS", "ClassScore", "Scorecard", "Scores"]

MEASUREMENTS = (
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "batch_latency_p50_ms",
    "batch_latency_p95_ms",
    "batch_latency_p99_ms",
    "throughput_rows_s",
    "throughput_rows_s_per_core",
    "predict_memory_bytes",
    "train_s",
    "size_bytes",
    "cost_usd_per_1k",
    "unreadable",
    "safe",
)
"""What a scorecard holds beside metrics, by the names that gates use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """How one class fares; `support` is how many test rows are truly of it."""

    precision: Interval
    recall: Interval
    f1: Interval
    support: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The statistical part of a scorecard.

    `metrics` leaves out what is undefined on these rows (for instance roc_auc when one class is all there
    is). `confusion` counts rows, true class by predicted class, in the order of `classes`.
    """

    metrics: Mapping[str, Interval]
    n_test: int
    intervals: str
    classes: tuple[str, ...] = ()
    per_class: Mapping[str, ClassScore]
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard(Scores):
    """What evaluation found of one candidate.

    `latency_ms` is of single predictions (`p50`, `p95`, `p99`) without waiting for a processor, with the ends of its
    intervals in `latency_ends_ms`, from `latency_calls` calls (`wall_latency_ms` by the clock). `batch_latency_ms` is
    of batches of `batch_rows` rows, from which `throughput_rows_s` is, too; `cost_usd_per_1k` is the price of 1,000
    batched predictions, `single_cost_usd_per_1k` that of 1,000 asked for one by one. `takes_machine`: a machine is
    needed for them, not another's service alone. `size_bytes` is of the files that answer: those that an engine has
    converted, where it has.
    `predict_memory_bytes` is the most memory that a process held which loaded the model and predicted the
    test rows. `cost_spread` is how many times dearer the slow batches (the ninth of ten) were than the fastest, by
    which the price is. `unreadable` is the share of test rows whose answer a service refused or that could not be read,
    so that the family's fallback stands in its place, `safe` that of prompts of `[decide] safety` which were answered
    safely. What was not measured (a combination that is only priced) is
    left at its default.
    """

    latency_ms: Mapping[str, float]
    throughput_rows_s: float
    train_s: float
    size_bytes: int
    cost_usd_per_1k: float
    throughput_rows_s_per_core: float | None = None
    batch_latency_ms: Mapping[str, float] = field(default_factory=dict[str, float])
    batch_rows: int | None = None
    predict_memory_bytes: int | None = None
    cost_spread: float = 1.0
    wall_latency_ms: Mapping[str, float] = field(default_factory=dict[str, float])
    latency_ends_ms: Mapping[str, Ends] = field(default_factory=dict[str, Ends])
    latency_calls: int | None = None
    single_cost_usd_per_1k: float | None = None
    takes_machine: bool = True
    unreadable: float = 0.0
    safe: float | None = None

    @classmethod
    def of_metrics(cls, metrics: Mapping[str, Interval], *, n_test: int, cost_usd_per_1k: float) -> "Scorecard":
        """Metrics and a price of a candidate of which nothing else was measured."""
        return cls(
            metrics=metrics,
            n_test=n_test,
            intervals="",
            per_class={},
            latency_ms={},
            throughput_rows_s=0.0,
            train_s=0.0,
            size_bytes=0,
            cost_usd_per_1k=cost_usd_per_1k,
        )

    def number(self, name: str) -> float | None:
        """The value of a metric or of a gated measurement (`latency_p95_ms`, `train_s`, …); None if unknown."""
        if name in self.metrics:
            return self.metrics[name].value
        if name not in MEASUREMENTS:
            return None
        if name.endswith("_ms"):
            timings = self.batch_latency_ms if name.startswith("batch_") else self.latency_ms
            return timings.get(name.removeprefix("batch_").removeprefix("latency_").removesuffix("_ms"))
        found = getattr(self, name)
        return None if found is None else float(found)

    def to_json(self) -> dict[str, Json]:
        """As a JSON document."""
        return msgspec.json.decode(msgspec.json.encode(self), type=dict[str, Any])

    @classmethod
    def from_json(cls, body: Mapping[str, Json]) -> "Scorecard":
        """Read what `to_json` gave.

        Raises:
            CorruptError: something is missing or of another form.
        """
        try:
            return msgspec.convert(dict(body), cls)
        except msgspec.ValidationError as error:
            raise CorruptError(f"expected a scorecard as JSON; received one where: {error}") from error
