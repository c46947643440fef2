"""Why one row is answered as it is: that of a prediction, or any other."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.abilities import abilities_of
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.retention import retention_hint
from bakeoff.data.schema import conform
from bakeoff.evaluate.explain.single import explained_row
from bakeoff.loop.stored_outcome import rows_of
from bakeoff.prepare.steps import preparation
from bakeoff.registry.lineage import find_version, label
from bakeoff.results.explanation import RowExplanation
from bakeoff.serve.inputs import Inputs

if TYPE_CHECKING:
    from bakeoff.core.records import Version
    from bakeoff.project.project import Project

__all__ = ["explain_prediction", "explain_row"]


def explain_prediction(project: "Project", prediction: str, *, paid: bool = False) -> RowExplanation:
    """Why a served prediction came out so, by the model that made it.

    Raises:
        NotFoundError: there is no prediction of this id, or its model is gone.
    """
    events = project.events.get(PredictionEvent, [prediction])
    if not events:
        raise NotFoundError(
            f"expected the id of a prediction, as answers have one; received {prediction!r}, found none"
            f"{retention_hint(project.events)}"
        )
    event = events[0]
    return explain_row(project, event.row, model=event.model_version, paid=paid)


def explain_row(
    project: "Project", row: Mapping[str, object], *, model: str | None = None, paid: bool = False
) -> RowExplanation:
    """Why a model would answer a row so, beside test rows of the run that made it.

    Args:
        project: whose model it is.
        row: the inputs, as they are sent to be answered.
        model: a candidate of the last run, or a version ("name/2", an alias); the champion by default.
        paid: ask even a service that takes money for each answer, some hundred times.

    Raises:
        UsageError: each answer is paid for and `paid` is not set, or the model writes texts.
        NotFoundError: there is no such model. DataError: the row does not fit.
    """
    version = _version(project, model)
    origin, loaded = version.model_origin, project.model(label(version)).model
    if origin.task == "generation":
        raise UsageError(f"expected a model that classifies or predicts numbers; {label(version)} writes texts")
    if abilities_of(loaded).usage is not None and not paid:
        raise UsageError(
            f"expected a model that answers without a charge: each answer of {label(version)} is paid for, and "
            "explaining one takes hundreds; --paid (paid=True in Python) pays for them"
        )
    columns = loaded.signature.inputs
    inputs = Inputs(columns, aside=[column.name for column in origin.columns])
    named = inputs.renamed(row)
    inputs.of_rows([named])
    prepare = preparation(origin.steps).apply_columns
    others = rows_of(project.records, project.blobs, version.run_id or "", "test")
    with remote_calls(allowed=project.config.privacy.remote):
        return explained_row(
            loaded,
            prepare(conform([named], columns), columns),
            prepare(conform(others, columns), columns),
            name=label(version),
            seed=project.config.project.seed,
        )


def _version(project: "Project", which: str | None) -> "Version":
    """The version of that name, number or alias, or of the last run's candidate of that name."""
    if which is not None:
        candidate = project.outcome().candidate(which)
        which = candidate.model_version if candidate and candidate.model_version else which
    return find_version(project.records.versions, project.config.project.name, which)
