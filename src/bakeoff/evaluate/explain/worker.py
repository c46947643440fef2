"""The job that explains one fitted candidate on its test rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import msgspec

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.abilities import abilities_of
from bakeoff.core.deadline import WorkLimit
from bakeoff.core.families import load_family
from bakeoff.core.jobs import METRICS, MODEL, OUTSIDE_KEY, Argument, JobContext
from bakeoff.core.protocols import Model
from bakeoff.core.types import Predictions, Schema, Task
from bakeoff.evaluate.explain.contributions import attributed, contributions, left_out, word_weights
from bakeoff.evaluate.explain.errors import by_size, curves, over_time
from bakeoff.evaluate.explain.importance import importance
from bakeoff.evaluate.explain.responses import responses
from bakeoff.evaluate.explain.rows import ExplainedRows, units
from bakeoff.evaluate.score.evaluated_rows import EvaluatedRows
from bakeoff.evaluate.score.out_of_fold import FOLD, OutOfFold
from bakeoff.evaluate.score.worker import OUTCOMES, model_of_fold, read_outcomes
from bakeoff.metrics.custom import using
from bakeoff.metrics.registry import find
from bakeoff.results.explanation import Contribution, Explanation, Importance, Skipped, WordWeight

if TYPE_CHECKING:
    import polars as pl

__all__ = ["EXPLAIN", "ExplainArgument", "explain"]

EXPLAIN = "bakeoff.evaluate.explain.worker:explain"
IMPORTANCE, RESPONSES, CONTRIBUTIONS, WORDS = 0.35, 0.2, 0.25, 0.2
"""Parts of the time."""
OUTPUTS = 4
CURVES = 6
SCORES = {0: "unit of the target", 2: "log odds"}
MANY = "log of the probability, beside the mean of all classes"


class ExplainArgument(Argument, frozen=True, kw_only=True):
    """What `explain` takes: the candidate's name and family (entry point), and the seconds that it may take.

    `rows_per_s` is how fast the model predicts in batches, as evaluation measured it; `positive` the class of two that
    probabilities are told of. With `folds`, what is shuffled is predicted by the models of the folds.
    """

    candidate: str
    family: str
    task: Task
    schema: Schema
    metric: str
    seed: int
    limit_s: float
    rows_per_s: float
    positive: str | None = None
    costs: dict[str, dict[str, float]] = msgspec.field(default_factory=dict[str, dict[str, float]])
    folds: int = 0
    remote: Annotated[bool, OUTSIDE_KEY] = False


def explain(argument: ExplainArgument, context: JobContext) -> Explanation:
    """Importance, responses, contributions, words and errors of a saved model, as far as the time allows.

    Inputs: the model, the prepared table, its row numbers, the per-row outcomes of its evaluation; models of folds and
    metrics of the project's own, where there are any.
    """
    with using(context.inputs.get(METRICS), argument.costs), remote_calls(allowed=argument.remote):
        family = load_family(argument.family)
        model = family.load(context.inputs[MODEL], context.threads, context.cache)
        fold_dirs = [context.inputs[model_of_fold(fold)] for fold in range(argument.folds)]
        asked = OutOfFold(lambda folder: family.load(folder, context.threads, context.cache), fold_dirs)
        rows, times = _rows(argument, context, (asked if fold_dirs else model).predict)
        context.progress(f"explaining its answers on {len(rows):,} test rows, in {argument.limit_s:.1f} s")
        return _explained(argument, model, rows, times)


def _rows(
    argument: ExplainArgument, context: JobContext, predict: "Callable[[pl.DataFrame], Predictions]"
) -> "tuple[ExplainedRows, pl.Series | None]":
    """The test rows, and their times if the project names a column of times."""
    import polars as pl

    schema = argument.schema
    known = EvaluatedRows.of_job(context, schema, folds=argument.folds)
    truth_n, predictions = read_outcomes(pl.read_parquet(context.inputs[OUTCOMES], glob=False))
    rows = ExplainedRows(
        predict=predict,
        table=known.table.select(*schema.inputs, *([FOLD] if argument.folds else [])),
        truth_n=truth_n,
        predictions=predictions,
        measure=find(argument.metric, argument.task),
        columns=schema.input_columns,
        unit_n=units(len(truth_n), known.groups_n, known.time_n),
        rows_per_s=argument.rows_per_s,
        seed=argument.seed,
        positive=argument.positive,
    )
    return rows, known.table[schema.time] if schema.time in known.table.columns else None


def _explained(argument: ExplainArgument, model: Model, rows: ExplainedRows, times: "pl.Series | None") -> Explanation:
    deadline, limit_s = WorkLimit(argument.limit_s), argument.limit_s
    drops, no_drops = importance(rows, IMPORTANCE * limit_s)
    scores = _scores(argument, model, rows)
    shown, not_shown = responses(rows, _telling(rows, drops, scores.contributions), RESPONSES * limit_s)
    outputs = rows.outputs(OUTPUTS)
    return Explanation(
        candidate=argument.candidate,
        metric=rows.measure.name,
        rows=len(rows),
        limit_s=limit_s,
        outputs=outputs,
        importance=drops,
        responses=shown,
        contributions=scores.contributions,
        words=scores.words,
        score=scores.score,
        how=scores.how,
        words_how=scores.words_how,
        by_size=by_size(rows.truth_n, rows.predictions),
        over_time=() if times is None else over_time(rows.truth_n, rows.predictions, times),
        curves=curves(rows.truth_n, rows.predictions, rows.outputs(CURVES)),
        skipped=(*no_drops, *not_shown, *scores.skipped),
        seconds=deadline.used_s,
    )


def _telling(rows: ExplainedRows, drops: Sequence[Importance], adds: Sequence[Contribution]) -> list[str]:
    """The columns that matter most, first; of those that say nearly the same the one that adds most."""
    size = {each.column: each.size for each in adds}
    if not drops:
        return list(size) or [column.name for column in rows.columns]
    return [max(each.columns, key=lambda name: size.get(name, 0.0)) for each in drops]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    """What columns and words add to scores, and how that is known."""

    contributions: tuple[Contribution, ...] = ()
    words: tuple[WordWeight, ...] = ()
    score: str = ""
    how: str = ""
    words_how: str = ""
    skipped: tuple[Skipped, ...] = ()


def _scores(argument: ExplainArgument, model: Model, rows: ExplainedRows) -> _Scores:
    """By what the model can tell itself, else, for words, by leaving them out."""
    has_texts = any(column.kind == "text" for column in rows.columns)
    outputs, classes = rows.outputs(OUTPUTS), model.signature.classes
    attribute = abilities_of(model).attribute
    if attribute is None:
        why = f"family {argument.family!r} cannot tell what columns add to its scores"
        scores = _Scores(skipped=(Skipped(part="contributions", reason=why),))
    else:
        of_words = CONTRIBUTIONS + (WORDS if has_texts else 0.0)
        few, attribution = attributed(attribute, rows, of_words * argument.limit_s, words=has_texts)
        at_k = [0 if len(classes) <= 2 else classes.index(output) for output in outputs]  # noqa: PLR2004
        scores = _Scores(
            contributions=contributions(few, attribution, outputs, at_k),
            words=word_weights(few, attribution, outputs, at_k),
            score=SCORES.get(len(classes), MANY),
            how=f"{attribution.how}, on {len(few):,} rows",
            words_how="what they add to the score" if attribution.words else "",
        )
    if not has_texts or scores.words:
        return scores
    words = left_out(rows.sample(1000), outputs, WORDS * argument.limit_s)
    if words:
        unit = "prediction" if outputs == ("",) else "probability"
        return replace(scores, words=words, words_how=f"what the {unit} loses without them")
    why = f"no word is in enough rows, or predicting without them takes longer than {WORDS * argument.limit_s:.1f} s"
    return replace(scores, skipped=(*scores.skipped, Skipped(part="words", reason=why)))
