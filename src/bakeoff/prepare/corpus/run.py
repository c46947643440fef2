"""A chain over a corpus, from files to files: whole or not at all, the same for any number of workers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import msgspec

from bakeoff.core.errors import DataError, UsageError
from bakeoff.core.hashing import canonical_json
from bakeoff.core.ledger import Loss
from bakeoff.core.machine import cores
from bakeoff.core.memory import peak_resident_bytes
from bakeoff.core.protocols import Progress
from bakeoff.core.types import Json
from bakeoff.data.sources import SourceFile, resolve
from bakeoff.prepare.corpus.blocks import Block, cut
from bakeoff.prepare.corpus.clusters import duplicates_of
from bakeoff.prepare.corpus.columns import Columns, columns_of
from bakeoff.prepare.corpus.journal import Compared, Finished, Journal, is_resumable
from bakeoff.prepare.corpus.pool import Pool
from bakeoff.prepare.corpus.report import CorpusDuplicates, CorpusReport, StepReport
from bakeoff.prepare.corpus.shapes import Shape, merged
from bakeoff.prepare.corpus.shards import CorpusCompute, ShardPool
from bakeoff.prepare.corpus.spill import SpilledKeys
from bakeoff.prepare.corpus.stages import (
    CorpusStage,
    columns_file,
    keys_file,
    mask_file,
    part_file,
    parts_folder,
    spill_file,
    stages,
)
from bakeoff.prepare.corpus.work import Done, Plan, StepDone, Task, Tokens
from bakeoff.prepare.corpus.workspace import check_free, clear, publish, workspace
from bakeoff.prepare.corpus.writing import placed, suffix_of
from bakeoff.prepare.explain import order_warnings
from bakeoff.prepare.rows.comparison import RowComparison, firsts
from bakeoff.prepare.steps import Preparation, Step

__all__ = ["Tokens", "prepare_corpus"]

BLOCK_BYTES = 4 << 20
SHOWN = 5
FORMAT = 1
"""Of what a run leaves between its stages; count it up when that changes."""


def prepare_corpus(
    inputs: Sequence[str],
    out: Path,
    *,
    steps: Sequence[Json] = (),
    text: Sequence[str] = ("text",),
    target: str = "",
    tokens: Tokens | None = None,
    workers: int = 0,
    max_bad_share: float = 0.01,
    replace: bool = False,
    block_bytes: int = BLOCK_BYTES,
    folder: Path | None = None,
    cache: Path | None = None,
    compute: CorpusCompute | None = None,
    progress: Progress = lambda _: None,
) -> CorpusReport:
    """Run steps over corpora of any size, in bounded memory and on all cores; rows keep their order.

    Args:
        inputs: Locations as in `[data] source`: csv, tsv, jsonl or Parquet, also packed, globs, pypi://….
        out: A file (.parquet, .jsonl, .jsonl.gz, .jsonl.zst) or a folder of Parquet files.
        steps: As in `[prepare] steps`; none that learns from training rows.
        text: The columns that the steps rewrite; all others stay as they are.
        target: A column that `drop_duplicates` compares too.
        tokens: What to count (and keep) of the texts' tokens at the end.
        workers: Processes; 0: one for each core. The result does not depend on it.
        max_bad_share: The share of lines that may be no records and are set aside.
        replace: Write over what is there.
        block_bytes: How much a worker reads at once; its memory grows with it.
        folder: What relative inputs are relative to (the working directory).
        cache: Where fetched and unpacked inputs are kept (beside `out`, and removed).
        compute: Where the work is done in place of `workers` here (`Project.corpus_compute`); the result is the same.
        progress: Told what is done.

    Raises:
        ConfigError, UsageError, DataError, MissingExtraError, ConflictError: nothing is written then.

    Example:
        >>> report = prepare_corpus(["pages/*.jsonl.zst"], Path("clean"), steps=["strip_html"])  # doctest: +SKIP
    """
    started = perf_counter()
    suffix = suffix_of(out)
    check_free(out, replace=replace)
    if not text or workers < 0 or block_bytes < 1:
        raise UsageError("expected text columns, workers of at least 0 and blocks of at least a byte")
    preparation = Preparation(steps, file="steps")
    if preparation.fitted:
        names = ", ".join(str(step["name"]) for step in preparation.fitted)
        raise UsageError(f"expected steps that look at rows alone, received {names}: they learn, and run with models")
    with workspace(out, replace=replace) as scratch:
        files = [
            file
            for location in inputs
            for file in resolve(
                location, folder=folder or Path.cwd(), cache=cache or scratch / "cache", progress=progress
            )
        ]
        plan = Plan(
            steps=list(steps),
            text=list(text),
            target=target,
            tokens=tokens,
            folder=str(scratch),
            suffix=suffix or ".parquet",
        )
        fingerprint = _fingerprint(plan, preparation, files, block_bytes)
        chain = stages(preparation.bound)
        with _pool(plan, workers, compute, preparation.requires, len(chain)) as pool:

            def gone_through(journal: Journal) -> _Run:
                run = _Run(pool, scratch, chain, tuple(text), suffix, journal, progress)
                run.go(files, block_bytes, max_bad_share)
                return run

            try:
                run = gone_through(_resumed(scratch, fingerprint))
            except _GoneError:
                clear(scratch)
                run = gone_through(_resumed(scratch, fingerprint))
            peak = sum(pool.peak_memory_bytes)
        publish(scratch, out, run.parts, suffix)
        warnings = [*order_warnings(steps), *run.emptied()]
        return run.report(out, warnings, counts_tokens=tokens is not None, peak=peak, started=started)


def _pool(
    plan: Plan, workers: int, compute: CorpusCompute | None, requires: Sequence[str], stages: int
) -> Pool | ShardPool:
    if compute is None:
        return Pool(plan, workers or cores())
    return ShardPool(plan, compute, requires, stages)


def _fingerprint(plan: Plan, preparation: Preparation, files: Sequence[SourceFile], block_bytes: int) -> bytes:
    """What must be the same for a killed run to be gone on with."""
    stats = [(file.path, file.path.stat()) for file in files]
    inputs = [[str(path.resolve()), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
    return canonical_json(
        [
            FORMAT,
            version("bakeoff"),
            preparation.key,
            msgspec.to_builtins(msgspec.structs.replace(plan, folder="")),
            msgspec.to_builtins(inputs),
            block_bytes,
        ]
    )


def _resumed(scratch: Path, plan: bytes) -> Journal:
    """The journal of the run that was killed here, if it had the same plan; else an empty folder and a new one."""
    if not is_resumable(scratch, plan):
        clear(scratch)
    parts_folder(scratch).mkdir(exist_ok=True)
    return Journal(scratch, plan)


class _GoneError(Exception):
    """What a killed run had finished is not all there any more, and neither is what it was made of."""


@dataclass(slots=True)
class _Run:
    """The stages of one run, one after the other, and the sums over their blocks."""

    pool: Pool | ShardPool
    scratch: Path
    chain: tuple[CorpusStage, ...]
    text: tuple[str, ...]
    suffix: str | None
    journal: Journal
    progress: Progress
    rows_in: int = 0
    rows_out: int = 0
    text_bytes: int = 0
    tokens: int = 0
    bad_lines: int = 0
    bad: list[str] = field(default_factory=list)
    halves: int = 0
    rounded: int = 0
    not_finite: int = 0
    as_text: tuple[Loss, ...] = ()
    steps: list[StepReport] = field(default_factory=list)
    duplicates: list[CorpusDuplicates] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    resumed_blocks: int = 0
    parts: int = 0

    def go(self, files: Sequence[SourceFile], block_bytes: int, max_bad_share: float) -> None:
        """Run all stages."""
        blocks = [block for file in files for block in cut(file, block_bytes)]
        if not blocks:
            raise DataError("expected rows, found none: the inputs are empty")
        careful = self._learn_columns(blocks)
        rows: list[int] = []
        for number, stage in enumerate(self.chain):
            tasks = (
                [Task(part=part, stage=0, block=block, careful=part in careful) for part, block in enumerate(blocks)]
                if number == 0
                else list(_later_tasks(number, rows))
            )
            done = list(self._gathered(number, self._run(number, tasks)))
            rows = [part.rows for part in done]
            self._check_read(max_bad_share)
            if stage.comparison is not None:
                self._compare(number, stage.comparison, done)
        self.rows_out, self.parts = sum(rows), len(rows)

    def emptied(self) -> list[str]:
        """That no row is left, if none is, and by which step."""
        if self.rows_out:
            return []
        last = next((step.step for step in self.steps if step.rows_in and not step.rows_out), None)
        return [f"nothing is left: step {last} dropped the last rows; --explain shows on some why"] if last else []

    def report(self, out: Path, warnings: list[str], *, counts_tokens: bool, peak: int, started: float) -> CorpusReport:
        """What the run did; `peak` is the sum of what its workers held at most, `started` when it began."""
        own = peak_resident_bytes()
        return CorpusReport(
            out=str(out),
            rows_in=self.rows_in,
            rows_out=self.rows_out,
            text_bytes=self.text_bytes,
            bad_lines=self.bad_lines,
            bad=self.bad,
            losses=self.losses(),
            warnings=warnings,
            tokens=self.tokens if counts_tokens else None,
            steps=self.steps,
            duplicates=self.duplicates,
            resumed_blocks=self.resumed_blocks,
            workers=len(self.pool.peak_memory_bytes),
            seconds=perf_counter() - started,
            peak_memory_bytes=own + peak,
        )

    def losses(self) -> list[Loss]:
        """What did not come through as it was, but for what steps are there to do."""
        halves = Loss(
            kind="text", count=self.halves, reason="half of a surrogate pair, which is no character, became U+FFFD"
        )
        rounded = Loss(
            kind="cell",
            count=self.rounded,
            reason="numbers of more digits than a double holds were rounded",
            remedy="write them as text in the files to keep every digit",
        )
        not_finite = Loss(
            kind="cell",
            count=self.not_finite,
            reason="NaN and infinities, which JSON does not have, became null",
            remedy="write Parquet to keep them",
        )
        emptied = [
            Loss(
                kind="cell",
                count=step.cells_emptied,
                of=step.rows_in * len(self.text),
                subject=step.step,
                reason="texts of which the step left nothing",
            )
            for step in self.steps
        ]
        gone = [
            Loss(kind="row", count=step.rows_in, of=step.rows_in, subject=step.step, reason="the step left no row")
            for step in self.steps
            if step.rows_in and not step.rows_out
        ]
        lines = Loss(
            kind="row",
            count=self.bad_lines,
            of=self.rows_in + self.bad_lines,
            reason="lines that are no records",
            examples=tuple(self.bad),
            remedy="mend the files",
        )
        every = (lines, *gone, *self.as_text, *emptied, halves, rounded, not_finite)
        return [loss for loss in every if loss.count]

    def _learn_columns(self, blocks: Sequence[Block]) -> frozenset[int]:
        """Look at every block before any is worked on; gives the blocks in which lines are no records."""
        tasks = [
            Task(part=part, stage=None, block=block) for part, block in enumerate(blocks) if block.format == "jsonl"
        ]
        shape, rows, careful = Shape(), dict[int, int](), set[int]()
        for done in self._run(None, tasks):
            rows[done.part] = done.rows
            shape = merged(shape, done.shape or Shape())
            self.rounded += done.rounded
            if done.bad_lines:
                careful.add(done.part)
            self.progress(f"columns of {sum(rows.values()):,} rows seen")
        if careful and not any(rows.values()) and all(block.format == "jsonl" for block in blocks):
            raise DataError(
                f"expected a JSON object on each line, found none in {Path(blocks[0].file).name}: another format, "
                "or not UTF-8. Convert it, or give it the suffix of its format."
            )
        if not any(rows.values()) and len(rows) == len(blocks):
            raise DataError("expected rows, found none: the inputs hold blank lines")
        before = [0] * len(blocks)
        for part in range(1, len(blocks)):
            if blocks[part].file == blocks[part - 1].file:
                before[part] = before[part - 1] + rows.get(part - 1, 0)
        parquet = (self.suffix or ".parquet") == ".parquet"
        columns = columns_of(blocks, shape, before, text=self.text, parquet=parquet)
        self.as_text = columns.as_text
        _write_columns(columns, columns_file(self.scratch))
        return frozenset(careful)

    def _run(self, stage: int | None, tasks: Sequence[Task]) -> Iterator[Done]:
        """What became of each block, in order: of those that a killed run had finished, and of the others."""
        finished = self.journal.finished(stage, lambda done: self._is_there(stage, done))[: len(tasks)]
        if stage is not None:
            self.resumed_blocks += len(finished)
        yield from finished
        left = tasks[len(finished) :]
        if stage and not all(spill_file(self.scratch, stage - 1, task.part).exists() for task in left):
            raise _GoneError
        for done in self.pool.run(left):
            self.journal.add(Finished(stage=stage, done=done))
            if stage:
                spill_file(self.scratch, stage - 1, done.part).unlink(missing_ok=True)
            yield done

    def _is_there(self, stage: int | None, done: Done) -> bool:
        """Whether the rows of a finished block are on disk, or were, and a later stage has them."""
        if stage is None:
            return True
        if stage < len(self.chain) - 1:
            if self.journal.compared(stage) is not None:
                return True
            file = spill_file(self.scratch, stage, done.part)
            keys = keys_file(self.scratch, stage, done.part)
            return file.exists() and file.stat().st_size == done.size_bytes and keys.exists()
        file = part_file(self.scratch, done.part, self.suffix or ".parquet")
        return file.exists() and file.stat().st_size == done.size_bytes

    def _gathered(self, stage: int, results: Iterator[Done]) -> Iterator[Done]:
        """Add up what parts did; what is kept of each part is small."""
        sums: list[StepDone] = []
        for done in results:
            sums = _added(sums, done.steps)
            self.tokens += done.tokens
            self.not_finite += done.not_finite
            if stage == 0:
                self.rows_in += done.read
                self.text_bytes += done.text_bytes
                self.read.append(done.read)
                self.bad_lines += done.bad_lines
                self.bad = (self.bad + done.bad)[:SHOWN]
                self.halves += done.halves
                self.progress(f"{self.rows_in:,} rows read")
            yield done
        self.steps += [StepReport(**{name: getattr(step, name) for name in step.__struct_fields__}) for step in sums]

    def _compare(self, number: int, comparing: tuple[Step, RowComparison], done: Sequence[Done]) -> None:
        """Which rows stay, in a file of one byte for each."""
        compared = self.journal.compared(number) or self._compared(number, comparing, done)
        self.duplicates.append(compared.duplicates)
        last = self.steps[-1]
        self.steps[-1] = StepReport(
            step=last.step,
            rows_in=last.rows_in,
            rows_out=compared.rows_out,
            cells_changed=0,
            seconds=last.seconds + compared.seconds,
        )

    def _compared(self, number: int, comparing: tuple[Step, RowComparison], done: Sequence[Done]) -> Compared:
        step, comparison = comparing
        started = perf_counter()
        self.progress(f"{step.name}: comparing {sum(part.rows for part in done):,} rows")
        parts = [(keys_file(self.scratch, number, part.part), part.rows) for part in done]
        known = SpilledKeys(parts, keys=max(part.keys for part in done))
        groups = comparison.groups(known)
        stay = firsts(groups)
        placed(mask_file(self.scratch, number), stay.tofile)
        compared = Compared(
            stage=number,
            rows_out=int(stay.sum()),
            duplicates=duplicates_of(
                step.name, groups, scratch=self.scratch, stage=number, read=self.read, done=done, text=self.text
            ),
            seconds=perf_counter() - started,
        )
        self.journal.add(compared)
        for path, _ in parts:
            path.unlink()
        return compared

    def _check_read(self, most: float) -> None:
        """Refuse a corpus without rows, or with too many lines that are no records."""
        if self.bad_lines > most * (self.rows_in + self.bad_lines):
            told = "\n".join(f"  {line}" for line in self.bad)
            raise DataError(
                f"expected at most {most:.0%} lines that are no records, found {self.bad_lines:,} of "
                f"{self.rows_in + self.bad_lines:,}. The first:\n{told}\nMend the files, or allow a larger share."
            )
        if not self.rows_in:
            raise DataError("expected rows, found none: the inputs hold a header and no rows")


def _write_columns(columns: Columns, path: Path) -> None:
    import polars as pl

    placed(path, pl.DataFrame(schema=dict(columns.types)).write_ipc)


def _later_tasks(stage: int, rows: Sequence[int]) -> Iterator[Task]:
    start = 0
    for part, count in enumerate(rows):
        yield Task(part=part, stage=stage, kept=start)
        start += count


def _added(sums: list[StepDone], steps: Sequence[StepDone]) -> list[StepDone]:
    if not sums:
        return list(steps)
    return [
        StepDone(
            step=one.step,
            rows_in=one.rows_in + other.rows_in,
            rows_out=one.rows_out + other.rows_out,
            cells_changed=one.cells_changed + other.cells_changed,
            cells_emptied=one.cells_emptied + other.cells_emptied,
            seconds=one.seconds + other.seconds,
        )
        for one, other in zip(sums, steps, strict=True)
    ]
