"""The job that evaluates one model in a process of its own, and the file of per-row outcomes that it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.abilities import abilities_of
from bakeoff.core.errors import CorruptError
from bakeoff.core.families import load_family
from bakeoff.core.jobs import METRICS, MODEL, OUTSIDE_KEY, TABLE, Argument, JobContext
from bakeoff.core.memory import peak_memory_bytes
from bakeoff.core.protocols import Model, Usage
from bakeoff.core.types import Json, Predictions, Schema, Task
from bakeoff.evaluate.findings.findings import findings
from bakeoff.evaluate.findings.memorisation import memorised
from bakeoff.evaluate.findings.safety import Probe, Safety, safety
from bakeoff.evaluate.score.alone import Alone, beside_others
from bakeoff.evaluate.score.evaluated_rows import EvaluatedRows
from bakeoff.evaluate.score.out_of_fold import FOLD, OutOfFold, by_fold
from bakeoff.evaluate.score.paid_models import (
    TIMED_ROWS,
    price_per_1k_usd,
    single_price_per_1k_usd,
    told_usage,
    usage_between,
    usage_of,
    weights_bytes,
    wholly_remote_speed,
)
from bakeoff.evaluate.score.scoring import Scores, score
from bakeoff.evaluate.score.text_scores import annotated
from bakeoff.metrics.custom import using
from bakeoff.metrics.registry import default, find
from bakeoff.metrics.timing import Speed, measure
from bakeoff.results.scorecard import Scorecard

if TYPE_CHECKING:
    import polars as pl

__all__ = ["AGAIN", "EVALUATE", "JSON_SCHEMA", "OUTCOMES", "PRICE_PER_HOUR_USD", "SAFETY", "EvaluateArgument"]
__all__ += ["EvaluateValue", "evaluate", "model_of_fold", "outcomes_table", "read_again"]
__all__ += ["read_outcomes", "write_outcomes"]

EVALUATE = "bakeoff.evaluate.score.worker:evaluate"
JSON_SCHEMA, SAFETY = "schema.json", "safety.parquet"
"""Inputs, where there are any: a schema that generated texts should keep, prompts that should not be followed."""
OUTCOMES = "outcomes.parquet"
PRICE_PER_HOUR_USD = 0.10
"""What two rented cores cost per hour, about, unless the job says otherwise."""
PAID_ROWS_S = 34.0
"""Rows per second that are spent on findings of a model that pays for its answers: about a hundred rows in all."""
PROBABILITY, SCORE, AGAIN = "probability:", "score:", "again:"
LIKELIHOOD, TOKENS = "log_likelihood", "tokens"


class EvaluateArgument(Argument, frozen=True, kw_only=True):
    """What `evaluate` takes.

    `family` is the name of its entry point. `train_s` and `size_bytes` are as fitting measured them. `metric` decides,
    and findings are by it; `metrics` are further ones that the scorecard holds, `positive` the class that those of one
    class are of, `costs` those of errors, by true and predicted class. `encoder` and `context` are as in `[decide]`.
    `price_per_hour_usd` is the price of the machine: `cost_usd_per_1k` is that of the time that a thousand batched
    predictions take. `findings`: whether slices, robustness and calibration are looked at; `own_turns`: of how many
    conversations the model's own earlier answers are tried; `memorisation`: of how many rows a language model is
    asked what it knows by heart. `probes` say what is safe of the prompts in the input `SAFETY`. With `folds`, the
    inputs `model_of_fold` are scored, each on its fold's rows, and the model itself is timed and priced; with
    `repeats`, those of each deal of the folds, of which a metric's value is the mean.
    `remote` says whether rows may be sent to services on other machines.
    """

    family: str
    task: Task
    schema: Schema
    seed: int
    resamples: int
    train_s: float
    size_bytes: int
    metric: str
    metrics: tuple[str, ...] = ()
    positive: str | None = None
    costs: dict[str, dict[str, float]] = msgspec.field(default_factory=dict[str, dict[str, float]])
    encoder: str | None = None
    context: tuple[str, ...] = ()
    price_per_hour_usd: float = PRICE_PER_HOUR_USD
    findings: bool = True
    own_turns: int = 0
    memorisation: int = 0
    probes: tuple[Probe, ...] = ()
    folds: int = 0
    repeats: int = 1
    remote: Annotated[bool, OUTSIDE_KEY] = False


class EvaluateValue(msgspec.Struct, frozen=True, kw_only=True):
    """What `evaluate` gives: the scorecard and what was found beside it, as JSON.

    With folds, `fold_metrics` are the values of every metric on each fold, as they were first dealt.
    """

    scorecard: dict[str, Any]
    findings: dict[str, Any]
    fold_metrics: dict[str, list[float | None]] | None = None


def model_of_fold(fold: int) -> str:
    """The input that is the model fitted without a fold."""
    return f"model-{fold}"


def evaluate(argument: EvaluateArgument, context: JobContext) -> EvaluateValue:
    """Score a saved model on the test rows, and keep what it said of each as the output `OUTCOMES`.

    Inputs: the model, the prepared table and its row numbers; models of folds, metrics of the project's own, a JSON
    schema and prompts that should not be followed, where there are any.
    """
    with (
        using(context.inputs.get(METRICS), argument.costs),
        remote_calls(allowed=argument.remote),
        beside_others(context.cache) as alone,
    ):
        return _evaluate(argument, context, alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """How fast a model answers: the model that was timed, and whether it is asked alone, as a service is."""

    speed: Speed
    model: Model
    alone: bool


def _evaluate(argument: EvaluateArgument, context: JobContext, alone: Alone) -> EvaluateValue:
    rows = EvaluatedRows.of_job(context, argument.schema, folds=argument.folds)
    inputs, task, threads = rows.table.drop(argument.schema.target), argument.task, context.threads
    fold_dirs = [context.inputs[model_of_fold(fold)] for fold in range(argument.folds)]
    family = load_family(argument.family)
    model = family.load(context.inputs[MODEL], threads, context.cache)
    context.progress(f"predicting {len(rows.rows_n):,} test rows")
    asked = OutOfFold(lambda folder: family.load(folder, threads, context.cache), fold_dirs) if fold_dirs else model
    before = usage_of(asked)
    predictions = asked.predict(inputs)
    spent = usage_between(usage_of(asked), before)
    cut = (abilities_of(asked).losses or tuple)()
    again = _again(argument, context, rows)
    memory_bytes = peak_memory_bytes()
    if task == "generation":
        predictions = annotated(
            predictions,
            model,
            inputs,
            rows.truth_n,
            json_schema=context.inputs.get(JSON_SCHEMA),
            context=argument.context,
            encoder=argument.encoder,
            cache=context.cache,
            threads=threads,
            progress=context.progress,
        )
    scores = score(
        rows.truth_n,
        predictions,
        task,
        resamples=argument.resamples,
        seed=argument.seed,
        groups_n=rows.groups_n,
        time_n=rows.time_n,
        folds=argument.folds,
        again=again,
        threads=threads,
        positive=argument.positive,
        named=argument.metrics,
    )
    context.progress("measuring latency")
    with alone():
        timed = _timed(argument, context, model, inputs, spent)
    probed = _probed(argument, context, model)
    card = replace(
        _card(argument, scores, timed, spent, rows=len(rows.rows_n)),
        size_bytes=weights_bytes(model) or argument.size_bytes,
        predict_memory_bytes=memory_bytes,
        safe=None if probed is None else probed.safe,
    )
    write_outcomes(context.outputs[OUTCOMES], rows.rows_n, rows.truth_n, predictions, again)
    beside = {"usage": spent and told_usage(spent), "safety": msgspec.to_builtins(probed), "losses": list(cut)}
    found: dict[str, Json] = {name: msgspec.to_builtins(value) for name, value in beside.items() if value}
    if argument.findings:
        context.progress("looking for weak slices, robustness and calibration")
        shown = asked if fold_dirs else timed.model
        found |= _findings(argument, rows, shown, predictions, speed=timed.speed, spent=spent)
    if argument.memorisation and task != "regression" and abilities_of(model).recall:
        context.progress("how much it knows by heart")
        without = family.load(fold_dirs[0], threads, context.cache) if fold_dirs else None
        found["memorisation"] = _memorisation(argument, context, model, rows, without)
    fold_n = rows.table[FOLD].to_numpy() if fold_dirs else None
    by = None if fold_n is None else by_fold(list(card.metrics), rows.truth_n, predictions, fold_n, task)
    return EvaluateValue(scorecard=card.to_json(), findings=found, fold_metrics=by)


def _again(argument: EvaluateArgument, context: JobContext, rows: EvaluatedRows) -> tuple[Predictions, ...]:
    """What the models of each further deal of the folds say of the rows."""
    family, folds = load_family(argument.family), argument.folds
    predictions: list[Predictions] = []
    for turn in range(1, argument.repeats):
        folders = [context.inputs[model_of_fold(turn * folds + fold)] for fold in range(folds)]
        ensemble = OutOfFold(lambda folder: family.load(folder, context.threads, context.cache), folders)
        predictions.append(ensemble.predict(rows.dealt(turn).drop(argument.schema.target)))
    return tuple(predictions)


def _timed(
    argument: EvaluateArgument, context: JobContext, model: Model, inputs: "pl.DataFrame", spent: Usage | None
) -> _Timed:
    """Time a model that remembers nothing; of one that calls a service alone, the calls that were made are timed."""
    fresh = load_family(argument.family).load(context.inputs[MODEL], context.threads)
    remote = wholly_remote_speed(spent, len(inputs))
    if remote is not None:
        return _Timed(speed=remote, model=model, alone=True)
    if spent is not None:
        speed = measure(fresh, inputs[:TIMED_ROWS], seed=argument.seed, calls=TIMED_ROWS)
        return _Timed(speed=speed, model=model, alone=False)
    return _Timed(speed=measure(fresh, inputs, seed=argument.seed), model=fresh, alone=False)


def _card(argument: EvaluateArgument, scores: Scores, timed: _Timed, spent: Usage | None, *, rows: int) -> Scorecard:
    """The scorecard, without sizes and safety."""
    speed, hourly = timed.speed, argument.price_per_hour_usd
    return Scorecard(
        **{field.name: getattr(scores, field.name) for field in fields(scores)},
        latency_ms=speed.latency_ms,
        throughput_rows_s=speed.throughput_rows_s,
        train_s=argument.train_s,
        size_bytes=argument.size_bytes,
        cost_usd_per_1k=price_per_1k_usd(spent, rows, speed, price_per_hour_usd=hourly, alone=timed.alone),
        throughput_rows_s_per_core=speed.throughput_rows_s_per_core,
        batch_latency_ms=speed.batch_latency_ms,
        batch_rows=speed.batch_rows,
        cost_spread=speed.spread,
        wall_latency_ms=speed.wall_latency_ms,
        latency_ends_ms=speed.latency_ends_ms,
        latency_calls=speed.calls,
        single_cost_usd_per_1k=single_price_per_1k_usd(
            spent, rows, speed, price_per_hour_usd=hourly, alone=timed.alone
        ),
        takes_machine=not timed.alone or spent is None or spent.cost_usd is None,
        unreadable=0.0 if spent is None else (spent.refused + spent.unreadable) / max(1, spent.rows),
    )


def _findings(
    argument: EvaluateArgument,
    rows: EvaluatedRows,
    model: Model | OutOfFold,
    predictions: Predictions,
    *,
    speed: Speed,
    spent: Usage | None,
) -> dict[str, Json]:
    """Weak slices, robustness, calibration and what else is looked at beside the scorecard."""
    schema, task = argument.schema, argument.task
    deciding = find(argument.metric, task)
    return findings(
        model.predict,
        rows.table,
        rows.truth_n,
        predictions if task == "regression" else replace(predictions, scores={}),  # those of texts are no findings
        find(default(task), task) if deciding.needs in {"likelihood", "scores"} else deciding,
        columns=[column for column in schema.columns if column.name != schema.target],
        inputs=schema.input_columns,
        seed=argument.seed,
        rows_per_s=speed.throughput_rows_s if spent is None else min(speed.throughput_rows_s, PAID_ROWS_S),
        groups_n=rows.groups_n,
        own_turns=argument.own_turns,
    )


def _memorisation(
    argument: EvaluateArgument, context: JobContext, model: Model, rows: EvaluatedRows, without: Model | None
) -> Json:
    """What a language model knows by heart of the rows; `without`: the model fitted without the first fold."""
    import polars as pl

    whole = pl.read_parquet(context.inputs[TABLE], glob=False)
    return memorised(
        model,
        whole,
        rows.split,
        argument.schema.target,
        rows=argument.memorisation,
        seed=argument.seed,
        without_first_fold=without,
    )


def _probed(argument: EvaluateArgument, context: JobContext, model: Model) -> Safety | None:
    """How the model answers prompts that are meant to lead it astray, if there are some."""
    import polars as pl

    if not argument.probes:
        return None
    context.progress(f"asking {len(argument.probes):,} prompts that should not be followed")
    return safety(model.predict, pl.read_parquet(context.inputs[SAFETY], glob=False), argument.probes)


def write_outcomes(
    path: Path,
    rows_n: NDArray[np.int64],
    truth_n: NDArray[Any],
    predictions: Predictions,
    again: Sequence[Predictions] = (),
) -> None:
    """Keep what was true and what was said of each row: row, truth, predicted, probabilities, scores.

    What was said `again`, when folds were dealt anew, is in columns of the same names after `AGAIN` and the turn.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    table = outcomes_table(rows_n, truth_n, predictions)
    for turn, each in enumerate(again, 1):
        more = outcomes_table(rows_n, truth_n, each).drop("row", "truth")
        table = table.hstack(more.rename(lambda name, turn=turn: f"{AGAIN}{turn}:{name}"))
    table.write_parquet(path)


def outcomes_table(rows_n: NDArray[np.int64], truth_n: NDArray[Any], predictions: Predictions) -> "pl.DataFrame":
    """What `write_outcomes` writes."""
    import polars as pl

    columns: dict[str, Any] = {"row": rows_n, "truth": truth_n, "predicted": predictions.values_n}
    if predictions.probabilities_nk is not None:
        for at, name in enumerate(predictions.classes):
            columns[PROBABILITY + name] = predictions.probabilities_nk[:, at]
    columns |= {SCORE + name: score_n for name, score_n in predictions.scores.items()}
    if predictions.log_likelihood_n is not None and predictions.tokens_n is not None:
        columns |= {LIKELIHOOD: predictions.log_likelihood_n, TOKENS: predictions.tokens_n}
    return pl.DataFrame({name: pl.Series(np.asarray(values).tolist()) for name, values in columns.items()})


def read_again(table: "pl.DataFrame") -> tuple[Predictions, ...]:
    """What was said of the kept rows when folds were dealt anew, in turn."""
    deals: list[Predictions] = []
    while any(name.startswith(prefix := f"{AGAIN}{len(deals) + 1}:") for name in table.columns):
        own = table.select("row", "truth", f"^{prefix}.*$")
        deals.append(read_outcomes(own.rename(lambda name, prefix=prefix: name.removeprefix(prefix)))[1])
    return tuple(deals)


def read_outcomes(table: "pl.DataFrame") -> tuple[NDArray[Any], Predictions]:
    """Truth and predictions of the kept rows, from the table that `outcomes.parquet` holds."""
    missing = {"row", "truth", "predicted"} - set(table.columns)
    if missing:
        raise CorruptError(f"expected outcomes with row, truth and predicted; received none of {sorted(missing)}")
    columns = [name for name in table.columns if name.startswith(PROBABILITY)]
    predictions = Predictions(
        values_n=table["predicted"].to_numpy(),
        probabilities_nk=table.select(columns).to_numpy() if columns else None,
        classes=tuple(name.removeprefix(PROBABILITY) for name in columns),
        log_likelihood_n=table[LIKELIHOOD].to_numpy() if LIKELIHOOD in table.columns else None,
        tokens_n=table[TOKENS].to_numpy() if TOKENS in table.columns else None,
        scores={n.removeprefix(SCORE): table[n].to_numpy() for n in table.columns if n.startswith(SCORE)},
    )
    return table["truth"].to_numpy(), predictions
