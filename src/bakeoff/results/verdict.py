"""The decision between candidates, and what became of the winner beside the champion."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bakeoff.core.markup import notebook, paragraph, table
from bakeoff.core.types import ColumnKind
from bakeoff.metrics.intervals import Interval

__all__ = ["ChangedInputs", "Comparison", "Detectable", "GateOutcome", "LookCount", "Verdict", "Yardstick"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutcome:
    """One gate for one candidate; `value` is None when the metric is undefined, which fails the gate.

    With a `confidence`, `bound` is what is compared: the end of a one-sided interval, None when too little is known,
    which fails the gate, too.
    """

    candidate: str
    metric: str
    value: float | None
    min: float | None
    max: float | None
    passed: bool
    confidence: float | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectable:
    """With so many test rows a true difference of `detectable` is found four times in five."""

    rows: int
    detectable: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LookCount:
    """How often these test rows (`number`) and this anchor (`attempt`) were tried before, and what that costs.

    `level` is the confidence with which the winner is held; `fresh_rows` would mend a test set that is `worn_out`.
    """

    number: int
    attempt: int
    level: float
    rows: int
    worn_out: bool
    fresh_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedInputs:
    """Inputs that a new model takes and the live one does not, the reverse, and those of another kind (old, new)."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kinds: Mapping[str, tuple[ColumnKind, ColumnKind]] = field(default_factory=dict[str, tuple[ColumnKind, ColumnKind]])

    @property
    def sentence(self) -> str:
        """In words."""
        parts = [f"new {', '.join(map(repr, self.added))}"] if self.added else []
        parts += [f"gone {', '.join(map(repr, self.removed))}"] if self.removed else []
        parts += [f"{name!r} is {new}, was {old}" for name, (old, new) in self.kinds.items()]
        return "; ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How much better `candidate` is than `versus`: positive is better, whichever way the metric runs.

    `low` and `high` bound the difference with 95% confidence; of several comparisons made together, all of them at
    once. `p_value` is that of this one alone, `p_holm` is corrected for all. `q` is the share that there is of the rows
    needed to tell, four times in five, on which side of the margin a difference as large as it looks lies. `alike`: the
    metric cannot tell the two apart on any row.
    """

    candidate: str
    versus: str
    metric: str
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float
    q: float | None = None
    alike: bool = False

    @property
    def superior(self) -> bool:
        """Whether the candidate is better, beyond chance."""
        return self.low > 0

    def non_inferior(self, margin: float) -> bool:
        """Whether it is shown that the candidate is worse by less than the margin."""
        return self.low > -margin

    def inferior(self, margin: float = 0.0) -> bool:
        """Whether it is shown that the candidate is worse by more than the margin."""
        return self.high < -margin


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """The best `baseline` that may stop a winner, its `value`, and how the winner stands to it (or who would have won).

    `candidate_value` is the candidate's, corrected for its choice. `passed`: no baseline stops it, so that it may win
    (see `bakeoff.evaluate.decide.yardstick`). `distinct`: it is distinguishably better, by the `comparison`, whose
    interval has room for the choice among all candidates and for all baselines. `improvement` is the share of the
    baseline's error that is gone (None where the metric has no best value). `ahead` are baselines that stop nobody and
    are better. `warning` is what a person must know first, if there is anything.
    """

    baseline: str
    rule: str
    candidate: str
    value: float
    candidate_value: float
    passed: bool
    distinct: bool
    comparison: Comparison
    needs: str | None = None
    improvement: float | None = None
    ahead: tuple[str, ...] = ()
    warning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision. `best` leads by the metric among those that may win (or among all, if none may).

    `best_set` are those shown to be within the `margin` of every one that may win, the best among them.
    `comparisons` hold every other candidate against `best`; `pareto` names those that no other beats in
    both metric and price; `mdd` is the least true difference that these test rows show four times in five
    (None with a single candidate), `rows_for_margin` how many would show as often that equals are within the margin.
    `value` is the winner's, corrected for its choice. `p_best` is how probable it is that each one that may win is
    truly the best of them, `expected_loss` how much worse than the best it is expected to be, and `p_worse` how
    probable it is that this is more than the margin. `rows_to_settle` is how many test rows would show four times in
    five that the winner (or the best) is within the margin of all others, if they lie as measured. `utilities` are the
    expected ones by candidate, None where undefined; empty when the project has no `utility`. Then `utility_p_best` is
    how probable it is that each has the highest, `utility_loss` how much less than that it is expected to be.

    `yardstick` is how the winner stands to the best baseline, `beside_baselines` to each (None, empty: none was worked
    out); `scale` says in a sentence how much the winner's value is, beside the spread of the target and the baseline.

    Of the comparison with the champion: whether the winner was `promoted`, beside which `champion`, why (`contest`), at
    which `look` at the rows, whether it is `blocked` until a person releases it, and how its `inputs` differ.
    """

    winner: str | None
    reason: str
    metric: str
    gates: tuple[GateOutcome, ...] = ()
    best: str | None = None
    best_set: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    pareto: tuple[str, ...] = ()
    mdd: float | None = None
    utility: str | None = None
    utilities: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    utility_p_best: Mapping[str, float] = field(default_factory=dict[str, float])
    utility_loss: Mapping[str, float] = field(default_factory=dict[str, float])
    margin: float = 0.0
    rows_for_margin: int | None = None
    value: Interval | None = None
    p_best: Mapping[str, float] = field(default_factory=dict[str, float])
    expected_loss: Mapping[str, float] = field(default_factory=dict[str, float])
    p_worse: Mapping[str, float] = field(default_factory=dict[str, float])
    rows_to_settle: int | None = None
    confidence: float | None = None
    promoted: bool = False
    champion: str | None = None
    contest: str | None = None
    look: LookCount | None = None
    blocked: bool = False
    inputs: ChangedInputs | None = None
    power_curve: tuple[Detectable, ...] = ()
    yardstick: Yardstick | None = None
    beside_baselines: tuple[Comparison, ...] = ()
    scale: str | None = None

    @property
    def warning(self) -> str | None:
        """What a person must know first: that no baseline is beaten, or not distinguishably."""
        return self.yardstick.warning if self.yardstick else None

    def __repr__(self) -> str:
        """Who won, by what."""
        value = f" {self.value.value:.4f} {self.value.ends()}" if self.value is not None else ""
        return f"Verdict(winner={self.winner!r}, {self.metric}{value})"

    def _repr_html_(self) -> str:
        title = f"{self.winner} wins" if self.winner else "Nobody wins" + (f"; {self.best} leads" if self.best else "")
        differences = table(
            ("candidate", f"{self.metric} against {self.best}", "from", "to", "p"),
            [(each.candidate, each.difference, each.low, each.high, each.p_holm) for each in self.comparisons],
        )
        gates = table(
            ("candidate", "gate", "value", "least", "most", "passed"),
            [(g.candidate, g.metric, g.value, g.min, g.max, "yes" if g.passed else "no") for g in self.gates],
        )
        return notebook(
            title,
            self.reason,
            differences if self.comparisons else "",
            gates if self.gates else "",
            paragraph(self.contest, "muted") if self.contest else "",
        )
