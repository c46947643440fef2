"""From the id of a prediction to data, code, environment and parameters, with a million predictions in the log.

    python benchmarks/lineage.py                 # a million; ROWS=100000 for fewer
    python benchmarks/lineage.py FOLDER          # the project is left there, and taken as it is if it is there

A small project is run once; its log gets predictions of its release, written as the server writes them. Each question
is asked of a project that was opened anew in a process of its own: what is measured is the call, and the whole command
beside it. The log is asked as it was written (segments, of which no index is there yet) and after `compact`.
"""

import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bakeoff import Project
from bakeoff.core.events import PredictionEvent

ROWS = int(os.environ.get("ROWS", "1000000"))
ASKED, BATCH = 20, 20_000
ASK = """
import sys, time
from bakeoff import Project
with Project(sys.argv[1]) as project:
    project.records, project.events
    began = time.perf_counter()
    graph = project.lineage_of(sys.argv[2])
    took_s = time.perf_counter() - began
    began = time.perf_counter()
    project.lineage_of(sys.argv[3], direction="up")
    again_s = time.perf_counter() - began
kinds = {node.kind for node in graph.nodes}
assert {"prediction", "release", "model", "run", "dataset", "source", "environment", "code"} <= kinds, kinds
print(took_s, again_s)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        if not (folder / "ids.json").exists():
            made(folder)
        ids = json.loads((folder / "ids.json").read_text())
        print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.platform()}, {os.cpu_count()} cores, Python", end=" ")
        print(f"{platform.python_version()}; {len(ids) * BATCH:,} predictions")
        print(f"as written:    {asked(folder, ids)}", flush=True)
        with Project(folder) as project:
            project.events.compact()
        print(f"after compact: {asked(folder, ids)}")


def made(folder: Path) -> None:
    """The project with its log, and the ids that are asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    lines = [f"{rng.choice(['good', 'bad'])} film {n},{rng.randint(1950, 2020)}" for n in range(400)]
    rows = "".join(f"{line},{'yes' if 'good' in line else 'no'}\n" for line in lines)
    (folder / "films.csv").write_text("review,year,liked\n" + rows)
    with Project.init(folder, name="films", source="films.csv", target="liked") as project:
        project.run()
        (folder / "ids.json").write_text(json.dumps(logged(project)))


def logged(project: Project) -> list[str]:
    """Write the predictions; some of their ids."""
    release = project.release()
    assert release is not None
    ids: list[str] = []
    for start in range(0, ROWS, BATCH):
        events = [
            PredictionEvent(
                id=random.Random(number).randbytes(16).hex(),
                endpoint=release.endpoint,
                release_id=release.release_id,
                model_version=release.model_version,
                row={"review": f"a film like number {number}, neither good nor bad", "year": 1950 + number % 70},
                label="yes" if number % 3 else "no",
                probabilities={"yes": 0.6, "no": 0.4},
                latency_ms=0.5,
            )
            for number in range(start, min(start + BATCH, ROWS))
        ]
        project.events.append(events)
        ids.append(events[len(events) // 2].id)
    return ids


def asked(folder: Path, ids: list[str]) -> str:
    """How long questions take: the first and the second of a process, and the command."""
    first, second, command = [], [], []
    for number in range(ASKED):
        pair = [ids[number % len(ids)], ids[-1 - number % len(ids)]]
        done = subprocess.run([sys.executable, "-c", ASK, folder, *pair], capture_output=True, text=True, check=True)
        took_s, again_s = map(float, done.stdout.split())
        first.append(took_s)
        second.append(again_s)
    for number in range(3):
        began = time.perf_counter()
        call = [sys.executable, "-m", "bakeoff", "lineage", ids[number % len(ids)], "-C", str(folder), "--json"]
        json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
        command.append(time.perf_counter() - began)
    worst, median = sorted(first)[-2], statistics.median(first)
    return (
        f"first question of a process {median * 1000:.0f} ms (95%: {worst * 1000:.0f}), the next "
        f"{statistics.median(second) * 1000:.0f} ms; the command {statistics.median(command):.2f} s"
    )


if __name__ == "__main__":
    main()
