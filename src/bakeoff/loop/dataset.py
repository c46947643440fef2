"""The first steps: read → schema → snapshot → prepare → split. What comes out is a `Gathered`."""

import io
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.core import narrow
from bakeoff.core.addresses import without_password
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
from bakeoff.loop.expect import dear, expect_of_rows, quick
from bakeoff.loop.feedback_rows import fitting
from bakeoff.loop.losses import check_lost, gone_classes, of_reading, of_split, rows_read
from bakeoff.loop.sides import sides
from bakeoff.loop.sources import ingested, resolve_all
from bakeoff.report.ledger import alarms, doubts
from bakeoff.results.data import ContractOutcome, Dataset

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.prepare.steps import Preparation

__all__ = ["Gathered", "gather", "load_arrays", "load_table"]

DATA_CODE = (
    *(f"bakeoff.data.{name}" for name in ("reading", "schema", "snapshot", "target", "contract_check", "sources")),
    *(f"bakeoff.prepare.{name}" for name in ("steps", "losses", "checks.findings")),
    *(f"bakeoff.loop.{name}" for name in ("sides", "feedback_rows", "label_screening", "contract")),
)
"""The modules that work on rows before any model sees them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCount:
    """How many rows a step took (or, of the last one, used; by class), and what was lost by it."""

    rows: int
    losses: tuple[Loss, ...]
    classes: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTable:
    """The result of the steps `read` and `join`: the table, its schema, and what goes into the run's `Dataset`."""

    version: str
    table_blob: str
    rejected_blob: str | None
    schema: Schema
    ledger: RowCount
    inherited: tuple[str, ...]
    set_aside: Mapping[str, int]
    contract: ContractOutcome | None
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTable:
    """The result of the step `split`: the prepared table and its parts, and what goes into the run's `Dataset`."""

    table_blob: str
    rows_blob: str
    hashes_blob: str
    ledger: RowCount
    summary: Mapping[str, Any]


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
    summary: Dataset
    ledger: Ledger | None = None
    inherited: tuple[str, ...] = ()

    @property
    def test_rows(self) -> int:
        """Rows of the test split."""
        return self.summary.test

    @property
    def folds(self) -> int:
        """In how many folds the rows are tested; 0: one test part."""
        return self.summary.folds

    @property
    def repeats(self) -> int:
        """How many times the rows are dealt into folds."""
        return self.summary.repeats


def gather(stage: Stage, steps: Steps) -> Gathered:
    """Read the sources and all feedback taken in so far, keep a snapshot, prepare and split it.

    Raises:
        DataError: the data cannot be used, or more of it was lost than `[data] max_lost`.
    """
    snapshot = _snapshot(stage, steps)
    schema = snapshot.schema
    parts = _parts(stage, steps, snapshot)
    ledger = _ledger(stage, snapshot, parts)
    check_lost(ledger, stage.config.data)
    for line in (*alarms(ledger), *(f"in doubt: {each}" for each in doubts(ledger))):
        stage.progress(f"ledger: {line}")
    examined = examine(
        stage, steps, table_blob=parts.table_blob, rows_blob=parts.rows_blob, schema=schema, code=data_code()
    )
    return Gathered(
        version=snapshot.version,
        schema=schema,
        snapshot_blob=snapshot.table_blob,
        table_blob=parts.table_blob,
        rows_blob=parts.rows_blob,
        hashes_blob=parts.hashes_blob,
        summary=_summary(snapshot, parts, examined),
        ledger=ledger,
        inherited=snapshot.inherited,
    )


def _ledger(stage: Stage, snapshot: ReadTable, parts: SplitTable) -> Ledger:
    """What became of every row that the sources and feedback brought."""
    read, used = snapshot.ledger, parts.ledger
    losses = [*read.losses, *used.losses, *unused_settings(stage.config, snapshot.schema)]
    ledger = Ledger(rows_in=read.rows, rows_used=used.rows, classes=used.classes)
    ledger = ledger.with_losses([*losses, *gone_classes(losses, used.classes)])
    assert ledger.balanced, f"{ledger.rows_in} rows in, {ledger.rows_used} used, {ledger.rows_lost} lost"
    return ledger


def _summary(snapshot: ReadTable, parts: SplitTable, examined: Result) -> Dataset:
    """What all steps say of the dataset; each may have warnings, those of the contract first."""
    contract = msgspec.to_builtins(snapshot.contract)
    bodies: list[Mapping[str, Any]] = [contract or {}, snapshot.summary, parts.summary, examined]
    about = {
        "version": snapshot.version,
        "columns": len(snapshot.schema.columns),
        "set_aside": snapshot.set_aside,
        "contract": contract,
        "warnings": [warning for body in bodies for warning in body.get("warnings", ())],
    }
    return msgspec.convert({**snapshot.summary, **parts.summary, **examined, **about}, Dataset)


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


def _snapshot(stage: Stage, steps: Steps) -> ReadTable:
    files = resolve_all(stage)
    inputs: dict[str, Json] = {
        "files": [[name, *(file.digest for file in listed)] for name, listed in files.items()],
        "data": stage.config.data.model_dump(mode="json", exclude={"source", "sources", "max_lost"}),
        "task": stage.config.project.task,
        "contract": stage.contract.version if stage.contract else None,
        "code": data_code(),
        "environment": versions_of(("polars", "duckdb")),
    }
    if stage.precedent is not None:
        columns = {"inputs": dict(stage.precedent.inputs), "aside": sorted(stage.precedent.aside)}
        inputs["precedent"] = columns
    key = steps.key("read", inputs)
    snapshot = _placed(steps.made(key, ReadTable, lambda: _read(stage, files)), files)
    feedback = ingested(stage)
    if feedback is None:
        return snapshot
    screens = [stage.config.loop.screen_labels, stage.seed]
    joined = steps.key("join", {"read": key, "feedback": [feedback["rows_blob"], feedback.get("losses"), screens]})
    return _placed(steps.made(joined, ReadTable, lambda: _join(stage, snapshot, feedback)), files)


def _placed(made: ReadTable, files: Mapping[str, Sequence[SourceFile]]) -> ReadTable:
    """With the places of the files that this run names: a step may come from another place, or another member."""
    placed = [
        {"table": name, "location": without_password(file.location), "digest": file.digest}
        for name, listed in files.items()
        for file in listed
    ]
    return replace(made, summary={**made.summary, "files": placed})


def _read(stage: Stage, files: Mapping[str, Sequence[SourceFile]]) -> ReadTable:
    from bakeoff.data.reading import read
    from bakeoff.data.schema import infer
    from bakeoff.data.snapshot import version_of
    from bakeoff.data.target import name_classes, prepare_target

    locations = [without_password(file.location) for listed in files.values() for file in listed]
    stage.progress(f"reading {', '.join(locations)}")
    task = stage.config.project.task
    reading = read(stage.config.data, files)
    named = name_classes(reading.table, stage.config.data, task, reading.formats)
    contract = hold(stage, named.table)
    inferred = infer(named.table, stage.config.data, task, named.formats, stage.precedent)
    prepared = prepare_target(named.table, inferred.schema, task)
    table = prepared.table
    expect_of_rows(stage, inferred.schema, table[inferred.schema.target].n_unique() if task == "classification" else 0)
    losses = of_reading(reading, inferred, [*named.losses, *prepared.losses], stage.config.data)
    set_aside = {loss.reason: loss.count for loss in prepared.losses if loss.kind == "row"}
    warnings: list[Json] = [
        {"kind": "labels", "column": inferred.schema.target, "told": warning}
        for warning in (*named.warnings, *prepared.warnings)
    ]
    for warning in (*named.warnings, *prepared.warnings):
        stage.progress(f"data: {warning}")
    return ReadTable(
        version=version_of(table),
        table_blob=_put_table(stage, table),
        rejected_blob=_put_table(stage, reading.rejected) if len(reading.rejected) else None,
        schema=inferred.schema,
        ledger=RowCount(rows=rows_read(reading), losses=tuple(losses)),
        inherited=tuple(inferred.inherited),
        set_aside=set_aside,
        contract=contract,
        summary={
            "rows": len(table),
            "rejected": len(reading.rejected),
            "from_feedback": 0,
            "schema_notes": [*inferred.notes, *named.notes, *reading.notes],
            "warnings": warnings,
        },
    )


def _join(stage: Stage, snapshot: ReadTable, feedback: Mapping[str, Json]) -> ReadTable:
    """Append labelled rows to what was read; those that do not fit are set aside and counted."""
    import polars as pl

    from bakeoff.data.snapshot import version_of

    table = pl.read_parquet(io.BytesIO(stage.blobs.get(snapshot.table_blob)))
    fed = pl.read_parquet(io.BytesIO(stage.blobs.get(narrow.text(feedback["rows_blob"]))))
    table, schema = _with_rejected(table, snapshot.schema, fed, stage.config.data.rejected_column)
    config = stage.config
    fits, misfits = fitting(fed, schema, table[schema.target], config.project.task, config.data.labels)
    bad_n = violating(stage, fits, schema)
    sound = fits if bad_n is None else fits.filter(~bad_n)
    rows, screen_losses = _screened(stage, table, sound, schema)
    table = pl.concat([table, rows])
    violations = Loss(kind="row", reason="feedback that violates the contract", count=len(fits) - len(sound))
    earlier = msgspec.convert(feedback.get("losses") or [], list[Loss])
    losses = [loss for loss in (*earlier, *misfits, violations, *screen_losses) if loss.count]
    set_aside = Counter(snapshot.set_aside)
    for loss in losses:
        if loss.kind == "row":
            set_aside[loss.reason] += loss.count
    brought = narrow.whole(feedback.get("brought", len(fed)))
    return replace(
        snapshot,
        version=version_of(table),
        table_blob=_put_table(stage, table),
        schema=schema,
        ledger=RowCount(rows=snapshot.ledger.rows + brought, losses=(*snapshot.ledger.losses, *losses)),
        set_aside=set_aside,
        summary={
            **{name: each for name, each in snapshot.summary.items() if name != "files"},
            "rows": len(table),
            "from_feedback": len(rows),
            "feedback_until_ms": feedback.get("until_ms"),
        },
    )


def _screened(
    stage: Stage, table: "pl.DataFrame", fed: "pl.DataFrame", schema: Schema
) -> "tuple[pl.DataFrame, Sequence[Loss]]":
    """The feedback rows without those that repeat, contradict others or look wrong, as `[loop] screen_labels` says."""
    from bakeoff.loop.label_screening import screened

    config = stage.config
    if not config.loop.screen_labels:
        return fed, ()
    return screened(table, fed, schema, config.project.task, seed=stage.seed, cache=stage.cache)


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


def _parts(stage: Stage, steps: Steps, snapshot: ReadTable) -> SplitTable:
    from bakeoff.prepare.steps import Preparation

    config = stage.config
    preparation = Preparation(config.prepare.specs)
    inputs: dict[str, Json] = {
        "table": snapshot.table_blob,
        "schema": msgspec.to_builtins(snapshot.schema),
        "split": config.split.model_dump(mode="json"),
        "once": [dear(stage), quick(stage), config.decide.calibrate],
        "steps": preparation.key,
        "seed": stage.seed,
        "code": data_code(),
        "environment": versions_of(("polars", "numpy", "scipy", *preparation.requires)),
    }
    return steps.made(steps.key("split", inputs), SplitTable, lambda: _split(stage, snapshot, preparation))


def _split(stage: Stage, snapshot: ReadTable, preparation: "Preparation") -> SplitTable:
    import numpy as np

    from bakeoff.data.snapshot import read, row_hashes
    from bakeoff.prepare.losses import class_counts

    schema = snapshot.schema
    stage.progress("preparing and splitting")
    with tempfile.TemporaryDirectory(dir=stage.work) as scratch:
        folder = Path(scratch)
        table = read(stage.blobs.fetch(snapshot.table_blob, folder / "read.parquet"))
        prepared = preparation.apply_rows_and_columns(table, schema)
        arrays, facts = sides(stage.config, prepared.table, schema, dear=dear(stage), quick=quick(stage))
        for warning in facts.warnings:
            stage.progress(f"split: {warning.told}")
        used = np.unique(np.concatenate([arrays[name] for name in ("train", "validation", "test")]))
        unused = prepared.table[np.setdiff1d(np.arange(len(prepared.table)), used)]
        losses = [*prepared.losses, *of_split(unused, schema, of=len(prepared.table))]
        np.savez(folder / "rows.npz", allow_pickle=False, kept=prepared.kept, **arrays)
        hashed = prepared.table.select(*schema.inputs, schema.target)
        np.save(folder / "hashes.npy", row_hashes(hashed))
        about = {"prepared_rows": len(prepared.table), "changes": prepared.changes}
        return SplitTable(
            table_blob=_put_table(stage, prepared.table),
            rows_blob=stage.blobs.put(folder / "rows.npz"),
            hashes_blob=stage.blobs.put(folder / "hashes.npy"),
            ledger=RowCount(
                rows=len(used),
                losses=tuple(loss for loss in losses if loss.count),
                classes=class_counts(prepared.table[used], schema),
            ),
            summary={**msgspec.to_builtins(facts), **msgspec.to_builtins(about)},
        )
