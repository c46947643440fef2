"""For all tests, those in docstrings included: how much Hypothesis tries, and cheap runs of projects."""

import atexit
import gc
import importlib
import importlib.util
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Of several processes each has one core or less: libraries hand their work to more threads of their own in vain, which
# spin while they wait: of polars that took a fifth of the processor time of a run, of algebra a third of that of tests
# that fit and compare. They read this once, so it stands before what imports them.
for _variable in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

pytest_plugins = ["pytester"]

# No deadline: how long an example takes depends on what else runs.
settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_spec = importlib.util.spec_from_file_location("in_process", Path(__file__).parent / "tests" / "in_process.py")
assert _spec is not None
assert _spec.loader is not None
in_process = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(in_process)


class _AtFirstUse:
    """A module that is there, and is imported when something of it is asked for."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_") and attribute != "__file__":  # pytest looks whether it is a fixture
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)

    def __setattr__(self, attribute: str, new: object) -> None:
        setattr(importlib.import_module(self._name), attribute, new)

    def __delattr__(self, attribute: str) -> None:
        delattr(importlib.import_module(self._name), attribute)


def _skip_unless_there(name: str, *, reason: str | None = None) -> Any:
    """As `pytest.importorskip`, without the import: every process collects all tests, and runs a part of them."""
    __tracebackhide__ = True  # it is the file that is skipped
    try:
        there = importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # a package above it
        there = False
    if not there:
        pytest.skip(reason or f"could not import {name!r}", allow_module_level=True)
    return _AtFirstUse(name)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays: the collector of garbage would look through it again and again."""
    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pytest, "importorskip", _skip_unless_there)
            return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)  # what is imported later is not frozen; most garbage needs no collector
        gc.enable()
        atexit.register(gc.unfreeze)  # libraries look at the end for what was left


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Files without examples are not looked through for some: that takes long, with all that they define."""
    collectors = yield
    if not any(map(_looks_for_examples, collectors)) or ">>>" in file_path.read_text("utf-8"):
        return collectors
    return [each for each in collectors if not _looks_for_examples(each)]


def _looks_for_examples(collector: pytest.Collector) -> bool:
    return type(collector).__name__ == "DoctestModule"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, then those with many: begun last, one of them would run on alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    many = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -many[item.path]))


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """What earlier runs left is removed beside the tests: after them, as pytest does it, some disks take a minute."""
    options = session.config.option
    if not getattr(options, "numprocesses", None) or options.basetemp:
        return  # one of the processes, or a few tests alone
    root = str(session.config._tmp_path_factory.getbasetemp().parent)  # type: ignore[attr-defined]  # noqa: SLF001
    removal = "import sys, _pytest.pathlib as p; p.cleanup_numbered_dir(p.Path(sys.argv[1]), 'pytest-', 3, 0)"
    process = subprocess.Popen([sys.executable, "-c", removal, root], stderr=subprocess.DEVNULL)

    def end() -> None:
        process.terminate()
        process.wait()

    session.config.add_cleanup(end)


FOLDERS = Counter[str]()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pytest's own, which looks through the folders of all tests before, for the next number."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    while True:
        folder = tmp_path_factory.getbasetemp() / f"{name}{FOLDERS[name]}"
        FOLDERS[name] += 1
        with suppress(FileExistsError):  # "a1" of a test is "a" and "1" of another
            folder.mkdir(mode=0o700)
            return folder


@pytest.fixture(scope="session", autouse=True)
def _cheap_runs():
    """Runs of this process do their jobs in it, unless a test has the mark `processes`."""
    with pytest.MonkeyPatch.context() as patch:
        in_process.hurried(patch.setattr)
        # What is released is what was evaluated, but where a test is about the fit on all rows (`ships_all`).
        patch.setenv("BAKEOFF_LOOP__REFIT", "false")
        # What is told after the verdict takes a quarter of a run, and fits the winner again and again (`explained`).
        patch.setenv("BAKEOFF_DECIDE__EXPLAIN", "none")
        yield


@pytest.fixture
def ships_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The winner is fitted on all rows, as it is outside of tests."""
    monkeypatch.delenv("BAKEOFF_LOOP__REFIT")


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates are explained after the verdict, and the winner has its learning curve, as it is outside of tests."""
    monkeypatch.delenv("BAKEOFF_DECIDE__EXPLAIN")


@pytest.fixture(autouse=True)
def _whole_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """For tests with the mark `processes`, all as it is outside of tests."""
    if request.node.get_closest_marker("processes"):
        in_process.as_it_is(monkeypatch.setattr)


DOCUMENTED = """
[project]
name = "films"
[data]
source = "films.csv"
target = "liked"
text = ["review"]
numeric = ["year"]
[candidates.linear]
penalty = 1.0
[candidates.boosting]
trees = 2
[combine]
blends = false
cascades = false
[decide]
resamples = 200
findings = false
gates = { f1_macro = { min = 0.6 } }
"""
"""The project that examples in docstrings are about."""


@pytest.fixture(scope="session")
def _documented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that project, which was run once."""
    from bakeoff import Project

    folder = tmp_path_factory.mktemp("documented")
    draw = random.Random(1)  # noqa: S311
    lines = ["review,year,liked"]
    for number in range(300):
        liked = draw.random() < 0.5  # noqa: PLR2004
        word = draw.choice(["good", "great", "lovely"] if liked != (draw.random() < 0.1) else ["bad", "awful", "dull"])  # noqa: PLR2004
        lines.append(f"{word} film number {number},{draw.randint(1950, 2020)},{'yes' if liked else 'no'}")
    (folder / "films.csv").write_text("\n".join(lines) + "\n")
    (folder / "bakeoff.toml").write_text(DOCUMENTED)
    with Project(folder) as project:
        project.run()
    return folder


@pytest.fixture(autouse=True)
def _example(request: pytest.FixtureRequest, doctest_namespace: dict[str, object]):
    """In examples of the SDK `project` is that project, and `other` a folder that is not there yet."""
    if type(request.node).__name__ != "DoctestItem" or not request.node.name.startswith(
        ("bakeoff.project.", "bakeoff.report.drawing")
    ):
        yield
        return
    from bakeoff import Project

    tmp_path: Path = request.getfixturevalue("tmp_path")  # to make one for each test costs a look at all the others
    folder = shutil.copytree(request.getfixturevalue("_documented"), tmp_path / "films")
    with Project(folder) as project:
        doctest_namespace |= {"project": project, "other": tmp_path / "other"}
        if request.node.name.startswith("bakeoff.project.snapshots"):
            project.snapshots.take(folder / "films.csv")
            doctest_namespace |= {"remote": str(tmp_path / "remote")}
            project.snapshots.push(str(tmp_path / "remote"))
        yield
