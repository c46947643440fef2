"""`cascade`: models from cheap to dear; the next one is asked only about rows on which the last is unsure.

Source: Viola and Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features" (2001), for the
idea; thresholds on confidence as in Wang et al., "IDK Cascades", UAI 2018.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import FitJob, Model
from bakeoff.core.types import Predictions, Task
from bakeoff.families.features.columns import require
from bakeoff.families.wrappers.members import JointFamily, JointModel, JointState, Member, fit_members
from bakeoff.metrics.combined import Ladder, spread

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CascadeFamily", "CascadeModel", "CascadeParams"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeParams:
    """Parameters of `cascade`.

    `members`: tables with `name`, `family` and `params`, in the order in which they are asked.
    `thresholds`: one for each member but the last; a row goes on when the probability of its most probable
    class is lower. `doubted`: classes that always go on. `pooled`: whether the answer is the mean of all
    members that were asked, instead of the last one's.
    """

    members: tuple[Member, ...] = (Member(name="linear", family="linear"), Member(name="boosting", family="boosting"))
    thresholds: tuple[float, ...] = (0.8,)
    doubted: tuple[str, ...] = ()
    pooled: bool = False

    @property
    def ladder(self) -> Ladder:
        """When a row goes on.

        Raises:
            CandidateError: the thresholds do not fit the members.
        """
        if len(self.thresholds) != len(self.members) - 1:
            raise CandidateError(
                f"expected {len(self.members) - 1} thresholds, one for each member but the last, "
                f"received {self.thresholds}"
            )
        return Ladder(thresholds=self.thresholds, doubted=self.doubted, pooled=self.pooled)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State(JointState):
    """All of a cascade but its members' files."""

    ladder: Ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeModel(JointModel):
    """A fitted `cascade` candidate."""

    family = "cascade"
    state: _State

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        require(table, self.signature)
        classes = self.signature.classes

        def ask(stage: int, rows: NDArray[np.intp]) -> NDArray[np.float64]:
            asked = table if len(rows) == len(table) else table[rows]
            return spread(self.models[stage].predict(asked), classes)

        answer_nk, _ = self.state.ladder.climb(ask, len(table), classes)
        return Predictions.of_probabilities(answer_nk, classes)


class CascadeFamily(JointFamily[CascadeModel]):
    """Builds `CascadeModel`s."""

    name = "cascade"
    tasks: frozenset[Task] = frozenset({"classification"})
    params = CascadeParams
    model = CascadeModel
    state = _State

    def fit(self, job: FitJob) -> CascadeModel:
        """See `bakeoff.core.protocols.Family`; every member is fitted on all of the job's rows."""
        params: CascadeParams = job.params
        _ = params.ladder  # wrong thresholds are told before anything is fitted
        return self.combined(params, fit_members(job, params.members))

    def combined(self, params: CascadeParams, models: Sequence[Model]) -> CascadeModel:
        """A cascade of models that are fitted already, in the order of the members."""
        state = _State(ladder=params.ladder, **JointState.fields(params.members, models))
        return CascadeModel(state=state, models=tuple(models))
