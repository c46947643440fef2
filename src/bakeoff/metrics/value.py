"""A metric's value on rows, without an interval."""

from numpy.typing import ArrayLike

from bakeoff.core.types import Predictions, Task
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find

__all__ = ["value"]


def value(name: str, truth_n: ArrayLike, predictions: Predictions, task: Task) -> float:
    """The metric on these n rows; NaN where it is undefined (for instance roc_auc of one class).

    Raises:
        NotFoundError: the task has no metric of that name.
    """
    return find(name, task)(outcome(truth_n, predictions, task))
