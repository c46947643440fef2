"""The data of a dataset version in another folder: its files where they are what they were, else its rows."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.actions.lineage_nodes import files_of
from bakeoff.core.errors import BakeoffError, NotFoundError
from bakeoff.core.records import Version
from bakeoff.data.sources import FILE_SCHEME, GLOB, SCHEME, resolve

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["place_data"]

ROWS = "dataset.parquet"
RAW = frozenset({"sources", "query"})
"""What is not to be done to rows a second time."""


def place_data(project: "Project", dataset: Version, data: dict[str, Any], folder: Path) -> list[str]:
    """Put the data into the folder; `data`, the section of its settings, is changed where it has to be.

    Returns:
        What is another than it was, in words.

    Raises:
        NotFoundError: neither the files nor the rows are there.
    """
    reason = _place_files(project, dataset, folder)
    if reason is None:
        return []
    gathered = dataset.dataset_origin.gathered
    blob = str(gathered["snapshot_blob"]) if gathered else ""
    if not project.blobs.contains(blob):
        raise NotFoundError(
            f"expected the rows of dataset version {dataset.number} among the blobs, found none; and {reason}"
        )
    project.blobs.fetch(blob, folder / ROWS)
    for key in RAW:
        data.pop(key, None)
    data["source"] = [ROWS]
    return [f"[data] source is {ROWS}, the rows as they were read then: {reason}"]


def _place_files(project: "Project", dataset: Version, folder: Path) -> str | None:
    """Copy the sources that are files here; why that does not give the data, if it does not."""
    if dataset.dataset_origin.summary.get("from_feedback"):
        return "feedback had joined the files"
    digests: dict[str, list[str]] = {}
    for file in files_of(dataset):
        digests.setdefault(file["location"], []).append(file["digest"])
    for location, wanted in digests.items():
        if _is_elsewhere(location):
            continue
        try:
            _copy(project, location, wanted, folder)
            files = resolve(location, folder=folder, cache=folder / ".bakeoff" / "cache", progress=lambda _: None)
        except (OSError, BakeoffError) as error:
            return f"{location} cannot be had ({error})"
        if sorted(each.digest for each in files) != sorted(wanted):
            _take_away(folder, location)
            return f"{location} is not what it was"
    return None


def _is_elsewhere(location: str) -> bool:
    """A URL, or a path from the root: read where it is, in the run."""
    return bool(SCHEME.match(location) and not FILE_SCHEME.match(location)) or Path(location).is_absolute()


def _copy(project: "Project", location: str, wanted: list[str], folder: Path) -> None:
    """The file, folder or matches of a pattern; a file that is in a snapshot comes from there."""
    place = FILE_SCHEME.sub("", location)
    for source, name in _sources(project.folder, place):
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise NotFoundError(f"{name} lies outside of the project's folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif len(wanted) == 1 and project.blobs.contains(wanted[0]):
            project.blobs.fetch(wanted[0], target)
        else:
            shutil.copyfile(source, target)


def _sources(folder: Path, place: str) -> Iterator[tuple[Path, str]]:
    whole, outer = folder / place, place.partition("!")[0]
    if whole.exists() or not GLOB.search(outer):
        name = place if whole.exists() else outer
        yield folder / name, name
        return
    for path in sorted(folder.glob(outer)):
        yield path, path.relative_to(folder).as_posix()


def _take_away(folder: Path, location: str) -> None:
    """Leave no file behind that a reader could take for the data."""
    for path, _ in _sources(folder, FILE_SCHEME.sub("", location)):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
