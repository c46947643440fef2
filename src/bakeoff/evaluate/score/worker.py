"""The job that evaluates one model in a process of its own, and the file of per-row outcomes that it keeps."""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.errors import CorruptError
from bakeoff.core.families import load_family
from bakeoff.core.generation import Converted
from bakeoff.core.memory import peak_memory_bytes
from bakeoff.core.protocols import Losing, Model, Progress
from bakeoff.core.types import Json, Predictions, Schema, Task
from bakeoff.evaluate.findings.findings import findings
from bakeoff.evaluate.findings.memorisation import memorised
from bakeoff.evaluate.findings.safety import Probe, Safety, safety
from bakeoff.evaluate.score.out_of_fold import FOLD, OutOfFold, by_fold
from bakeoff.evaluate.score.paid_models import (
    TIMED_ROWS,
    price_per_1k_usd,
    single_price_per_1k_usd,
    told_usage,
    usage_between,
    usage_of,
    wholly_remote_speed,
)
from bakeoff.evaluate.score.scorecard import Scorecard
from bakeoff.evaluate.score.scoring import score
from bakeoff.evaluate.score.text_scores import annotated
from bakeoff.metrics.custom import using
from bakeoff.metrics.registry import default, find
from bakeoff.metrics.timing import measure

if TYPE_CHECKING:
    import polars as pl

__all__ = ["OUTCOMES", "PRICE_PER_HOUR_USD", "evaluate", "read_outcomes", "write_outcomes"]

OUTCOMES = "outcomes.parquet"
PRICE_PER_HOUR_USD = 0.10
"""What two rented cores cost per hour, about, unless the job says otherwise."""
PAID_ROWS_S = 34.0
"""Rows per second that are spent on findings of a model that pays for its answers: about a hundred rows in all."""
PROBABILITY, SCORE = "probability:", "score:"
LIKELIHOOD, TOKENS = "log_likelihood", "tokens"


def evaluate(argument: dict[str, Json], progress: Progress) -> dict[str, Json]:
    """Score a saved model on the test rows: its `scorecard`, and `findings` beside it, as JSON.

    The argument:
        family: the name of its entry point; model_dir: the folder that the model was saved in.
        table_path: the prepared table (Parquet); test_rows_path: positions of its test rows (.npy, int64).
        target: the column of truth; groups_path: a code for each test row, the same for those that go together (.npy;
            or None, or left out), and time: the column of when a row happened: rows that are close in time may.
        task, threads, seed, resamples; train_s and size_bytes, as fitting measured them.
        out_dir: where `outcomes.parquet` goes; created if missing.
        cache_dir: the folder that fits shared (or left out).
        price_per_hour_usd: the price of the machine (default 0.10). `cost_usd_per_1k` is the price of the
            time that a thousand batched predictions take.
        schema: the columns of the table (JSON of `core.types.Schema`); without it there are no findings.
        metric: the one that decides (the task's default if left out); findings are by it.
        metrics_file: a Python file with metrics of the project's own (or None, or left out).
        metrics: names of further metrics that the scorecard holds; positive: the class that those of one class are of;
            costs: those of errors, by true and predicted class (all may be left out).
        json_schema, encoder, context: as in `[decide]`, the first as a path (or None, or left out).
        safety: prompts that should not be followed: `table_path` (Parquet) and `probes`, what is safe (or left out).
        remote: whether rows may be sent to services on other machines (default: they may not).
        fold_dirs: the folders of models fitted without each fold, and fold_path: the fold of each row of the table
            (.npy); then these models are scored, each on its fold's rows, and the saved one is timed and priced
            (both left out without folds). `fold_metrics` are then the values of every metric on each fold.
        own_turns: of how many conversations the model's own earlier answers are tried (default: 0).
        memorisation: of how many rows a language model is asked what it knows by heart (default: 0), and rows_path: the
            split (.npz), whose `train` are the rows that it was trained on.
    """
    told = cast("dict[str, Any]", argument)
    file = told.get("metrics_file")
    with using(None if file is None else Path(file), told.get("costs")), remote_calls(allowed=bool(told.get("remote"))):
        return _evaluate(told, progress)


def _evaluate(told: dict[str, Any], progress: Progress) -> dict[str, Json]:
    import polars as pl

    rows_n = np.load(told["test_rows_path"], allow_pickle=False)
    table = pl.read_parquet(told["table_path"])[rows_n]
    fold_dirs = [Path(folder) for folder in told.get("fold_dirs", ())]
    if fold_dirs:
        table = table.with_columns(pl.Series(FOLD, np.load(told["fold_path"], allow_pickle=False)[rows_n]))
    threads, seed, task = told["threads"], told["seed"], cast("Task", told["task"])
    family = load_family(told["family"])
    cache = told.get("cache_dir")
    shared = None if cache is None else Path(cache)
    model = family.load(Path(told["model_dir"]), threads, shared)
    truth_n = table[told["target"]].to_numpy()
    inputs = table.drop(told["target"])
    progress(f"predicting {len(rows_n):,} test rows")
    asked = OutOfFold(lambda folder: family.load(folder, threads, shared), fold_dirs) if fold_dirs else model
    before = usage_of(asked)
    predictions = asked.predict(inputs)
    spent = usage_between(usage_of(asked), before)
    cut = asked.losses() if isinstance(asked, Losing) else ()
    memory_bytes = peak_memory_bytes()
    if task == "generation":
        schema_file = told.get("json_schema")
        predictions = annotated(
            predictions,
            model,
            inputs,
            truth_n,
            json_schema=None if schema_file is None else Path(schema_file),
            context=told.get("context", ()),
            encoder=told.get("encoder"),
            cache=Path(cache or told["out_dir"]),
            threads=threads,
            progress=progress,
        )
    groups_n, time_n = _together(told, table)
    scores = score(
        truth_n,
        predictions,
        task,
        resamples=told["resamples"],
        seed=seed,
        groups_n=groups_n,
        time_n=time_n,
        folds=len(fold_dirs),
        threads=threads,
        positive=told.get("positive"),
        named=told.get("metrics", ()),
    )
    progress("measuring latency")
    timed = model if cache is None else family.load(Path(told["model_dir"]), threads)  # nothing remembered
    remote_speed = wholly_remote_speed(spent, len(rows_n))
    if remote_speed is not None:
        speed, timed = remote_speed, model
    elif spent is not None:
        speed, timed = measure(timed, inputs[:TIMED_ROWS], seed=seed, calls=TIMED_ROWS), model
    else:
        speed = measure(timed, inputs, seed=seed)
    probed = _probed(told, model, progress)
    hourly = told.get("price_per_hour_usd", PRICE_PER_HOUR_USD)
    card = Scorecard(
        **{field.name: getattr(scores, field.name) for field in fields(scores)},
        latency_ms=speed.latency_ms,
        throughput_rows_s=speed.throughput_rows_s,
        train_s=told["train_s"],
        size_bytes=(model.weights_bytes if isinstance(model, Converted) else None) or told["size_bytes"],
        cost_usd_per_1k=price_per_1k_usd(
            spent, len(rows_n), speed, price_per_hour_usd=hourly, alone=remote_speed is not None
        ),
        throughput_rows_s_per_core=speed.throughput_rows_s_per_core,
        batch_latency_ms=speed.batch_latency_ms,
        batch_rows=speed.batch_rows,
        predict_memory_bytes=memory_bytes,
        cost_spread=speed.spread,
        wall_latency_ms=speed.wall_latency_ms,
        latency_ends_ms=speed.latency_ends_ms,
        latency_calls=speed.calls,
        single_cost_usd_per_1k=single_price_per_1k_usd(
            spent, len(rows_n), speed, price_per_hour_usd=hourly, alone=remote_speed is not None
        ),
        takes_machine=remote_speed is None or spent is None or spent.cost_usd is None,
        safe=None if probed is None else probed.safe,
        unreadable=0.0 if spent is None else (spent.refused + spent.unreadable) / max(1, spent.rows),
    )
    write_outcomes(Path(told["out_dir"]) / OUTCOMES, rows_n, truth_n, predictions)
    beside = {"usage": spent and told_usage(spent), "safety": msgspec.to_builtins(probed), "losses": list(cut)}
    found: dict[str, Json] = {name: msgspec.to_builtins(value) for name, value in beside.items() if value}
    if "schema" in told:
        progress("looking for weak slices, robustness and calibration")
        schema = msgspec.convert(told["schema"], Schema)
        deciding = find(told.get("metric") or default(task), task)
        found |= findings(
            asked.predict if fold_dirs else timed.predict,
            table,
            truth_n,
            replace(predictions, scores={}),
            find(default(task), task) if deciding.needs in {"likelihood", "scores"} else deciding,
            columns=[column for column in schema.columns if column.name != schema.target],
            inputs=schema.input_columns,
            seed=seed,
            rows_per_s=speed.throughput_rows_s if spent is None else min(speed.throughput_rows_s, PAID_ROWS_S),
            groups_n=groups_n,
            own_turns=told.get("own_turns", 0),
        )
    found |= memorised(told, model, lambda folder: family.load(folder, threads, shared), progress)
    result: dict[str, Json] = {"scorecard": card.to_json(), "findings": found}
    if fold_dirs:
        result["fold_metrics"] = dict(by_fold(list(card.metrics), truth_n, predictions, table[FOLD].to_numpy(), task))
    return result


def _probed(told: dict[str, Any], model: Model, progress: Progress) -> Safety | None:
    """How the model answers prompts that are meant to lead it astray, if there are some."""
    import polars as pl

    asked = told.get("safety")
    if asked is None:
        return None
    probes = msgspec.convert(asked["probes"], tuple[Probe, ...])
    progress(f"asking {len(probes):,} prompts that should not be followed")
    return safety(model.predict, pl.read_parquet(asked["table_path"]), probes)


def _together(told: dict[str, Any], table: "pl.DataFrame") -> tuple[NDArray[np.intp] | None, NDArray[Any] | None]:
    """The group of each row, as a code, and when it happened."""
    path, time = told.get("groups_path"), told.get("time")
    groups_n = None if path is None else np.load(path, allow_pickle=False)
    return groups_n, table[time].to_physical().to_numpy() if time in table.columns else None


def write_outcomes(path: Path, rows_n: NDArray[np.int64], truth_n: NDArray[Any], predictions: Predictions) -> None:
    """Keep what was true and what was said of each row: row, truth, predicted, probabilities, scores."""
    import polars as pl

    columns: dict[str, Any] = {"row": rows_n, "truth": truth_n, "predicted": predictions.values_n}
    if predictions.probabilities_nk is not None:
        for at, name in enumerate(predictions.classes):
            columns[PROBABILITY + name] = predictions.probabilities_nk[:, at]
    columns |= {SCORE + name: score_n for name, score_n in predictions.scores.items()}
    if predictions.log_likelihood_n is not None and predictions.tokens_n is not None:
        columns |= {LIKELIHOOD: predictions.log_likelihood_n, TOKENS: predictions.tokens_n}
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({name: pl.Series(np.asarray(values).tolist()) for name, values in columns.items()}).write_parquet(path)


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
