"""Examples that a candidate shows before each row: from a file of the project, else from training rows."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import FitJob

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ExampleSource", "source_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleSource:
    """Rows to take examples from, and how many; `whole`: all of them, in their order."""

    table: "pl.DataFrame"
    count: int
    whole: bool


def source_of(job: FitJob, classes: Collection[str] = ()) -> ExampleSource:
    """Where the examples of a candidate come from, by its parameters `demonstrations` and `shots`.

    Raises:
        CandidateError: there are fewer than `shots`, they lack a column, or name a class that there is none of.
    """
    import polars as pl

    rows, shots = job.params.demonstrations, job.params.shots
    if not rows:
        if shots > len(job.train):
            raise CandidateError(f"expected at least shots = {shots} training rows, received {len(job.train)}")
        return ExampleSource(table=job.train, count=shots, whole=False)
    if shots > len(rows):
        raise CandidateError(f"expected at least shots = {shots} demonstrations, received {len(rows)}")
    target = job.schema.target
    names = (*job.schema.inputs, target)
    lacking = [name for name in names if any(name not in row for row in rows)]
    if lacking:
        raise CandidateError(f"expected demonstrations with the columns {', '.join(names)}, some lack {lacking}")
    unknown = sorted({str(row[target]) for row in rows} - set(classes)) if classes else []
    if unknown:
        raise CandidateError(f"expected demonstrations of the classes {', '.join(classes)}, received {unknown}")
    table = pl.DataFrame({name: pl.Series([row[name] for row in rows], dtype=pl.String) for name in names})
    return ExampleSource(table=table, count=shots or len(rows), whole=not shots)
