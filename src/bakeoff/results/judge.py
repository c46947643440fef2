"""What a language model as judge found of the candidates' answers."""

from dataclasses import dataclass

from bakeoff.metrics.intervals import Interval

__all__ = ["JudgeAgreement", "JudgeBias", "JudgeOutcome", "JudgedCandidate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeBias:
    """How far the place decides: the share of `decided` votes for the answer shown first (0.5 is fair).

    `swapped` is the share of pairs of which the judge took another side when they were swapped.
    """

    first: float
    low: float
    high: float
    decided: int
    swapped: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAgreement:
    """How often the judge says what people say of n answers or pairs; `kappa` is corrected for chance."""

    n: int
    share: float
    low: float
    high: float
    kappa: float | None


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
class JudgeOutcome:
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
