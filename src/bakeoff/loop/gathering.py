"""The first steps: read → schema → snapshot → prepare → split. What comes out is a `Gathered`."""

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

import bakeoff.data
import bakeoff.prepare
from bakeoff.core.config import DataConfig
from bakeoff.core.hashing import digest_sources
from bakeoff.core.protocols import BlobStore, Progress
from bakeoff.core.types import Column, Json, Schema
from bakeoff.data.sources import SourceFile, resolve
from bakeoff.environment.capture import versions_of
from bakeoff.loop.contracting import hold, violating
from bakeoff.loop.examining import examine
from bakeoff.loop.splitting import sides
from bakeoff.loop.stage import Stage
from bakeoff.loop.steps import Result, Steps

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.prepare.steps import Preparation

__all__ = ["FEEDBACK", "Gathered", "gather", "ingested", "load_arrays", "load_table", "resolve_all", "resolved"]

FEEDBACK = ("ingested", "feedback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A dataset version, ready for fitting.

    `snapshot_blob` is the table as read and `table_blob` as prepared (Parquet); `rows_blob` (.npz) holds row
    indexes into the prepared table for train, validation and test, and `kept`, the snapshot's row of each
    prepared one; `hashes_blob` one content hash for each prepared row (.npy).
    """

    version: str
    schema: Schema
    snapshot_blob: str
    table_blob: str
    rows_blob: str
    hashes_blob: str
    summary: Mapping[str, Json]

    @property
    def test_rows(self) -> int:
        """Rows of the test split."""
        return cast("int", self.summary["test"])

    @property
    def folds(self) -> int:
        """In how many folds the rows are tested; 0: one test part."""
        return cast("int", self.summary["folds"])


def gather(stage: Stage, steps: Steps) -> Gathered:
    """Read the sources and all feedback taken in so far, keep a snapshot, prepare and split it."""
    snapshot = _snapshot(stage, steps)
    parts = _parts(stage, steps, snapshot)
    schema = msgspec.convert(snapshot["schema"], Schema)
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
    )


def _summary(*parts: Result) -> Result:
    """What all parts tell; each may have warnings."""
    told: Result = {key: value for part in parts for key, value in part.items()}
    told["warnings"] = [each for part in parts for each in cast("list[Json]", part.get("warnings", []))]
    return told


def data_code() -> str:
    """Hash of the code that reads, prepares and splits."""
    return digest_sources(_folder(bakeoff.data), _folder(bakeoff.prepare))


def _folder(package: Any) -> Path:
    return Path(cast("str", package.__file__)).parent


def ingested(stage: Stage) -> Mapping[str, Json] | None:
    """The feedback rows that have joined the data (their blob, number and time), if any."""
    document = stage.records.documents.get(*FEEDBACK)
    return document.body if document else None


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
        "data": stage.config.data.model_dump(mode="json", exclude={"source", "sources"}),
        "task": stage.config.project.task,
        "contract": stage.contract.version if stage.contract else None,
        "code": data_code(),
        "environment": cast("Json", versions_of(("polars", "duckdb"))),
    }
    key = steps.key("read", inputs)
    snapshot = steps.once(key, lambda: _read(stage, files))
    feedback = ingested(stage)
    if feedback is None:
        return snapshot
    joined = steps.key("join", {"read": key, "feedback": feedback["rows_blob"]})
    return steps.once(joined, lambda: _join(stage, snapshot, cast("str", feedback["rows_blob"])))


def resolve_all(stage: Stage) -> dict[str, Sequence[SourceFile]]:
    """The files of every source, fetched and hashed where they are new."""
    return resolved(stage.config.data, folder=stage.folder, cache=stage.cache, progress=stage.progress)


def resolved(data: DataConfig, *, folder: Path, cache: Path, progress: Progress) -> dict[str, Sequence[SourceFile]]:
    """The same without a stage: for a look at the data alone."""
    sources = dict(data.sources) if data.sources else {"source": data.source}
    return {
        name: [
            file for location in locations for file in resolve(location, folder=folder, cache=cache, progress=progress)
        ]
        for name, locations in sources.items()
    }


def _read(stage: Stage, files: Mapping[str, Sequence[SourceFile]]) -> Result:
    from bakeoff.data.reading import read
    from bakeoff.data.schema import infer, prepare_target
    from bakeoff.data.snapshot import version_of

    stage.progress("reading " + ", ".join(file.location for listed in files.values() for file in listed))
    reading = read(stage.config.data, files)
    held = hold(stage, reading.table)
    inferred = infer(reading.table, stage.config.data, stage.config.project.task, reading.formats)
    table, set_aside = prepare_target(reading.table, inferred.schema, stage.config.project.task)
    version = version_of(table)
    return {
        "version": version,
        "table_blob": _put_table(stage, table),
        "rejected_blob": _put_table(stage, reading.rejected) if len(reading.rejected) else None,
        "schema": msgspec.to_builtins(inferred.schema),
        "summary": {
            "version": version,
            "rows": len(table),
            "columns": len(inferred.schema.columns),
            "rejected": len(reading.rejected),
            "set_aside": cast("Json", set_aside),
            "from_feedback": 0,
            "schema_notes": [
                *(f"column {loss.subject!r} is not used: {loss.reason}" for loss in inferred.losses),
                *inferred.notes,
                *reading.notes,
            ],
            "files": [
                {"table": name, "location": file.location, "digest": file.digest}
                for name, listed in files.items()
                for file in listed
            ],
            "contract": held,
            "warnings": held["warnings"] if held else [],
        },
    }


def _join(stage: Stage, snapshot: Result, feedback_blob: str) -> Result:
    """Append labelled rows to what was read; a class that the sources do not know is a slip, and set aside."""
    import polars as pl

    from bakeoff.data.schema import conform
    from bakeoff.data.snapshot import version_of

    schema = msgspec.convert(snapshot["schema"], Schema)
    table = pl.read_parquet(io.BytesIO(stage.blobs.get(cast("str", snapshot["table_blob"]))))
    fed = pl.read_parquet(io.BytesIO(stage.blobs.get(feedback_blob)))
    table, schema = _with_rejected(table, schema, fed, stage.config.data.rejected_column)
    fed = conform(fed, schema.columns)
    fits = pl.col(schema.target).is_not_null()
    if stage.config.project.task == "classification":
        fits &= pl.col(schema.target).is_in(table[schema.target].unique().to_list())
    kept = fed.filter(fits)
    bad_n = violating(stage, kept, schema)
    sound = kept if bad_n is None else kept.filter(~bad_n)
    table = pl.concat([table, sound])
    version = version_of(table)
    summary = dict(cast("Result", snapshot["summary"]))
    set_aside = cast("dict[str, Json]", summary["set_aside"])
    if len(kept) < len(fed):
        set_aside = {**set_aside, "feedback with an unknown label": len(fed) - len(kept)}
    if len(sound) < len(kept):
        set_aside = {**set_aside, "feedback that violates the contract": len(kept) - len(sound)}
    summary |= {"version": version, "rows": len(table), "from_feedback": len(sound), "set_aside": set_aside}
    summary["columns"] = len(schema.columns)
    told = {"version": version, "schema": msgspec.to_builtins(schema), "summary": summary}
    return {**snapshot, **told, "table_blob": _put_table(stage, table)}


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

    schema = msgspec.convert(snapshot["schema"], Schema)
    stage.progress("preparing and splitting")
    with tempfile.TemporaryDirectory(dir=stage.work) as scratch:
        folder = Path(scratch)
        table = read(stage.blobs.fetch(cast("str", snapshot["table_blob"]), folder / "read.parquet"))
        prepared = preparation.apply_rows_and_columns(table, schema)
        arrays, told = sides(stage.config, prepared.table, schema)
        np.savez(folder / "rows.npz", allow_pickle=False, kept=prepared.kept, **arrays)
        hashed = prepared.table.select(*schema.inputs, schema.target)
        np.save(folder / "hashes.npy", row_hashes(hashed))
        return {
            "table_blob": _put_table(stage, prepared.table),
            "rows_blob": stage.blobs.put(folder / "rows.npz"),
            "hashes_blob": stage.blobs.put(folder / "hashes.npy"),
            "summary": {
                "prepared_rows": len(prepared.table),
                **told,
                "changes": msgspec.to_builtins(prepared.changes),
            },
        }
