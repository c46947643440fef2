"""Known vulnerabilities of packages, from a copy of the OSV database: no network is needed.

A copy is PyPI's `all.zip` of osv.dev, or a folder of its files. What a record says of versions is read as its schema
(1.7) has it: a list of versions, or ranges of events in the order of versions.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from bakeoff.core import narrow
from bakeoff.core.errors import DataError, UsageError

__all__ = ["Audited", "Vulnerability", "audited"]

LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Vulnerability:
    """A known one of an installed package; `fixed` are the versions without it, where it says so."""

    id: str
    aliases: tuple[str, ...]
    package: str
    version: str
    summary: str
    fixed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What a database knows of an environment; `unread` of its records could not be read.

    `unreadable_versions` are the packages whose version is none of PEP 440: they are looked for in lists of versions
    alone, so that nothing found says little of them.
    """

    vulnerabilities: tuple[Vulnerability, ...]
    packages: int
    records: int
    unread: int
    unreadable_versions: tuple[str, ...] = ()


def audited(packages: Mapping[str, str], database: Path) -> Audited:
    """Which vulnerabilities of a database the packages have.

    Raises:
        UsageError: there is no such database. DataError: it holds no records.
    """
    found: list[Vulnerability] = []
    records = unread = 0
    for data in _records(database):
        try:
            record = json.loads(data)
            matching = [*_matching(record, packages)]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            unread += 1
            continue
        records += 1
        found += matching
    if not records:
        raise DataError(f"expected a database of OSV records in {database}, found {unread} that cannot be read")
    found.sort(key=lambda each: (each.package, each.id))
    odd = sorted(f"{name} {each}" for name, each in packages.items() if _version(each) is None)
    return Audited(
        vulnerabilities=tuple(found),
        packages=len(packages),
        records=records,
        unread=unread,
        unreadable_versions=tuple(odd),
    )


def _records(database: Path) -> Iterator[bytes]:
    if database.is_dir():
        for path in sorted(database.rglob("*.json")):
            yield path.read_bytes()
        return
    try:
        with zipfile.ZipFile(database) as archive:
            for name in archive.namelist():
                if name.endswith(".json"):
                    yield archive.read(name)
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:  # damaged, encrypted, of an odd method
        raise UsageError(
            f"expected a zip file or folder of OSV records ({database}): {error}; PyPI's is all.zip of osv.dev"
        ) from error


def _matching(record: Mapping[str, Any], packages: Mapping[str, str]) -> Iterator[Vulnerability]:
    if record.get("withdrawn"):
        return
    for affected in record.get("affected", []):
        package = affected.get("package", {})
        name = re.sub(r"[-_.]+", "-", str(package.get("name", ""))).lower()
        installed = packages.get(name)
        if package.get("ecosystem") != "PyPI" or installed is None or not _affects(affected, installed):
            continue
        yield Vulnerability(
            id=str(record["id"]),
            aliases=tuple(narrow.texts(record.get("aliases", ()))),
            package=name,
            version=installed,
            summary=str(record.get("summary") or record.get("details") or "")[:LONGEST],
            fixed=tuple(_fixes(affected)),
        )


def _affects(affected: Mapping[str, Any], installed: str) -> bool:
    listed: Sequence[str] = affected.get("versions", [])
    version = _version(installed)
    if installed in listed or (version is not None and version in map(_version, listed)):
        return True
    if version is None:
        return False  # which `unreadable_versions` tells
    ranges = (each for each in affected.get("ranges", []) if each.get("type") == "ECOSYSTEM")
    return any(_inside(each.get("events", []), version) for each in ranges)


def _version(text: str) -> Version | None:
    """A version as PEP 440 compares it, without the label of a build: 2.1.0+cpu has the code of 2.1.0."""
    try:
        return Version(Version(text).public)
    except InvalidVersion:
        return None


def _inside(events: Sequence[Mapping[str, str]], version: Version) -> bool:
    """Whether a version lies between an event that introduces and the next that ends it."""
    order = {"introduced": 0, "fixed": 1, "limit": 1, "last_affected": 2}
    steps: list[tuple[Version, int, str]] = []
    for event in events:
        for kind, text in event.items():
            if kind in order:
                steps.append((Version("0.dev0" if text == "0" else text), order[kind], kind))
    inside = False
    for at, _, kind in sorted(steps):
        if kind == "introduced":
            inside = inside or version >= at
        elif kind == "last_affected":
            inside = inside and version <= at
        else:
            inside = inside and version < at
    return inside


def _fixes(affected: Mapping[str, Any]) -> Iterator[str]:
    for each in affected.get("ranges", []):
        if each.get("type") == "ECOSYSTEM":
            yield from (event["fixed"] for event in each.get("events", []) if "fixed" in event)
