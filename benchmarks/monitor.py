"""A drift report beside Evidently's, and what a look costs as the log grows.

`make bench-monitor`. Evidently is installed into an environment of its own (by uv, in build/), or `--evidently PYTHON`
names one. Both read the same two Parquet files, each in a process of its own; seconds (of processor time) and the peak
of memory are of the whole process for bakeoff, and for Evidently without the time that reading and importing took.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

EVIDENTLY = ("evidently==0.7.23", "pandas<3")  # it imports what pandas 3 has no more
SIZES = ((1_000_000, 20), (10_000, 1000))


def write(folder: Path, rows: int, columns: int) -> None:
    import polars as pl

    rng = np.random.default_rng(0)
    for name, moved in (("reference", 0.0), ("current", 0.1)):
        table = {}
        for at in range(columns):
            if at % 4 == 3:
                table[f"c{at}"] = np.asarray(list("abcdefgh"))[np.minimum(rng.geometric(0.3 + moved / 4, rows) - 1, 7)]
            else:
                table[f"x{at}"] = rng.normal(moved * (at % 3), 1, rows) if at % 2 else rng.lognormal(0, 1 + moved, rows)
        pl.DataFrame(table).write_parquet(folder / f"{name}.parquet")


def report(folder: Path) -> None:
    from bakeoff.metrics.distances import compare_files

    distances = compare_files(folder / "reference.parquet", folder / "current.parquet")
    took = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": took, "peak_bytes": peak, "scores": {k: v.to_json() for k, v in distances.items()}}))


def run(*command: str) -> dict:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{answer.stderr[-3000:]}")
    return json.loads(answer.stdout.splitlines()[-1])


def environment() -> str:
    folder = Path("build/evidently")
    python = folder / "bin" / "python"
    if not python.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), *EVIDENTLY], check=True)
    return str(python)


def apart(ours: dict, theirs: dict) -> tuple[float, int]:
    """The largest difference of what both define alike, and of how many columns."""
    differences = []
    for column, score in theirs.items():
        method = score["method"].lower()
        key = "wasserstein" if "wasserstein" in method else "js" if "jensen" in method and column[0] == "c" else None
        if key and ours[column][key] is not None:
            differences.append(abs(ours[column][key] - score["value"]))
    return max(differences, default=float("nan")), len(differences)


def beside_evidently(python: str, sizes: list[str]) -> None:
    peers = Path(__file__).parent / "peers" / "monitor_peers.py"
    print("| table | bakeoff s | MB | Evidently s | MB | times faster | part of the memory | apart at most |")
    print("|---|---|---|---|---|---|---|---|")
    for rows, columns in (map(int, size.split("x")) for size in sizes):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write(folder, rows, columns)
            ours = [run(sys.executable, __file__, "--report", str(folder)) for _ in range(3)]
            us = sorted(ours, key=lambda each: each["seconds"])[1]
            them = run(python, str(peers), "evidently", "report", str(folder))
            most, of = apart(us["scores"], them["scores"])
        faster = them["seconds"] / us["seconds"]
        part = us["peak_bytes"] / them["peak_bytes"]
        print(
            f"| {rows:,} x {columns:,} | {us['seconds']:.2f} | {us['peak_bytes'] / 1e6:.0f} | {them['seconds']:.2f} "
            f"| {them['peak_bytes'] / 1e6:.0f} | {faster:.0f} | {part:.2f} | {most:.1e} ({of} columns) |",
            flush=True,
        )


STATISTICS = (  # Evidently's method, the start of its name in a report, ours, of which columns
    (None, "wasserstein", "wasserstein", "numbers"),
    (None, "jensen", "js", "levels"),
    ("chisquare", "ks", "p", "numbers"),
    ("chisquare", "chisquare", "p", "levels"),
    ("psi", "psi", "psi", "numbers"),
    ("psi", "psi", "psi", "levels"),
)


def statistics(python: str, rows: int, columns: int = 20) -> None:
    """How far apart both are in each statistic, whether they define it alike or not."""
    peers = Path(__file__).parent / "peers" / "monitor_peers.py"
    print("| rows | statistic | columns | apart at most | theirs there | ours |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder, rows, columns)
        ours = run(sys.executable, __file__, "--report", str(folder))["scores"]
        methods = dict.fromkeys(method for method, *_ in STATISTICS)
        said = {m: run(python, str(peers), "evidently", "report", str(folder), *([m] if m else [])) for m in methods}
    for method, name, key, kind in STATISTICS:
        pairs = [
            (score["value"], ours[column][key])
            for column, score in said[method]["scores"].items()
            if score["method"].lower().startswith(name) and (column[0] == "x") == (kind == "numbers")
        ]
        theirs, mine = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
        print(f"| {rows:,} | {name}, {kind} | {len(pairs)} | {abs(theirs - mine):.1e} | {theirs:.6g} | {mine:.6g} |")


NOW_MS, HOUR_MS = 1_700_000_000_000, 3_600_000


def served(rng: np.random.Generator, n: int, columns: int):
    """Rows of an endpoint."""
    import polars as pl

    made = {f"x{at}": rng.normal(size=n).round(4) for at in range(columns // 2)}
    return pl.DataFrame(made | {f"c{at}": rng.choice(list("abcdefgh"), n) for at in range(columns - columns // 2)})


def released(rng: np.random.Generator, columns: int):
    """The reference and the signature of its release."""
    from bakeoff.core.types import Column, Predictions, Signature
    from bakeoff.monitor.reference import make

    kinds = {True: ("numeric", "Float64"), False: ("categorical", "String")}
    table = served(rng, 4000, columns)
    inputs = tuple(Column(name=n, kind=kinds[n[0] == "x"][0], dtype=kinds[n[0] == "x"][1]) for n in table.columns)
    said = Predictions.of_probabilities(np.tile([0.7, 0.3], (4000, 1)), ("a", "b"))
    reference = make(table, inputs, said, task="classification", metric="f1_macro", value=0.8)
    return reference, Signature(task="classification", inputs=inputs, classes=("a", "b"))


def windows(columns: int, hours: int = 336) -> tuple[float, float]:
    """Seconds of the first look of a day at windows over so many hours with rows, and of one without news after it."""
    from bakeoff.config.sections import MonitorConfig
    from bakeoff.monitor.observe import observe
    from bakeoff.stores.events import open_events
    from bakeoff.stores.records import open_records
    from bakeoff.testing.events import prediction

    rng = np.random.default_rng(0)
    reference, signature = released(rng, columns)
    with tempfile.TemporaryDirectory() as scratch:
        log = open_events("file://events", folder=Path(scratch), clock=lambda: NOW_MS)
        records = open_records("sqlite:///records.db", folder=Path(scratch), clock=lambda: NOW_MS)
        for hour in range(hours):
            known = served(rng, 30, columns).to_dicts()
            time_ms = NOW_MS - hour * HOUR_MS
            log.append(
                [
                    prediction(f"{hour}/{at}", row=row, label="a", probabilities={"a": 0.7, "b": 0.3}, time_ms=time_ms)
                    for at, row in enumerate(known)
                ]
            )

        def look() -> float:
            started = time.perf_counter()
            observe(
                log,
                "late",
                signature=signature,
                reference=reference,
                config=MonitorConfig(),
                release_id="r1",
                since_ms=0,
                until_ms=NOW_MS + 1,
                documents=records.documents,
            )
            return time.perf_counter() - started

        first, again = look(), float(np.median([look() for _ in range(5)]))
        log.close()
        records.close()
    return first, again


def updates(columns: int, logged: int, new: int = 10_000) -> tuple[float, float]:
    """Seconds of a look with so many new rows after so many old ones, and of one without any."""
    from bakeoff.monitor.hours import Hours, Watched
    from bakeoff.stores.events import open_events
    from bakeoff.stores.records import open_records
    from bakeoff.testing.events import prediction

    rng = np.random.default_rng(0)
    reference, signature = released(rng, columns)
    now_ms = NOW_MS
    with tempfile.TemporaryDirectory() as scratch:
        log = open_events("file://events", folder=Path(scratch), clock=lambda: now_ms)
        records = open_records("sqlite:///records.db", folder=Path(scratch), clock=lambda: now_ms)

        def add(n: int) -> None:
            known = served(rng, n, columns).to_dicts()
            for start in range(0, n, 1000):
                log.append(
                    [
                        prediction(
                            f"{start + at:x}", row=row, label="a", probabilities={"a": 0.7, "b": 0.3}, latency_ms=1.2
                        )
                        for at, row in enumerate(known[start : start + 1000])
                    ]
                )

        def look() -> float:
            watched = Watched(
                endpoint="late",
                release_id="r1",
                signature=signature,
                reference=reference,
                since_ms=0,
                until_ms=now_ms + 1,
            )
            started = time.perf_counter()
            Hours(watched, log, records.documents)
            return time.perf_counter() - started

        for start in range(0, logged, 50_000):
            add(min(50_000, logged - start))
            look()
        log.compact()
        taken = []
        for _ in range(5):
            add(new)
            taken.append(look())
        idle = min(look() for _ in range(5))
        log.close()
        records.close()
    return float(np.median(taken)), idle


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--evidently")
    parser.add_argument("--only", choices=["evidently", "statistics", "updates"])
    parser.add_argument("--sizes", nargs="+", default=[f"{rows}x{columns}" for rows, columns in SIZES])
    options = parser.parse_args()
    if options.report:
        report(options.report)
        return 0
    if options.only in (None, "updates"):
        print("| columns | rows in the log | ms for 10,000 new rows | ms for none |\n|---|---|---|---|")
        for columns in (8, 20):
            for logged in (0, 300_000) if columns == 8 else (0,):
                new, idle = updates(columns, logged)
                print(f"| {columns} | {logged:,} | {new * 1e3:.0f} | {idle * 1e3:.1f} |", flush=True)
        print("| columns | hours with rows | ms for the windows, without news |\n|---|---|---|")
        for columns in (8, 20):
            _, again = windows(columns)
            print(f"| {columns} | 336 | {again * 1e3:.0f} |", flush=True)
    if options.only in (None, "evidently"):
        beside_evidently(options.evidently or environment(), options.sizes)
    if options.only in (None, "statistics"):
        statistics(options.evidently or environment(), 10_000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
