# pyright: basic
# LightGBM comes without complete types
"""Quick fits that tell on validation rows whether further columns help: few rows, few trees, or ridge regression.

They are about what a family would gain from them at a small part of the price of its own fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column
from bakeoff.families.features.boosting import TreeTable
from bakeoff.families.features.table import LinearTable
from bakeoff.families.features.trend import Trend

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Learner", "Trials"]

Learner: TypeAlias = Literal["trees", "linear"]
_Floats: TypeAlias = NDArray[np.float64]
TREES = (10, 20, 40, 70)
LEARNING_RATE = 0.15
LEAVES = 15
LEAF_ROWS = 20
MOST_CATEGORIES = 200
PENALTIES = (1.0, 10.0, 100.0)
BINS = 10


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Training and validation rows to try columns on.

    Attributes:
        table: the rows, training rows first.
        value_n: their targets: numbers, or the positions of classes.
        training: how many are training rows.
        classes: how many classes there are; 0 for numbers.
        learner: what learns.
        seed: of all that is random.
    """

    table: "pl.DataFrame"
    value_n: _Floats
    training: int
    classes: int
    learner: Learner
    seed: int

    def encoded(self, table: "pl.DataFrame", columns: Sequence[Column]) -> _Floats:
        """These columns of the rows as the learner sees them (n, d)."""
        train = table[: self.training]
        target_nk = self._target_nk[: self.training]
        if self.learner == "linear":
            encoder, _ = LinearTable.fit(train, columns, target_nk, bins=BINS, most=MOST_CATEGORIES, seed=self.seed)
            return encoder(table)
        trees, _ = TreeTable.fit(
            train, columns, target_nk, (), max_categories=MOST_CATEGORIES, max_terms=1, min_rows=1, seed=self.seed
        )
        return trees(table)

    @cached_property
    def _target_nk(self) -> _Floats:
        if not self.classes:
            return self.value_n[:, None]
        return (self.value_n[:, None] == np.arange(1, self.classes)).astype(np.float64)

    def losses(self, x_nd: _Floats, trend: Trend | None = None, table: "pl.DataFrame | None" = None) -> _Floats:
        """The loss of each validation row (v,): squared error, or for classes log loss (linear: Brier score).

        `table` has the columns that the trend needs beside those of the rows.
        """
        return self._ridge(x_nd, trend, table) if self.learner == "linear" else self._boosted(x_nd, trend, table)[0]

    def gains(self, x_nd: _Floats) -> _Floats:
        """How much each column helps trees to tell the targets of training rows apart (d,)."""
        return self._boosted(x_nd, None, None)[1]

    def _levels(self, trend: Trend | None, table: "pl.DataFrame | None") -> tuple[_Floats, _Floats, Any]:
        """Targets without the trend, levels, and weights of the training rows."""
        if trend is None:
            return self.value_n, np.zeros(len(self.value_n)), None
        level_n = trend.level(self.table if table is None else table)
        return trend.removed(self.value_n, level_n), level_n, trend.weights(level_n[: self.training])

    def _boosted(self, x_nd: _Floats, trend: Trend | None, table: "pl.DataFrame | None") -> tuple[_Floats, _Floats]:
        from bakeoff.families.features.lightgbm_library import lgb

        value_n, level_n, weight_n = self._levels(trend, table)
        cut = self.training
        data = lgb.Dataset(x_nd[:cut], value_n[:cut], weight=weight_n, params={"verbosity": -1, "max_bin": 63})
        settings = _objective(self.classes) | {
            "max_bin": 63,
            "learning_rate": LEARNING_RATE,
            "num_leaves": LEAVES,
            "min_data_in_leaf": min(LEAF_ROWS, max(cut // 20, 1)),
            "lambda_l2": 1.0,
            "seed": self.seed,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        booster = lgb.train(settings, data, num_boost_round=TREES[-1])
        best: _Floats | None = None
        for trees in TREES:
            answer = np.asarray(booster.predict(x_nd[cut:], num_iteration=trees, num_threads=1))
            loss_v = self._loss(answer, level_n, trend)
            if best is None or loss_v.mean() < best.mean():
                best = loss_v
        assert best is not None
        return best, booster.feature_importance("gain")

    def _loss(self, answer: _Floats, level_n: _Floats, trend: Trend | None) -> _Floats:
        cut = self.training
        if not self.classes:
            values_v = trend.restored(answer, level_n[cut:]) if trend else answer
            return (values_v - self.value_n[cut:]) ** 2
        if answer.ndim == 1:
            answer = np.column_stack([1 - answer, answer])
        chance_v = answer[np.arange(len(answer)), self.value_n[cut:].astype(np.int64)]
        return -np.log(np.maximum(chance_v, 1e-9))

    def _ridge(self, x_nd: _Floats, trend: Trend | None, table: "pl.DataFrame | None") -> _Floats:
        value_n, level_n, _ = self._levels(trend, table)
        cut = self.training
        target_nk = (
            value_n[:, None]
            if not self.classes
            else np.column_stack([1 - self._target_nk.sum(axis=1), self._target_nk])
        )
        mean_d, mean_k = x_nd[:cut].mean(axis=0), target_nk[:cut].mean(axis=0)
        spread_k = target_nk[:cut].std(axis=0) + 1e-12
        centered_nd = x_nd[:cut] - mean_d
        gram_dd, moment_dk = centered_nd.T @ centered_nd, centered_nd.T @ ((target_nk[:cut] - mean_k) / spread_k)
        best: _Floats | None = None
        for penalty in PENALTIES:
            coef_dk = np.linalg.solve(gram_dd + penalty * np.eye(len(gram_dd)), moment_dk)
            answer_vk = ((x_nd[cut:] - mean_d) @ coef_dk) * spread_k + mean_k
            if self.classes:
                loss_v = ((answer_vk - target_nk[cut:]) ** 2).sum(axis=1)
            else:
                loss_v = self._loss(answer_vk[:, 0], level_n, trend)
            if best is None or loss_v.mean() < best.mean():
                best = loss_v
        assert best is not None
        return best


def _objective(classes: int) -> dict[str, Any]:
    if not classes:
        return {"objective": "regression"}
    return {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}  # noqa: PLR2004
