"""The learning curve: fits on parts of the rows beside the fit on all of them, and what twice the rows would gain."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions
from bakeoff.evaluate.advise.learning_curves import doubling
from bakeoff.evaluate.decide.differences import Field
from bakeoff.evaluate.score.out_of_fold import joined
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.outcome import outcome
from bakeoff.results.explanation import LearningCurve, LearningPoint

__all__ = ["Fits", "learning_curve"]

Fits: TypeAlias = Sequence[tuple[NDArray[np.int64], Predictions]]
"""What several fits on as many rows say: of which test rows each (places), and what."""

RESAMPLES = 200
WHOLE, PART = "all rows", "part"


def learning_curve(
    fits: Mapping[int, Fits],
    rows: int,
    truth_n: NDArray[Any],
    whole: Predictions,
    measure: Measure,
    *,
    unit_n: NDArray[Any],
    seed: int,
) -> LearningCurve | None:
    """The curve of a candidate; None when there is nothing to draw.

    Args:
        fits: by the number of rows that they were fitted on.
        rows: how many the candidate itself was fitted on.
        truth_n: what was true of the test rows.
        whole: what the candidate says of them.
        measure: the metric.
        unit_n: which test rows go together, as a code.
        seed: of resamples, where the metric needs some.
    """
    points: list[LearningPoint] = []
    ses: list[float] = []
    end = math.nan
    for size, several in sorted(fits.items()):
        of_n = np.concatenate([tested_n for tested_n, _ in several])
        part = joined([predictions for _, predictions in several])
        field = Field(
            truth_n[of_n],
            {WHOLE: whole.take(of_n), PART: part},
            measure,
            seed=seed,
            resamples=RESAMPLES,
            groups_n=unit_n[of_n] if len(np.unique(unit_n[of_n])) > 1 else None,
        )
        gap = field.compare(WHOLE, PART)
        if not np.isfinite([gap.difference, gap.low, gap.high]).all():
            continue
        end = field.values[WHOLE]
        ses.append(math.hypot(field.spread(WHOLE, PART).se, _drawn(several, truth_n, measure)))
        points.append(
            LearningPoint(
                rows=size,
                value=field.values[PART],
                behind=gap.difference,
                low=gap.low,
                high=gap.high,
                fits=len(several),
            )
        )
    if not points:
        return None
    last = LearningPoint(rows=rows, value=end, behind=0.0, low=0.0, high=0.0)
    if len(points) == 1:
        return LearningCurve(metric=measure.name, points=(*points, last))
    more = doubling([each.rows for each in points], [each.behind for each in points], ses, rows)
    return LearningCurve(
        metric=measure.name, points=(*points, last), more=more.value, more_low=more.low, more_high=more.high
    )


def _drawn(several: Fits, truth_n: NDArray[Any], measure: Measure) -> float:
    """The standard error that comes of which rows were drawn, as far as several draws on the same test rows show it."""
    same = [p for tested_n, p in several if len(tested_n) == len(several[0][0]) and (tested_n == several[0][0]).all()]
    if len(same) < 2:  # noqa: PLR2004
        return 0.0
    values = [float(measure(outcome(truth_n[several[0][0]], each, measure.task))) for each in same]
    return float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / len(same))  # that of the fit on all rows, too
