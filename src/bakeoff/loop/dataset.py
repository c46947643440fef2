"""The first steps: read → schema → snapshot → prepare → split. What comes out is a `Gathered`."""

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.core.closure import code_of
from bakeoff.core.hashing import digest_file, digest_json
from bakeoff.core.ledger import Ledger, Loss
from bakeoff.core.protocols import BlobStore
from bakeoff.core.types import Column, Json, Schema
from bakeoff.data.sources import SourceFile
from bakeoff.environment.capture import versions_of
from bakeoff.loop import losses
from bakeoff.loop.cache import Result, Steps
from bakeoff.loop.candidate_losses import unused_settings
from bakeoff.loop.context import Stage
from bakeoff.loop.contract import hold, violating
from bakeoff.loop.data_findings import examine
from bakeoff.loop.feedback_rows import fitting
from bakeoff.loop.losses import check_lost, decoded, gone_classes, of_reading, of_split, rows_read
from bakeoff.loop.sides import sides
from bakeoff.loop.sources import ingested, resolve_all
from bakeoff.report.ledger import alarms, doubts

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.prepare.steps import Preparation

__all__ = ["Gathered", "gather", "load_arrays", "load_table"]

DATA_CODE = (
    *(f"bakeoff.data.{name}" for name in ("reading", "schema", "snapshot", "target", "contract_check", "sources")),
    *(f"bakeoff.prepare.{name}" for name in ("steps", "losses", "checks.findings")),
    *(f"bakeoff.loop.{name}" for name in ("sides", "feedback_rows", "contract")),
)
"""The modules that work on rows before any model sees them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A dataset version, ready for fitting.

    `snapshot_blob` is the table as read and `table_blob` as prepared (Parquet); `rows_blob` (.npz) holds row
    indexes into the prepared table for train, validation and test, and `kept`, the snapshot's row of each
    prepared one; `hashes_blob` one content hash for each prepared row (.npy). `ledger` is what became of all rows and
    columns (None: gathered by a version that kept none); `inherited` names the columns that are what they were in the
    live model's data, against what their values show now.
    """

    version: str
    schema: Schema
    snapshot_blob: str
    table_blob: str
    rows_blob: str
    hashes_blob: str
    summary: Mapping[str, Json]
    ledger: Ledger | None = None
    inherited: tuple[str, ...] = ()

    @property
    def test_rows(self) -> int:
        """Rows of the test split."""
        return cast("int", self.summary["test"])

    @property
    def folds(self) -> int:
        """In how many folds the rows are tested; 0: one test part."""
        return cast("int", self.summary["folds"])


def gather(stage: Stage, steps: Steps) -> Gathered:
    """Read the sources and all feedback taken in so far, keep a snapshot, prepare and split it.

    Raises:
        DataError: the data cannot be used, or more of it was lost than `[data] max_lost`.
    """
    snapshot = _snapshot(stage, steps)
    parts = _parts(stage, steps, snapshot)
    schema = msgspec.convert(snapshot["schema"], Schema)
    ledger = _ledger(stage, snapshot, parts, schema)
    check_lost(ledger, stage.config.data)
    for line in (*alarms(ledger), *(f"in doubt: {each}" for each in doubts(ledger))):
        stage.progress(f"ledger: {line}")
    table_blob, rows_blob = cast("str", parts["table_blob"]), cast("str", parts["rows_blob"])
    examined = examine(stage, steps, table_blob=table_blob, rows_blob=rows_blob, schema=schema, code=data_code())
    return Gathered(
        version=cast("str", snapshot["version"]),
        schema=schema,
        snapshot_blob=cast("str", snapshot["table_blob"]),
        table_blob=table_blob,
        rows_blob=rows_blob,
        hashes_blob=cast("str", parts["hashes_blob"]),
        summary=_summary(cast("Result", snapshot["summary"]), cast("Result", parts["summary"]), examined),
        ledger=ledger,
        inherited=tuple(cast("list[str]", snapshot.get("inherited", ()))),
    )


def _ledger(stage: Stage, snapshot: Result, parts: Result, schema: Schema) -> Ledger:
    """What became of every row that the sources and feedback brought."""
    read, split = cast("Result", snapshot["ledger"]), cast("Result", parts["ledger"])
    losses = [*decoded(read["losses"]), *decoded(split["losses"]), *unused_settings(stage.config, schema)]
    classes = cast("dict[str, int]", split["classes"])
    ledger = Ledger(rows_in=cast("int", read["rows"]), rows_used=cast("int", split["rows"]), classes=classes)
    ledger = ledger.with_losses([*losses, *gone_classes(losses, classes)])
    assert ledger.balanced, f"{ledger.rows_in} rows in, {ledger.rows_used} used, {ledger.rows_lost} lost"
    return ledger


def _summary(*parts: Result) -> Result:
    """What all parts tell; each may have warnings."""
    told: Result = {key: value for part in parts for key, value in part.items()}
    told["warnings"] = [each for part in parts for each in cast("list[Json]", part.get("warnings", []))]
    return told


def data_code() -> str:
    """Hash of the code that reads, prepares and splits."""
    # What is lost is counted in a module that shares its words with reports: of it, the file alone counts.
    return digest_json([code_of(*DATA_CODE), digest_file(Path(losses.__file__))])


def load_arrays(blobs: BlobStore, blob: str) -> Any:
    """The arrays that a .npy or .npz blob holds."""
    import numpy as np

    return np.load(io.BytesIO(blobs.get(blob)), allow_pickle=False)


def load_table(blobs: BlobStore, blob: str, columns: Sequence[str] | None = None) -> "pl.DataFrame":
    """The table (or some columns of it) that a Parquet blob holds."""
    import polars as pl

    return pl.read_parquet(io.BytesIO(blobs.get(blob)), columns=None if columns is None else list(columns))


def _snapshot(stage: Stage, steps: Steps) -> Result:
    files = resolve_all(stage)
    inputs: dict[str, Json] = {
        "files": [[name, *(file.digest for file in listed)] for name, listed in files.items()],
        "data": stage.config.data.model_dump(mode="json", exclude={"source", "sources", "max_lost"}),
        "task": stage.config.project.task,
        "contract": stage.contract.version if stage.contract else None,
        "code": data_code(),
        "environment": cast("Json", versions_of(("polars", "duckdb"))),
    }
    if stage.precedent is not None:
        columns = {"inputs": dict(stage.precedent.inputs), "aside": sorted(stage.precedent.aside)}
        inputs["precedent"] = cast("Json", columns)
    key = steps.key("read", inputs)
    snapshot = steps.once(key, lambda: _read(stage, files))
    feedback = ingested(stage)
    if feedback is None:
        return snapshot
    joined = steps.key("join", {"read": key, "feedback": [feedback["rows_blob"], feedback.get("losses")]})
    return steps.once(joined, lambda: _join(stage, snapshot, feedback))


def _read(stage: Stage, files: Mapping[str, Sequence[SourceFile]]) -> Result:
    from bakeoff.data.reading import read
    from bakeoff.data.schema import infer
    from bakeoff.data.snapshot import version_of
    from bakeoff.data.target import name_classes, prepare_target

    stage.progress("reading " + ", ".join(file.location for listed in files.values() for file in listed))
    task = stage.config.project.task
    reading = read(stage.config.data, files)
    named = name_classes(reading.table, stage.config.data, task, reading.formats)
    held = hold(stage, named.table)
    inferred = infer(named.table, stage.config.data, task, named.formats, stage.precedent)
    prepared = prepare_target(named.table, inferred.schema, task)
    table = prepared.table
    losses = of_reading(reading, inferred, [*named.losses, *prepared.losses], stage.config.data)
    set_aside = {loss.reason: loss.count for loss in prepared.losses if loss.kind == "row"}
    warnings: list[Json] = [
        {"kind": "labels", "column": inferred.schema.target, "told": warning}
        for warning in (*named.warnings, *prepared.warnings)
    ]
    for warning in (*named.warnings, *prepared.warnings):
        stage.progress(f"data: {warning}")
    version = version_of(table)
    return {
        "version": version,
        "ledger": {"rows": rows_read(reading), "losses": msgspec.to_builtins(losses)},
        "table_blob": _put_table(stage, table),
        "rejected_blob": _put_table(stage, reading.rejected) if len(reading.rejected) else None,
        "schema": msgspec.to_builtins(inferred.schema),
        "inherited": list(inferred.inherited),
        "summary": {
            "version": version,
            "rows": len(table),
            "columns": len(inferred.schema.columns),
            "rejected": len(reading.rejected),
            "set_aside": cast("Json", set_aside),
            "from_feedback": 0,
            "schema_notes": [*inferred.notes, *named.notes, *reading.notes],
            "files": [
                {"table": name, "location": file.location, "digest": file.digest}
                for name, listed in files.items()
                for file in listed
            ],
            "contract": held,
            "warnings": [*(cast("list[Json]", held["warnings"]) if held else []), *warnings],
        },
    }


def _join(stage: Stage, snapshot: Result, feedback: Mapping[str, Json]) -> Result:
    """Append labelled rows to what was read; those that do not fit are set aside and counted."""
    import polars as pl

    from bakeoff.data.snapshot import version_of

    schema = msgspec.convert(snapshot["schema"], Schema)
    table = pl.read_parquet(io.BytesIO(stage.blobs.get(cast("str", snapshot["table_blob"]))))
    fed = pl.read_parquet(io.BytesIO(stage.blobs.get(cast("str", feedback["rows_blob"]))))
    table, schema = _with_rejected(table, schema, fed, stage.config.data.rejected_column)
    config = stage.config
    kept, misfits = fitting(fed, schema, table[schema.target], config.project.task, config.data.labels)
    bad_n = violating(stage, kept, schema)
    sound = kept if bad_n is None else kept.filter(~bad_n)
    table = pl.concat([table, sound])
    version = version_of(table)
    summary = dict(cast("Result", snapshot["summary"]))
    violations = Loss(kind="row", reason="feedback that violates the contract", count=len(kept) - len(sound))
    earlier = msgspec.convert(feedback.get("losses") or [], list[Loss])
    losses = [loss for loss in (*earlier, *misfits, violations) if loss.count]
    set_aside = dict(cast("dict[str, int]", summary["set_aside"]))
    for loss in losses:
        if loss.kind == "row":
            set_aside[loss.reason] = set_aside.get(loss.reason, 0) + loss.count
    summary |= {"version": version, "rows": len(table), "from_feedback": len(sound)}
    summary["set_aside"] = cast("Json", set_aside)
    summary["columns"] = len(schema.columns)
    changed: Result = {"version": version, "schema": msgspec.to_builtins(schema), "summary": summary}
    read = cast("Result", snapshot["ledger"])
    changed["ledger"] = {
        "rows": cast("int", read["rows"]) + cast("int", feedback.get("brought", len(fed))),
        "losses": [*cast("list[Json]", read["losses"]), *msgspec.to_builtins(losses)],
    }
    return {**snapshot, **changed, "table_blob": _put_table(stage, table)}


def _with_rejected(
    table: "pl.DataFrame", schema: Schema, fed: "pl.DataFrame", name: str
) -> "tuple[pl.DataFrame, Schema]":
    """The table with an empty column for the answers that were turned down, when feedback brings the first."""
    import polars as pl

    if schema.rejected is not None or name not in fed.columns or fed[name].null_count() == len(fed):
        return table, schema
    column = Column(name=name, kind="text", dtype="String", missing=len(table))
    columns = (*schema.columns, column)
    return table.with_columns(pl.lit(None, dtype=pl.String).alias(name)), replace(
        schema, columns=columns, rejected=name
    )


def _put_table(stage: Stage, table: Any) -> str:
    from bakeoff.data.snapshot import write

    with tempfile.TemporaryDirectory(dir=stage.work) as scratch:
        path = Path(scratch) / "table.parquet"
        write(table, path)
        return stage.blobs.put(path)


def _parts(stage: Stage, steps: Steps, snapshot: Result) -> Result:
    from bakeoff.prepare.steps import Preparation

    config = stage.config
    preparation = Preparation(config.prepare.specs)
    inputs: dict[str, Json] = {
        "table": snapshot["table_blob"],
        "schema": snapshot["schema"],
        "split": config.split.model_dump(mode="json"),
        "steps": preparation.key,
        "seed": stage.seed,
        "code": data_code(),
        "environment": cast("Json", versions_of(("polars", "numpy", "scipy", *preparation.requires))),
    }
    return steps.once(steps.key("split", inputs), lambda: _split(stage, snapshot, preparation))


def _split(stage: Stage, snapshot: Result, preparation: "Preparation") -> Result:
    import numpy as np

    from bakeoff.data.snapshot import read, row_hashes
    from bakeoff.prepare.losses import class_counts

    schema = msgspec.convert(snapshot["schema"], Schema)
    stage.progress("preparing and splitting")
    with tempfile.TemporaryDirectory(dir=stage.work) as scratch:
        folder = Path(scratch)
        table = read(stage.blobs.fetch(cast("str", snapshot["table_blob"]), folder / "read.parquet"))
        prepared = preparation.apply_rows_and_columns(table, schema)
        arrays, told = sides(stage.config, prepared.table, schema)
        used = np.unique(np.concatenate([arrays[name] for name in ("train", "validation", "test")]))
        unused = prepared.table[np.setdiff1d(np.arange(len(prepared.table)), used)]
        lost = [*prepared.losses, *of_split(unused, schema, of=len(prepared.table))]
        ledger = {"rows": len(used), "losses": msgspec.to_builtins([loss for loss in lost if loss.count])}
        for warning in cast("list[dict[str, Json]]", told["warnings"]):
            stage.progress(f"split: {warning['told']}")
        np.savez(folder / "rows.npz", allow_pickle=False, kept=prepared.kept, **arrays)
        hashed = prepared.table.select(*schema.inputs, schema.target)
        np.save(folder / "hashes.npy", row_hashes(hashed))
        return {
            "table_blob": _put_table(stage, prepared.table),
            "rows_blob": stage.blobs.put(folder / "rows.npz"),
            "hashes_blob": stage.blobs.put(folder / "hashes.npy"),
            "ledger": {**ledger, "classes": cast("Json", class_counts(prepared.table[used], schema))},
            "summary": {
                "prepared_rows": len(prepared.table),
                **told,
                "changes": msgspec.to_builtins(prepared.changes),
            },
        }
