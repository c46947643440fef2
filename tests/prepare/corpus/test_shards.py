"""Shards as jobs of a compute backend give what processes here give, to the byte; what fails is told."""

import json
import random
import tempfile
from pathlib import Path

import msgspec
import polars as pl
import pytest

from bakeoff.compute.job_files import JobFiles
from bakeoff.compute.local import LocalCompute
from bakeoff.compute.worker import result_of
from bakeoff.core.errors import DataError
from bakeoff.core.jobs import JobResult
from bakeoff.prepare.corpus import shards
from bakeoff.prepare.corpus.blocks import Block
from bakeoff.prepare.corpus.run import Tokens, prepare_corpus
from bakeoff.prepare.corpus.shards import CorpusCompute, ShardPool
from bakeoff.prepare.corpus.work import Plan, Task
from bakeoff.testing.memory import MemoryBlobs

pytestmark = pytest.mark.slow

STEPS = ["strip_html", "drop_duplicates", "mask", "drop_near_duplicates", "squeeze_whitespace"]
WORDS = [f"word{i}" for i in range(300)]


def rows(count):
    rng = random.Random(3)
    texts: list[str] = []
    for number in range(count):
        copied = texts and rng.random() < 0.3
        more = rng.choice(["", " more"])
        texts.append(rng.choice(texts) + more if copied else f"<p>{' '.join(rng.choices(WORDS, k=30))}</p> {number}")
    return pl.DataFrame({"id": range(count), "text": texts})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    table = rows(300)
    lines = [json.dumps(row) for row in table.to_dicts()]
    lines[70] = "no record"
    (folder / "c.jsonl").write_text("\n".join(lines))
    table.write_csv(folder / "c.csv")
    table[:150].write_parquet(folder / "c-1.parquet")
    table[150:].write_parquet(folder / "c-2.parquet")
    return folder


class Backend:
    """Runs jobs here, and gives results in another order; `lose` ends one as the loss of its machine does."""

    threads = cores = 1

    def __init__(self, folder: Path, lose: str = "") -> None:
        self.blobs, self.jobs = MemoryBlobs(), []
        self._folder, self._lose = folder, lose

    def run(self, jobs, *, progress, exclusive=False):
        self.jobs.append(list(jobs))
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            files = JobFiles(self.blobs, Path(folder))
            for job in reversed(self.jobs[-1]):
                context = files.context(job, cache=self._folder, threads=1, progress=lambda _: None)
                argument = json.loads(msgspec.json.encode(job.argument))
                message = json.loads(json.dumps(result_of(job.function, argument, context)))
                stored = files.stored(job)
                if job.name == self._lose:
                    yield JobResult(name=job.name, error="the task was lost: its node died")
                else:
                    yield JobResult(name=job.name, **message, outputs=stored)

    @property
    def everywhere(self) -> CorpusCompute:
        return CorpusCompute(compute=self, blobs=self.blobs)


def bytes_of(out):
    return [(file.name, file.read_bytes()) for file in (sorted(out.iterdir()) if out.is_dir() else [out])]


@pytest.mark.parametrize(
    ("name", "out"), [("c.jsonl", "folder"), ("c.csv", "o.jsonl.gz"), ("c-*.parquet", "o.parquet")]
)
def test_shards_give_the_bytes_and_the_counts_of_processes(corpus, tmp_path, monkeypatch, name, out) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 12_000)
    monkeypatch.setattr(shards, "PARQUET_BYTES", 4_000)
    backend = Backend(tmp_path)
    given = {"steps": STEPS, "folder": corpus, "block_bytes": 4_000, "tokens": Tokens(ids=True), "max_bad_share": 0.1}
    here = prepare_corpus([name], tmp_path / "here" / out, workers=1, **given)
    there = prepare_corpus([name], tmp_path / "there" / out, compute=backend.everywhere, **given)
    assert len(here.duplicates) == 2
    assert 100 < here.rows_out < here.duplicates[0].rows_dropped + here.rows_out < here.rows_in
    assert bytes_of(tmp_path / "here" / out) == bytes_of(tmp_path / "there" / out)
    counts = [
        {**report.to_json(), **dict.fromkeys(("out", "seconds", "docs_per_s", "mb_per_s"))} for report in (here, there)
    ]
    for each in counts:
        each["steps"] = [{**step, "seconds": 0} for step in each["steps"]]
        del each["peak_memory_bytes"], each["workers"]
    assert counts[0] == counts[1]
    stages = [jobs for jobs in backend.jobs if jobs]
    assert len(stages) == (4 if name == "c.jsonl" else 3)
    assert all(len(jobs) > 2 for jobs in stages)
    assert any(len(job.argument.tasks) > 1 for job in stages[-1])
    assert [path.name for path in (tmp_path / "there").iterdir()] == [out]


def test_jobs_run_in_processes_of_their_own(corpus, tmp_path) -> None:
    blobs = MemoryBlobs()
    compute = LocalCompute(blobs=blobs, work=tmp_path / "work", cache=tmp_path / "cache", workers=1, threads=1)
    report = prepare_corpus(
        ["c.csv"],
        tmp_path / "o.jsonl",
        steps=["strip_html"],
        folder=corpus,
        compute=CorpusCompute(compute=compute, blobs=blobs),
    )
    assert (report.rows_out, report.workers) == (300, 1)
    assert 10**7 < report.peak_memory_bytes < 10**10
    words = rows(1)["text"][0].replace("<p>", "").replace("</p>", "").split()
    assert pl.read_ndjson(tmp_path / "o.jsonl")["text"][0].split() == words


def test_a_lost_shard_is_told_and_nothing_is_written(corpus, tmp_path) -> None:
    backend = Backend(tmp_path, lose="shard 0")
    with pytest.raises(
        DataError, match=r"a shard of the corpus was lost: the task was lost: its node died\. Nothing was"
    ):
        prepare_corpus(["c.csv"], tmp_path / "o.jsonl", steps=["strip_html"], folder=corpus, compute=backend.everywhere)
    assert not list(tmp_path.glob("*o.jsonl*"))


def test_what_a_worker_refuses_is_the_error_of_one_here(corpus, tmp_path) -> None:
    (tmp_path / "bad.csv").write_bytes(b"text\n" + b"\xff\xfe broken \xff\n" * 30)
    errors = []
    for compute in (None, Backend(tmp_path).everywhere):
        with pytest.raises(DataError) as caught:
            prepare_corpus([str(tmp_path / "bad.csv")], tmp_path / "o.jsonl", workers=1, compute=compute)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


def test_shards_are_neighbours_of_about_one_size(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 100)
    pool = ShardPool(
        Plan(steps=[], text=["text"], target="", tokens=None, folder=str(tmp_path), suffix=".parquet"),
        Backend(tmp_path).everywhere,
        (),
        1,
    )
    ends = [30, 60, 110, 300, 301]
    blocks = [
        Block(file="f", format="jsonl", start=start, end=end) for start, end in zip([0, *ends], ends, strict=False)
    ]
    cut = list(pool._shards([Task(part=part, stage=0, block=block) for part, block in enumerate(blocks)]))
    assert [[task.part for task in shard] for shard in cut] == [[0, 1], [2], [3], [4]]
    later = list(pool._shards([Task(part=part, stage=1) for part in range(5)]))
    assert [[task.part for task in shard] for shard in later] == [[0, 1], [2], [3], [4]]
