"""A router between two models: learned from what both said of validation rows, without asking any of them again.

The gain of asking the second one (1, 0 or -1 right answers more) is regressed on the row by ridge regression;
thresholds are chosen by scores of rows that the regression had not seen.

Source: Ong et al., "RouteLLM: Learning to Route LLMs with Preference Data" (2024), for the idea; Hoerl and Kennard,
"Ridge Regression", Technometrics 12 (1970), for the regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column, Predictions
from bakeoff.data.row_router import RowFeatures, RowRouter
from bakeoff.evaluate.combine.cascade import SHARES, cheapest
from bakeoff.metrics.combined import common_classes, spread
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import Measure

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ROUTING_S", "FoldedFeatures", "Routed", "RoutedRows", "RowInputs", "find_router", "learnable"]

Floats: TypeAlias = NDArray[np.float64]

ROUTING_S = 1e-4
"""What routing a row takes at most, in seconds of the machine: it is added to the price."""
FOLDS, RIDGES = 5, (10.0, 100.0)
FEWEST = 20
"""Rows on which the second model is right and the first is not, from which anything can be learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowInputs:
    """The inputs of validation and test rows, in their order."""

    columns: tuple[Column, ...]
    validation: "pl.DataFrame"
    test: "pl.DataFrame"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A router that was tried, with what it does on validation rows: value of the metric, price, the second's share."""

    router: RowRouter
    value: float
    cost: float
    share: float

    def answers(self, features_nd: Floats, parts: Sequence[Predictions]) -> tuple[Predictions, NDArray[np.bool_]]:
        """What both models say together of rows, and which of them are the second's."""
        second_n = self.router.scores(features_nd) > self.router.threshold
        return _joint(parts, second_n), second_n


class FoldedFeatures:
    """Features of validation rows in folds, with the products that each regression on them needs, made once.

    Args:
        features_nd: the rows' features.
        seed: of the folds.
    """

    def __init__(self, features_nd: Floats, seed: int) -> None:
        ones_n1 = np.ones((len(features_nd), 1))
        self.features_nd = np.hstack([features_nd, ones_n1])
        self._fold_n = np.random.default_rng(seed).permutation(len(features_nd)) % FOLDS
        parts = [self.features_nd[self._fold_n == fold] for fold in range(FOLDS)]
        self._squares = [part_nd.T @ part_nd for part_nd in parts]

    def unseen_scores(self, gain_n: Floats, ridge: float) -> Floats:
        """The score of each row by a regression on the other folds."""
        scores_n = np.zeros(len(gain_n))
        for fold in range(FOLDS):
            own = self._fold_n == fold
            scores_n[own] = self.features_nd[own] @ self.fitted(gain_n, ridge, without=fold)
        return scores_n

    def fitted(self, gain_n: Floats, ridge: float, *, without: int | None = None) -> Floats:
        """The weights (d + 1, the last one is the bias, which is not shrunk) of all folds but one."""
        folds = [fold for fold in range(FOLDS) if fold != without]
        square_dd = sum((self._squares[fold] for fold in folds), np.zeros_like(self._squares[0]))
        known = self._fold_n != (-1 if without is None else without)
        shrunk_d = np.full(len(square_dd), ridge)
        shrunk_d[-1] = 1e-9
        made_d = np.linalg.solve(square_dd + np.diag(shrunk_d), self.features_nd[known].T @ gain_n[known])
        return made_d.astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedRows:
    """Validation rows: their features, what was true of them, what both models said, and what each costs."""

    features: FoldedFeatures
    truth_n: NDArray[np.str_]
    parts: Sequence[Predictions]
    costs: Sequence[float]


def find_router(features: RowFeatures, rows: RoutedRows, measure: Measure) -> Routed | None:
    """The cheapest router that keeps nine tenths of what routing gains over the first model; None for no gain."""
    truth_n, parts, costs = rows.truth_n, rows.parts, rows.costs
    gain_n = _gains(truth_n, parts)
    if not learnable(truth_n, parts):
        return None
    unseen = {ridge: rows.features.unseen_scores(gain_n, ridge) for ridge in RIDGES}
    ridge = min(RIDGES, key=lambda each: float(((unseen[each] - gain_n) ** 2).mean()))
    *weights, bias = rows.features.fitted(gain_n, ridge).tolist()
    packed = RowRouter.packed(np.asarray(weights))
    tried: list[Routed] = []
    for share in SHARES:
        threshold = float(np.quantile(unseen[ridge], 1 - share))
        second_n = unseen[ridge] > threshold
        part = float(second_n.mean())
        value = measure(outcome(truth_n, _joint(parts, second_n), "classification"))
        router = RowRouter(features=features, weights=packed, bias=bias, threshold=threshold)
        cost = costs[0] * (1 - part) + costs[1] * part
        tried.append(Routed(router=router, value=value, cost=cost, share=part))
    return cheapest(tried, measure(outcome(truth_n, parts[0], "classification")), measure)


def learnable(truth_n: NDArray[np.str_], parts: Sequence[Predictions]) -> bool:
    """Whether the second model is right and the first is not on enough rows that anything can be learned of when."""
    return bool((_gains(truth_n, parts) > 0).sum() >= FEWEST)


def _gains(truth_n: NDArray[np.str_], parts: Sequence[Predictions]) -> Floats:
    right_n, other_n = (part.values_n.astype(np.str_) == truth_n for part in parts)
    return other_n.astype(np.float64) - right_n


def _joint(parts: Sequence[Predictions], second_n: NDArray[np.bool_]) -> Predictions:
    classes = common_classes(part.classes for part in parts)
    first_nk, second_nk = (spread(part, classes) for part in parts)
    return Predictions.of_probabilities(np.where(second_n[:, None], second_nk, first_nk), classes)
