"""A pool on other machines: shards (neighbouring blocks) are jobs of a compute backend, and their data are blobs.

What a job leaves is brought to where processes of this machine would have left it: all else of a run is the same, and
so are its results, to the byte.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import msgspec

from bakeoff.core.errors import BakeoffError, DataError
from bakeoff.core.jobs import Argument, Compute, Job, JobContext, JobResult, Resources
from bakeoff.core.memory import peak_resident_bytes
from bakeoff.core.protocols import BlobStore
from bakeoff.core.refs import BlobRef
from bakeoff.prepare.corpus.blocks import Block
from bakeoff.prepare.corpus.pool import error_of
from bakeoff.prepare.corpus.stages import columns_file, keys_file, mask_file, parts_folder, spill_file
from bakeoff.prepare.corpus.work import Done, Plan, Task
from bakeoff.prepare.corpus.worker import Worker
from bakeoff.prepare.corpus.writing import placed

__all__ = ["CorpusCompute", "ShardArgument", "ShardDone", "ShardPool", "work"]

SHARD_BYTES = 16 << 20
"""What a job reads at most, if it has more than one block: enough for its start to be little beside it."""
PARQUET_BYTES = 4 << 20
"""About what a block of a Parquet file is."""
AHEAD, TRANSFERS = 2, 3
"""Jobs whose data are on their way before they are asked for; threads that bring data there and back."""
BLOCKS, COLUMNS, ROWS, KEPT, KEYS, PARTS, TOKENIZER = (
    *("blocks", "columns.arrow", "rows", "kept", "keys", "parts", "tokenizer"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusCompute:
    """Where a corpus is prepared in place of processes of this machine; all that runs jobs reaches the blobs."""

    compute: Compute
    blobs: BlobStore


class ShardArgument(Argument, frozen=True, kw_only=True):
    """What `work` takes: tasks on neighbouring blocks. Files of blocks, and the plan's folder, are the job's own."""

    plan: Plan
    tasks: list[Task]


class ShardDone(msgspec.Struct, frozen=True, kw_only=True):
    """What `work` gives: what became of each task; or an error that the user can mend, and its class."""

    done: list[Done] = []
    error: str | None = None
    kind: str = ""


def work(argument: ShardArgument, context: JobContext) -> ShardDone:
    """Work on a shard, one block after the other, as a process of a `Pool` does."""
    folder, inputs, plan = context.scratch, context.inputs, argument.plan
    parts_folder(folder).mkdir()
    for each in context.outputs.values():
        each.mkdir()
    stage = argument.tasks[0].stage
    if COLUMNS in inputs:
        columns_file(folder).symlink_to(inputs[COLUMNS])
    if stage:
        mask_file(folder, stage - 1).symlink_to(inputs[KEPT])
        for file in inputs[ROWS].iterdir():
            (folder / file.name).symlink_to(file)
    done: list[Done] = []
    try:
        worker = _worker(msgspec.json.encode(plan), inputs.get(TOKENIZER)).at(folder)
        for task in argument.tasks:
            if task.block is not None:
                block = msgspec.structs.replace(task.block, file=str(inputs[BLOCKS] / task.block.file))
                task = msgspec.structs.replace(task, block=block)  # noqa: PLW2901 - the same task, in this place
            one = worker.do(task)
            _leave(task, folder, context)
            done.append(msgspec.structs.replace(one, peak_memory_bytes=peak_resident_bytes()))
    except BakeoffError as error:
        return ShardDone(error=str(error), kind=type(error).__name__)
    return ShardDone(done=done)


_WORKERS: dict[bytes, Worker] = {}
"""Of this process, where it does short jobs: the worker of the last plan, as its steps take a while to be made."""


def _worker(plan_json: bytes, tokenizer: Path | None) -> Worker:
    """The worker of a plan, which names its tokenizer by the content, and not by where it lies here."""
    if plan_json not in _WORKERS:
        _WORKERS.clear()
        plan = msgspec.json.decode(plan_json, type=Plan)
        if plan.tokens is not None and tokenizer is not None:
            tokens = msgspec.structs.replace(plan.tokens, tokenizer=str(tokenizer))
            plan = msgspec.structs.replace(plan, tokens=tokens)
        _WORKERS[plan_json] = Worker(plan)
    return _WORKERS[plan_json]


def _leave(task: Task, folder: Path, context: JobContext) -> None:
    """Move what a task has made to the outputs of the job."""
    outputs, stage = context.outputs, task.stage
    if stage is None:
        return
    if KEYS in outputs:
        for name, file in ((ROWS, spill_file), (KEYS, keys_file)):
            made = file(folder, stage, task.part)
            made.rename(outputs[name] / made.name)
        return
    for made in parts_folder(folder).iterdir():
        made.rename(outputs[PARTS] / made.name)


class ShardPool:
    """As `bakeoff.prepare.corpus.pool.Pool`, over machines of a compute backend.

    Args:
        plan: of the run; its folder is here.
        over: where the work is done.
        requires: distributions that must be the same there.
        stages: how many stages the chain has.
    """

    def __init__(self, plan: Plan, over: CorpusCompute, requires: Sequence[str], stages: int) -> None:
        self._compute, self._blobs = over.compute, over.blobs
        self._folder, self._stages = Path(plan.folder), stages
        self._requires = tuple(sorted({"numpy", "polars", *requires}))
        self._shared: dict[str, BlobRef] = {}
        self._trees: dict[tuple[int | None, int, int], BlobRef] = {}
        self._bytes: dict[int, int] = {}
        self._in_hand = self._most = self._peak = 0
        self._plan = msgspec.structs.replace(plan, folder="")
        if plan.tokens is not None and plan.tokens.tokenizer is not None:
            path = Path(plan.tokens.tokenizer)
            file = path / "tokenizer.json" if path.is_dir() else path
            if file.is_file():  # else each worker says what is missing
                self._shared[TOKENIZER] = blob = BlobRef(self._blobs.put(file))
                tokens = msgspec.structs.replace(plan.tokens, tokenizer=str(blob))
                self._plan = msgspec.structs.replace(self._plan, tokens=tokens)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left behind: jobs end with `run`."""

    @property
    def peak_memory_bytes(self) -> list[int]:
        """What jobs held, for as many as ran at once at most: of each the most that any of them did."""
        return [self._peak] * self._most

    def run(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """What became of each task, in the order of the tasks.

        Raises:
            BakeoffError: what a worker raised; DataError: a job failed.
        """
        shards = list(self._shards(tasks))
        results: dict[int, Future[list[Done]]] = {}
        turn = 0
        with ThreadPoolExecutor(TRANSFERS) as transfers:
            try:
                for result in self._compute.run(self._jobs(shards, transfers), progress=lambda _name, _line: None):
                    self._in_hand -= 1
                    number = int(result.name.rpartition(" ")[2])
                    results[number] = transfers.submit(self._received, shards[number], result)
                    while turn in results and results[turn].done():
                        yield from results.pop(turn).result()
                        turn += 1
                for left in range(turn, len(shards)):
                    yield from results.pop(left).result()
            finally:
                transfers.shutdown(cancel_futures=True)

    def _shards(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """Neighbouring tasks of one stage; the same ones in each stage."""
        shard, size_bytes = list[Task](), 0
        for task in tasks:
            if task.block is not None:
                self._bytes[task.part] = _size_bytes(task.block)
            more = self._bytes.get(task.part, PARQUET_BYTES)
            if shard and size_bytes + more > SHARD_BYTES:
                yield shard
                shard, size_bytes = [], 0
            shard.append(task)
            size_bytes += more
        if shard:
            yield shard

    def _jobs(self, shards: Sequence[list[Task]], transfers: ThreadPoolExecutor) -> Iterator[Job]:
        """The jobs; data of the next ones are on their way before they are asked for."""
        ahead: deque[Future[Job]] = deque()
        for number in range(len(shards) + AHEAD):
            if number < len(shards):
                kept_end = shards[number + 1][0].kept if number + 1 < len(shards) else None
                ahead.append(transfers.submit(self._job, number, shards[number], kept_end))
            if number >= AHEAD:
                job = ahead.popleft().result()
                self._in_hand += 1
                self._most = max(self._most, self._in_hand)
                yield job

    def _job(self, number: int, shard: list[Task], kept_end: int | None) -> Job:
        """The job of a shard, whose inputs are in the blobs; its rows' marks of what stays go up to `kept_end`."""
        stage, inputs = shard[0].stage, dict(self._shared)
        outputs: tuple[str, ...] = ()
        if stage is not None:
            inputs[COLUMNS] = self._columns()
            outputs = (ROWS, KEYS) if stage < self._stages - 1 else (PARTS,)
        if stage:
            start = shard[0].kept
            with mask_file(self._folder, stage - 1).open("rb") as mask:
                mask.seek(start)
                inputs[KEPT] = BlobRef(self._blobs.put(mask.read(-1 if kept_end is None else kept_end - start)))
            inputs[ROWS] = self._tree(stage - 1, shard)
            tasks = [msgspec.structs.replace(task, kept=task.kept - start) for task in shard]
        else:
            inputs[BLOCKS] = self._tree(None, shard)
            tasks = list(_in_shard(shard))
        return Job(
            name=f"shard {number}",
            function=f"{__name__}:work",
            argument=ShardArgument(plan=self._plan, tasks=tasks),
            inputs=inputs,
            outputs=outputs,
            resources=Resources(threads=1),
            requires=self._requires,
            short=True,
        )

    def _columns(self) -> BlobRef:
        if COLUMNS not in self._shared:
            self._shared[COLUMNS] = BlobRef(self._blobs.put(columns_file(self._folder)))
        return self._shared[COLUMNS]

    def _tree(self, stage: int | None, shard: list[Task]) -> BlobRef:
        """The rows of a shard after a stage; without one, the bytes of its blocks."""
        key = (stage, shard[0].part, shard[-1].part)
        if key not in self._trees:
            with TemporaryDirectory(prefix=".leaving-", dir=self._folder) as made:
                if stage is None:
                    _copy_blocks(shard, Path(made))
                else:
                    for task in shard:
                        file = spill_file(self._folder, stage, task.part)
                        os.link(file, Path(made) / file.name)
                self._trees[key] = BlobRef(self._blobs.put_tree(Path(made), cut=False))
        return self._trees[key]

    def _received(self, shard: list[Task], result: JobResult) -> list[Done]:
        """What became of the tasks of a shard; its files are in their places."""
        if result.value is None:
            raise DataError(f"a shard of the corpus was lost: {result.error}. Nothing was written.")
        answer = msgspec.convert(result.value, ShardDone)
        if answer.error is not None:
            raise error_of(answer.kind, answer.error)
        for name, tree in result.outputs.items():
            with TemporaryDirectory(prefix=".arriving-", dir=self._folder) as place:
                self._blobs.fetch(tree, Path(place) / name)
                target = parts_folder(self._folder) if name == PARTS else self._folder
                for file in (Path(place) / name).iterdir():
                    placed(target / file.name, file.rename)
        if ROWS in result.outputs:
            self._trees[(shard[0].stage, shard[0].part, shard[-1].part)] = result.outputs[ROWS]
        self._peak = max(self._peak, *(done.peak_memory_bytes for done in answer.done))
        return answer.done


def _size_bytes(block: Block) -> int:
    return PARQUET_BYTES if block.format == "parquet" else block.end - block.start


def _in_shard(shard: Sequence[Task]) -> Iterator[Task]:
    """The tasks with files as a shard has them: of each file what its blocks hold, in a folder of its own."""
    files: dict[str, tuple[str, int]] = {}
    for task in shard:
        block = task.block
        assert block is not None
        name, start = files.setdefault(block.file, (f"{len(files)}/{Path(block.file).name}", block.start))
        yield msgspec.structs.replace(task, block=msgspec.structs.replace(block, file=name, base=start))


def _copy_blocks(shard: Sequence[Task], folder: Path) -> None:
    """Write what the blocks of a shard hold, as `_in_shard` names it."""
    import polars as pl

    ends: dict[str, tuple[Block, Block]] = {}
    for task in shard:
        assert task.block is not None
        first, _ = ends.get(task.block.file, (task.block, None))
        ends[task.block.file] = first, task.block
    for number, (first, last) in enumerate(ends.values()):
        target = folder / str(number) / Path(first.file).name
        target.parent.mkdir()
        if first.format == "parquet":
            rows = pl.scan_parquet(first.file, glob=False).slice(first.start, last.end - first.start).collect()
            rows.write_parquet(target, compression="zstd", compression_level=1)
            continue
        with Path(first.file).open("rb") as source, target.open("wb") as out:
            source.seek(first.start)
            out.write(source.read(last.end - first.start))
