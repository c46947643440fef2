"""Judge runs by what they logged of the same rows: truth and predictions by any metric, or scores by their mean."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.config.sections import DecideConfig
from bakeoff.core.errors import DataError, UsageError
from bakeoff.core.ledger import Loss
from bakeoff.core.types import Predictions, Task
from bakeoff.evaluate.arrays import predictions_of, times
from bakeoff.evaluate.decide.paired import TASKS, Comparison, Field, measure_named
from bakeoff.evaluate.decide.verdict import LEVEL, decide_by
from bakeoff.evaluate.findings.dependence import errors_of, serial
from bakeoff.evaluate.library import of_second_class, reason_undefined, truth_of
from bakeoff.evaluate.pairing import alike, common_columns
from bakeoff.evaluate.score.estimates import ScoredRows, estimate
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import definitions, find, measures
from bakeoff.metrics.row_scores import mean_of
from bakeoff.metrics.significance import holm
from bakeoff.results.scorecard import Scorecard
from bakeoff.results.verdict import Verdict

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Judgement", "LoggedRows", "Missing", "RowQuestion", "judge_rows"]

Missing: TypeAlias = Literal["refuse", "drop", "wrong"]
TRUTH = ("truth", "target", "targets", "label", "labels", "ground_truth", "expected", "expected_response", "y_true")
PREDICTION = ("predicted", "prediction", "predictions", "output", "outputs", "response", "y_pred")
"""Names by which columns are taken for the truth and the prediction, unless others are named."""
PROBABILITY = ("probability:", "probability_")
GOOD, BAD = frozenset({"yes", "true", "pass", "passed"}), frozenset({"no", "false", "fail", "failed"})
RESAMPLES = 2000
SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRows:
    """The paired rows of one run. `task` is known of those that are outcomes of bakeoff (`outcomes.parquet`)."""

    table: "pl.DataFrame"
    task: Task | None = None
    cost_usd_per_1k: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowQuestion:
    """How runs are judged by their rows.

    Attributes:
        metrics: columns of scores, or metrics of truth and prediction; the first decides.
        truth, prediction: the columns that hold them; known names by default.
        lower: columns of scores of which less is better.
        group, time: the column of what rows belong to, of when they happened.
        missing: what is done where a run has no prediction or score of a row.
        baseline: the run that the winner should be shown to be better than.
        margin: how much worse counts as no worse; a default by the metric.
        confidence: nobody wins unless this is shown with it.
        priced: whether prices count.
        key: by what rows were paired, for messages.
        groups_n, time_n: what is known of how rows go together, beside the columns.
        folds: the rows were tested in so many folds.
        seed: of whatever is drawn.
    """

    metrics: tuple[str, ...] = ()
    truth: str | None = None
    prediction: str | None = None
    lower: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    missing: Missing = "refuse"
    baseline: str | None = None
    margin: float | None = None
    confidence: float | None = None
    priced: bool = False
    key: str = "row"
    groups_n: NDArray[Any] | None = None
    time_n: NDArray[Any] | None = None
    folds: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict and what stands beside it; see `bakeoff.results.judged_runs.JudgedRuns`."""

    metrics: tuple[str, ...]
    values: Mapping[str, Mapping[str, Interval]]
    verdict: Verdict
    rows: int
    lower: tuple[str, ...]
    beside_baseline: tuple[Comparison, ...]
    further: tuple[Comparison, ...]
    groups: int | None
    left_out: tuple[Loss, ...]
    notes: tuple[str, ...]


def judge_rows(runs: Mapping[str, LoggedRows], question: RowQuestion) -> Judgement:
    """Judge runs by their paired rows, as candidates of a bake-off are judged by theirs.

    Raises:
        UsageError: no metric is named and none goes without saying, or a column that is not there.
        DataError: rows that cannot be judged so.
    """
    wanted = question.metrics or (_only_metric(runs),)
    scored = [_scored(runs, metric, question) for metric in dict.fromkeys(wanted)]
    if unknown := set(question.lower) - {each.measure.name for each in scored if each.is_score}:
        raise UsageError(f"lower: expected columns of scores that are judged, received {', '.join(sorted(unknown))}")
    first, *others = scored
    field = first.field(question)
    cards = {
        name: Scorecard.of_metrics(
            {first.measure.name: value}, n_test=first.rows, cost_usd_per_1k=_price(runs[name], question)
        )
        for name, value in first.values(question).items()
    }
    config = DecideConfig(metric=first.measure.name, margin=question.margin, confidence=question.confidence)
    verdict = decide_by(field, cards, config, first.measure.task)
    values = {first.measure.name: {name: card.metrics[first.measure.name] for name, card in cards.items()}}
    if verdict.winner is not None and verdict.value is not None:
        values[first.measure.name][verdict.winner] = verdict.value
    values |= {each.measure.name: each.values(question) for each in others}
    best, grouped = verdict.best or next(iter(runs)), first.dependence(question).group_n
    return Judgement(
        metrics=tuple(each.measure.name for each in scored),
        values=values,
        verdict=verdict,
        rows=first.rows,
        lower=tuple(each.measure.name for each in scored if not each.measure.higher_is_better),
        beside_baseline=_beside(field, question.baseline),
        further=_further(others, best, question),
        groups=None if grouped is None else int(grouped.max()) + 1,
        left_out=tuple(lost for each in scored for lost in each.left_out),
        notes=first.note(question),
    )


def _price(run: LoggedRows, question: RowQuestion) -> float:
    """What 1,000 rows cost; the same for all where prices do not count."""
    if not question.priced:
        return 1.0
    assert run.cost_usd_per_1k is not None
    return run.cost_usd_per_1k


def _beside(field: Field, baseline: str | None) -> tuple[Comparison, ...]:
    """All others against the baseline, with intervals that hold at once with those of all other pairs."""
    if baseline is None:
        return ()
    names = list(field.values)
    pairs = [(a, b) for a in names for b in names if a != b and (b == baseline or (a < b and a != baseline))]
    return tuple(each for each in field.together(pairs) if each.versus == baseline)


def _further(scored: "Sequence[_Scored]", best: str, question: RowQuestion) -> tuple[Comparison, ...]:
    """All others against the best, in metrics that decide nothing: intervals and p-values hold for all of them at once.

    Within a metric by the largest of the standardised errors, between metrics by Bonferroni.
    """
    known: list[Comparison] = []
    for each in scored:
        pairs = [(name, best) for name in each.predictions if name != best]
        known += each.field(question).together(pairs, level=1 - LEVEL / len(scored))
    adjusted = holm([each.p_value for each in known])
    return tuple(replace(each, p_holm=p) for each, p in zip(known, adjusted, strict=True))


# --- what is judged -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """A metric of the rows that have all that it needs; `rows_n` are their places among the paired rows."""

    measure: Measure
    truth_n: NDArray[Any]
    predictions: Mapping[str, Predictions]
    rows_n: NDArray[Any]
    groups_n: NDArray[Any] | None
    time_n: NDArray[Any] | None
    is_score: bool = False
    left_out: tuple[Loss, ...] = ()

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.truth_n)

    def field(self, question: RowQuestion) -> Field:
        """How the runs stand to each other."""
        return Field(
            self.truth_n,
            self.predictions,
            self.measure,
            seed=question.seed,
            resamples=RESAMPLES,
            groups_n=self.groups_n,
            time_n=self.time_n,
            folds=question.folds,
        )

    def dependence(self, question: RowQuestion) -> Dependence:
        """How the rows go together."""
        return Dependence.of(self.rows, groups_n=self.groups_n, time_n=self.time_n, folds=question.folds)

    def values(self, question: RowQuestion) -> dict[str, Interval]:
        """The metric of each run.

        Raises:
            DataError: it is undefined on these rows.
        """
        dependence = self.dependence(question)
        values: dict[str, Interval] = {}
        for name, each in self.predictions.items():
            result = outcome(self.truth_n, each, self.measure.task)
            value = estimate(self.measure, ScoredRows(outcome=result, dependence=dependence, seed=question.seed))
            if value is None:
                raise DataError(f"{name}: {reason_undefined(self.measure, result)}")
            values[name] = value
        return values

    def note(self, question: RowQuestion) -> tuple[str, ...]:
        """That rows next to each other are right or wrong together, where they are, and nobody named how."""
        if not self.dependence(question).independent:
            return ()
        first = next(iter(self.predictions.values()))
        if self.is_score:
            error_n = first.scores[self.measure.name]
        else:
            error_n = errors_of(outcome(self.truth_n, first, self.measure.task))
        widening = serial(error_n)
        if widening is None:
            return ()
        wide = f"intervals should be about {widening**0.5:.1f} times as wide"
        how = "name what rows belong to (--group), or when they happened (--time)"
        return (f"rows next to each other are right or wrong together: {wide}; {how}",)


def _scored(runs: Mapping[str, LoggedRows], metric: str, question: RowQuestion) -> _Scored:
    columns = common_columns({name: run.table for name, run in runs.items()})
    ours = all(run.task is not None for run in runs.values())
    if metric in columns and not (ours and _in_catalogue(metric)):
        return _of_scores(runs, metric, question)
    if not _in_catalogue(metric):
        raise UsageError(_nothing_called(runs, metric))
    return _of_predictions(runs, metric, question)


def _in_catalogue(metric: str) -> bool:
    base = metric.partition("[")[0].strip()
    return any(base in definitions(task) or base in measures(task) for task in TASKS)


def _nothing_called(runs: Mapping[str, LoggedRows], metric: str) -> str:
    having = [name for name, run in runs.items() if metric in run.table.columns]
    if having:
        lacking = ", ".join(name for name in runs if name not in having)
        return f"expected a column {metric!r} in the rows of every run; {lacking} has none"
    return f"expected {_choices(runs)}; received {metric!r}"


def _choices(runs: Mapping[str, LoggedRows]) -> str:
    """What runs can be judged by, in words."""
    scores = ", ".join(_score_columns(runs)[:SHOWN])
    named = "a metric of truth and prediction, such as accuracy, f1_macro, rmse or exact_match"
    return f"a column of scores in all runs ({scores}), or {named}" if scores else named


def _only_metric(runs: Mapping[str, LoggedRows]) -> str:
    """The one column of scores that all runs have.

    Raises:
        UsageError: there is none, or several.
    """
    known = _score_columns(runs)
    if len(known) == 1:
        return known[0]
    raise UsageError(f"name what decides by --metric: {_choices(runs)}")


def _score_columns(runs: Mapping[str, LoggedRows]) -> list[str]:
    """Columns of numbers, booleans, or yes and no that all have, and that are no truth, prediction or number of row."""
    tables = {name: run.table for name, run in runs.items()}
    none = {*TRUTH, *PREDICTION, "row", "id", "index"}

    def is_score(column: "pl.Series") -> bool:
        return column.dtype.is_numeric() or _yes_no(column) is not None

    return [
        name
        for name in common_columns(tables)
        if name.lower() not in none
        and not name.startswith((*PROBABILITY, "score:"))
        and all(is_score(table[name]) for table in tables.values())
    ]


def _yes_no(column: "pl.Series") -> "pl.Series | None":
    """Booleans, or texts that are yes or no, as 1 and 0; None for others."""
    import polars as pl

    if column.dtype == pl.Boolean:
        return column.cast(pl.Float64)
    if column.dtype != pl.String or not column.drop_nulls().len():
        return None
    words = column.str.strip_chars().str.to_lowercase()
    if not words.drop_nulls().is_in([*GOOD, *BAD]).all():
        return None
    return words.is_in(list(GOOD)).cast(pl.Float64)


def _of_scores(runs: Mapping[str, LoggedRows], metric: str, question: RowQuestion) -> _Scored:
    """The mean of a column."""
    import polars as pl

    columns: dict[str, pl.Series] = {}
    for name, run in runs.items():
        given = run.table[metric]
        words = _yes_no(given)
        if words is None and not given.dtype.is_numeric():
            shown = given.drop_nulls().head(1).to_list()
            raise DataError(f"{name}: expected {metric!r} to hold numbers, or yes and no; received {shown}")
        columns[name] = (given if words is None else words).cast(pl.Float64).fill_nan(None)
        if columns[name].is_infinite().any():
            raise DataError(f"{name}: expected finite scores in {metric!r}, received infinite ones")
    share = all(each.drop_nulls().is_in([0.0, 1.0]).all() for each in columns.values())
    higher = metric not in question.lower
    measure = mean_of(metric, higher_is_better=higher, share=share)
    rows = len(next(iter(columns.values())))
    wrong = pl.repeat(0.0 if higher else 1.0, rows, dtype=pl.Float64, eager=True) if share else None
    columns, rows_n, lost = _complete(columns, metric, question, wrong=wrong)
    texts_n = np.full(len(rows_n), "", dtype=object)
    predictions = {
        name: Predictions(values_n=texts_n, scores={metric: each.to_numpy()}) for name, each in columns.items()
    }
    return _together(
        runs,
        question,
        measure,
        truth_n=texts_n,
        predictions=predictions,
        rows_n=rows_n,
        left_out=lost,
        is_score=True,
    )


def _of_predictions(runs: Mapping[str, LoggedRows], metric: str, question: RowQuestion) -> _Scored:
    """A metric of truth and prediction."""
    tasks: set[Task] = {run.task for run in runs.values() if run.task is not None}
    task = next(iter(tasks)) if len(tasks) == 1 else None
    measure = measure_named(metric) if task is None else find(metric, task)
    truth = _truth(runs, question)
    named = {
        name: "predicted" if run.task else _column(run.table, question.prediction, PREDICTION, "prediction", name)
        for name, run in runs.items()
    }
    columns = {name: run.table[named[name]] for name, run in runs.items()}
    known_n = truth.is_not_null().to_numpy()
    columns = {name: each.filter(truth.is_not_null()) for name, each in columns.items()}
    wrong = _wrong(truth.drop_nulls(), measure.task)
    columns, inside_n, lost = _complete(columns, "prediction", question, wrong=wrong)
    rows_n = np.flatnonzero(known_n)[inside_n]
    if not known_n.all():
        reason, subject = "no true value", next(iter(runs))
        lost = (*lost, Loss(kind="row", reason=reason, subject=subject, count=int((~known_n).sum()), of=len(known_n)))
    truth_n = truth_of(truth[rows_n].to_numpy(), measure)
    tables = {name: run.table[rows_n].with_columns(columns[name].alias(named[name])) for name, run in runs.items()}
    measure = of_second_class(measure, truth_n, [each[named[name]] for name, each in tables.items()])
    predictions = {
        name: _read(table, named[name], truth_n, measure, name, ours=runs[name].task is not None)
        for name, table in tables.items()
    }
    return _together(runs, question, measure, truth_n=truth_n, predictions=predictions, rows_n=rows_n, left_out=lost)


def _wrong(truth: "pl.Series", task: Task) -> "pl.Series | None":
    """A wrong answer to each row: no text, or the commonest other class; None where there is none, as of numbers."""
    import polars as pl

    if task == "regression":
        return None
    if task == "generation" or truth.n_unique() == 1:
        return pl.Series([""] * len(truth))
    first, second = truth.value_counts(sort=True).sort("count", truth.name, descending=[True, False])[truth.name][:2]
    return pl.select(pl.when(truth == first).then(pl.lit(second)).otherwise(pl.lit(first))).to_series()


def _read(
    table: "pl.DataFrame", column: str, truth_n: NDArray[Any], measure: Measure, name: str, *, ours: bool
) -> Predictions:
    """The predictions of a table, in the form that measures read."""
    if ours:
        from bakeoff.evaluate.score.worker import read_outcomes

        return read_outcomes(table)[1]
    shares = {
        each.removeprefix(prefix): table[each].to_numpy()
        for each in table.columns
        for prefix in PROBABILITY
        if each.startswith(prefix)
    }
    given: Any = shares if measure.needs == "probabilities" and shares else table[column]
    with warnings.catch_warnings():
        # Labels that are never true are a run's own fault, and are counted as such.
        warnings.simplefilter("ignore")
        return predictions_of(given, truth_n, measure, f"the predictions of {name!r}")


def _truth(runs: Mapping[str, LoggedRows], question: RowQuestion) -> "pl.Series":
    """The true values, which are the same in all runs."""
    truths: dict[str, pl.DataFrame] = {}
    for name, run in runs.items():
        column = "truth" if run.task else _column(run.table, question.truth, TRUTH, "truth", name)
        truths[name] = run.table.select(run.table[column].alias("truth"))
    values = alike(truths, "truth", "truth", question.key)
    assert values is not None
    return values


def _column(table: "pl.DataFrame", wanted: str | None, known: Sequence[str], what: str, run: str) -> str:
    """The column that holds something: the one that was named, or the only one with a known name.

    Raises:
        UsageError: there is none, or several.
    """
    names = [each for each in table.columns if (each == wanted if wanted else each.lower() in known)]
    if len(names) == 1:
        return names[0]
    expected = f"a column {wanted!r}" if wanted else f"one column of {', '.join(known)}"
    received = ", ".join(names or table.columns[:SHOWN])
    raise UsageError(f"expected {expected} in the rows of {run}, received {received}: name it by --{what}")


def _complete(
    columns: "Mapping[str, pl.Series]", what: str, question: RowQuestion, *, wrong: "pl.Series | None"
) -> "tuple[dict[str, pl.Series], NDArray[Any], tuple[Loss, ...]]":
    """The columns without what some lack, the places of what is left, and what was left out.

    Raises:
        DataError: a run lacks some, and nobody said what that means; or nothing is left.
    """
    lacking = {name: int(each.null_count()) for name, each in columns.items() if each.null_count()}
    rows = len(next(iter(columns.values())))
    if not lacking:
        return dict(columns), np.arange(rows), ()
    counts = ", ".join(f"{name} has none in {count:,} of {rows:,} paired rows" for name, count in lacking.items())
    if question.missing == "wrong" and wrong is not None:
        return {name: each.zip_with(each.is_not_null(), wrong) for name, each in columns.items()}, np.arange(rows), ()
    if question.missing != "drop":
        as_wrong = "count such rows as wrong by --missing wrong, or " if wrong is not None else ""
        raise DataError(
            f"expected a {what} of every row: {counts}. A run must not gain by what it leaves open: {as_wrong}leave "
            "these rows out for all runs by --missing drop"
        )
    there_n = np.ones(rows, dtype=bool)
    for each in columns.values():
        there_n &= each.is_not_null().to_numpy()
    if not there_n.any():
        raise DataError(f"expected rows with a {what} in every run, received none: {counts}")
    lost = tuple(
        Loss(kind="row", reason=f"no {what}", subject=name, count=count, of=rows) for name, count in lacking.items()
    )
    return {name: each.filter(there_n) for name, each in columns.items()}, np.flatnonzero(there_n), lost


def _together(
    runs: Mapping[str, LoggedRows],
    question: RowQuestion,
    measure: Measure,
    *,
    truth_n: NDArray[Any],
    predictions: Mapping[str, Predictions],
    rows_n: NDArray[Any],
    left_out: tuple[Loss, ...],
    is_score: bool = False,
) -> _Scored:
    """With how the rows go together: by the columns that are named, else by what is known of them."""
    tables = {name: run.table for name, run in runs.items()}

    def named(column: str | None, what: str, known: NDArray[Any] | None) -> NDArray[Any] | None:
        if column is None:
            return None if known is None else known[rows_n]
        values = alike(tables, column, what, question.key)
        if values is None:
            have = ", ".join(dict.fromkeys(name for table in tables.values() for name in table.columns))
            raise UsageError(f"expected a column {column!r} in the rows of some run, they have {have}")
        return values[rows_n].to_physical().to_numpy()

    time_n = named(question.time, "time", question.time_n)
    return _Scored(
        measure=measure,
        truth_n=truth_n,
        predictions=predictions,
        rows_n=rows_n,
        groups_n=named(question.group, "group", question.groups_n),
        time_n=None if time_n is None else times(time_n, "time"),
        is_score=is_score,
        left_out=left_out,
    )
