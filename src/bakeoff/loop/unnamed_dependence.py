"""Warnings of dependence between test rows that the project does not name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, load_arrays, load_table
from bakeoff.loop.evaluate import Judged, outcomes
from bakeoff.results.data import Warned

if TYPE_CHECKING:
    from bakeoff.evaluate.decide.verdict import Verdict

__all__ = ["unnamed_dependence"]


def unnamed_dependence(
    stage: Stage, gathered: Gathered, judged: Sequence[Judged], decision: "Verdict"
) -> tuple[Warned, ...]:
    """What the errors of the winner (or the best) show; nothing where a group is named, whose rows share much else."""
    from bakeoff.evaluate.findings.dependence import hidden, row_errors

    schema = gathered.schema
    entry = next((each for each in judged if each.name == (decision.winner or decision.best)), None)
    if entry is None or schema.group is not None:
        return ()
    rows = load_arrays(stage.blobs, gathered.rows_blob)
    columns = [each for each in schema.columns if each.name not in {schema.target, schema.rejected}]
    table = load_table(stage.blobs, gathered.table_blob, [each.name for each in columns])[rows["test"]]
    found = hidden(
        row_errors(*outcomes(stage, entry), stage.config.project.task),
        table,
        columns,
        place_n=rows["kept"][rows["test"]],
        named=[] if schema.time is None else [schema.time],
    )
    return tuple(Warned(kind="dependence", column=each.column, told=each.told) for each in found)
