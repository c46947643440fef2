"""`bakeoff data prepare` killed, without room, and twice at one output: nothing is lost, half done or silent.

    python benchmarks/stream_damage.py --kills 24 --disks 12 --pairs 12 --seed 1

kills: `kill -9` at a random moment, up to three times one after the other, of the parent or of a worker; then the run
is ended. No output may be in place before its end, no worker may live on, and the result must be that of an undisturbed
run, byte for byte. disks: a filesystem that is too small (where one may be mounted) or a limit on the size of files:
one error that names the lack of room, and nothing left. pairs: two runs at one output at once: one does it, the other
has one clear error, and the output is whole. Exit code 1 when a trial fails.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl
import psutil

# The command line, with small blocks so that there are many.
COMMAND = (
    "from bakeoff.prepare.corpus import run; run.prepare_corpus.__kwdefaults__['block_bytes'] = 30_000; "
    "from bakeoff.__main__ import main; main()"
)
STEPS = "strip_html,squeeze_whitespace,drop_duplicates,redact_pii,drop_near_duplicates,stem"
OUTPUTS = ("out.jsonl", "out.parquet", "out", "out.jsonl.gz")
WORDS = [f"word{i}" for i in range(500)]


def corpus(folder: Path, rows: int) -> list[str]:
    """Files of three formats with copies and near copies."""
    rng = random.Random(7)
    texts: list[str] = []
    for number in range(rows):
        if texts and rng.random() < 0.3:
            texts.append(rng.choice(texts) + rng.choice(["", " more"]))
        else:
            texts.append(f"<p>{' '.join(rng.choices(WORDS, k=30))}</p> ann{number}@x.org")
    table = pl.DataFrame({"id": range(rows), "text": texts, "score": [number / 4 for number in range(rows)]})
    third = rows // 3
    table[:third].write_ndjson(folder / "a.jsonl")
    table[third : 2 * third].write_parquet(folder / "b.parquet")
    table[2 * third :].with_columns(pl.col("id")).write_ndjson(folder / "c.jsonl")
    return ["a.jsonl", "b.parquet", "c.jsonl"]


def start(folder: Path, files: list[str], out: str, *, most_blocks: int = 0) -> subprocess.Popen[str]:
    """A run; with a limit on the size of files, in blocks of 512 bytes, if there is one."""
    command = ["data", "prepare", *files, "--out", out, "--steps", STEPS, "--workers", "2", "--json"]
    limit = ["sh", "-c", f'ulimit -f {most_blocks}; exec "$@"', "sh"] if most_blocks else []
    return subprocess.Popen(
        [*limit, sys.executable, "-B", "-c", COMMAND, *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def content(path: Path) -> bytes | dict[str, bytes] | None:
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir()}
    return path.read_bytes() if path.exists() else None


def errors_of(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("error")]


class Trials:
    """The corpus, and what undisturbed runs make of it."""

    def __init__(self, folder: Path, rows: int, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.files = corpus(folder, rows)
        self.whole: dict[str, bytes | dict[str, bytes] | None] = {}
        self.seconds = 0.0
        self.resumed = 0

    def expected(self, out: str) -> bytes | dict[str, bytes] | None:
        if out not in self.whole:
            (self.folder / "undisturbed").mkdir(exist_ok=True)
            began = time.perf_counter()
            run = start(self.folder, self.files, f"undisturbed/{out}")
            _, stderr = run.communicate()
            assert run.returncode == 0, stderr
            self.seconds = max(self.seconds, time.perf_counter() - began)
            self.whole[out] = content(self.folder / "undisturbed" / out)
        return self.whole[out]

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name not in {*self.files, "undisturbed"})

    def clean(self, out: str) -> None:
        subprocess.run(["rm", "-rf", self.folder / out, self.folder / f".{out}.partial"], check=True)

    def kill(self) -> str:
        """One output, killed up to three times."""
        out = self.rng.choice(OUTPUTS)
        expected, times = self.expected(out), self.rng.randint(1, 3)
        for _ in range(times):
            run = start(self.folder, self.files, out)
            with suppress(subprocess.TimeoutExpired):
                run.wait(self.rng.uniform(0.3, self.seconds))
            workers = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
            victim = self.rng.choice(
                [run.pid, *(worker.pid for worker in workers)][: 3 if self.rng.random() < 0.2 else 1]
            )
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            _, stderr = run.communicate()
            assert content(self.folder / out) in (None, expected), "an output that is not whole"
            if victim != run.pid and run.returncode:
                assert len(errors_of(stderr)) == 1, stderr
                assert "Traceback" not in stderr, stderr
            _, alive = psutil.wait_procs(workers, timeout=10)
            assert not alive, f"workers that live on: {alive}"
            if (self.folder / out).exists():
                break
        if not (self.folder / out).exists():
            run = start(self.folder, self.files, out)
            stdout, stderr = run.communicate()
            assert run.returncode == 0, stderr
            self.resumed += json.loads(stdout)["resumed_blocks"] > 0
            assert self.left() == [out], self.left()
        assert content(self.folder / out) == expected, "not what an undisturbed run makes"
        self.clean(out)
        return "as undisturbed"

    def full(self) -> str:
        """One disk, or limit of files, that is too small."""
        out = self.rng.choice(OUTPUTS)
        size = sum((self.folder / file).stat().st_size for file in self.files)
        room = self.rng.choice([4096, size // 20, size // 8, size // 3])
        mount = self.folder / "small"
        mount.mkdir()
        mounted = (
            self.rng.random() < 0.7
            and not subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", mount], check=False, capture_output=True
            ).returncode
        )
        try:
            run = start(self.folder, self.files, f"small/{out}", most_blocks=0 if mounted else 40)
            _, stderr = run.communicate()
            if run.returncode == 0:
                assert content(mount / out) == self.expected(out)
                return "room enough"
            assert (run.returncode, len(errors_of(stderr))) == (1, 1), stderr
            assert "expected room in" in stderr, stderr
            assert "Traceback" not in stderr, stderr
            assert not list(mount.iterdir()), list(mount.iterdir())
        finally:
            if mounted:
                subprocess.run(["umount", mount], check=True)
            subprocess.run(["rm", "-rf", mount], check=True)
        return f"told ({'disk' if mounted else 'limit'})"

    def pair(self) -> str:
        """Two runs at one output, some time apart."""
        out = self.rng.choice(OUTPUTS)
        expected = self.expected(out)
        one = start(self.folder, self.files, out)
        # Often about when the first one ends, where they could cross.
        time.sleep(self.rng.choice([0, self.rng.uniform(0, self.seconds), self.rng.uniform(0.8, 1.1) * self.seconds]))
        two = start(self.folder, self.files, out)
        ends = [(run.communicate()[1], run.returncode) for run in (one, two)]
        refused = [stderr for stderr, code in ends if code]
        assert len(refused) == 1, ends
        (line,) = errors_of(refused[0])
        assert "another process is writing it" in line or "a name that is free" in line, line
        assert content(self.folder / out) == expected
        assert self.left() == [out], self.left()
        self.clean(out)
        return "refused while it wrote" if "another process" in line else "refused after it had written"


def trials(name: str, one: Callable[[], str], count: int) -> tuple[Counter[str], int]:
    """What became of so many trials, and how many failed."""
    ends: Counter[str] = Counter()
    for number in range(count):
        try:
            ends[one()] += 1
        except AssertionError as error:
            ends["FAILED"] += 1
            print(f"{name} {number}: {error}", flush=True)
    return ends, ends["FAILED"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("kills", "disks", "pairs"):
        arguments.add_argument(f"--{name}", type=int, default=24)
    arguments.add_argument("--rows", type=int, default=6000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    failed = 0
    for name, count in (("kill", given.kills), ("full", given.disks), ("pair", given.pairs)):
        with tempfile.TemporaryDirectory() as folder:
            made = Trials(Path(folder), given.rows, given.seed)
            ends, wrong = trials(name, getattr(made, name), count)
            resumed = f", {made.resumed} of them went on where the killed one was" if name == "kill" else ""
            print(f"{name}: {dict(ends)}{resumed}; {made.seconds:.1f} s undisturbed", flush=True)
            failed += wrong
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
