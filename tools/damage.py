"""Damage one place of a project's state after another, and see that `run` ends right or names it, and that it heals.

    python tools/damage.py FOLDER --trials 500 --seed 1

FOLDER is a small project that has been run, predicted and given feedback. For each trial its state is copied, one byte
in a random file is changed (or, now and then, the file is cut, zeroed from there on, or deleted), and then:

1. `run`: it must end as the undamaged one did (the same winner and metrics), or fail with an error that names a file
   and what to do;
2. `verify --repair` where anything is still damaged, then `run` again: it must end right;
3. `verify`: nothing may be damaged. Blobs of what no run makes again (`gone for good`) are counted apart.

Files are drawn evenly by kind, so that small and rare ones are met too. Exit code 1 when a trial fails.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bakeoff import Project
from bakeoff.core.damage import Damage
from bakeoff.core.errors import BakeoffError
from bakeoff.core.events import PredictionEvent

How = Literal["flip", "cut", "zero", "delete"]


def kind(path: Path, state: Path) -> str:
    """What kind of file it is: the place below the state folder, without the names of single things."""
    parts = path.relative_to(state).parts
    if parts[0] == "blobs" and parts[1:-1]:
        return f"blobs/{parts[1]}"
    if parts[0] == "events":
        return f"events/*{path.suffix or path.name}"
    return "/".join(parts[:2]) if parts[0] == "cache" else parts[0]


def damage(path: Path, how: How, at: int) -> None:
    """Change one file."""
    content = path.read_bytes()
    match how:
        case "flip":
            path.write_bytes(content[:at] + bytes([content[at] ^ (1 << (at % 8))]) + content[at + 1 :])
        case "cut":
            path.write_bytes(content[:at])
        case "zero":
            path.write_bytes(content[:at] + bytes(len(content) - at))
        case "delete":
            path.unlink()


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


def events(folder: Path) -> int | str:
    """How many predictions can be read."""
    try:
        with Project(folder) as project:
            return sum(1 for _ in project.events.read(PredictionEvent))
    except BakeoffError as error:
        return str(error)


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
    """The undamaged project: its folder, what its run ends with, and how many predictions it has."""

    folder: Path
    result: Any
    predictions: int


class FailedTrialError(Exception):
    """What is wrong with a trial."""


def trial(whole: Whole, folder: Path, path: Path, how: How, at: int) -> str:
    """How one trial went, as a word for the table; `FailedTrialError` when it did not go well."""
    shutil.copytree(whole.folder, folder, symlinks=True)
    damage(folder / path, how, at)
    result, error = outcome(folder)
    if error is not None and not names_a_remedy(error):
        raise FailedTrialError(f"run: {error}")
    if error is None and result != whole.result:
        raise FailedTrialError(f"run ended with something else: {result}")
    word = "named by run" if error else "run ended right"
    if not verified(folder) and error is None:
        if events(folder) != whole.predictions:
            raise FailedTrialError(f"{events(folder)} of {whole.predictions} predictions, and nothing is said")
        return f"{word}, whole"
    gone = repaired(whole, folder)
    return f"{word}, whole after repair" + (", a blob gone for good" if gone else "")


def repaired(whole: Whole, folder: Path) -> list[Damage]:
    """Repair, run again, and see that all is whole; the blobs that no run makes again."""
    damages = verified(folder, repair=True)
    result, error = outcome(folder)
    if error is not None or result != whole.result:
        raise FailedTrialError(f"run after repair: {error or result}; repaired {[str(each) for each in damages]}")
    left = verified(folder)
    if any("is gone, and" not in each.problem for each in left):
        raise FailedTrialError(f"still damaged: {[str(each) for each in left]}")
    count = events(folder)
    if count != whole.predictions and not (isinstance(count, int) and any(each.lost for each in damages)):
        raise FailedTrialError(f"predictions after repair: {count} of {whole.predictions}")
    return left


def drawn(state: Path, draw: random.Random) -> tuple[Path, How, int]:
    """A file, evenly by kind, what to do to it, and where."""
    files = [each for each in sorted(state.rglob("*")) if each.is_file() and each.stat().st_size]
    by_kind: dict[str, list[Path]] = {}
    for each in files:
        by_kind.setdefault(kind(each, state), []).append(each)
    path = draw.choice(by_kind[draw.choice(sorted(by_kind))])
    how: How = draw.choices(["flip", "cut", "zero", "delete"], weights=[17, 1, 1, 1])[0]  # type: ignore[assignment]
    return path, how, draw.randrange(path.stat().st_size)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials and print what came of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip", type=int, default=0, help="trials that were done before")
    options = parser.parse_args(arguments)
    source: Path = options.folder.resolve()
    result, error = outcome(source)
    first, count = verified(source), events(source)
    if error is not None or first or not isinstance(count, int):
        print(f"the project itself is not whole: {error or first}")
        return 1
    whole = Whole(folder=source, result=result, predictions=count)
    draw = random.Random(options.seed)
    table: Counter[tuple[str, str]] = Counter()
    failures = 0
    for number in range(options.trials):
        path, how, at = drawn(source / ".bakeoff", draw)
        if number < options.skip:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "project"
            wrong = ""
            try:
                word = trial(whole, folder, path.relative_to(source), how, at)
            except FailedTrialError as failure:
                word, wrong = "FAILED", str(failure)
        table[kind(path, source / ".bakeoff"), word] += 1
        if wrong:
            failures += 1
            where = f"{how} {path.relative_to(source)} at {at}"
            print(json.dumps({"trial": number, "where": where, "wrong": wrong[:1500]}), flush=True)
    for (name, word), count in sorted(table.items()):
        print(f"{count:5d}  {name:24s} {word}")
    print(f"{failures} of {options.trials - options.skip} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
