"""What a branch changes: settings, data and metrics; and what must not be committed: data, state, secrets."""

import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.config.file import FILE_NAME
from bakeoff.core import narrow
from bakeoff.core.errors import NotFoundError, StoreError, UsageError
from bakeoff.core.records import Run
from bakeoff.core.types import Json

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["BranchChanges", "Refused", "branch_changes", "install_hook", "refused"]

DATA = frozenset(
    (".parquet", ".arrow", ".feather", ".safetensors", ".gguf", ".onnx", ".db", ".sqlite", ".pt", ".pkl", ".h5", ".npz")
)
"""Files that are data or models whatever their size."""
LARGEST = 1 << 20
GIT_S = 60
SUBMODULE = "160000"
"""The mode by which git stands for a commit of another repository, which has no content here."""
HOOK = "#!/bin/sh\n# made by bakeoff: refuses data, state and secrets\nexec bakeoff hook run\n"
FAKE = re.compile(r"(?i)example|placeholder|dummy|bakeoff: allow")
"""A line that says so holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchChanges:
    """What the second ref has that the first has not: (first, second) of each setting, dataset version and metric.

    `files` are those of the project that differ. A side without a finished run of its commit has no data and metrics.
    """

    first: str
    second: str
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict[str, tuple[Any, Any]])
    files: tuple[str, ...] = ()
    data: tuple[str | None, str | None] = (None, None)
    winners: tuple[str | None, str | None] = (None, None)
    metrics: Mapping[str, tuple[float | None, float | None]] = field(
        default_factory=dict[str, tuple[float | None, float | None]]
    )
    runs: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A staged file that must not be committed, and why."""

    file: str
    reason: str


def branch_changes(project: "Project", refs: str) -> BranchChanges:
    """What `main..branch` changes.

    Raises:
        UsageError: it is no pair of refs. NotFoundError: git knows one of them not, or it has no project file.
    """
    first, dots, second = refs.partition("..")
    if not dots or not first:
        raise UsageError(f"expected two refs as main..branch, received {refs!r}")
    names = (first, second.lstrip(".") or "HEAD")
    if option := next((name for name in names if name.startswith("-")), None):
        raise UsageError(f"expected two refs as main..branch, received {option!r}, which git takes for an option")
    settings = [dict(_flat(tomllib.loads(_shown(project.folder, name)), "")) for name in names]
    runs = [_run_of(project, _git(project.folder, "rev-parse", f"{name}^{{commit}}").strip()) for name in names]
    outcomes = [project.outcome(run.run_id) if run else None for run in runs]
    scores = [
        {
            f"{each.name}.{outcome.verdict.metric}": each.metrics[outcome.verdict.metric].value
            for each in outcome.fine
            if outcome.verdict.metric in each.metrics
        }
        if outcome
        else {}
        for outcome in outcomes
    ]
    changed = _git(project.folder, "diff", "--name-only", "--relative", "-z", *names).split("\0")[:-1]
    return BranchChanges(
        first=names[0],
        second=names[1],
        settings={
            key: (settings[0].get(key), settings[1].get(key))
            for key in sorted({*settings[0], *settings[1]})
            if settings[0].get(key) != settings[1].get(key)
        },
        files=tuple(changed),
        data=(_version(outcomes[0]), _version(outcomes[1])),
        winners=(_winner(outcomes[0]), _winner(outcomes[1])),
        metrics={key: (scores[0].get(key), scores[1].get(key)) for key in sorted({*scores[0], *scores[1]})},
        runs=(runs[0].run_id if runs[0] else None, runs[1].run_id if runs[1] else None),
    )


def _version(outcome: Any) -> str | None:
    return None if outcome is None else str(outcome.dataset.version)


def _winner(outcome: Any) -> str | None:
    return None if outcome is None else outcome.verdict.winner


def _shown(folder: Path, ref: str) -> str:
    return _git(folder, "show", f"{ref}:./{FILE_NAME}")


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Json]]:
    for key, value in tree.items():
        if narrow.is_mapping(value) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _run_of(project: "Project", commit: str) -> Run | None:
    """The newest finished bake-off of a commit."""
    return next(iter(project.bake_offs(limit=1, commit=commit, finished=True)), None)


def install_hook(folder: Path) -> Path:
    """Write the pre-commit hook of the repository that holds the folder.

    Raises:
        UsageError: there is another hook already. NotFoundError: no repository.
    """
    place = _git(folder, "rev-parse", "--git-path", "hooks/pre-commit").strip()
    hook = Path(place) if Path(place).is_absolute() else folder / place
    if hook.exists() and hook.read_text("utf-8", "replace") != HOOK:
        raise UsageError(f"expected no pre-commit hook yet, found {hook}: add the line 'bakeoff hook run' to it")
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text(HOOK)
    hook.chmod(0o755)
    return hook


def refused(folder: Path) -> list[Refused]:
    """Staged files that must not be committed.

    Raises:
        NotFoundError: the folder is in no repository.
    """
    _git(folder, "rev-parse", "--git-dir")  # where there is none, git diff explains its options instead
    listed = _git(folder, "diff", "--cached", "--raw", "--no-renames", "--no-abbrev", "--diff-filter=ACMT", "-z")
    parts = listed.split("\0")
    staged = [(about.split(), name) for about, name in zip(parts[::2], parts[1::2], strict=False)]
    return [
        Refused(file=name, reason=reason)
        for (_, mode, _, blob, _), name in staged
        if mode != SUBMODULE and (reason := _reason(folder, name, blob))
    ]


def _reason(folder: Path, name: str, blob: str) -> str | None:
    from bakeoff.environment.code import SECRETS
    from bakeoff.prepare.personal_data.secrets import secrets

    path = Path(name)
    if ".bakeoff" in path.parts:
        return "state of bakeoff, which stays out of git"
    if SECRETS.fullmatch(path.name):
        return "a file that holds secrets by its name"
    size = int(_git(folder, "cat-file", "-s", blob))
    if path.suffix.lower() in DATA or size > LARGEST:
        return f"data of {size / 1e6:,.1f} MB: keep it with 'bakeoff data snapshot {name}'"
    text = _git(folder, "cat-file", "blob", blob)
    for span in secrets(text):
        start, end = text.rfind("\n", 0, span[0]) + 1, text.find("\n", span[1])
        if not FAKE.search(text[start : end if end >= 0 else len(text)]):
            return f"a secret in line {text.count(chr(10), 0, span[0]) + 1}"
    return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=GIT_S)
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"git {' '.join(arguments[:3])} did not end within {GIT_S} s: try again") from error
    if done.returncode:
        raise NotFoundError(f"git {' '.join(arguments[:3])}: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout.decode("utf-8", "replace")
