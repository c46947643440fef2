"""How much worse a candidate gets when its inputs are changed in ways that leave the label as it is."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column, Predictions
from bakeoff.evaluate.decide.paired import Field
from bakeoff.evaluate.findings.perturbations import perturbations
from bakeoff.metrics.measure import Measure
from bakeoff.results.candidate import Drop

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Drop", "drop_of", "robustness", "rows_of"]

SAMPLES = (1000, 300, 100)
"""Rows that are changed: the first number for which the time suffices."""
RESAMPLES = 500


def robustness(
    predict: "Callable[[pl.DataFrame], Predictions]",
    table: "pl.DataFrame",
    truth_n: NDArray[np.generic],
    predictions: Predictions,
    measure: Measure,
    *,
    columns: Sequence[Column],
    seed: int,
    rows_per_s: float,
    budget_s: float = 3.0,
    groups_n: NDArray[np.generic] | None = None,
) -> list[Drop]:
    """The drop of the measure under every perturbation that fits the columns.

    At most 1,000 rows, drawn at random, are changed and predicted again. When predicting is slow
    (`rows_per_s`, as measured in batches), they are 300 or 100; perturbations that still do not fit into
    the budget are skipped, the most telling last.
    """
    wanted = perturbations(columns)
    size, fit = _plan(len(wanted), rows=table.height, affordable=rows_per_s * budget_s)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(table.height)[:size])
    sample, truth, plain = table[rows], truth_n[rows], rows_of(predictions, rows)
    groups = None if groups_n is None else groups_n[rows]
    slow = f"predicting takes too long, or costs too much ({rows_per_s:.3g} rows a second can be had)"
    found: list[Drop] = []
    started = perf_counter()
    for at, each in enumerate(wanted):
        late = perf_counter() - started > 2 * budget_s
        if at >= fit or late:
            found.append(Drop(name=each.name, told=each.told, skipped=slow))
            continue
        # A generator of its own: what one perturbation draws does not depend on those before it.
        changed = each.apply(sample, np.random.default_rng([seed, at]))
        if changed.equals(sample):
            found.append(Drop(name=each.name, told=each.told, skipped="it changes none of these rows"))
            continue
        try:
            said = predict(changed)
            found.append(drop_of(each.name, each.told, truth, plain, said, measure, seed=seed, groups_n=groups))
        except Exception as error:  # noqa: BLE001 - that a model cannot answer such rows is what is found
            found.append(Drop(name=each.name, told=each.told, skipped=f"the model fails: {error}"[:300]))
    return found


def _plan(wanted: int, *, rows: int, affordable: float) -> tuple[int, int]:
    """How many rows, and how many of the perturbations, can be predicted for `affordable` rows in all."""
    for size in SAMPLES:
        if wanted * min(size, rows) <= affordable:
            return min(size, rows), wanted
    size = min(SAMPLES[-1], rows)
    return size, int(affordable // max(size, 1))


def rows_of(predictions: Predictions, rows: NDArray[np.intp]) -> Predictions:
    """The predictions of some rows."""
    shares = predictions.probabilities_nk
    return Predictions(
        values_n=np.asarray(predictions.values_n)[rows],
        probabilities_nk=None if shares is None else shares[rows],
        classes=predictions.classes,
    )


def drop_of(  # noqa: PLR0917
    name: str,
    told: str,
    truth: NDArray[np.generic],
    plain: Predictions,
    said: Predictions,
    measure: Measure,
    *,
    seed: int,
    groups_n: NDArray[np.generic] | None,
) -> Drop:
    """What a change of the rows does to the measure."""
    field = Field(
        truth, {"plain": plain, "perturbed": said}, measure, seed=seed, resamples=RESAMPLES, groups_n=groups_n
    )
    found = field.compare("plain", "perturbed")
    if not np.isfinite([found.difference, found.low, found.high]).all():
        return Drop(name=name, told=told, rows=len(truth), skipped=f"{measure.name} is undefined")
    flips = measure.task != "regression"
    return Drop(
        name=name,
        told=told,
        rows=len(truth),
        value=field.values["perturbed"],
        drop=found.difference,
        low=found.low,
        high=found.high,
        changed=float((plain.values_n != said.values_n).mean()) if flips else None,
    )
