"""A chain over a corpus, from files to files: whole or not at all, the same for any number of workers."""

import os
import resource
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from bakeoff.core.errors import ConflictError, DataError, UsageError
from bakeoff.core.protocols import Progress
from bakeoff.core.types import Json
from bakeoff.data.sources import SourceFile, resolve
from bakeoff.prepare.comparing import Comparison, firsts
from bakeoff.prepare.steps import Preparation, Step
from bakeoff.prepare.streaming.blocks import Block, cut
from bakeoff.prepare.streaming.clusters import duplicates_of
from bakeoff.prepare.streaming.pool import Pool
from bakeoff.prepare.streaming.report import CorpusReport, Duplicates, StepReport
from bakeoff.prepare.streaming.spill import SpilledKeys
from bakeoff.prepare.streaming.stages import Stage, keys_file, mask_file, part_file, parts_folder, stages
from bakeoff.prepare.streaming.work import Done, Plan, StepDone, Task, Tokens
from bakeoff.prepare.streaming.writing import join_parts, suffix_of, sync

__all__ = ["Tokens", "prepare_corpus"]

BLOCK_BYTES = 4 << 20
SHOWN = 5


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
        progress: Told what is done.

    Raises:
        ConfigError, UsageError, DataError, MissingExtraError, ConflictError: nothing is written then.
    """
    started = perf_counter()
    suffix = suffix_of(out)
    if (out.exists() or out.is_symlink()) and not replace:
        raise UsageError(f"expected a name that is free, received {str(out)!r}. Say --force to write over it.")
    if not text or workers < 0 or block_bytes < 1:
        raise UsageError("expected text columns, workers of at least 0 and blocks of at least a byte")
    preparation = Preparation(steps, file="steps")
    if preparation.fitted:
        names = ", ".join(str(step["name"]) for step in preparation.fitted)
        raise UsageError(f"expected steps that look at rows alone, received {names}: they learn, and run with models")
    with _workspace(out) as scratch:
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
        count = workers or _cores()
        with Pool(plan, count) as pool:
            run = _Run(pool, scratch, stages(preparation.bound), tuple(text), progress)
            run.go(files, block_bytes, max_bad_share)
            peak = sum(pool.peak_memory_bytes)
        _publish(scratch, out, run.parts, suffix)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return CorpusReport(
            out=str(out),
            rows_in=run.rows_in,
            rows_out=run.rows_out,
            text_bytes=run.text_bytes,
            bad_lines=run.bad_lines,
            bad=run.bad,
            left_out=sorted(run.left_out),
            tokens=run.tokens if tokens else None,
            steps=run.steps,
            duplicates=run.duplicates,
            workers=count,
            seconds=perf_counter() - started,
            peak_memory_bytes=own + peak,
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(slots=True)
class _Run:
    """The stages of one run, one after the other, and the sums over their blocks."""

    pool: Pool
    scratch: Path
    chain: tuple[Stage, ...]
    text: tuple[str, ...]
    progress: Progress
    rows_in: int = 0
    rows_out: int = 0
    text_bytes: int = 0
    tokens: int = 0
    bad_lines: int = 0
    bad: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    steps: list[StepReport] = field(default_factory=list)
    duplicates: list[Duplicates] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    parts: int = 0

    def go(self, files: Sequence[SourceFile], block_bytes: int, max_bad_share: float) -> None:
        """Run all stages."""
        blocks = (block for file in files for block in cut(file, block_bytes))
        first = next(blocks, None)
        if first is None:
            raise DataError("expected rows, found none: the inputs are empty")
        for _ in self.pool.run([Task(part=0, stage=None, block=first)]):
            pass
        rows: list[int] = []
        for number, stage in enumerate(self.chain):
            tasks = self._tasks_of(first, blocks) if number == 0 else _later_tasks(number, rows)
            done = list(self._gathered(number, self.pool.run(tasks)))
            rows = [part.rows for part in done]
            self._check_read(max_bad_share)
            if stage.comparison is not None:
                self._compare(number, stage.comparison, done)
        self.rows_out, self.parts = sum(rows), len(rows)

    @staticmethod
    def _tasks_of(first: Block, rest: Iterator[Block]) -> Iterator[Task]:
        yield Task(part=0, stage=0, block=first)
        for part, block in enumerate(rest, start=1):
            yield Task(part=part, stage=0, block=block)

    def _gathered(self, stage: int, found: Iterator[Done]) -> Iterator[Done]:
        """Add up what parts did; what is kept of each part is small."""
        sums: list[StepDone] = []
        for done in found:
            sums = _added(sums, done.steps)
            self.tokens += done.tokens
            if stage == 0:
                self.rows_in += done.read
                self.text_bytes += done.text_bytes
                self.read.append(done.read)
                self.bad_lines += done.bad_lines
                self.bad = (self.bad + done.bad)[:SHOWN]
                self.left_out.update(done.left_out)
                self.progress(f"{self.rows_in:,} rows read")
            yield done
        self.steps += [StepReport(**{name: getattr(step, name) for name in step.__struct_fields__}) for step in sums]

    def _compare(self, number: int, found: tuple[Step, Comparison], done: Sequence[Done]) -> None:
        """Find which rows stay, and say so in a file of one byte for each."""
        step, comparison = found
        started = perf_counter()
        self.progress(f"{step.name}: comparing {sum(part.rows for part in done):,} rows")
        parts = [(keys_file(self.scratch, number, part.part), part.rows) for part in done]
        known = SpilledKeys(parts, keys=max(part.keys for part in done), width=max(part.evidence for part in done))
        groups = comparison.groups(known)
        kept = firsts(groups)
        kept.tofile(mask_file(self.scratch, number))
        self.duplicates.append(
            duplicates_of(
                step.name, groups, scratch=self.scratch, stage=number, read=self.read, done=done, text=self.text
            )
        )
        for path, _ in parts:
            path.unlink()
        last = self.steps[-1]
        seconds = last.seconds + perf_counter() - started
        self.steps[-1] = StepReport(
            step=last.step, rows_in=last.rows_in, rows_out=int(kept.sum()), cells_changed=0, seconds=seconds
        )

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
            seconds=one.seconds + other.seconds,
        )
        for one, other in zip(sums, steps, strict=True)
    ]


@contextmanager
def _workspace(out: Path) -> Generator[Path]:
    """A folder beside `out`, on its filesystem, that nobody else works in; removed however the run ends.

    What a killed run left there is wiped by the next one.
    """
    import fcntl

    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.parent / f".{out.name}.partial"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"expected to write {str(out)!r} alone; another process is writing it") from None
        for left in folder.iterdir():
            if left.name != "lock":
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        parts_folder(folder).mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _publish(scratch: Path, out: Path, parts: int, suffix: str | None) -> None:
    """Put the result in its place: written, on disk, then renamed."""
    files = [part_file(scratch, part, suffix or ".parquet") for part in range(parts)]
    made = parts_folder(scratch)
    if suffix is not None:
        made = scratch / f"whole{suffix}"
        join_parts(files, made)
    else:
        for file in files:
            sync(file)
    sync(made)
    if out.is_dir() or (out.exists() and made.is_dir()):
        old = scratch / "old"
        out.rename(old)
    made.replace(out)
    sync(out.parent)
