"""The statistics without a project: `bakeoff.interval` and `bakeoff.compare`, as runs use them."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, TypeAlias

from bakeoff.config.sections import DecideConfig
from bakeoff.core.errors import UsageError
from bakeoff.evaluate.arrays import (
    BINARY,
    ColumnLike,
    PredictionsLike,
    column,
    complete,
    is_table,
    labels,
    numbers,
    predictions_of,
    some,
    times,
)
from bakeoff.evaluate.decide.paired import Comparison, measure_named
from bakeoff.evaluate.decide.verdict import decide
from bakeoff.evaluate.findings.dependence import errors_of, serial
from bakeoff.evaluate.score.estimates import ScoredRows, estimate
from bakeoff.metrics.catalogue import EXPECTED_COST
from bakeoff.metrics.costs import ExpectedCost
from bakeoff.metrics.custom import costs_in_use, using
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.intervals import LEVEL, Interval
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.names import MetricName
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.rare import ONE_CLASS, ONE_CURVE, class_of, why_undefined
from bakeoff.metrics.registry import find, with_class
from bakeoff.results.scorecard import Scorecard

__all__ = ["Decision", "ErrorCosts", "compare", "interval", "of_second_class", "reason_undefined", "truth_of"]

ErrorCosts: TypeAlias = Mapping[Any, Mapping[Any, float]]
"""Costs by true class, then predicted class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Which candidate to take, and how sure that is.

    `winner` is the cheapest of the `best_set` (those shown to be within the `margin` of every other), or the best where
    no costs are given; `reason` says why in words. `p_best` is how probable it is that each is truly the best,
    `expected_loss` how much worse than the best it is expected to be, and `p_worse` how probable it is that this is
    more than the margin; `rows_to_settle` would show four times in five that the winner's is not. `values` are the
    candidates' with their intervals, the winner's without what its choice flatters it by. `differences` are those of
    all others from the best, with intervals that hold all at once. `detectable` is the least true difference that is
    shown four times in five.
    """

    winner: str | None
    reason: str
    best: str | None
    best_set: tuple[str, ...]
    margin: float
    p_best: Mapping[str, float]
    expected_loss: Mapping[str, float]
    p_worse: Mapping[str, float]
    values: Mapping[str, Interval]
    differences: tuple[Comparison, ...]
    detectable: float | None
    rows_for_margin: int | None
    rows_to_settle: int | None


def interval(
    truth: ColumnLike,
    predictions: PredictionsLike,
    *,
    metric: str,
    groups: ColumnLike | None = None,
    time: ColumnLike | None = None,
    error_costs: ErrorCosts | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """A metric's value with its interval, by the method that the data ask for.

    Where too little is known, `low` and `high` are None and `reason` says what is missing. Without groups or time a
    warning is given when rows next to each other are right or wrong together.

    Args:
        truth: a label, number or text for each row.
        predictions: the same, or a table with a column of probabilities for each class (or, of two classes, a column
            of the second one's).
        metric: the metric's name, as `[decide] metric` takes it.
        groups: rows of a group (a user, a document) go together; None and NaN are groups of their own.
        time: rows that are close in time may go together.
        error_costs: what errors cost, by true and predicted class, for `expected_cost`; "*" is every other class.
        level: the share of such intervals that hold the true value.
        seed: of whatever is drawn.

    Raises:
        NotFoundError: no task has this metric.
        DataError: columns of different lengths, or predictions that the metric cannot read.

    >>> found = interval([1, 0] * 5, [1, 0] * 5, metric="accuracy")
    >>> found.value, round(found.low or 0, 3), found.high, found.method
    (1.0, 0.741, 1.0, 'mid-p')
    """
    _check_number(level, "a level between 0 and 1", lambda value: 0 < value < 1)
    _check_seed(seed)
    measure = _measure(metric, error_costs)
    truth_n = truth_of(truth, measure)
    measure = of_second_class(measure, truth_n, [predictions])
    result = outcome(truth_n, predictions_of(predictions, truth_n, measure, "the predictions"), measure.task)
    _check_errors(measure, result)
    dependence = _dependence(len(result), groups, time)
    if dependence.independent:
        _warn_of_order(result)
    found = estimate(measure, ScoredRows(outcome=result, dependence=dependence, level=level, seed=seed))
    if found is None:
        return Interval(value=float("nan"), reason=reason_undefined(measure, result))
    return found


def compare(
    truth: ColumnLike,
    predictions: Mapping[str, PredictionsLike],
    *,
    metric: str,
    margin: float | None = None,
    confidence: float | None = None,
    groups: ColumnLike | None = None,
    time: ColumnLike | None = None,
    cost_usd: Mapping[str, float] | None = None,
    error_costs: ErrorCosts | None = None,
    seed: int = 0,
) -> Decision:
    """Decide between candidates by their predictions of the same rows.

    Args:
        truth: a label, number or text for each row.
        predictions: by the candidate's name, as `interval` takes them.
        metric: the metric's name.
        margin: how much worse counts as no worse; a default by the metric (0.01, or 2% of the best value).
        confidence: name a winner only where it is shown, with this confidence, that it is worse than no other by more
            than the margin; without one the best is always named, and `p_worse` says how probably it is wrong.
        groups: rows of a group go together.
        time: rows that are close in time may go together.
        cost_usd: what a candidate costs, for any number of predictions, the same for all.
        error_costs: as `interval` takes them.
        seed: of whatever is drawn.

    Raises:
        NotFoundError: no task has this metric.
        UsageError: no candidates, costs of others, or a margin or confidence that is none.
        DataError: columns of different lengths, or predictions that the metric cannot read.

    >>> truth = [0, 1] * 100
    >>> found = compare(truth, {"good": truth, "poor": [0] * 200}, metric="accuracy", cost_usd={"good": 2, "poor": 1})
    >>> found.winner, found.p_best["good"]
    ('good', 1.0)
    """
    predictions = _by_name(predictions)
    _check_costs(cost_usd, list(predictions))
    if margin is not None:
        _check_number(margin, "a margin of 0 or more", lambda value: 0 <= value < math.inf)
    if confidence is not None:
        _check_number(confidence, "a confidence between 0.5 and 1", lambda value: 0.5 < value < 1)  # noqa: PLR2004
    _check_seed(seed)
    measure = _measure(metric, error_costs)
    truth_n = truth_of(truth, measure)
    measure = of_second_class(measure, truth_n, list(predictions.values()))
    answers = {
        name: predictions_of(each, truth_n, measure, f"the predictions of {name!r}")
        for name, each in predictions.items()
    }
    dependence = _dependence(len(truth_n), groups, time)
    if dependence.independent:
        _warn_of_order(outcome(truth_n, next(iter(answers.values())), measure.task))
    outcomes = {name: outcome(truth_n, each, measure.task) for name, each in answers.items()}
    for each in outcomes.values():
        _check_errors(measure, each)
    cards = {
        name: _card(
            measure,
            ScoredRows(outcome=each, dependence=dependence, seed=seed),
            1.0 if cost_usd is None else cost_usd[name],
        )
        for name, each in outcomes.items()
    }
    with using(None, _texts(error_costs)):
        verdict = decide(
            cards,
            {name: (truth_n, each) for name, each in answers.items()},
            DecideConfig(metric=measure.name, margin=margin, confidence=confidence),
            measure.task,
            seed,
            groups_n=None if groups is None else column(groups, "groups", rows=len(truth_n)),
            time_n=_time(time, len(truth_n)),
        )
    values = {name: each for name, card in cards.items() for each in card.metrics.values()}
    if verdict.winner is not None and verdict.value is not None:
        values[verdict.winner] = verdict.value
    return Decision(
        winner=verdict.winner,
        reason=verdict.reason,
        best=verdict.best,
        best_set=verdict.best_set,
        margin=verdict.margin,
        p_best=MappingProxyType(dict(verdict.p_best)),
        expected_loss=MappingProxyType(dict(verdict.expected_loss)),
        p_worse=MappingProxyType(dict(verdict.p_worse)),
        values=MappingProxyType(values),
        differences=verdict.comparisons,
        detectable=verdict.mdd,
        rows_for_margin=verdict.rows_for_margin,
        rows_to_settle=verdict.rows_to_settle,
    )


def _check_number(value: Any, expected: str, holds: Callable[[float], bool]) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not holds(float(value)):
        raise UsageError(f"expected {expected}; received {value!r}")


def _check_seed(seed: Any) -> None:
    if not isinstance(seed, Integral) or int(seed) < 0:
        raise UsageError(f"expected a seed that is a whole number of 0 or more; received {seed!r}")


def _measure(metric: str, error_costs: ErrorCosts | None) -> Measure:
    if not isinstance(metric, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are not checked
        raise UsageError(f"expected the name of a metric; received {metric!r}")
    with using(None, _texts(error_costs)):
        if metric == EXPECTED_COST and costs_in_use() is None:
            raise UsageError(f"expected error_costs for {metric!r}: what errors cost, by true and predicted class")
        return measure_named(metric)


def _texts(error_costs: ErrorCosts | None) -> Mapping[str, Mapping[str, float]] | None:
    """Costs by classes as texts, which may be given as numbers."""
    if error_costs is None:
        return None
    return {str(true): {str(said): cost for said, cost in row.items()} for true, row in error_costs.items()}


def _check_errors(measure: Measure, result: Outcome) -> None:
    """See that every error has a cost, where costs are what is measured."""
    if isinstance(measure.gather, ExpectedCost):
        measure.gather.costs.check(result.classes, file="bakeoff", key="error_costs")


def reason_undefined(measure: Measure, result: Outcome) -> str:
    """Why a measure has no value on these rows."""
    name = MetricName.parse(measure.name)
    if (
        result.classes
        and name.base in ONE_CLASS | ONE_CURVE
        and name.arguments[:1]
        and class_of(measure, result) is None
    ):
        return f"no row is or is called {name.arguments[0]!r}; the classes are {some(result.classes)}"
    return f"{measure.name} is undefined on these rows ({why_undefined(measure.name)})"


def _by_name(given: Any) -> Mapping[str, PredictionsLike]:
    """Predictions by the candidate's name, also of a table with a column for each."""
    if not isinstance(given, Mapping):
        if not hasattr(given, "columns"):
            raise UsageError(
                f"expected predictions by the candidate's name, as {{'a': …}}; received {type(given).__name__}"
            )
        given = {str(name): given[name] for name in given.columns}
    if not given:
        raise UsageError("expected predictions of at least one candidate; received none")
    return given


def _check_costs(cost_usd: Mapping[str, float] | None, names: Sequence[str]) -> None:
    if cost_usd is None:
        return
    if set(cost_usd) != set(names):
        raise UsageError(f"expected the costs of {sorted(names)}; received those of {sorted(cost_usd)}")
    wrong = {name: cost for name, cost in cost_usd.items() if not isinstance(cost, Real) or not 0 <= cost < math.inf}
    if wrong:
        raise UsageError(f"expected costs of 0 or more; received {wrong}")


def truth_of(truth: ColumnLike, measure: Measure) -> ColumnLike:
    """The true values as a measure reads them.

    Raises:
        DataError: some are missing, or none of what the measure asks for.
    """
    truth_n = column(truth, "the truth")
    if measure.task == "generation":
        _warn_of_empty(truth_n)
    else:
        truth_n = complete(truth_n, "the truth")
    if measure.task == "regression":
        return numbers(truth_n, "the truth")
    return labels(truth_n) if measure.task == "classification" else truth_n


def of_second_class(measure: Measure, truth_n: ColumnLike, given: Sequence[PredictionsLike]) -> Measure:
    """A measure of one class, of the second of two where columns of its probabilities are given."""
    classes = sorted(set(truth_n.tolist())) if measure.needs == "probabilities" else []
    if len(classes) != BINARY or all(is_table(each) for each in given):
        return measure
    return find(with_class(measure.name, measure.task, classes=classes, positive=classes[1]), measure.task)


def _warn_of_empty(truth_n: ColumnLike) -> None:
    """Warn of true texts that say nothing: no answer is like them."""
    if empty := sum(value is None or not str(value).strip() for value in truth_n.tolist()):
        warnings.warn(f"{empty:,} of {len(truth_n):,} true texts are empty or missing", stacklevel=4)


def _warn_of_order(result: Outcome) -> None:
    """Warn when rows that stand next to each other are right or wrong together, as nobody said."""
    if times := serial(errors_of(result)):
        warnings.warn(
            f"rows next to each other are right or wrong together: intervals should be about {times**0.5:.1f} times as "
            "wide. Pass `time` (when they were made) or `groups` (what they come from).",
            stacklevel=3,
        )


def _dependence(n: int, groups: ColumnLike | None, time: ColumnLike | None) -> Dependence:
    return Dependence.of(
        n,
        groups_n=None if groups is None else column(groups, "groups", rows=n),
        time_n=_time(time, n),
    )


def _time(time: ColumnLike | None, n: int) -> ColumnLike | None:
    return None if time is None else times(complete(column(time, "time", rows=n), "time"), "time")


def _card(measure: Measure, rows: ScoredRows, cost: float) -> Scorecard:
    """A scorecard of the one metric and the price."""
    found = estimate(measure, rows)
    metrics = {} if found is None else {measure.name: found}
    return Scorecard.of_metrics(metrics, n_test=len(rows.outcome), cost_usd_per_1k=cost)
