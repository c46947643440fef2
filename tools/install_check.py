"""Install the wheel as a stranger would, and do ten things with it: on every Python, with old versions, by extra.

    python tools/install_check.py                       # the base, on each of Python 3.11 to 3.14 that is here
    python tools/install_check.py --lowest              # the base with the oldest versions allowed, and some tests
    python tools/install_check.py --extras report chat  # each of these extras alone
    python tools/install_check.py --platforms           # does everything have wheels? Nothing is installed

Environments are made by uv in a temporary folder. Exit code 1 when something fails; sizes are printed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = (
    "x86_64-manylinux_2_28",
    "aarch64-manylinux_2_28",
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
)
MOST_MB = 500
"""What the base may weigh on disk."""
TESTS = (
    "tests/cli/test_commands.py",
    "tests/config",
    "tests/data/test_schema.py",
    "tests/families/test_boosting.py",
    "tests/families/test_linear.py",
    "tests/project/test_project.py",
    "tests/registry",
)
ROWS = "text,stars,label\n" + "".join(
    f"{word} {thing} number {i},{i % 5},{label}\n"
    for i in range(120)
    for word, label, thing in [("delight", "fresh", "film"), ("bore", "rotten", "play")]
)
FAST = "\n[combine]\nblends = false\ncascades = false\n"
WEIGHTS = """
from importlib.metadata import distributions
from pathlib import Path
for each in distributions():
    files = {Path(each.locate_file(file)) for file in each.files or ()}
    print(each.name, sum(file.lstat().st_size for file in files if file.exists()))
"""
"""Prints each installed package and its bytes."""
HEAVY_MB = 5
USED = {
    "catboost",
    "chat",
    "docs",
    "embedding",
    "grpc",
    "holidays",
    "llm",
    "mcp",
    "mlflow",
    "nlp",
    "people",
    "postgres",
}
USED |= {"ray", "report", "segment", "sql", "tabicl", "text", "tls", "tracking", "words", "xgboost"}
"""Extras of which what they advertise is tried, by extra_uses.py; the others need a bucket, a GPU or another extra."""


def uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        sys.exit("expected uv beside this Python or on the path, found none: pip install uv")
    return found


def ran(*command: object, **how: object) -> str:
    """The output of a command; what failed ends this program."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **how)
    if done.returncode:
        shown = f"{done.stdout[-20_000:]}\n{done.stderr[-3000:]}"
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}\n{shown}")
    return done.stdout


def wheel(folder: Path) -> Path:
    """The wheel, built from a copy of what git knows: building writes beside the sources."""
    source = folder / "source"
    source.mkdir()
    for name in ran("git", "ls-files", "-z", cwd=ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    ran(uv(), "build", "-q", "--wheel", "--out-dir", folder / "dist", source)
    return next((folder / "dist").glob("*.whl"))


def interpreter(version: str) -> str | None:
    """Where a Python of that version is, by uv or by pyenv, whose own commands work for one version at a time."""
    found = subprocess.run([uv(), "python", "find", "-q", version], capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    if shutil.which("pyenv") is None:
        return None
    places = sorted(Path(ran("pyenv", "root").strip(), "versions").glob(f"{version}.*/bin/python"))
    return str(places[-1]) if places else None


def environment(folder: Path, python: str, *wanted: object) -> Path:
    """A new virtual environment with packages; its `bin`."""
    place = folder / f"environment {len(list(folder.glob('environment *')))}"  # a space, as in some people's paths
    ran(uv(), "venv", "-q", "--python", python, place)
    ran(uv(), "pip", "install", "-q", "--python", place / "bin" / "python", *wanted)
    ran(uv(), "pip", "check", "-q", "--python", place / "bin" / "python")
    return place / "bin"


def megabytes(folder: Path) -> float:
    return sum(file.lstat().st_size for file in folder.rglob("*")) / 1e6


def heaviest(binary: Path) -> str:
    """The packages of an environment of which each takes more than `HEAVY_MB`, and the others together."""
    lines = (line.split() for line in ran(binary / "python", "-c", WEIGHTS).splitlines())
    sizes = sorted(((int(size) / 1e6, name) for name, size in lines), reverse=True)
    others = [size for size, _ in sizes if size <= HEAVY_MB]
    shown = [f"{name} {size:,.0f}" for size, name in sizes if size > HEAVY_MB]
    return ", ".join([*shown, f"{len(others)} others {sum(others):,.0f}"])


def ten_commands(binary: Path, folder: Path) -> None:
    """What one does in the first hour, from a folder that has a space in its name."""
    project = folder / f"project of {binary.parent.name}"
    project.mkdir()
    (project / "reviews.csv").write_text(ROWS)

    def call(*arguments: str) -> dict[str, object]:
        given = [*arguments, "--json"] if arguments[0] not in {"schema", "-V"} else arguments
        out = ran(binary / "bakeoff", *given, cwd=project)
        return json.loads(out) if out.startswith("{") else {}

    call("-V")
    call("init", "reviews.csv", "--target", "label")
    file = project / "bakeoff.toml"
    file.write_text(file.read_text().replace("[candidates.embedding]\n", "") + FAST)
    call("doctor")
    call("run")
    call("report")
    answer = call("predict", '{"text": "a delight", "stars": 1}')["predictions"][0]
    call("feedback", answer["id"], "fresh")
    call("monitor")
    call("check")
    call("lineage")
    call("schema", "run")


def base(folder: Path, made: Path, pythons: Sequence[str]) -> None:
    for python in pythons:
        place = interpreter(python)
        if place is None:
            print(f"Python {python}: not here, left out")
            continue
        binary = environment(folder, place, made)
        size = megabytes(binary.parent)
        print(f"Python {python}: base installed, {size:,.0f} MB: {heaviest(binary)}", flush=True)
        ten_commands(binary, folder)
        print(f"Python {python}: ten commands work", flush=True)
        if size > MOST_MB:
            sys.exit(f"expected at most {MOST_MB} MB")


def lowest(folder: Path, made: Path) -> None:
    pins = folder / "lowest.txt"
    ran(uv(), "pip", "compile", "-q", "--resolution", "lowest-direct", "--python-version", "3.11",
        "--only-binary", ":all:",
        ROOT / "pyproject.toml", "-o", pins)  # fmt: skip
    binary = environment(folder, "3.11", "-r", pins, made, "pytest", "hypothesis", "psutil", "jsonschema")
    ten_commands(binary, folder)
    tests = [ROOT / test for test in TESTS]
    options = [
        "-q",
        "-o",
        "addopts=",
        "--import-mode=importlib",
        "--assert=plain",  # else pytest, for which bakeoff is a plugin, reads each of its modules as a tree
        "-p",
        "no:cacheprovider",
        "-m",
        "not slow and not real",
    ]
    shown = ran(binary / "python", "-m", "pytest", *options, *tests, cwd=ROOT)
    print(f"lowest versions: ten commands work; {shown.strip().splitlines()[-1]}")


def extras(folder: Path, made: Path, names: Sequence[str]) -> None:
    without = megabytes(environment(folder, "3.11", made).parent)  # before anything is imported, and compiled
    for name in names:
        binary = environment(folder, "3.11", f"{made}[{name}]")
        added = megabytes(binary.parent) - without
        ten_commands(binary, folder)
        if name in USED:
            ran(binary / "python", ROOT / "tools" / "extra_uses.py", name, folder / f"use of {name}")
        found = json.loads(ran(binary / "bakeoff", "doctor", "--json", cwd=folder))
        tried = next(check for check in found["checks"] if check["check"] == f"extra {name}")
        if not tried["ok"] or not tried["found"].startswith("installed"):
            sys.exit(f"extra {name}: {tried['found']}")
        print(f"extra {name}: + {added:,.0f} MB, ten commands work; {tried['found']}", flush=True)


def without_compiling() -> Iterator[str]:
    """Where the base cannot be resolved from wheels alone."""
    environ = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
    for platform, python in product(PLATFORMS, PYTHONS):
        command = [uv(), "pip", "compile", "-q", "--python-platform", platform, "--python-version", python,
                   "--only-binary", ":all:", str(ROOT / "pyproject.toml"), "-o", os.devnull]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
        print(f"{platform}, Python {python}: {'wheels for all' if not done.returncode else 'FAILED'}")
        if done.returncode:
            yield f"{platform}, Python {python}: {done.stderr}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="*", default=PYTHONS)
    parser.add_argument("--lowest", action="store_true")
    parser.add_argument("--extras", nargs="*")
    parser.add_argument("--platforms", action="store_true")
    asked = parser.parse_args()
    if asked.platforms:
        sys.exit("\n".join(without_compiling()) or 0)
    with tempfile.TemporaryDirectory(prefix="bakeoff ") as place:
        folder = Path(place)
        made = wheel(folder)
        if asked.lowest:
            lowest(folder, made)
        elif asked.extras is not None:
            extras(folder, made, asked.extras)
        else:
            base(folder, made, asked.pythons)


if __name__ == "__main__":
    main()
