"""Capture the environment that enters lineage and step keys."""

import platform
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions

from bakeoff.core.hashing import digest_json

__all__ = ["Environment", "capture", "named", "versions_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Python, platform and every installed distribution; `digest` is the hash of these.

    `local` are those that were installed from a folder or an address (PEP 610).
    """

    digest: str
    python: str
    platform: str
    packages: Mapping[str, str]
    local: tuple[str, ...] = ()


def capture() -> Environment:
    """The environment of this process."""
    packages: dict[str, str] = {}
    local: set[str] = set()
    for each in distributions():
        name, installed = named(each)
        if name and installed and name not in packages:  # the first on the path is imported
            packages[name] = installed
            if each.read_text("direct_url.json") is not None:
                local.add(name)
    python, machine = platform.python_version(), f"{sys.platform}-{platform.machine()}"
    packages = dict(sorted(packages.items()))
    digest = digest_json({"python": python, "platform": machine, "packages": packages})
    return Environment(digest=digest, python=python, platform=machine, packages=packages, local=tuple(sorted(local)))


def named(each: Distribution) -> tuple[str, str]:
    """Name (as PEP 503 has it) and version; nothing of what an installer that was stopped has left behind.

    By their two lines of the metadata: parsing all of it takes a hundred times as long.
    """
    head = (_text(each, "METADATA") or _text(each, "PKG-INFO")).partition("\n\n")[0]
    name, installed = (re.search(rf"(?im)^{key}: *(\S+)\s*$", head) for key in ("Name", "Version"))
    return re.sub(r"[-_.]+", "-", name[1] if name else "").lower(), installed[1] if installed else ""


def _text(each: Distribution, name: str) -> str:
    """A file of the metadata; old packages wrote some that are no UTF-8."""
    try:
        return each.read_text(name) or ""
    except UnicodeDecodeError as error:
        return error.object.decode("utf-8", "replace")


def versions_of(requirements: Iterable[str]) -> dict[str, str | None]:
    """Python's and the named distributions' versions (None: not installed): what can change a result."""
    found: dict[str, str | None] = {"python": platform.python_version(), "machine": platform.machine()}
    for name in sorted(requirements):
        try:
            found[name] = named(distribution(name))[1]
        except PackageNotFoundError:
            found[name] = None
    return found
