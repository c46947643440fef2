"""Zip and tar archives and compressed files under our own rules: safe names, no links, bounded size.

A small file that unpacks to something enormous, or a member that would land outside its folder, is refused
with `SecurityError` before anything is kept.
"""

import bz2
import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, cast

from bakeoff.core.errors import DataError, SecurityError
from bakeoff.core.plugins import suggestion

__all__ = ["COMPRESSIONS", "ArchiveMember", "Limits", "decompress", "extract", "is_archive", "members", "open_archive"]

COMPRESSIONS = (".gz", ".bz2", ".zst")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ZIP_SUFFIXES = (".zip", ".whl")
PIECE = 1 << 20
HEADER_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
LONGEST_HEADER = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What unpacking may cost. The ratio counts only beyond `free_bytes`, where a bomb begins to hurt."""

    members: int = 50_000
    unpacked_bytes: int = 16 << 30
    ratio: int = 200
    free_bytes: int = 64 << 20

    def check(self, name: str, unpacked_bytes: int, packed_bytes: int) -> None:
        """Raise `SecurityError` when so much came (or would come) out of so little."""
        too_dense = unpacked_bytes > self.free_bytes and unpacked_bytes > self.ratio * max(packed_bytes, 1)
        if unpacked_bytes > self.unpacked_bytes or too_dense:
            raise SecurityError(
                f"{name}: expected at most {self.unpacked_bytes:,} bytes unpacked and {self.ratio} times the "
                f"packed size, received {unpacked_bytes:,} or more from {packed_bytes:,}. If you trust the "
                "file, unpack it yourself and name the unpacked one."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMember:
    """A regular file of an archive, by its checked relative name."""

    name: str
    size_bytes: int
    open: Callable[[], IO[bytes]] = field(repr=False, compare=False)


def is_archive(name: str) -> bool:
    """Whether the file's name says zip, wheel or tar."""
    return name.lower().endswith((*TAR_SUFFIXES, *ZIP_SUFFIXES))


def _checked_name(archive: str, name: str) -> str:
    """The member's name as a relative POSIX path; refuses whatever could leave the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(path.parts) > 0 and path.parts[0].endswith(":")
    if path.is_absolute() or ".." in path.parts or drive or "\0" in name or not path.parts:
        raise SecurityError(f"{archive}: expected members with relative names, received {name!r}; not unpacked.")
    return path.as_posix()


def _is_zip_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def _zip_members(archive: zipfile.ZipFile, name: str) -> Iterator[ArchiveMember]:
    for info in archive.infolist():
        member = _checked_name(name, info.filename)
        if _is_zip_link(info):
            raise SecurityError(f"{name}: expected regular files, received the link {member!r}; not unpacked.")
        if info.flag_bits & 0x1:
            raise DataError(f"{name}: expected an archive without a password; {member!r} is encrypted.")
        if not info.is_dir():
            yield ArchiveMember(name=member, size_bytes=info.file_size, open=lambda info=info: archive.open(info))


class _LongHeaderError(Exception):
    """As `SecurityError`, which is an `OSError` to tarfile: no archive of this kind, try the next."""


class _Header(tarfile.TarInfo):
    """A member's header. Long names and PAX records stand in members of their own, which are read into memory whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in HEADER_TYPES and self.size > LONGEST_HEADER:
            raise _LongHeaderError(
                f"{Path(str(archive.name)).name}: expected headers of at most {LONGEST_HEADER:,} bytes, received "
                f"one of {self.size:,}; not unpacked."
            )
        return super()._proc_member(archive)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] - where tarfile reads what a header says of the next


def _tar_members(archive: tarfile.TarFile, name: str) -> Iterator[ArchiveMember]:
    for info in archive:
        member = _checked_name(name, info.name)
        if not (info.isreg() or info.isdir()):
            raise SecurityError(f"{name}: expected regular files, received {member!r} (a link or a device).")
        if info.isreg():
            yield ArchiveMember(
                name=member,
                size_bytes=info.size,
                open=lambda info=info: cast("IO[bytes]", archive.extractfile(info)),
            )


@contextmanager
def open_archive(path: Path, limits: Limits | None = None) -> Generator[tuple[ArchiveMember, ...]]:
    """The regular files of an archive, all names checked, while the context is open.

    Raises:
        SecurityError: a member is unsafe, or there are too many, or too much would come out.
        DataError: it is not a readable archive.
    """
    limits = limits or Limits()
    try:
        if path.name.lower().endswith(ZIP_SUFFIXES):
            with zipfile.ZipFile(path) as archive:
                yield _bounded(_zip_members(archive, path.name), path, limits)
        else:
            with tarfile.open(path, tarinfo=_Header) as archive:
                yield _bounded(_tar_members(archive, path.name), path, limits)
    except _LongHeaderError as error:
        raise SecurityError(str(error)) from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, NotImplementedError) as error:
        raise DataError(f"{path.name}: expected a readable archive, found: {error}") from error


def _bounded(found: Iterator[ArchiveMember], path: Path, limits: Limits) -> tuple[ArchiveMember, ...]:
    kept: list[ArchiveMember] = []
    unpacked = 0
    for member in found:
        kept.append(member)
        unpacked += member.size_bytes
        limits.check(path.name, unpacked, path.stat().st_size)
        if len(kept) > limits.members:
            raise SecurityError(f"{path.name}: expected at most {limits.members:,} members; it has more.")
    return tuple(kept)


def _copy(source: IO[bytes], target: Path, name: str, packed_bytes: int, limits: Limits) -> None:
    """Copy with the limits checked on what really comes out, whatever the headers said."""
    written = 0
    with target.open("wb") as out:
        while piece := source.read(PIECE):
            written += len(piece)
            limits.check(name, written, packed_bytes)
            out.write(piece)


def extract(path: Path, chosen: Sequence[ArchiveMember], folder: Path, *, below: str = "") -> None:
    """Write open members into the existing `folder`, their names relative to `below`."""
    limits = Limits()
    packed_bytes = path.stat().st_size
    for member in chosen:
        target = folder / PurePosixPath(member.name).relative_to(below or ".")
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source:
            _copy(source, target, f"{path.name}!{member.name}", packed_bytes, limits)


def members(found: Sequence[ArchiveMember], name: str, archive: str) -> tuple[str, tuple[ArchiveMember, ...]]:
    """Members called `name` (a file), or below it when it ends in "/"; also looks below a single top folder.

    Gives the prefix that the members stand below, and the members.

    Raises:
        DataError: there is none; with the closest name that exists.
    """
    tops = {member.name.partition("/")[0] for member in found}
    prefixes = ["", f"{next(iter(tops))}/"] if len(tops) == 1 else [""]
    for prefix in prefixes:
        full = prefix + name
        below = tuple(m for m in found if (m.name.startswith(full) if name.endswith("/") else m.name == full))
        if below:
            return (full.rstrip("/") if name.endswith("/") else full.rpartition("/")[0]), below
    hint = suggestion(name, [m.name.removeprefix(prefix) for m in found for prefix in prefixes])
    some = ", ".join(repr(m.name) for m in found[:5])
    raise DataError(f"{archive}: expected a member {name!r}, found {some or 'nothing'}, … {hint}".rstrip())


def decompress(path: Path, target: Path) -> None:
    """Write the decompressed content of a .gz, .bz2 or .zst file.

    Raises:
        DataError: it is damaged or cut short.
        SecurityError: too much comes out.
    """
    try:
        with _open_compressed(path) as source:
            _copy(source, target, path.name, path.stat().st_size, Limits())
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, (SecurityError, FileNotFoundError)) or getattr(error, "errno", None):
            raise
        raise DataError(f"{path.name}: expected a whole {path.suffix} file, found: {error}") from error


@contextmanager
def _open_compressed(path: Path) -> Generator[IO[bytes]]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        with gzip.open(path) as source:
            yield cast("IO[bytes]", source)
    elif suffix == ".bz2":
        with bz2.open(path) as source:
            yield cast("IO[bytes]", source)
    else:
        from bakeoff.data.zstd import zstd

        try:
            with zstd.open(path) as source:
                yield cast("IO[bytes]", source)
        except zstd.ZstdError as error:
            raise DataError(f"{path.name}: expected a whole .zst file, found: {error}") from error
