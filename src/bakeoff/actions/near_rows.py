"""The rows that a model learned from which are nearest to a prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import NotFoundError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.retention import retention_hint
from bakeoff.data.cast import conform
from bakeoff.data.nearest import nearest_rows
from bakeoff.loop.dataset import load_arrays, load_table
from bakeoff.registry.lineage import find_version, label, lineage
from bakeoff.serve.inputs import Inputs

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["TrainingRow", "training_rows_near"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """A row that a model learned from: its number in the dataset version (from 0), how far it is from what was asked.

    `distance` is Gower's, from 0 to 1; `values` are those of the row, with its target.
    """

    model_version: str
    dataset_version: str
    row: int
    distance: float
    by_column: Mapping[str, float]
    values: Mapping[str, Any]


def training_rows_near(project: "Project", prediction: str, *, most: int = 5) -> list[TrainingRow]:
    """The nearest rows, the nearest first.

    Raises:
        NotFoundError: there is no such prediction, or its model's rows are not there any more.
    """
    events = project.events.get(PredictionEvent, [prediction])
    if not events:
        hint = retention_hint(project.events)
        raise NotFoundError(f"expected the id of a prediction, received {prediction!r}, which is none{hint}")
    event = events[0]
    version = find_version(project.records.versions, project.config.project.name, event.model_version)
    origin, dataset = version.model_origin, lineage(project.records.versions, version).dataset
    gathered = dataset.dataset_origin.gathered if dataset else None
    if gathered is None or origin.signature is None or origin.rows_blob is None:
        raise NotFoundError(f"expected the rows that {label(version)} learned from, found that none were kept")
    split = load_arrays(project.blobs, origin.rows_blob)
    table = load_table(project.blobs, str(gathered["snapshot_blob"]))
    numbers = split["kept"] if origin.rows == "all" else split["kept"][split["train"]]
    columns = origin.signature.inputs
    named = Inputs(columns, aside=[column.name for column in origin.columns]).renamed(event.row)
    learned = table[numbers]
    near = nearest_rows(conform(learned, columns), columns, conform([named], columns), most=most)
    return [
        TrainingRow(
            model_version=label(version),
            dataset_version=origin.dataset_version,
            row=int(numbers[each.row]),
            distance=each.distance,
            by_column=each.by_column,
            values=learned.row(each.row, named=True),
        )
        for each in near
    ]
