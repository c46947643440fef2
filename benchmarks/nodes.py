"""Fits scheduled on eight nodes of Ray; a corpus prepared on one node and on two; and a stage of it by Ray Data.

    python benchmarks/nodes.py [--documents 100000] [--parts schedule here one two stage data]

Nodes are processes with a home and a scratch folder each; they share an S3 server (moto, in a process of its own) and
nothing else. The chain is that of `benchmarks/data.py`: clean, quality, near-duplicates, tokens; `here` is a process of
this machine without a cluster. `stage` is the chain without what compares rows, on two nodes; `data` gives the blocks
of that to `ray.data`'s `map_batches`, in order, with actors of our worker. CPU seconds are those of all processes, the
servers among them, and `of` which kind.

`schedule` has no documents: 40 fits that sleep for 10 to 30 s, as if nodes had processors of their own, on eight nodes
of one "processor". Efficiency is their sum over eight times what all took, and `by_lengths` what order and lengths
alone would leave. The overhead of a task is what a fit that does nothing takes, one after the other (least, median,
greatest, and processor time), and beside it the same by processes of this machine.
"""

import argparse
import contextlib
import json
import os
import random
import runpy
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import psutil
from corpus import build

from data import CACHE, CLEAN, MINHASH, QUALITY, tokenizer, tree

ROOT = Path(__file__).parent.parent
PARTS = ["schedule", "here", "one", "two", "stage", "data"]
NODES, FITS, FIT_S, EMPTY = 8, 40, (10.0, 30.0), 20


def main():
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--documents", type=int, default=100_000)
    asked.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS)
    asked.add_argument("--part", help="one of them, in this process")
    asked.add_argument("--folder", type=Path)
    given = asked.parse_args()
    if given.part:
        part(given.part, given.folder)
        return
    folder = Path(tempfile.mkdtemp(prefix="nodes-", dir=CACHE))
    if set(given.parts) != {"schedule"}:
        write_corpus(folder / "in.jsonl", given.documents)
    figures = {}
    for name in given.parts:  # each in a process of its own: one that had a cluster is no good for another
        command = [sys.executable, __file__, "--part", name, "--folder", str(folder)]
        if ended := subprocess.run(command, cwd=ROOT, check=False).returncode:
            sys.exit(f"{name} ended with {ended}; what it left is in {folder}")
        figures[name] = json.loads((folder / f"{name}.json").read_text())
        print(name, figures[name], flush=True)
    chains = [(folder / f"{name}.parquet").read_bytes() for name in ("here", "one", "two") if name in figures]
    print("the same bytes:", len(set(chains)) <= 1)
    if {"one", "two"} <= set(figures):
        print(f"two nodes are {figures['one']['seconds'] / figures['two']['seconds']:.2f} × one (goal: 1.6)")
    shutil.rmtree(folder)


def write_corpus(file, documents):
    once, times = build(CACHE)
    lines = 0
    with file.open("w") as out:
        for source in sorted((times if documents > 100_000 else once).glob("*.jsonl")):
            for line in source.open():
                if lines < documents:
                    out.write(line)
                    lines += 1


def part(name, folder):
    """One part; its seconds do not have the start of the cluster in them."""
    if name == "schedule":
        (folder / f"{name}.json").write_text(json.dumps(schedule()))
        return
    from bakeoff.prepare.corpus.run import Tokens, prepare_corpus

    whole = {"steps": [*CLEAN, QUALITY, MINHASH], "tokens": Tokens(tokenizer=tokenizer(), ids=True)}
    given = whole if name in {"here", "one", "two"} else {"steps": [*CLEAN, QUALITY]}
    source, target = str(folder / "in.jsonl"), folder / f"{name}.parquet"
    with contextlib.nullcontext() if name == "here" else cluster(1 if name == "one" else 2) as compute:
        started, before_s = perf_counter(), used_s()
        if name == "data":
            figures = {"rows_out": by_ray_data(Path(source), given["steps"], folder)}
        else:
            report = prepare_corpus([source], target, workers=1, compute=compute, **given)
            figures = {"rows_in": report.rows_in, "rows_out": report.rows_out, "workers": report.workers}
        figures["seconds"] = round(perf_counter() - started, 1)
        each_s = {kind: round(after_s - before_s.get(kind, 0.0), 1) for kind, after_s in used_s().items()}
        figures |= {"cpu_s": round(sum(each_s.values()), 1), "of": each_s}
    (folder / f"{name}.json").write_text(json.dumps(figures))


@contextlib.contextmanager
def cluster(nodes):
    """So many nodes of one processor, and what prepares a corpus on them."""
    with bucket() as blobs_url, tempfile.TemporaryDirectory() as home:
        from bakeoff.compute.ray_cluster import RayCompute
        from bakeoff.prepare.corpus.shards import CorpusCompute
        from bakeoff.stores.s3_blobs import open_blobs
        from bakeoff.testing.clock import FakeClock

        made = runpy.run_path(str(ROOT / "tests" / "compute" / "test_ray_nodes.py"))["Nodes"](Path(home))
        try:
            for _ in range(nodes):
                made.start()
            blobs = open_blobs(blobs_url, folder=Path("/nowhere"), clock=FakeClock())
            where = {"address": f"ray:{made.address}", "work": Path(home) / "work", "cache": Path(home) / "cache"}
            yield CorpusCompute(compute=RayCompute(blobs=blobs, **where), blobs=blobs)
        finally:
            made.end()


@contextlib.contextmanager
def bucket():
    """The URL of an empty bucket of a server of our own, which is patient where the machine has other work."""
    script = ROOT / "tests" / "s3_server.py"
    pipes = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
    }  # it tells of each request
    server = subprocess.Popen([sys.executable, str(script)], **pipes, text=True)
    try:
        url = server.stdout.readline().strip()
        os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": url}
        name = f"bucket-{secrets.token_hex(4)}"
        urllib.request.urlopen(urllib.request.Request(f"{url}/{name}", method="PUT"), timeout=300).close()
        yield f"s3://{name}?timeout=60"
    finally:
        server.kill()


def schedule():
    """Efficiency of fits that sleep on eight nodes, and the overhead of one that does nothing, here and there."""
    from bakeoff.compute.local import LocalCompute

    lengths_s = [random.Random(at).uniform(*FIT_S) for at in range(FITS)]
    with cluster(NODES) as over:
        slept(over.compute, [0.0] * NODES)  # each node's first task starts a server of workers
        wall_s, ends = slept(over.compute, lengths_s)
        tasks_s = empty_s(over.compute)
        with tempfile.TemporaryDirectory() as place:
            where = {"work": Path(place) / "work", "cache": Path(place) / "cache"}
            local_s = empty_s(LocalCompute(blobs=over.blobs, **where, workers=1, jobs=1))
    free_s = [0.0] * NODES
    for length_s in lengths_s:
        free_s[free_s.index(min(free_s))] += length_s
    return {
        "efficiency": round(sum(lengths_s) / (NODES * wall_s), 3),
        "by_lengths": round(sum(lengths_s) / (NODES * max(free_s)), 3),
        "seconds": round(wall_s, 1),
        "fits": len(ends),
        "task_s": tasks_s,
        "task_local_s": local_s,
    }


def slept(compute, lengths_s, **how):
    """How long fits of these lengths took together, and when each had ended."""
    sys.path.insert(0, str(ROOT))
    from tests.compute.jobs import Number

    from bakeoff.core.jobs import Job

    jobs = [
        Job(name=f"fit-{at}", function="tests.compute.jobs:sleep", argument=Number(x=at, s=length_s))
        for at, length_s in enumerate(lengths_s)
    ]
    began, ends = perf_counter(), []
    for result in compute.run(jobs, progress=lambda *_: None, **how):
        assert result.error is None, result
        ends.append(perf_counter() - began)
    return ends[-1], ends


def empty_s(compute):
    """Least, median and greatest time of a fit that does nothing, one at a time, and the processor time of each.

    That of all processes; unlike the time by the clock it says something beside other work, too.
    """
    slept(compute, [0.0] * 2, exclusive=True)
    before_s = sum(used_s().values())
    _, ends = slept(compute, [0.0] * (EMPTY + 1), exclusive=True)
    cpu_s = (sum(used_s().values()) - before_s) / (EMPTY + 1)
    each_s = [after - before for before, after in pairwise(ends)]
    return [round(each, 4) for each in (min(each_s), median(each_s), max(each_s), cpu_s)]


def used_s():
    """Processor time of this process and all below it, those included that have ended and were waited for, by kind."""
    used = {}
    for each in tree(psutil.Process()):
        words = " ".join(each.cmdline())
        kinds = {"ray::": "workers", "bakeoff.": "workers", "s3_server": "bucket", "ray": "ray"}
        kind = next((kind for word, kind in kinds.items() if word in words), "other")
        kind = "asking" if each.pid == os.getpid() else kind
        used[kind] = used.get(kind, 0.0) + sum(each.cpu_times()[:4])
    return used


class Blocks:
    """An actor of Ray Data: our worker, which gets the bytes of a block and gives those of the part."""

    def __init__(self, steps):
        import polars as pl

        from bakeoff.prepare.corpus.stages import columns_file, parts_folder
        from bakeoff.prepare.corpus.work import Plan
        from bakeoff.prepare.corpus.worker import Worker

        self._folder = Path(tempfile.mkdtemp(prefix="b"))
        parts_folder(self._folder).mkdir()
        pl.DataFrame(schema={"id": pl.String, "text": pl.String}).write_ipc(columns_file(self._folder))
        plan = {"steps": steps, "text": ["text"], "target": "", "tokens": None}
        self._worker = Worker(Plan(**plan, folder=str(self._folder), suffix=".parquet"))

    def __call__(self, batch):
        from bakeoff.prepare.corpus.blocks import Block
        from bakeoff.prepare.corpus.stages import part_file
        from bakeoff.prepare.corpus.work import Task

        (number,), (data,) = batch["number"], batch["data"]
        file = self._folder / "block.jsonl"
        file.write_bytes(data)
        block = Block(file=str(file), format="jsonl", start=0, end=len(data))
        done = self._worker.do(Task(part=int(number), stage=0, block=block))
        made = part_file(self._folder, int(number), ".parquet")
        return {"rows": [done.rows], "part": [made.read_bytes()]}


def by_ray_data(source, steps, folder):
    """The rows that are left; parts are written as they come, in order."""
    import ray.data

    from bakeoff.data.sources import SourceFile
    from bakeoff.prepare.corpus.blocks import cut
    from bakeoff.prepare.corpus.run import BLOCK_BYTES

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    data = source.read_bytes()
    blocks = cut(SourceFile(location=str(source), path=source, format="jsonl", digest=""), BLOCK_BYTES)
    items = [{"number": at, "data": data[block.start : block.end]} for at, block in enumerate(blocks)]
    made = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        Blocks, fn_constructor_args=[steps], batch_size=1, num_cpus=1, concurrency=2
    )
    rows = 0
    for at, row in enumerate(made.iter_rows()):
        (folder / f"data-{at:06}.parquet").write_bytes(row["part"])
        rows += row["rows"]
    return rows


if __name__ == "__main__":
    main()
