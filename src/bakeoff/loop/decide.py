"""What was fitted is evaluated, combined and decided on. Nothing is registered, promoted or released here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.loop.baselines import BaselinesStep, scaled
from bakeoff.loop.cache import Steps
from bakeoff.loop.calibrate import rescaled
from bakeoff.loop.calibration_findings import calibrated
from bakeoff.loop.combine import Combined, combine
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.evaluate import Judged, evaluate, verdict
from bakeoff.loop.expect import OURS, meanwhile
from bakeoff.loop.fit import Fitted
from bakeoff.loop.judge import referee
from bakeoff.results.judge import JudgeOutcome

if TYPE_CHECKING:
    from bakeoff.evaluate.decide.verdict import Verdict
    from bakeoff.evaluate.decide.yardstick import Baselines

__all__ = ["Competition", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Competition:
    """All candidates, those made of others included, and the decision between them.

    `judge` is what a judge found, if the project has one; `baselines` are what the winner had to beat.
    """

    judged: tuple[Judged, ...]
    combined: Combined
    decision: "Verdict"
    judge: JudgeOutcome | None = None
    baselines: "Baselines | None" = None

    def entry(self, name: str | None) -> Judged | None:
        """The candidate of that name, or None."""
        return next((each for each in self.judged if each.name == name), None)


def decide(stage: Stage, steps: Steps, gathered: Gathered, fitted: Sequence[Fitted]) -> Competition:
    """Evaluate what changed, look for combinations, and decide."""
    rules = BaselinesStep(stage, steps, gathered)
    with meanwhile(OURS):
        judged = evaluate(stage, steps, gathered, fitted, beside=(rules.job, rules.end) if rules.waits else None)
    combined = combine(stage, steps, gathered, judged)
    judged = calibrated(stage, steps, judged, combined.held)
    judged += evaluate(stage, steps, gathered, combined.fitted)
    judged = rescaled(stage, steps, gathered, judged, combined)
    refereed = referee(stage, steps, gathered, judged)
    baselines = rules.baselines()
    decision = scaled(stage, gathered, verdict(stage, gathered, refereed.judged, baselines), refereed.judged)
    return Competition(
        judged=refereed.judged, combined=combined, decision=decision, judge=refereed.outcome, baselines=baselines
    )
