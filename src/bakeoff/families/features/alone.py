"""Models with a history beside one that knows of none: it answers rows that came without those before them.

A row that comes alone would else be answered by trees that have seen few such rows; so it is answered as well as it was
without a history, and no worse. The two are also held against each other on validation rows: whether a history pays
shows in a family's own fit, while the small ones that other columns are tried by make too much of it or too little.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bakeoff.core import narrow
from bakeoff.core.attribution import Attribution
from bakeoff.core.deadline import Deadline
from bakeoff.core.protocols import FitJob, Model
from bakeoff.core.types import Json, Predictions
from bakeoff.families.features.derivation import EARLIER, HISTORY_ERRORS, standard_error
from bakeoff.families.features.derived import Derived
from bakeoff.families.features.lags import seconds_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ALONE", "answered", "attributed", "with_alone"]

ALONE = "alone"
"""What the second model chose, in what the first did."""
SHARE = 0.6
"""Of a fit's time, for the first of two models."""
M = TypeVar("M", bound=Any)


def with_alone(job: FitJob, fit: Callable[[FitJob], M]) -> M:
    """A model of the job; where a history pays, with one beside it that has none.

    Args:
        job: The fit.
        fit: Fits one model of a family whose models have `derived`, `alone` and `chosen`.
    """
    if job.schema.history is None:
        return fit(job)
    deadline, predictions = Deadline(job), list[Predictions]()
    limit_s = None if job.limit_s is None else SHARE * job.limit_s
    model = fit(replace(job, on_held=predictions.append, limit_s=limit_s))
    by_first = predictions[-1:]
    if model.derived is None or model.derived.history is None:
        _tell(job, by_first)
        return model
    predictions.clear()
    before = None if job.chosen is None else narrow.json_object(job.chosen[ALONE])
    schema = replace(job.schema, history=None)
    alone = fit(replace(job, schema=schema, chosen=before, on_held=predictions.append, limit_s=deadline.left_s))
    own = {name: value for name, value in dict(alone.chosen.get("tried", {})).items() if name != EARLIER}
    tried = dict(model.chosen["tried"])
    if job.chosen is None and by_first and predictions:
        tried[EARLIER] = _outcome(job, by_first[0], predictions[-1])
        job.progress(f"features: {EARLIER} {tried[EARLIER]} on validation rows")
    if not tried[EARLIER].startswith("kept"):
        _tell(job, predictions)
        return replace(alone, chosen={**alone.chosen, "tried": {**own, EARLIER: tried[EARLIER]}})
    _tell(job, by_first)
    second: dict[str, Json] = {**alone.chosen, "tried": own}
    return replace(model, alone=alone, chosen={**model.chosen, "tried": tried, ALONE: second})


def _tell(job: FitJob, predictions: list[Predictions]) -> None:
    for each in predictions[-1:]:
        job.on_held(each)


def _outcome(job: FitJob, first: Predictions, second: Predictions) -> str:
    """Whether the first errs less on validation rows, by more than chance; told as for other features."""
    import polars as pl

    value_n = job.validation.get_column(job.schema.target).cast(pl.Float64).to_numpy()
    first_n, second_n = ((each.values_n.astype(np.float64) - value_n) ** 2 for each in (first, second))
    gain_n = second_n - first_n
    order = np.argsort(seconds_of(job.validation, str(job.schema.time)), kind="stable")
    stays = gain_n.mean() > HISTORY_ERRORS * standard_error(gain_n, order)
    share = gain_n.mean() / max(second_n.mean(), 1e-12)
    return f"{'kept' if stays else 'left out'}: loss {-share:+.1%}"


def _lacking(table: "pl.DataFrame", derived: Derived | None, alone: object) -> "NDArray[np.bool_] | None":
    """Which rows came without their past (n,), of which one at least did; None: the model itself answers all."""
    if derived is None or derived.history is None or alone is None:
        return None
    lacking_n = derived.history.lacking(table)
    return lacking_n if lacking_n.any() else None


def answered(
    table: "pl.DataFrame",
    derived: Derived | None,
    alone: Model | None,
    answers: "Callable[[pl.DataFrame], Predictions]",
) -> Predictions:
    """The `answers` of a model to rows, and of those that came without their past, those of the model `alone`."""
    lacking_n = _lacking(table, derived, alone)
    if alone is None or lacking_n is None:
        return answers(table)
    if lacking_n.all():
        return alone.predict(table)
    values_n = np.array(answers(table).values_n, dtype=np.float64)
    values_n[lacking_n] = alone.predict(table.filter(lacking_n)).values_n
    return Predictions(values_n=values_n)


def attributed(
    table: "pl.DataFrame",
    derived: Derived | None,
    alone: Any,
    attribute: "Callable[[pl.DataFrame], Attribution]",
) -> Attribution:
    """The same for what columns add; what the means of the two models differ by is added by the time of the rows."""
    lacking_n = _lacking(table, derived, alone)
    if derived is None or derived.history is None or lacking_n is None:
        return attribute(table)
    if lacking_n.all():
        return alone.attribute(table)
    whole, part = attribute(table), alone.attribute(table.filter(lacking_n))
    adds_nck = np.array(whole.adds_nck)
    adds_nck[lacking_n] = part.adds_nck
    adds_nck[lacking_n, whole.columns.index(derived.history.time)] += part.base_k - whole.base_k
    return replace(whole, adds_nck=adds_nck)
