"""A project made of rows that are in memory: they are kept in its folder, and read as any file."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bakeoff.actions.init import FrameColumns, from_folder, project_name, write_project
from bakeoff.config.file import FILE_NAME, Loaded, load
from bakeoff.core.errors import StoreError, UsageError
from bakeoff.core.explain import file_advice
from bakeoff.data.snapshot import write
from bakeoff.project.frames import FRAME_FILE, Library, Taken, taken

__all__ = ["keep_frame", "make_project"]


def make_project(
    folder: Path, *, source: Any, target: str | None, name: str | None, task: str | None, exist_ok: bool
) -> Library:
    """Write a project file from a look at the data (see `Project.init`); the library of the tables that come out.

    Raises:
        UsageError: there is one already, or one that says something else. DataError: the data or its target cannot be
            used.
    """
    file = folder / FILE_NAME
    located = isinstance(source, (str, Path))
    if file.exists():
        if not exist_ok:
            raise UsageError(
                f"expected no project file yet, found {str(file)!r}: Project({str(folder)!r}) opens it, and "
                "exist_ok=True does so here; or choose another folder"
            )
        project = load(folder)
        given = {"target": target, "name": name and project_name(name), "task": task}
        _require_same(project, given, source=str(source) if located else None)
        return "polars" if located else keep_frame(project, source, argument="source")
    if located:
        write_project(folder, name=name, source=str(source), target=target, task=task)
        return "polars"
    frame = taken(source, argument="source")
    new = not folder.exists()
    _write(frame, folder)
    ids = tuple(each for each in frame.index if each != target and not frame.table.schema[each].is_temporal())
    columns = FrameColumns(categorical=frame.categorical, ids=ids)
    try:
        write_project(folder, name=name, source=FRAME_FILE, target=target, task=task, frame=columns)
    except BaseException:
        (folder / FRAME_FILE).unlink(missing_ok=True)
        if new:
            with suppress(OSError):
                folder.rmdir()
        raise
    return _tables(frame)


def _require_same(project: Loaded, given: Mapping[str, str | None], *, source: str | None) -> None:
    """See that a project that is there is the one that was meant: nothing of its file is changed here.

    Raises:
        UsageError: its file says something else.
    """
    config = project.config
    present = {"target": config.data.target, "name": config.project.name, "task": config.project.task}
    others = {key: (present[key], value) for key, value in given.items() if value not in {None, present[key]}}
    sources = config.data.source
    if source is not None and sources != (source,) and sources != (from_folder(source, project.folder),):
        others["source"] = ", ".join(sources or config.data.sources), source
    if others:
        listed = "; ".join(f"expected {key} {old!r}, received {new!r}" for key, (old, new) in others.items())
        raise UsageError(
            f"{str(project.file)!r} is there and says something else: {listed}. Leave out what is there, change it in "
            "that file, or choose another folder"
        )


def keep_frame(project: Loaded, rows: object, *, argument: str) -> Library:
    """Keep rows as the frame of a project that was made of one; the library of the tables that come out.

    Raises:
        UsageError: the project reads other rows. DataError: they cannot be used.
    """
    if project.config.data.source != (FRAME_FILE,):
        locations = ", ".join(map(repr, project.config.data.source or project.config.data.sources))
        raise UsageError(
            f"{argument}: expected a project that was made of a frame, this one reads {locations}: leave {argument} "
            "out, or make another project by Project.init(FOLDER, source=frame)"
        )
    frame = taken(rows, argument=argument)
    _write(frame, project.folder)
    return _tables(frame)


def _tables(frame: Taken) -> Library:
    """In which library tables come out: that of the frame, but for arrays, which have no names."""
    return "polars" if frame.library == "numpy" else frame.library


def _write(frame: Taken, folder: Path) -> None:
    """Write the file whole, then put it in its place."""
    part = folder / f".{FRAME_FILE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(frame.table, part)
        part.replace(folder / FRAME_FILE)
    except OSError as error:
        raise StoreError(
            f"cannot keep the frame in {str(folder)!r}: {error.strerror or error}; {file_advice(error)}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
