"""Paired comparison of two candidates on the same rows, for any metric."""

from numpy.typing import ArrayLike

from bakeoff.core.types import Predictions, Task
from bakeoff.evaluate.field import Comparison, Field
from bakeoff.metrics.intervals import LEVEL
from bakeoff.metrics.registry import find, measures

__all__ = ["Comparison", "Field", "compare"]


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

    Without a `task` the metric's name tells it: regression if that has one of the name, else classification.

    Raises:
        NotFoundError: the task has no metric of that name.
    """
    if task is None:
        task = "regression" if metric in measures("regression") else "classification"
    field = Field(
        truth_n,
        dict(zip(names, (a, b), strict=True)),
        find(metric, task),
        seed=seed,
        resamples=resamples,
        groups_n=groups_n,
        time_n=time_n,
        folds=folds,
        level=level,
    )
    return field.compare(*names)
