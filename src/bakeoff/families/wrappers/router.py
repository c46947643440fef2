"""`router`: two models, of which one is asked about each row; which, the row says before any is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import FitJob, Model
from bakeoff.core.types import Predictions, Task
from bakeoff.data.row_router import RowFeatures, RowRouter
from bakeoff.families.features.columns import require
from bakeoff.families.wrappers.members import JointFamily, JointModel, JointState, Member, fit_members
from bakeoff.metrics.combined import spread

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RouterFamily", "RouterModel", "RouterParams"]

NOWHERE = RowRouter(features=RowFeatures(), weights=RowRouter.packed(np.zeros(512)), bias=0.0, threshold=0.0)
"""Asks the first model about every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterParams:
    """Parameters of `router`.

    `members`: two tables with `name`, `family` and `params`. `rule`: which rows go to the second one, as a run learns
    it from what both say of rows that they were not fitted on; without it, the first one answers all.
    """

    members: tuple[Member, ...] = (Member(name="linear", family="linear"), Member(name="boosting", family="boosting"))
    rule: RowRouter = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class _State(JointState):
    """All of a router but its members' files."""

    rule: RowRouter


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterModel(JointModel):
    """A fitted `router` candidate."""

    family = "router"
    state: _State

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        require(table, self.signature)
        classes = self.signature.classes
        answer_nk = np.zeros((table.height, len(classes)))
        second_n = self.state.rule.asks_second(table)
        for model, asked_n in zip(self.models, (~second_n, second_n), strict=True):
            if asked_n.any():
                answer_nk[asked_n] = spread(model.predict(table.filter(asked_n)), classes)
        return Predictions.of_probabilities(answer_nk, classes)


class RouterFamily(JointFamily[RouterModel]):
    """Builds `RouterModel`s."""

    name = "router"
    tasks: frozenset[Task] = frozenset({"classification"})
    params = RouterParams
    model = RouterModel
    state = _State

    def fit(self, job: FitJob) -> RouterModel:
        """See `bakeoff.core.protocols.Family`; every member is fitted on all of the job's rows."""
        params: RouterParams = job.params
        _require_two(params)
        return self.combined(params, fit_members(job, params.members))

    def combined(self, params: RouterParams, models: Sequence[Model]) -> RouterModel:
        """A router between models that are fitted already, in the order of the members."""
        _require_two(params)
        state = _State(rule=params.rule, **JointState.fields(params.members, models))
        return RouterModel(state=state, models=tuple(models))


def _require_two(params: RouterParams) -> None:
    if len(params.members) != 2:  # noqa: PLR2004 - a router has two
        raise CandidateError(f"expected 2 members of a router, received {[each.name for each in params.members]!r}")
