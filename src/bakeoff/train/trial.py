"""One trial of a search for parameters, in a process of its own: fit on a part of the training rows, score on others.

The rows that the fit chooses on (early stopping, penalties) are cut off from the training rows, so that validation
rows judge what has not seen them. Test rows are not read.
"""

import signal
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path

import msgspec

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.errors import CandidateError, UsageError
from bakeoff.core.families import load_family
from bakeoff.core.protocols import Progress
from bakeoff.core.types import Json
from bakeoff.train.worker import FitArgument, job_of, table_of

__all__ = ["SCORED", "TRIAL", "TrialArgument", "trial"]

TRIAL = "bakeoff.train.trial:trial"
SCORED = "scored"
"""The array of row numbers to score on, beside those to fit and to choose on."""


class TrialArgument(FitArgument, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `trial` takes: a `FitArgument` whose file of rows has a third array, `scored`; nothing is saved.

    After `limit_s` the process is ended, whatever it is doing.
    """

    limit_s: float
    metrics_file: str | None = None
    costs: Mapping[str, Mapping[str, float]] = {}
    by_cost: bool = False


def trial(argument: Mapping[str, Json], progress: Progress) -> dict[str, Json]:
    """The project's metric (`value`) of what was fitted, on rows that it has not seen, and `fit_s`.

    Raises:
        UsageError: the argument is not a `TrialArgument`.
        ConfigError: the family does not take the parameters.
        CandidateError: it cannot be fitted, or the metric is undefined.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    from bakeoff.metrics.costs import Costs, answered_by_cost
    from bakeoff.metrics.custom import using
    from bakeoff.metrics.value import value

    try:
        asked = msgspec.convert(argument, TrialArgument)
    except msgspec.ValidationError as error:
        raise UsageError(f"expected the JSON of a TrialArgument, received one with a problem: {error}") from error
    with _ended_after(asked.limit_s):
        family = load_family(asked.family)
        job = job_of(asked, family, progress)
        with np.load(asked.rows_path, allow_pickle=False) as rows:
            scored = table_of(asked)[rows[SCORED]]
        started = time.perf_counter()
        with threadpool_limits(asked.threads), remote_calls(allowed=asked.remote):
            model = family.fit(job)
        fit_s = time.perf_counter() - started
        said = model.predict(scored.drop(asked.schema.target))
        if asked.by_cost:
            said = answered_by_cost(said, Costs(by_class=asked.costs).matrix(said.classes))
        with using(None if asked.metrics_file is None else Path(asked.metrics_file), asked.costs):
            found = value(asked.metric, scored[asked.schema.target].to_numpy(), said, asked.task)
    if not isfinite(found):
        raise CandidateError(f"expected {asked.metric} of {len(said)} rows to be a number, received {found}")
    return {"value": found, "fit_s": fit_s}


@contextmanager
def _ended_after(limit_s: float) -> Generator[None]:
    """End the process by the system's alarm, which does not wait for native code to come back to Python."""
    signal.setitimer(signal.ITIMER_REAL, max(limit_s, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
