"""How much a row that came as feedback weighs: what answers other feedback rows best.

Feedback is of what is served now. Where that is other than what the project's own rows are about, a few hundred new
rows among thousands of old ones hardly move a model; where it is not, weights only add noise. So each weight is tried
on feedback rows that the fit has not seen, by folds of them.

Source: J. Jiang, C. Zhai, "Instance Weighting for Domain Adaptation in NLP", ACL 2007; the choice by labels of the new
domain, H. Daumé, "Frustratingly Easy Domain Adaptation", ACL 2007, section 2 ("WEIGHTED").
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.protocols import FEEDBACK_WEIGHT, Family, FitJob
from bakeoff.core.types import Json
from bakeoff.train.recency import losses

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FITS", "feedback_weight", "may_weigh"]

WEIGHTS = (3.0, 10.0, 30.0)
"""The next one is tried while the last was better."""
FOLDS = 4
FITS = FOLDS * (len(WEIGHTS) + 1)
FEWEST_ROWS = 100
MOST_SHARE = 0.5
"""From such a share of all rows on, feedback needs no weight to be heard."""
CLEARLY = 1.0
"""The least weight is taken that is not by so many standard errors worse than the best one."""


def may_weigh(job: FitJob) -> bool:
    """Whether there is feedback enough to choose by, and other rows that it could be drowned in."""
    if job.is_feedback_n is None:
        return False
    count = int(job.is_feedback_n.sum())
    return FEWEST_ROWS <= count <= MOST_SHARE * len(job.is_feedback_n)


def feedback_weight(family: Family, job: FitJob, chosen: Mapping[str, Json]) -> float | None:
    """How many times as much as another row one of feedback should weigh; None: none is clearly better than once.

    Args:
        family: one whose fits take weights (`weighs`).
        job: with what rows are feedback (`may_weigh`).
        chosen: what the fit without weights chose.
    """
    import polars as pl

    assert job.is_feedback_n is not None, "it may weigh"
    table = pl.concat([job.train, job.validation])
    feedback = np.random.default_rng(job.seed).permutation(np.flatnonzero(job.is_feedback_n))
    tried: dict[float, NDArray[np.float64]] = {1.0: _out_of_fold(family, job, table, feedback, chosen)}
    best = 1.0
    for times in WEIGHTS:
        tried[times] = _out_of_fold(family, job, table, feedback, {**chosen, FEEDBACK_WEIGHT: times})
        job.progress(f"feedback rows weigh {times:g} times as much: loss {tried[times].mean():.5f} on others of them")
        if tried[times].mean() >= tried[best].mean():
            break
        best = times
    least = next(times for times, loss_n in tried.items() if not _worse(loss_n - tried[best]))
    job.progress(f"feedback rows weigh {least:g} times as much: no more is clearly better")
    return None if least == 1.0 else least


def _worse(excess_n: NDArray[np.float64]) -> bool:
    """Whether a loss is clearly larger than another, by how much it is on each row."""
    return float(excess_n.mean()) > CLEARLY * float(excess_n.std(ddof=1)) / len(excess_n) ** 0.5


def _out_of_fold(
    family: Family, job: FitJob, table: "pl.DataFrame", feedback: NDArray[Any], chosen: Mapping[str, Json]
) -> NDArray[np.float64]:
    """The loss of each feedback row by a fit of all rows but a fold of them, to which it belongs."""
    assert job.is_feedback_n is not None, "it may weigh"
    parts: list[NDArray[np.float64]] = []
    for fold in range(FOLDS):
        tested = feedback[fold::FOLDS]
        rows = np.setdiff1d(np.arange(len(table)), tested)
        part = replace(
            job,
            train=table[rows],
            validation=table[:0],
            is_feedback_n=job.is_feedback_n[rows],
            age_days_n=None if job.age_days_n is None else job.age_days_n[rows],
        )
        parts.append(losses(family, part, table[tested], chosen))
    return np.concatenate(parts)
