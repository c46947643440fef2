"""What a report tells, as plain data: `build` makes it, the renderers only read it.

Fields have the names that the pass document and the scorecards use; what a run did not measure stays at
its default and is left out of the pages.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bakeoff.core.ledger import Ledger
from bakeoff.core.types import Column, Task
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.positive import Positive
from bakeoff.metrics.slicing import Slice, WeakSlice

__all__ = [
    "Agreement",
    "Answer",
    "Asked",
    "Bin",
    "Broken",
    "Budget",
    "Calibration",
    "Candidate",
    "Card",
    "Change",
    "ClassRows",
    "ClassScore",
    "Combination",
    "Comparison",
    "Contamination",
    "Contract",
    "CurvePoint",
    "Data",
    "Drop",
    "Gate",
    "Judge",
    "JudgeAgreement",
    "JudgeBias",
    "JudgedCandidate",
    "Memorisation",
    "Origin",
    "Overlap",
    "Power",
    "Recalled",
    "Report",
    "Row",
    "Rung",
    "Searched",
    "Slice",
    "Tried",
    "Verdict",
    "Warned",
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
    """The decision: the winner, why, and what stands behind it; `utilities` are by candidate, if asked for."""

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
    utility: str | None = None
    utilities: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
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
class Warned:
    """Something about the data to look at: a leak, a constant column, a rule of the contract."""

    kind: str
    told: str
    column: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A rule of the data contract that is not kept; `column` is None for a rule in SQL."""

    rule: str
    expected: str
    count: int
    column: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The data contract that the rows were held against, and its rules that gave warnings."""

    file: str
    version: str
    rules: int
    violations: tuple[Broken, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Test rows of which training rows hold a text nearly whole, or (`exact`) whole."""

    rows: int
    exact: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """What training rows hold of the `test` rows: runs of `words` words, to at least this `share` of a text's."""

    test: int
    words: int
    share: float
    texts: Overlap | None = None
    answers: Overlap | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRows:
    """A class and its training rows."""

    name: str
    rows: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The dataset version and its split; counts are rows.

    With `folds` every row is a test row once, and one that the released model is fitted on.
    """

    version: str
    rows: int
    train: int
    validation: int
    test: int
    split: str
    folds: int = 0
    rejected: int = 0
    from_feedback: int = 0
    set_aside: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: tuple[str, ...] = ()
    schema_notes: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    warnings: tuple[Warned, ...] = ()
    contract: Contract | None = None
    classes: tuple[ClassRows, ...] = ()
    contamination: Contamination | None = None


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
class Usage:
    """What answering the test rows took of a service; `cost_usd` is None without prices by the token."""

    rows: int
    calls: int
    cached: int
    tokens_in: int
    tokens_out: int
    refused: int
    unreadable: int
    cost_usd: float | None = None
    tokens_cached: int = 0
    tokens_reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The share of rows whose truth a model says by itself, and its mean loss for a token of it (nats)."""

    verbatim: float
    loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memorisation:
    """What a language model knows of `rows` training rows and of as many held-out rows; or why it was not asked.

    `seen` is the share of the training rows that it was trained on, `loss_ratio` the training loss over the other.
    """

    rows: int = 0
    tokens: int = 0
    seen: float = 1.0
    train: Recalled | None = None
    held_out: Recalled | None = None
    loss_ratio: float | None = None
    warning: bool = False
    skipped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeBias:
    """The share of `decided` votes for the answer shown first, and of pairs whose vote changed when `swapped`."""

    first: float
    low: float
    high: float
    decided: int
    swapped: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAgreement:
    """How often a judge says what people say of n answers or pairs."""

    n: int
    share: float
    low: float
    high: float
    kappa: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCandidate:
    """A candidate's score by the judge; `corrected` and `accepted` are what people would say, as far as known."""

    name: str
    score: Interval
    unreadable: int
    bias: JudgeBias | None = None
    corrected: Interval | None = None
    accepted: Interval | None = None
    uncorrected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A language model that compared answers `against` the true ones ("reference") or a candidate's."""

    model: str
    criteria: str = ""
    against: str = "reference"
    rows: int = 0
    unread: int = 0
    bias: JudgeBias | None = None
    candidates: tuple[JudgedCandidate, ...] = ()
    pairs: JudgeAgreement | None = None
    ratings: JudgeAgreement | None = None
    calls: int = 0
    tokens: int = 0
    cost_usd: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A candidate and what is known of it; without a `card` when it failed.

    `fold_metrics` are the values of each metric on the rows of each fold, if there are folds.
    """

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
    usage: Usage | None = None
    memorisation: Memorisation | None = None
    reliability: tuple[Bin, ...] = ()
    fold_metrics: Mapping[str, tuple[float | None, ...]] | None = None


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
class Rung:
    """A part of the training rows that settings were tried on."""

    share: float
    rows: int
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One trial of a candidate's setting on a rung; `value` is the deciding metric on validation rows."""

    candidate: str
    setting: int
    rung: int
    status: str
    seconds: float
    at_s: float
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What the search found for a candidate: `params` over what it does by itself (none: nothing better)."""

    name: str
    trials: int
    seconds: float
    default: float | None = None
    best: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    searched: tuple[str, ...] = ()

    @property
    def toml(self) -> str:
        """The lines of a project file that keep the parameters."""
        lines = [f"{key} = {json.dumps(value)}" for key, value in self.params.items()]
        return "\n".join([f"[candidates.{self.name}]", *lines])


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How the time for trying parameters was spent; test rows had no part in it."""

    limit_s: float
    used_s: float
    metric: str
    scored_rows: int
    rungs: tuple[Rung, ...] = ()
    by_candidate: tuple[Searched, ...] = ()
    trials: tuple[Tried, ...] = ()

    @property
    def tuned(self) -> tuple[Searched, ...]:
        """Candidates that go on with other parameters than by themselves."""
        return tuple(each for each in self.by_candidate if each.params)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What advice expected of a candidate before the run, and what the run measured."""

    name: str
    quantity: str
    expected: float
    low: float
    high: float
    measured: float
    factor: float | None
    inside: bool


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
    advice: tuple[Asked, ...] = ()
    not_combined: Mapping[str, str] = field(default_factory=dict[str, str])
    judge: Judge | None = None
    origin: Origin | None = None
    budget: Budget | None = None
    positive: Positive | None = None
    ledger: Ledger | None = None

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
