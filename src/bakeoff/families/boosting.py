# pyright: basic
# LightGBM comes without complete types
"""`boosting`: LightGBM over numbers, category codes, target means, and scored texts.

Source: G. Ke et al. (2017), "LightGBM: A Highly Efficient Gradient Boosting Decision Tree".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import between, one_of
from bakeoff.core.errors import CorruptError
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Predictions, Signature, Task
from bakeoff.families import saved
from bakeoff.families.features.boosting import TreeTable
from bakeoff.families.features.columns import complete, input_columns, of_kind, plain, plain_job, texts
from bakeoff.families.features.targets import Target, balanced_weights, both_weights, is_balanced, ranked_by
from bakeoff.families.features.text import ANALYZERS, TermCounts
from bakeoff.metrics.positive import BINARY, positive_class

if TYPE_CHECKING:
    import lightgbm as lgb
    import polars as pl

__all__ = ["BoostingFamily", "BoostingModel", "BoostingParams"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostingParams:
    """Parameters of `boosting`.

    `trees`: how many rounds; chosen by early stopping on validation rows when left out, up to
    `max_trees`, after `patience` rounds without a better loss (or area under the curve, when that is the
    metric). `learning_rate`, `leaves`, `min_leaf_rows`, `column_share`, `row_share` and `penalty` (L2) shape
    the trees as LightGBM's parameters do. `balanced`: whether every class weighs the same (as the metric
    calls for, when left out). `max_categories`: columns with more categories are encoded by their target
    means. `max_terms`, `min_rows`: which terms of texts are kept.
    """

    trees: Annotated[int, Field(ge=1)] | None = None
    max_trees: Annotated[int, Field(ge=1)] = 1500
    patience: Annotated[int, Field(ge=1)] = 60
    learning_rate: Annotated[float, Field(gt=0, le=1)] = field(default=0.05, metadata=between(0.02, 0.2, log=True))
    leaves: Annotated[int, Field(ge=2)] = field(default=31, metadata=between(7, 255, log=True))
    min_leaf_rows: Annotated[int, Field(ge=1)] = field(default=20, metadata=between(5, 200, log=True))
    column_share: Annotated[float, Field(gt=0, le=1)] = field(default=0.5, metadata=between(0.2, 1.0))
    row_share: Annotated[float, Field(gt=0, le=1)] = field(default=0.7, metadata=between(0.4, 1.0))
    penalty: Annotated[float, Field(ge=0)] = field(default=10.0, metadata=between(0.1, 100.0, log=True))
    balanced: bool | None = field(default=None, metadata=one_of((True, False)) | only_for("classification"))
    max_categories: Annotated[int, Field(ge=1)] = 255
    max_terms: Annotated[int, Field(ge=1)] = field(default=2000, metadata=between(300, 6000, log=True, kinds=("text",)))
    min_rows: Annotated[int, Field(ge=1)] = 2


@dataclass(frozen=True, kw_only=True)
class BoostingModel:
    """A fitted `boosting` candidate; `trees` is LightGBM's text of them."""

    signature: Signature
    chosen: Mapping[str, Any]
    table: TreeTable
    trees: str

    @cached_property
    def _booster(self) -> "lgb.Booster":
        import lightgbm as lgb

        return lgb.Booster(model_str=self.trees)

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        table = plain(complete(table, self.signature), self.signature.inputs)
        classes = self.signature.classes
        x_nd = self.table(table)
        if not x_nd.shape[0]:
            return _predictions(np.empty((0, len(classes)) if len(classes) > 2 else 0), classes)  # noqa: PLR2004
        return _predictions(np.asarray(self._booster.predict(x_nd, num_threads=1)), classes)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        saved.write(folder, BoostingFamily.name, self)


def _predictions(output: Any, classes: tuple[str, ...]) -> Predictions:
    if not classes:
        return Predictions(values_n=output)
    if output.ndim == 1:
        output = np.column_stack([1 - output, output])
    return Predictions.of_probabilities(output, classes)


class BoostingFamily:
    """Builds `BoostingModel`s."""

    name = "boosting"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = BoostingParams
    requires = ("numpy", "scipy", "lightgbm", "polars")
    extra: str | None = None
    weighs = True

    def fit(self, job: FitJob) -> BoostingModel:
        """See `bakeoff.core.protocols.Family`."""
        return _Fit(plain_job(job)).model()

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> BoostingModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`."""
        import lightgbm as lgb

        model, _ = saved.read(folder, self.name, BoostingModel)
        try:
            model._booster.num_trees()  # noqa: SLF001 # read the trees now, not at the first request
        except lgb.basic.LightGBMError as error:
            raise CorruptError(f"{folder}: expected LightGBM trees, found {error}; fit the candidate again") from error
        return model


class _Fit:
    """One fit: early stopping on validation rows tells the number of trees, then all rows are used."""

    def __init__(self, job: FitJob) -> None:
        self.job = job
        self.params: BoostingParams = job.params
        self.columns = input_columns(job)
        self.target = Target.of(job)
        self.counts: list[tuple[str, TermCounts]] = []
        for column in of_kind(self.columns, "text"):
            job.progress(f"counting terms of {column.name!r}")
            read = texts(self.target.table, column.name)
            self.counts += [(column.name, TermCounts.of(read, analyzer)) for analyzer in ANALYZERS]

    def model(self) -> BoostingModel:
        trees = self._trees()
        encoder, x_nd, train = self._encode(whole=True)
        self.job.progress(f"fitting {trees} trees on {x_nd.shape[0]} rows, {x_nd.shape[1]} features")
        import lightgbm as lgb

        booster = lgb.train(self._settings(), train, num_boost_round=trees)
        return BoostingModel(
            signature=Signature(task=self.job.task, inputs=self.columns, classes=self.target.classes),
            chosen={"trees": trees},
            table=encoder,
            trees=booster.model_to_string(num_iteration=trees),
        )

    def _trees(self) -> int:
        given = (self.job.chosen or {}).get("trees", self.params.trees)
        if given is not None:
            return int(given)  # type: ignore[arg-type]
        import lightgbm as lgb

        encoder, _, train = self._encode(whole=False)
        held = self.target.table[self.target.training :]
        value_n = self.target.value_n[self.target.training :]
        validation = train.create_valid(encoder(held), label=value_n, weight=self._weights(value_n))
        booster = lgb.train(
            self._settings(),
            train,
            num_boost_round=self.params.max_trees,
            valid_sets=[validation],
            feval=self._precise,
            callbacks=[lgb.early_stopping(self.params.patience, verbose=False), self._report],
        )
        return max(booster.best_iteration, 1)

    def _report(self, step: Any) -> None:
        if step.iteration % 100 == 99:  # noqa: PLR2004
            _, name, value, *_ = step.evaluation_result_list[0]
            self.job.progress(f"{step.iteration + 1} trees: {name} of validation rows {value:.5f}")

    def _encode(self, *, whole: bool) -> tuple[TreeTable, Any, "lgb.Dataset"]:
        import lightgbm as lgb

        params, rows = self.params, self.target.split(whole=whole)
        encoder, x_nd = TreeTable.fit(
            self.target.table[: len(rows)],
            self.columns,
            self.target.columns(rows),
            self.counts,
            max_categories=params.max_categories,
            max_terms=params.max_terms,
            min_rows=params.min_rows,
            seed=self.job.seed,
        )
        value_n, weight_n = self.target.value_n[rows], self.target.weight_n
        dataset = lgb.Dataset(
            x_nd,
            label=value_n,
            weight=both_weights(self._weights(value_n), None if weight_n is None else weight_n[: len(rows)]),
            categorical_feature=encoder.categorical,
            params=self._settings(),
            free_raw_data=False,
        )
        return encoder, x_nd, dataset

    def _weights(self, value_n: Any) -> Any:
        return balanced_weights(value_n) if self.target.classes and is_balanced(self.job) else None

    def _stopping(self) -> dict[str, str]:
        """The metric of validation rows that tells when to stop, where it is not the loss."""
        ranked = ranked_by(self.job.metric)
        if ranked is None or len(self.target.classes) != BINARY:
            return {}
        if ranked.base == "roc_auc":
            return {"metric": "auc"}
        return {"metric": "average_precision" if self._precise is None else "None"}

    @cached_property
    def _precise(self) -> "Callable[[Any, lgb.Dataset], tuple[str, float, bool]] | None":
        """Average precision of the first of two classes, where that is asked for: LightGBM's is of the second."""
        ranked, classes = ranked_by(self.job.metric), self.target.classes
        if ranked is None or ranked.base != "pr_auc" or len(classes) != BINARY:
            return None
        rows = np.bincount(self.target.value_n[: self.target.training].astype(np.int64), minlength=BINARY).tolist()
        named = ranked.arguments or (positive_class(dict(zip(classes, rows, strict=True))),)
        if named[0] != classes[0]:
            return None

        def of_first(second_n: Any, data: "lgb.Dataset") -> tuple[str, float, bool]:
            from sklearn.metrics import average_precision_score

            first_n = np.asarray(data.get_label()) == 0
            area = average_precision_score(first_n, 1.0 - second_n) if first_n.any() else 0.0
            return "average_precision", float(area), True

        return of_first

    def _settings(self) -> dict[str, Any]:
        params, classes = self.params, len(self.target.classes)
        objective: dict[str, Any] = {"objective": "regression"}
        if classes:
            objective = (
                {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}  # noqa: PLR2004
            )
        return (
            objective
            | self._stopping()
            | {
                "learning_rate": params.learning_rate,
                "num_leaves": params.leaves,
                "min_data_in_leaf": params.min_leaf_rows,
                "feature_fraction": params.column_share,
                "bagging_fraction": params.row_share,
                "bagging_freq": 1,
                "lambda_l2": params.penalty,
                "max_bin": 127,
                "seed": self.job.seed,
                "num_threads": self.job.threads,
                "deterministic": True,
                "force_row_wise": True,
                "verbosity": -1,
            }
        )
