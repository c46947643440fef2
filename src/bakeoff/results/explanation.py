"""Why a candidate answers as it does, and what would make it better: what explaining it came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "AnswerPart",
    "Contribution",
    "Curve",
    "ErrorBar",
    "Explanation",
    "Importance",
    "LearningCurve",
    "LearningPoint",
    "Response",
    "ResponsePoint",
    "RowExplanation",
    "Skipped",
    "WordWeight",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A part of an explanation that was left out, and why."""

    part: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """What the metric loses when these columns are shuffled over the rows, with a paired 95% interval.

    Columns that say nearly the same are shuffled together, since each of them alone would not be missed. `drop` > 0 is
    worse, whichever way the metric runs.
    """

    columns: tuple[str, ...]
    drop: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsePoint:
    """The mean prediction when a column has one value in all rows, and what 80% of the rows lie between.

    For `low` and `high` the curve of each row is moved to the mean of all, so that they tell how much the effect of the
    column differs from row to row, and not how much the rows differ.
    """

    at: float | str
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """How the prediction goes with one column (partial dependence), by output: a class, or "" for numbers."""

    column: str
    kind: Literal["number", "time", "category"]
    outputs: Mapping[str, tuple[ResponsePoint, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What a column adds to scores: its mean size, for each output, and single rows.

    `points` pair the place of the row's value among all values (0 the least, 1 the greatest; None: it has no order or
    is missing) with what the column adds there; where scores of several classes are told of there are none.
    """

    column: str
    size: float
    by_output: Mapping[str, float] = field(default_factory=dict[str, float])
    points: tuple[tuple[float | None, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WordWeight:
    """What a word adds to a score in the rows that hold it, on average, and how many of the rows these are."""

    column: str
    word: str
    output: str
    adds: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningPoint:
    """The metric of fits on so many rows, on the same test rows, and how it lies from that of all rows (95%)."""

    rows: int
    value: float
    behind: float
    low: float
    high: float
    fits: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """The metric by training rows, and what twice the rows would add to it (`more` > 0 is better), with 95%."""

    metric: str
    points: tuple[LearningPoint, ...]
    more: float | None = None
    more_low: float | None = None
    more_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBar:
    """Errors of a tenth of the rows: the mean with its 95% interval and, of numbers, the 10% and 90% quantiles.

    An error is the truth less the prediction; of classes it is 1 for a wrong answer and 0 for a right one. `start` and
    `end` are the ends of the part: predictions, or times in ISO 8601.
    """

    start: float | str
    end: float | str
    rows: int
    mean: float
    low: float
    high: float
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One class against all others at every threshold: points of the ROC and of precision and recall, and the areas.

    `roc` are pairs (false-positive rate, true-positive rate), `precision_recall` pairs (recall, precision).
    """

    output: str
    rows: int
    roc: tuple[tuple[float, float], ...]
    precision_recall: tuple[tuple[float, float], ...]
    roc_auc: float
    pr_auc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What explaining a candidate came to: `seconds` of the `limit_s` that it was given, on `rows` of its test rows.

    `score` says what contributions and words add to (the unit of the number, or log odds), `how` by which method, and
    `outputs` what responses, contributions and words are told of: classes, or "" for a number. `skipped` are parts that
    were left out, and why.
    """

    candidate: str
    metric: str
    rows: int
    seconds: float
    limit_s: float
    outputs: tuple[str, ...] = ()
    importance: tuple[Importance, ...] = ()
    responses: tuple[Response, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    words: tuple[WordWeight, ...] = ()
    score: str = ""
    how: str = ""
    words_how: str = ""
    by_size: tuple[ErrorBar, ...] = ()
    over_time: tuple[ErrorBar, ...] = ()
    curves: tuple[Curve, ...] = ()
    learning: LearningCurve | None = None
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPart:
    """What one column (or, with `word`, one word of it) adds to an answer; `value` is the row's."""

    column: str
    adds: float
    value: str = ""
    word: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowExplanation:
    """Why a model answers one row as it does: from `base`, the score of an average row, to the row's own `score`.

    `columns` add up to score less base, the largest first; `words` are a part of what their columns add (`words_how`
    says if they are measured otherwise). `output` is the class that is answered, "" of a number; `unit` what the score
    is, `how` by which method. `background` is how many test rows the average is of.
    """

    model: str
    answer: str
    probability: float | None = None
    output: str
    unit: str
    how: str
    base: float
    score: float
    background: int
    columns: tuple[AnswerPart, ...]
    words: tuple[AnswerPart, ...] = ()
    words_how: str = ""
