"""Look at the training rows of a dataset once: leaks, columns that say nothing, classes out of balance."""

import io

import msgspec

from bakeoff.core.types import Json, Schema
from bakeoff.environment.capture import versions_of
from bakeoff.loop.cache import Result, Steps
from bakeoff.loop.context import Stage

__all__ = ["examine"]


def examine(stage: Stage, steps: Steps, *, table_blob: str, rows_blob: str, schema: Schema, code: str) -> Result:
    """What `bakeoff.prepare.checks.findings` found, as JSON for the dataset's part of the document."""
    inputs: dict[str, Json] = {
        "table": table_blob,
        "rows": rows_blob,
        "schema": msgspec.to_builtins(schema),
        "task": stage.config.project.task,
        "seed": stage.seed,
        "code": code,
        "environment": versions_of(("polars", "numpy")),
    }

    def work() -> Result:
        import numpy as np
        import polars as pl

        from bakeoff.prepare.checks.findings import find

        with np.load(io.BytesIO(stage.blobs.get(rows_blob)), allow_pickle=False) as rows:
            train = rows["train"]
        columns = sorted({*schema.inputs, schema.target, schema.time or schema.target})
        table = pl.read_parquet(io.BytesIO(stage.blobs.get(table_blob)), columns=columns)[train]
        found = find(table, schema, stage.config.project.task, seed=stage.seed)
        for each in found.found:
            stage.progress(f"data: {each.told}")
        return found.to_json()

    return steps.once(steps.key("examine", inputs), work)
