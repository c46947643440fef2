"""The job that works out all baselines of a run: one for all candidates, beside which the winner must stand."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bakeoff.core.jobs import METRICS, TABLE, Argument, JobContext
from bakeoff.core.types import Predictions, Schema, Task
from bakeoff.data import row_numbers
from bakeoff.evaluate.baselines.nearest import nearest
from bakeoff.evaluate.baselines.rules import Answers, BaselineData, BaselineRule, Side, constants, joined
from bakeoff.evaluate.baselines.series import TimedRows, in_order
from bakeoff.evaluate.score.alone import beside_others
from bakeoff.evaluate.score.estimates import ScoredRows, estimates
from bakeoff.evaluate.score.evaluated_rows import EvaluatedRows, split_of
from bakeoff.evaluate.score.text_scores import annotated
from bakeoff.evaluate.score.worker import JSON_SCHEMA, OUTCOMES, outcomes_table, read_outcomes
from bakeoff.metrics.custom import using
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.names import MetricName
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.results.baseline import Baseline

if TYPE_CHECKING:
    import polars as pl

__all__ = ["BASELINES", "BaselinesArgument", "BaselinesValue", "baselines", "read_baselines"]

BASELINES = "bakeoff.evaluate.baselines.job:baselines"
NAME = "baseline"
"""The column that says whose answer a row of the outcomes is."""
ALWAYS: Mapping[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "f1_macro"),
    "regression": ("rmse", "mae", "r2"),
    "generation": ("token_f1", "exact_match"),
}
"""Metrics that are worked out beside the project's."""
QUANTILE_METRICS = frozenset({"pinball", "interval_score", "interval_coverage"})


class BaselinesArgument(Argument, frozen=True, kw_only=True):
    """What `baselines` takes: fields are as those of `EvaluateArgument`.

    `horizon_s`: how long after its time a row's truth is known, if the project says.
    """

    task: Task
    schema: Schema
    seed: int
    resamples: int
    metrics: tuple[str, ...]
    positive: str | None = None
    costs: dict[str, dict[str, float]] = msgspec.field(default_factory=dict[str, dict[str, float]])
    encoder: str | None = None
    context: tuple[str, ...] = ()
    folds: int = 0
    horizon_s: float | None = None


class BaselinesValue(msgspec.Struct, frozen=True, kw_only=True):
    """What `baselines` gives: each rule with its scores; what they answer is the output `OUTCOMES`."""

    baselines: list[Baseline]


def baselines(argument: BaselinesArgument, context: JobContext) -> BaselinesValue:
    """Work out the rules that make sense for these rows, and score them on the test rows."""
    import polars as pl

    with using(context.inputs.get(METRICS), argument.costs), beside_others(context.cache):
        rows = _AskedRows(argument, context)
        scored = [(rule, rows.answers(rule)) for rule in rows.rules()]
        listed = [rows.scored(rule, answers) for rule, answers in scored]
    outcomes = [
        outcomes_table(rows.test_n, rows.truth_n, answers.predictions).with_columns(pl.lit(rule.name).alias(NAME))
        for rule, answers in scored
    ]
    context.outputs[OUTCOMES].parent.mkdir(parents=True, exist_ok=True)
    pl.concat(outcomes, how="diagonal_relaxed").write_parquet(context.outputs[OUTCOMES])
    return BaselinesValue(baselines=listed)


def read_baselines(table: "pl.DataFrame") -> dict[str, Predictions]:
    """What each rule answers on the test rows, by its name, from the output of the job."""
    predictions: dict[str, Predictions] = {}
    for (name,), part in table.partition_by(NAME, as_dict=True, maintain_order=True).items():
        # Columns that only other rules have are empty here.
        own = [column.name for column in part if column.null_count() < part.height and column.name != NAME]
        predictions[str(name)] = read_outcomes(part.select(own))[1]
    return predictions


class _AskedRows:
    """The table of a job, its sides, and its test rows: what rules answer, and how it is scored."""

    def __init__(self, argument: BaselinesArgument, context: JobContext) -> None:
        import polars as pl

        self.argument, self.context = argument, context
        schema = argument.schema
        split = split_of(context)
        self.table = pl.read_parquet(context.inputs[TABLE], glob=False)
        known = EvaluatedRows.of(self.table, split, schema)
        self.test_n, self.truth_n = known.rows_n, known.truth_n
        self.sides = _sides(split, argument.folds)
        self.data = BaselineData.of(
            self.table,
            schema,
            argument.task,
            costs=argument.costs,
            levels=_levels(argument.metrics),
            seed=argument.seed,
        )
        self.dependence = Dependence.of(
            len(self.test_n), groups_n=known.groups_n, time_n=known.time_n, folds=argument.folds
        )

    def rules(self) -> list[BaselineRule]:
        """Those that make sense for these rows: of constants, of the order of time, of texts."""
        data, sides = self.data, self.sides
        rules = constants(data)
        if data.schema.time is not None and data.task != "generation":
            rules += in_order(TimedRows(data), sides, self.argument.horizon_s)
        learn = max(len(side.learn) for side in sides)
        return rules + nearest(data, asked=sum(len(side.asked) for side in sides), learn=learn)

    def answers(self, rule: BaselineRule) -> Answers:
        """What a rule answers of the test rows, in their order."""
        rows_n, answers = joined([(side, rule.answer(side)) for side in self.sides])
        place_n = np.searchsorted(rows_n, self.test_n)
        predictions = answers.predictions.take(place_n)
        if self.data.task == "generation":
            predictions = self._annotated(predictions)
        return Answers(predictions=predictions, unknown_n=answers.unknown_n[place_n])

    def _annotated(self, predictions: Predictions) -> Predictions:
        argument, context = self.argument, self.context
        return annotated(
            predictions,
            None,
            self.table[self.test_n],
            self.truth_n,
            json_schema=context.inputs.get(JSON_SCHEMA),
            context=argument.context,
            encoder=argument.encoder,
            cache=context.cache,
            threads=context.threads,
            progress=context.progress,
        )

    def scored(self, rule: BaselineRule, answers: Answers) -> Baseline:
        """The rule with the project's metrics, those that it has a value of."""
        argument = self.argument
        rows = ScoredRows(
            outcome=outcome(self.truth_n, answers.predictions, argument.task, positive=argument.positive),
            dependence=self.dependence,
            draws=argument.resamples,
            seed=argument.seed,
            threads=self.context.threads,
        )
        wanted = dict.fromkeys([*argument.metrics, *ALWAYS[argument.task]])
        measures = [measure for name in wanted if (measure := find(name, argument.task)).fits(rows.outcome)]
        metrics = estimates(measures, rows)
        return Baseline(
            name=rule.name,
            rule=rule.rule,
            needs=rule.needs,
            lag_s=rule.lag_s,
            stops=rule.stops,
            fallback=float(answers.unknown_n.mean()),
            metrics=metrics,
            undefined=tuple(name for name in argument.metrics if name not in metrics),
        )


def _sides(rows: Mapping[str, Any], folds: int) -> list[Side]:
    """Who is asked about what: the test rows, or each fold's rows by all others.

    Of rows in time, those of before are known when one is asked about: also test rows, but none of its own fold.
    """
    if not folds:
        learn = np.concatenate([rows["train"], rows["validation"]])
        return [Side(asked=rows["test"], learn=np.sort(learn), known=np.sort(np.concatenate([learn, rows["test"]])))]
    fold_n = rows[row_numbers.FOLD]
    return [
        Side(asked=np.flatnonzero(fold_n == fold), learn=(others := np.flatnonzero(fold_n != fold)), known=others)
        for fold in range(folds)
    ]


def _levels(metrics: Sequence[str]) -> tuple[str, ...]:
    """The levels of the quantiles that metrics read: of a central interval, both of its ends."""
    levels: set[float] = set()
    for name in metrics:
        parts = MetricName.parse(name) if "[" in name else MetricName(base=name)
        level = float(parts.arguments[0]) if parts.arguments and parts.base in QUANTILE_METRICS else None
        if parts.base == "mean_pinball":
            levels |= {0.1, 0.5, 0.9}
        elif level is not None:
            levels |= {level} if parts.base == "pinball" else {round((1 - level) / 2, 6), round((1 + level) / 2, 6)}
    return tuple(f"{level:g}" for level in sorted(levels))
