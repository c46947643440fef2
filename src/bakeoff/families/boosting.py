# pyright: basic
# LightGBM comes without complete types
"""`boosting`: LightGBM over numbers, category codes, target means, and scored texts.

Source: G. Ke et al. (2017), "LightGBM: A Highly Efficient Gradient Boosting Decision Tree".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import between, one_of
from bakeoff.core.attribution import Attribution
from bakeoff.core.deadline import Deadline
from bakeoff.core.errors import CorruptError
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import CLASS_BALANCE, FitJob
from bakeoff.core.types import Predictions, Signature, Task
from bakeoff.families import saved
from bakeoff.families.features.alone import answered, attributed, with_alone
from bakeoff.families.features.attribution import by_column, centred, of_logarithms, with_level
from bakeoff.families.features.averaged_trees import averaged
from bakeoff.families.features.boosting import TreeTable
from bakeoff.families.features.choice import given
from bakeoff.families.features.columns import complete, input_columns, plain, plain_job
from bakeoff.families.features.derivation import FEWEST_ROWS, Choice, Derivation
from bakeoff.families.features.derived import Derived
from bakeoff.families.features.one_row import NumberReader, Row, RowReader
from bakeoff.families.features.single_row import SingleRow
from bakeoff.families.features.targets import MOVED, Target, both_weights, class_weights, moves, ranked_by
from bakeoff.families.features.text import TermCounts
from bakeoff.families.features.tree_rows import ROUNDS_SHARE
from bakeoff.families.features.trend import Trend
from bakeoff.metrics.positive import BINARY, positive_class

if TYPE_CHECKING:
    import lightgbm as lgb
    import polars as pl

__all__ = ["BoostingFamily", "BoostingModel", "BoostingParams"]

Link: TypeAlias = Literal["identity", "log"]
LINK_SHARE = 0.25
"""Of the time of a fit, after which no second link is tried."""
PER_MEAN = 100.0
"""What a log link takes the mean of the target for: `penalty`, which is one of counts then, hardly weighs."""

TREE, FEW_ROWS, SMALL_TREE = {"leaves": 31, "min_leaf_rows": 20}, 1000, {"leaves": 8, "min_leaf_rows": 5}
"""What is not given of a tree's size; the small one where a number is learned of fewer rows than that."""
MOST_TREES, USUAL_ROUNDS = 8000, 200
"""A round is a tree for each class: of many classes there are fewer rounds, which learn the faster if they are few."""
MANY_CLASSES, LEAST_TERMS = 10, 100
"""Of more classes than this, each with its scores of a text, fewer terms stand beside the scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostingParams:
    """Parameters of `boosting`.

    `trees`: how many rounds; chosen by early stopping on validation rows when left out, up to
    `max_trees`, after `patience` rounds without a better loss (or area under the curve, when that is the
    metric). `learning_rate`, `leaves`, `min_leaf_rows`, `column_share`, `row_share` and `penalty` (L2) shape
    the trees as LightGBM's parameters do; left out, trees have 31 leaves of 20 rows or more, and 8 of 5 where a number
    is learned of fewer than 1,000 rows (docs/decisions/0079). `balanced`: whether every class weighs the same (as the
    metric calls for, when left out; where that punishes false alarms, too, and rows are not in time order, rows weigh
    alike, and answers are moved by the shares of classes, docs/decisions/0065). `max_categories`: columns with more
    categories are encoded by their target means. `max_terms`, `min_rows`: which terms of texts are kept. A round is a
    tree for each class; all together are at most 8,000, so that of many classes there are fewer rounds, which learn
    faster where they are under 200, and of more than twenty classes fewer terms are kept. `features`: whether further
    columns are derived where they help on validation rows (see docs/features.md). `seeds`: of so many models that
    differ in chance alone, the rows and columns of each tree, the mean score is taken: a little better (see
    docs/benchmarks.md), at so many times the latency and size. `trees` are of each. `link`: whether what the trees add
    up to is the number itself ("identity") or its logarithm ("log": effects multiply, as in a Poisson regression);
    chosen on validation rows when left out, where no number is below 0 and 1,000 training rows or more are no texts.
    """

    trees: Annotated[int, Field(ge=1)] | None = None
    max_trees: Annotated[int, Field(ge=1)] = 1500
    patience: Annotated[int, Field(ge=1)] = 60
    learning_rate: Annotated[float, Field(gt=0, le=1)] = field(default=0.05, metadata=between(0.02, 0.2, log=True))
    leaves: Annotated[int, Field(ge=2)] | None = field(default=None, metadata=between(7, 255, log=True))
    min_leaf_rows: Annotated[int, Field(ge=1)] | None = field(default=None, metadata=between(5, 200, log=True))
    column_share: Annotated[float, Field(gt=0, le=1)] = field(default=0.5, metadata=between(0.2, 1.0))
    row_share: Annotated[float, Field(gt=0, le=1)] = field(default=0.7, metadata=between(0.4, 1.0))
    penalty: Annotated[float, Field(ge=0)] = field(default=10.0, metadata=between(0.1, 100.0, log=True))
    balanced: bool | None = field(default=None, metadata=one_of((True, False)) | only_for("classification"))
    max_categories: Annotated[int, Field(ge=1)] = 255
    max_terms: Annotated[int, Field(ge=1)] = field(default=2000, metadata=between(300, 6000, log=True, kinds=("text",)))
    min_rows: Annotated[int, Field(ge=1)] = 2
    features: bool = True
    seeds: Annotated[int, Field(ge=1, le=20)] = 1
    link: Link | None = None


@dataclass(frozen=True, kw_only=True)
class BoostingModel:
    """A fitted `boosting` candidate; `trees` is LightGBM's text of them.

    `derived` makes further columns, and `trend` is what was taken off the target; None: there is none. `alone` answers
    rows that lack the history that `derived` needs. `link` is what the trees add up to (see `BoostingParams`).
    """

    signature: Signature
    chosen: Mapping[str, Any]
    table: TreeTable
    trees: str
    derived: Derived | None = None
    trend: Trend | None = None
    alone: "BoostingModel | None" = None
    link: Link = "identity"

    @cached_property
    def _booster(self) -> "lgb.Booster":
        from bakeoff.families.features.lightgbm_library import lgb

        return lgb.Booster(model_str=self.trees)

    @cached_property
    def _reader(self) -> RowReader:
        return RowReader(self.signature, wanted=self.derived is None and self.trend is None)

    @cached_property
    def _single(self) -> SingleRow:
        return SingleRow(self._booster)

    @cached_property
    def _numbers(self) -> NumberReader | None:
        other_features = self.table.codes or self.table.means or self.table.terms or self.derived or self.trend
        return None if other_features else NumberReader(self.signature)

    def predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> Predictions | None:
        """See `bakeoff.core.protocols.RowWise`."""
        x_nd = None if self._numbers is None else self._numbers(rows)
        if x_nd is not None:
            return self.predict_numbers(x_nd)
        return self._of(self._reader(rows[0])) if len(rows) == 1 else None

    def predict_numbers(self, x_nd: NDArray[np.float64]) -> Predictions | None:
        """See `bakeoff.core.protocols.NumberWise`."""
        filled_nd = None if self._numbers is None else self._numbers.filled(x_nd)
        if filled_nd is None:
            return None
        alone = len(filled_nd) == 1
        output = self._single(filled_nd) if alone else np.asarray(self._booster.predict(filled_nd, num_threads=1))
        return _predictions(output, self.signature.classes)

    def _of(self, row: Row | None) -> Predictions | None:
        if row is None:
            return None
        return _predictions(self._single(self.table.of_row(row)), self.signature.classes)

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        if (single := self._of(self._reader.of(table))) is not None:
            return single
        table = plain(complete(table, self.signature), self.signature.inputs)
        return answered(table, self.derived, self.alone, self._answers)

    def _answers(self, table: "pl.DataFrame") -> Predictions:
        classes = self.signature.classes
        table = self.derived(table) if self.derived else table
        x_nd = self.table(table)
        if not x_nd.shape[0]:
            return _predictions(np.empty((0, len(classes)) if len(classes) > 2 else 0), classes)  # noqa: PLR2004
        output = np.asarray(self._booster.predict(x_nd, num_threads=1))
        return _predictions(self.trend.restored(output, self.trend.level(table)) if self.trend else output, classes)

    @property
    def rows_before(self) -> int:
        """See `bakeoff.core.protocols.LookingBack`."""
        return self.derived.rows_before if self.derived else 0

    def losses(self) -> tuple[Loss, ...]:
        """See `bakeoff.core.protocols.Losing`."""
        return self.derived.losses() if self.derived else ()

    def attribute(self, table: "pl.DataFrame", *, words: bool = False) -> Attribution:  # noqa: ARG002
        """See `bakeoff.core.attribution.Attributing`; features that are made of a column are summed up.

        Source: S. Lundberg et al. (2020), "From Local Explanations to Global Understanding with Explainable AI for
        Trees", section 2 (exact Shapley values of trees), as LightGBM computes them.
        """
        table = plain(complete(table, self.signature), self.signature.inputs)
        return attributed(table, self.derived, self.alone, self._attribution)

    def _attribution(self, table: "pl.DataFrame") -> Attribution:
        table = self.derived(table) if self.derived else table
        names = tuple(column.name for column in self.signature.inputs)
        origins = self.derived.origins if self.derived else {}
        x_nd = self.table(table)
        width = x_nd.shape[1]
        added: Any = self._booster.predict(x_nd, pred_contrib=True, num_threads=1)
        if isinstance(added, np.ndarray):  # (n, k · (d + 1)): class after class, each with its base at the end
            added = [added[:, at : at + width + 1] for at in range(0, added.shape[1], width + 1)]
        outputs: list[Any] = added if isinstance(added, list) else [added]
        adds = [by_column(each[:, :width], self.table.sources, names, origins) for each in outputs]
        base = [float(np.asarray(each[[0]][:, [width]].sum())) if len(table) else 0.0 for each in outputs]
        adds_nck, base_k = centred(np.stack(adds, axis=2)), centred(np.asarray(base))
        if self.link == "log":
            adds_nck, base_k = of_logarithms(adds_nck, base_k)
        if self.trend is not None:
            adds_nck = with_level(self.trend, self.trend.level(table), adds_nck, base_k, columns=names, origins=origins)
        return Attribution(columns=names, adds_nck=adds_nck, base_k=base_k, how="Shapley values of trees")

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        saved.write(folder, BoostingFamily.name, self)


def _predictions(output: Any, classes: tuple[str, ...]) -> Predictions:
    if not classes:
        return Predictions(values_n=output)
    if output.ndim == 1:
        output = np.stack([1 - output, output], axis=1)
    return Predictions.of_probabilities(output, classes)


class BoostingFamily:
    """Builds `BoostingModel`s."""

    name = "boosting"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = BoostingParams
    requires = ("numpy", "scipy", "lightgbm", "polars")
    imports = ("scipy.sparse", "bakeoff.families.features.lightgbm_library")
    extra: str | None = None
    weighs = True
    class_balance = MOVED

    def fit(self, job: FitJob) -> BoostingModel:
        """See `bakeoff.core.protocols.Family`."""
        return with_alone(plain_job(job), lambda each: _Fit(each).model())

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> BoostingModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`."""
        from bakeoff.families.features.lightgbm_library import lgb

        model, _ = saved.read(folder, self.name, BoostingModel)
        try:
            model._booster.num_trees()  # noqa: SLF001 # read the trees now, not at the first request
        except lgb.basic.LightGBMError as error:
            raise CorruptError(f"{folder}: expected LightGBM trees, found {error}; fit the candidate again") from error
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoder:
    """What a fit makes of a table: derived columns and the features of trees; and of a target, without its trend."""

    table: TreeTable
    derived: Derived | None
    trend: Trend | None

    def more(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """The table with derived columns."""
        return self.derived(table) if self.derived else table

    def restored(self, table: "pl.DataFrame", output: Any) -> Any:
        """What the trees say of a table with derived columns, as the target."""
        return output if self.trend is None else self.trend.restored(output, self.trend.level(table))

    def target(self, table: "pl.DataFrame", value_n: Any, weight_n: Any) -> tuple[Any, Any]:
        """What the trees learn of a table with derived columns, and the weights of the rows."""
        if self.trend is None:
            return value_n, weight_n
        level_n = self.trend.level(table)
        return self.trend.removed(value_n, level_n), self.trend.weights(level_n)


class _Stopped(NamedTuple):
    """How many trees early stopping leaves, and what they say of validation rows."""

    trees: int
    predictions: Predictions


class _Fit:
    """One fit: early stopping on validation rows tells the number of trees, then all rows are used."""

    def __init__(self, job: FitJob) -> None:
        self._moved_by = 0.0
        if moves(job):
            self._moved_by = float((job.chosen or {}).get(CLASS_BALANCE, MOVED))  # type: ignore[arg-type]
            job = replace(job, params=replace(job.params, balanced=False))
            if job.chosen is not None:
                job = replace(job, chosen={name: each for name, each in job.chosen.items() if name != CLASS_BALANCE})
        self.job = job
        self._deadline = Deadline(job)
        self._best: tuple[int, float] | None = None
        self._link: Link = "identity"
        self.params: BoostingParams = job.params
        self.columns = input_columns(job)
        self.target = Target.of(job)
        few = job.chosen is None and job.task == "regression" and len(self.target.value_n) < FEW_ROWS
        usual, sizes = (SMALL_TREE if few else TREE), given(job, *TREE)
        self._tree = {name: usual[name] if size is None else int(size) for name, size in sizes.items()}
        wanted, deadline = self.params.features, self._deadline
        self.derivation = Derivation(job, self.target, self.columns, "trees", wanted=wanted, deadline=deadline)
        self.counts = TermCounts.of_columns(self.target.table, self.columns, job.progress)

    def model(self) -> BoostingModel:
        trees = self._trees()
        encoder, x_nd, train = self._encode(whole=True)
        self.job.progress(f"fitting {trees} trees on {x_nd.shape[0]} rows, {x_nd.shape[1]} features")
        texts = self._of_seeds(train, trees)
        return BoostingModel(
            signature=Signature(task=self.job.task, inputs=self.columns, classes=self.target.classes),
            chosen={"trees": trees}
            | {name: size for name, size in self._tree.items() if size not in {TREE[name], getattr(self.params, name)}}
            | ({"seeds": len(texts)} if self.params.seeds > 1 else {})
            | ({"link": self._link} if self._link != "identity" else {})
            | self.derivation.chosen,
            table=encoder.table,
            trees=averaged(texts),
            derived=encoder.derived,
            trend=encoder.trend,
            link=self._link,
        )

    def _of_seeds(self, train: "lgb.Dataset", trees: int) -> list[str]:
        """LightGBM's text of a model of each seed; where the limit is over, of fewer."""
        from bakeoff.families.features.lightgbm_library import lgb

        texts: list[str] = []
        wanted = int(given(self.job, "seeds")["seeds"])
        for at in range(wanted):
            if at and self.job.chosen is None and self._deadline.passed(at / (at + 1)):
                self._deadline.cut(f"{at} of {wanted} seeds were fitted")
                break
            own = {"bagging_seed": self.job.seed + at, "feature_fraction_seed": self.job.seed + at} if at else {}
            settings = self._settings() | own
            booster = lgb.train(settings, train, num_boost_round=trees, keep_training_booster=True)
            self._move(booster, self._first_leaves(booster), self.target.value_n)
            texts.append(booster.model_to_string(num_iteration=trees))
        return texts

    def _first_leaves(self, booster: "lgb.Booster") -> list[list[float]]:
        """What the leaves of each tree of the first round say, where answers are moved."""
        trees = booster.dump_model(num_iteration=1)["tree_info"] if self._moved_by else []
        leaves = [range(tree["num_leaves"]) for tree in trees]
        return [[booster.get_leaf_output(tree, leaf) for leaf in each] for tree, each in enumerate(leaves)]

    def _move(self, booster: "lgb.Booster", leaves: Sequence[Sequence[float]], value_n: Any) -> None:
        """Make rare classes more probable: multiply the prior in, by what the first trees say (`leaves`)."""
        if not self._moved_by:
            return
        share_k = np.bincount(value_n.astype(np.int64), minlength=len(self.target.classes)) / len(value_n)
        more_k = -self._moved_by * np.log(np.maximum(share_k, 1 / len(value_n)))
        if len(more_k) == BINARY:  # their only tree tells the log-odds of the second
            more_k = more_k[1:] - more_k[:1]
        for tree, more in enumerate(more_k.tolist()):
            for leaf, output in enumerate(leaves[tree]):
                booster.set_leaf_output(tree, leaf, output + more)

    def _trees(self) -> int:
        """The number of trees, with the link that is better on validation rows."""
        trees, link = given(self.job, "trees")["trees"], given(self.job, "link")["link"]
        if trees is not None:
            self._set(link or "identity")
            return int(trees)
        self._set(link or "identity")
        best = self._stopped()
        if link is None and self._may_multiply:
            self._set("log")
            other = self._stopped()
            gain = 1.0 - self._error(other) / max(self._error(best), 1e-300)
            self.job.progress(f"log link {'kept' if gain > 0 else 'left out'}: loss {-gain:+.1%} on validation rows")
            if gain > 0:  # neither is the simpler one
                best = other
            else:
                self._set("identity")
        if self.params.seeds == 1:  # else what is fitted is no model of one seed
            self.job.on_held(best.predictions)
        return best.trees

    def _set(self, link: Link) -> None:
        """Take a link; beside a logarithm there is no trend that is added, as what is left may be below 0."""
        self._link, choice = link, self._choice
        if link == "log" and choice.trend in {"added", "from known"}:
            choice = replace(choice, trend="none", level=None)
        self.derivation.choice = choice

    @cached_property
    def _choice(self) -> Choice:
        return self.derivation.choice

    @property
    def _may_multiply(self) -> bool:
        """Whether a log link is to be tried: numbers that are never below 0, of enough rows, and time for it."""
        value_n = self.target.value_n
        few = self.target.training < FEWEST_ROWS or bool(self.counts)
        if self.target.classes or few or value_n.min() < 0 or value_n.mean() <= 0:
            return False
        if late := self._deadline.passed(LINK_SHARE):
            self._deadline.cut("a log link was not tried")
        return not late

    def _error(self, stopped: "_Stopped") -> float:
        """The mean squared error of validation rows."""
        given_n = np.asarray(stopped.predictions.values_n, dtype=np.float64)
        return float(np.mean((given_n - self.target.value_n[self.target.training :]) ** 2))

    def _stopped(self) -> "_Stopped":
        """The number of trees by early stopping, and what so many say of validation rows."""
        from bakeoff.families.features.lightgbm_library import lgb

        self._best = None
        encoder, _, train = self._encode(whole=False)
        held = self.target.table[self.target.training :]
        value_n = self.target.value_n[self.target.training :]
        more = encoder.more(held)
        held_nd = encoder.table(more)
        label_n, weight_n = encoder.target(more, value_n, class_weights(self.job, value_n))
        label_n, weight_n = self._linked(label_n, weight_n)
        validation = train.create_valid(held_nd, label=label_n, weight=weight_n)
        booster = lgb.train(
            self._settings(),
            train,
            num_boost_round=self._most_rounds,
            valid_sets=[validation],
            feval=self._precise,
            keep_training_booster=True,  # else it is written as text and read again, which takes as long as its trees
            callbacks=[lgb.early_stopping(self.params.patience, verbose=False), self._report, self._in_time],
        )
        trees = max(booster.best_iteration, 1)
        leaves = self._first_leaves(booster)

        def answers() -> Predictions:
            self._move(booster, leaves, self.target.value_n[: self.target.training])
            output = np.asarray(booster.predict(held_nd, num_iteration=trees, num_threads=self.job.threads))
            return _predictions(encoder.restored(more, output), self.target.classes)

        predictions = answers()
        if self._moved_by and self.params.seeds == 1 and self.job.balance is not None:
            power = self.job.balance(predictions)
            if power is not None:  # the trees are the same: rows weigh alike by any power
                self._moved_by = power
                predictions = answers()
        return _Stopped(trees, predictions)

    def _linked(self, label_n: Any, weight_n: Any) -> tuple[Any, Any]:
        """Targets and weights for the link: of counts the variance is the mean, so that a level weighs by its root."""
        if self._link == "identity":
            return label_n, weight_n
        label_n = np.maximum(label_n, 0.0)
        own_n = np.ones(len(label_n)) if weight_n is None else np.sqrt(weight_n)
        return label_n, own_n * PER_MEAN / max(float(np.mean(label_n)), 1e-12)

    @property
    def _few_rounds(self) -> bool:
        """Whether there are so many classes that a usual number of rounds would be too many trees."""
        return len(self.target.classes) * self.params.max_trees > MOST_TREES and len(self.target.classes) > BINARY

    @property
    def _most_rounds(self) -> int:
        return max(MOST_TREES // len(self.target.classes), 1) if self._few_rounds else self.params.max_trees

    @property
    def _most_terms(self) -> int:
        many = len(self.target.classes) // MANY_CLASSES
        return (
            max(self.params.max_terms // many, min(LEAST_TERMS, self.params.max_terms))
            if many > 1
            else self.params.max_terms
        )

    def _in_time(self, step: Any) -> None:
        """End the choosing when it has had its part of the limit, with the best number of trees so far."""
        from bakeoff.families.features.lightgbm_library import lgb

        results = step.evaluation_result_list
        _, _, value, higher, *_ = results[0]
        if self._best is None or (value > self._best[1] if higher else value < self._best[1]):
            self._best = step.iteration, value
        if step.iteration + 1 < step.end_iteration and self._deadline.passed(ROUNDS_SHARE):
            self._deadline.cut(f"{step.iteration + 1} rounds of trees of up to {step.end_iteration:,} were tried")
            raise lgb.callback.EarlyStopException(self._best[0], results)

    def _report(self, step: Any) -> None:
        if step.iteration % 100 == 99:  # noqa: PLR2004
            _, name, value, *_ = step.evaluation_result_list[0]
            self.job.progress(f"{step.iteration + 1} trees: {name} of validation rows {value:.5f}")

    def _encode(self, *, whole: bool) -> tuple[_Encoder, Any, "lgb.Dataset"]:
        from bakeoff.families.features.lightgbm_library import lgb

        params, rows = self.params, self.target.split(whole=whole)
        made = self.derivation.fit(len(rows))
        table, x_nd = TreeTable.fit(
            made.table,
            made.columns,
            self.target.columns(rows),
            self.counts,
            max_categories=params.max_categories,
            max_terms=self._most_terms,
            min_rows=params.min_rows,
            seed=self.job.seed,
        )
        encoder = _Encoder(table=table, derived=made.derived, trend=made.trend)
        value_n = self.target.value_n[rows]
        label_n, weight_n = encoder.target(made.table, value_n, class_weights(self.job, value_n))
        label_n, weight_n = self._linked(label_n, weight_n)
        by_age_n = self.target.weight_n
        dataset = lgb.Dataset(
            x_nd,
            label=label_n,
            weight=both_weights(weight_n, None if by_age_n is None else by_age_n[: len(rows)]),
            categorical_feature=table.categorical,
            params=self._settings(),
            free_raw_data=False,
        )
        return encoder, x_nd, dataset

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
        if self._link == "log":  # small steps of the usual 0.7 need twice the trees for the same
            objective = {"objective": "poisson", "poisson_max_delta_step": 0.1}
        if classes:
            objective = (
                {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}  # noqa: PLR2004
            )
        return (
            objective
            | self._stopping()
            | {
                "learning_rate": min(params.learning_rate * max(1.0, USUAL_ROUNDS / self._most_rounds), 1.0)
                if self._few_rounds
                else params.learning_rate,
                "num_leaves": self._tree["leaves"],
                "min_data_in_leaf": self._tree["min_leaf_rows"],
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
