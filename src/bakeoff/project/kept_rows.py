"""Rows of a part of a run, with what the frame that they came in says more than the run keeps."""

from typing import TYPE_CHECKING, Literal

from bakeoff.core.hashing import digest_file
from bakeoff.project.answers import class_values
from bakeoff.project.frames import FRAME_FILE
from bakeoff.results.outcome import RunOutcome

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.project.project import Project

__all__ = ["rows_of_part"]


def rows_of_part(
    project: "Project", outcome: RunOutcome, part: Literal["train", "validation", "test"]
) -> "pl.DataFrame":
    """The rows of a part of a run's split as they were read; of a frame, with its classes and its further columns.

    Raises:
        NotFoundError: the run kept no rows.
    """
    import polars as pl

    from bakeoff.loop.stored_outcome import numbers_of, rows_of

    table = rows_of(project.records, project.blobs, outcome.run_id, part)
    target = project.config.data.target
    if project.config.data.source != (FRAME_FILE,):
        return table
    numbers_n = numbers_of(project.records, project.blobs, outcome.run_id, part)
    further = _further(project, outcome, table.columns, numbers_n)
    if outcome.task == "classification" and target in table.columns and table.schema[target] == pl.String:
        names = table[target].to_list()
        classes = class_values(list(dict.fromkeys(filter(None, names))), project.config.data, project.folder)
        table = table.with_columns(pl.Series(target, [classes.get(name) for name in names]))
    return table if further is None else pl.concat([further, table], how="horizontal")


def _further(
    project: "Project", outcome: RunOutcome, known: "list[str]", numbers_n: "NDArray[np.int64]"
) -> "pl.DataFrame | None":
    """Columns of the frame that the run does not keep; None where the frame may be another one by now."""
    import polars as pl

    data, target, file = outcome.dataset, project.config.data.target, project.folder / FRAME_FILE
    digests = [each.get("digest") for each in data.files]
    if project.config.data.query is not None or not file.is_file() or digests != [digest_file(file)]:
        return None
    frame = pl.read_parquet(file, glob=False)
    if target in frame.columns:  # conversations have none: their last turn is it
        frame = frame.filter(frame[target].is_not_null())
    names = {*known, *(name.partition("[")[0] for name in known)}  # a vector is a column for each element
    further = frame.select([name for name in frame.columns if name not in names])
    if not further.width or frame.height != data.rows - data.from_feedback:
        return None
    nothing = further.clear(data.from_feedback)
    return pl.concat([further, nothing])[numbers_n]
