"""The process that works on blocks: a plan on stdin's second line, then tasks; an answer on stdout for each."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bakeoff.core.errors import BakeoffError, DataError
from bakeoff.core.memory import peak_resident_bytes
from bakeoff.core.types import Column, Schema
from bakeoff.prepare.corpus.columns import conform, not_finite
from bakeoff.prepare.corpus.parsing import Parsed, look, parse
from bakeoff.prepare.corpus.spill import write_keys
from bakeoff.prepare.corpus.stages import ROW, columns_file, keys_file, mask_file, part_file, spill_file, stages
from bakeoff.prepare.corpus.work import Done, Plan, StepDone, Task
from bakeoff.prepare.corpus.writing import placed, write_part
from bakeoff.prepare.rows.comparison import RowComparison
from bakeoff.prepare.steps import Apply, Preparation, Step

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Worker", "main"]

SHOWN = 5


class Worker:
    """The steps of a plan, bound once, applied to block after block."""

    def __init__(self, plan: Plan) -> None:
        from bakeoff.prepare.corpus.tokenising import tokenise

        self._plan, self._folder = plan, Path(plan.folder)
        self._stages = stages(Preparation(plan.steps, file="steps").bound)
        columns = tuple(Column(name=name, kind="text", dtype="String") for name in plan.text)
        self._schema = Schema(columns=columns, target=plan.target, inputs=tuple(plan.text))
        self._tokenise = tokenise(plan.tokens, plan.text) if plan.tokens else None
        self._types: dict[str, pl.DataType] | None = None

    def at(self, folder: Path) -> "Worker":
        """The same worker, in another folder, with a corpus of its own."""
        self._folder, self._types = folder, None
        return self

    def do(self, task: Task) -> Done:
        """Work on one block."""
        if task.stage is None:
            return self._look(task)
        if task.stage == 0:
            parsed = self._parsed(task)
            table = parsed.table.with_columns(_row_numbers(parsed.table.height))
        else:
            parsed, table = None, self._kept(task)
        read, text_bytes = table.height, _bytes(table, self._plan.text)
        steps: list[StepDone] = []
        stage = self._stages[task.stage]
        for step, apply in stage.local:
            table, done = _timed(step, apply, table, self._schema)
            steps.append(done)
        base = Done(part=task.part, read=read, rows=table.height, steps=steps, text_bytes=text_bytes)
        if parsed is not None and parsed.bad:
            from bakeoff.prepare.text.marks import marked  # its patterns take a while to compile

            base = msgspec.structs.replace(base, bad=[marked(line) for line in parsed.bad[:SHOWN]])
        if parsed is not None:
            base = msgspec.structs.replace(base, bad_lines=len(parsed.bad), halves=parsed.halves)
        if stage.comparison is not None:
            return self._compared(task, stage.comparison, table, base)
        return self._finished(task, table, base)

    @staticmethod
    def _look(task: Task) -> Done:
        assert task.block is not None
        seen = look(task.block, number=task.part)
        return Done(part=task.part, rows=seen.rows, shape=seen.shape, bad_lines=seen.bad_lines, rounded=seen.rounded)

    def _parsed(self, task: Task) -> Parsed:
        """The rows of a block, in the columns of the corpus."""
        assert task.block is not None
        block, types = task.block, self._columns()
        first_row = block.start if block.format == "parquet" else 0
        try:
            parsed = parse(block, types, careful=task.careful)
            return dataclasses.replace(parsed, table=conform(parsed.table, types, first_row=first_row))
        except DataError as error:
            where = "" if block.format == "parquet" else f", from byte {block.start:,}"
            raise DataError(f"{Path(block.file).name}{where}: {error}") from error

    def _columns(self) -> "dict[str, pl.DataType]":
        import polars as pl

        if self._types is None:
            self._types = dict(pl.scan_ipc(columns_file(self._folder), glob=False).collect_schema())
        return self._types

    def _kept(self, task: Task) -> "pl.DataFrame":
        """The rows of the stage before that its comparison keeps."""
        import polars as pl

        assert task.stage is not None
        table = pl.scan_ipc(spill_file(self._folder, task.stage - 1, task.part), glob=False).collect()
        kept = np.fromfile(mask_file(self._folder, task.stage - 1), dtype=bool, count=table.height, offset=task.kept)
        return table.filter(kept)

    def _compared(self, task: Task, found: tuple[Step, RowComparison], table: "pl.DataFrame", base: Done) -> Done:
        assert task.stage is not None
        started = perf_counter()
        keys = found[1].keys(table, self._schema)
        placed(keys_file(self._folder, task.stage, task.part), lambda path: write_keys(keys, path))
        seconds = perf_counter() - started
        size_bytes = placed(
            spill_file(self._folder, task.stage, task.part), lambda path: table.write_ipc(path, compression="lz4")
        )
        step = StepDone(step=found[0].name, rows_in=table.height, rows_out=0, cells_changed=0, seconds=seconds)
        return msgspec.structs.replace(
            base,
            steps=[*base.steps, step],
            keys=keys.key_cn.shape[0],
            size_bytes=size_bytes,
        )

    def _finished(self, task: Task, table: "pl.DataFrame", base: Done) -> Done:
        table = table.drop(ROW)
        if self._tokenise is not None:
            started = perf_counter()
            table, tokens = self._tokenise(table)
            seconds = perf_counter() - started
            rows = table.height
            step = StepDone(step="tokenise", rows_in=rows, rows_out=rows, cells_changed=0, seconds=seconds)
            base = msgspec.structs.replace(base, steps=[*base.steps, step], tokens=tokens)
        part = part_file(self._folder, task.part, self._plan.suffix)
        emptied = 0 if self._plan.suffix == ".parquet" else sum(map(not_finite, table.get_columns()))
        size_bytes = placed(part, lambda path: write_part(table, path))
        return msgspec.structs.replace(base, size_bytes=size_bytes, not_finite=emptied)


def _row_numbers(rows: int) -> "pl.Series":
    """The number of each row within its block, as a column that no corpus has."""
    import polars as pl

    return pl.Series(ROW, np.arange(rows, dtype=np.uint32))


def _timed(step: Step, apply: Apply, table: "pl.DataFrame", schema: Schema) -> "tuple[pl.DataFrame, StepDone]":
    from bakeoff.prepare.steps import cells_changed

    started = perf_counter()
    after = apply(table, schema)
    seconds = perf_counter() - started
    cells = cells_changed(table, after, schema) if step.kind == "columns" else 0
    emptied = _missing(after, schema) - _missing(table, schema) if step.kind == "columns" else 0
    return after, StepDone(
        step=step.name,
        rows_in=table.height,
        rows_out=after.height,
        cells_changed=cells,
        cells_emptied=max(0, emptied),
        seconds=seconds,
    )


def _missing(table: "pl.DataFrame", schema: Schema) -> int:
    return sum(table[name].null_count() for name in schema.inputs)


def _bytes(table: "pl.DataFrame", names: list[str]) -> int:
    return sum(int(table[name].str.len_bytes().sum()) for name in names)


def _answered(worker: Worker | BakeoffError, line: bytes) -> dict[str, Any]:
    try:
        if isinstance(worker, BakeoffError):
            raise worker
        done = worker.do(msgspec.json.decode(line, type=Task))
    except BakeoffError as wrong:
        return {"error": str(wrong), "kind": type(wrong).__name__}
    peak = peak_resident_bytes()
    return msgspec.to_builtins(msgspec.structs.replace(done, peak_memory_bytes=peak))


def _made(plan: Plan) -> Worker | BakeoffError:
    """A worker, or what the user did wrong: the answer to the first task."""
    try:
        return Worker(plan)
    except BakeoffError as wrong:
        return wrong


def main() -> None:
    """Answer tasks until stdin closes, which it also does when the parent is gone."""
    sys.path[:] = json.loads(sys.stdin.buffer.readline())["path"]
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not break the protocol
    worker = _made(msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan))
    for line in sys.stdin.buffer:
        print(json.dumps(_answered(worker, line)), file=out, flush=True)
    os._exit(0)  # some libraries' threads hang at interpreter exit


if __name__ == "__main__":
    main()
