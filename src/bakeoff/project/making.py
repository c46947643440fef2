"""A project made of rows that are in memory: they are kept in its folder, and read as any file."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from bakeoff.actions.init import FrameColumns, write_project
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
        UsageError: there is one already. DataError: the data or its target cannot be used.
    """
    file = folder / FILE_NAME
    located = isinstance(source, (str, Path))
    if file.exists():
        if not exist_ok:
            raise UsageError(
                f"expected no project file yet, found {str(file)!r}: Project({str(folder)!r}) opens it, and "
                "exist_ok=True does so here; or choose another folder"
            )
        return "polars" if located else keep_frame(load(folder), source, argument="source")
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
