"""Snapshots of files beside DVC and Oxen: the same files, the same disk, warm caches.

    python benchmarks/versions.py                       # all of it, twenty minutes; SCALE=0.1 for a tenth of all sizes
    python benchmarks/versions.py --systems bakeoff dvc --parts a e

(a) 20,000 files of 4 KB: snapshot and checkout. (b) one file of 1 GiB: the same. (c) that file again after 1% of its
bytes were inserted at 100 places: the snapshot, and the bytes that it adds. (d) a Parquet file of about 2 GB of which
one row in a hundred, side by side, changed: likewise. (e) `status` of 200,000 files that did not change.

Each command is a process of its own, as a user calls it: start-up is in its time, with modules that are compiled, as an
installation has them, for each system. Memory is what its process had at most (resident): a small process calls it, as
the system counts what the caller had, too. Oxen's command is no package of PyPI: its Python library does the same in a
script of three lines.
`floor` is what this machine can do: BLAKE3 of the file by one core, and a copy with one sync.
"""

import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
from blake3 import blake3

import bakeoff

CACHE = Path(os.environ.get("BAKEOFF_BENCH_CACHE", Path.home() / ".cache" / "bakeoff-bench"))
SCALE = float(os.environ.get("SCALE", "1"))
PEERS = {"dvc": ["dvc==3.67.1"], "oxen": ["oxenai==0.65.1"]}
SYSTEMS, PARTS = ["bakeoff", "dvc", "oxen"], ["a", "b", "c", "d", "e"]
SMALL, LARGE, MANY = int(20_000 * SCALE), int((1 << 30) * SCALE), int(200_000 * SCALE)
ROWS = int(17_000_000 * SCALE)
INSERTIONS = 100
RESULTS = CACHE / "versions.json"
TOML = '[project]\nname = "bench"\n[data]\nsource = "none.csv"\ntarget = "y"\n[candidates.linear]\n'
STATE = {"bakeoff": ".bakeoff/blobs", "dvc": ".dvc/cache", "oxen": ".oxen"}
OXEN = {
    "init": "from oxen.user import config_user; config_user('bench', 'bench@example.org'); repo.init()",
    "add": "repo.add('data'); repo.commit('a')",
    "checkout": "repo.restore('data')",
    "status": "print(repo.status())",
}
MEASURE = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([time.perf_counter() - began, usage.ru_maxrss, os.waitstatus_to_exitcode(status)]))
"""


def python(name: str) -> Path:
    """The interpreter of a peer's environment, which is made once, by uv."""
    folder, done = CACHE / f"env-versions-{name}", CACHE / f"env-versions-{name}.json"
    if not done.exists() or json.loads(done.read_text()) != PEERS[name]:
        uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
        subprocess.run([*install, *PEERS[name]], check=True)
        done.write_text(json.dumps(PEERS[name]))
    return folder / "bin" / "python"


def compiled(interpreter: Path, modules: Path) -> None:
    """Compile modules that are not; where nothing may write them, each command would do it anew."""
    subprocess.run([str(interpreter), "-m", "compileall", "-q", str(modules)], check=False, stdout=subprocess.DEVNULL)


class Workplace:
    """A folder in which one system keeps versions of `data`."""

    def __init__(self, system: str, folder: Path) -> None:
        self.system, self.folder = system, folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "bakeoff.toml").write_text(TOML)
        if system != "bakeoff":
            self.call("init")

    def command(self, what: str) -> list[str]:
        """What a user calls."""
        if self.system == "oxen":
            code = f"from oxen import Repo; repo = Repo('.'); {OXEN[what]}"
            return [str(python("oxen")), "-c", code]
        if self.system == "dvc":
            dvc = str(python("dvc").parent / "dvc")
            words = {"init": ["init", "--no-scm", "-q"], "add": ["add", "-q", "data"]}
            return [dvc, *(words | {"checkout": ["checkout", "-q"], "status": ["status"]})[what]]
        bakeoff = [sys.executable, "-m", "bakeoff", "-q", "data"]
        words = {"add": ["snapshot", "data"], "checkout": ["checkout", "data", "out"], "status": ["status", "data"]}
        return [*bakeoff, *words[what]]

    def call(self, what: str) -> dict[str, float]:
        """Seconds of a command, and the most megabytes that it held."""
        environ = os.environ | {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "HOME": str(CACHE / "home")}
        measured = [sys.executable, "-S", "-c", MEASURE, *self.command(what)]
        done = subprocess.run(measured, cwd=self.folder, env=environ, capture_output=True, text=True, check=True)
        seconds, kilobytes, code = json.loads(done.stdout)
        if code:
            raise RuntimeError(f"{self.system} {what}: {done.stderr[-2000:]}")
        return {"s": round(seconds, 3), "MB": round(kilobytes / 1000)}

    def checkout(self) -> dict[str, float]:
        """Make the data again where there is none."""
        data, kept = self.folder / "data", self.folder / "before"
        if self.system == "bakeoff":  # writes beside it; the others write in its place
            done = self.call("checkout")
            made = self.folder / "out"
        else:
            data.rename(kept)
            done, made = self.call("checkout"), data
        assert files_of(made) == files_of(kept if kept.exists() else data)
        for place in (kept, self.folder / "out"):
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        return done

    def stored(self) -> int:
        """Bytes that it keeps."""
        return sum(p.stat().st_size for p in (self.folder / STATE[self.system]).rglob("*") if p.is_file())


def files_of(place: Path) -> tuple[int, int]:
    paths = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return len(paths), sum(path.stat().st_size for path in paths)


def small_files(at: Path, count: int, size: int) -> None:
    rng = random.Random(1)
    for number in range(count):
        place = at / f"{number // 1000:03}"
        if number % 1000 == 0:
            place.mkdir(parents=True)
        (place / f"{number:06}.bin").write_bytes(rng.randbytes(size))
    os.sync()
    time.sleep(0.1)


def large_file(at: Path, size: int) -> None:
    with at.open("wb") as file:
        for number in range(0, size, 1 << 20):
            file.write(random.Random(number).randbytes(min(1 << 20, size - number)))
    os.sync()


def insert(at: Path) -> None:
    """One per cent more bytes, at places spread over the file."""
    data, rng = at.read_bytes(), random.Random(7)
    places = sorted(rng.randrange(len(data)) for _ in range(INSERTIONS))
    with at.open("wb") as file:
        before = 0
        for place in places:
            file.write(data[before:place])
            file.write(rng.randbytes(len(data) // 100 // INSERTIONS))
            before = place
        file.write(data[before:])
    os.sync()


def table(at: Path, *, changed: bool) -> None:
    rng = np.random.default_rng(5)
    columns = {f"x{number}": rng.normal(size=ROWS) for number in range(14)}
    columns["id"] = np.arange(ROWS, dtype=np.float64)
    if changed:
        start = ROWS // 3
        columns["x3"][start : start + ROWS // 100] += 1.0
    pl.DataFrame(columns).write_parquet(at, compression="zstd", compression_level=1, row_group_size=100_000)
    os.sync()


def both(place: Workplace, make: Callable[[], None]) -> dict[str, object]:
    """A snapshot, and a checkout of it."""
    make()
    size = files_of(place.folder / "data")[1]
    added = place.call("add")
    return {"snapshot": added, "checkout": place.checkout(), "stored": round(place.stored() / size, 3)}


def again(place: Workplace, make: Callable[[], None], change: Callable[[], None]) -> dict[str, object]:
    """A second snapshot after a change."""
    make()
    place.call("add")
    before = place.stored()
    change()
    size = files_of(place.folder / "data")[1]
    return {"snapshot": place.call("add"), "new": round((place.stored() - before) / size, 4)}


def part(name: str, system: str, folder: Path) -> dict[str, object]:
    place = Workplace(system, folder)
    data = folder / "data"
    match name:
        case "a":
            return both(place, lambda: small_files(data, SMALL, 4096))
        case "b":
            return both(place, lambda: large_file(data, LARGE))
        case "c":
            return again(place, lambda: large_file(data, LARGE), lambda: insert(data))
        case "d":
            return again(place, lambda: table(data, changed=False), lambda: table(data, changed=True))
        case _:
            small_files(data, MANY, 64)
            place.call("add")
            place.call("status")
            return {"status": place.call("status")}


def floor(folder: Path) -> dict[str, float]:
    """BLAKE3 by one core, and a copy with one sync, of the file of (b)."""
    folder.mkdir(parents=True, exist_ok=True)
    large_file(folder / "data", LARGE)
    began = time.perf_counter()
    hasher = blake3(max_threads=1)
    with (folder / "data").open("rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    hashed = time.perf_counter()
    with (folder / "data").open("rb") as source, (folder / "copy").open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        os.fsync(target.fileno())
    copied = time.perf_counter()
    return {"blake3_s": round(hashed - began, 3), "copy_s": round(copied - hashed, 3)}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--systems", nargs="*", choices=SYSTEMS, default=SYSTEMS)
    asked.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    given = asked.parse_args()
    for folder in (CACHE, CACHE / "home"):
        folder.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    where = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {where}, bakeoff {version('bakeoff')}, {PEERS}, scale {SCALE:g}", flush=True)
    work = CACHE / "versions-work"
    compiled(Path(sys.executable), Path(bakeoff.__file__).parent)
    for peer in PEERS.keys() & {*given.systems}:
        compiled(python(peer), python(peer).parent.parent / "lib")
    if "b" in given.parts:
        results["floor"] = floor(work)
        print(f"floor: {results['floor']}", flush=True)
        shutil.rmtree(work)
    for name in given.parts:
        for system in given.systems:
            try:
                results[f"{name} {system}"] = part(name, system, work)
            except RuntimeError as error:  # what a peer cannot do stands in the table, too
                results[f"{name} {system}"] = {"failed": str(error)[-300:]}
            print(f"({name}) {system}: {results[f'{name} {system}']}", flush=True)
            shutil.rmtree(work, ignore_errors=True)
            RESULTS.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
