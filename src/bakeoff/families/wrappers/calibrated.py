"""`calibrated`: one model whose probabilities are rescaled, by a temperature or by a rising function for each class.

It may answer by what errors cost instead of by the most probable class.
Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; Zadrozny and Elkan, KDD 2002.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import FitJob, Model
from bakeoff.core.types import Predictions, Task
from bakeoff.families.features.columns import require
from bakeoff.families.wrappers.members import JointFamily, JointModel, JointState, Member, fit_members
from bakeoff.metrics.costs import answered_by_cost
from bakeoff.metrics.scaling import Calibrator, Isotonic, Temperature

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CalibratedFamily", "CalibratedModel", "CalibratedParams"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedParams:
    """Parameters of `calibrated`.

    `members`: one table with `name`, `family` and `params`. `temperature`: by it log probabilities are divided.
    `x` and `y`, instead: for each class, in sorted order, the steps of a rising function of its probability.
    `costs`: for each true class, in sorted order, what each answer costs; the answer is the one whose expected cost is
    least (the first of equals).
    """

    members: tuple[Member, ...] = (Member(name="linear", family="linear"),)
    temperature: Annotated[float, Field(gt=0)] = 1.0
    x: tuple[tuple[float, ...], ...] = ()
    y: tuple[tuple[float, ...], ...] = ()
    costs: tuple[tuple[float, ...], ...] = ()

    @property
    def scale(self) -> Calibrator:
        """How probabilities are rescaled.

        Raises:
            CandidateError: x and y do not fit each other.
        """
        if not self.x and not self.y:
            return Temperature(value=self.temperature)
        if [len(steps) for steps in self.x] != [len(steps) for steps in self.y] or not all(self.x):
            raise CandidateError(f"expected as many steps in y as in x for each class, received {self.x} and {self.y}")
        return Isotonic(x=self.x, y=self.y)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State(JointState):
    """All of a calibrated model but its member's files."""

    params: CalibratedParams


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedModel(JointModel):
    """A fitted `calibrated` candidate."""

    family = "calibrated"
    state: _State

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        require(table, self.signature)
        said = self.models[0].predict(table)
        assert said.probabilities_nk is not None
        if not len(said):
            return said
        params = self.state.params
        scaled = Predictions.of_probabilities(params.scale(said.probabilities_nk), said.classes)
        return answered_by_cost(scaled, params.costs) if params.costs else scaled


class CalibratedFamily(JointFamily[CalibratedModel]):
    """Builds `CalibratedModel`s."""

    name = "calibrated"
    tasks: frozenset[Task] = frozenset({"classification"})
    params = CalibratedParams
    model = CalibratedModel
    state = _State

    def fit(self, job: FitJob) -> CalibratedModel:
        """See `bakeoff.core.protocols.Family`; the member is fitted, its rescaling is given."""
        params: CalibratedParams = job.params
        _ = params.scale  # wrong steps are told before anything is fitted
        return self.combined(params, fit_members(job, params.members, fewest=1))

    def combined(self, params: CalibratedParams, models: Sequence[Model]) -> CalibratedModel:
        """A model that is fitted already, rescaled.

        Raises:
            CandidateError: there is not one model, or the steps are for other classes.
        """
        if len(models) != 1:
            raise CandidateError(f"expected one member to calibrate, received {len(models)}")
        classes = models[0].signature.classes
        if params.x and len(params.x) != len(classes):
            raise CandidateError(f"expected steps for each of {len(classes)} classes, received {len(params.x)}")
        if params.costs and {len(params.costs), *(len(row) for row in params.costs)} != {len(classes)}:
            raise CandidateError(f"expected costs for each pair of {len(classes)} classes, received {params.costs}")
        state = _State(params=params, **JointState.fields(params.members, models))
        return CalibratedModel(state=state, models=tuple(models))
