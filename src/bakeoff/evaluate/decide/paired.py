"""Paired comparison of two candidates on the same rows, for any metric."""

from collections.abc import Sequence

from numpy.typing import ArrayLike

from bakeoff.core.errors import NotFoundError
from bakeoff.core.types import Predictions, Task
from bakeoff.evaluate.decide.differences import Comparison, Field
from bakeoff.metrics.intervals import LEVEL
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.registry import find, measures

__all__ = ["TASKS", "Comparison", "Field", "compare", "measure_named"]

TASKS: tuple[Task, ...] = ("classification", "regression", "generation")


def measure_named(metric: str, tasks: Sequence[Task] = TASKS) -> Measure:
    """The measure of the first of these tasks that has one of the name, with its brackets.

    Raises:
        NotFoundError: none has.
    """
    for task in tasks:
        try:
            return find(metric, task)
        except NotFoundError:
            continue
    known = [name for task in tasks for name in measures(task)]
    raise NotFoundError(f"expected a metric: {', '.join(dict.fromkeys(known))}; received {metric!r}")


def compare(
    truth_n: ArrayLike,
    a: Predictions,
    b: Predictions,
    metric: str,
    *,
    seed: int,
    resamples: int = 2000,
    groups_n: ArrayLike | None = None,
    time_n: ArrayLike | None = None,
    folds: int = 0,
    level: float = LEVEL,
    task: Task | None = None,
    names: tuple[str, str] = ("challenger", "champion"),
) -> Comparison:
    """How much better a is than b on the same rows; ask the result whether it is superior or non-inferior.

    Without a `task` the metric's name tells it: classification if that has one of the name, else regression.

    Raises:
        NotFoundError: the task has no metric of that name.
    """
    field = Field(
        truth_n,
        dict(zip(names, (a, b), strict=True)),
        measure_named(metric, TASKS[:2]) if task is None else find(metric, task),
        seed=seed,
        resamples=resamples,
        groups_n=groups_n,
        time_n=time_n,
        folds=folds,
        level=level,
    )
    return field.compare(*names)
