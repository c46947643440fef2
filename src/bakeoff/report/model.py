"""What a report tells, as plain data: `build` makes it, the renderers only read it.

Fields have the names that the pass document and the scorecards use; what a run did not measure stays at
its default and is left out of the pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bakeoff.core.types import Column, Task
from bakeoff.metrics.intervals import Interval

__all__ = [
    "Agreement",
    "Answer",
    "Bin",
    "Calibration",
    "Candidate",
    "Card",
    "Change",
    "ClassScore",
    "Combination",
    "Comparison",
    "CurvePoint",
    "Data",
    "Drop",
    "Gate",
    "Origin",
    "Power",
    "Report",
    "Row",
    "Slice",
    "Verdict",
    "WeakSlice",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate for one candidate."""

    candidate: str
    metric: str
    value: float | None
    min: float | None
    max: float | None
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How much better `candidate` is than `versus` (positive is better), with a 95% interval."""

    candidate: str
    versus: str
    difference: float
    low: float
    high: float
    p_holm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """With so many test rows a true difference of `detectable` is found four times in five."""

    rows: int
    detectable: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision: the winner, why, and what stands behind it."""

    winner: str | None
    reason: str
    metric: str
    best: str | None
    best_set: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    pareto: tuple[str, ...] = ()
    mdd: float | None = None
    power_curve: tuple[Power, ...] = ()
    promoted: bool = False
    contest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one preparation step did."""

    step: str
    rows_in: int
    rows_out: int
    cells_changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The dataset version and its split; counts are rows."""

    version: str
    rows: int
    train: int
    validation: int
    test: int
    split: str
    rejected: int = 0
    from_feedback: int = 0
    set_aside: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: tuple[str, ...] = ()
    schema_notes: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """How one class fares; `support` is its number of test rows."""

    precision: Interval
    recall: Interval
    f1: Interval
    support: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What the report takes of a scorecard beside what the pass document holds.

    `confusion` counts rows, true class by predicted class, in the order of `classes`.
    """

    n_test: int
    intervals: str
    classes: tuple[str, ...] = ()
    per_class: Mapping[str, ClassScore] = field(default_factory=dict[str, ClassScore])
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """A tenth of the test rows, by what was predicted: the mean prediction, and what was observed.

    Classification: `predicted` is the confidence in the answer and `observed` the share of right answers,
    with its 95% interval. Regression: `observed` is the mean truth, between its 10% and 90% quantiles.
    """

    predicted: float
    observed: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The deciding metric on the rows for which a condition on a column holds."""

    column: str
    slice: str
    rows: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSlice:
    """A part of the rows that fares worse than chance allows; `rest` is the metric on all others."""

    slice: str
    rows: int
    value: float
    low: float
    high: float
    rest: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """What a perturbation of the inputs costs (`drop` > 0 is worse), or why it was `skipped`."""

    name: str
    told: str
    rows: int = 0
    drop: float | None = None
    low: float | None = None
    high: float | None = None
    changed: float | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The calibration error as it is, and after rescaling that was fitted on validation rows."""

    ece: float
    validation_rows: int = 0
    temperature: float | None = None
    ece_temperature: float | None = None
    ece_isotonic: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A cascade that passes on this `share` of rows: its price and its value of the metric."""

    share: float
    cost_usd_per_1k: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A blend, cascade or route that was tried; without `quality` when validation rows spoke against it.

    `weights` are those of a blend's members, `shares` those of rows that reach each member of the others.
    """

    name: str
    kind: str
    members: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    quality: Interval | None = None
    cost_usd_per_1k: float | None = None
    entered: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A candidate and what is known of it; without a `card` when it failed."""

    name: str
    family: str
    status: str
    run_id: str | None = None
    model_version: str | None = None
    metrics: Mapping[str, Interval] = field(default_factory=dict[str, Interval])
    latency_ms: Mapping[str, float] = field(default_factory=dict[str, float])
    cost_usd_per_1k: float | None = None
    train_s: float | None = None
    peak_memory_bytes: int | None = None
    size_bytes: int | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str | None = None
    traceback: str | None = None
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    card: Card | None = None
    predict_memory_bytes: int | None = None
    throughput_rows_s: float | None = None
    slices: tuple[Slice, ...] = ()
    weak_slices: tuple[WeakSlice, ...] = ()
    slices_tested: int = 0
    robustness: tuple[Drop, ...] = ()
    calibration: Calibration | None = None
    reliability: tuple[Bin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one candidate said of a row; `probability` is that of its answer, `right` None for numbers."""

    candidate: str
    said: str
    probability: float | None = None
    right: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A test row worth reading: its number among the test rows, its inputs, the truth and the answers."""

    number: int
    inputs: Mapping[str, str]
    truth: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """On how many test rows all candidates are right, all are wrong, and only some are right."""

    all_right: int
    all_wrong: int
    mixed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What made the model that the report is about."""

    model_version: str
    content: str
    sources: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    target: str = ""
    seed: int = 0
    code_commit: str | None = None
    code_dirty: bool | None = None
    environment: str = ""
    python: str = ""
    platform: str = ""
    packages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a report tells. `made_ms` is when the run ended."""

    project: str
    task: Task
    run_id: str
    made_ms: int
    higher_is_better: bool
    dataset: Data
    verdict: Verdict
    candidates: tuple[Candidate, ...]
    live: str | None = None
    endpoint: str | None = None
    agreement: Agreement | None = None
    rows: tuple[Row, ...] = ()
    combinations: tuple[Combination, ...] = ()
    origin: Origin | None = None

    @property
    def fine(self) -> tuple[Candidate, ...]:
        """Candidates with the deciding metric, the best first."""
        metric, sign = self.verdict.metric, -1 if self.higher_is_better else 1
        scored = [candidate for candidate in self.candidates if metric in candidate.metrics]
        return tuple(sorted(scored, key=lambda candidate: sign * candidate.metrics[metric].value))

    @property
    def failed(self) -> tuple[Candidate, ...]:
        """Candidates that could not be fitted or evaluated."""
        return tuple(candidate for candidate in self.candidates if candidate.status != "ok")

    @property
    def leader(self) -> Candidate | None:
        """The winner; without one, the best by the metric; None when nothing could be scored."""
        name = self.verdict.winner or self.verdict.best
        return next((c for c in self.candidates if c.name == name and c.status == "ok"), None)

    def scored(self, candidate: Candidate) -> Interval:
        """The deciding metric of one of `fine`."""
        return candidate.metrics[self.verdict.metric]
