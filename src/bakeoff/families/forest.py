# pyright: basic
# scikit-learn comes without complete types
"""`forest`: the mean of many deep trees, each grown with chance: extremely randomised trees, or a random forest.

scikit-learn grows the trees; a model keeps them as flat arrays and needs numpy alone.

Source: L. Breiman (2001), "Random Forests"; P. Geurts, D. Ernst, L. Wehenkel (2006), "Extremely Randomized Trees".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import one_of
from bakeoff.core.deadline import Deadline
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Predictions, Signature, Task
from bakeoff.families import saved
from bakeoff.families.features.boosting import TreeTable
from bakeoff.families.features.choice import given, in_time, least_loss, sampled
from bakeoff.families.features.columns import complete, plain, plain_job
from bakeoff.families.features.heads import HeadSpec, validation_loss
from bakeoff.families.features.targets import class_weights
from bakeoff.families.features.tree_rows import TreeRows, dense, singles
from bakeoff.families.features.trees import FlatTrees
from bakeoff.families.saved import Array

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ForestFamily", "ForestModel", "ForestParams"]

_Floats: TypeAlias = NDArray[np.float64]
Kind: TypeAlias = Literal["extra", "random"]

FEWEST_TREES = 100
"""Trees below which leaves grow instead, where there is not room for all."""
LEAVES = (1.0, 4.0)
LEAF_LIMITS = (1.0, 256.0)
CHOICE_TREES, CHOICE_ROWS = 40, 3000
"""Trees and training rows by which their kind and size are chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestParams:
    """Parameters of `forest`.

    `kind`: "extra" (splits at random numbers) or "random" (at the best ones of a sample of the rows). `column_share`:
    of the columns, how many each split may choose from. `min_leaf_rows`: rows that each leaf has. All are chosen on
    validation rows when left out. `trees`: how many. `tree_rows`: of more rows, each tree is grown from so many, drawn
    anew. `max_nodes`: of all trees together; of many rows there are fewer trees, down to a hundred, and then larger
    leaves. `balanced`: whether every class weighs the same; when left out, if the project's metric calls for it.
    `max_categories`: columns with more categories are encoded by their target means. `max_terms`, `min_rows`: which
    terms of texts are read.
    """

    kind: Kind | None = None
    column_share: Annotated[float, Field(gt=0, le=1)] | None = None
    min_leaf_rows: Annotated[int, Field(ge=1)] | None = None
    trees: Annotated[int, Field(ge=1, le=5000)] = 300
    tree_rows: Annotated[int, Field(ge=10)] = 10_000
    max_nodes: Annotated[int, Field(ge=1000)] = 4_000_000
    balanced: bool | None = field(default=None, metadata=one_of((True, False)) | only_for("classification"))
    max_categories: Annotated[int, Field(ge=0)] = 30
    max_terms: Annotated[int, Field(ge=1)] = 300
    min_rows: Annotated[int, Field(ge=1)] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestModel:
    """A fitted `forest` candidate; `gap_d` stands for missing numbers: less than all that training rows had."""

    signature: Signature
    chosen: Mapping[str, Any]
    table: TreeTable
    gap_d: Array
    trees: FlatTrees

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        table = plain(complete(table, self.signature), self.signature.inputs)
        return self.trees.predictions(_singles(dense(self.table(table)), self.gap_d), self.signature.classes)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        saved.write(folder, ForestFamily.name, self)


class ForestFamily:
    """Builds `ForestModel`s."""

    name = "forest"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = ForestParams
    requires = ("numpy", "scipy", "scikit-learn", "polars")
    extra: str | None = None
    balances = True
    scales = True

    def fit(self, job: FitJob) -> ForestModel:
        """See `bakeoff.core.protocols.Family`."""
        return _Fit(plain_job(job)).model()

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> ForestModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`."""
        return saved.read(folder, self.name, ForestModel)[0]


def _singles(x_nd: _Floats, gap_d: Array) -> NDArray[np.float32]:
    """Features as trees read them: in single precision, without gaps."""
    return singles(np.where(np.isnan(x_nd), gap_d, x_nd))


def _gaps(x_nd: _Floats) -> _Floats:
    """What stands for a missing number of each feature (d,): less than all others."""
    least_d = np.nanmin(x_nd, axis=0, initial=np.inf)
    most_d = np.nanmax(x_nd, axis=0, initial=-np.inf)
    return np.where(np.isfinite(least_d), least_d - np.maximum(most_d - least_d, 1.0), 0.0)


class _Fit:
    """One fit: kind and size of trees are chosen by forests of fewer trees and rows, then all rows are used."""

    def __init__(self, job: FitJob) -> None:
        self.job = job
        self._deadline = Deadline(job)
        self.params: ForestParams = job.params
        self.rows = TreeRows(job)
        self.classes = self.rows.target.classes
        self.spec = HeadSpec.of(job, self.classes)

    def model(self) -> ForestModel:
        chosen = self._chosen()
        rows = self.rows.encoded(whole=True)
        gap_d = _gaps(rows.x_nd)
        trees, leaf = self._bounded(len(rows.value_n), int(chosen["min_leaf_rows"]))
        grown = self._grown(
            _singles(rows.x_nd, gap_d),
            rows.value_n,
            trees=trees,
            kind=chosen["kind"],
            column_share=chosen["column_share"],
            min_leaf_rows=leaf,
        )
        return ForestModel(
            signature=Signature(task=self.job.task, inputs=self.rows.columns, classes=self.classes),
            chosen=chosen,
            table=rows.table,
            gap_d=gap_d,
            trees=grown,
        )

    def _chosen(self) -> dict[str, Any]:
        """What is given, and of the rest the best on validation rows."""
        known = given(self.job, "kind", "column_share", "min_leaf_rows")
        if None not in known.values():
            return known
        train = self.rows.encoded(whole=False)
        validation, gap_d = self.rows.validation(train.table), _gaps(train.x_nd)
        validation_vd = _singles(validation.x_nd, gap_d)
        some = sampled(np.arange(len(train.value_n)), CHOICE_ROWS, self.job.seed)
        some_nd, value_n = _singles(train.x_nd[some], gap_d), train.value_n[some]
        trials: dict[tuple[Any, float, int], float] = {}

        def loss(kind: Any, share: float, leaf: float) -> float:
            key = (kind, share, round(leaf))
            if key not in trials:
                trees = self._grown(
                    some_nd, value_n, trees=CHOICE_TREES, kind=kind, column_share=share, min_leaf_rows=key[2]
                )
                answers = trees.predictions(validation_vd, self.classes)
                trials[key] = validation_loss(self.spec, answers, validation.value_n)
            return trials[key]

        kinds = ("extra", "random") if known["kind"] is None else (known["kind"],)
        width = train.x_nd.shape[1]
        shares = self._shares(width) if known["column_share"] is None else (known["column_share"],)
        for kind, share in in_time(tuple(product(kinds, shares)), self._deadline, "kinds of trees"):
            if known["min_leaf_rows"] is not None:
                loss(kind, share, known["min_leaf_rows"])
            else:
                least_loss(
                    LEAVES,
                    lambda leaf, k=kind, s=share: loss(k, s, leaf),
                    limits=LEAF_LIMITS,
                    progress=self.job.progress,
                    name=f"{kind}, {share:.2g} of the columns, rows of a leaf",
                    deadline=self._deadline,
                )
        kind, share, leaf = min(trials, key=trials.__getitem__)
        return {"kind": kind, "column_share": share, "min_leaf_rows": leaf}

    def _bounded(self, rows: int, leaf: int) -> tuple[int, int]:
        """How many trees, and the fewest rows of a leaf, so that all trees together have at most `max_nodes`."""
        most, rows = self.params.max_nodes, min(rows, self.params.tree_rows)
        trees = min(self.params.trees, max(FEWEST_TREES, most // (2 * rows)))
        bounded = max(leaf, -(-2 * rows * trees // most))
        self.job.progress(f"growing {trees} trees on {rows} rows with leaves of {bounded} rows or more")
        return trees, bounded

    def _shares(self, width: int) -> tuple[float, ...]:
        """Shares of the columns that are tried."""
        root = float(np.sqrt(width)) / width
        return (root, min(1.0, 3 * root)) if self.classes else (min(1.0, 2 * root), 1.0)

    def _grown(
        self,
        x_nd: NDArray[np.float32],
        value_n: _Floats,
        *,
        trees: int,
        kind: Kind,
        column_share: float,
        min_leaf_rows: int,
    ) -> FlatTrees:
        from sklearn import ensemble

        classes = self.classes
        name = f"{'ExtraTrees' if kind == 'extra' else 'RandomForest'}{'Classifier' if classes else 'Regressor'}"
        part = len(value_n) > self.params.tree_rows
        few = len(value_n) < 1000  # noqa: PLR2004 # starting threads takes longer
        forest = getattr(ensemble, name)(
            n_estimators=trees,
            max_features=column_share,
            min_samples_leaf=min_leaf_rows,
            bootstrap=part or kind == "random",
            max_samples=self.params.tree_rows if part else None,
            random_state=self.job.seed,
            n_jobs=1 if few else self.job.threads,
        )
        forest.fit(x_nd, value_n, sample_weight=class_weights(self.job, value_n))
        present = np.asarray(forest.classes_).astype(np.int64) if classes else np.zeros(1, dtype=np.int64)
        return FlatTrees.of([each.tree_ for each in forest.estimators_], present, max(len(classes), 1))
