"""The target column as numbers, and the rows of a job put together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import CLASS_BALANCE, FEEDBACK_WEIGHT, HALF_LIFE, FitJob
from bakeoff.metrics.labels import weighs_evenly, weighs_false_alarms
from bakeoff.metrics.names import MetricName

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "MOVED",
    "RANKS",
    "Target",
    "age_weights",
    "balance",
    "balanced_weights",
    "both_weights",
    "class_weights",
    "feedback_weights",
    "is_balanced",
    "moves",
    "ranked_by",
    "row_weights",
]

RANKS = frozenset({"roc_auc", "pr_auc"})
"""Metrics of the order of scores, which a shifted base rate does not touch while it moves every loss."""

MOVED = 0.5
"""By which power of the inverse of a class's share an answer is moved (`moves`), where none was chosen."""

_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A job's rows, training first: their table, their target, and which of them are training rows.

    `value_n` holds class positions (0 … k-1, as floats) for classification, else the numbers. `weight_n` are the rows'
    weights by age and as feedback, on average 1, where these were chosen: whatever is fitted on these rows multiplies
    by them.
    """

    table: "pl.DataFrame"
    value_n: _Floats
    classes: tuple[str, ...]
    training: int
    weight_n: _Floats | None = None

    @classmethod
    def of(cls, job: FitJob) -> "Target":
        """Read the target of a job.

        Raises:
            CandidateError: no rows; one class only; or nothing to choose on when something must be chosen.
        """
        import polars as pl

        name = job.schema.target
        if not len(job.train):
            raise CandidateError("expected training rows, received none; look at [split] and [prepare]")
        if job.chosen is None and not len(job.validation):
            raise CandidateError("expected validation rows to choose on, received none; make [split] validation larger")
        table = pl.concat([job.train, job.validation]) if len(job.validation) else job.train
        if job.task != "classification":
            value_n = table.get_column(name).cast(pl.Float64).to_numpy()
            weight_n = both_weights(age_weights(job, table.height), feedback_weights(job, table.height))
            return cls(table=table, value_n=value_n, classes=(), training=len(job.train), weight_n=weight_n)
        labels = table.get_column(name).cast(pl.String).to_list()
        classes = tuple(sorted(set(labels)))
        if len(set(labels[: len(job.train)])) < 2:  # noqa: PLR2004
            raise CandidateError(
                f"expected at least two classes of {name!r} among the training rows, received {classes[:1]!r} only"
            )
        position = {label: i for i, label in enumerate(classes)}
        value_n = np.array([position[label] for label in labels], dtype=np.float64)
        weight_n = both_weights(age_weights(job, table.height), feedback_weights(job, table.height))
        return cls(table=table, value_n=value_n, classes=classes, training=len(job.train), weight_n=weight_n)

    def split(self, *, whole: bool) -> NDArray[np.int64]:
        """Positions of the rows to fit on: all of them, or the training rows."""
        return np.arange(len(self.value_n) if whole else self.training)

    def columns(self, rows: NDArray[np.int64]) -> _Floats:
        """What target encodings average: one 0/1 column per class but the first, or the numbers (n, k)."""
        if not self.classes:
            return self.value_n[rows, None]
        return (self.value_n[rows, None] == np.arange(1, len(self.classes))).astype(np.float64)


def ranked_by(metric: str) -> MetricName | None:
    """The metric in its parts when it is one of the order of scores, else None."""
    name = MetricName.parse(metric) if "[" in metric else MetricName(base=metric)
    return name if name.base in RANKS else None


def is_balanced(job: FitJob) -> bool:
    """Whether every class weighs the same: as the candidate says, else as the project's metric calls for.

    Numbers have no classes: `balanced` has no effect on them.
    """
    if job.task != "classification":
        return False
    given: bool | None = job.params.balanced
    return weighs_evenly(job.metric) if given is None else given


def balance(job: FitJob) -> float:
    """To what power rows weigh the inverse of their class's share: 1 where classes weigh the same, 0 where rows do.

    What an earlier fit chose counts, else `is_balanced`.
    """
    chosen = (job.chosen or {}).get(CLASS_BALANCE)
    return float(is_balanced(job)) if chosen is None else float(chosen)  # type: ignore[arg-type]


def moves(job: FitJob) -> bool:
    """Whether a family that can is to weigh rows evenly, and to move what it answers by the shares of classes instead.

    Nobody said how much classes weigh, and the metric punishes false alarms, too (docs/decisions/0065); not where rows
    are in the order of time: shares of classes move then.
    """
    given = getattr(job.params, "balanced", False)
    return given is None and job.task == "classification" and weighs_false_alarms(job.metric) and job.age_days_n is None


def class_weights(job: FitJob, value_n: _Floats) -> _Floats | None:
    """Weights of rows with these class positions (`balance`); None where all weigh the same."""
    power = balance(job)
    return balanced_weights(value_n, power) if power else None


def row_weights(job: FitJob, value_n: _Floats) -> _Floats:
    """As `class_weights`; ones where all rows weigh the same."""
    weight_n = class_weights(job, value_n)
    return np.ones(len(value_n)) if weight_n is None else weight_n


def age_weights(job: FitJob, rows: int) -> _Floats | None:
    """Weights of a job's first rows that are halved with every half-life of their age; None where none was chosen."""
    days = (job.chosen or {}).get(HALF_LIFE)
    if days is None or job.age_days_n is None:
        return None
    age_n = job.age_days_n[:rows]
    weight_n = 0.5 ** ((age_n - age_n.min()) / float(days))  # type: ignore[arg-type]
    return weight_n / weight_n.mean()


def feedback_weights(job: FitJob, rows: int) -> _Floats | None:
    """Weights of a job's first rows by whether they came as feedback; None where no weight was chosen."""
    times = (job.chosen or {}).get(FEEDBACK_WEIGHT)
    if times is None or job.is_feedback_n is None:
        return None
    weight_n = np.where(job.is_feedback_n[:rows], float(times), 1.0)  # type: ignore[arg-type]
    return weight_n / weight_n.mean()


def both_weights(first_n: _Floats | None, second_n: _Floats | None) -> _Floats | None:
    """The product of two weights, either of which may be missing."""
    if first_n is None or second_n is None:
        return second_n if first_n is None else first_n
    return first_n * second_n


def balanced_weights(class_n: _Floats, power: float = 1.0) -> _Floats:
    """Row weights with which every class weighs the same, or by a lower power of it; on average 1."""
    codes = class_n.astype(np.int64)
    counts = np.bincount(codes)
    weight_n = len(codes) / (np.count_nonzero(counts) * counts[codes])
    if power == 1:
        return weight_n
    weight_n **= power
    return weight_n / weight_n.mean()
