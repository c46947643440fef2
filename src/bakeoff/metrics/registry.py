"""The measures by name: which task each belongs to, which way is better, and how it is computed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import NotFoundError
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Task
from bakeoff.metrics import labels, moments, ranks
from bakeoff.metrics.outcome import Outcome

__all__ = ["Measure", "Need", "Statistic", "Sums", "bind", "default", "find", "measures"]

Need: TypeAlias = Literal["labels", "probabilities", "values"]


class Sums(Protocol):
    """What a measure needs of weighted rows; made once, then asked for many weightings."""

    @property
    def key_n(self) -> NDArray[np.int64] | None:
        """Units with the same key are alike; None when no two are."""
        ...

    def take(self, units: NDArray[np.intp]) -> "Sums":
        """The same over some of the units."""
        ...

    def __call__(self, weights_ru: NDArray[Any]) -> Any:
        """The sums for weights (r, u): whole numbers, how often each unit is drawn."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """A number of weighted rows: `finish(sums(weights))` is (r,), or (r, k) for one number per class."""

    sums: Sums
    finish: Callable[[Any], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure; `gather` makes the sums from an outcome, `finish` the value from the sums.

    `biased`: small samples make it too large, so that resamples lie above it (expected calibration error).
    """

    name: str
    task: Task
    higher_is_better: bool
    needs: Need
    gather: Callable[[Outcome], Sums]
    finish: Callable[[Any], NDArray[np.float64]]
    biased: bool = False

    def __call__(self, outcome: Outcome) -> float:
        """Its value on all rows; NaN when it is undefined there."""
        return float(self.finish(self.gather(outcome)(np.ones((1, len(outcome)), dtype=np.int64)))[0])


def _label(name: str, finish: Callable[[labels.Margins], NDArray[np.float64]]) -> Measure:
    return Measure(
        name=name,
        task="classification",
        higher_is_better=True,
        needs="labels",
        gather=labels.Confusion.of,
        finish=finish,
    )


def _probability(
    name: str,
    gather: Callable[[Outcome], Sums],
    finish: Callable[[Any], NDArray[np.float64]],
    *,
    higher: bool,
    biased: bool = False,
) -> Measure:
    return Measure(
        name=name,
        task="classification",
        higher_is_better=higher,
        needs="probabilities",
        gather=gather,
        finish=finish,
        biased=biased,
    )


def _value(
    name: str,
    finish: Callable[[Any], NDArray[np.float64]],
    *,
    higher: bool = False,
    gather: Callable[[Outcome], Sums] = moments.number_moments,
) -> Measure:
    return Measure(name=name, task="regression", higher_is_better=higher, needs="values", gather=gather, finish=finish)


def _index(rows: Sequence[Measure]) -> Mapping[str, Measure]:
    return MappingProxyType({measure.name: measure for measure in rows})


_BY_TASK: Mapping[Task, Mapping[str, Measure]] = MappingProxyType(
    {
        "classification": _index(
            [
                _label("f1_macro", labels.macro(labels.class_f1)),
                _label("f1_micro", labels.accuracy),
                _label("f1_weighted", labels.weighted(labels.class_f1)),
                _label("accuracy", labels.accuracy),
                _label("balanced_accuracy", labels.balanced_accuracy),
                _label("precision_macro", labels.macro(labels.class_precision)),
                _label("precision_micro", labels.accuracy),
                _label("precision_weighted", labels.weighted(labels.class_precision)),
                _label("recall_macro", labels.macro(labels.class_recall)),
                _label("recall_micro", labels.accuracy),
                _label("recall_weighted", labels.weighted(labels.class_recall)),
                _label("mcc", labels.mcc),
                _probability("roc_auc", ranks.Curves.of, lambda areas: areas.roc_r, higher=True),
                _probability("pr_auc", ranks.Curves.of, lambda areas: areas.pr_r, higher=True),
                _probability("log_loss", moments.probability_moments, lambda means: means.mean_rm[:, 0], higher=False),
                _probability("brier", moments.probability_moments, lambda means: means.mean_rm[:, 1], higher=False),
                _probability(
                    "ece",
                    moments.probability_moments,
                    lambda means: np.abs(means.mean_rm[:, 2:]).sum(axis=1),
                    higher=False,
                    biased=True,
                ),
            ]
        ),
        "regression": _index(
            [
                _value("rmse", lambda means: np.sqrt(means.mean_rm[:, 1])),
                _value("mae", lambda means: means.mean_rm[:, 0]),
                _value("median_ae", ranks.median, gather=ranks.Sorted.of),
                _value("mape", lambda means: means.mean_rm[:, 2]),
                _value("r2", moments.r2, higher=True),
            ]
        ),
        "generation": MappingProxyType({}),
    }
)


def measures(task: Task) -> Mapping[str, Measure]:
    """Measures of a task by name, the default first."""
    return _BY_TASK[task]


def default(task: Task) -> str:
    """The measure that decides when the project names none: f1_macro, or rmse for regression.

    >>> default("regression")
    'rmse'
    """
    return next(iter(measures(task)))


def find(name: str, task: Task) -> Measure:
    """The measure of that name.

    Raises:
        NotFoundError: the task has none of that name; the closest one is suggested.
    """
    known = measures(task)
    if name not in known:
        raise NotFoundError(
            f"expected a metric for {task}: {', '.join(known) or 'none yet'}; received {name!r}. "
            f"{suggestion(name, known)}".rstrip()
        )
    return known[name]


def bind(wanted: Sequence[Measure], outcome: Outcome) -> dict[str, Statistic]:
    """Statistics of an outcome by name; measures with the same `gather` share one sums object."""
    shared: dict[Callable[[Outcome], Sums], Sums] = {}
    for measure in wanted:
        if measure.gather not in shared:
            shared[measure.gather] = measure.gather(outcome)
    return {m.name: Statistic(sums=shared[m.gather], finish=m.finish) for m in wanted}
