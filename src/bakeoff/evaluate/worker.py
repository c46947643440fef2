"""The job that evaluates one model in a process of its own, and the file of per-row outcomes that it keeps."""

import importlib
import resource
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import CorruptError
from bakeoff.core.protocols import Family, Progress
from bakeoff.core.types import Json, Predictions, Schema, Task
from bakeoff.evaluate.findings import findings
from bakeoff.evaluate.latency import measure
from bakeoff.evaluate.scorecard import Scorecard
from bakeoff.evaluate.scoring import score
from bakeoff.metrics.own import using
from bakeoff.metrics.registry import default, find

if TYPE_CHECKING:
    import polars as pl

__all__ = ["OUTCOMES", "PRICE_PER_HOUR_USD", "evaluate", "read_outcomes", "write_outcomes"]

OUTCOMES = "outcomes.parquet"
PRICE_PER_HOUR_USD = 0.10
"""What two rented cores cost per hour, about, unless the job says otherwise."""
PROBABILITY = "probability:"


def evaluate(argument: dict[str, Json], progress: Progress) -> dict[str, Json]:
    """Score a saved model on the test rows: its `scorecard`, and `findings` beside it, as JSON.

    The argument:
        family: "module:Class"; model_dir: the folder that the model was saved in.
        table_path: the prepared table (Parquet); test_rows_path: positions of its test rows (.npy, int64).
        target: the column of truth; group: the column of groups to be resampled whole (or None, or left out).
        task, threads, seed, resamples; train_s and size_bytes, as fitting measured them.
        out_dir: where `outcomes.parquet` goes; created if missing.
        cache_dir: the folder that fits shared (or left out).
        price_per_hour_usd: the price of the machine (default 0.10). `cost_usd_per_1k` is the price of the
            time that a thousand batched predictions take.
        schema: the columns of the table (JSON of `core.types.Schema`); without it there are no findings.
        metric: the one that decides (the task's default if left out); findings are by it.
        metrics_file: a Python file with metrics of the project's own (or None, or left out).
    """
    told = cast("dict[str, Any]", argument)
    file = told.get("metrics_file")
    with using(None if file is None else Path(file)):
        return _evaluate(told, progress)


def _evaluate(told: dict[str, Any], progress: Progress) -> dict[str, Json]:
    import polars as pl

    rows_n = np.load(told["test_rows_path"], allow_pickle=False)
    table = pl.read_parquet(told["table_path"])[rows_n]
    threads, seed, task = told["threads"], told["seed"], cast("Task", told["task"])
    module, _, name = told["family"].partition(":")
    family = cast("Family", getattr(importlib.import_module(module), name)())
    cache = told.get("cache_dir")
    model = family.load(Path(told["model_dir"]), threads, None if cache is None else Path(cache))
    truth_n = table[told["target"]].to_numpy()
    inputs = table.drop(told["target"])
    progress(f"predicting {len(rows_n):,} test rows")
    predictions = model.predict(inputs)
    memory_bytes = _peak_memory_bytes()
    group = told.get("group")
    groups_n = None if group is None else table[group].cast(pl.String).fill_null("").to_numpy()
    scores = score(
        truth_n,
        predictions,
        task,
        resamples=told["resamples"],
        seed=seed,
        groups_n=groups_n,
        threads=threads,
    )
    progress("measuring latency")
    timed = model if cache is None else family.load(Path(told["model_dir"]), threads)  # nothing remembered
    speed = measure(timed, inputs, seed=seed)
    hourly = told.get("price_per_hour_usd", PRICE_PER_HOUR_USD)
    card = Scorecard(
        **{field.name: getattr(scores, field.name) for field in fields(scores)},
        latency_ms=speed.latency_ms,
        throughput_rows_s=speed.throughput_rows_s,
        train_s=told["train_s"],
        size_bytes=told["size_bytes"],
        cost_usd_per_1k=hourly / 3600 * 1000 / speed.throughput_rows_s,
        throughput_rows_s_per_core=speed.throughput_rows_s_per_core,
        batch_latency_ms=speed.batch_latency_ms,
        batch_rows=speed.batch_rows,
        predict_memory_bytes=memory_bytes,
    )
    folder = Path(told["out_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    write_outcomes(folder / OUTCOMES, rows_n, truth_n, predictions)
    found: dict[str, Json] = {}
    if "schema" in told:
        progress("looking for weak slices, robustness and calibration")
        schema = msgspec.convert(told["schema"], Schema)
        found = findings(
            timed.predict,
            table,
            truth_n,
            predictions,
            find(told.get("metric") or default(task), task),
            columns=[column for column in schema.columns if column.name != schema.target],
            inputs=[schema.column(name) for name in schema.inputs],
            seed=seed,
            rows_per_s=speed.throughput_rows_s,
            groups_n=groups_n,
        )
    return {"scorecard": card.to_json(), "findings": found}


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kilobytes


def write_outcomes(path: Path, rows_n: NDArray[np.int64], truth_n: NDArray[Any], predictions: Predictions) -> None:
    """Keep what was true and what was said of each row: row, truth, predicted, a probability per class."""
    import polars as pl

    columns: dict[str, Any] = {"row": rows_n, "truth": truth_n, "predicted": predictions.values_n}
    if predictions.probabilities_nk is not None:
        for at, name in enumerate(predictions.classes):
            columns[PROBABILITY + name] = predictions.probabilities_nk[:, at]
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
    )
    return table["truth"].to_numpy(), predictions
