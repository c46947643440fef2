"""The project's own code at a moment: where git has it, what differs from its commit, its files, the notebook."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CodeState", "ProjectFiles", "code_state", "notebook", "project_files"]

GIT_TIMEOUT_S = 20.0
LARGEST_FILE = 1 << 20
LARGEST_PATCH = 16 << 20
MOST_FILES = 5_000
SECRETS = re.compile(r"\.env(\..*)?|.*\.(pem|key|p12|pfx)|id_(rsa|ed25519|ecdsa)|credentials(\.json)?|\.netrc|\.pypirc")
"""Names of files that hold secrets: they are no part of what is recorded."""
NO_CODE = frozenset({"__pycache__", "node_modules", "venv", "site-packages", "mlruns"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeState:
    """Where the git repository is that holds a folder; `dirty` when tracked or new files differ from the commit.

    `patch` is that difference as git applies it, new files of up to 1 MiB in it; None when there is none, or it is
    larger than 16 MiB. All is None outside a repository (or without git).
    """

    commit: str | None = None
    dirty: bool | None = None
    branch: str | None = None
    remote: str | None = None
    patch: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFiles:
    """The files of a project by their names, and those that were left out for their size, number or name."""

    files: dict[str, Path]
    left_out: tuple[str, ...] = ()


def code_state(folder: Path, *, without: Collection[Path] = ()) -> CodeState:
    """The state of the repository that holds the folder; new files that are data (`without`) are in no patch."""
    try:
        commit = _git(folder, "rev-parse", "HEAD").decode().strip()
    except (OSError, subprocess.SubprocessError):
        return CodeState()
    try:
        dirty = bool(_git(folder, "status", "--porcelain").strip())
    except (OSError, subprocess.SubprocessError):  # a repository that takes too long to look at
        dirty = None
    branch, remote = _line(folder, "branch", "--show-current"), _line(folder, "remote", "get-url", "origin")
    return CodeState(
        commit=commit,
        dirty=dirty,
        branch=branch,
        remote=remote and re.sub(r"(?<=://)[^/@]*@", "", remote),  # never a token that stands in the address
        patch=None if dirty is False else _patch(folder, {path.resolve() for path in without}),
    )


def project_files(folder: Path, *, without: Collection[Path] = (), always: Collection[str] = ()) -> ProjectFiles:
    """What a project is made of beside its data: what git knows or would take, else all but hidden files.

    So it is outside of git, and in a folder that git ignores as a whole. Names that are no UTF-8 are left out.

    Args:
        folder: the project's.
        without: files and folders that are data.
        always: names of files that belong to it though git ignores them.
    """
    data = {path.resolve() for path in without}
    files: dict[str, Path] = {}
    left_out: list[str] = []
    for name in dict.fromkeys((*always, *_names(folder))):
        path = folder / name
        is_other = SECRETS.fullmatch(path.name) or path.is_symlink() or _is_data(path, data)
        if (is_other and name not in always) or not path.is_file():
            continue
        shown = name.encode("utf-8", "backslashreplace").decode()
        if len(files) >= MOST_FILES or path.stat().st_size > LARGEST_FILE or shown != name:
            left_out.append(shown)
        else:
            files[name] = path
    return ProjectFiles(files=files, left_out=tuple(left_out))


def notebook() -> bytes | None:
    """The cells that were run so far in the notebook that this process is the kernel of, as a notebook file."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    cells = [source for source in shell.user_ns.get("In", ()) if source]
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    code: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": []}
    listed = [{**code, "id": f"cell-{at}", "execution_count": at, "source": cell} for at, cell in enumerate(cells, 1)]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": listed}, indent=1).encode()


def _names(folder: Path) -> Iterator[str]:
    try:
        listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    except (OSError, subprocess.SubprocessError):
        listed = b""
    names = {os.fsdecode(name) for name in listed.split(b"\0") if name}
    yield from sorted(names) if names else _walked(folder)


def _walked(folder: Path) -> Iterator[str]:
    for at, folders, names in os.walk(folder):
        here = Path(at)
        folders[:] = sorted(
            each
            for each in folders
            if not each.startswith(".") and each not in NO_CODE and not (here / each / "pyvenv.cfg").exists()
        )
        for name in sorted(names):
            if not name.startswith("."):
                yield (here / name).relative_to(folder).as_posix()


def _patch(folder: Path, data: Collection[Path]) -> bytes | None:
    """What differs from the commit; new files are in it as they would be if they were added, and nothing is added."""
    try:
        top = Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel").strip()))
        new = [name for name in _git(top, "ls-files", "-z", "--others", "--exclude-standard").split(b"\0") if name]
        small = [name for name in new if _is_small(top / os.fsdecode(name), data)][:MOST_FILES]
        with tempfile.TemporaryDirectory() as scratch:
            index = Path(scratch) / "index"
            index.write_bytes((top / os.fsdecode(_git(top, "rev-parse", "--git-path", "index").strip())).read_bytes())
            environ = os.environ | {"GIT_INDEX_FILE": str(index)}
            if small:
                names = ("--pathspec-from-file=-", "--pathspec-file-nul")
                _git(top, "--literal-pathspecs", "add", "-N", *names, given=b"\0".join(small), environ=environ)
            patch = _git(top, "diff", "--binary", "--no-ext-diff", "--no-textconv", "HEAD", environ=environ)
    except (OSError, subprocess.SubprocessError):
        return None
    return patch if 0 < len(patch) <= LARGEST_PATCH else None


def _is_small(path: Path, data: Collection[Path]) -> bool:
    secret = SECRETS.fullmatch(path.name)
    return not secret and path.is_file() and path.stat().st_size <= LARGEST_FILE and not _is_data(path, data)


def _is_data(path: Path, data: Collection[Path]) -> bool:
    """Whether it is one of these files, or in one of these folders."""
    resolved = path.resolve()
    return resolved in data or any(parent in data for parent in resolved.parents)


def _line(folder: Path, *arguments: str) -> str | None:
    try:
        return _git(folder, *arguments).decode("utf-8", "replace").strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str, given: bytes = b"", environ: dict[str, str] | None = None) -> bytes:
    """What git prints."""
    command = ["git", "-C", str(folder), "-c", "core.quotepath=off", *arguments]
    done = subprocess.run(
        command, input=given, capture_output=True, check=True, timeout=GIT_TIMEOUT_S, env=environ or os.environ.copy()
    )
    return done.stdout
