"""What people say was true, read by the rules of the target that a model predicts."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

from bakeoff.config.sections import FeedbackConfig, LabelRule
from bakeoff.core.errors import NotFoundError
from bakeoff.core.events import FeedbackEvent
from bakeoff.core.ledger import example
from bakeoff.core.types import Column, Json, Signature, Task
from bakeoff.data.labels import Labels, label_text
from bakeoff.data.values import converter
from bakeoff.feedback.resolve import Resolved, resolve

__all__ = ["Truth", "TruthOf", "truth_reader"]


NO_RULES = FeedbackConfig()


class Truth:
    """Reads truths for a model: a class name, a finite number, or a text.

    Args:
        task: the model's.
        classes: the model's; None when they are not known any more: then any label is taken for one.
        rule: `[data] labels`.
        column: the target's, whose format numbers may be written in.
        rules: whose word counts most (`[feedback]`).
    """

    def __init__(
        self,
        task: Task,
        classes: tuple[str, ...] | None,
        rule: LabelRule = "trim",
        column: Column | None = None,
        rules: FeedbackConfig = NO_RULES,
    ) -> None:
        self.task: Task = task
        self._rules = rules
        self._rule: LabelRule = rule
        self._number = converter(column or Column(name="target", kind="numeric", dtype="Float64"))
        self._labels = None if classes is None else Labels(classes, rule)

    def read(self, value: Json) -> str | float | None:
        """The truth as the task has it, or None when the value is none."""
        match self.task:
            case "classification":
                return label_text(value, self._rule) if self._labels is None else self._labels.match(value)
            case "regression":
                return self._finite(value)
            case "generation":
                return value if isinstance(value, str) else label_text(value)

    def _finite(self, value: Json) -> float | None:
        try:
            number = self._number(value)
        except (ValueError, TypeError, OverflowError):
            return None
        return number if isinstance(number, float) and math.isfinite(number) else None

    def resolve(self, items: Sequence[FeedbackEvent]) -> Resolved:
        """What counts of all feedback on a prediction; see `bakeoff.feedback.resolve`."""
        return resolve(items, self.read, self._rules, numbers=self.task == "regression")

    def problem(self, value: Json) -> str:
        """Why the value is no truth, in words."""
        if self._labels is not None and self.task == "classification":
            return f"{example(value)} is no class of the model. {self._labels.hint(value)}"
        return f"{example(value)} is no finite number" if self.task == "regression" else f"{example(value)} is no text"


TruthOf: TypeAlias = Callable[[str], Truth]
"""The reader of truths for a model version (`name/number`)."""


def truth_reader(
    made_of: Callable[[str], tuple[Signature, Column | None]],
    task: Task,
    rule: LabelRule,
    rules: FeedbackConfig = NO_RULES,
) -> TruthOf:
    """Readers by model version, each made once.

    Args:
        made_of: the signature of a model version and the column that it learned.
        task: of versions that are not known any more.
        rule: `[data] labels`.
        rules: `[feedback]`.
    """

    @cache
    def truth_of(model_version: str) -> Truth:
        try:
            signature, column = made_of(model_version)
        except NotFoundError:
            return Truth(task, None, rule, rules=rules)
        return Truth(signature.task, signature.classes, rule, column, rules)

    return truth_of
