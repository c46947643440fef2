"""Weights by age for rows in the order of time: which half-life pays on validation rows, if any does.

Each half-life is tried by a fit on training rows alone, with what the fit without weights chose. It is taken only when
it is better than none on validation rows by twice its standard error, which knows that rows go together in time.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.protocols import HALF_LIFE, Family, FitJob, Model
from bakeoff.core.types import Json, Predictions
from bakeoff.metrics.spread import in_order

if TYPE_CHECKING:
    import polars as pl

__all__ = ["half_life", "losses", "span_days"]

SHARES = (0.5, 0.25, 0.125)
"""Half-lives, as shares of the time that training rows span; the next one is tried while the last was better."""
FEWEST_ROWS = 50
CLEARLY = 2.0
ABSOLUTE = frozenset({"mae", "median_ae", "mape"})
LEAST_CHANCE = 1e-12


def span_days(job: FitJob) -> float | None:
    """The days that training rows span; None where rows have no ages, or are too few to compare half-lives on."""
    if job.age_days_n is None or len(job.validation) < FEWEST_ROWS or len(job.train) < FEWEST_ROWS:
        return None
    training_n = job.age_days_n[: len(job.train)]
    return float(training_n.max() - training_n.min()) or None


def half_life(family: Family, job: FitJob, chosen: Mapping[str, Json]) -> float | None:
    """The half-life in days by which rows are to be weighed; None where no weights are as good.

    Args:
        family: one whose fits take weights (`weighs`).
        job: with the rows' ages, training rows first.
        chosen: what the fit without weights chose.
    """
    span, ages = span_days(job), job.age_days_n
    if span is None or ages is None:
        return None
    order = np.argsort(-ages[len(job.train) :], kind="stable")
    alone = replace(job, validation=job.validation[:0])
    tried: dict[float | None, NDArray[np.float64]] = {None: losses(family, alone, job.validation, chosen)}
    best: float | None = None
    for share in SHARES:
        days = float(f"{share * span:.3g}")
        tried[days] = losses(family, alone, job.validation, {**chosen, HALF_LIFE: days})
        job.progress(f"weights with a half-life of {days:g} days: validation loss {tried[days].mean():.5f}")
        if tried[days].mean() >= tried[best].mean():
            break
        best = days
    if best is None:
        return None
    gain_n = (tried[None] - tried[best])[order]
    error = in_order(gain_n).se
    pays = float(gain_n.mean()) > CLEARLY * error
    job.progress(f"half-life of {best:g} days: {'taken' if pays else 'not taken: it does not clearly pay'}")
    return best if pays else None


def losses(family: Family, job: FitJob, rows: "pl.DataFrame", chosen: Mapping[str, Json]) -> NDArray[np.float64]:
    """The loss of each row by a fit with these choices: squared or absolute, or the negative log probability."""
    model: Model = family.fit(replace(job, chosen=chosen))
    target = job.schema.target
    predictions = model.predict(rows.drop(target))
    truth_n: NDArray[Any] = rows[target].to_numpy()
    if job.task == "regression":
        error_n = np.abs(predictions.values_n.astype(np.float64) - truth_n)
        return error_n if job.metric in ABSOLUTE else error_n**2
    return -np.log(np.maximum(_chances(predictions, truth_n), LEAST_CHANCE))


def _chances(predictions: Predictions, truth_n: NDArray[Any]) -> NDArray[np.float64]:
    """The probability of the true class of each row; without probabilities, whether it was answered."""
    if predictions.probabilities_nk is None:
        return (predictions.values_n.astype(np.str_) == truth_n.astype(np.str_)).astype(np.float64)
    place = {name: at for at, name in enumerate(predictions.classes)}
    at_n = np.asarray([place.get(str(name), -1) for name in truth_n])
    chance_n = predictions.probabilities_nk[np.arange(len(at_n)), np.maximum(at_n, 0)]
    return np.where(at_n >= 0, chance_n, 0.0)
