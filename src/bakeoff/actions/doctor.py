"""Look for what may stand in the way, before it does: what is called fine here was tried.

Extras are those that the installed package names; each is tried by importing its modules, in a process of its own, as
a library that does not suit the machine can end the one that imports it.
"""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, metadata, version
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from bakeoff.actions.extras import UNTRIED, requirements_of
from bakeoff.core.errors import BakeoffError
from bakeoff.core.events import SHADOW, PredictionEvent
from bakeoff.core.families import install_command, load_family, missing_distributions
from bakeoff.core.libraries import library_advice, missing_libraries
from bakeoff.core.markup import notebook, table
from bakeoff.core.plugins import names
from bakeoff.core.retention import past_retention
from bakeoff.core.types import Json

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["Diagnosis", "HealthCheck", "examine", "examine_installation"]

LEAST_FREE_BYTES = 2 * 10**9
IMPORT_S = 300.0
"""A machine with much else to do takes minutes for what is imported, and compiled, for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """What was tried, whether it is fine, and what it came to."""

    name: str
    ok: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All checks of an installation, and of a project if there is one."""

    checks: tuple[HealthCheck, ...]

    @property
    def problems(self) -> tuple[HealthCheck, ...]:
        """Those that are not fine."""
        return tuple(each for each in self.checks if not each.ok)

    @property
    def ok(self) -> bool:
        """Whether all are fine."""
        return not self.problems

    def __repr__(self) -> str:
        names = ", ".join(each.name for each in self.problems) or "none"
        return f"Diagnosis({len(self.checks)} checks, problems: {names})"

    def _repr_html_(self) -> str:
        rows = [("ok" if each.ok else "PROBLEM", each.name, each.message) for each in self.checks]
        return notebook("all is fine" if self.ok else f"{len(self.problems)} problems", table(("", "check", ""), rows))

    def to_json(self) -> dict[str, Json]:
        """What `bakeoff doctor --json` prints."""
        return {"checks": [{"check": each.name, "ok": each.ok, "found": each.message} for each in self.checks]}


def examine_installation() -> Diagnosis:
    """What can be said without a project: Python, SQLite, the base and its families, every extra."""
    python = f"{platform.python_version()} on {sys.platform}-{platform.machine()}"
    checks = [HealthCheck(name="python", ok=True, message=python)]
    checks.append(_tried("sqlite", _sqlite))
    checks.append(_base())
    checks += [_tried(f"family {name}", lambda name=name: _family(name)) for name in names("bakeoff.families")]
    extras = sorted(metadata("bakeoff").get_all("Provides-Extra") or [])
    needed = [list(requirements_of(extra)) for extra in extras]  # not in threads: markers are read as Python, by `ast`
    with ThreadPoolExecutor() as pool:
        checks += pool.map(_extra, extras, needed)
    return Diagnosis(checks=tuple(checks))


def examine(
    project: "Project", candidates: Callable[[], Iterable[str]], step_cache: Callable[[], str | None]
) -> Diagnosis:
    """Installation, disk, stores, candidates and the live release.

    Args:
        project: what is looked at.
        candidates: gives their names, or raises.
        step_cache: tries the step cache and says what it can, or raises; None where there is none.
    """
    free = shutil.disk_usage(project.folder).free
    disk = HealthCheck(name="free disk", ok=free > LEAST_FREE_BYTES, message=f"{free / 1e9:.1f} GB")
    checks = [*examine_installation().checks, disk]
    checks.append(_tried("candidates", lambda: ", ".join(candidates())))
    checks.append(_tried("records", lambda: f"{len(project.runs())} runs in {project.config.store.records}"))
    checks.append(_tried("encryption", lambda: _encryption(project)))
    checks.append(_tried("blobs", lambda: _blobs(project)))
    checks.append(_tried("events", lambda: _events(project)))
    if project.config.store.step_cache is not None:
        checks.append(_tried("step cache", lambda: step_cache() or ""))
    return Diagnosis(checks=tuple(checks))


def _tried(name: str, work: Callable[[], str]) -> HealthCheck:
    try:
        return HealthCheck(name=name, ok=True, message=work())
    except BakeoffError as error:
        return HealthCheck(name=name, ok=False, message=str(error))


def _sqlite() -> str:
    from bakeoff.stores.sqlite_driver import sqlite

    return str(sqlite())


def _family(name: str) -> str:
    family = load_family(name)
    missing = missing_distributions(family.requires)
    if libraries := missing_libraries(family.requires):
        return f"loads; to fit it: {'; '.join(libraries)} (cannot be loaded)"
    if not missing:
        return f"loads; for {', '.join(sorted(family.tasks))}"
    return f"loads; to fit it: {install_command(family, missing)} ({', '.join(missing)} not installed)"


def _base() -> HealthCheck:
    """What every installation has; one that lacks some of it is broken."""
    lacking = [lack for each in requirements_of() if (lack := _lack(each))]
    if lacking:
        message = f"{'; '.join(lacking)}: pip install --upgrade bakeoff"
        return HealthCheck(name="base", ok=False, message=message)
    return _imported("base", requirements_of())


def _extra(extra: str, own: Sequence[Requirement]) -> HealthCheck:
    """Whether an extra is there and can be imported; one that was never installed is no fault, one in parts is."""
    name = f"extra {extra}"
    lacking = [lack for each in own if (lack := _lack(each))]
    if lacking:
        install = f'pip install "bakeoff[{extra}]"'
        return HealthCheck(name=name, ok=True, message=f"not installed ({'; '.join(lacking)}): {install}")
    return HealthCheck(name=name, ok=True, message="installed") if extra in UNTRIED else _imported(name, own)


def _lack(needed: Requirement) -> str | None:
    """What is wrong with a distribution that is needed: it is missing, or of a version that does not do."""
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return needed.name
    if needed.specifier.contains(found, prereleases=True):
        return None
    return f"{needed.name} {found}, which is not {needed.specifier}"


def _imported(name: str, needed: Iterable[Requirement]) -> HealthCheck:
    """Import what the distributions hold, and say what went wrong, if something did."""
    modules = [module for each in needed for module in _modules(each.name)]
    code = f"import importlib\nfor each in {modules!r}: importlib.import_module(each)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_S, check=False)
    except subprocess.TimeoutExpired:
        message = f"importing {', '.join(modules)} took more than {IMPORT_S:.0f} s"
        return HealthCheck(name=name, ok=False, message=message)
    if done.returncode == 0:
        return HealthCheck(name=name, ok=True, message=f"installed; {', '.join(modules)} can be imported")
    reason = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    library = library_advice(reason)
    needed_too = "" if library is None else f"; it needs {library}"
    return HealthCheck(name=name, ok=False, message=f"installed, but cannot be imported: {reason}{needed_too}")


def _modules(name: str) -> list[str]:
    """The first module of a distribution, by the files that it installed; none where only programs are."""
    files = distribution(name).files or []
    tops = {file.parts[0] for file in files if len(file.parts) > 1 and file.parts[-1] == "__init__.py"}
    tops |= {file.name.partition(".")[0] for file in files if len(file.parts) == 1 and file.suffix in {".py", ".so"}}
    likely = sorted(top for top in tops if top.isidentifier() and not top.startswith("_"))
    wanted = re.sub(r"[-_.]+", "_", name).lower()
    return ([top for top in likely if top.lower() == wanted] or likely)[:1]


def _encryption(project: "Project") -> str:
    keyring = project.keyring
    if not keyring:
        return "blobs and events are not encrypted"
    newest, *others = keyring.ids()
    older = f", and reads {len(others)} older" if others else ""
    return f"blobs and events are encrypted with key {newest}{older}, of {keyring.source}"


def _blobs(project: "Project") -> str:
    live = project.release()
    if live is None:
        return f"{project.config.store.blobs}; nothing released yet"
    size = project.blobs.size_bytes(live.blob_id)
    return f"{project.config.store.blobs}; release {live.release_id} is {size / 1e6:.1f} MB"


def _events(project: "Project") -> str:
    import polars as pl

    served = pl.col("role").is_null() | (pl.col("role") != SHADOW)
    count = project.events.scan(PredictionEvent).filter(served).select(pl.len()).collect().item()
    past = past_retention(project.events)
    return f"{count} predictions in {project.config.store.events}{f'; {past}' if past else ''}"
