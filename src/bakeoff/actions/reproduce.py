"""Make a model version again in a clean folder, from what was recorded of it, and say whether it came out the same."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bakeoff.actions.environments import environment_of
from bakeoff.actions.extras import extras_of, requirements_of
from bakeoff.actions.packages.environment import copy_packages, packages_of
from bakeoff.actions.reproduced_data import place_data
from bakeoff.config.file import FILE_NAME
from bakeoff.config.toml_text import toml_text
from bakeoff.core import narrow
from bakeoff.core.errors import CandidateError, MissingExtraError, NotFoundError, UsageError
from bakeoff.core.families import missing_distributions
from bakeoff.core.lineage import EnvironmentOrigin, ModelOrigin
from bakeoff.core.protocols import BlobStore
from bakeoff.core.records import Run, Version
from bakeoff.core.types import Json
from bakeoff.environment.rebuild import build, difference
from bakeoff.registry.lineage import find_version, label, lineage

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["EnvironmentChoice", "Reproduction", "reproduce"]

EnvironmentChoice: TypeAlias = Literal["auto", "here", "new"]
Sameness: TypeAlias = Literal["bit-identical", "metric-identical", "different"]
CLOSE = 1e-12
"""Metrics that differ by less, as a share of themselves, are the same."""
SHOWN = 8
SYSTEM = "bakeoff.system."
LOCAL = Path(".venv", "local")
"""Where packages are that no index has."""
NO_GATE_PASSED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A model version that was made again.

    `result` is "bit-identical" (every byte of the model), "metric-identical" (other bytes, every metric the same), or
    "different". `metrics` are (recorded, made again), `differences` what of data, code, environment and machine is not
    what it was, `reasons` why the result is what it is, `changes` what in the settings had to be another than then.
    """

    model_version: str
    made: str
    folder: str
    result: Sameness
    metrics: Mapping[str, tuple[float | None, float | None]]
    reasons: tuple[str, ...]
    differences: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    environment: str = ""

    @property
    def same(self) -> bool:
        """Whether every metric is what it was."""
        return self.result != "different"


def reproduce(
    project: "Project",
    which: str | None,
    folder: Path,
    *,
    environment: EnvironmentChoice = "auto",
    opened: "Callable[[Path], Project]",
    progress: Callable[[str], None],
) -> Reproduction:
    """Write code, data and settings into the folder, make the environment, run, compare.

    Args:
        project: where the version is known.
        which: the version; the champion when None.
        folder: a new or empty one; it becomes a project of its own.
        environment: "new" makes the recorded one by uv, "here" takes this one, "auto" makes it unless this is the same.
        opened: opens a project.
        progress: told what goes on.

    Raises:
        UsageError: the folder has files. NotFoundError: there is no such version.
        StoreError: the environment cannot be made here. CandidateError: the run failed.
    """
    version = find_version(project.records.versions, project.config.project.name, which)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"expected a new or empty folder, received {folder}, which has files")
    progress(f"making {label(version)} again in {folder}")
    changes = _write_project(project, version, folder)
    python, shown, again, local = _python(project, version, folder, environment, progress)
    progress(f"running in {folder}")
    _run(python, folder, local)
    with opened(folder) as made_again:
        made = _counterpart(version, made_again)
        differences = tuple(_differences(project, version, again, made_again, made))
        result, reasons = _result(project.blobs, version, made_again.blobs, made, differences)
        return Reproduction(
            model_version=label(version),
            made=label(made),
            folder=str(folder),
            result=result,
            metrics=_metrics(version.model_origin, made.model_origin),
            reasons=tuple(reasons),
            differences=differences,
            changes=tuple(changes),
            environment=shown,
        )


# --- the folder -------------------------------------------------------------------------------------


def _write_project(project: "Project", version: Version, folder: Path) -> list[str]:
    """Code, settings and data; what of them is another than it was."""
    origin, changes = version.model_origin, list[str]()
    if origin.code is not None and origin.code.tree_blob is not None:
        project.blobs.fetch(origin.code.tree_blob, folder)
        changes += [f"{name} was too large to be recorded, or could not be read" for name in origin.code.left_out]
    else:
        folder.mkdir(parents=True, exist_ok=True)
    if not (folder / FILE_NAME).exists():
        (folder / FILE_NAME).write_bytes((project.folder / FILE_NAME).read_bytes())
        changes.append(f"the version was registered before {FILE_NAME} was recorded with it: it is that of now")
    tree = tomllib.loads((folder / FILE_NAME).read_text("utf-8"))
    for section, key in (("store", None), ("compute", "backend"), ("endpoint", "rollout")):
        if key is None and tree.pop(section, None) is not None:
            changes.append(f"[{section}] is left out: the folder has stores of its own")
        elif key is not None and tree.get(section, {}).pop(key, None) is not None:
            changes.append(f"[{section}] {key} is left out")
    for name, parameters in origin.search_found.items():
        candidate = tree.get("candidates", {}).get(name)
        if candidate is not None:
            candidate.update({key: value for key, value in parameters.items() if key not in candidate})
            changes.append(f"[candidates.{name}] has what the search of that run chose: {', '.join(parameters)}")
    dataset = lineage(project.records.versions, version).dataset
    if dataset is None:
        raise NotFoundError(
            f"expected dataset {origin.dataset_version[:12]}, which {label(version)} was made of, in the records, "
            "found none"
        )
    changes += place_data(project, dataset, tree["data"], folder)
    (folder / FILE_NAME).write_text(toml_text(tree), "utf-8")
    return changes


# --- the environment --------------------------------------------------------------------------------


def _python(
    project: "Project", version: Version, folder: Path, choice: EnvironmentChoice, progress: Callable[[str], None]
) -> tuple[Path, str, EnvironmentOrigin, Path | None]:
    """The interpreter that runs it, its environment in words and in records, and where copied packages are."""
    here = environment_of(project, None)
    try:
        recorded = environment_of(project, label(version))
    except NotFoundError:
        return Path(sys.executable), "this one: none was recorded", here, None
    if choice == "here" or (choice == "auto" and not difference(recorded, here)):
        same = "the same as recorded" if not difference(recorded, here) else "not the one that was recorded"
        return Path(sys.executable), f"this one, {same}", here, None
    wanted = _needed(project, recorded)
    progress(f"making an environment of {len(wanted.packages)} packages")
    built = build(wanted, folder / ".venv")
    copies = {name: distribution(name) for name in built.left_out if not missing_distributions([name])}
    copy_packages(copies, folder / LOCAL)
    left = f"; copied from this installation, as no index has them: {', '.join(copies)}" if copies else ""
    shown = f"made anew: Python {wanted.python}, {built.packages} packages that the project needs{left}"
    return built.folder / "bin" / "python", shown, wanted, folder / LOCAL


def _needed(project: "Project", recorded: EnvironmentOrigin) -> EnvironmentOrigin:
    """The part of an environment that the project's run imports; all of it where that cannot be told here."""
    extras = extras_of(project.config)
    names = {"bakeoff", *(each.name for extra in extras for each in requirements_of(extra))}
    try:
        closure = packages_of(tuple(sorted(names)))
    except MissingExtraError:
        return recorded
    packages = {name: recorded.packages[name] for name in closure if name in recorded.packages}
    packages |= {name: version for name, version in recorded.packages.items() if name in recorded.local}
    return replace(recorded, packages=packages, local=tuple(each for each in recorded.local if each in packages))


def _run(python: Path, folder: Path, local: Path | None) -> None:
    """`bakeoff run` in a process of its own, without settings of this one."""
    environ = {name: value for name, value in os.environ.items() if not (name.startswith("BAKEOFF_") and "__" in name)}
    if local is not None:
        environ["PYTHONPATH"] = str(local)
    command = [str(python), "-m", "bakeoff", "run", "-C", str(folder), "--allow-missing", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, cwd=folder)
    if done.returncode not in {0, NO_GATE_PASSED}:
        try:
            reason = str(narrow.json_object(json.loads(done.stdout))["error"]["message"])
        except (ValueError, KeyError, TypeError):
            reason = done.stderr.strip()[-2000:]
        raise CandidateError(f"the run in {folder} ended with {done.returncode}: {reason}")


# --- the comparison ---------------------------------------------------------------------------------


def _counterpart(version: Version, made_again: "Project") -> Version:
    """The version of the same candidate, fitted on the same share of rows if there is one."""
    origin = version.model_origin
    alike = [each for each in made_again.models() if each.model_origin.candidate == origin.candidate]
    if not alike:
        raise CandidateError(
            f"expected a model of the candidate {origin.candidate!r} in {made_again.folder}, found none: it failed "
            f"there; 'bakeoff status -C {made_again.folder}' tells more"
        )
    return next((each for each in alike if each.model_origin.rows == origin.rows), alike[0])


def _metrics(then: ModelOrigin, now: ModelOrigin) -> dict[str, tuple[float | None, float | None]]:
    both = [narrow.json_object(each.scorecard.get("metrics") or {}) for each in (then, now)]
    names = sorted({*both[0], *both[1]})
    values = [
        {name: narrow.number(narrow.json_object(each[name])["value"]) for name in names if name in each}
        for each in both
    ]
    return {name: (values[0].get(name), values[1].get(name)) for name in names}


def _result(
    blobs: BlobStore, version: Version, again: BlobStore, made: Version, differences: tuple[str, ...]
) -> tuple[Sameness, Iterator[str]]:
    if version.content == made.content:
        return "bit-identical", iter(("every byte of the model is what it was",))
    metrics = _metrics(version.model_origin, made.model_origin)
    apart = {name: pair for name, pair in metrics.items() if not _close(*pair)}
    files = _files_apart(blobs, version.content, again, made.content)
    if not apart:
        return "metric-identical", iter((f"all {len(metrics)} metrics are what they were", files))
    return "different", _why(version, made, apart, differences)


def _close(then: float | None, now: float | None) -> bool:
    if then is None or now is None:
        return then is now
    return then == now or abs(then - now) <= CLOSE * max(abs(then), abs(now))


def _files_apart(one: BlobStore, first: str, other: BlobStore, second: str) -> str:
    trees = [(one, first), (other, second)]
    files = [narrow.json_object(json.loads(store.get(tree))["files"]) for store, tree in trees]
    names = sorted(name for name in {*files[0], *files[1]} if files[0].get(name) != files[1].get(name))
    return f"of the model's files these differ: {', '.join(names[:SHOWN])}"


def _why(version: Version, made: Version, apart: Mapping[str, Any], differences: tuple[str, ...]) -> Iterator[str]:
    name, (then, now) = next(iter(apart.items()))
    yield f"{len(apart)} metrics differ, such as {name}: {then} then, {now} now"
    if version.model_origin.rows != made.model_origin.rows:
        yield (
            f"it was fitted on {version.model_origin.rows} rows, and only one fitted on {made.model_origin.rows} rows "
            "came out: it was not released here"
        )
    if differences:
        yield "what differs between the two runs stands above; one of it is the reason"
    else:
        yield (
            "nothing that is recorded differs: the fit is not deterministic, as with some kernels of GPUs, "
            "threads that add in another order, or a service that answers otherwise"
        )


def _differences(
    project: "Project", version: Version, around: EnvironmentOrigin, made_again: "Project", made: Version
) -> Iterator[str]:
    """What of data, code, environment and machine is not what it was."""
    then, now = version.model_origin, made.model_origin
    if then.dataset_version != now.dataset_version:
        yield f"data: version {then.dataset_version[:12]} then, {now.dataset_version[:12]} now"
    runs = [_run_of(project, version), _run_of(made_again, made)]
    code = [run.tags.get("bakeoff.code") if run else None for run in runs]
    if code[0] != code[1]:
        yield f"bakeoff's own code: {str(code[0])[:12]} then, {str(code[1])[:12]} now"
    if then.family_code != now.family_code:
        yield f"the code of the family {then.family}"
    if then.params != now.params or then.seed != now.seed:
        yield f"parameters: {_changed(then.params, now.params)}"
    if then.chosen != now.chosen:
        yield f"what the fit chose: {_changed(then.chosen, now.chosen)}"
    yield from _of_environments(project, version, around)
    tags = [{key: value for key, value in (run.tags if run else {}).items() if key.startswith(SYSTEM)} for run in runs]
    for key in sorted({*tags[0], *tags[1]}) if all(tags) else ():
        if tags[0].get(key) != tags[1].get(key):
            yield f"{key.removeprefix(SYSTEM)}: {tags[0].get(key)} then, {tags[1].get(key)} now"


def _of_environments(project: "Project", version: Version, around: EnvironmentOrigin) -> Iterator[str]:
    try:
        recorded = environment_of(project, label(version))
    except NotFoundError:
        return
    differs = difference(recorded, around)
    if differs.python:
        yield f"Python: {differs.python[0]} then, {differs.python[1]} now"
    if differs.platform:
        yield f"platform: {differs.platform[0]} then, {differs.platform[1]} now"
    changed = [f"{name} {then} → {now}" for name, (then, now) in differs.packages.items() if then and now]
    if changed:
        yield f"{len(changed)} packages: {', '.join(changed[:SHOWN])}"
    new = [name for name, (then, _) in differs.packages.items() if then is None]
    if new:
        yield f"{len(new)} packages that were not there then: {', '.join(new[:SHOWN])}"


def _changed(then: Mapping[str, Json], now: Mapping[str, Json]) -> str:
    keys = [key for key in sorted({*then, *now}) if then.get(key) != now.get(key)]
    return ", ".join(f"{key} {then.get(key)!r} → {now.get(key)!r}" for key in keys[:SHOWN])


def _run_of(project: "Project", version: Version) -> Run | None:
    try:
        return project.records.runs.get(version.run_id or "")
    except NotFoundError:
        return None
