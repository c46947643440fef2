"""`blend`: several models, each asked about every row; the answer is a weighted mean of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import FitJob, Model
from bakeoff.core.types import Predictions, Task
from bakeoff.families.features.columns import require
from bakeoff.families.wrappers.members import JointFamily, JointModel, JointState, Member, fit_members
from bakeoff.metrics.combined import Mix

if TYPE_CHECKING:
    import polars as pl

__all__ = ["BlendFamily", "BlendModel", "BlendParams"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendParams:
    """Parameters of `blend`.

    `members`: tables with `name`, `family` and `params`. `weights`: one for each member; equal when left
    out. `log`: whether logarithms of probabilities are averaged instead of probabilities; then `biases`
    are added to those of the classes that they name.
    """

    members: tuple[Member, ...] = (Member(name="linear", family="linear"), Member(name="boosting", family="boosting"))
    weights: tuple[float, ...] = ()
    log: bool = False
    biases: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def mix(self) -> Mix:
        """How answers are averaged.

        Raises:
            CandidateError: the weights do not fit the members.
        """
        if self.weights and len(self.weights) != len(self.members):
            raise CandidateError(f"expected a weight for each of {len(self.members)} members, received {self.weights}")
        weights = self.weights or (1 / len(self.members),) * len(self.members)
        if not self.log and (min(weights) < 0 or abs(sum(weights) - 1) > 1e-6):  # noqa: PLR2004
            raise CandidateError(f"expected weights that are not negative and sum to 1, received {self.weights}")
        return Mix(weights=weights, biases=self.biases, log=self.log)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State(JointState):
    """All of a blend but its members' files."""

    mix: Mix


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendModel(JointModel):
    """A fitted `blend` candidate."""

    family = "blend"
    state: _State

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        require(table, self.signature)
        return self.state.mix([model.predict(table) for model in self.models], self.signature.classes)


class BlendFamily(JointFamily[BlendModel]):
    """Builds `BlendModel`s."""

    name = "blend"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = BlendParams
    model = BlendModel
    state = _State

    def fit(self, job: FitJob) -> BlendModel:
        """See `bakeoff.core.protocols.Family`; every member is fitted on the job's rows."""
        params: BlendParams = job.params
        _ = params.mix  # wrong weights are told before anything is fitted
        return self.combined(params, fit_members(job, params.members))

    def combined(self, params: BlendParams, models: Sequence[Model]) -> BlendModel:
        """A blend of models that are fitted already, in the order of the members."""
        state = _State(mix=params.mix, **JointState.fields(params.members, models))
        return BlendModel(state=state, models=tuple(models))
