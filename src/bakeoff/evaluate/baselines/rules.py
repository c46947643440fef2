"""What a baseline is made of, and the rules that answer every row alike: majority, prior, mean, median."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions, Schema, Task
from bakeoff.metrics.costs import Costs, answered_by_cost
from bakeoff.results.baseline import Stops

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Answers", "BaselineData", "BaselineRule", "Rows", "Side", "constants", "fallback", "with_right_share"]

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Row numbers: those that are `asked` about, those to learn from, and those whose truth is known in its time.

    `known` rows are looked at only as far before a row as a rule says.
    """

    asked: Rows
    learn: Rows
    known: Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a rule says of the rows that are asked about, and of which of them it knew nothing (a mask)."""

    predictions: Predictions
    unknown_n: NDArray[np.bool_]

    @classmethod
    def whole(cls, predictions: Predictions) -> "Answers":
        """Of a rule that always knows what to say."""
        return cls(predictions=predictions, unknown_n=np.zeros(len(predictions), dtype=np.bool_))


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRule:
    """A rule: its name, what it answers in plain words, and the function that does; the rest as `Baseline` has it."""

    name: str
    rule: str
    answer: Callable[[Side], Answers]
    needs: str | None = None
    lag_s: float = 0.0
    stops: Stops = "equal"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineData:
    """The prepared table, its truth, and what the project asks for.

    `truth_n` holds positions in `classes` for classification, numbers for regression, texts for generation. `levels`
    are those of the quantiles that the project's metrics read.
    """

    task: Task
    schema: Schema
    table: "pl.DataFrame"
    truth_n: NDArray[Any]
    classes: tuple[str, ...] = ()
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Any])
    levels: tuple[str, ...] = ()
    seed: int = 0

    @classmethod
    def of(cls, table: "pl.DataFrame", schema: Schema, task: Task, **more: Any) -> "BaselineData":
        """Read the truth of a prepared table."""
        import polars as pl

        target = table[schema.target]
        if task == "regression":
            return cls(task=task, schema=schema, table=table, truth_n=target.cast(pl.Float64).to_numpy(), **more)
        texts = target.cast(pl.String).fill_null("").to_numpy()
        if task == "generation":
            return cls(task=task, schema=schema, table=table, truth_n=texts, **more)
        classes, code_n = np.unique(texts.astype(np.str_), return_inverse=True)
        return cls(
            task=task, schema=schema, table=table, truth_n=code_n.astype(np.int64), classes=tuple(classes), **more
        )

    def prior(self, learn: Rows) -> NDArray[np.float64]:
        """The share of each class among these rows (k,)."""
        counts_k = np.bincount(self.truth_n[learn], minlength=len(self.classes))
        return counts_k / max(1, counts_k.sum())

    def of_codes(self, code_n: NDArray[np.int64]) -> NDArray[np.str_]:
        """Names of classes."""
        return np.asarray(self.classes, dtype=np.str_)[code_n]


def constants(data: BaselineData) -> list[BaselineRule]:
    """The rules that say the same of every row."""
    if data.task == "regression":
        return [
            BaselineRule(name="mean value", rule="the mean of the training rows", answer=_of(data, np.mean)),
            BaselineRule(name="median value", rule="the median of the training rows", answer=_of(data, np.median)),
        ]
    if data.task == "generation":
        return [_one_text(data)]
    prior = "the share of each class among the training rows; " + (
        "the answer that costs least by them" if data.costs else "the most frequent one is the answer"
    )
    return [
        BaselineRule(
            name="majority class",
            rule="the most frequent class of the training rows, without probabilities",
            answer=lambda side: Answers.whole(Predictions(values_n=_majority(data, side))),
        ),
        BaselineRule(name="class prior", rule=prior, answer=lambda side: Answers.whole(_prior(data, side))),
    ]


def _majority(data: BaselineData, side: Side) -> NDArray[np.str_]:
    return data.of_codes(np.full(len(side.asked), data.prior(side.learn).argmax(), dtype=np.int64))


def _prior(data: BaselineData, side: Side) -> Predictions:
    shares_nk = np.tile(data.prior(side.learn), (len(side.asked), 1))
    predictions = Predictions.of_probabilities(shares_nk, data.classes)
    if not data.costs:
        return predictions
    return answered_by_cost(predictions, Costs(by_class=data.costs).matrix(data.classes))


def _of(data: BaselineData, middle: Callable[[Any], Any]) -> Callable[[Side], Answers]:
    def answer(side: Side) -> Answers:
        learned_n, rows = data.truth_n[side.learn], len(side.asked)
        scores = {level: np.full(rows, np.quantile(learned_n, float(level))) for level in data.levels}
        return Answers.whole(Predictions(values_n=np.full(rows, float(middle(learned_n))), scores=scores))

    return answer


def _one_text(data: BaselineData) -> BaselineRule:
    """The most frequent answer, where one comes again; else an empty one."""
    texts, count_n = np.unique(data.truth_n.astype(np.str_), return_counts=True)
    if len(texts) and count_n.max() > 1:
        return BaselineRule(
            name="most frequent answer",
            rule="the answer that most training rows have",
            answer=lambda side: Answers.whole(_texts_of(_most_frequent(data.truth_n[side.learn]), len(side.asked))),
        )
    return BaselineRule(
        name="empty answer", rule="nothing", answer=lambda side: Answers.whole(_texts_of("", len(side.asked)))
    )


def _most_frequent(texts_n: NDArray[Any]) -> str:
    texts, count_n = np.unique(texts_n.astype(np.str_), return_counts=True)
    return str(texts[count_n.argmax()])


def _texts_of(text: str, rows: int) -> Predictions:
    values_n = np.empty(rows, dtype=object)
    values_n[:] = text
    return Predictions(values_n=values_n)


def fallback(data: BaselineData, learn: Rows) -> Any:
    """What is said where a rule knows nothing: the majority (a code), the mean, the most frequent text."""
    if data.task == "classification":
        return int(data.prior(learn).argmax())
    return float(data.truth_n[learn].mean()) if data.task == "regression" else _most_frequent(data.truth_n[learn])


def with_right_share(
    data: BaselineData, side: Side, code_n: NDArray[np.int64], right: float, unknown_n: NDArray[np.bool_]
) -> Predictions:
    """Classes with probabilities: the answer has the share of training rows of which the rule was `right`.

    The other classes share the rest as they do among training rows; where the rule knew nothing, all are the prior.
    """
    prior_k = data.prior(side.learn)
    other_nk = np.tile(prior_k, (len(code_n), 1))
    other_nk[np.arange(len(code_n)), code_n] = 0.0
    sum_n = other_nk.sum(axis=1, keepdims=True)
    even = 1.0 / max(1, len(prior_k) - 1)
    other_nk = np.divide(other_nk, sum_n, out=np.full_like(other_nk, even), where=sum_n > 0)
    shares_nk = (1.0 - right) * other_nk
    shares_nk[np.arange(len(code_n)), code_n] = right if len(prior_k) > 1 else 1.0
    shares_nk[unknown_n] = prior_k
    shares_nk /= shares_nk.sum(axis=1, keepdims=True)
    return Predictions(values_n=data.of_codes(code_n), probabilities_nk=shares_nk, classes=data.classes)


def joined(parts: Sequence[tuple[Side, Answers]]) -> tuple[Rows, Answers]:
    """The answers of all sides in the order of the rows, with the rows' numbers."""
    rows_n = np.concatenate([side.asked for side, _ in parts])
    order = np.argsort(rows_n, kind="stable")
    every = [each.predictions for _, each in parts]

    def together(arrays: Sequence[Any]) -> Any:
        return np.concatenate(arrays)[order]

    first = every[0]
    predictions = Predictions(
        values_n=together([each.values_n for each in every]),
        probabilities_nk=None
        if first.probabilities_nk is None
        else together([each.probabilities_nk for each in every]),
        classes=first.classes,
        scores={name: together([each.scores[name] for each in every]) for name in first.scores},
    )
    unknown_n = together([each.unknown_n for _, each in parts])
    return rows_n[order], Answers(predictions=predictions, unknown_n=unknown_n)
