"""Ship all that is known: the winner fitted once more on all rows, with what was chosen; or its twin, and why."""

from bakeoff.loop.cache import Steps
from bakeoff.loop.combine import held_out
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, load_arrays
from bakeoff.loop.evaluate import Judged, groups, outcomes, times
from bakeoff.loop.fidelity import served_as_trained
from bakeoff.loop.fit import Fitted, refit
from bakeoff.metrics.registry import find
from bakeoff.report.numbers import duration
from bakeoff.results.shipped import Shipped

__all__ = ["on_all_that_is_known"]


def on_all_that_is_known(
    stage: Stage, steps: Steps, gathered: Gathered, winner: Judged
) -> tuple[Fitted | None, Shipped]:
    """The winner fitted on all rows, and what is shipped; None where its twin that was evaluated is shipped itself.

    A fit that fails, would take too long, or answers test rows (which it has seen) worse than the twin (which has not)
    is not shipped.
    """
    data, name = gathered.summary, winner.name
    evaluated, whole = data.train + data.validation, data.prepared_rows
    if winner.fitted.folds:
        return None, Shipped(rows=whole, evaluated_rows=whole, folds=gathered.folds)
    reason = _not_wanted(stage, winner, whole / max(1, evaluated))
    made = None
    if reason is None:
        stage.progress(f"{name}: fitting on all {whole:,} rows")
        made = refit(stage, steps, gathered, winner.fitted)
        reason = _not_shipped(stage, steps, gathered, winner, made)
    if reason is not None:
        stage.progress(f"{name}: not fitted on all rows, but released as evaluated: {reason}")
        return None, Shipped(rows=evaluated, evaluated_rows=evaluated, reason=reason)
    return made, Shipped(rows=whole, evaluated_rows=evaluated)


def _not_wanted(stage: Stage, winner: Judged, times: float) -> str | None:
    """Why the winner is not fitted once more, if so; `times` as many rows as before."""
    if not stage.config.loop.refit:
        return "[loop] refit = false"
    if not winner.fitted.contender.learns:
        return "nothing in it, or not all, learns from rows"
    limit_s = max(stage.config.loop.refit_max_s, stage.time.wanted_s or 0.0)
    expected_s = winner.fitted.train_s * times
    if expected_s > limit_s:
        return f"it would take about {duration(expected_s)}, over [loop] refit_max_s = {limit_s:g}"
    return None


def _not_shipped(stage: Stage, steps: Steps, gathered: Gathered, winner: Judged, made: Fitted) -> str | None:
    """Why a model of all rows is not shipped, if so."""
    if made.tree_blob is None:
        return made.error or "the fit failed"
    checked = served_as_trained(stage, steps, made)
    why = checked.get("error") or checked.get("diverges")
    return str(why) if why else _worse_than_twin(stage, gathered, winner, made)


def _worse_than_twin(stage: Stage, gathered: Gathered, winner: Judged, made: Fitted) -> str | None:
    """Why its answers to test rows, which it was fitted on, are distinguishably worse than its twin's, if so."""
    from bakeoff.core.errors import BakeoffError
    from bakeoff.evaluate.decide.margin import champion_margin
    from bakeoff.evaluate.decide.verdict import compare

    task = stage.config.project.task
    if task == "generation" or made.seen_blob is None or winner.scorecard is None:
        return None
    at_n = load_arrays(stage.blobs, made.seen_blob)["at_n"]
    truth_n, answers = held_out(stage.blobs.get(made.seen_blob))
    _, before = outcomes(stage, winner)
    group_n, time_n = groups(stage, gathered), times(stage, gathered)
    try:
        beside = compare(
            truth_n,
            answers,
            before.take(at_n),
            stage.metric,
            seed=stage.seed,
            resamples=stage.config.decide.resamples,
            groups_n=None if group_n is None else group_n[at_n],
            time_n=None if time_n is None else time_n[at_n],
            task=task,
            names=("on all rows", "evaluated"),
        )
    except BakeoffError as error:
        return f"what it answers cannot be scored: {error}"
    margin = champion_margin(
        stage.config.decide, find(stage.metric, task), winner.scorecard.number(stage.metric) or 0.0
    )
    if not beside.inferior(margin):
        return None
    numbers = f"{beside.difference:+.4f} {stage.metric} [{beside.low:+.4f}, {beside.high:+.4f}]"
    return f"fitted on all rows, it answers test rows worse than before, although it has seen them ({numbers})"
