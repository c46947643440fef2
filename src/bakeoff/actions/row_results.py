"""What a run logged of each row, whoever made it: bakeoff's outcomes, a table among its artifacts, or judged traces."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from bakeoff.config.sections import DataConfig
from bakeoff.core import narrow
from bakeoff.core.errors import DataError, NotFoundError, UsageError
from bakeoff.core.protocols import BlobStore, RecordStore
from bakeoff.core.queries import Query, attribute, every
from bakeoff.core.records import Run
from bakeoff.core.tracked import FILES, SPANS, TRACES
from bakeoff.core.types import Task
from bakeoff.evaluate.score.worker import AGAIN, OUTCOMES

if TYPE_CHECKING:
    import polars as pl

__all__ = ["GROUP", "REQUEST", "REQUEST_INPUTS", "TIME", "RowResults", "logged_rows", "run_named"]

SCORECARD = "scorecard.json"
TABLES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")
RESULTS = ("eval_results", "eval_results_table", "results", "predictions", "rows")
"""Files without their endings that are taken for results of rows, the first before the others."""
LOGGED = "mlflow.loggedArtifacts"
"""The tag in which MLflow notes tables."""
OF_RUN = "run\x1f"
"""Before the id of a run: by this, traces of the run are searched."""
GROUP, TIME = "__group", "__time"
REQUEST, REQUEST_INPUTS = "request_id", "request_inputs"
"""Columns of traces: the id of the row that was asked, and a digest of what was asked."""
EVAL_REQUEST, SOURCE_RUN, INPUTS, COST = (
    "mlflow.eval.requestId",
    "mlflow.assessment.sourceRunId",
    "mlflow.spanInputs",
    "mlflow.trace.cost",
)
SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResults:
    """The rows of a run: a `table`, and the `source` that it was read from.

    `dataset` is the version (or digest) of the data that they are of, where it is known; `task`, `metric` (which
    decided) and `folds` are those of bakeoff's outcomes, whose tables may have `GROUP` and `TIME`: what rows go
    together with, and when they happened. `cost_usd_per_1k` is the price of 1,000 rows, where the run measured it.
    """

    run: Run
    source: str
    table: "pl.DataFrame"
    dataset: str | None = None
    task: Task | None = None
    metric: str | None = None
    folds: int = 0
    cost_usd_per_1k: float | None = None


def run_named(records: RecordStore, which: str) -> Run:
    """The run whose id is `which`, or else its name, or else the beginning of its id; for a bake-off, its winner's.

    Raises:
        NotFoundError: there is none, or several.
    """

    def some(field: str, comparison: Any, value: str) -> Sequence[Run]:
        where = attribute(field, comparison, value)
        active = records.runs.search(Query(where=where, limit=2)).items
        return active or records.runs.search(Query(where=where, lifecycle=None, limit=2)).items

    matching = some("run_id", "=", which) or some("name", "=", which)
    if not matching and which:
        matching = [run for run in some("run_id", "like", f"{which}%") if run.run_id.startswith(which)]
    if len(matching) != 1:
        many = "several: give the id" if matching else "none"
        raise NotFoundError(f"expected the id of a run, how one begins, or its name; received {which!r}, found {many}")
    run = matching[0]
    if run.lifecycle == "deleted":
        raise NotFoundError(f"expected an active run, {run.run_id} ({run.name}) is deleted: restore it first")
    return _of_winner(records, run) if run.tags.get("bakeoff.kind") == "pass" else run


def _of_winner(records: RecordStore, bake_off: Run) -> Run:
    winner = bake_off.tags.get("bakeoff.winner")
    if winner:
        for run in records.runs.search(Query(where=attribute("parent_id", "=", bake_off.run_id))).items:
            if run.tags.get("bakeoff.candidate") == winner:
                return run
    raise NotFoundError(
        f"expected a run that logged rows, or a bake-off with a winner among its candidates; {bake_off.run_id} has "
        f"{winner!r}: name the runs of its candidates ('bakeoff runs')"
    )


def logged_rows(
    records: RecordStore, blobs: BlobStore, run: Run, *, artifact: str | None = None, data: DataConfig | None = None
) -> RowResults:
    """What a run logged of each row: the artifact that is named, else the one that there is, else its judged traces.

    By the columns of `data` it is known how the rows of bakeoff's own runs go together.

    Raises:
        NotFoundError: it logged none. UsageError: several, and none is named. DataError: they cannot be read.
    """
    files = _files(records, run)
    if artifact is None and OUTCOMES in files:
        return _outcomes(records, blobs, run, data)
    path = artifact or _one_table(run, files)
    if path is None:
        return _of_traces(records, run)
    if path not in files:
        shown = ", ".join(sorted(files)[:SHOWN]) or "none"
        raise NotFoundError(f"expected an artifact {path!r} of run {run.run_id} ({run.name}); it has {shown}")
    with tempfile.TemporaryDirectory(prefix="bakeoff-rows-") as scratch:
        source = files[path]
        local = source if isinstance(source, Path) else blobs.fetch(source, Path(scratch) / Path(path).name)
        table = _read(local, path)
    return RowResults(run=run, source=path, table=table, dataset=_dataset(run), cost_usd_per_1k=_price(blobs, run))


def _files(records: RecordStore, run: Run) -> "dict[str, str | Path]":
    """The artifacts of a run by path: blobs, or files in a folder that its client wrote to."""
    files: dict[str, str | Path] = {**run.artifacts}
    parts = urlsplit(run.location)
    if parts.scheme == "mlflow-artifacts":
        prefix = f"{parts.path.strip('/')}/"
        files |= {
            each.key.removeprefix(prefix): str(each.body["file_blob"]) for each in records.documents.find(FILES, prefix)
        }
    elif run.location and parts.scheme in {"", "file"}:
        root = Path(unquote(parts.path))
        files |= {
            path.relative_to(root).as_posix(): path
            for path in (sorted(root.rglob("*")) if root.is_dir() else ())
            if path.is_file() and path.suffix in TABLES
        }
    elif run.location and not files:
        raise UsageError(
            f"expected artifacts of run {run.run_id} in this store or a folder here, they are at {run.location!r}: "
            "import the run, or log its table here"
        )
    return files


def _one_table(run: Run, files: "Mapping[str, str | Path]") -> str | None:
    """The artifact that holds results of rows; None where there is none.

    Raises:
        UsageError: there are several, and no name says which.
    """
    noted = [str(each.get("path")) for each in _objects(run.tags.get(LOGGED, "[]")) if each.get("type") == "table"]
    tables = [path for path in noted if path in files] or [path for path in files if path.endswith(TABLES)]
    tables = [
        path for path in tables if Path(path).name not in {SCORECARD, "MLmodel"} and not _inside_model(path, files)
    ]
    for name in RESULTS:
        named = [path for path in tables if Path(path).stem == name]
        if len(named) == 1:
            return named[0]
    if len(tables) > 1:
        raise UsageError(
            f"run {run.run_id} ({run.name}) logged several tables, {', '.join(tables)}: name one by --artifact"
        )
    return tables[0] if tables else None


def _inside_model(path: str, files: "Mapping[str, str | Path]") -> bool:
    """Whether a file belongs to a model that was logged beside."""
    return any(f"{parent.as_posix()}/MLmodel" in files for parent in Path(path).parents)


def _read(path: Path, name: str) -> "pl.DataFrame":
    import polars as pl

    from bakeoff.data.json_lines import values_of

    try:
        if name.endswith(".parquet"):
            return pl.read_parquet(path, glob=False)
        if name.endswith(".csv"):
            return pl.read_csv(path, infer_schema_length=None, glob=False)
        parts = list(values_of(path, name=name))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{name}: expected a table of rows, found: {error}") from error
    if bad := [each for part in parts for each in part.bad]:
        raise DataError(f"{name}: expected JSON objects of rows; line {bad[0].line}: {bad[0].reason}")
    table = pl.concat([part.table for part in parts], how="diagonal_relaxed")
    if not table.width or not table.height:
        raise DataError(f"{name}: expected a table of rows, found {table.height} rows of {table.width} columns")
    return table


def _dataset(run: Run) -> str | None:
    """The dataset that the rows are of; None where the run names none, or several."""
    used = {each.version for each in run.inputs if each.context not in {"training", "train", "validation"}}
    used = used or {each.version for each in run.inputs}
    return next(iter(used)) if len(used) == 1 else None


def _price(blobs: BlobStore, run: Run) -> float | None:
    """What 1,000 rows cost, as bakeoff measured it."""
    if SCORECARD not in run.artifacts:
        return None
    price = json.loads(blobs.get(run.artifacts[SCORECARD])).get("cost_usd_per_1k")
    return None if price is None else float(price)


def _outcomes(records: RecordStore, blobs: BlobStore, run: Run, data: DataConfig | None) -> RowResults:
    """What a candidate of bakeoff said of the test rows, with the columns that these had as they were read."""
    import polars as pl

    from bakeoff.loop.dataset import load_table
    from bakeoff.loop.stored_outcome import dependence_of, outcome_of, rows_of

    table = load_table(blobs, run.artifacts[OUTCOMES])
    table = table.drop(name for name in table.columns if name.startswith(AGAIN))
    try:
        outcome = outcome_of(records, blobs, run.run_id)
        rows = rows_of(records, blobs, run.run_id, "test")
    except NotFoundError:  # the bake-off did not come to its end
        return RowResults(run=run, source=OUTCOMES, table=table, cost_usd_per_1k=_price(blobs, run))
    if rows.height == table.height:
        table = table.hstack([each for each in rows if each.name not in table.columns])
        together = dependence_of(records, blobs, run.run_id, data or DataConfig(target="truth"))
        for name, values in zip((GROUP, TIME), together, strict=True):
            if values is not None:
                table = table.with_columns(pl.Series(name, values))
    return RowResults(
        run=run,
        source=OUTCOMES,
        table=table,
        dataset=outcome.dataset.version,
        task=outcome.task,
        folds=outcome.dataset.folds,
        metric=outcome.verdict.metric,
        cost_usd_per_1k=_price(blobs, run),
    )


# --- traces with assessments --------------------------------------------------------------------


def _of_traces(records: RecordStore, run: Run) -> RowResults:
    """The feedback on each trace of a run, as `mlflow.genai.evaluate` leaves it; several of a name are averaged.

    A trace without feedback is a row without scores, not none: what a scorer left open is missing, and told.
    """
    import polars as pl

    rows: list[dict[str, Any]] = []
    prices: list[float] = []
    scored = False
    for body in _traces(records, run.run_id):
        scores = _feedback(body, run.run_id)
        inputs = _inputs(records, str(body["trace_id"]))
        row = {"trace_id": body["trace_id"], REQUEST: body["tags"].get(EVAL_REQUEST), REQUEST_INPUTS: inputs}
        rows.append({**row, **scores})
        prices += _total_cost(body["metadata"].get(COST))
        scored = scored or bool(scores)
    if not scored:
        raise NotFoundError(
            f"expected run {run.run_id} ({run.name}) to have logged rows: outcomes of bakeoff, a table among its "
            f"artifacts ({', '.join(TABLES)}), or traces with feedback; it has none of them"
        )
    columns = dict.fromkeys(name for row in rows for name in row)
    table = pl.DataFrame({name: pl.Series([row.get(name) for row in rows], strict=False) for name in columns})
    price = 1000 * sum(prices) / len(rows) if len(prices) == len(rows) else None
    return RowResults(run=run, source="traces", table=table, cost_usd_per_1k=price)


def _objects(text: str) -> list[Mapping[str, Any]]:
    """A JSON list of objects that a client wrote; none where it is no such list."""
    try:
        stated = json.loads(text)
    except ValueError:
        return []
    return [each for each in stated if narrow.is_mapping(each)] if narrow.is_array(stated) else []


def _total_cost(text: str | None) -> list[float]:
    """What a trace cost, if that can be read."""
    for each in _objects(f"[{text}]"):
        cost = each.get("total_cost")
        if isinstance(cost, int | float):
            return [float(cost)]
    return []


def _traces(records: RecordStore, run_id: str) -> Iterator[Mapping[str, Any]]:
    query = Query(where=attribute(f"{OF_RUN}{run_id}", "is not null"), lifecycle=None)
    for document in every(lambda each: records.documents.search(TRACES, each), query):
        yield document.body


def _feedback(body: Mapping[str, Any], run_id: str) -> dict[str, float]:
    """Scores by name: numbers, booleans, or yes and no; what other runs said of the same trace is not this one's."""
    values: dict[str, list[float]] = {}
    for each in body["assessments"]:
        feedback = each.get("feedback")
        if feedback is None or not each.get("valid", True) or feedback.get("error"):
            continue
        if each.get("metadata", {}).get(SOURCE_RUN, run_id) != run_id:
            continue
        score = _score(feedback.get("value"))
        if score is not None:
            values.setdefault(str(each["assessment_name"]), []).append(score)
    return {name: sum(each) / len(each) for name, each in values.items()}


def _score(value: object) -> float | None:
    if isinstance(value, bool | int | float):
        return float(value)
    return {"yes": 1.0, "no": 0.0}.get(value.strip().lower()) if isinstance(value, str) else None


def _inputs(records: RecordStore, trace_id: str) -> str | None:
    """A digest of what the first span of a trace was asked."""
    for document in records.documents.find(SPANS, f"{trace_id}/"):
        span: Any = document.body["span"]
        if span.get("parent_span_id"):
            continue
        for each in span.get("attributes", []):
            if each.get("key") == INPUTS:
                inputs = json.dumps(each.get("value"), sort_keys=True)
                return sha256(inputs.encode()).hexdigest()[:16]
    return None
