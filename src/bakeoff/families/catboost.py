# pyright: basic
# CatBoost comes without complete types
"""`catboost`: oblivious trees with ordered statistics of categories, over numbers, categories and scored texts.

Source: L. Prokhorenkova et al. (2018), "CatBoost: Unbiased Boosting with Categorical Features".
"""

import tempfile
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
from bakeoff.families.features.boosting import TreeTable
from bakeoff.families.features.choice import given
from bakeoff.families.features.columns import complete, plain, plain_job
from bakeoff.families.features.tree_rows import ROUNDS_SHARE, EncodedRows, TreeRows, TreesState, dense, singles

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CatboostFamily", "CatboostModel", "CatboostParams"]

_Floats: TypeAlias = NDArray[np.float64]

TREES = "trees.cbm"
MANY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CatboostParams:
    """Parameters of `catboost`.

    `trees`: how many; chosen by early stopping on validation rows when left out, up to `max_trees`, after `patience`
    trees without a better loss. `learning_rate`, `depth` and `penalty` (L2) shape the trees as CatBoost's parameters
    do. `balanced`: whether every class weighs the same (as the metric calls for, when left out). `max_categories`: of a
    column, how many are told apart; columns with more are encoded by their target means. `max_terms`, `min_rows`: which
    terms of texts are read.
    """

    trees: Annotated[int, Field(ge=1)] | None = None
    max_trees: Annotated[int, Field(ge=1)] = 1500
    patience: Annotated[int, Field(ge=1)] = 60
    learning_rate: Annotated[float, Field(gt=0, le=1)] = field(default=0.06, metadata=between(0.02, 0.2, log=True))
    depth: Annotated[int, Field(ge=1, le=16)] = field(default=6, metadata=between(3, 9))
    penalty: Annotated[float, Field(ge=0)] = field(default=3.0, metadata=between(0.5, 30.0, log=True))
    balanced: bool | None = field(default=None, metadata=one_of((True, False)) | only_for("classification"))
    max_categories: Annotated[int, Field(ge=1)] = 10_000
    max_terms: Annotated[int, Field(ge=1)] = field(default=300, metadata=between(100, 1000, log=True, kinds=("text",)))
    min_rows: Annotated[int, Field(ge=1)] = 2


@dataclass(frozen=True, kw_only=True)
class CatboostModel(saved.StatedModel):
    """A fitted `catboost` candidate; `trees` is CatBoost's own file of them."""

    state: TreesState
    trees: bytes = field(repr=False)

    @cached_property
    def _booster(self) -> Any:
        return _library().CatBoost().load_model(blob=self.trees)

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        table = plain(complete(table, self.signature), self.signature.inputs)
        classes = self.signature.classes
        if not len(table):
            return _predictions(np.empty((0, len(classes)) if classes else 0), classes)
        return _answers(self._booster, _pool(dense(self.state.table(table)), self.state.table), classes)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        saved.write(folder, CatboostFamily.name, self.state, {TREES: self.trees})


def _library() -> Any:
    try:
        import catboost  # pyright: ignore[reportMissingImports] - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("family 'catboost'", "catboost", "catboost") from error
    return catboost


def _answers(booster: Any, pool: Any, classes: tuple[str, ...]) -> Predictions:
    kind = "Probability" if classes else "RawFormulaVal"
    return _predictions(booster.predict(pool, prediction_type=kind, thread_count=1), classes)


def _predictions(output: Any, classes: tuple[str, ...]) -> Predictions:
    output = np.asarray(output, dtype=np.float64)
    return Predictions.of_probabilities(output, classes) if classes else Predictions(values_n=output)


def _pool(x_nd: _Floats, table: TreeTable, **target: Any) -> Any:
    """Features as CatBoost reads them: numbers, and codes of categories as names; `target` is label and weight."""
    codes = table.categorical
    number_nd = np.delete(x_nd, codes, axis=1)
    names = np.char.mod("%d", x_nd[:, codes].astype(np.int64)).astype(object) if codes else None
    library = _library()
    data = library.FeaturesData(
        num_feature_data=np.ascontiguousarray(singles(number_nd)) if number_nd.shape[1] else None,
        cat_feature_data=None if names is None else np.vectorize(str.encode, otypes=[object])(names),
    )
    return library.Pool(data, **target)


def _pool_of(rows: EncodedRows) -> Any:
    return _pool(rows.x_nd, rows.table, label=rows.value_n, weight=rows.weight_n)


class CatboostFamily:
    """Builds `CatboostModel`s."""

    name = "catboost"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = CatboostParams
    requires = ("numpy", "scipy", "catboost", "polars")
    extra: str | None = "catboost"

    def fit(self, job: FitJob) -> CatboostModel:
        """See `bakeoff.core.protocols.Family`."""
        _library()
        job, deadline = plain_job(job), Deadline(job)
        rows = TreeRows(job)
        trees = given(job, "trees")["trees"]
        trees = _rounds(job, rows, deadline) if trees is None else int(trees)
        encoded = rows.encoded(whole=True)
        job.progress(f"fitting {trees} trees on {encoded.x_nd.shape[0]} rows, {encoded.x_nd.shape[1]} features")
        booster = _library().CatBoost(_settings(job, len(rows.target.classes)) | {"iterations": trees})
        booster.fit(_pool_of(encoded))
        return CatboostModel(
            state=TreesState(
                signature=Signature(task=job.task, inputs=rows.columns, classes=rows.target.classes),
                chosen={"trees": trees},
                table=encoded.table,
            ),
            trees=_content(booster),
        )

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> CatboostModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`."""
        state, files = saved.read(folder, self.name, TreesState)
        model = CatboostModel(state=state, trees=files[TREES])
        try:
            _ = model._booster  # noqa: SLF001 # read the trees now, not at the first request
        except _library().CatBoostError as error:
            raise CorruptError(f"{folder}: expected CatBoost trees, found {error}; fit the candidate again") from error
        return model


def _content(booster: Any) -> bytes:
    """The trees without when they were grown and the name that they were given then: the same trees, the same bytes."""
    metadata = booster.get_metadata()
    for name in ("train_finish_time", "model_guid"):
        metadata[name] = ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, TREES)
        booster.save_model(str(path))
        return path.read_bytes()


def _rounds(job: FitJob, rows: TreeRows, deadline: Deadline) -> int:
    """The number of trees with the least loss on validation rows."""
    train = rows.encoded(whole=False)
    validation = _pool_of(rows.validation(train.table))
    settings = _settings(job, len(rows.target.classes)) | {"iterations": job.params.max_trees}
    booster = _library().CatBoost(settings | {"od_type": "Iter", "od_wait": job.params.patience})
    booster.fit(_pool_of(train), eval_set=validation, callbacks=[_InTime(job, deadline)])
    trees = booster.get_best_iteration() + 1
    job.progress(f"{trees} trees have the least loss of validation rows")
    job.on_held(_answers(booster, validation, rows.target.classes))  # after a fit it has the best trees alone
    return trees


class _InTime:
    """Ends the choosing when it has had its part of the limit."""

    def __init__(self, job: FitJob, deadline: Deadline) -> None:
        self._most, self._deadline = job.params.max_trees, deadline

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on; CatBoost asks after each tree."""
        late = info.iteration < self._most and self._deadline.passed(ROUNDS_SHARE)
        if late:
            self._deadline.cut(f"{info.iteration} trees of up to {self._most:,} were tried")
        return not late


def _settings(job: FitJob, classes: int) -> dict[str, Any]:
    params: CatboostParams = job.params
    objective: dict[str, Any] = {"loss_function": "RMSE"}
    if classes:
        objective = {"loss_function": "Logloss" if classes < MANY else "MultiClass"}
    if classes >= MANY:
        objective["classes_count"] = classes
    return objective | {
        "learning_rate": params.learning_rate,
        "depth": params.depth,
        "l2_leaf_reg": params.penalty,
        "random_seed": job.seed,
        "thread_count": job.threads,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }
