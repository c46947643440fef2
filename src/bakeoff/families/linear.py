# pyright: basic
# scipy.sparse comes without complete types
"""`linear`: regularised logistic or ridge regression over n-grams, splines, one-hot codes and target means.

Text features are weighted by how much more they say of one class than of the others (naive Bayes log
ratios) before the penalty is applied.

Source: S. Wang, C. Manning (2012), "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import between, one_of
from bakeoff.core.attribution import Attribution
from bakeoff.core.deadline import Deadline
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import ColumnKind, Predictions, Schema, Signature, Task
from bakeoff.families import saved
from bakeoff.families.features.alone import answered, attributed, with_alone
from bakeoff.families.features.attribution import by_column, centred, with_level, words_of
from bakeoff.families.features.choice import given, in_time
from bakeoff.families.features.columns import complete, input_columns, plain, plain_job, texts
from bakeoff.families.features.derivation import Derivation, Encoding
from bakeoff.families.features.derived import Derived
from bakeoff.families.features.heads import HeadSpec, LinearHead, answering, best_penalty, validation_loss
from bakeoff.families.features.one_row import NumberReader, Row, RowReader
from bakeoff.families.features.table import LinearTable
from bakeoff.families.features.targets import Target
from bakeoff.families.features.text import TermCounts, Vectorizer
from bakeoff.families.features.trend import Trend

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LinearFamily", "LinearModel", "LinearParams"]

_Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]
Sparse: TypeAlias = Any

TEXT_GRID = (0.025, 0.05, 0.1, 0.2, 0.5, 2.0)
TEXT: tuple[ColumnKind, ...] = ("text",)
TABLE_GRID = (0.1, 1.0, 10.0, 100.0, 1000.0)
FEW_ROWS, FEWER_BINS = 5000, (3, 1)
"""Of few rows plainer curves are tried: what is straight is learned best as a straight line.

Not of classes: on breast cancer, wine, orange juice, Seattle's weather and Weekly that was chance, either way.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearParams:
    """Parameters of `linear`.

    `penalty`: the strength of L2 regularisation; chosen on validation rows when left out.
    `balanced`: whether every class weighs the same, however many rows it has; when left out, if
    the project's metric calls for it.
    `min_rows`, `max_terms`: which terms of texts are kept. `bins`: the most pieces of a number's curve; in regression
    beside no text, fewer than 5,000 rows get 3 or 1 (a straight line) instead where that is better on validation rows.
    `max_categories`: the most frequent categories of a column that get a weight of their own. `features`: whether
    further columns are derived where they help on validation rows (see docs/features.md).
    """

    penalty: Annotated[float, Field(gt=0)] | None = None
    balanced: bool | None = field(default=None, metadata=one_of((True, False)) | only_for("classification"))
    min_rows: Annotated[int, Field(ge=1)] = field(default=2, metadata=between(1, 8, log=True, kinds=TEXT))
    max_terms: Annotated[int, Field(ge=1)] = field(
        default=300_000, metadata=between(20_000, 600_000, log=True, kinds=TEXT)
    )
    bins: Annotated[int, Field(ge=1, le=100)] = field(default=10, metadata=between(3, 40, log=True, kinds=("numeric",)))
    max_categories: Annotated[int, Field(ge=1)] = field(
        default=200, metadata=between(20, 1000, log=True, kinds=("categorical",))
    )
    features: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBlock:
    """One column of texts and one way to cut it into terms."""

    column: str
    vectorizer: Vectorizer


@dataclass(frozen=True, kw_only=True)
class LinearModel:
    """A fitted `linear` candidate.

    `derived` makes further columns, and `trend` is what was taken off the target; None: there is none. `alone` answers
    rows that lack the history that `derived` needs.
    """

    signature: Signature
    chosen: Mapping[str, Any]
    blocks: tuple[TextBlock, ...]
    table: LinearTable
    head: LinearHead
    derived: Derived | None = None
    trend: Trend | None = None
    alone: "LinearModel | None" = None

    @cached_property
    def _reader(self) -> RowReader:
        return RowReader(self.signature, wanted=self.derived is None and self.trend is None)

    @cached_property
    def _numbers(self) -> NumberReader | None:
        plain_numbers = not self.blocks and not self.table.codes and self.derived is None and self.trend is None
        return NumberReader(self.signature) if plain_numbers else None

    def predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> Predictions | None:
        """See `bakeoff.core.protocols.RowWise`."""
        x_nd = None if self._numbers is None else self._numbers(rows)
        if x_nd is not None:
            return self.predict_numbers(x_nd)
        return self._of(self._reader(rows[0])) if len(rows) == 1 else None

    def predict_numbers(self, x_nd: _Floats) -> Predictions | None:
        """See `bakeoff.core.protocols.NumberWise`."""
        filled_nd = None if self._numbers is None else self._numbers.filled(x_nd)
        return None if filled_nd is None else self.head(self.table.of_numbers(filled_nd))

    def _of(self, row: Row | None) -> Predictions | None:
        return None if row is None else self.head(_encode_row(row, self.blocks, self.table))

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        if (single := self._of(self._reader.of(table))) is not None:
            return single
        table = plain(complete(table, self.signature), self.signature.inputs)
        return answered(table, self.derived, self.alone, self._answers)

    def _answers(self, table: "pl.DataFrame") -> Predictions:
        table = self.derived(table) if self.derived else table
        answers = self.head(_encode(table, self.blocks, self.table))
        return _restored(answers, self.trend, self.trend.level(table) if self.trend else None)

    @property
    def rows_before(self) -> int:
        """See `bakeoff.core.protocols.LookingBack`."""
        return self.derived.rows_before if self.derived else 0

    def losses(self) -> tuple[Loss, ...]:
        """See `bakeoff.core.protocols.Losing`."""
        return self.derived.losses() if self.derived else ()

    def attribute(self, table: "pl.DataFrame", *, words: bool = False) -> Attribution:
        """See `bakeoff.core.attribution.Attributing`; coefficients times features, exactly."""
        table = plain(complete(table, self.signature), self.signature.inputs)
        return attributed(table, self.derived, self.alone, lambda rows: self._attribution(rows, words=words))

    def _attribution(self, table: "pl.DataFrame", *, words: bool) -> Attribution:
        table = self.derived(table) if self.derived else table
        names = tuple(column.name for column in self.signature.inputs)
        origins = self.derived.origins if self.derived else {}
        coef_dk, base_k = centred(self.head.coef_dk), centred(self.head.intercept_k)
        adds_nck = np.zeros((len(table), len(names), coef_dk.shape[1]))
        by_word: list[dict[tuple[str, str], _Floats]] = [{} for _ in range(len(table))]
        first = 0
        for block in self.blocks:
            read = texts(table, block.column)
            weight_nd = block.vectorizer(read)
            block_dk = coef_dk[first : first + weight_nd.shape[1]]
            adds_nck[:, names.index(block.column)] += np.asarray(weight_nd @ block_dk)
            for row, text in enumerate(read if words else ()):
                part = weight_nd[[row]]
                weights = dict(zip(part.indices.tolist(), part.data.tolist(), strict=True))
                for word, adds_k in words_of(block.column, text, block.vectorizer, weights, block_dk).items():
                    by_word[row][word] = by_word[row].get(word, 0.0) + adds_k
            first += weight_nd.shape[1]
        rest_nd, rest_dk = self.table(table), coef_dk[first:]
        for output, coef_d in enumerate(rest_dk.T):
            adds_nck[:, :, output] += by_column(rest_nd * coef_d, self.table.sources, names, origins)
        if self.trend is not None:
            adds_nck = with_level(self.trend, self.trend.level(table), adds_nck, base_k, columns=names, origins=origins)
        how = "coefficients times features"
        known = tuple(by_word) if words and self.blocks else ()
        return Attribution(columns=names, adds_nck=adds_nck, base_k=base_k, how=how, words=known)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        saved.write(folder, LinearFamily.name, self)


class LinearFamily:
    """Builds `LinearModel`s."""

    name = "linear"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = LinearParams
    requires = ("numpy", "scipy", "scikit-learn", "polars")
    imports = ("scipy.sparse",)
    extra: str | None = None
    balances = True
    weighs = True

    def imports_for(self, schema: Schema, classes: int) -> tuple[str, ...]:
        """See `bakeoff.core.protocols.Family`: two classes and numbers over a table are fitted without scikit-learn."""
        texts = any(column.kind == "text" for column in schema.input_columns)
        return ("sklearn.linear_model",) if texts or classes > 2 else ()  # noqa: PLR2004

    def fit(self, job: FitJob) -> LinearModel:
        """See `bakeoff.core.protocols.Family`."""
        return with_alone(plain_job(job), lambda each: _Fit(each).model())

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> LinearModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`."""
        return saved.read(folder, self.name, LinearModel)[0]


def _encode(table: "pl.DataFrame", blocks: tuple[TextBlock, ...], rest: LinearTable) -> Sparse:
    read = {name: texts(table, name) for name in dict.fromkeys(block.column for block in blocks)}
    return _join([block.vectorizer(read[block.column]) for block in blocks], rest(table))


def _encode_row(row: Row, blocks: tuple[TextBlock, ...], rest: LinearTable) -> Any:
    """As `_encode`, of one row."""
    rest_1d = rest.of_row(row)
    if not blocks:
        return rest_1d
    import scipy.sparse as sp

    places: list[Rows] = []
    weights: list[_Floats] = []
    width = 0
    for block in blocks:
        place_t, weight_t = block.vectorizer.of_row(row[block.column] or "")
        places.append(place_t + width)
        weights.append(weight_t)
        width += len(block.vectorizer.terms)
    filled = np.flatnonzero(rest_1d[0])
    index_t = np.concatenate([*places, filled + width])
    data_t = np.concatenate([*weights, rest_1d[0, filled]])
    return sp.csr_array((data_t, index_t, [0, len(index_t)]), shape=(1, width + rest_1d.shape[1]))


def _join(weights: list[Sparse], rest_nd: _Floats) -> Any:
    """Features side by side: sparse when there are texts, else dense."""
    if not weights:
        return rest_nd
    import scipy.sparse as sp

    return sp.hstack([*weights, sp.csr_array(rest_nd)], format="csr")


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Encoders fitted on some rows, those rows encoded, their target, and what their features are scaled by."""

    blocks: tuple[TextBlock, ...]
    table: LinearTable
    derived: Derived | None
    trend: Trend | None
    x_nd: Sparse
    value_n: _Floats
    scale_d: _Floats

    def others(self, table: "pl.DataFrame", value_n: _Floats) -> "_Others":
        """Other rows as features, and their target as the head learns it."""
        table = self.derived(table) if self.derived else table
        x_nd = _encode(table, self.blocks, self.table)
        if self.trend is None:
            return _Others(x_nd=x_nd, value_n=value_n)
        level_n = self.trend.level(table)
        return _Others(x_nd=x_nd, value_n=self.trend.removed(value_n, level_n), level_n=level_n)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Others:
    """Rows that the encoders were not fitted on: their features, target, and level where there is a trend."""

    x_nd: Sparse
    value_n: _Floats
    level_n: _Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """What so many bins give on validation rows, with the penalty that is best for them."""

    bins: int
    penalty: float
    head: LinearHead
    fitted: _Fitted
    others: _Others
    loss: float


def _restored(answers: Predictions, trend: Trend | None, level_n: _Floats | None) -> Predictions:
    """Answers about a target without its trend, as those about the target itself."""
    if trend is None or level_n is None:
        return answers
    return replace(answers, values_n=trend.restored(answers.values_n.astype(np.float64), level_n))


def _carried(old: _Fitted, head: LinearHead, new: _Fitted) -> LinearHead:
    """A head for new encoders that weighs terms as the old one does, and all else not at all: where to start from."""
    if not new.blocks and new.x_nd.shape[1] == old.x_nd.shape[1]:
        return head  # the same pieces of the same numbers, at about the same places
    coef_dk = np.zeros((new.x_nd.shape[1], head.coef_dk.shape[1]))
    old_at = new_at = 0
    for before, block in zip(old.blocks, new.blocks, strict=True):
        place = {term: old_at + i for i, term in enumerate(before.vectorizer.terms)}
        shared = [(new_at + i, place[term]) for i, term in enumerate(block.vectorizer.terms) if term in place]
        to_d, from_d = np.array(shared, dtype=np.int64).reshape(-1, 2).T
        coef_dk[to_d] = head.coef_dk[from_d]
        old_at, new_at = old_at + len(before.vectorizer.terms), new_at + len(block.vectorizer.terms)
    return LinearHead(coef_dk=coef_dk, intercept_k=head.intercept_k, classes=head.classes)


class _Fit:
    """One fit: counts terms once, then encodes and fits training rows, and training with validation rows."""

    def __init__(self, job: FitJob) -> None:
        self.job = job
        self._deadline = Deadline(job)
        self.params: LinearParams = job.params
        self._bins = int(given(job, "bins")["bins"])
        self.columns = input_columns(job)
        self.target = Target.of(job)
        wanted, deadline = self.params.features, self._deadline
        self.derivation = Derivation(job, self.target, self.columns, "linear", wanted=wanted, deadline=deadline)
        self.spec = HeadSpec.of(job, self.target.classes)
        self.counts = TermCounts.of_columns(self.target.table, self.columns, job.progress)

    def model(self) -> LinearModel:
        penalty, chosen = self._penalty()
        rows = self.target.split(whole=True)
        fitted = self._encode(rows, self.derivation.fit(len(rows)), self._bins)
        start = _carried(*chosen, fitted) if chosen else None
        plainer = {} if self._bins == self.params.bins else {"bins": self._bins}
        self.job.progress(f"fitting {fitted.x_nd.shape[0]} rows, {fitted.x_nd.shape[1]} features")
        return LinearModel(
            signature=Signature(task=self.job.task, inputs=self.columns, classes=self.target.classes),
            chosen={"penalty": penalty, **plainer, **self.derivation.chosen},
            blocks=fitted.blocks,
            table=fitted.table,
            head=self.spec.fit(
                fitted.x_nd, fitted.value_n, penalty, fitted.scale_d, start=start, weight_n=self.target.weight_n
            ),
            derived=fitted.derived,
            trend=fitted.trend,
        )

    def _penalty(self) -> "tuple[float, tuple[_Fitted, LinearHead] | None]":
        """The penalty, and when it was chosen here, the encoders and the head that it was chosen with."""
        penalty = given(self.job, "penalty")["penalty"]
        if penalty is not None:
            return float(penalty), None
        rows = self.target.split(whole=False)
        made = self.derivation.fit(len(rows))
        tried = [self._best_of(bins, rows, made) for bins in in_time(self._curves(len(rows)), self._deadline, "bins")]
        best = min(tried, key=lambda each: each.loss)
        self._bins, fitted, others = best.bins, best.fitted, best.others
        if len(tried) > 1:
            self.job.progress(f"bins {best.bins} chosen: validation loss {best.loss:.5f}")
        self.spec, head = answering(
            self.job,
            self.spec,
            best.head,
            lambda each: _restored(each(others.x_nd), fitted.trend, others.level_n),
            train=(fitted.x_nd, fitted.value_n),
            penalty=best.penalty,
            scale_d=fitted.scale_d,
        )
        return best.penalty, (fitted, head)

    def _curves(self, rows: int) -> tuple[int, ...]:
        """How many pieces a number's curve may have, the most first."""
        most = self.params.bins
        numbers = any(column.kind == "numeric" for column in self.columns) and not self.target.classes
        plainer = FEWER_BINS if numbers and not self.counts and rows < FEW_ROWS else ()
        return (most, *(bins for bins in plainer if bins < most))

    def _best_of(self, bins: int, rows: Rows, made: Encoding) -> _Tried:
        fitted = self._encode(rows, made, bins)
        others = fitted.others(self.target.table[len(rows) :], self.target.value_n[len(rows) :])
        penalty, head = best_penalty(
            self.spec,
            fitted.x_nd,
            fitted.value_n,
            fitted.scale_d,
            validation=(others.x_nd, others.value_n),
            grid=TEXT_GRID if self.counts else TABLE_GRID,
            deadline=self._deadline,
        )
        loss = validation_loss(self.spec, head(others.x_nd), others.value_n)
        return _Tried(bins=bins, penalty=penalty, head=head, fitted=fitted, others=others, loss=loss)

    def _encode(self, rows: Rows, made: Encoding, bins: int) -> _Fitted:
        """Features of these rows, of which `made` has the derived columns, with so many pieces of a number's curve."""
        params = self.params
        blocks: list[TextBlock] = []
        weights: list[Sparse] = []
        for column, counts in self.counts:
            vectorizer, weight = counts.vectorizer(rows, min_rows=params.min_rows, most=params.max_terms)
            blocks.append(TextBlock(column=column, vectorizer=vectorizer))
            weights.append(weight)
        table, rest_nd = LinearTable.fit(
            made.table,
            made.columns,
            self.target.columns(rows),
            bins=bins,
            most=params.max_categories,
            seed=self.job.seed,
        )
        value_n = self.target.value_n[rows]
        # Of a scaled trend the rows keep equal weights: what grows errs in proportion, and a straight line that follows
        # the largest rows alone is worse for all of them (docs/benchmarks.md). Trees, which are not, take its weights.
        scales = [class_ratios(weight, value_n, len(self.target.classes)) for weight in weights]
        return _Fitted(
            blocks=tuple(blocks),
            table=table,
            derived=made.derived,
            trend=made.trend,
            x_nd=_join(weights, rest_nd),
            value_n=made.trend.removed(value_n, made.trend.level(made.table)) if made.trend else value_n,
            scale_d=np.concatenate([*scales, np.ones(rest_nd.shape[1])]),
        )


def class_ratios(weight_nd: Sparse, value_n: _Floats, n_classes: int) -> _Floats:
    """The largest |log ratio| of each term's share in a class to its share in the others (d,); 1 for regression."""
    if not n_classes:
        return np.ones(weight_nd.shape[1])
    total_d = np.asarray(weight_nd.sum(axis=0)).ravel()
    largest_d = np.zeros(weight_nd.shape[1])
    for position in range(n_classes):
        inside_d = np.asarray(weight_nd[np.flatnonzero(value_n == position)].sum(axis=0)).ravel() + 1
        outside_d = total_d - inside_d + 2
        ratio_d = np.log(inside_d / inside_d.sum()) - np.log(outside_d / outside_d.sum())
        largest_d = np.maximum(largest_d, np.abs(ratio_d))
    return largest_d
