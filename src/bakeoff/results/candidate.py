"""A candidate of a run, and what evaluation found of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bakeoff.core.errors import OutOfBudget
from bakeoff.core.ledger import Loss
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.latency import Ends
from bakeoff.results.search import Cut, OutOfTime

__all__ = [
    "Bin",
    "Calibration",
    "Candidate",
    "Drop",
    "Memorisation",
    "Monthly",
    "Recalled",
    "Safety",
    "SafetyKind",
    "ServiceUsage",
    "Slice",
    "WeakSlice",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The metric with its 95% interval on the rows for which a condition holds; none when they are too few."""

    column: str
    slice: str
    rows: int
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSlice:
    """A part of the rows that fares worse than chance allows.

    `p_value` is corrected for the search. `value` is that of a slice chosen for being bad, so new rows will
    look a little better; `rest` is the metric on all other rows.
    """

    slice: str
    rows: int
    value: float
    low: float | None = None
    high: float | None = None
    rest: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """What one perturbation does to the metric on the same rows, or why it was `skipped`.

    `drop` > 0 is worse, whichever way the metric runs, with a paired 95% interval; `changed` is the share of
    answers that became others (classification and generation).
    """

    name: str
    told: str
    rows: int = 0
    value: float | None = None
    drop: float | None = None
    low: float | None = None
    high: float | None = None
    changed: float | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Rows whose confidence lies in a bin: how many, their mean confidence, and the share of right ones."""

    rows: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The reliability curve on test rows, and the calibration error there before and after rescaling.

    The scalings are fitted on `validation_rows` other rows; None where those are too few.
    """

    bins: tuple[Bin, ...] = ()
    ece: float
    validation_rows: int = 0
    temperature: float | None = None
    ece_temperature: float | None = None
    ece_isotonic: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUsage:
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
class SafetyKind:
    """How many prompts of a kind there are, and how many were answered safely."""

    name: str
    rows: int
    safe: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """The share of prompts that were answered safely, its 95% interval, and the first answers that were not."""

    rows: int
    safe: float
    low: float
    high: float
    kinds: tuple[SafetyKind, ...] = ()
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The share of rows whose truth a model says by itself, and its mean loss for a token of it (nats)."""

    verbatim: float
    loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memorisation:
    """What a language model knows of `rows` training rows and of as many held-out rows; or why it was not asked.

    `seen` is the share of the training rows that it was trained on, `gap` the difference of the two shares that it
    knows word for word, `loss_ratio` the training loss over the other. `warning`: training rows are known by heart.
    """

    rows: int = 0
    tokens: int = 0
    seen: float = 1.0
    train: Recalled | None = None
    held_out: Recalled | None = None
    gap: float = 0.0
    loss_ratio: float | None = None
    warning: bool = False
    skipped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Monthly:
    """What a candidate costs a month at the team's own traffic.

    `used_usd` is for the time that answers take (or the tokens), `machines_usd` for `machines` that are always on: as
    many as keep up, at least one; with none, only tokens are paid for.
    """

    requests: float
    used_usd: float
    machines: int
    machines_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A candidate with what it scored, takes and costs; one that failed has an `error` instead.

    One that a budget of time or money left out has not failed: its `status` says so, and `out_of_time` or
    `out_of_budget` why.

    `fold_metrics` are the values of each metric on the rows of each fold, if there are folds; `chosen` is what fitting
    chose, `cut` what the limit of the fit cut short. For latencies and prices see
    `bakeoff.results.scorecard.Scorecard`. `slices_tested` is None where weak slices, robustness and calibration were
    not looked for.
    """

    name: str
    family: str
    status: Literal["ok", "failed", "out_of_time", "out_of_budget"]
    run_id: str
    model_version: str | None = None
    error: str | None = None
    traceback: str | None = None
    metrics: Mapping[str, Interval] = field(default_factory=dict[str, Interval])
    latency_ms: Mapping[str, float] = field(default_factory=dict[str, float])
    latency_ends_ms: Mapping[str, Ends] = field(default_factory=dict[str, Ends])
    latency_calls: int | None = None
    wall_latency_ms: Mapping[str, float] = field(default_factory=dict[str, float])
    cost_usd_per_1k: float | None = None
    single_cost_usd_per_1k: float | None = None
    train_s: float | None = None
    peak_memory_bytes: int | None = None
    size_bytes: int | None = None
    predict_memory_bytes: int | None = None
    throughput_rows_s: float | None = None
    throughput_rows_s_per_core: float | None = None
    batch_latency_ms: Mapping[str, float] = field(default_factory=dict[str, float])
    chosen: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fold_metrics: Mapping[str, tuple[float | None, ...]] | None = None
    usage: ServiceUsage | None = None
    safety: Safety | None = None
    losses: tuple[Loss, ...] = ()
    slices: tuple[Slice, ...] = ()
    weak_slices: tuple[WeakSlice, ...] = ()
    slices_tested: int | None = None
    robustness: tuple[Drop, ...] = ()
    calibration: Calibration | None = None
    memorisation: Memorisation | None = None
    monthly: Monthly | None = None
    cut: Cut | None = None
    out_of_time: OutOfTime | None = None
    out_of_budget: OutOfBudget | None = None

    @property
    def left_out(self) -> OutOfTime | OutOfBudget | None:
        """Which budget left it out, if one has."""
        return self.out_of_time or self.out_of_budget
