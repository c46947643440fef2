"""Environments from what was recorded of them: pins, a lock with hashes, a new environment by uv, differences."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.core.errors import StoreError, UsageError
from bakeoff.core.lineage import EnvironmentOrigin

__all__ = ["Built", "EnvironmentDifference", "build", "difference", "lock", "pins"]

TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentDifference:
    """What differs of two environments: versions by package, (first, second); None: not there."""

    python: tuple[str, str] | None
    platform: tuple[str, str] | None
    packages: Mapping[str, tuple[str | None, str | None]]

    def __bool__(self) -> bool:
        return bool(self.python or self.platform or self.packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A new environment: its folder, and the packages that no index has, which were left out."""

    folder: Path
    packages: int
    left_out: tuple[str, ...]


def difference(first: EnvironmentOrigin, second: EnvironmentOrigin) -> EnvironmentDifference:
    """What differs, by name.

    >>> a = EnvironmentOrigin(python="3.11.7", platform="linux-x86_64", packages={"numpy": "2.0.0", "six": "1.17"})
    >>> b = EnvironmentOrigin(python="3.11.7", platform="linux-x86_64", packages={"numpy": "2.1.0"})
    >>> difference(a, b).packages
    {'numpy': ('2.0.0', '2.1.0'), 'six': ('1.17', None)}
    """
    names = sorted(first.packages.keys() | second.packages.keys())
    pairs = {name: (first.packages.get(name), second.packages.get(name)) for name in names}
    return EnvironmentDifference(
        python=None if first.python == second.python else (first.python, second.python),
        platform=None if first.platform == second.platform else (first.platform, second.platform),
        packages={name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
    )


def pins(environment: EnvironmentOrigin) -> str:
    """Its packages as a requirements file; those that were installed from a folder or an address are comments."""
    lines = [f"# Python {environment.python}, {environment.platform}"]
    for name, version in sorted(environment.packages.items()):
        local = name in environment.local
        lines.append(f"# {name}=={version}: installed from a folder or an address" if local else f"{name}=={version}")
    return "\n".join(lines) + "\n"


def lock(environment: EnvironmentOrigin) -> str:
    """The same with the hashes that the package index has of each file, as pip's --require-hashes wants them.

    Raises:
        UsageError: uv is not here. StoreError: the index has no such file, or cannot be reached.
    """
    command = ["pip", "compile", "-", "--no-deps", "--generate-hashes", "--no-header", "--quiet"]
    return pins(environment).splitlines()[0] + "\n" + _uv(*command, *_target(environment), given=pins(environment))


def build(environment: EnvironmentOrigin, folder: Path) -> Built:
    """Make an environment with the same Python and the same packages.

    Raises:
        UsageError: there is something in the folder, or uv is not here.
        StoreError: a Python or package of this version cannot be had here.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"expected a new or empty folder, received {folder}, which has files")
    made = not folder.exists()
    try:
        _venv(environment.python, folder)
        python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        _uv("pip", "install", "--quiet", "--no-deps", "--python", str(python), "-r", "-", given=pins(environment))
    except StoreError:
        shutil.rmtree(folder, ignore_errors=True)
        if not made:
            folder.mkdir()
        raise
    here = [name for name in environment.packages if name not in environment.local]
    return Built(folder=folder, packages=len(here), left_out=tuple(sorted(environment.local)))


def _venv(python: str, folder: Path) -> None:
    try:
        _uv("venv", "--quiet", "--no-project", "--python", python, str(folder))
    except StoreError as error:
        raise StoreError(
            f"{error}; have Python {python} on the PATH, or reproduce with the one that is here (--environment here)"
        ) from error


def _target(environment: EnvironmentOrigin) -> Sequence[str]:
    return ("--python-version", environment.python)


def _uv(*arguments: str, given: str = "") -> str:
    """What uv prints."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise UsageError("environments are made by uv, which is not here; install it: pip install uv")
    try:
        done = subprocess.run(
            [uv, *arguments], input=given, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"uv did not end within {TIMEOUT_S} s; try again when the package index answers") from error
    if done.returncode:
        reason = " ".join(done.stderr.split())[:1000]
        raise StoreError(f"uv could not make this environment here: {reason}")
    return done.stdout
