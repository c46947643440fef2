"""Damage one place of a project's state after another, and see that `run` ends right or names it, and that it heals.

    python tools/damage.py --trials 500 --seed 1

The project is a small one that this makes: the family and the compute backend of docs/extend (so that jobs run in this
process), data in an archive, predictions and feedback of which some are archived, and a log of the records as a killed
process leaves it. For each trial it is copied, one byte in a random file is changed (or, now and then, the file is cut,
zeroed from there on, or deleted), and then:

1. `run`, with the settings as they were or with one changed (which has to read what is stored): it must end as the
   undamaged project does (the same winner and metrics), or fail with an error that names a file and what to do;
2. `verify --repair` where anything is still damaged, then `run` again: it must end right;
3. `verify`: nothing may be damaged. Blobs of what no run makes again (`gone for good`) are counted apart;
4. the endpoint answers as before, and all predictions are still in the log, unless the repair said which are lost.

Files are drawn evenly by kind, so that small and rare ones are met too. Exit code 1 when a trial fails.
"""

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bakeoff import Project
from bakeoff.core.damage import Damage
from bakeoff.core.errors import BakeoffError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.records import RunChange
from bakeoff.stores.events import open_events

How = Literal["flip", "cut", "zero", "delete"]
PAGES = Path(__file__).parents[1] / "docs" / "extend"
TOML = """
[project]
name = "plants"
[data]
source = "plants.zip"
target = "kind"
numeric = ["height", "width"]
[candidates.soft]
family = "nearest_mean"
softness = 2.0
[candidates.hard]
family = "nearest_mean"
softness = 0.2
[decide]
metric = "log_loss"  # in which they differ: of equals, the quicker one would win
resamples = 100
[compute]
backend = "inline"
"""
FLIPS = 0.85
ROW = {"height": 1.9, "width": 0.4}


def examples(site: Path) -> None:
    """The family and the compute backend of docs/extend, as an installed distribution in `site`."""
    info = site / "examples-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: examples\nVersion: 1.0\n")
    points = ""
    for page in ("family", "compute"):
        text = (PAGES / f"{page}.md").read_text("utf-8")
        name, code = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[0]
        (site / f"{name}.py").write_text(code)
        group, point = re.findall(r'^\[project\.entry-points\."([\w.]+)"\]\n(.*)$', text, re.MULTILINE)[0]
        points += f"[{group}]\n{point.replace(chr(34), '')}\n"
    (info / "entry_points.txt").write_text(points)
    sys.path.insert(0, str(site))


def make(folder: Path) -> Path:
    """A small project that was run, has answered, was told the truth, and was monitored."""
    first = folder.with_name("first")
    first.mkdir()
    draw = random.Random(0)
    rows = ["height,width,kind"]
    for number in range(150):
        centre, kind = ((1.0, 1.0), "moss") if number % 2 else ((2.0, 0.5), "fern")
        rows.append(",".join(f"{draw.gauss(middle, 0.4):.3f}" for middle in centre) + f",{kind}")
    with zipfile.ZipFile(first / "plants.zip", "w") as archive:
        archive.writestr("plants.csv", "\n".join(rows) + "\n")
    (first / "bakeoff.toml").write_text(TOML)
    with Project(first) as project:
        clock = lambda: time.time_ns() // 1_000_000  # noqa: E731
        # Small segments of events, so that some are full and can be archived.
        events = open_events("file://.bakeoff/events", folder=first, clock=clock, segment_bytes=2000)
        project._opened["events"] = events  # noqa: SLF001
        project.run()
        serve(project, draw, times=3)
        project.events.compact()
        # Over 1 MiB, so that it is kept in chunks: a file that a user logged, which no run makes again.
        notes = project.blobs.put(draw.randbytes(3_000_000))
        project.records.runs.apply([RunChange(run_id=project.outcome().run_id, artifacts={"notes.bin": notes})])
        project.monitor()
        serve(project, draw, times=2)
        shutil.copytree(first, folder)  # while the project is open: as a killed process leaves it
        project.events.close()
    shutil.rmtree(first)
    return folder


def serve(project: Project, draw: random.Random, *, times: int) -> None:
    """Answer 10 rows, and tell the truth of 4 of them, so often."""
    for _ in range(times):
        rows = [{"height": draw.gauss(1.5, 0.5), "width": draw.gauss(0.7, 0.3)} for _ in range(10)]
        project.feedback([{"id": answer.id, "label": "moss"} for answer in project.predict(rows)[:4]])


def kinds(folder: Path, artifacts: Mapping[str, str]) -> dict[str, list[Path]]:
    """All files of the project's state by what they are, below `folder`; `artifacts` are names of some blobs."""
    state = folder / ".bakeoff"
    by_kind: dict[str, list[Path]] = {}
    for path in sorted(state.rglob("*")):
        if path.is_file():
            parts = path.relative_to(state).parts
            if parts[0] == "blobs" and parts[1:-1]:
                kind = f"blobs/{artifacts.get(path.name, parts[1])}"
            elif parts[0] == "events":
                kind = f"events/*{path.suffix or path.name}"
            else:
                kind = "/".join(parts[:2])
            by_kind.setdefault(kind, []).append(path.relative_to(folder))
    return by_kind


def damage(path: Path, how: How, at: int) -> None:
    """Change one file; in an empty one, write a byte."""
    content = path.read_bytes()
    match how:
        case "flip":
            changed = content[at] ^ (1 << (at % 8)) if content else at % 256
            path.write_bytes(content[:at] + bytes([changed]) + content[at + 1 :])
        case "cut":
            path.write_bytes(content[:at])
        case "zero":
            path.write_bytes(content[:at] + bytes(len(content) - at))
        case "delete":
            path.unlink()


def change(folder: Path) -> None:
    """Change a setting of a candidate, so that it is fitted anew from what is stored."""
    file = folder / "bakeoff.toml"
    file.write_text(file.read_text().replace("softness = 2.0", "softness = 3.0"))


def outcome(folder: Path) -> tuple[Any, str | None]:
    """What `run` ends with: the figures of the verdict and candidates, or the error."""
    try:
        with Project(folder) as project:
            document: Any = project.run().document
    except BakeoffError as error:
        return None, f"{type(error).__name__}: {error}"
    except BaseException as error:  # noqa: BLE001 - whatever comes is a finding
        return None, f"UNEXPECTED {type(error).__name__}: {error}"
    figures = {
        each["name"]: {name: metric["value"] for name, metric in each["metrics"].items()}
        for each in document["candidates"]
        if each["status"] == "ok"
    }
    return (document["verdict"]["winner"], figures, document["dataset"]["version"]), None


def answers(folder: Path) -> tuple[Any, int]:
    """What the endpoint answers to `ROW`, and how many predictions were in the log before.

    Raises:
        FailedTrialError: it does not answer, or the log cannot be read.
    """
    try:
        with Project(folder) as project:
            count = sum(1 for _ in project.events.read(PredictionEvent))
            project.monitor()
            (answer,) = project.predict([ROW])
            return (answer.label, answer.value, answer.probabilities), count
    except BaseException as error:
        raise FailedTrialError(f"serving: {type(error).__name__}: {error}") from error


def verified(folder: Path, *, repair: bool = False) -> list[Damage]:
    """What `verify` says."""
    try:
        with Project(folder) as project:
            return project.verify(repair=repair)
    except BaseException as error:
        raise FailedTrialError(f"verify: {type(error).__name__}: {error}") from error


def names_a_remedy(error: str) -> bool:
    """Whether an error names a file and what to do."""
    return "UNEXPECTED" not in error and "/" in error and any(word in error for word in ("verify", "restore", "again"))


@dataclass(frozen=True, kw_only=True)
class Whole:
    """The undamaged project: its folder, what runs end with, what it answers, and how many predictions it has."""

    folder: Path
    results: Mapping[bool, Any]
    answer: Any
    predictions: int
    artifacts: Mapping[str, str]


class FailedTrialError(Exception):
    """What is wrong with a trial."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is done to which file, whether the project was killed before, and if a setting is new then."""

    kind: str
    path: Path
    how: How
    share: float
    """How far in the file the place is."""
    killed: bool
    changed: bool

    @classmethod
    def drawn(cls, by_kind: Mapping[str, Sequence[Path]], draw: random.Random) -> "Trial":
        """A file, evenly by kind, what to do to it, and where."""
        kind = draw.choice(sorted(by_kind))
        path = draw.choice(by_kind[kind])
        hows: list[How] = ["cut", "zero", "delete"]
        how = "flip" if draw.random() < FLIPS else draw.choice(hows)
        killed = kind.startswith("records.db-") or draw.choice([True, False])
        changed = draw.choice([True, False])
        return cls(kind=kind, path=path, how=how, share=draw.random(), killed=killed, changed=changed)

    def run(self, whole: Whole, folder: Path) -> str:
        """How it went, as a word for the table; `FailedTrialError` when it did not go well."""
        shutil.copytree(whole.folder, folder, symlinks=True)
        if not self.killed:
            with Project(folder) as project:
                project.outcome()  # opened and closed: all records are in the database itself
        file = folder / self.path
        damage(file, self.how, int(self.share * file.stat().st_size))
        if self.changed:
            change(folder)
        result, error = outcome(folder)
        if error is not None and not names_a_remedy(error):
            raise FailedTrialError(f"run: {error}")
        if error is None and result != whole.results[self.changed]:
            raise FailedTrialError(f"run ended with something else: {result}")
        word = "named by run" if error else "run ended right"
        if error is None and not verified(folder):
            self._serves(whole, folder, ())
            return f"{word}, whole"
        gone = self._repaired(whole, folder)
        return f"{word}, whole after repair" + (", a blob gone for good" if gone else "")

    def _repaired(self, whole: Whole, folder: Path) -> list[Damage]:
        """Repair, run again, and see that all is whole; the blobs that no run makes again."""
        damages = verified(folder, repair=True)
        result, error = outcome(folder)
        if error is not None or result != whole.results[self.changed]:
            raise FailedTrialError(f"run after repair: {error or result}; repaired {[str(each) for each in damages]}")
        left = verified(folder)
        if any("is gone, and" not in each.problem for each in left):
            raise FailedTrialError(f"still damaged: {[str(each) for each in left]}")
        self._serves(whole, folder, damages)
        return left

    def _serves(self, whole: Whole, folder: Path, damages: Sequence[Damage]) -> None:
        """That the endpoint answers as it did, and that no prediction is lost without a word."""
        answer, count = answers(folder)
        if answer != whole.answer and not self.changed:
            raise FailedTrialError(f"answered {answer}")
        if count != whole.predictions and not any(each.lost for each in damages):
            raise FailedTrialError(f"{count} of {whole.predictions} predictions, and nothing is said")


def undamaged(folder: Path, scratch: Path) -> Whole:
    """What to expect of the project in `folder`, told by copies of it.

    Raises:
        FailedTrialError: the project itself is not whole.
    """
    same, changed = (shutil.copytree(folder, scratch / name) for name in ("same", "changed"))
    change(changed)
    results: dict[bool, Any] = {}
    for copy in (same, changed):
        results[copy is changed], error = outcome(copy)
        if error is not None or verified(copy):
            raise FailedTrialError(f"the project itself is not whole: {error or 'damaged'}")
    answer, count = answers(same)
    with Project(same) as project:
        run = project.records.runs.get(project.outcome().run_id)
    artifacts = {blob: name for name, blob in run.artifacts.items()}
    return Whole(folder=folder, results=results, answer=answer, predictions=count, artifacts=artifacts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials and print what came of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="files of these kinds alone, as the table names them (a regular expression)")
    options = parser.parse_args(arguments)
    memory = Path("/dev/shm")  # where nothing waits for a disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        examples(Path(scratch) / "site")
        whole = undamaged(make(Path(scratch) / "made"), Path(scratch))
        return trials(whole, options, Path(scratch))


def trials(whole: Whole, options: argparse.Namespace, scratch: Path) -> int:
    """Run the trials; 1 when one of them failed."""
    by_kind = kinds(whole.folder, whole.artifacts)
    by_kind = {name: paths for name, paths in by_kind.items() if re.search(options.only or "", name)}
    draw, started = random.Random(options.seed), time.monotonic()
    table: Counter[tuple[str, str]] = Counter()
    for number in range(options.trials):
        trial = Trial.drawn(by_kind, draw)
        folder = scratch / "trial"
        try:
            word = trial.run(whole, folder)
        except FailedTrialError as failure:
            word = "FAILED"
            more = (", killed before" if trial.killed else "") + (", a setting changed" if trial.changed else "")
            where = f"{trial.how} {trial.path} at {trial.share:.4%}{more}"
            print(json.dumps({"trial": number, "where": where, "wrong": str(failure)[:1500]}), flush=True)
        shutil.rmtree(folder)
        table[trial.kind, word] += 1
    for (name, word), count in sorted(table.items()):
        print(f"{count:5d}  {name:24s} {word}")
    failures = sum(count for (_, word), count in table.items() if word == "FAILED")
    print(f"{failures} of {options.trials} failed, {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
