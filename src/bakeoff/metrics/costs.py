"""What errors cost: a matrix of costs by true and predicted class (`[decide.costs]`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Predictions
from bakeoff.metrics.moments import Moments
from bakeoff.metrics.outcome import Outcome

__all__ = ["ANY", "Costs", "ExpectedCost", "answered_by_cost"]

ANY = "*"
"""Any other class: in `{"*" = 1}` whatever it is."""
MOST_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Costs by true class, then predicted class, in the user's unit; negative ones are gains.

    "*" stands for every class that is not named in its place. An exact pair comes first, then the true class with
    "*", then "*" with the predicted class, then "*" with "*". A right answer costs nothing unless its pair is named.
    """

    by_class: Mapping[str, Mapping[str, float]]

    def cost(self, truth: str, predicted: str) -> float | None:
        """What it costs to say `predicted` of a row that is `truth`; None when nothing says."""
        exact = self.by_class.get(truth, {}).get(predicted)
        if exact is not None:
            return exact
        if truth == predicted:
            return 0.0
        pairs = ((truth, ANY), (ANY, predicted), (ANY, ANY))
        return next((row[column] for name, column in pairs if column in (row := self.by_class.get(name, {}))), None)

    def matrix(self, classes: Sequence[str]) -> NDArray[np.float64]:
        """Costs (k, k) of true by predicted class; NaN where nothing says."""
        rows = [[self.cost(truth, predicted) for predicted in classes] for truth in classes]
        return np.asarray(rows, dtype=np.float64)

    def check(self, classes: Sequence[str], *, file: str, key: str = "decide.costs") -> None:
        """See that they name only classes that there are, and every error of these.

        Raises:
            ConfigError: all that is wrong, at once.
        """
        named = dict.fromkeys([*self.by_class, *(name for row in self.by_class.values() for name in row)])
        problems = [
            Problem(
                file=file,
                key=key,
                expected=f'classes of the target ({", ".join(map(repr, classes))}) or "*"',
                found=repr(name),
                hint=suggestion(name, classes),
            )
            for name in named
            if name != ANY and name not in classes
        ]
        cost_kk = self.matrix(classes)
        missing = [f"{classes[row]} → {classes[at]}" for row, at in np.argwhere(np.isnan(cost_kk)).tolist()]
        if missing:
            more = f" and {len(missing) - MOST_SHOWN} more" if len(missing) > MOST_SHOWN else ""
            found = f"none for true → predicted {', '.join(missing[:MOST_SHOWN])}{more}"
            hint = 'Say what every other error costs: "*" = { "*" = 1 }.'
            problems.append(Problem(file=file, key=key, expected="a cost of every error", found=found, hint=hint))
        if problems:
            raise ConfigError(tuple(problems))


def answered_by_cost(predictions: Predictions, cost_kk: ArrayLike) -> Predictions:
    """The same probabilities, with the answers of least expected cost (the first of equals); as they are without any.

    `cost_kk` has a row for each true class and a column for each answer, in the order of the predictions' classes.
    Source: Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, eq. 1.
    """
    if predictions.probabilities_nk is None:
        return predictions
    expected_nk = predictions.probabilities_nk @ np.asarray(cost_kk, dtype=np.float64)
    names = np.asarray(predictions.classes, dtype=np.str_)
    return replace(predictions, values_n=names[expected_nk.argmin(axis=1)] if len(predictions) else names[:0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExpectedCost:
    """Gathers what each row's answer costs; rows in the same cell of the confusion matrix are alike.

    Source: Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, section 1.
    """

    costs: Costs

    def __call__(self, outcome: Outcome) -> Moments:
        """One column: the cost of each row."""
        cost_kk = self.costs.matrix(outcome.classes)
        key_n = outcome.truth_n * len(outcome.classes) + outcome.predicted_n
        return Moments(cost_kk.reshape(-1)[key_n][:, None], key_n)
