# pyright: basic
# XGBoost comes without complete types
"""`xgboost`: XGBoost's histogram trees over numbers, categories, target means and scored texts.

Source: T. Chen, C. Guestrin (2016), "XGBoost: A Scalable Tree Boosting System".
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import between, one_of
from bakeoff.core.deadline import Deadline
from bakeoff.core.errors import CorruptError, MissingExtraError
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Predictions, Signature, Task
from bakeoff.families import saved
from bakeoff.families.features.choice import given
from bakeoff.families.features.columns import complete, plain, plain_job
from bakeoff.families.features.tree_rows import ROUNDS_SHARE, EncodedRows, TreeRows, TreesState, dense, singles

if TYPE_CHECKING:
    import polars as pl

__all__ = ["XgboostFamily", "XgboostModel", "XgboostParams"]

_Floats: TypeAlias = NDArray[np.float64]

TREES = "trees.json"
MANY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class XgboostParams:
    """Parameters of `xgboost`.

    `trees`: how many rounds; chosen by early stopping on validation rows when left out, up to `max_trees`, after
    `patience` rounds without a better loss. `learning_rate`, `depth`, `min_weight` (of a leaf), `column_share`,
    `row_share` and `penalty` (L2) shape the trees as XGBoost's parameters do. `balanced`: whether every class weighs
    the same (as the metric calls for, when left out). `max_categories`, `max_terms`, `min_rows`: as for `boosting`.
    """

    trees: Annotated[int, Field(ge=1)] | None = None
    max_trees: Annotated[int, Field(ge=1)] = 1500
    patience: Annotated[int, Field(ge=1)] = 60
    learning_rate: Annotated[float, Field(gt=0, le=1)] = field(default=0.05, metadata=between(0.02, 0.2, log=True))
    depth: Annotated[int, Field(ge=1, le=16)] = field(default=6, metadata=between(3, 10))
    min_weight: Annotated[float, Field(ge=0)] = field(default=2.0, metadata=between(0.5, 50.0, log=True))
    column_share: Annotated[float, Field(gt=0, le=1)] = field(default=0.5, metadata=between(0.2, 1.0))
    row_share: Annotated[float, Field(gt=0, le=1)] = field(default=0.8, metadata=between(0.4, 1.0))
    penalty: Annotated[float, Field(ge=0)] = field(default=3.0, metadata=between(0.1, 100.0, log=True))
    balanced: bool | None = field(default=None, metadata=one_of((True, False)) | only_for("classification"))
    max_categories: Annotated[int, Field(ge=1)] = 255
    max_terms: Annotated[int, Field(ge=1)] = field(default=2000, metadata=between(300, 6000, log=True, kinds=("text",)))
    min_rows: Annotated[int, Field(ge=1)] = 2


@dataclass(frozen=True, kw_only=True)
class XgboostModel(saved.StatedModel):
    """A fitted `xgboost` candidate; `trees` is XGBoost's JSON of them."""

    state: TreesState
    trees: bytes = field(repr=False)

    @cached_property
    def _booster(self) -> Any:
        booster = _library().Booster({"nthread": 1})
        booster.load_model(bytearray(self.trees))
        return booster

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        table = plain(complete(table, self.signature), self.signature.inputs)
        classes = self.signature.classes
        if not len(table):
            return _predictions(np.empty((0, len(classes)) if len(classes) >= MANY else 0), classes)
        # The kinds are those of its fit: of models of before, codes beside texts are quantities.
        matrix = _matrix(dense(self.state.table(table)), self._booster.feature_types, threads=1)
        return _predictions(self._booster.predict(matrix), classes)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        saved.write(folder, XgboostFamily.name, self.state, {TREES: self.trees})


def _library() -> Any:
    try:
        import xgboost  # pyright: ignore[reportMissingImports] - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("family 'xgboost'", "xgboost", "xgboost") from error
    return xgboost


def _predictions(output: Any, classes: tuple[str, ...]) -> Predictions:
    output = np.asarray(output, dtype=np.float64)
    if not classes:
        return Predictions(values_n=output)
    if output.ndim == 1:
        output = np.column_stack([1 - output, output])
    return Predictions.of_probabilities(output / output.sum(axis=1, keepdims=True), classes)


def _matrix(x_nd: _Floats, kinds: list[str], *, threads: int, **target: Any) -> Any:
    """Features as XGBoost reads them: quantities ("q") and categories ("c"); `target` is label and weight."""
    return _library().DMatrix(singles(x_nd), feature_types=kinds, enable_categorical=True, nthread=threads, **target)


def _matrix_of(rows: EncodedRows, *, threads: int) -> Any:
    kinds = np.full(rows.x_nd.shape[1], "q")
    kinds[rows.table.categorical] = "c"
    return _matrix(rows.x_nd, kinds.tolist(), threads=threads, label=rows.value_n, weight=rows.weight_n)


class XgboostFamily:
    """Builds `XgboostModel`s."""

    name = "xgboost"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = XgboostParams
    requires = ("numpy", "scipy", "xgboost-cpu", "polars")
    extra: str | None = "xgboost"

    def fit(self, job: FitJob) -> XgboostModel:
        """See `bakeoff.core.protocols.Family`."""
        _library()
        job, deadline = plain_job(job), Deadline(job)
        rows = TreeRows(job)
        classes = rows.target.classes
        trees = given(job, "trees")["trees"]
        trees = _rounds(job, rows, deadline) if trees is None else int(trees)
        encoded = rows.encoded(whole=True)
        job.progress(f"fitting {trees} trees on {encoded.x_nd.shape[0]} rows, {encoded.x_nd.shape[1]} features")
        settings = _settings(job, len(classes))
        booster = _library().train(settings, _matrix_of(encoded, threads=job.threads), num_boost_round=trees)
        return XgboostModel(
            state=TreesState(
                signature=Signature(task=job.task, inputs=rows.columns, classes=classes),
                chosen={"trees": trees},
                table=encoded.table,
            ),
            trees=bytes(booster.save_raw("json")),
        )

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> XgboostModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`."""
        state, files = saved.read(folder, self.name, TreesState)
        model = XgboostModel(state=state, trees=files[TREES])
        try:
            model._booster.num_boosted_rounds()  # noqa: SLF001 # read the trees now, not at the first request
        except _library().core.XGBoostError as error:
            raise CorruptError(f"{folder}: expected XGBoost trees, found {error}; fit the candidate again") from error
        return model


def _rounds(job: FitJob, rows: TreeRows, deadline: Deadline) -> int:
    """The number of rounds with the least loss on validation rows."""
    library, train = _library(), rows.encoded(whole=False)
    validation = _matrix_of(rows.validation(train.table), threads=job.threads)
    booster = library.train(
        _settings(job, len(rows.target.classes)),
        _matrix_of(train, threads=job.threads),
        num_boost_round=job.params.max_trees,
        evals=[(validation, "validation")],
        # In this order: each round is judged before it may be the last.
        callbacks=[library.callback.EarlyStopping(rounds=job.params.patience), _in_time(job, deadline)],
        verbose_eval=False,
    )
    trees = booster.best_iteration + 1
    job.progress(f"{trees} trees: loss of validation rows {booster.best_score:.5f}")
    job.on_held(_predictions(booster.predict(validation, iteration_range=(0, trees)), rows.target.classes))
    return trees


def _in_time(job: FitJob, deadline: Deadline) -> Any:
    """What ends the choosing when it has had its part of the limit."""

    class InTime(_library().callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            late = epoch + 1 < job.params.max_trees and deadline.passed(ROUNDS_SHARE)
            if late:
                deadline.cut(f"{epoch + 1} rounds of trees of up to {job.params.max_trees:,} were tried")
            return late

    return InTime()


def _settings(job: FitJob, classes: int) -> dict[str, Any]:
    params: XgboostParams = job.params
    objective: dict[str, Any] = {"objective": "reg:squarederror"}
    if classes:
        objective = {"objective": "binary:logistic"}
    if classes >= MANY:
        objective = {"objective": "multi:softprob", "num_class": classes}
    return objective | {
        "eta": params.learning_rate,
        "max_depth": params.depth,
        "min_child_weight": params.min_weight,
        "colsample_bytree": params.column_share,
        "subsample": params.row_share,
        "lambda": params.penalty,
        "tree_method": "hist",
        "seed": job.seed,
        "nthread": job.threads,
    }
