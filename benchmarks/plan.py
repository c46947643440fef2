"""Whether `bakeoff plan` is right: what it predicts, and what a separate load run then measures.

For a linear and a boosting release (the 569 rows × 30 numbers that scikit-learn has) a plan is made; then the release
is started anew and gets 30%, 60% and 90% of the planned capacity, and as many callers as the law says are best. A load
lasts for five steps, and longer near the capacity, so that what is measured is not chance either. With --folder it is
another project, such as one whose release is a language model under llama.cpp.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sklearn.datasets import load_breast_cancer

from bakeoff import Project
from bakeoff.actions.load import ask_at_once, ask_when_due
from bakeoff.actions.packages.check import module_command, started
from bakeoff.actions.plan import _bodies, _wait_until_ready
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.latency import percentiles
from bakeoff.metrics.scalability import LoadCurve, settling

SHARES = (0.3, 0.6, 0.9)
LASTS = 5
OFF_THROUGHPUT, OFF_P99 = 0.15, 0.25
TOML = """
[project]
name = "numbers"
[data]
source = "numbers.csv"
target = "target"
[candidates.{family}]
[combine]
blends = false
cascades = false
[decide]
findings = false
explain = "none"
resamples = 200
"""


def prepared(folder: Path, family: str) -> None:
    """A project with a release of the family."""
    table = load_breast_cancer(as_frame=True).frame
    table["target"] = table["target"].map({0: "malignant", 1: "benign"})
    table.to_csv(folder / "numbers.csv", index=False)
    (folder / "bakeoff.toml").write_text(TOML.format(family=family))
    with Project(folder) as project:
        project.run()


def compared(project: Project, seconds: float) -> Iterator[tuple[str, Interval, float, float]]:
    """Name, predicted, measured and the limit of their relative difference."""
    made = project.plan(rps=500, p99_ms=50, seconds=seconds)
    print(made.capacity_s, made.saturates, f"misfit {made.scaling.misfit:.3f}")
    capacity = made.capacity_s.value
    print(*made.notes, sep="\n")
    curve = LoadCurve(
        [each.offered_s or 0.0 for each in made.loads],
        [each.p99_ms for each in made.loads],
        [(each.p99_low_ms, each.p99_high_ms) for each in made.loads],
        capacity,
    )
    with tempfile.TemporaryDirectory(dir=project.folder / ".bakeoff") as scratch:
        command, environment = module_command(project, project.endpoint, None, Path(scratch))
        _, bodies = _bodies(project, project.endpoint)
        with started(command, environment, Path(scratch)) as (place, _):
            _wait_until_ready(place)
            url = f"{place}/predict"
            ask_at_once(url, bodies, callers=4, seconds=1)
            load = ask_at_once(url, bodies, callers=made.scaling.peak_callers, seconds=seconds)
            yield "capacity", made.capacity_s, load.windows(1)[0], OFF_THROUGHPUT
            for share in SHARES:
                lasts_s = LASTS * seconds * settling(share)
                load = ask_when_due(url, bodies, per_second=share * capacity, seconds=lasts_s, seed=int(1000 * share))
                p99 = percentiles(load.latency_ms_n)["p99"]
                offered = Interval(value=share * capacity, low=share * capacity, high=share * capacity)
                yield f"throughput at {share:.0%}", offered, load.windows(1)[0], OFF_THROUGHPUT
                yield f"p99 at {share:.0%}", curve.at(share * capacity), p99, OFF_P99


def main() -> None:
    """Measure, print, and exit with 1 when a prediction is off by more than it may be."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--families", nargs="+", default=["linear", "boosting"])
    parser.add_argument("--step-s", type=float, default=4.0)
    parser.add_argument("--folder", type=Path, help="a project with a release, instead")
    given = parser.parse_args()
    wrong = 0
    for family in ["given"] if given.folder else given.families:
        with tempfile.TemporaryDirectory() as name:
            folder = given.folder or Path(name)
            if not given.folder:
                prepared(folder, family)
            with Project(folder, progress=print) as project:
                for what, predicted, measured, limit in compared(project, given.step_s):
                    off = predicted.value / max(measured, 1e-9) - 1
                    wrong += abs(off) > limit
                    ends = f"[{predicted.least:.4g}, {predicted.most:.4g}]"
                    inside = "in" if predicted.least <= measured <= predicted.most else "NOT in"
                    shown = "" if what.startswith("throughput") else f", {inside} {ends}"
                    line = f"predicted {predicted.value:.4g}, measured {measured:.4g}, off {off:+.1%}{shown}"
                    print(f"{family} {what}: {line}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
