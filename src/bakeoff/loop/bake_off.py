"""The bake-off itself: fit → evaluate → combine → decide. Nothing is registered, promoted or released here.

What comes after the fits is imported then (or meanwhile, by who calls this): a run of few rows waits for its imports
longer than for its arithmetic.
"""

from typing import TYPE_CHECKING

from bakeoff.loop.cache import Steps
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.folds import fit_all
from bakeoff.loop.prompts import check_prompts

if TYPE_CHECKING:
    from bakeoff.loop.decide import Competition

__all__ = ["compete"]


def compete(stage: Stage, steps: Steps, gathered: Gathered) -> "Competition":
    """Fit and evaluate what changed, look for combinations, and decide."""
    check_prompts(stage, gathered)
    fitted = fit_all(stage, steps, gathered)
    from bakeoff.loop.decide import decide

    return decide(stage, steps, gathered, fitted)
