"""One trial of a search for parameters, in a process of its own: fit on a part of the training rows, score on others.

The rows that the fit chooses on (early stopping, penalties) are cut off from the training rows, so that validation
rows judge what has not seen them. Test rows are not read.
"""

import time
from math import isfinite
from typing import Annotated

import msgspec

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.errors import CandidateError
from bakeoff.core.families import load_family
from bakeoff.core.jobs import METRICS, OUTSIDE_KEY, ROWS, JobContext
from bakeoff.train.worker import FitArgument, ended_after, job_of, table_of

__all__ = ["SCORED", "TRIAL", "TrialArgument", "TrialValue", "trial"]

TRIAL = "bakeoff.train.trial:trial"
SCORED = "scored"
"""The array of row numbers to score on, beside those to fit and to choose on."""


class TrialArgument(FitArgument, frozen=True, kw_only=True):
    """What `trial` takes: a `FitArgument` whose rows have a third array, `scored`; nothing is saved.

    After `trial_limit_s` the process is ended, whatever it is doing.
    """

    trial_limit_s: Annotated[float, OUTSIDE_KEY]
    costs: dict[str, dict[str, float]] = msgspec.field(default_factory=dict[str, dict[str, float]])
    by_cost: bool = False


class TrialValue(msgspec.Struct, frozen=True, kw_only=True):
    """What `trial` gives: the project's metric of rows that were not seen, and the seconds of the fit."""

    value: float
    fit_s: float


def trial(argument: TrialArgument, context: JobContext) -> TrialValue:
    """Fit, and work out the project's metric on rows that the fit has not seen.

    Raises:
        ConfigError: the family does not take the parameters.
        CandidateError: it cannot be fitted, or the metric is undefined.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    from bakeoff.metrics.costs import Costs, answered_by_cost
    from bakeoff.metrics.custom import using
    from bakeoff.metrics.value import value

    with ended_after(argument.trial_limit_s):
        family = load_family(argument.family)
        job = job_of(argument, family, context)
        with np.load(context.inputs[ROWS], allow_pickle=False) as rows:
            scored = table_of(argument, context)[rows[SCORED]]
        started = time.perf_counter()
        with threadpool_limits(context.threads), remote_calls(allowed=argument.remote):
            model = family.fit(job)
        fit_s = time.perf_counter() - started
        said = model.predict(scored.drop(argument.schema.target))
        if argument.by_cost:
            said = answered_by_cost(said, Costs(by_class=argument.costs).matrix(said.classes))
        with using(context.inputs.get(METRICS), argument.costs):
            found = value(argument.metric, scored[argument.schema.target].to_numpy(), said, argument.task)
    if not isfinite(found):
        raise CandidateError(f"expected {argument.metric} of {len(said)} rows to be a number, received {found}")
    return TrialValue(value=found, fit_s=fit_s)
