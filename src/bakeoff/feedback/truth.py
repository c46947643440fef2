"""What people say was true, read by the rules of the target that a model predicts."""

import math
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

from bakeoff.core.config import LabelRule
from bakeoff.core.errors import NotFoundError
from bakeoff.core.ledger import example
from bakeoff.core.types import Json, Signature, Task
from bakeoff.data.labels import Labels, label_text

__all__ = ["Truth", "TruthOf", "truth_reader"]


class Truth:
    """Reads truths for a model: a class name, a finite number, or a text.

    Args:
        task: the model's.
        classes: the model's; None when they are not known any more: then any label is taken for one.
        rule: `[data] labels`.
    """

    def __init__(self, task: Task, classes: tuple[str, ...] | None, rule: LabelRule = "trim") -> None:
        self.task: Task = task
        self._rule: LabelRule = rule
        self._labels = None if classes is None else Labels(classes, rule)

    def read(self, value: Json) -> str | float | None:
        """The truth as the task has it, or None when the value is none."""
        match self.task:
            case "classification":
                return label_text(value, self._rule) if self._labels is None else self._labels.match(value)
            case "regression":
                return _number(value)
            case "generation":
                return value if isinstance(value, str) else label_text(value)

    def problem(self, value: Json) -> str:
        """Why the value is no truth, in words."""
        if self._labels is not None and self.task == "classification":
            return f"{example(value)} is no class of the model. {self._labels.hint(value)}"
        return f"{example(value)} is no finite number" if self.task == "regression" else f"{example(value)} is no text"


TruthOf: TypeAlias = Callable[[str], Truth]
"""The reader of truths for a model version (`name/number`)."""


def truth_reader(signature_of: Callable[[str], Signature], task: Task, rule: LabelRule) -> TruthOf:
    """Readers by model version, each made once."""

    @cache
    def truth_of(model_version: str) -> Truth:
        try:
            signature = signature_of(model_version)
        except NotFoundError:
            return Truth(task, None, rule)
        return Truth(signature.task, signature.classes, rule)

    return truth_of


def _number(value: Json) -> float | None:
    if not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
