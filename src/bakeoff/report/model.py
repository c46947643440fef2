"""What a report tells: the outcome of a run, with evidence of its candidates' answers and of what made the model.

`build` makes it, the renderers only read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bakeoff.core.markup import extended, paragraph, table
from bakeoff.core.types import Column
from bakeoff.metrics.intervals import Interval
from bakeoff.results.candidate import Candidate
from bakeoff.results.outcome import RunOutcome
from bakeoff.results.scorecard import Scorecard

__all__ = ["Agreement", "CandidateAnswer", "Origin", "ReliabilityBin", "Report", "ReportedCandidate", "Row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
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
class CandidateAnswer:
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
    answers: tuple[CandidateAnswer, ...]


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
class ReportedCandidate(Candidate):
    """A candidate with its parameters, its scorecard (None when it failed) and how its answers turned out."""

    params: Mapping[str, str] = field(default_factory=dict[str, str])
    card: Scorecard | None = None
    reliability: tuple[ReliabilityBin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(RunOutcome):
    """Everything that a report tells. `made_ms` is when the run ended."""

    made_ms: int
    higher_is_better: bool
    candidates: tuple[ReportedCandidate, ...]
    agreement: Agreement | None = None
    rows: tuple[Row, ...] = ()
    origin: Origin | None = None

    @property
    def live(self) -> str | None:
        """What the run released, as `name/number`."""
        return self.release.model_version if self.release else None

    @property
    def ranked(self) -> tuple[ReportedCandidate, ...]:
        """Candidates with the deciding metric, the best first."""
        metric, sign = self.verdict.metric, -1 if self.higher_is_better else 1
        scored = [candidate for candidate in self.candidates if metric in candidate.metrics]
        return tuple(sorted(scored, key=lambda candidate: sign * candidate.metrics[metric].value))

    @property
    def leader(self) -> ReportedCandidate | None:
        """The winner; without one, the best by the metric; None when nothing could be scored."""
        name = self.verdict.winner or self.verdict.best
        return next((c for c in self.candidates if c.name == name and c.status == "ok"), None)

    __repr__ = RunOutcome.__repr__

    def _repr_html_(self) -> str:
        names = [answer.candidate for answer in self.rows[0].answers] if self.rows else []
        rows = [(row.number, row.truth, *(answer.said for answer in row.answers)) for row in self.rows]
        worth = paragraph("Test rows worth reading, by their number:"), table(("row", "truth", *names), rows)
        note = paragraph("bakeoff.report.html.html(report) is the whole page", "muted")
        return extended(RunOutcome._repr_html_(self), *(worth if rows else ()), note)

    def scored(self, candidate: Candidate) -> Interval:
        """The deciding metric of one of `ranked`."""
        return candidate.metrics[self.verdict.metric]
